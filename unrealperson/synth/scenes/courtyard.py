"""What stands in yards: lanterns, bicycle shelter, bin enclosure, swings, table tennis, washing lines, notice board.

Makers have the signature of `furniture`: number for the name, place of the foot, heading, generator for details.
"""

from __future__ import annotations

import numpy as np

from unrealperson.synth.scenes import surfaces
from unrealperson.synth.scenes.furniture import IRON, STEEL, Point, make_wheeled_bin
from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.prints import poster
from unrealperson.synth.scenes.scene import Prop
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.scenes.vehicles import make_bicycle_stand

RUST, WOOD, CONCRETE = (0.2, 0.09, 0.05), (0.62, 0.55, 0.46), (0.42, 0.41, 0.39)


def make_lantern(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A garden lamp 4 m high with a hood over its glass."""
    post = Solid()
    tone = np.asarray((0.07, 0.1, 0.09)) * rng.uniform(0.9, 1.3)
    post.tube((0, 0, 0), (0, 0, 0.9), 0.075, tone)
    post.tube((0, 0, 0.9), (0, 0, 3.6), 0.05, tone, end_radius=0.04)
    post.tube((0, 0, 3.6), (0, 0, 3.95), 0.1, (0.75, 0.74, 0.68), end_radius=0.15)
    post.tube((0, 0, 3.95), (0, 0, 4.1), 0.3, tone, sides=14, end_radius=0.06)
    post.box((0.0, -0.077, 0.35), (0.09, 0.02, 0.3), tone * 0.7)
    lamp = Lamp((0.0, 0.0, 3.75), (11.0, 9.4, 6.8), 14.0)
    return Prop((post.mesh(f"Lamp_{number}", surfaces.paint(), 0.2),), ((0, 0, 0.12),), (lamp,)).placed(at, yaw_deg)


def make_bicycle_shelter(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A roof of corrugated sheets, 5.6 x 2.3 m, over a rack full of bicycles; open along -Y."""
    frame = Solid()
    for x in (-2.8, 0.0, 2.8):
        frame.box((x, 0.95, 0), (0.08, 0.08, 2.05), IRON)
        frame.box((x, -1.0, 0), (0.07, 0.07, 2.3), IRON)
        frame.rod([(x, 1.1, 2.05), (x, -1.2, 2.36)], 0.04, IRON, sides=4)
    waves = np.linspace(-3.0, 3.0, 61)
    lift = 0.012 * np.where(np.arange(61) % 2, 1.0, -1.0)
    edge = np.stack([np.stack([waves, np.full(61, y), z + lift], -1) for y, z in ((-1.3, 2.42), (1.2, 2.1))], 1)
    tone = (0.34 + 0.05 * rng.standard_normal((61, 1, 1))) * np.array([1.0, 1.0, 0.97])
    frame.sheet(edge, np.repeat(tone, 2, 1))
    frame.box((0, 1.0, 0.35), (5.6, 0.025, 0.95), (0.25, 0.27, 0.25))
    frame.box((0, -1.02, 2.2), (5.7, 0.05, 0.14), (0.1, 0.17, 0.13))
    rack = make_bicycle_stand(number, (0.35, -0.05, 0.0), 0.0, rng, hoops=6, filled=1.0)
    posts = tuple((x, y, 0.12) for x in (-2.8, 0.0, 2.8) for y in (0.95, -1.0))
    meshes = (frame.mesh(f"Shelter_{number}", surfaces.paint(), 0.1), *rack.meshes)
    return Prop(meshes, (*posts, *rack.obstacles)).placed(at, yaw_deg)


def make_bin_enclosure(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """Three slatted walls, 3.6 x 2.2 m, open along -Y, around bins on wheels and a full container."""
    walls, box = Solid(), Solid()
    for start, end in (((-1.8, -1.1), (-1.8, 1.1)), ((-1.8, 1.1), (1.8, 1.1)), ((1.8, 1.1), (1.8, -1.1))):
        a, b = np.asarray(start), np.asarray(end)
        yaw = float(np.degrees(np.arctan2(*(b - a)[::-1])))
        long = float(np.hypot(*(b - a)))
        for z in np.arange(0.12, 1.6, 0.17):
            tone = np.asarray(WOOD) * rng.uniform(0.7, 1.1)
            walls.box((*((a + b) / 2), z), (long, 0.03, 0.13), tone, yaw_deg=yaw)
        for share in (0.0, 0.5, 1.0):
            walls.box((*(a + share * (b - a)), 0), (0.09, 0.09, 1.65), RUST)
    green = np.asarray((0.06, 0.11, 0.07)) * rng.uniform(0.8, 1.4)
    box.box((-0.85, 0.2, 0.16), (1.35, 1.05, 0.95), green, taper=1.06)
    box.box((-0.85, 0.2, 1.11), (1.45, 1.15, 0.06), green * 0.7)
    box.box((-0.85, 0.25, 1.17), (1.3, 0.95, 0.16), green * 0.8, taper=0.8)
    for x in (-1.4, -0.3):
        for y in (-0.2, 0.6):
            box.tube((x, y - 0.03, 0.08), (x, y + 0.03, 0.08), 0.08, (0.03,) * 3, sides=9)
    for _ in range(4):
        where = (-0.9 + rng.uniform(-0.4, 0.6), -0.6 + rng.uniform(-0.15, 0.1), 0.16)
        tone = rng.choice([[0.03, 0.03, 0.035], [0.5, 0.5, 0.52], [0.08, 0.1, 0.3]])
        box.ball(where, tuple(rng.uniform(0.16, 0.26, 3)), tone, rough=1 + 0.12 * rng.standard_normal((9, 15)))
    bins = [make_wheeled_bin(10 * number + slot, (0.3 + 0.65 * slot, 0.35, 0.0), rng.uniform(-9, 9), rng)
            for slot in range(3)]  # fmt: skip
    meshes = [
        walls.mesh(f"Enclosure_{number}", surfaces.wood()),
        box.mesh(f"Container_{number}", surfaces.paint(), 0.1),
    ]
    meshes += [mesh for bin_ in bins for mesh in bin_.meshes]
    circles = tuple((x, y, 0.55) for x in (-1.5, -0.5, 0.5, 1.5) for y in (-0.5, 0.6))
    return Prop(tuple(meshes), circles).placed(at, yaw_deg)


def make_swing(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A frame 3.4 m long with two swings on chains."""
    frame = Solid()
    paint = np.asarray(((0.45, 0.06, 0.05), (0.06, 0.16, 0.35), (0.5, 0.36, 0.05))[int(rng.integers(3))])
    for x in (-1.7, 1.7):
        for y in (-0.95, 0.95):
            frame.tube((x, y, 0), (x, 0, 2.3), 0.045, paint, sides=8, cap=False)
        frame.tube((x, -0.5, 1.1), (x, 0.5, 1.1), 0.025, paint, sides=6)
    frame.tube((-1.8, 0, 2.3), (1.8, 0, 2.3), 0.05, paint, sides=8)
    for middle in (-0.75, 0.75):
        sway = rng.uniform(-0.12, 0.12)
        for x in (middle - 0.22, middle + 0.22):
            frame.tube((x, 0, 2.28), (x, sway, 0.48), 0.012, STEEL, sides=4, cap=False)
        frame.box((middle, sway, 0.45), (0.5, 0.2, 0.04), (0.04, 0.04, 0.045))
    circles = tuple((x, y, 0.25) for x in (-1.7, -0.75, 0.0, 0.75, 1.7) for y in (-0.5, 0.0, 0.5))
    return Prop((frame.mesh(f"Swing_{number}", surfaces.paint(), 0.15),), circles).placed(at, yaw_deg)


def make_tennis_table(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A concrete table-tennis table with an iron net."""
    table = Solid()
    top = np.asarray((0.1, 0.24, 0.16)) * rng.uniform(0.9, 1.3)
    table.box((0, 0, 0.7), (2.74, 1.525, 0.06), top)
    for x0, x1, y0, y1 in ((-1.37, 1.37, -0.76, -0.73), (-1.37, 1.37, 0.73, 0.76), (-1.37, -1.34, -0.76, 0.76),
                           (1.34, 1.37, -0.76, 0.76), (-1.37, 1.37, -0.008, 0.008)):  # fmt: skip
        table.floor(x0, y0, x1, y1, 0.763, (0.7, 0.7, 0.68))
    for x in (-0.85, 0.85):
        table.box((x, 0, 0), (0.18, 1.0, 0.7), CONCRETE)
    table.box((0, 0, 0.76), (0.02, 1.6, 0.15), STEEL)
    circles = tuple((x, y, 0.5) for x in (-1.0, -0.35, 0.35, 1.0) for y in (-0.35, 0.35))
    return Prop((table.mesh(f"Table_{number}", surfaces.paint(), 0.1),), circles).placed(at, yaw_deg)


def make_washing_line(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """Two posts 4 m apart along X, lines between them, washing on the lines."""
    posts, cloth = Solid(), Solid()
    for x in (-2.0, 2.0):
        posts.tube((x, 0, 0), (x, 0, 1.95), 0.035, STEEL, sides=8)
        posts.tube((x, -0.55, 1.93), (x, 0.55, 1.93), 0.025, STEEL, sides=6)
    for y in (-0.5, 0.0, 0.5):
        share = np.linspace(0, 1, 9)
        sag = 1.92 - 0.16 * share * (1 - share) * 4
        posts.rod(np.stack([4 * share - 2, np.full(9, y), sag], -1), 0.006, (0.6, 0.6, 0.55), sides=3)
        x = -1.8 + rng.uniform(0, 0.3)
        while x < 1.5:
            wide, drop = rng.uniform(0.3, 1.1), rng.uniform(0.4, 1.15)
            u, v = np.meshgrid(np.linspace(0, 1, 7), np.linspace(1, 0, 5), indexing="ij")
            fold = 0.035 * np.sin(9 * u + rng.uniform(0, 6)) * (1.1 - v) + 0.06 * (1 - v) ** 2 * rng.uniform(-1, 1)
            top = np.interp((x + u * wide + 2) / 4, share, sag)
            tone = rng.choice([[0.72, 0.71, 0.68], [0.62, 0.63, 0.67], [0.2, 0.28, 0.45], [0.5, 0.15, 0.14],
                               [0.55, 0.5, 0.38], [0.2, 0.22, 0.24]])  # fmt: skip
            points = np.stack([x + u * wide, y + fold, top - (1 - v) * drop], -1)[:, ::-1]
            shade = (0.9 + 4 * (fold - fold.mean()))[:, ::-1, None]
            cloth.sheet(points, shade * tone)
            x += wide + rng.uniform(0.05, 0.5)
    meshes = (
        posts.mesh(f"WashingLine_{number}", surfaces.paint(), 0.1),
        cloth.mesh(f"Washing_{number}", surfaces.plaster(rng)),
    )
    circles = tuple((x, 0.0, 0.5) for x in np.linspace(-2, 2, 6))
    return Prop(meshes, circles).placed(at, yaw_deg)


def make_notice_board(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A glazed board on two posts, full of notices, under a small roof; it faces -Y."""
    board = Solid()
    for x in (-0.75, 0.75):
        board.box((x, 0, 0), (0.09, 0.09, 2.15), (0.35, 0.24, 0.15))
    for z in np.arange(0.95, 1.9, 0.15):
        board.box((0, 0.005, z), (1.45, 0.06, 0.145), rng.uniform(0.3, 0.5) * np.array([1.0, 0.85, 0.7]))
    for y in (-0.17, 0.17):
        ends = np.array([[-0.95, y, 2.1], [0.95, y, 2.1], [0.95, 0, 2.28], [-0.95, 0, 2.28]])
        board.quad(ends if y < 0 else ends[::-1], (0.3, 0.1, 0.07))
    meshes = [board.mesh(f"NoticeBoard_{number}", surfaces.wood(), 0.05)]
    notes = Solid()
    notes.quad(np.array([[-0.66, -0.04, 1.01], [0.66, -0.04, 1.01], [0.66, -0.04, 1.93], [-0.66, -0.04, 1.93]]))
    meshes.append(notes.mesh(f"Notices_{number}", _notices(rng), 0.3))
    return Prop(tuple(meshes), ((-0.5, 0, 0.25), (0.0, 0, 0.25), (0.5, 0, 0.25))).placed(at, yaw_deg)


def _notices(rng: np.random.Generator) -> np.ndarray:
    """Sheets of paper pinned on cork, [180, 256, 3] uint8."""
    image = np.full((180, 256, 3), (140, 108, 72), np.uint8)
    for column in range(5):
        for row in range(2):
            top, left = 8 + 86 * row + int(rng.integers(-4, 10)), 6 + 50 * column + int(rng.integers(-3, 4))
            sheet = poster(rng, (42, 60)) if rng.random() < 0.35 else np.full((60, 42, 3), 226, np.uint8)
            if sheet[0, 0, 0] == 226:
                for line in range(8, 54, 6):
                    sheet[line : line + 2, 5 : int(rng.integers(20, 38))] = 105
            high, wide = min(sheet.shape[0], 178 - top), min(sheet.shape[1], 254 - left)
            image[top : top + high, left : left + wide] = sheet[:high, :wide]
    return image
