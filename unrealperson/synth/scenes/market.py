"""Scene 4, a supermarket: aisles between shelves, fridges, fruit, a row of check-outs, an entrance.

Layout (metres): fridges along the north, west and east walls, four shelves x -11 ... 0 along Y, freezers at x 3.6,
fruit x 6 ... 12, check-outs y -8.5 ... -4, entrance in the south wall at x 9.
"""

from __future__ import annotations

import numpy as np

from unrealperson.synth.scenes import concourse, furniture, goods, interior, roadside, surfaces
from unrealperson.synth.scenes.interior import row_uv
from unrealperson.synth.scenes.packages import fruits, package_fronts
from unrealperson.synth.scenes.scene import Prop, Scene
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.view import aimed

NUMBER = 4
BOUNDS = (-15.0, -11.0, 15.0, 11.0)
CEILING_M = 4.4
SHELVES_X_M = (-11.0, -7.4, -3.8, -0.2)
CHECKOUTS_X_M = (-11.0, -8.0, -5.0, -2.0, 1.0)
VIEWS = (
    aimed((-13.3, 9.6, 3.3), (-12.1, 3.6, 0.7), 64.0, 0.7),
    aimed((-13.6, -2.0, 3.6), (-7.6, -6.2, 0.7), 66.0),
    aimed((-5.2, -3.3, 3.0), (-5.7, 3.2, 0.9), 60.0, -0.8),
    aimed((14.3, -2.6, 3.7), (9.6, 1.8, 0.6), 64.0),
    aimed((14.0, -8.2, 3.5), (7.2, -8.0, 0.7), 64.0, 0.9),
    aimed((5.6, 9.7, 3.8), (1.9, 3.6, 0.6), 60.0),
)
_AISLES = (
    "Dairy  Cheese",
    "Coffee  Tea  Sugar",
    "Pasta  Rice  Oil",
    "Drinks  Juice",
    "Frozen food",
    "Fruit  Vegetables",
)
_OTHERS = ("ENTRANCE", "CUSTOMER SERVICE", "FRESH BREAD", "WEEKLY OFFERS", "EXIT", "MEAT & FISH")


def build_market(seed: int) -> Scene:
    """Builds the supermarket.

    Args:
        seed: chooses textures, packages and clutter.
    """
    rng = np.random.default_rng([seed, NUMBER, 10])
    scheme = np.array(rng.choice([[0.1, 0.35, 0.2], [0.55, 0.08, 0.08], [0.08, 0.2, 0.45], [0.55, 0.2, 0.03]]))
    signs = _signs(scheme)
    packed = package_fronts(rng)
    props = _shelves(rng, scheme, packed) + _tills(rng, scheme, signs, packed)
    props += _entrance(rng, scheme, signs, packed) + _hanging(signs)
    props = [interior.settle(prop) for prop in props]
    obstacles = np.array([circle for prop in props for circle in prop.obstacles])
    tile = rng.choice([[0.66, 0.625, 0.56], [0.61, 0.61, 0.6], [0.68, 0.66, 0.6]])
    texture = interior.tiles(rng, tile, 8, speckle=0.025, joint=0.88)
    floor = interior.make_floor(rng, BOUNDS, texture, tile_m=4.0, obstacles=obstacles, gloss=0.5, worn=_paths())
    ceiling = interior.make_ceiling(
        BOUNDS,
        CEILING_M,
        interior.panels(rng, (0.84, 0.84, 0.82)),
        rows_m=np.arange(-9.6, 9.7, 2.4).tolist(),
        panel_m=(2.35, 0.2),
        every_m=2.5,
        light=(1.4, 1.4, 1.32),
    )
    shell = [*_walls(rng, scheme, signs), ceiling]
    return Scene(
        NUMBER,
        "Supermarket",
        seed,
        (floor, *(mesh for prop in shell + props for mesh in prop.meshes)),
        _paths(),
        obstacles,
        BOUNDS,
        VIEWS,
        tuple(lamp for prop in shell for lamp in prop.lamps),
        indoor=True,
        ceiling_m=CEILING_M,
    )


def _paths() -> tuple[np.ndarray, ...]:
    def loop(x0: float, y0: float, x1: float, y1: float) -> np.ndarray:
        return np.array([[x0, y0], [x0, y1], [x1, y1], [x1, y0]])

    return (
        loop(-12.8, -2.6, -9.2, 8.9),
        loop(-9.2, -3.0, -5.6, 8.7),
        loop(-5.6, -2.6, -2.0, 8.9),
        loop(-2.0, -3.0, 1.6, 8.7),
        loop(-9.55, -9.7, -3.55, -2.7),
        loop(-6.55, -9.6, 9.0, -3.0),
        loop(5.3, -2.6, 9.2, 8.8),
        loop(9.2, -2.4, 13.0, 8.8),
        loop(-12.8, -3.1, 13.0, 9.0),
    )


