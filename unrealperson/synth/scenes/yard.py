"""Scene 3, the yard of a campus: lawns with trodden paths between brick houses, fences, bicycles, a playground.

Layout (metres): brick house along y = 13.5, plaster house along x = -18, drive with cars at x 10 ... 18, fence and
street beyond y = -14; walks along y 9.3 ... 13.5, x -15.4 ... -12, x 0.5 ... 3.5 and y -14 ... -12.
"""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes import courtyard, foliage, plants, residences, shrubs, surfaces
from unrealperson.synth.scenes.fences import chain_link, hoop_rail, picket_fence
from unrealperson.synth.scenes.furniture import make_bench, make_bin
from unrealperson.synth.scenes.ground import add_edging, add_fallen_leaves, add_puddle, distance_to, level_ground
from unrealperson.synth.scenes.roadside import make_sign
from unrealperson.synth.scenes.scene import Mesh, Prop, Scene
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.vehicles import make_bicycle, make_car, make_kick_scooter, make_motor_scooter
from unrealperson.synth.view import aimed

NUMBER = 3
BOUNDS = (-17.9, -13.9, 17.9, 13.4)
VIEWS = (
    aimed((-17.5, 8.4, 4.6), (-11.2, 9.6, 0.6), 52.0, 0.6),
    aimed((3.7, -12.7, 5.6), (1.6, -4.6, 0.8), 46.0, -0.8),
    aimed((-8.1, -8.5, 3.6), (-1.2, -4.2, 0.6), 57.0),
    aimed((4.2, 13.2, 8.0), (1.5, 3.4, 0.6), 38.0, 1.0),
    aimed((10.1, 0.9, 2.5), (3.8, -0.9, 0.6), 60.0),
    aimed((11.0, 12.7, 3.0), (4.6, 10.5, 0.5), 50.0, -0.5),
)
WALLS = (((-17.0, 13.5), (11.0, 13.5)), ((-18.0, -14.0), (-18.0, 8.0)))
LAWNS = ((-12.0, -2.5, 0.5, 9.3), (3.5, 0.6, 10.0, 9.3), (-12.0, -12.0, 0.5, -8.5), (3.5, -12.0, 10.0, -4.6))
TRODDEN = (
    ((0.9, 8.6), (-2.6, 5.9), (-7.0, 2.6), (-12.4, -1.6)),
    ((3.2, 1.2), (6.2, 4.2), (10.3, 9.0)),
    ((3.2, -5.6), (6.0, -8.4), (10.3, -11.4)),
    ((-12.3, -9.4), (-9.8, -9.2), (-4.0, -9.1), (0.8, -9.6)),
)
"""Lines that people wore into the lawns; kerbs leave gaps there."""
SANDPIT = (-9.4, -11.8, -3.6, -9.9)
BEDS = (
    (-18.0, -14.0, -16.3, -1.2),
    (-18.0, 1.9, -16.3, 8.0),
    (-16.6, 12.6, -11.9, 13.5),
    (-8.0, 12.6, 2.0, 13.5),
    (6.1, 12.6, 10.8, 13.5),
)
TREES = (
    ("linden", -9.0, 5.6),
    ("birch", -4.3, 7.6),
    ("birch", -3.0, 8.3),
    ("maple", -2.4, 0.6),
    ("maple", -1.2, -11.0),
    ("linden", 8.3, -6.7),
    ("apple", 5.0, -10.4),
    ("apple", 9.1, 4.0),
)
CONIFERS = ((-11.0, -11.1, 7.0), (-16.9, 10.9, 9.0), (21.5, -4.0, 10.0))
LANTERNS = (
    (0.1, 3.4),
    (3.9, 6.6),
    (-12.4, 1.6),
    (-12.4, -8.9),
    (0.1, -8.2),
    (10.3, -5.2),
    (-8.2, 8.9),
    (0.1, 9.0),
    (10.4, 7.2),
)
CARS = ((-12.3, 180), (-9.6, 0), (-1.4, 180), (1.3, 0), (4.0, 180))
BENCHES = ((-12.55, 4.6, 90), (-12.55, -6.6, 90), (-2.6, -2.9, 0), (-6.4, -8.0, 180), (0.15, 0.4, -90), (3.9, 4.0, 90))
CAR_X_M = 15.9
# fmt: off
REPAIRS = (
    (-13.0, 9.6, 2.6, 0.9), (5.0, 9.5, 0.8, 2.9), (10.4, -3.2, 2.9, 0.7), (12.0, -8.4, 1.3, 2.2),
    (-5.2, -5.2, 1.6, 1.2), (-9.4, 10.9, 3.4, 0.6), (11.2, 5.6, 0.7, 3.2),
    (-2.0, -13.6, 4.0, 0.7), (-1.6, -7.8, 1.1, 1.5),
)
SETTS = (
    (0.5, 9.42, 3.5, 9.9), (-15.5, 9.42, -12.0, 9.9), (9.7, -4.6, 10.2, 0.6), (10.0, 9.0, 18.0, 9.5),
    (13.45, -14.0, 13.75, 9.0), (-11.3, 9.9, -10.9, 12.4), (3.2, 9.9, 3.6, 12.4),
)
PUDDLES = (
    (-13.6, 11.4, 0.7), (-3.4, -6.9, 0.9), (11.2, 3.0, 0.9), (-9.2, -3.4, 0.5), (-7.3, 10.0, 0.7), (12.2, -8.2, 1.0),
    (-7.0, -13.0, 0.6), (4.4, 10.1, 0.5),
)
COVERS = ((-14.8, -1.6, 0.6), (1.7, 6.0, 0.6), (11.6, -3.0, 0.7), (-2.0, 9.8, 0.6), (-8.0, -13.2, 0.5))
COURT_LINES = (
    (-11.4, -8.1, -0.2, -8.04), (-11.4, -3.0, -0.2, -2.94), (-11.4, -8.1, -11.34, -3.0), (-0.26, -8.1, -0.2, -3.0),
    (-5.83, -8.1, -5.77, -3.0), (-11.4, -6.7, -8.6, -6.64), (-11.4, -4.4, -8.6, -4.34), (-8.66, -6.7, -8.6, -4.4),
)
SHRUBS = (
    (-17.3, -12.6, 0.6), (-17.3, -8.6, 0.7), (-17.3, -3.4, 0.65), (-17.3, 6.9, 0.6), (-0.9, 2.9, 0.55),
    (6.4, -11.5, 0.5), (4.3, -11.6, 0.5), (-15.4, 13.1, 0.4), (-13.0, 13.1, 0.45), (7.2, 13.1, 0.4), (9.6, 13.1, 0.5),
    (-11.3, 8.6, 0.55),
)
FLOWERS = ((-3.0, 13.05, 4.4, 0.32, 55), (-6.6, -1.1, 1.3, 0.8, 45), (-17.2, 4.4, 0.6, 1.8, 25))
HEDGES = (((18.8, -14.0), (18.8, 13.0), 1.4), ((10.1, -10.2), (10.1, -6.0), 0.8))
PICKETS = (((-17.9, -14.1), (0.4, -14.1)), ((3.6, -14.1), (10.2, -14.1)))
HOOPS = (
    ((-11.5, 9.15), (-2.6, 9.15)), ((3.8, 9.15), (8.6, 9.15)), ((3.62, -11.8), (3.62, -7.2)),
    ((0.38, -10.4), (0.38, -11.9)),
)
PATHS = tuple(np.array(path) for path in (
    ((-13.7, 10.6), (-13.9, 2.0), (-13.7, -4.0), (-6.0, -3.9), (1.4, -3.8), (2.0, 3.0), (1.6, 10.4), (-6.0, 11.2)),
    ((2.4, 10.5), (1.8, 4.0), (2.0, -0.6), (6.0, -0.8), (11.4, -0.6), (11.8, 5.0), (11.4, 10.2), (7.0, 10.7)),
    ((-9.0, 11.2), (1.2, 10.4), (2.7, 4.0), (2.5, -4.4), (1.3, -3.8), (1.5, 3.5), (0.9, 9.9), (-8.6, 10.1)),
    ((1.6, 9.9), *TRODDEN[0], (-13.7, -2.6), (-13.7, 4.0), (-13.4, 10.3), (-6.0, 10.3)),
    ((2.2, 0.4), *TRODDEN[1], (11.6, 9.8), (12.2, 4.0), (11.8, -0.2), (6.0, -0.4)),
    ((-10.8, -3.6), (-4.0, -5.0), (-0.6, -3.6), (-0.7, -6.8), (-4.8, -7.1), (-6.2, -5.6), (-10.9, -5.0)),
    ((11.2, 11.0), (11.4, -1.0), (11.4, -6.0), (12.8, -6.2), (12.9, 2.0), (12.8, 9.0), (13.2, 11.4)),
    ((-4.0, -4.6), (1.4, -3.0), (5.0, -1.3), (9.0, -1.2), (9.2, -0.4), (5.0, 0.0), (2.2, 0.8), (1.0, -3.6),
     (-4.2, -3.7)),
    ((-13.0, 10.9), (-4.0, 10.3), (6.0, 10.2), (12.0, 10.6), (12.2, 11.5), (6.5, 11.3), (1.0, 11.2), (-6.0, 11.6)),
    ((2.0, -4.9), *TRODDEN[2], (11.4, -12.6), (6.0, -12.9), (2.2, -12.4), (1.3, -9.0)),
    ((-13.6, -9.4), *TRODDEN[3], (2.0, -8.8), (2.1, -4.4), (-5.6, -4.3), (-13.2, -4.6)),
))
# fmt: on


