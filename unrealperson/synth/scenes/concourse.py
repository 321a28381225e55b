"""What stands in a station: ticket gates and machines, benches, boards, posters, stairs, kiosks, railings."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth.scenes import prints
from unrealperson.synth.scenes.interior import GLOW, cell_uv, enamel, row_of_circles, write
from unrealperson.synth.scenes.scene import Prop
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.surfaces import finish

STEEL, DARK = (0.4, 0.41, 0.42), (0.03, 0.03, 0.035)
GATE_M = 1.4
Pair = tuple[float, float]
STEP_M = (0.3, 0.165)
_PLACES = ("Northgate", "Riverside", "Old Harbour", "Airport", "Hillview", "Museum", "Central Park", "Lakeside")


def posters(rng: np.random.Generator) -> np.ndarray:
    """Eight upright posters, 2 rows of 4, 512 x 512 pixels.

    Args:
        rng: source of their pictures.
    """
    made = [prints.poster(rng, (128, 256)) for _ in range(8)]
    return np.concatenate([np.concatenate(made[:4], 1), np.concatenate(made[4:], 1)])


def timetable(rng: np.random.Generator) -> np.ndarray:
    """A board of departures, 256 x 512 pixels.

    Args:
        rng: source of times and places.
    """
    value = np.full((256, 512, 3), 0.045, np.float32)
    value[:40] = (0.06, 0.13, 0.32)
    write(value, "Departures", (14, 8), 22, (0.95, 0.95, 0.95))
    minute = int(rng.integers(300, 1200))
    for row in range(6):
        minute += int(rng.integers(2, 9))
        top = 50 + 34 * row
        value[top - 4 : top + 26] *= 1.5 if row % 2 else 1.0
        amber = (0.98, 0.72, 0.2)
        write(value, f"{minute // 60:02d}:{minute % 60:02d}", (14, top), 19, amber)
        write(value, str(rng.choice(_PLACES)), (120, top), 19, amber)
        write(value, str(int(rng.integers(1, 7))), (420, top), 19, amber)
        if rng.random() < 0.25:
            write(value, "+5", (465, top), 19, (0.95, 0.3, 0.2))
    return finish(value)


def machine_fronts(rng: np.random.Generator) -> np.ndarray:
    """Four fronts side by side, 256 x 512 pixels: ticket machine, drinks, snacks, lockers.

    Args:
        rng: source of goods.
    """
    value = np.full((256, 512, 3), 0.3, np.float32)
    ticket, drinks, snacks, lockers = (value[:, 128 * index : 128 * (index + 1)] for index in range(4))
    ticket[:] = (0.33, 0.35, 0.38)
    ticket[:34] = (0.1, 0.25, 0.5)
    write(ticket, "Tickets", (26, 8), 18, (0.95, 0.95, 0.95))
    ticket[60:130, 18:96] = (0.35, 0.6, 0.85)
    for top in range(68, 124, 14):
        ticket[top : top + 9, 24:90] = (0.9, 0.93, 0.96)
    ticket[70:120, 102:118] = 0.08
    ticket[140:158, 20:60] = 0.1
    ticket[140:170, 70:112] = 0.55
    ticket[190:222, 30:98] = 0.06
    for front, body in ((drinks, (0.65, 0.1, 0.1)), (snacks, (0.12, 0.14, 0.18))):
        front[:] = body
        front[22:190, 10:96] = (0.75, 0.8, 0.85)
        for top in range(28, 186, 27):
            for left in range(13, 92, 9):
                front[top : top + 20, left : left + 7] = rng.uniform(0.1, 0.9, 3)
            front[top + 21 : top + 24, 10:96] = 0.35
        front[70:130, 103:120] = 0.07
        front[205:235, 14:92] = 0.06
    lockers[:] = (0.5, 0.53, 0.5)
    for top in range(0, 256, 64):
        for left in (0, 64):
            lockers[top : top + 2, left : left + 64] = 0.15
            lockers[top : top + 64, left : left + 2] = 0.15
            lockers[top + 28 : top + 36, left + 50 : left + 57] = 0.12
            lockers[top + 12 : top + 20, left + 10 : left + 26] = (0.9, 0.7, 0.1)
    return finish(value)


def make_gates(name: str, passages: int) -> Prop:
    """A row of ticket gates along X; people pass along Y.

    Args:
        name: number or word that ends the mesh's name.
        passages: number of ways through, 1.4 m from middle to middle.
    """
    gates = Solid()
    circles = []
    for number in range(passages + 1):
        x = GATE_M * (number - passages / 2)
        gates.box((x, 0, 0), (0.26, 1.7, 0.08), DARK)
        gates.box((x, 0, 0.08), (0.24, 1.66, 0.82), STEEL)
        gates.box((x, 0, 0.9), (0.25, 1.72, 0.06), (0.06, 0.065, 0.07))
        for side in (-1, 1):
            gates.box((x, side * 0.84, 0.5), (0.22, 0.04, 0.42), (0.06, 0.07, 0.08))
            ready = (number + side) % 3 > 0
            gates.box((x, side * 0.865, 0.72), (0.1, 0.012, 0.1), (0.1, 1.6, 0.3) if ready else (1.6, 0.1, 0.08))
            gates.box((x, side * 0.6, 0.96), (0.16, 0.2, 0.02), (0.55, 0.4, 0.05))
        circles += row_of_circles((x, -0.8), (x, 0.8), 0.14)
        if number < passages and number % 3 != 1:
            for side in (-1, 1):
                edge = x + (0.13 if side < 0 else GATE_M - 0.13)
                gates.box(
                    (edge - side * 0.17, 0.04 * side, 0.28),
                    (0.34, 0.02, 0.55),
                    (0.35, 0.42, 0.42),
                    yaw_deg=-55.0 * side,
                )
    return Prop((gates.mesh(f"Gate_{name}", enamel(), 0.25),), tuple(circles))


def make_railing(name: str, length_m: float, tint: ArrayLike = (0.3, 0.36, 0.36)) -> Prop:
    """A barrier along X: steel posts and rail, panels between them.

    Args:
        name: number or word that ends the mesh's name.
        length_m: along X.
        tint: linear colour of the panels.
    """
    rail = Solid()
    half = length_m / 2
    for x in np.linspace(-half, half, max(int(length_m / 1.2), 1) + 1).tolist():
        rail.tube((x, 0, 0), (x, 0, 1.08), 0.028, STEEL, sides=6)
    rail.rod([(-half, 0, 1.1), (half, 0, 1.1)], 0.03, STEEL)
    rail.rod([(-half, 0, 0.14), (half, 0, 0.14)], 0.015, STEEL)
    rail.box((0, 0, 0.18), (length_m, 0.012, 0.78), tint)
    return Prop((rail.mesh(f"Railing_{name}", enamel(), 0.3),), tuple(row_of_circles((-half, 0), (half, 0), 0.15)))


def make_bench(name: str, seats: int, tone: ArrayLike) -> Prop:
    """Steel seats in a row along X, seen from -Y.

    Args:
        name: number or word that ends the mesh's name.
        seats: number of seats, 0.6 m each.
        tone: linear colour of the seats.
    """
    bench = Solid()
    half = 0.3 * seats
    bench.box((0, 0.05, 0.34), (2 * half, 0.07, 0.06), DARK)
    for x in np.linspace(-half + 0.3, half - 0.3, max(seats // 2, 2)).tolist():
        bench.box((x, 0.05, 0), (0.06, 0.5, 0.04), DARK)
        bench.box((x, 0.05, 0), (0.06, 0.08, 0.36), DARK)
    for seat in range(seats):
        x = -half + 0.3 + 0.6 * seat
        bench.box((x, 0, 0.42), (0.52, 0.46, 0.03), tone)
        bench.quad(
            np.array([[x - 0.26, 0.22, 0.45], [x + 0.26, 0.22, 0.45], [x + 0.26, 0.32, 0.86], [x - 0.26, 0.32, 0.86]]),
            tone,
        )
        for side in (-0.29, 0.29):
            bench.box((x + side, 0, 0.62), (0.03, 0.4, 0.03), DARK)
    return Prop(
        (bench.mesh(f"Bench_{name}", enamel(), 0.2),),
        tuple(row_of_circles((-half + 0.3, 0.05), (half - 0.3, 0.05), 0.4)),
    )


def make_machine(name: str, kind: int, fronts: np.ndarray, size_m: tuple[float, float, float]) -> Prop:
    """A machine that stands against a wall, seen from -Y, its back in y = 0.

    Args:
        name: of the mesh.
        kind: column of `machine_fronts`.
        fronts: that texture.
        size_m: width, depth, height.
    """
    wide, deep, high = size_m
    body, front = Solid(), Solid()
    body.box((0, -deep / 2, 0), (wide, deep, high), (0.2, 0.21, 0.23))
    body.box((0, -deep / 2, 0), (wide + 0.02, deep + 0.02, 0.08), DARK)
    y, half = -deep - 0.012, wide / 2 - 0.02
    uv = np.array(
        [[kind / 4 + 0.005, 0.01], [kind / 4 + 0.245, 0.01], [kind / 4 + 0.245, 0.99], [kind / 4 + 0.005, 0.99]]
    )
    front.quad(
        np.array([[-half, y, 0.1], [half, y, 0.1], [half, y, high - 0.02], [-half, y, high - 0.02]]), (0.9,) * 3, uv
    )
    circles = row_of_circles((-wide / 2 + 0.3, -deep / 2), (wide / 2 - 0.3, -deep / 2), max(deep / 2, 0.35))
    return Prop((front.mesh(name, fronts, 0.2, 0.25), body.mesh(f"{name}_Body", enamel(), 0.1)), tuple(circles))


def make_poster(
    name: str, index: int, texture: np.ndarray, size_m: tuple[float, float], *, low_m: float, glow: float
) -> Prop:
    """A framed poster or light box on a wall, seen from -Y, its back in y = 0.

    Args:
        name: of the mesh.
        index: which of `posters`.
        texture: that texture.
        size_m: width and height.
        low_m: height of its lower edge.
        glow: brightness of its own light.
    """
    frame, face = Solid(), Solid()
    half, top = size_m[0] / 2, low_m + size_m[1]
    frame.box((0, -0.05, low_m - 0.06), (size_m[0] + 0.12, 0.1, size_m[1] + 0.12), (0.25, 0.26, 0.27))
    face.quad(
        np.array([[-half, -0.11, low_m], [half, -0.11, low_m], [half, -0.11, top], [-half, -0.11, top]]),
        (0.9,) * 3,
        cell_uv(index, 4, 2),
    )
    return Prop((face.mesh(name, texture, 0.1, glow), frame.mesh(f"{name}_Frame", enamel())))


def make_totem(name: str, index: int, texture: np.ndarray) -> Prop:
    """A free-standing two-sided light box.

    Args:
        name: of the mesh.
        index: which of `posters`; the other side shows the next one.
        texture: that texture.
    """
    one = make_poster(name, index % 8, texture, (1.15, 1.75), low_m=0.45, glow=0.5)
    two = make_poster(f"{name}_Back", (index + 1) % 8, texture, (1.15, 1.75), low_m=0.45, glow=0.5).placed(
        (0, 0, 0), 180
    )
    foot = Solid()
    foot.box((0, 0, 0), (1.3, 0.32, 0.4), (0.12, 0.13, 0.14))
    return Prop(
        (*one.meshes, *two.meshes, foot.mesh(f"{name}_Foot", enamel())),
        tuple(row_of_circles((-0.45, 0), (0.45, 0), 0.25)),
    )


def make_bin(name: str) -> Prop:
    """Three bins side by side, for sorted waste.

    Args:
        name: number or word that ends the mesh's name.
    """
    bins = Solid()
    for x, lid in ((-0.42, (0.02, 0.12, 0.3)), (0.0, (0.45, 0.36, 0.03)), (0.42, (0.06, 0.07, 0.07))):
        bins.box((x, 0, 0), (0.38, 0.4, 0.85), (0.36, 0.37, 0.38))
        bins.box((x, 0, 0.85), (0.39, 0.41, 0.12), lid)
        bins.box((x, -0.21, 0.66), (0.22, 0.012, 0.1), DARK)
    return Prop((bins.mesh(f"Bin_{name}", enamel(), 0.2),), tuple(row_of_circles((-0.4, 0), (0.4, 0), 0.3)))


def make_stairs(name: str, wide_m: float, steps: int, treads: np.ndarray) -> Prop:
    """Stairs that climb along X from the origin, with a handrail on each side.

    Args:
        name: number or word that ends the names of its meshes.
        wide_m: along Y.
        steps: number of steps.
        treads: texture of the stone.
    """
    stone, rail = Solid(), Solid()
    run, rise = STEP_M
    half = wide_m / 2
    for step in range(steps):
        x, z = run * step, rise * step
        tone = (0.95 + 0.05 * (step % 2),) * 3
        stone.quad(np.array([[x, half, z], [x, -half, z], [x, -half, z + rise], [x, half, z + rise]]), (0.55,) * 3)
        top = [[x, -half, z + rise], [x + run, -half, z + rise], [x + run, half, z + rise], [x, half, z + rise]]
        stone.quad(np.array(top), tone, np.array(top)[:, :2] / 2)
        stone.floor(x, -half, x + 0.05, half, z + rise + 0.003, (0.12,) * 3)
    far, up = run * steps, rise * steps
    for y in (-half, half):
        turn = -1 if y < 0 else 1
        corners = [[0, y, -0.02], [far, y, up - 0.02], [far, y, up + 0.2], [0, y, 0.2]]
        stone.quad(np.array(corners[::turn]), (0.6,) * 3)
        rail.rod([(-0.25, y, 0.9), (0, y, 0.95), (far, y, up + 0.95)], 0.025, STEEL)
        for share in np.linspace(0, 1, 8).tolist():
            rail.tube(
                (far * share, y, up * share), (far * share, y, up * share + 0.95), 0.018, STEEL, sides=5, cap=False
            )
    return Prop(
        (stone.mesh(f"Stairs_{name}", treads), rail.mesh(f"Handrail_{name}", enamel(), 0.3)),
        tuple(row_of_circles((0.5, 0), (far - 0.5, 0), half)),
    )


def make_escalator(name: str, rise_m: float) -> Prop:
    """An escalator that climbs along X from the origin, 1.5 m wide.

    Args:
        name: number or word that ends the mesh's name.
        rise_m: height of its upper end.
    """
    stairs = Solid()
    run, rise = STEP_M
    landing = 1.3
    count = int(rise_m / rise)
    stairs.box((landing / 2 - 0.3, 0, 0), (landing + 0.6, 1.0, 0.02), (0.3, 0.31, 0.32))
    for line in np.linspace(-0.44, 0.44, 12).tolist():
        stairs.box((landing / 2, line, 0.02), (landing, 0.02, 0.006), (0.1,) * 3)

    def strip(a: Pair, b: Pair, near: Pair, far: Pair, tone: ArrayLike) -> None:
        (y0, low), (y1, high) = near, far
        corners = [(a[0], y0, a[1] + low), (b[0], y0, b[1] + low), (b[0], y1, b[1] + high), (a[0], y1, a[1] + high)]
        stairs.quad(np.array(corners), tone)

    for step in range(count):
        x, z = landing + run * step, rise * step
        stairs.quad(np.array([[x, 0.5, z], [x, -0.5, z], [x, -0.5, z + rise], [x, 0.5, z + rise]]), (0.05,) * 3)
        strip((x, z + rise), (x + run, z + rise), (-0.5, 0.0), (0.5, 0.0), (0.16,) * 3)
        strip((x, z + rise), (x + 0.03, z + rise), (-0.5, 0.003), (0.5, 0.003), (0.5, 0.42, 0.05))
    far, up = landing + run * count, rise * count
    for y in (-0.62, 0.62):
        line = [(-0.3, 0.0), (landing, 0.0), (far, up)]
        for a, b in pairwise(line):
            for out, low, high, tone in ((0.12, 0.0, 0.42, STEEL), (0.03, 0.42, 0.92, (0.32, 0.38, 0.38))):
                strip(a, b, (y - out, low), (y - out, high), tone)
                strip(a, b, (y + out, high), (y + out, low), tone)
            strip(a, b, (y - 0.12, 0.42), (y + 0.12, 0.42), (0.5, 0.51, 0.52))
        stairs.rod(
            [(-0.35, y, 0.55), (-0.45, y, 0.8), (-0.3, y, 0.97), (landing, y, 0.97), (far, y, up + 0.97)], 0.045, DARK
        )
    return Prop(
        (stairs.mesh(f"Escalator_{name}", enamel(), 0.15),), tuple(row_of_circles((0.1, 0), (far - 0.6, 0), 0.75))
    )


def make_kiosk(
    rng: np.random.Generator, name: str, wide_m: float, sign: np.ndarray, uv: np.ndarray, tone: ArrayLike
) -> Prop:
    """A shop counter against a wall, seen from -Y, its back in y = 0.

    Args:
        rng: source of what is on its shelves.
        name: number or word that ends the names of its meshes.
        wide_m: along X; it is 2 m deep.
        sign: texture of the board above.
        uv: [4, 2] where its name is.
        tone: linear colour of the counter.
    """
    body, board = Solid(), Solid()
    half = wide_m / 2
    body.box((0, -1.85, 0), (wide_m, 0.35, 1.02), tone)
    body.box((0, -1.85, 1.02), (wide_m + 0.06, 0.45, 0.04), (0.5, 0.42, 0.32))
    body.box((0, -0.03, 0), (wide_m, 0.05, 2.6), (0.3, 0.27, 0.24))
    body.box((0, -1.0, 2.6), (wide_m + 0.1, 2.05, 0.12), (0.2, 0.2, 0.21))
    body.box((0, -1.0, 2.58), (wide_m - 0.6, 0.3, 0.02), (GLOW, GLOW, 0.85 * GLOW))
    for x in (-half, half):
        body.box((x, -1.0, 0), (0.08, 2.0, 2.6), (0.22, 0.22, 0.23))
    for x in np.arange(-half + 0.4, half - 0.3, 0.45).tolist():
        if rng.random() < 0.7:
            tone = rng.uniform(0.1, 0.7, 3)
            body.box((x, -1.85, 1.06), rng.uniform(0.12, 0.35, 3).tolist(), tone, yaw_deg=float(rng.uniform(-10, 10)))
    body.box((half - 0.5, -1.85, 1.06), (0.3, 0.3, 0.35), DARK)
    back, front = Solid(), Solid()
    shelves = prints.shelf_goods(rng, (256, 128), 5)
    shelves = (0.45 * shelves + 0.55 * shelves.mean(-1, keepdims=True)).astype(np.uint8)
    for solid, y, low, high, out, share in ((back, -0.07, 0.9, 2.4, 0.1, 1.0), (front, -2.04, 0.1, 0.95, 0.05, 0.4)):
        a, b = -half + out, half - out
        solid.quad(
            np.array([[a, y, low], [b, y, low], [b, y, high], [a, y, high]]),
            (0.7,) * 3,
            np.array([[0, 0], [1, 0], [1, share], [0, share]]),
        )
    y = -2.04
    board.quad(np.array([[-half, y, 2.5], [half, y, 2.5], [half, y, 2.95], [-half, y, 2.95]]), (0.9,) * 3, uv)
    return Prop(
        (
            body.mesh(f"Kiosk_{name}", enamel(), 0.1),
            back.mesh(f"Goods_Kiosk_{name}", shelves, 0.1, 0.15),
            front.mesh(f"Counter_Kiosk_{name}", shelves, 0.4, 0.1),
            board.mesh(f"Sign_Kiosk_{name}", sign, 0.0, 0.5),
        ),
        tuple(row_of_circles((-half + 0.4, -1.2), (half - 0.4, -1.2), 0.95)),
    )


def make_queue(name: str, length_m: float, tone: ArrayLike) -> Prop:
    """Posts with belts along X that line up people who wait.

    Args:
        name: number or word that ends the mesh's name.
        length_m: along X.
        tone: linear colour of the belts.
    """
    posts = Solid()
    at = np.linspace(-length_m / 2, length_m / 2, max(round(length_m / 1.6), 1) + 1).tolist()
    for x in at:
        posts.tube((x, 0, 0), (x, 0, 0.03), 0.17, (0.1,) * 3, sides=12)
        posts.tube((x, 0, 0.03), (x, 0, 0.97), 0.032, (0.1, 0.1, 0.11), sides=8)
    for a, b in pairwise(at):
        posts.box(((a + b) / 2, 0, 0.88), (b - a, 0.008, 0.055), tone)
    return Prop((posts.mesh(f"Queue_{name}", enamel(), 0.2),), tuple(row_of_circles((at[0], 0), (at[-1], 0), 0.17)))


def make_guide_strip(name: str, lines: Sequence[tuple[float, float, float, float]], texture: np.ndarray) -> Prop:
    """Ribbed guiding strips on the floor for blind people.

    Args:
        name: number or word that ends the mesh's name.
        lines: x0, y0, x1, y1 of each strip's rectangle in metres.
        texture: ribbed tiles, 0.8 m.
    """
    strip = Solid()
    for x0, y0, x1, y1 in lines:
        flat = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        strip.quad(np.column_stack([flat, np.full(4, 0.006)]), (1, 1, 1), flat / 0.8)
    return Prop((strip.mesh(f"GuideStrip_{name}", texture),))