def _signs(scheme: np.ndarray) -> np.ndarray:
    ground = np.sqrt(scheme) * 0.9
    lines = [(text, ground, (0.95, 0.95, 0.93)) for text in _AISLES]
    lines += [(text, (0.94, 0.93, 0.9), ground * 0.8) for text in _OTHERS]
    lines += [(str(number), (0.95, 0.95, 0.95), (0.1, 0.1, 0.1)) for number in range(1, 5)]
    return interior.boards(lines)


def _number_uv(number: int) -> np.ndarray:
    uv = row_uv(12 + number, 16)
    uv[:, 0] = 0.5 + 0.08 * np.sign(uv[:, 0] - 0.5)
    return uv


def _shelves(rng: np.random.Generator, scheme: np.ndarray, packed: np.ndarray) -> list[Prop]:
    metal = (0.62, 0.62, 0.6)
    props = [
        goods.make_gondola(rng, str(number), 8.0, packed, metal).placed((x, 3.2, 0), 90)
        for number, x in enumerate(SHELVES_X_M, 1)
    ]
    walls = (
        (-10.6, 10.2, 0, 7.6),
        (-2.9, 10.2, 0, 7.6),
        (4.8, 10.2, 0, 7.6),
        (-14.2, 3.4, 90, 8.4),
        (14.2, 4.2, -90, 7.6),
    )
    for number, (x, y, yaw, length) in enumerate(walls, 1):
        fridge = goods.make_wall_fridge(rng, str(number), length, packed, scheme, doors=number in (2, 4))
        props.append(fridge.placed((x, y, 0), yaw))
    for number, y in enumerate((1.2, 5.4), 1):
        props.append(goods.make_freezer(rng, str(number), 3.8, packed).placed((3.6, y, 0), 90))
    heaps = fruits(rng)
    for number, (x, y) in enumerate(((7.3, 1.5), (7.3, 5.8), (11.1, 1.5), (11.1, 5.8), (6.6, -7.1)), 1):
        props.append(goods.make_fruit_stand(rng, str(number), 4, heaps).placed((x, y, 0), 90))
    pallets = ((3.4, -4.6, 8), (5.6, -4.7, -6), (-13.9, -2.4, 92), (12.4, -4.6, 20), (14.2, -0.9, 90))
    for number, (x, y, yaw) in enumerate(pallets, 1):
        props.append(goods.make_pallet(rng, str(number), packed, int(rng.integers(3, 6))).placed((x, y, 0), yaw))
    return props


def _tills(rng: np.random.Generator, scheme: np.ndarray, signs: np.ndarray, packed: np.ndarray) -> list[Prop]:
    return [
        goods.make_checkout(rng, str(number), packed, signs, _number_uv(number % 4), 0.8 * scheme).placed(
            (x, -6.2, 0), 0
        )
        for number, x in enumerate(CHECKOUTS_X_M)
    ]


def _entrance(rng: np.random.Generator, scheme: np.ndarray, signs: np.ndarray, packed: np.ndarray) -> list[Prop]:
    trolleys = (
        (14.3, -9.9, 90, 7),
        (13.4, -9.9, 90, 5),
        (-0.5, -4.6, 95, 1),
        (-12.6, -8.7, 80, 1),
        (3.5, 8.0, 15, 1),
        (2.3, -8.6, 30, 1),
    )
    props = [
        goods.make_trolley(str(number), scheme, nested).placed((x, y, 0), yaw)
        for number, (x, y, yaw, nested) in enumerate(trolleys, 1)
    ]
    stands = ((6.8, -5.0, 20), (11.4, -5.6, -35), (-13.6, -4.6, 90), (-0.2, -1.85, 0), (-14.5, 8.9, 90))
    for number, (x, y, yaw) in enumerate(stands, 1):
        row = 9 if number < 4 else 6 + number % 4
        promotion = goods.make_promotion(rng, str(number), packed, signs, row_uv(row, 16), scheme)
        props.append(promotion.placed((x, y, 0), yaw))
    for number, (x, y, yaw) in enumerate(((10.9, -8.6, 90), (6.1, -8.4, 80)), 1):
        props.append(goods.make_baskets(str(number), scheme).placed((x, y, 0), yaw))
    props.append(goods.make_antenna("1").placed((8.5, -10.3, 0), 0))
    for number, (x, y, long, yaw) in enumerate(((3.2, -6.9, 3.6, 90), (11.4, -7.4, 3.0, 90), (4.6, -8.6, 2.4, 0)), 1):
        props.append(concourse.make_railing(str(number), long, (0.4, 0.45, 0.45)).placed((x, y, 0), yaw))
    fronts = concourse.machine_fronts(rng)
    for number, (x, kind) in enumerate(((-13.2, 3), (-12.2, 3), (-10.6, 1), (1.4, 2)), 1):
        machine = concourse.make_machine(f"Machine_{number}", kind, fronts, (0.98, 0.75, 1.9))
        props.append(machine.placed((x, BOUNDS[1] + 0.03, 0), 180))
    for number, (x, y) in enumerate(((11.1, -0.9), (7.3, -0.9)), 1):
        props.append(furniture.make_planter(number, (x, y, 0.0), 0.0, rng))
    props.append(roadside.make_cone(1, (-8.0, -8.9, 0.0), 0.0, rng))
    mat = Solid()
    mat.floor(7.3, -10.95, 9.7, -8.9, 0.006, (0.05, 0.05, 0.055))
    props.append(Prop((mat.mesh("Mat_1", interior.enamel()),)))
    return props