def build_yard(seed: int) -> Scene:
    """Builds the yard.

    Args:
        seed: chooses textures and clutter.
    """
    rng = np.random.default_rng([seed, NUMBER, 10])
    props = _houses(rng) + _furniture(rng)
    grass = foliage.grass(rng)
    meshes, obstacles = _plants(rng, grass)
    fences, along = _fences(rng)
    obstacles += along
    for prop in props:
        meshes += prop.meshes
        obstacles += prop.obstacles
    circles = np.array(obstacles)
    lamps = tuple(lamp for prop in props for lamp in prop.lamps)
    ground = _ground(rng, circles, grass)
    return Scene(NUMBER, "CampusYard", seed, (*ground, *fences, *meshes), PATHS, circles, BOUNDS, VIEWS, lamps)


def _ground(rng: np.random.Generator, obstacles: np.ndarray, grass: np.ndarray) -> list[Mesh]:
    """Walks, lawns, beds, road, and what lies on them."""
    asphalt, soil = surfaces.asphalt(rng), foliage.soil(rng)
    pavers = surfaces.slabs(rng, (0.47, 0.455, 0.43), 8, 8)
    blocks = surfaces.slabs(rng, (0.46, 0.41, 0.38), 20, 10)
    patch = partial(level_ground, rng, obstacles=obstacles, walls=WALLS)
    meshes = [
        patch("Field_1", (-60.0, -60.0, 60.0, 60.0), grass, tile_m=3.0, z=-0.06, cell_m=6.0),
        patch("Walk_North", (-18.0, 9.3, 18.0, 13.6), asphalt, tile_m=5.0),
        patch("Walk_West", (-18.0, -14.0, -12.0, 9.3), pavers, tile_m=3.2),
        patch("Walk_Middle", (0.5, -12.0, 3.5, 9.3), blocks, tile_m=2.0),
        patch("Walk_Shelter", (3.5, -4.6, 10.0, 0.6), pavers, tile_m=3.2),
        patch("Walk_South", (-12.0, -14.0, 10.0, -12.0), asphalt, tile_m=4.3),
        patch("Court_1", (-12.0, -8.5, 0.5, -2.5), asphalt, tile_m=3.7),
        patch("Drive_1", (10.0, -14.0, 18.0, 9.3), asphalt, tile_m=5.6),
        patch("Drive_2", (11.0, 13.6, 18.0, 40.0), asphalt, tile_m=5.6, cell_m=2.0),
        patch("Pavement_South", (-40.0, -16.0, 40.0, -14.0), pavers, tile_m=3.2, z=-0.01, cell_m=1.5),
        patch("Road_South", (-40.0, -23.0, 40.0, -16.0), asphalt, tile_m=5.0, z=-0.02, cell_m=2.0),
        patch("Sandpit_1", SANDPIT, foliage.sand(rng), tile_m=2.0, z=0.022),
    ]
    for number, area in enumerate(BEDS, 1):
        meshes.append(patch(f"Bed_{number}", area, soil, tile_m=1.6, z=0.02))
    for number, area in enumerate(LAWNS, 1):
        meshes.append(patch(f"Lawn_{number}", area, grass, tile_m=3.0, z=0.012, cell_m=0.45, trodden=TRODDEN))
    kerbs, trenches, setts, wet, covers, litter = (Solid() for _ in range(6))
    for area in (*LAWNS, *BEDS, SANDPIT):
        add_edging(rng, kerbs, area, TRODDEN)
    for x, y, wide, deep in REPAIRS:
        flat = np.array([[x, y], [x + wide, y], [x + wide, y + deep], [x, y + deep]]) + rng.uniform(-0.05, 0.05, (4, 2))
        tone = (rng.choice([0.55, 0.68, 1.35]),) * 3
        trenches.quad(np.column_stack([flat, np.full(4, 0.003)]), tone, flat / 2.7 + rng.uniform())
    for x0, y0, x1, y1 in SETTS:
        flat = np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1]])
        setts.quad(np.column_stack([flat, np.full(4, 0.0045)]), (0.85,) * 3, flat[:, ::-1] / 1.6)
    for puddle in PUDDLES:
        add_puddle(rng, wet, trenches, *puddle)
    for x, y, size in COVERS:
        covers.floor(x, y, x + size, y + size, 0.004, (0.22,) * 3)
    stems = np.array([tree[1:] for tree in TREES])
    near = stems[rng.integers(0, len(stems), 230)] + rng.normal(0, 2.3, (230, 2))
    places = np.concatenate([near, rng.uniform(BOUNDS[:2], BOUNDS[2:], (90, 2))])
    inside = (places > BOUNDS[:2]).all(1) & (places < BOUNDS[2:]).all(1)
    add_fallen_leaves(rng, litter, places[inside])
    return [
        *meshes,
        trenches.mesh("Repairs", asphalt),
        setts.mesh("Setts", blocks),
        kerbs.mesh("Kerbs", surfaces.plaster(rng, (0.6, 0.59, 0.56))),
        _markings(rng),
        wet.mesh("Puddles", asphalt, 0.4),
        covers.mesh("Covers", surfaces.slabs(rng, (0.5, 0.48, 0.46), 10, 5, 128), 0.3),
        litter.mesh("Litter", surfaces.paint()),
    ]


