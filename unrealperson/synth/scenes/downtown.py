"""What surrounds the plaza: glass towers, an arcade, stairs to a terrace, a street with shops."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.scenes import buildings, evening, facades, pavements, surfaces
from unrealperson.synth.scenes.landmarks import greenery
from unrealperson.synth.scenes.pavements import Ground
from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.scenes.shrubs import hedge
from unrealperson.synth.scenes.solid import Solid

PILLARS_X_M, ARCADE_WALL_X_M = -18.6, -22.6
STAIRS_Y_M, STEPS, TERRACE_M, NORTH_Y_M = 17.2, 9, 1.35, 25.0
EAST_X_M = 22.6
KERB_Y_M, FAR_KERB_Y_M, SOUTH_Y_M = -17.8, -25.8, -30.0
KERB_HEIGHT_M = 0.12


def make_buildings(rng: np.random.Generator) -> list[Mesh]:
    """Towers, blocks, the arcade, the terrace, and what closes the view at the ends of the streets.

    Args:
        rng: source of textures and wear.
    """
    painted = surfaces.paint()
    glass_n = facades.curtain_wall(rng, (0.8, 0.92, 0.98), 8, 12, 768)
    glass_e = facades.curtain_wall(rng, (0.72, 0.82, 0.78), 6, 10, 512, metal=0.2)
    reception, shops = facades.lobby(rng), facades.lobby(rng, shop=True)
    limestone = facades.office_wall(rng, (0.66, 0.6, 0.5), 4, 5)
    concrete = facades.office_wall(rng, (0.55, 0.54, 0.52), 4, 4, ribbon=True)
    ashlar = pavements.paving(rng, (0.66, 0.61, 0.52), 4, 2, 512, tone=0.035, joint_px=2.0, speckle=0.05)
    stone = pavements.paving(rng, (0.56, 0.55, 0.53), 3, 2, 256, tone=0.04, joint_px=1.4, speckle=0.13)
    meshes = [
        buildings.make_block(
            "Building_1", (-42, -16.4, -18.25, 14.4), 4.6, 27, limestone, (15.0, 16.0), glow=evening.GLOWS[1]
        ),
        buildings.make_block(
            "Building_2", (-21, 21.6, 21, 44), 6.6, 62, glass_n, (18.0, 32.0), gloss=0.5, glow=evening.OFFICE_GLOW
        ),
        buildings.make_block(
            "Building_3",
            (22.1, -11, 46, 15),
            5.2,
            48,
            glass_e,
            (15.0, 24.0),
            gloss=0.5,
            offset=0.3,
            glow=evening.OFFICE_GLOW,
        ),
        buildings.make_block(
            "Building_4", (-64, -50, -20, SOUTH_Y_M), 4.5, 15.0, concrete, (16.0, 14.0), glow=evening.GLOWS[2]
        ),
        buildings.make_block(
            "Building_5",
            (-20, -50, -4, SOUTH_Y_M),
            4.5,
            11.5,
            limestone,
            (15.0, 14.0),
            color=0.85,
            glow=evening.GLOWS[1],
        ),
        buildings.make_block(
            "Building_6",
            (10, -50, 34, SOUTH_Y_M),
            4.5,
            13.5,
            limestone,
            (14.0, 13.0),
            offset=0.4,
            glow=evening.GLOWS[1],
        ),
        buildings.make_block(
            "Building_7", (34, -50, 70, SOUTH_Y_M), 4.5, 19.0, concrete, (15.0, 15.0), color=0.9, glow=evening.GLOWS[2]
        ),
        buildings.make_block("Building_8", (-90, 10, -62, 40), 0, 30.0, concrete, (15.0, 15.0), glow=evening.GLOWS[2]),
        buildings.make_block(
            "Building_9", (62, -8, 90, 34), 0, 40.0, glass_e, (15.0, 24.0), gloss=0.4, glow=evening.OFFICE_GLOW
        ),
        buildings.make_block(
            "Building_10", (-95, -46, -75, 0), 0, 28.0, limestone, (15.0, 16.0), color=0.8, glow=evening.GLOWS[1]
        ),
        buildings.make_block(
            "Building_11", (75, -60, 95, -12), 0, 26.0, limestone, (15.0, 16.0), color=0.9, glow=evening.GLOWS[1]
        ),
        buildings.make_block(
            "Building_13", (-44, 25.5, -21.2, 44), 0, 24.0, limestone, (15.0, 16.0), offset=0.2, glow=evening.GLOWS[1]
        ),
        buildings.make_block(
            "Building_14", (21.2, 25.5, 46, 44), 0, 32.0, concrete, (15.0, 15.0), color=1.1, glow=evening.GLOWS[2]
        ),
        buildings.make_block(
            "Building_12", (-12, -110, 22, -85), 0, 45.0, glass_n, (18.0, 32.0), gloss=0.3, glow=evening.OFFICE_GLOW
        ),
    ]
    arcade, _ = buildings.make_arcade("Arcade_1", (PILLARS_X_M, -16), (PILLARS_X_M, 14), ashlar, depth_m=4.0)
    meshes.append(arcade)
    fronts = (
        ("Front_1", (ARCADE_WALL_X_M, -16.4), (ARCADE_WALL_X_M, 14.4), 0.0, 4.6, shops, 1.5, 12.0, 0.0),
        ("Front_2", (-21, NORTH_Y_M), (21, NORTH_Y_M), TERRACE_M, 6.6, reception, 1.5, 12.0, 0.2),
        ("Front_3", (EAST_X_M, 15), (EAST_X_M, -11), 0.0, 5.2, reception, 1.5, 12.0, 0.55),
        ("Front_4", (EAST_X_M, -11), (46, -11), 0.0, 5.2, shops, 1.5, 12.0, 0.4),
        ("Front_5", (-20, SOUTH_Y_M), (-64, SOUTH_Y_M), 0.0, 4.5, shops, 1.8, 12.0, 0.1),
        ("Front_6", (-4, SOUTH_Y_M), (-20, SOUTH_Y_M), 0.0, 4.5, shops, 1.8, 12.0, 0.5),
        ("Front_7", (34, SOUTH_Y_M), (10, SOUTH_Y_M), 0.0, 4.5, shops, 1.8, 12.0, 0.8),
        ("Front_8", (70, SOUTH_Y_M), (34, SOUTH_Y_M), 0.0, 4.5, reception, 1.8, 12.0, 0.3),
    )
    for name, start, end, low, high, texture, bay, width, offset in fronts:
        meshes += buildings.make_glass_front(
            name, start, end, low, high, texture, painted, bay_m=bay, width_m=width, offset=offset
        )
    meshes += buildings.make_entrance("Entrance_1", (EAST_X_M, 2.0, 0.0), 180.0, reception, painted)
    meshes += buildings.make_entrance("Entrance_2", (-5.0, NORTH_Y_M, TERRACE_M), -90.0, reception, painted)
    walls = Solid()
    for start, end, high in (
        ((-42, -16.4), (ARCADE_WALL_X_M, -16.4), 4.6),
        ((ARCADE_WALL_X_M, 14.4), (-42, 14.4), 4.6),
        ((EAST_X_M + 24, 15), (EAST_X_M, 15), 5.2),
        ((-4, -50), (-4, SOUTH_Y_M), 4.5),
        ((10, SOUTH_Y_M), (10, -50), 4.5),
        ((21, NORTH_Y_M), (21, 44), 6.6),
        ((-21, 44), (-21, NORTH_Y_M), 6.6),
    ):
        buildings.add_wall(walls, start, end, 0, high, (3.0, 3.0), foot=0.7)
    meshes.append(walls.mesh("Wall_1", stone))
    return meshes + _terrace(rng, stone)


def _terrace(rng: np.random.Generator, stone: np.ndarray) -> list[Mesh]:
    """Stairs, planted walls beside them, the floor and the columns above."""
    painted = surfaces.paint()
    top_y = STAIRS_Y_M + STEPS * 0.36
    meshes = [buildings.make_stairs("Stairs_1", (-9, STAIRS_Y_M), (9, STAIRS_Y_M), STEPS, stone)]
    floor, rail, columns, leaves = Solid(), Solid(), Solid(), Solid()
    corners = np.array([[-21, top_y], [21, top_y], [21, NORTH_Y_M], [-21, NORTH_Y_M]], float)
    shade = np.array([1.0, 1.0, 0.55, 0.55])[:, None] * np.ones(3)
    floor.quad(np.column_stack([corners, np.full(4, TERRACE_M)]), shade, corners / 2.0)
    for x0, x1 in ((-21.0, -9.3), (9.3, 21.0)):
        buildings.add_wall(floor, (x0, STAIRS_Y_M), (x1, STAIRS_Y_M), 0, 0.75, (2.0, 2.0), foot=0.6)
        buildings.add_wall(floor, (x0, top_y), (x1, top_y), 0.6, TERRACE_M, (2.0, 2.0), foot=0.6)
        flat = np.array([[x0, STAIRS_Y_M], [x1, STAIRS_Y_M], [x1, STAIRS_Y_M + 0.3], [x0, STAIRS_Y_M + 0.3]])
        floor.quad(np.column_stack([flat, np.full(4, 0.75)]), (1.05,) * 3, flat / 2)
        earth = np.array([[x0, STAIRS_Y_M + 0.3], [x1, STAIRS_Y_M + 0.3], [x1, top_y], [x0, top_y]])
        floor.quad(np.column_stack([earth, np.full(4, 0.68)]), (0.16, 0.13, 0.1), earth / 2)
        buildings.add_railing(rail, np.array([(x, top_y + 0.1, TERRACE_M) for x in np.linspace(x0, x1, 9)]), bars=4)
        hedge(rng, leaves, (x0 + 0.3, STAIRS_Y_M + 1.0), (x1 - 0.3, STAIRS_Y_M + 1.0), 1.1, thick_m=1.1)
    for x in (-9.15, 9.15):
        floor.box((x, (STAIRS_Y_M + top_y) / 2, 0), (0.3, top_y - STAIRS_Y_M, TERRACE_M + 0.1), (0.95,) * 3, tile_m=2.0)
    for x in (-3.0, 3.0):
        feet = np.array([(x, STAIRS_Y_M + (s - 0.5) * 0.36, s * 0.15) for s in (1, 5, STEPS)])
        buildings.add_railing(rail, feet, high_m=0.95, bars=1, color=(0.3,) * 3)
    for x in np.arange(-18, 18.1, 6.0):
        columns.tube((x, 22.3, TERRACE_M), (x, 22.3, 6.6), 0.42, (0.36, 0.37, 0.38), sides=18, cap=False)
        columns.tube((x, 22.3, TERRACE_M), (x, 22.3, TERRACE_M + 0.12), 0.5, (0.25,) * 3, sides=18)
    meshes += [
        floor.mesh("Terrace_1", stone),
        rail.mesh("Railing_900", painted, 0.3),
        columns.mesh("Column_1", painted, 0.3),
        leaves.mesh("Shrubs_1", greenery()),
    ]
    return meshes


def make_street(rng: np.random.Generator) -> list[Mesh]:
    """The street and the side street that leaves it: asphalt, kerbs, markings.

    Args:
        rng: source of textures and wear.
    """
    road_z = -KERB_HEIGHT_M
    ground = Ground(rng, np.array([[0.0, KERB_Y_M + 1, 70, 1, 0], [0.0, FAR_KERB_Y_M - 1, 70, 1, 0]]), strength=0.3)
    areas = [(-70.0, FAR_KERB_Y_M, 70.0, KERB_Y_M), (-4.0, -85.0, 10.0, FAR_KERB_Y_M)]
    meshes = [ground.pave("Road", areas, surfaces.asphalt(rng), 5.0, z_m=road_z, cell_m=2.5)]
    kerbs, paint = Solid(), Solid()
    for y, facing in ((KERB_Y_M, -1), (FAR_KERB_Y_M, 1)):
        for x in np.arange(-40.0, 40.0, 2.0):
            if y == FAR_KERB_Y_M and -6 < x < 9.5:
                continue
            tone = rng.uniform(0.75, 1.0)
            kerbs.box((x + 1.0, y - facing * 0.05, road_z), (1.985, 0.22, KERB_HEIGHT_M + 0.01), (tone,) * 3)
    z = road_z + 0.006

    def stripe(x0: float, y0: float, x1: float, y1: float) -> None:
        tone = rng.uniform(0.5, 0.8)
        paint.floor(x0, y0, x1, y1, z, (tone, tone, 0.97 * tone))

    middle = (KERB_Y_M + FAR_KERB_Y_M) / 2 - 0.9
    for x in np.arange(-50.0, 50.0, 3.5):
        if not -1.5 < x < 7.5:
            stripe(x, middle - 0.06, x + 1.7, middle + 0.06)
    for y in np.arange(FAR_KERB_Y_M + 0.4, KERB_Y_M - 0.4, 0.95):
        stripe(1.5, y, 5.5, y + 0.5)
    for x in np.arange(-32.0, 33.0, 5.6):
        if not -3 < x < 9:
            stripe(x, KERB_Y_M - 2.2, x + 0.1, KERB_Y_M - 0.15)
    meshes += [
        kerbs.mesh("Kerbs", surfaces.plaster(rng, (0.62, 0.61, 0.59))),
        paint.mesh("RoadMarkings", surfaces.plaster(rng, (0.85, 0.85, 0.82))),
    ]
    return meshes
