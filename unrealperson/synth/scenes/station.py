"""Scene 5, an underground station's hall seen from high up: gates, machines, stairs and escalators, columns.

Layout (metres): the street lies to the west, the platforms up the stairs in the east; a row of ticket gates at
x = 2.2 parts the hall.

Source: paper section 4.4 (six further indoor cameras with a high view angle, as in GRID).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from unrealperson.synth.scenes import concourse, interior
from unrealperson.synth.scenes.interior import row_uv
from unrealperson.synth.scenes.scene import Prop, Scene
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.view import aimed

NUMBER = 5
BOUNDS = (-17.0, -12.0, 17.0, 12.0)
CEILING_M = 7.8
GATES_X_M = 2.2
COLUMNS_M = ((-12.0, -7.2), (-12.0, 7.2), (-5.0, -7.2), (-5.0, 7.2), (7.6, -7.2), (7.6, 7.2))
VIEWS = (
    aimed((-16.3, 3.9, 5.0), (-10.4, -4.6, 0.5), 56.0, 0.8),
    aimed((-0.7, 9.0, 5.0), (-8.3, 9.1, 0.5), 58.0),
    aimed((8.8, 0.5, 5.6), (1.6, 0.9, 0.5), 54.0, -0.7),
    aimed((-3.4, -11.2, 6.8), (1.8, -2.6, 0.4), 48.0),
    aimed((16.0, 11.3, 5.0), (10.6, 6.2, 0.5), 58.0, 1.0),
    aimed((4.4, -11.5, 4.3), (4.9, -4.6, 0.6), 58.0),
)


def build_station(seed: int) -> Scene:
    """Builds the station hall.

    Args:
        seed: chooses textures, posters and clutter.
    """
    rng = np.random.default_rng([seed, NUMBER, 10])
    line = np.array(rng.choice([[0.65, 0.07, 0.06], [0.05, 0.2, 0.5], [0.05, 0.35, 0.2], [0.5, 0.2, 0.03]]))
    signs = _signs(np.sqrt(line))
    terrazzo = interior.tiles(
        rng, rng.choice([[0.56, 0.54, 0.51], [0.5, 0.5, 0.5], [0.62, 0.59, 0.54]]), 6, speckle=0.1
    )
    props = [interior.settle(prop) for prop in _furniture(rng, line, signs, terrazzo) + _boards(rng, signs)]
    obstacles = np.array([circle for prop in props for circle in prop.obstacles])
    floor = interior.make_floor(rng, BOUNDS, terrazzo, tile_m=5.4, obstacles=obstacles, gloss=0.6, worn=_paths())
    shell = _shell(rng, line)
    return Scene(
        NUMBER,
        "StationHall",
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
    return (
        np.array([[-15.2, -8.6], [-15.2, 8.6], [-0.4, 8.6], [-0.4, -8.6]]),
        np.array([[-8.6, -4.2], [-8.6, 4.0], [-0.8, 3.4], [-0.8, -3.6]]),
        np.array([[-10.0, 3.5], [5.6, 3.5], [6.6, 0.0], [5.6, -3.5], [-10.0, -3.5], [-11.0, 0.0]]),
        np.array([[-14.0, 4.0], [-9.0, 4.9], [5.4, 4.9], [6.6, 3.5], [5.4, 2.1], [-3.0, 2.1], [-9.0, 2.2]]),
        np.array([[-13.6, -2.1], [5.4, -2.1], [6.6, -3.5], [5.4, -4.9], [-9.0, -4.9]]),
        np.array(
            [[4.9, -9.6], [4.9, 9.6], [14.8, 9.6], [14.8, 5.0], [7.2, 4.7], [7.2, -4.7], [14.8, -5.0], [14.8, -9.6]]
        ),
        np.array([[-12.4, 10.6], [-4.4, 10.6], [-2.4, 9.5], [-4.4, 8.5], [-12.4, 8.5], [-14.2, 9.5]]),
        np.array([[-13.8, 0.4], [-8.4, 6.2], [-1.6, 0.6], [-8.4, -6.0]]),
    )


def _signs(ground: np.ndarray) -> np.ndarray:
    white, black = (0.95, 0.95, 0.94), (0.06, 0.06, 0.07)
    lines: list[tuple[str, ArrayLike, ArrayLike]] = [
        (text, ground * 0.9, white) for text in ("Platforms 1 - 4", "Trains  1 2 3 4", "Tickets", "Information")
    ]
    lines += [(text, (0.92, 0.75, 0.1), black) for text in ("Exit  A  Station Street", "Exit  B  Market Square")]
    lines += [(text, (0.1, 0.1, 0.11), white) for text in ("CAFE & BAGELS", "NEWS & BOOKS")]
    return interior.boards(lines)


def _shell(rng: np.random.Generator, line: np.ndarray) -> list[Prop]:
    x0, y0, x1, y1 = BOUNDS
    tiles = interior.tiles(rng, (0.74, 0.72, 0.66), 12, joint=0.7)
    slats = interior.panels(rng, (0.5, 0.5, 0.49), count=16)
    corners = {"North": (x0, y1, x1, y1), "East": (x1, y1, x1, y0), "South": (x1, y0, x0, y0), "West": (x0, y0, x0, y1)}
    props = [
        interior.make_wall(f"Wall_{side}", (ax, ay), (bx, by), CEILING_M, tiles, tile_m=2.4, plinth=(0.05, 0.05, 0.06))
        for side, (ax, ay, bx, by) in corners.items()
    ]
    stripes = ((3.15, 3.5, line), (3.52, 3.58, (0.05,) * 3), (0.12, 0.9, (0.16, 0.17, 0.18)))
    props.append(interior.make_band("Band_1", BOUNDS, stripes))
    props.append(
        interior.make_ceiling(
            BOUNDS,
            CEILING_M,
            slats,
            rows_m=np.arange(-10.5, 10.6, 3.0).tolist(),
            panel_m=(3.3, 0.3),
            every_m=3.4,
            light=(3.8, 3.7, 3.35),
        )
    )
    return props


def _furniture(rng: np.random.Generator, line: np.ndarray, signs: np.ndarray, stone: np.ndarray) -> list[Prop]:
    cladding = interior.tiles(rng, (0.5, 0.5, 0.51), 4, size=256, speckle=0.03)
    props = [
        interior.make_column(f"Column_{number}", 0.8, CEILING_M, cladding, "round").placed((x, y, 0), 0)
        for number, (x, y) in enumerate(COLUMNS_M, 1)
    ]
    props.append(concourse.make_gates("1", 8).placed((GATES_X_M, 0, 0), 90))
    for number, y in enumerate((-8.85, 8.85), 1):
        props.append(concourse.make_railing(str(number), 6.3).placed((GATES_X_M, y, 0), 90))
    for number, (x, y, yaw) in enumerate(
        ((-5.0, 0.1, 90), (-4.3, 0.1, -90), (11.6, 7.4, 0), (11.6, -7.2, 180), (11.6, -7.9, 0)), 3
    ):
        props.append(concourse.make_bench(str(number), 4, (0.3, 0.31, 0.32)).placed((x, y, 0), yaw))
    fronts = concourse.machine_fronts(rng)
    for number in range(6):
        machine = concourse.make_machine(f"TicketMachine_{number + 1}", 0, fronts, (0.95, 0.5, 1.85))
        props.append(machine.placed((-11.6 + 1.25 * number, 11.95, 0), 0))
    for number, (x, kind) in enumerate(((-2.6, 1), (-1.5, 2), (5.0, 3), (6.0, 3), (7.0, 3), (8.0, 3)), 1):
        machine = concourse.make_machine(f"Machine_{number}", kind, fronts, (0.98, 0.75, 1.9))
        props.append(machine.placed((x, -11.95 if x < 0 else 11.95, 0), 180 if x < 0 else 0))
    props.append(
        concourse.make_kiosk(rng, "1", 4.6, signs, row_uv(6, 8), (0.3, 0.17, 0.09)).placed((-12.6, -11.95, 0), 180)
    )
    props.append(concourse.make_kiosk(rng, "2", 4.0, signs, row_uv(7, 8), 0.6 * line).placed((-6.8, -11.95, 0), 180))
    for number, y in enumerate((-2.25, 2.25), 1):
        props.append(concourse.make_escalator(str(number), 4.2).placed((9.0, y, 0), 0))
    props.append(concourse.make_stairs("1", 2.6, 24, stone).placed((9.9, 0, 0), 0))
    for number, (x, y, yaw) in enumerate(
        ((-11.9, 5.9, 0), (-3.7, -7.2, 90), (8.9, 7.2, 90), (15.9, -11.4, 180), (-16.5, 5.0, 90)), 1
    ):
        props.append(concourse.make_bin(str(number)).placed((x, y, 0), yaw))
    ribs = interior.tiles(rng, (0.8, 0.66, 0.2), 8, size=128, joint=0.6)
    x = GATES_X_M - 1.3
    strips = (
        (-16.0, -0.2, x, 0.2),
        (x, -6.0, x + 0.4, 6.0),
        (-12.2, 0.2, -11.8, 4.8),
        (4.0, -0.2, 8.5, 0.2),
        (8.5, -3.0, 8.9, 3.0),
    )
    props.append(concourse.make_guide_strip("1", strips, ribs))
    granite = interior.tiles(rng, (0.3, 0.29, 0.28), 4, size=256, speckle=0.12, joint=0.75)
    bands = [(-16.9, y - 0.3, 16.9, y + 0.3) for y in (-7.2, 7.2)]
    bands += [
        (x - 0.3, y0, x + 0.3, y1) for x in (-12.0, -5.0, 7.6) for y0, y1 in ((-11.9, -7.5), (-6.9, 6.9), (7.5, 11.9))
    ]
    inlay = Solid()
    for x0, y0, x1, y1 in bands:
        inlay.floor(x0, y0, x1, y1, 0.003, (1, 1, 1))
    props.append(Prop((inlay.mesh("Inlay_1", granite, 0.4),)))
    for number, y in enumerate((9.25, 9.8), 1):
        props.append(concourse.make_queue(str(number), 5.0, line).placed((-8.6, y, 0), 0))
    return props


def _boards(rng: np.random.Generator, signs: np.ndarray) -> list[Prop]:
    posters = concourse.posters(rng)
    table = concourse.timetable(rng)
    whole = np.array([[0, 0], [1, 0], [1, 1], [0, 1]], float)
    props = []
    for number, (x, y, yaw) in enumerate(((-0.4, 0.0, 90), (-15.6, 5.4, 90)), 1):
        board = interior.make_hanging_sign(
            f"Timetable_{number}", (3.2, 1.6), table, whole, low_m=4.4, high_m=CEILING_M, glow=0.8
        )
        props.append(board.placed((x, y, 0), yaw))
    hung = (
        (GATES_X_M, -3.6, 90, 0),
        (GATES_X_M, 3.6, 90, 1),
        (-9.6, 10.9, 0, 2),
        (-13.8, 7.0, 90, 4),
        (8.8, 9.6, 90, 5),
    )
    for number, (x, y, yaw, row) in enumerate(hung, 1):
        sign = interior.make_hanging_sign(
            f"Sign_{number}", (2.8, 0.36), signs, row_uv(row, 8), low_m=3.6, high_m=CEILING_M, glow=0.5
        )
        props.append(sign.placed((x, y, 0), yaw))
    walls = [(x, 11.98, 0) for x in (-14.6, -3.4, -1.4, 0.4, 10.4, 12.2, 14.0)]
    walls += [(x, -11.98, 180) for x in (0.4, 4.6, 6.6, 8.6, 10.6, 12.6)]
    walls += [(-16.98, y, 90) for y in (-9.4, -7.6, 8.0, 9.8)] + [(16.98, y, -90) for y in (-8.6, -6.6, 6.6, 8.6)]
    for number, (x, y, yaw) in enumerate(walls, 1):
        poster = concourse.make_poster(
            f"Poster_{number}", int(rng.integers(8)), posters, (1.25, 1.85), low_m=1.0, glow=0.5 if number % 3 else 0.0
        )
        props.append(poster.placed((x, y, 0), yaw))
    for number, (x, y, yaw) in enumerate(((-3.3, 7.3, 30), (6.7, -8.1, 60), (13.0, 3.9, 0)), 1):
        props.append(concourse.make_totem(f"LightBox_{number}", int(rng.integers(8)), posters).placed((x, y, 0), yaw))
    return props