def _markings(rng: np.random.Generator) -> Mesh:
    """Worn lines of the court and of the parking places."""
    paint = Solid()
    parking = [(13.9, y - 0.05, 18.0, y + 0.05) for y in (-13.65, -10.95, -8.25, -5.5, -2.75, -0.05, 2.65, 5.4)]
    for x0, y0, x1, y1 in (*parking, *COURT_LINES):
        across = np.linspace(x0, x1, 12 if x1 - x0 > y1 - y0 else 2)
        up = np.linspace(y0, y1, 2 if x1 - x0 > y1 - y0 else 12)
        for left, right in pairwise(across):
            for low, high in pairwise(up):
                tone = rng.uniform(0.3, 0.75)
                if rng.random() > 0.12:
                    paint.floor(left, low, right, high, 0.005, (tone, tone, 0.96 * tone))
    return paint.mesh("Markings", surfaces.plaster(rng, (0.85, 0.85, 0.82)))


def _houses(rng: np.random.Generator) -> list[Prop]:
    red = residences.brickwork(rng, ((0.46, 0.3, 0.24), (0.41, 0.26, 0.21), (0.51, 0.36, 0.3), (0.34, 0.23, 0.2)))
    yellow = residences.brickwork(rng, ((0.62, 0.53, 0.38), (0.55, 0.46, 0.33), (0.66, 0.58, 0.44), (0.5, 0.4, 0.3)))
    ochre, pale = residences.render_coat(rng, (0.64, 0.58, 0.46)), residences.render_coat(rng, (0.62, 0.61, 0.58))
    white, brown = residences.windows(rng, (0.82, 0.82, 0.8)), residences.windows(rng, (0.34, 0.24, 0.17))
    plans = (
        (28.0, 4, 14, (3, 10), (1, 5, 8, 12), (-17.0, 13.5), 0.0, red, white),
        (22.0, 3, 10, (6,), (), (-18.0, -14.0), 90.0, ochre, brown),
        (30.0, 5, 13, (5,), (2, 9), (27.0, 13.0), -90.0, yellow, white),
        (24.0, 3, 10, (4,), (), (26.0, -24.5), 180.0, pale, brown),
        (30.0, 4, 13, (6,), (), (1.0, -24.5), 180.0, red, white),
        (26.0, 3, 11, (), (), (8.0, 34.0), 0.0, pale, white),
        (16.0, 3, 7, (), (), (-34.0, 16.0), 0.0, yellow, brown),
    )
    houses = []
    for number, (long, storeys, bays, entrances, balconies, at, yaw, wall, glass) in enumerate(plans, 1):
        house = residences.Facade(rng, long, storeys, bays)
        house.front(entrances=entrances, balconies=balconies, plain=number > 2)
        house.roof(11.0)
        houses.append(house.prop(number, wall, glass, surfaces.paint()).placed((*at, 0.0), yaw))
    return houses


