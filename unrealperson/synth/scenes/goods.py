"""What stands in a supermarket: shelves, fridges, check-outs, trolleys, baskets, fruit, pallets, promotions."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth.scenes.interior import GLOW, cell_uv, enamel, join, row_of_circles
from unrealperson.synth.scenes.packages import COLUMNS, HUES, LEVELS_M, ROWS, stocked
from unrealperson.synth.scenes.scene import Prop
from unrealperson.synth.scenes.solid import Solid


def make_gondola(rng: np.random.Generator, name: str, length_m: float, goods: np.ndarray, metal: ArrayLike) -> Prop:
    """A shelf for both sides along X, 1 m deep, with stocked ends.

    Args:
        rng: source of what stands where.
        name: number or word that ends the names of its meshes.
        length_m: without the ends.
        goods: texture of `package_fronts`.
        metal: linear colour of the metal.
    """
    frame = Solid()
    half, dark = length_m / 2, 0.45 * np.asarray(metal)
    frame.box((0, 0, 0), (length_m + 0.9, 0.94, 0.1), dark)
    frame.box((0, 0, 0.1), (length_m, 0.06, 1.75), dark)
    for z, _ in LEVELS_M:
        tone = 0.2 if z < 1.4 else 0.5
        frame.box((0, 0, z - 0.04), (length_m, 0.98, 0.035), tone * np.asarray(metal))
    for x in (-half - 0.015, half + 0.015):
        frame.box((x, 0, 0.1), (0.03, 1.0, 1.8), metal)
    for x in (-half - 0.24, half + 0.24):
        for z, _ in LEVELS_M[:4]:
            frame.box((x, 0, z - 0.04), (0.42, 0.9, 0.035), dark)
    shelf = Prop((frame.mesh("Shelf", enamel(), 0.05),))
    parts = [Prop((stocked(rng, length_m, goods),)).placed((0, side * 0.5, 0), 90 + side * 90) for side in (-1, 1)]
    ends = [
        Prop((stocked(rng, 0.9, goods, levels_m=LEVELS_M[:4], light=1.1),)).placed((x, 0, 0), yaw)
        for x, yaw in ((-half - 0.45, -90), (half + 0.45, 90))
    ]
    stock = join(f"Goods_{name}", [part.meshes[0] for part in parts + ends])
    circles = row_of_circles((-half - 0.1, 0), (half + 0.1, 0), 0.55)
    return Prop((join(f"Shelf_{name}", shelf.meshes), stock), tuple(circles))


def make_wall_fridge(
    rng: np.random.Generator, name: str, length_m: float, goods: np.ndarray, header: ArrayLike, *, doors: bool
) -> Prop:
    """A lit chilled cabinet 0.8 m deep, seen from -Y, its front in y = 0.

    Args:
        rng: source of what stands where.
        name: number or word that ends the names of its meshes.
        length_m: along X.
        goods: texture of `package_fronts`.
        header: linear colour of the board above.
        doors: whether framed doors close it.
    """
    body = Solid()
    half = length_m / 2
    body.box((0, 0.4, 0), (length_m, 0.8, 0.34), (0.5, 0.5, 0.5))
    body.box((0, 0.02, 0.03), (length_m, 0.06, 0.12), (0.06,) * 3)
    body.box((0, 0.76, 0.34), (length_m, 0.06, 1.7), (0.62,) * 3)
    body.box((0, 0.4, 1.95), (length_m, 0.8, 0.12), (0.6,) * 3)
    body.box((0, 0.42, 2.07), (length_m, 0.7, 0.16), (0.32,) * 3)
    body.box((0, 0.02, 2.02), (length_m, 0.06, 0.26), header)
    body.box((0, 0.06, 1.93), (length_m - 0.1, 0.06, 0.02), (GLOW,) * 3)
    for x in (-half + 0.02, half - 0.02):
        body.box((x, 0.4, 0.3), (0.04, 0.8, 1.7), (0.66,) * 3)
    levels = ((0.4, 0.34), (0.8, 0.29), (1.15, 0.28), (1.48, 0.3))
    for z, _ in levels:
        body.box((0, 0.42, z - 0.04), (length_m - 0.08, 0.66, 0.03), (0.25,) * 3)
    if doors:
        for x in np.arange(-half, half + 0.01, 0.78).tolist():
            body.box((x, 0.0, 0.34), (0.05, 0.03, 1.6), (0.12,) * 3)
            body.box((x + 0.09, -0.04, 0.9), (0.02, 0.03, 0.5), (0.55,) * 3)
        for z in (0.34, 1.9):
            body.box((0, 0.0, z), (length_m, 0.03, 0.05), (0.12,) * 3)
    chilled = Prop((stocked(rng, length_m - 0.1, goods, levels_m=levels, light=1.25),)).placed((0, 0.1, 0), 0)
    return Prop(
        (body.mesh(f"Fridge_{name}", enamel(), 0.1), join(f"Chilled_{name}", chilled.meshes)),
        tuple(row_of_circles((-half + 0.3, 0.45), (half - 0.3, 0.45), 0.5)),
    )


def make_freezer(rng: np.random.Generator, name: str, length_m: float, goods: np.ndarray) -> Prop:
    """A chest freezer along X, 1.5 m wide, open to view from above.

    Args:
        rng: source of what lies where.
        name: number or word that ends the names of its meshes.
        length_m: along X.
        goods: texture of `package_fronts`.
    """
    body, stock = Solid(), Solid()
    half = length_m / 2
    body.box((0, 0, 0), (length_m - 0.08, 1.42, 0.12), (0.05,) * 3)
    for y in (-0.71, 0.71):
        body.box((0, y, 0.12), (length_m, 0.1, 0.78), (0.68,) * 3)
        body.box((0, y, 0.9), (length_m, 0.12, 0.035), (0.15, 0.16, 0.18))
        body.box((0, y * 1.075, 0.45), (length_m, 0.012, 0.08), (0.05, 0.12, 0.35))
    for x in (-half + 0.05, half - 0.05):
        body.box((x, 0, 0.12), (0.1, 1.42, 0.8), (0.68,) * 3)
    body.box((0, 0, 0.7), (length_m, 0.05, 0.25), (0.6,) * 3)
    for x in np.arange(-half, half + 0.01, length_m / max(round(length_m / 0.9), 1)).tolist():
        body.box((x, 0, 0.915), (0.03, 1.4, 0.015), (0.35,) * 3)
    for y in (-0.35, 0.35):
        for x in np.arange(-half + 0.35, half - 0.2, 0.5).tolist():
            z = 0.62 + float(rng.uniform(0, 0.14))
            cell = int(rng.choice([2, 7, 12, 0, 3])) * COLUMNS + int(rng.integers(COLUMNS))
            corners = [
                [x - 0.25, y - 0.31, z],
                [x + 0.25, y - 0.31, z],
                [x + 0.25, y + 0.31, z],
                [x - 0.25, y + 0.31, z],
            ]
            stock.quad(np.array(corners), (0.85, 0.9, 0.95), cell_uv(cell, COLUMNS, ROWS))
    return Prop(
        (body.mesh(f"Freezer_{name}", enamel(), 0.15), stock.mesh(f"Frozen_{name}", goods)),
        tuple(row_of_circles((-half + 0.5, 0), (half - 0.5, 0), 0.75)),
    )


def make_checkout(
    rng: np.random.Generator, name: str, goods: np.ndarray, signs: np.ndarray, uv: np.ndarray, accent: ArrayLike
) -> Prop:
    """A check-out along Y: belt, till, bagging end, number on a pole; customers pass at +X.

    Args:
        rng: source of what lies on the belt.
        name: number or word that ends the names of its meshes.
        goods: texture of `package_fronts`.
        signs: texture with the number.
        uv: [4, 2] where the number is.
        accent: linear colour of its front.
    """
    body = Solid()
    grey, steel, dark = (0.34, 0.345, 0.35), (0.55, 0.56, 0.58), (0.025,) * 3
    body.box((0.1, 0.75, 0), (0.6, 2.0, 0.84), grey)
    body.box((0.1, 0.75, 0.84), (0.5, 1.96, 0.02), dark)
    for x in (-0.18, 0.38):
        body.box((x, 0.75, 0.84), (0.05, 2.0, 0.05), steel)
    body.box((0.1, -0.55, 0), (0.6, 0.6, 0.8), grey)
    body.box((0.1, -0.5, 0.8), (0.3, 0.3, 0.03), (0.1, 0.1, 0.11))
    body.box((0.1, -1.5, 0), (0.75, 1.3, 0.7), grey)
    body.box((0.1, -1.5, 0.7), (0.7, 1.25, 0.02), steel)
    body.box((0.42, -0.2, 0), (0.04, 3.9, 0.6), accent)
    body.box((-0.21, 0.75, 0.3), (0.02, 2.0, 0.2), accent)
    body.box((0.44, -0.2, 0.62), (0.07, 3.9, 0.05), (0.1,) * 3)
    body.box((-0.62, -0.3, 0), (0.06, 1.7, 1.05), 0.7 * np.asarray(accent))
    body.box((0.1, -0.2, 0), (0.7, 3.96, 0.09), dark)
    body.box((0.1, 0.4, 0.86), (0.46, 0.04, 0.05), (0.6, 0.5, 0.05))
    body.box((-0.42, -0.35, 0.44), (0.36, 0.36, 0.07), dark)
    body.tube((-0.42, -0.35, 0), (-0.42, -0.35, 0.44), 0.04, steel)
    body.box((-0.54, -0.35, 0.5), (0.06, 0.36, 0.45), dark)
    body.box((-0.1, -0.1, 0.84), (0.06, 0.06, 0.3), dark)
    body.box((-0.1, -0.1, 1.12), (0.05, 0.34, 0.26), dark, yaw_deg=8)
    body.box((-0.13, -0.1, 1.14), (0.01, 0.3, 0.22), (0.3, 0.6, 1.2), yaw_deg=8)
    body.box((0.3, -0.35, 0.84), (0.09, 0.1, 0.2), dark)
    body.tube((-0.25, 1.75, 0), (-0.25, 1.75, 2.25), 0.025, steel)
    sign = Solid()
    for dx, dy, normal in ((0, -0.11, 0), (0.15, 0, 1), (0, 0.11, 2), (-0.15, 0, 3)):
        c, s = math.cos(normal * math.pi / 2), math.sin(normal * math.pi / 2)
        w = 0.15 if normal % 2 == 0 else 0.11
        corners = [(-0.25 + dx + u * c, 1.75 + dy + u * s, z) for u, z in ((-w, 2.2), (w, 2.2), (w, 2.5), (-w, 2.5))]
        sign.quad(np.array(corners), (0.95,) * 3, uv)
    for _ in range(int(rng.integers(3, 9))):
        spot = (rng.uniform(-0.05, 0.25), rng.uniform(0.0, 1.6), 0.86)
        tone = HUES[rng.integers(len(HUES))] ** 2
        body.box(spot, rng.uniform(0.07, 0.2, 3).tolist(), tone, yaw_deg=rng.uniform(0, 90))
    for z in (0.6, 0.8, 1.0, 1.2):
        body.box((0.1, 2.0, z), (0.7, 0.3, 0.02), steel)
    body.box((0.1, 1.88, 0), (0.7, 0.04, 1.4), steel)
    rack = Prop(
        (stocked(rng, 0.7, goods, levels_m=((0.35, 0.2), (0.62, 0.16), (0.82, 0.16), (1.02, 0.16), (1.22, 0.14))),)
    )
    sweets = rack.placed((0.1, 2.16, 0), 180)
    meshes = (
        body.mesh(f"Checkout_{name}", enamel(), 0.15),
        sign.mesh(f"Sign_Checkout_{name}", signs),
        join(f"Goods_Checkout_{name}", sweets.meshes),
    )
    return Prop(meshes, (*row_of_circles((0.05, -1.75), (0.05, 1.8), 0.42), (-0.45, -0.35, 0.3)))


def make_trolley(name: str, accent: ArrayLike, nested: int = 1) -> Prop:
    """Shopping trolleys that point along X, pushed into one another.

    Args:
        name: number or word that ends the mesh's name.
        accent: linear colour of the handle.
        nested: number of trolleys.
    """
    cart = Solid()
    steel = (0.45, 0.46, 0.48)
    for number in range(nested):
        at = 0.27 * number
        ring = {
            z: np.array([[at - 0.4, -w - 0.03, z], [at + 0.42, -w, z], [at + 0.42, w, z], [at - 0.4, w + 0.03, z]])
            for z, w in ((0.48, 0.17), (0.66, 0.2), (0.84, 0.22), (0.98, 0.24))
        }
        for z, corners in ring.items():
            cart.rod([*corners, corners[0]], 0.007 if z < 0.98 else 0.011, steel, sides=4)
        for side in range(4):
            low, high = ring[0.48], ring[0.98]
            for share in np.linspace(0, 1, 7 if side % 2 == 0 else 4)[:-1]:
                a, b = (pair[side] + share * (pair[(side + 1) % 4] - pair[side]) for pair in (low, high))
                cart.tube(a, b, 0.005, steel, sides=4, cap=False)
        for share in (0.2, 0.5, 0.8):
            a, b = ring[0.48][0] + share * (ring[0.48][3] - ring[0.48][0]), ring[0.48][1]
            cart.tube(a, b + share * (ring[0.48][2] - b), 0.005, steel, sides=4, cap=False)
        cart.tube((at - 0.52, -0.26, 1.03), (at - 0.52, 0.26, 1.03), 0.019, accent, sides=6)
        for y in (-0.2, 0.2):
            cart.rod(
                [(at - 0.52, y, 1.03), (at - 0.4, y, 0.9), (at - 0.42, y, 0.2), (at + 0.4, y, 0.16)],
                0.013,
                steel,
                sides=4,
            )
            for x in (-0.38, 0.38):
                cart.tube((at + x, y - 0.015, 0.06), (at + x, y + 0.015, 0.06), 0.06, (0.02,) * 3, sides=8)
    far = 0.27 * (nested - 1)
    return Prop((cart.mesh(f"Trolley_{name}", enamel(), 0.2),), tuple(row_of_circles((-0.25, 0), (far + 0.2, 0), 0.38)))


def make_fruit_stand(rng: np.random.Generator, name: str, columns: int, texture: np.ndarray) -> Prop:
    """A table of sloping crates along X, two rows to each side.

    Args:
        rng: source of what lies where.
        name: number or word that ends the names of its meshes.
        columns: crates along each row, 0.62 m each.
        texture: of `fruits`.
    """
    table, fruit = Solid(), Solid()
    half = 0.31 * columns
    table.box((0, 0, 0), (2 * half, 1.5, 0.5), (0.16, 0.1, 0.06))
    table.box((0, 0, 0.0), (2 * half + 0.06, 1.62, 0.08), (0.04,) * 3)
    rim = np.array(rng.choice([[0.03, 0.1, 0.04], [0.3, 0.19, 0.1], [0.03, 0.03, 0.03]]))
    for side in (-1, 1):
        for row, (y, z) in enumerate(((0.62, 0.6), (0.2, 0.82))):
            kind = int(rng.integers(16))
            for column in range(columns):
                if rng.random() < 0.6:
                    kind = int(rng.integers(16))
                x = -half + 0.31 + 0.62 * column
                near, far = y + 0.2, y - 0.2
                left, right = (x - 0.29, x + 0.29) if side < 0 else (x + 0.29, x - 0.29)
                corners = np.array(
                    [
                        [left, side * near, z],
                        [right, side * near, z],
                        [right, side * far, z + 0.14],
                        [left, side * far, z + 0.14],
                    ]
                )
                fruit.quad(corners, (0.95 - 0.1 * row,) * 3, cell_uv(kind, 4, 4))
                lip = corners[[0, 1, 1, 0]] + [
                    [0, side * 0.02, -0.16],
                    [0, side * 0.02, -0.16],
                    [0, side * 0.02, 0.04],
                    [0, side * 0.02, 0.04],
                ]
                table.quad(lip, rim)
                for edge in (left, right):
                    table.quad(
                        np.array(
                            [
                                [edge, side * near, z - 0.15],
                                [edge, side * far, z - 0.02],
                                [edge, side * far, z + 0.18],
                                [edge, side * near, z + 0.04],
                            ]
                        ),
                        0.8 * rim,
                    )
                if rng.random() < 0.4:
                    table.box((x, side * (far - 0.0), z + 0.16), (0.2, 0.012, 0.13), (0.85, 0.8, 0.2))
    return Prop(
        (table.mesh(f"Stand_{name}", enamel()), fruit.mesh(f"Fruit_{name}", texture)),
        tuple(row_of_circles((-half + 0.5, 0), (half - 0.5, 0), 0.85)),
    )


def make_pallet(rng: np.random.Generator, name: str, goods: np.ndarray, layers: int) -> Prop:
    """A wooden pallet stacked with cartons.

    Args:
        rng: source of what is stacked.
        name: number or word that ends the names of its meshes.
        goods: texture of `package_fronts`.
        layers: of cartons.
    """
    wood, cartons = Solid(), Solid()
    for y in (-0.36, 0.0, 0.36):
        wood.box((0, y, 0), (1.2, 0.1, 0.11), (0.35, 0.24, 0.14))
    for y in np.linspace(-0.36, 0.36, 5).tolist():
        wood.box((0, y, 0.11), (1.2, 0.13, 0.025), (0.42, 0.3, 0.18))
    cell = int(rng.choice([0, 3, 5, 8])) * COLUMNS + int(rng.integers(COLUMNS))
    uv = cell_uv(cell, COLUMNS, ROWS)
    for layer in range(layers):
        for x in (-0.39, 0.0, 0.39):
            for y in (-0.19, 0.19):
                if layer == layers - 1 and rng.random() < 0.35:
                    continue
                z, tone = 0.135 + 0.27 * layer, (float(rng.uniform(0.75, 1.0)) * (0.7 + 0.3 * layer / layers),) * 3
                for turn in range(4):
                    c, s = (1, 0, -1, 0)[turn], (0, 1, 0, -1)[turn]
                    w, d = (0.19, 0.185) if turn % 2 == 0 else (0.185, 0.19)
                    points = [
                        [x + c * u + s * d, y + s * u - c * d, z + v]
                        for u, v in ((-w, 0), (w, 0), (w, 0.26), (-w, 0.26))
                    ]
                    cartons.quad(np.array(points), tone, uv)
                top = [
                    [x - 0.19, y - 0.185, z + 0.26],
                    [x + 0.19, y - 0.185, z + 0.26],
                    [x + 0.19, y + 0.185, z + 0.26],
                    [x - 0.19, y + 0.185, z + 0.26],
                ]
                cartons.quad(np.array(top), tone, np.repeat(uv.mean(0, keepdims=True), 4, 0))
    return Prop(
        (wood.mesh(f"Pallet_{name}", enamel()), cartons.mesh(f"Cartons_{name}", goods)),
        ((-0.3, 0, 0.45), (0.3, 0, 0.45)),
    )


def make_baskets(name: str, tone: ArrayLike) -> Prop:
    """Two stacks of shopping baskets.

    Args:
        name: number or word that ends the mesh's name.
        tone: linear colour of the plastic.
    """
    stack = Solid()
    for x, count in ((-0.25, 9), (0.25, 6)):
        stack.box((x, 0, 0), (0.42, 0.32, 0.06), (0.1,) * 3)
        for number in range(count):
            z = 0.06 + 0.075 * number
            stack.box((x, 0, z), (0.38, 0.28, 0.06), (0.5 + 0.06 * (number % 2)) * np.asarray(tone))
            stack.box((x, 0, z + 0.05), (0.46, 0.34, 0.025), tone)
        top = 0.06 + 0.075 * count
        stack.box((x, 0, top), (0.38, 0.27, 0.01), 0.3 * np.asarray(tone))
        for y in (-0.1, 0.1):
            stack.rod([(x - 0.2, y, top), (x, y * 0.6, top + 0.12), (x + 0.2, y, top)], 0.01, (0.05,) * 3, sides=4)
    return Prop((stack.mesh(f"Basket_{name}", enamel()),), ((-0.25, 0, 0.3), (0.25, 0, 0.3)))


def make_promotion(
    rng: np.random.Generator, name: str, goods: np.ndarray, signs: np.ndarray, uv: np.ndarray, tone: ArrayLike
) -> Prop:
    """A cardboard stand with goods on two sides and a board on top.

    Args:
        rng: source of what stands on it.
        name: number or word that ends the names of its meshes.
        goods: texture of `package_fronts`.
        signs: texture with the board.
        uv: [4, 2] where the board is.
        tone: linear colour of the cardboard.
    """
    body, board = Solid(), Solid()
    body.box((0, 0, 0), (0.76, 0.62, 0.12), tone)
    body.box((0, 0, 0.12), (0.76, 0.04, 1.3), tone)
    levels = ((0.14, 0.34), (0.52, 0.32), (0.88, 0.3))
    for x in (-0.37, 0.37):
        body.box((x, 0, 0.12), (0.02, 0.6, 1.15), tone)
    for z, _ in levels:
        body.box((0, 0, z - 0.02), (0.74, 0.6, 0.02), tone)
    for side in (-1, 1):
        corners = [[side * x, side * 0.03, z] for x, z in ((0.37, 1.3), (-0.37, 1.3), (-0.37, 1.62), (0.37, 1.62))]
        board.quad(np.array(corners), (0.9,) * 3, uv)
    sides = [
        Prop((stocked(rng, 0.7, goods, levels_m=levels),)).placed((0, 0.29 * side, 0), 90 + 90 * side)
        for side in (-1, 1)
    ]
    return Prop(
        (
            body.mesh(f"Promotion_{name}", enamel()),
            board.mesh(f"Sign_Promotion_{name}", signs),
            join(f"Goods_Promotion_{name}", [side.meshes[0] for side in sides]),
        ),
        ((-0.15, 0, 0.36), (0.15, 0, 0.36)),
    )


def make_antenna(name: str) -> Prop:
    """Two posts of an anti-theft gate, 1.3 m apart along X.

    Args:
        name: number or word that ends the mesh's name.
    """
    posts = Solid()
    for x in (-0.65, 0.65):
        posts.box((x, 0, 0), (0.1, 0.5, 0.05), (0.08,) * 3)
        posts.rod([(x, -0.2, 0.05), (x, -0.2, 1.4), (x, 0.2, 1.4), (x, 0.2, 0.05)], 0.028, (0.6, 0.61, 0.6), sides=8)
        posts.box((x, 0, 0.3), (0.02, 0.34, 0.9), (0.5, 0.52, 0.53))
    return Prop((posts.mesh(f"Antenna_{name}", enamel(), 0.1),), ((-0.65, 0, 0.22), (0.65, 0, 0.22)))