def _hanging(signs: np.ndarray) -> list[Prop]:
    props: list[Prop] = []
    for x, row, ends in (
        (-12.8, 0, (1.6,)),
        (-9.2, 1, (0.6, 6.4)),
        (-5.6, 2, (2.2,)),
        (-2.0, 3, (0.6, 6.4)),
        (1.6, 4, (0.2, 4.6)),
        (9.2, 5, (3.7,)),
    ):
        for y in ends:
            sign = interior.make_hanging_sign(
                f"Sign_{len(props) + 1}", (1.9, 0.34), signs, row_uv(row, 16), low_m=3.25, high_m=CEILING_M, glow=0.2
            )
            props.append(sign.placed((x, y, 0), 0))
    return props


def _walls(rng: np.random.Generator, scheme: np.ndarray, signs: np.ndarray) -> list[Prop]:
    x0, y0, x1, y1 = BOUNDS
    plaster = surfaces.plaster(rng, (0.8, 0.78, 0.72), 512)
    corners = {"North": (x0, y1, x1, y1), "East": (x1, y1, x1, y0), "South": (x1, y0, x0, y0), "West": (x0, y0, x0, y1)}
    props = [
        interior.make_wall(f"Wall_{side}", (ax, ay), (bx, by), CEILING_M, plaster)
        for side, (ax, ay, bx, by) in corners.items()
    ]
    stripes = ((2.9, 3.3, scheme), (3.34, 3.4, 0.5 * scheme), (0.0, 0.25, (0.25, 0.25, 0.25)))
    props.append(interior.make_band("Band_1", BOUNDS, stripes))
    window = Solid()
    for left, right in ((-8.0, 6.0), (7.0, 13.0)):
        high = 2.7 if right < 7 else 2.6
        uv = np.array([[0, 0], [(right - left) / 8, 0], [(right - left) / 8, 1], [0, 1]])
        y = y0 + 0.02
        window.quad(np.array([[right, y, 0], [left, y, 0], [left, y, high], [right, y, high]]), (0.3,) * 3, uv)
    props.append(Prop((window.mesh("Window_1", interior.glazing(rng), 0.2, 1.1),)))
    posters = concourse.posters(rng)
    for number, (x, y, yaw) in enumerate(
        ((-14.98, -7.6, 90), (-14.98, -5.6, 90), (14.98, -3.4, -90), (14.98, -5.4, -90)), 1
    ):
        poster = concourse.make_poster(f"Poster_{number}", number, posters, (1.4, 1.6), low_m=1.1, glow=0.25)
        props.append(poster.placed((x, y, 0), yaw))
    for number, (x, y, yaw, row) in enumerate(
        ((8.5, y0 + 0.05, 180, 10), (-14.9, -6.6, 90, 7), (11.8, y1 - 0.05, 0, 11)), 1
    ):
        board = Solid()
        board.quad(
            np.array([[-1.8, 0, 3.36], [1.8, 0, 3.36], [1.8, 0, 3.95], [-1.8, 0, 3.95]]), (0.95,) * 3, row_uv(row, 16)
        )
        props.append(Prop((board.mesh(f"Sign_Wall_{number}", signs, 0.0, 0.2),)).placed((x, y, 0), yaw))
    return props