def _furniture(rng: np.random.Generator) -> list[Prop]:
    props = [
        courtyard.make_bicycle_shelter(1, (6.9, -3.3, 0.0), 180.0, rng),
        courtyard.make_bin_enclosure(1, (15.9, 7.6, 0.0), -90.0, rng),
        courtyard.make_swing(1, (-6.5, -10.9, 0.0), 0.0, rng),
        courtyard.make_tennis_table(1, (-8.6, -7.0, 0.0), 4.0, rng),
        courtyard.make_washing_line(1, (6.0, 7.7, 0.0), 0.0, rng),
        courtyard.make_notice_board(1, (3.75, -3.7, 0.0), -90.0, rng),
        make_bin(1, (-12.3, 6.5, 0.0), 0.0, rng),
        make_bin(2, (0.15, -2.2, 0.0), 0.0, rng),
        make_bin(3, (9.7, 0.35, 0.0), 0.0, rng),
        make_bicycle(1, (-15.6, 1.9, 0.0), 88.0, rng),
        make_bicycle(3, (-11.3, 12.2, 0.0), 174.0, rng),
        make_kick_scooter(1, (0.2, 6.4, 0.0), 80.0, rng),
        make_motor_scooter(1, (10.5, 2.6, 0.0), 84.0, rng),
        make_sign(1, (10.2, -4.3, 0.0), 90.0, rng),
    ]
    props += [courtyard.make_lantern(number, (x, y, 0.0), 0.0, rng) for number, (x, y) in enumerate(LANTERNS, 1)]
    props += [make_bench(number, (x, y, 0.0), yaw, rng) for number, (x, y, yaw) in enumerate(BENCHES, 1)]
    props += [make_car(number, (CAR_X_M, y, 0.0), yaw, rng) for number, (y, yaw) in enumerate(CARS, 1)]
    return props


def _fences(rng: np.random.Generator) -> tuple[list[Mesh], list[tuple[float, float, float]]]:
    wire, pickets, gate, hoops = Solid(), Solid(), Solid(), Solid()
    chain_link(wire, (18.2, -14.0), (18.2, 13.4), 1.6, cell_m=0.15)
    for start, end in PICKETS:
        picket_fence(rng, pickets, start, end, 1.05)
    for x in (0.4, 3.6):
        gate.box((x, -14.1, 0), (0.3, 0.3, 1.5), (0.5, 0.3, 0.24))
        gate.box((x, -14.1, 1.5), (0.38, 0.38, 0.08), (0.6, 0.59, 0.56))
    for hinge, turn in ((0.55, 75.0), (3.45, 110.0)):
        cos, sin = np.cos(np.radians(turn)), np.sin(np.radians(turn))
        for at in np.arange(0.0, 1.36, 0.112):
            x, y = hinge + at * cos, -14.0 + at * sin
            gate.tube((x, y, 0.08), (x, y, 1.25), 0.012, (0.06, 0.07, 0.07), sides=5)
        for z in (0.12, 1.1):
            gate.tube(
                (hinge, -14.0, z), (hinge + 1.35 * cos, -14.0 + 1.35 * sin, z), 0.018, (0.06, 0.07, 0.07), sides=5
            )
    circles = [(0.7, -13.4, 0.4), (3.2, -13.4, 0.4)]
    for start, end in HOOPS:
        circles += hoop_rail(hoops, start, end)
    meshes = [
        wire.mesh("Fence_1", surfaces.paint(), 0.2),
        pickets.mesh("Fence_2", surfaces.wood()),
        gate.mesh("Gate_1", surfaces.paint(), 0.1),
        hoops.mesh("Railing_1", surfaces.paint(), 0.2),
    ]
    circles += [(float(x), -14.15, 0.2) for x in (*np.arange(-17.8, 0.5, 0.5), *np.arange(3.6, 10.3, 0.5))]
    return meshes, circles


def _plants(rng: np.random.Generator, grass: np.ndarray) -> tuple[list[Mesh], list[tuple[float, float, float]]]:
    greens = ((0.3, 0.4, 0.17), (0.36, 0.45, 0.2), (0.25, 0.35, 0.16), (0.42, 0.47, 0.22))
    leaves, needles = foliage.foliage(rng, greens), foliage.needles(rng)
    bark, white = foliage.bark(rng), foliage.birch_bark(rng)
    meshes: list[Mesh] = []
    obstacles: list[tuple[float, float, float]] = []
    for number, (kind, x, y) in enumerate(TREES, 1):
        skin = white if kind == "birch" else bark
        meshes += plants.make_tree(rng, f"Tree_{number}", x, y, skin, leaves, kind=kind)
        obstacles.append((x, y, 0.35))
    for number, (x, y, tall) in enumerate(CONIFERS, len(TREES) + 1):
        meshes += plants.make_conifer(rng, f"Tree_{number}", x, y, bark, needles, tall)
        obstacles.append((x, y, 1.1))
    green, bloom, hedges, ivies, blades = Solid(), Solid(), Solid(), Solid(), Solid()
    for x, y, size in SHRUBS:
        shrubs.shrub(rng, green, (x, y, 0.0), (1.1 * size, size, 0.85 * size), (1.0, rng.uniform(0.9, 1.1), 0.85))
        obstacles.append((x, y, size))
    for x, y, wide, deep, count in FLOWERS:
        shrubs.flowers(rng, green, bloom, (x, y), (wide, deep), count)
    obstacles += [(-7.2, -1.1, 0.7), (-6.1, -1.1, 0.7)]
    for start, end, tall in HEDGES:
        shrubs.hedge(rng, hedges, start, end, tall)
    obstacles += [(10.1, float(y), 0.35) for y in np.arange(-10.0, -6.0, 0.5)]
    shrubs.ivy(rng, ivies, (-18.0, 2.6, 0.0), (0.0, 1.0, 0.0), (4.6, 5.5))
    shrubs.ivy(rng, ivies, (7.6, 13.5, 0.0), (1.0, 0.0, 0.0), (2.6, 4.2))
    shrubs.tufts(rng, blades, _tuft_places(rng, obstacles))
    meshes += [
        green.mesh("Shrubs_1", leaves),
        bloom.mesh("Flowers_1", surfaces.paint()),
        hedges.mesh("Hedge_1", leaves),
        ivies.mesh("Ivy_1", leaves),
        blades.mesh("Grass_1", grass),
    ]
    return meshes, obstacles


def _tuft_places(rng: np.random.Generator, obstacles: list[tuple[float, float, float]]) -> np.ndarray:
    """Where nobody mows: at kerbs, fences and the feet of trees."""
    places = []
    for x0, y0, x1, y1 in LAWNS:
        for start, end in pairwise(np.array([[x0, y0], [x1, y0], [x1, y1], [x0, y1], [x0, y0]])):
            share = rng.uniform(0, 1, (int(1.1 * np.hypot(*(end - start))), 1))
            inward = np.array([(x0 + x1) / 2, (y0 + y1) / 2]) - (start + end) / 2
            inward /= np.linalg.norm(inward)
            places.append(start + share * (end - start) + rng.uniform(0.04, 0.22, share.shape) * inward)
    for x, y, radius in obstacles[:8]:
        turn = rng.uniform(0, 2 * np.pi, 9)
        places.append(np.stack([x + radius * np.cos(turn), y + radius * np.sin(turn)], -1))
    places.append(np.column_stack([rng.uniform(-17.5, 0.0, 40), rng.uniform(-14.1, -13.95, 40)]))
    found = np.concatenate(places)
    return found[distance_to(found, TRODDEN) > 0.7]
