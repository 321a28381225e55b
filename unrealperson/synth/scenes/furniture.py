"""What stands in streets, yards and halls for people to use: seats, tables, bins, stands, stalls, machines.

Every maker takes a number for its name, the place of its foot, its heading (what faces people looks along -Y at 0
degrees) and a generator for colours and wear, and returns a `Prop`.
"""

from __future__ import annotations

import math
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes import prints, surfaces
from unrealperson.synth.scenes.scene import Lamp, Prop
from unrealperson.synth.scenes.solid import Solid

Point = tuple[float, float, float]

IRON = (0.06, 0.065, 0.07)
STEEL = (0.42, 0.43, 0.44)
WOODS = ((0.72, 0.68, 0.62), (0.5, 0.42, 0.36), (0.85, 0.8, 0.72))
CLOTHS = ((0.5, 0.46, 0.38), (0.3, 0.05, 0.05), (0.06, 0.13, 0.1), (0.07, 0.1, 0.2), (0.55, 0.53, 0.5))


def make_bench(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A slatted bench with a back, 1.8 m long."""
    slats, frame = Solid(), Solid()
    tone = np.asarray(WOODS[int(rng.integers(len(WOODS)))])
    for offset in (-0.2, -0.07, 0.06, 0.19):
        slats.box((0, offset, 0.43), (1.8, 0.11, 0.035), tone * rng.uniform(0.85, 1.1))
    for height, offset in ((0.56, 0.27), (0.68, 0.3), (0.8, 0.33)):
        slats.box((0, offset, height), (1.8, 0.035, 0.1), tone * rng.uniform(0.85, 1.1))
    for x in (-0.72, 0.72):
        frame.rod([(x, -0.26, 0), (x, -0.24, 0.42), (x, 0.24, 0.42), (x, 0.36, 0.92)], 0.025, IRON)
        frame.rod([(x, 0.3, 0), (x, 0.22, 0.42)], 0.025, IRON)
        frame.rod([(x, -0.24, 0.42), (x, -0.22, 0.64), (x, 0.28, 0.66)], 0.02, IRON)
    meshes = (
        slats.mesh(f"Bench_{number}_Slats", surfaces.wood(), 0.05),
        frame.mesh(f"Bench_{number}_Frame", surfaces.paint(), 0.2),
    )
    return Prop(meshes, tuple((x, 0.05, 0.38) for x in (-0.65, -0.2, 0.2, 0.65))).placed(at, yaw_deg)


def make_bin(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A round litter bin with a hood."""
    body = Solid()
    tone = np.asarray(((0.06, 0.09, 0.075), (0.09, 0.09, 0.1), (0.25, 0.26, 0.27))[int(rng.integers(3))])
    body.tube((0, 0, 0), (0, 0, 0.06), 0.2, (0.04,) * 3, sides=14)
    body.tube((0, 0, 0.06), (0, 0, 0.82), 0.235, tone, sides=14, end_radius=0.25)
    for angle in np.linspace(0, 2 * math.pi, 14, endpoint=False):
        x, y = math.cos(angle), math.sin(angle)
        body.tube((0.24 * x, 0.24 * y, 0.08), (0.256 * x, 0.256 * y, 0.8), 0.012, tone * 1.6, sides=4, cap=False)
    body.tube((0, 0, 0.8), (0, 0, 0.84), 0.275, tone * 1.3, sides=14)
    body.tube((0, 0, 0.84), (0, 0, 0.845), 0.18, (0.01,) * 3, sides=14)
    for x in (-0.2, 0.2):
        body.tube((x, 0, 0.84), (x, 0, 1.02), 0.015, tone, sides=5)
    body.tube((0, 0, 1.02), (0, 0, 1.09), 0.26, tone, sides=14, end_radius=0.16)
    body.quad(np.array([(-0.09, -0.256, 0.45), (0.09, -0.256, 0.45), (0.09, -0.262, 0.65), (-0.09, -0.262, 0.65)]), 0.6)
    return Prop((body.mesh(f"Bin_{number}", surfaces.paint(), 0.15),), ((0, 0, 0.3),)).placed(at, yaw_deg)


def make_wheeled_bin(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A household bin on two wheels."""
    body = Solid()
    tone = np.asarray(((0.05, 0.12, 0.06), (0.07, 0.07, 0.075), (0.06, 0.1, 0.2), (0.2, 0.12, 0.06))[rng.integers(4)])
    lid = tone * 1.25 if rng.random() < 0.6 else np.asarray((0.5, 0.38, 0.05))
    body.box((0, 0.02, 0.08), (0.44, 0.5, 0.86), tone, taper=1.0)
    body.box((0, -0.01, 0.9), (0.5, 0.58, 0.05), tone * 0.8)
    points = [
        [(x, y, 0.95 + 0.09 * math.sin(math.pi * (0.5 + y) / 1.1)) for y in (-0.32, -0.1, 0.1, 0.3)]
        for x in (-0.25, 0.25)
    ]
    body.sheet(np.array(points), lid)
    body.box((0, -0.31, 0.9), (0.5, 0.02, 0.07), lid)
    body.tube((-0.24, 0.34, 0.95), (0.24, 0.34, 0.95), 0.016, tone * 0.7, sides=6)
    for x in (-0.24, 0.2):
        body.tube((x, 0.22, 0.1), (x + 0.05, 0.22, 0.1), 0.1, (0.02,) * 3, sides=12)
    body.quad(np.array([(-0.1, -0.236, 0.5), (0.1, -0.236, 0.5), (0.1, -0.236, 0.68), (-0.1, -0.236, 0.68)]), 0.5)
    return Prop((body.mesh(f"WheeledBin_{number}", surfaces.paint(), 0.12),), ((0, 0, 0.36),)).placed(at, yaw_deg)


def make_cafe_table(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, parasol: bool = True) -> Prop:
    """A round table with three chairs, under a parasol where asked for."""
    frame, timber = Solid(), Solid()
    frame.tube((0, 0, 0.02), (0, 0, 0.71), 0.03, IRON)
    frame.tube((0, 0, 0), (0, 0, 0.03), 0.24, IRON, sides=14, end_radius=0.2)
    timber.tube((0, 0, 0.71), (0, 0, 0.74), 0.37, (0.8, 0.76, 0.7), sides=18)
    tone = np.asarray(WOODS[int(rng.integers(len(WOODS)))])
    for angle in rng.uniform(0, 1) + np.arange(3) * 2.1 + rng.uniform(-0.25, 0.25, 3):
        cos, sin = math.cos(angle), math.sin(angle)
        out = rng.uniform(0.62, 0.8)

        def seat(along: float, across: float, up: float, cos: float = cos, sin: float = sin, out: float = out) -> Point:
            return (out + along) * cos - across * sin, (out + along) * sin + across * cos, up

        yaw = math.degrees(angle)
        timber.box(seat(0, 0, 0.435), (0.4, 0.4, 0.03), tone, yaw_deg=yaw)
        for height in (0.62, 0.76):
            timber.box(seat(0.22, 0, height), (0.025, 0.38, 0.09), tone * 0.92, yaw_deg=yaw)
        for across in (-0.18, 0.18):
            frame.rod([seat(0.2, across, 0), seat(0.17, across, 0.43), seat(0.23, across, 0.88)], 0.013, IRON, sides=5)
            frame.rod([seat(-0.19, across, 0), seat(-0.16, across, 0.43)], 0.013, IRON, sides=5)
    meshes = [
        frame.mesh(f"Table_{number}_Frame", surfaces.paint(), 0.2),
        timber.mesh(f"Table_{number}_Top", surfaces.wood(), 0.08),
    ]
    if parasol:
        cloth = np.asarray(CLOTHS[int(rng.integers(len(CLOTHS)))])
        shade = Solid()
        shade.tube((0, 0, 0.7), (0, 0, 2.62), 0.022, (0.3,) * 3)
        angles = np.linspace(0, 2 * math.pi, 9)
        ring = np.stack([np.cos(angles), np.sin(angles)], 1)
        for (ax, ay), (bx, by) in pairwise(ring):
            tone_ = cloth * rng.uniform(0.92, 1.06)
            rim = np.array([(1.3 * ax, 1.3 * ay, 2.14), (1.3 * bx, 1.3 * by, 2.14)])
            shade.quad(np.array([rim[0], rim[1], (0.02 * bx, 0.02 * by, 2.64), (0.02 * ax, 0.02 * ay, 2.64)]), tone_)
            shade.quad(np.array([rim[0] - (0, 0, 0.16), rim[1] - (0, 0, 0.16), rim[1], rim[0]]), tone_ * 0.9)
        meshes.append(shade.mesh(f"Table_{number}_Parasol", surfaces.paint()))
    return Prop(tuple(meshes), ((0, 0, 1.0),)).placed(at, yaw_deg)


def make_planter(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A stone tub with shrubs, 1.5 m long."""
    tub, shrub = Solid(), Solid()
    stone = (0.72, 0.71, 0.68)
    for x, y, wide, deep in (
        (0, -0.36, 1.5, 0.08),
        (0, 0.36, 1.5, 0.08),
        (-0.71, 0, 0.08, 0.64),
        (0.71, 0, 0.08, 0.64),
    ):
        tub.box((x, y, 0), (wide, deep, 0.52), stone)
    tub.box((0, 0, 0.02), (1.4, 0.66, 0.42), (0.16, 0.11, 0.07))
    for _ in range(280):
        spot = rng.normal(0, 1, 3) * (0.33, 0.17, 0.17)
        center = np.array([np.clip(spot[0] * 1.5, -0.72, 0.72), np.clip(spot[1], -0.42, 0.42), 0.72 + spot[2]])
        u, v = rng.normal(0, 1, (2, 3))
        u *= rng.uniform(0.06, 0.12) / np.linalg.norm(u)
        v *= rng.uniform(0.04, 0.08) / np.linalg.norm(v)
        bloom = rng.random() < 0.04
        tone = np.array([2.2, 0.5, 0.9]) if bloom else np.ones(3) * rng.uniform(0.5, 1.1) * (1 + 0.9 * spot[2])
        patch = rng.uniform(0, 1, 2) + np.array([[0, 0], [0.2, 0], [0.2, 0.2], [0, 0.2]])
        shrub.quad(np.array([center - u, center - v, center + u, center + v]), tone, patch)
    meshes = (
        tub.mesh(f"Planter_{number}_Tub", surfaces.slabs(rng, (0.62, 0.6, 0.57), 3, 2, 128)),
        shrub.mesh(f"Planter_{number}_Shrub", surfaces.leaves(rng, 128)),
    )
    return Prop(meshes, ((-0.4, 0, 0.5), (0.4, 0, 0.5), (0, 0, 0.5))).placed(at, yaw_deg)


def make_board(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """An A-board with a chalk menu or a poster on both sides."""
    frame, faces = Solid(), Solid()
    tone = ((0.25, 0.16, 0.09), (0.05, 0.05, 0.05), (0.5, 0.5, 0.5))[int(rng.integers(3))]
    for side in (-1, 1):
        for half, low, high, out, into in ((0.32, 0.0, 1.06, 0.0, frame), (0.27, 0.13, 1.01, 0.012, faces)):
            y_low, y_high = (side * (0.3 - 0.24 * level / 1.06 + out) for level in (low, high))
            corners = [(-half, y_low, low), (half, y_low, low), (half, y_high, high), (-half, y_high, high)]
            if side > 0:
                corners = [(-x, y, z) for x, y, z in corners]
            into.quad(np.array(corners), tone if into is frame else (0.9,) * 3)
    printed = prints.blackboard(rng) if rng.random() < 0.6 else prints.poster(rng, (96, 128))
    meshes = (
        frame.mesh(f"Board_{number}_Frame", surfaces.paint(), 0.05),
        faces.mesh(f"Board_{number}_Face", printed, 0.05),
    )
    return Prop(meshes, ((0, 0, 0.38),)).placed(at, yaw_deg)


def make_vending_machine(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A lit machine for drinks, 0.95 m wide; its front looks along -Y."""
    body, front = Solid(), Solid()
    tone = np.asarray(((0.45, 0.04, 0.04), (0.04, 0.1, 0.3), (0.55, 0.55, 0.55))[int(rng.integers(3))])
    body.box((0, 0, 0.06), (0.95, 0.72, 1.77), tone)
    body.box((0, 0, 0), (0.85, 0.66, 0.06), (0.03,) * 3)
    body.box((0.34, -0.365, 0.75), (0.2, 0.02, 0.75), (0.05,) * 3)
    body.box((0.34, -0.377, 1.2), (0.12, 0.01, 0.1), (0.1, 0.3, 0.35))
    body.box((-0.1, -0.365, 0.25), (0.55, 0.02, 0.2), (0.02,) * 3)
    front.quad(np.array([(-0.42, -0.366, 0.58), (0.2, -0.366, 0.58), (0.2, -0.366, 1.72), (-0.42, -0.366, 1.72)]))
    meshes = (
        body.mesh(f"Vending_{number}_Case", surfaces.paint(), 0.3),
        front.mesh(f"Vending_{number}_Front", prints.shelf_goods(rng, (96, 176), 5), 0.6),
    )
    lamp = Lamp((0.0, -0.5, 1.2), (0.8, 0.85, 0.9), 4.0)
    return Prop(meshes, ((-0.2, 0, 0.45), (0.2, 0, 0.45)), (lamp,)).placed(at, yaw_deg)


def make_kiosk(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A newspaper kiosk, 2.4 m by 1.7 m; its counter looks along -Y."""
    body, front, sign = Solid(), Solid(), Solid()
    tone = np.asarray(((0.07, 0.16, 0.11), (0.3, 0.31, 0.32), (0.22, 0.05, 0.05))[int(rng.integers(3))])
    body.box((0, 0, 0), (2.4, 1.7, 0.1), (0.3, 0.3, 0.3))
    body.box((0, 0, 0.1), (2.3, 1.6, 2.3), tone)
    for x in (-1.15, 1.15):
        for y in (-0.8, 0.8):
            body.box((x, y, 0.1), (0.09, 0.09, 2.4), tone * 0.6)
    body.box((0, -0.1, 2.4), (2.8, 2.2, 0.1), tone * 0.7)
    body.box((0, -0.1, 2.5), (2.5, 1.9, 0.12), tone * 0.8, taper=0.8)
    body.box((0, -0.95, 0.95), (2.2, 0.35, 0.05), STEEL)
    front.quad(np.array([(-1.05, -0.81, 1.02), (1.05, -0.81, 1.02), (1.05, -0.81, 2.1), (-1.05, -0.81, 2.1)]))
    for x, facing in ((-1.165, -1), (1.165, 1)):
        y0, y1 = -0.6 * -facing, 0.6 * -facing
        front.quad(np.array([(x, y0, 0.9), (x, y1, 0.9), (x, y1, 2.1), (x, y0, 2.1)]), (0.9,) * 3)
    sign.quad(np.array([(-1.2, -1.205, 2.4), (1.2, -1.205, 2.4), (1.2, -1.205, 2.62), (-1.2, -1.205, 2.62)]))
    text = str(rng.choice(["NEWS", "TICKETS", "COFFEE", "FLOWERS"]))
    meshes = (
        body.mesh(f"Kiosk_{number}_Case", surfaces.paint(), 0.1),
        front.mesh(f"Kiosk_{number}_Front", prints.shelf_goods(rng, (192, 96), 4), 0.3),
        sign.mesh(f"Kiosk_{number}_Sign", prints.lettering(text, (256, 32), (0.85, 0.82, 0.74), (0.1, 0.1, 0.12))),
    )
    lamp = Lamp((0.0, -1.1, 2.2), (1.2, 1.1, 0.9), 5.0)
    circles = tuple((x, y, 0.55) for x in (-0.75, 0.0, 0.75) for y in (-0.6, 0.35))
    return Prop(meshes, circles, (lamp,)).placed(at, yaw_deg)


def make_market_stall(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A stall 2.4 m wide with crates of fruit under a striped roof; people stand at its -Y side."""
    frame, crates, roof, fruit = Solid(), Solid(), Solid(), Solid()
    for x in (-1.15, 1.15):
        for y in (-0.6, 0.6):
            frame.tube((x, y, 0), (x, y, 2.2 if y < 0 else 2.5), 0.025, STEEL, sides=6)
    crates.box((0, 0, 0.0), (2.2, 0.9, 0.75), (0.35, 0.35, 0.37))
    for row, y in enumerate((-0.36, 0.06)):
        for x in (-0.82, -0.27, 0.28, 0.83):
            base = 0.76 + 0.12 * row
            crates.box((x, y, base), (0.52, 0.4, 0.16), (0.8, 0.72, 0.6))
            tone = np.asarray(
                ((0.5, 0.04, 0.02), (0.6, 0.28, 0.02), (0.16, 0.3, 0.03), (0.55, 0.45, 0.05), (0.2, 0.05, 0.15))[
                    int(rng.integers(5))
                ]
            )
            for _ in range(14):
                dx, dy = rng.uniform(-0.21, 0.21), rng.uniform(-0.15, 0.15)
                shade = tone * rng.uniform(0.6, 1.2)
                fruit.box(
                    (x + dx, y + dy, base + 0.13), (0.09, 0.09, 0.07), shade, yaw_deg=rng.uniform(0, 90), taper=0.6
                )
    front = [(x, -0.95, 2.02 - 0.03 * (x / 1.3) ** 2) for x in np.linspace(-1.3, 1.3, 5)]
    ridge = [(x, 0.7, 2.62 - 0.05 * (1 - (x / 1.3) ** 2)) for x in np.linspace(-1.3, 1.3, 5)]
    roof.sheet(np.stack([front, ridge], 1))
    roof.sheet(np.stack([np.array(front) - (0, 0, 0.2), front], 1), (0.9,) * 3)
    cloth = np.sqrt(np.asarray(CLOTHS[int(rng.integers(len(CLOTHS) - 1))]))
    meshes = (
        frame.mesh(f"Stall_{number}_Frame", surfaces.paint(), 0.3),
        crates.mesh(f"Stall_{number}_Crates", surfaces.wood()),
        fruit.mesh(f"Stall_{number}_Goods", surfaces.paint(), 0.1),
        roof.mesh(f"Stall_{number}_Roof", prints.striped([cloth, (0.85, 0.83, 0.78)])),
    )
    lamp = Lamp((0.0, -0.3, 2.1), (1.1, 1.0, 0.8), 4.5)
    return Prop(meshes, tuple((x, 0, 0.62) for x in (-0.8, 0.0, 0.8)), (lamp,)).placed(at, yaw_deg)


def make_bus_shelter(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A shelter 3.6 m long with a poster case at its +X end and a bench; open towards -Y."""
    frame, glass, poster = Solid(), Solid(), Solid()
    for x in (-1.75, -0.6, 0.6, 1.75):
        frame.tube((x, 0.55, 0), (x, 0.55, 2.45), 0.035, (0.16, 0.165, 0.17), sides=8)
        frame.rod([(x, 0.55, 2.4), (x, -0.75, 2.52)], 0.03, (0.16, 0.165, 0.17))
    frame.box((0, -0.12, 2.47), (3.8, 1.5, 0.06), (0.24, 0.25, 0.26))
    frame.box((0, -0.88, 2.42), (3.8, 0.04, 0.16), (0.12, 0.16, 0.2))
    for z in (0.28, 1.0, 2.2):
        frame.tube((-1.75, 0.55, z), (1.75, 0.55, z), 0.018, (0.2,) * 3, sides=6)
    frame.box((-0.5, 0.3, 0.44), (1.9, 0.34, 0.04), STEEL)
    for x in (-1.3, 0.3):
        frame.box((x, 0.35, 0), (0.05, 0.25, 0.44), (0.16,) * 3)
    frame.box((1.75, -0.1, 0.2), (0.16, 1.25, 2.05), (0.13, 0.13, 0.14))
    for x0, x1 in ((-1.7, -1.2), (1.2, 1.68)):
        glass.quad(np.array([(x0, 0.5, 0.32), (x1, 0.5, 0.32), (x1, 0.5, 0.97), (x0, 0.5, 0.97)]), (0.25, 0.29, 0.3))
    for x, facing in ((1.665, -1), (1.835, 1)):
        y0, y1 = facing * -0.55 - 0.1, facing * 0.55 - 0.1
        poster.quad(np.array([(x, y0, 0.35), (x, y1, 0.35), (x, y1, 2.1), (x, y0, 2.1)]), (0.9,) * 3)
    meshes = (
        frame.mesh(f"Shelter_{number}_Frame", surfaces.paint(), 0.25),
        glass.mesh(f"Shelter_{number}_Glass", surfaces.paint(), 0.9),
        poster.mesh(f"Shelter_{number}_Poster", prints.poster(rng), 0.4),
    )
    lamp = Lamp((0.0, -0.2, 2.35), (1.3, 1.35, 1.4), 6.0)
    circles = (*((float(x), 0.45, 0.3) for x in np.arange(-1.6, 1.7, 0.4)), (1.75, -0.1, 0.3), (1.75, -0.6, 0.2))
    return Prop(meshes, circles, (lamp,)).placed(at, yaw_deg)


def make_trolley(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A shopping trolley of wire; its handle is at -X."""
    wire = Solid()
    tone = np.asarray(STEEL) * rng.uniform(0.8, 1.15)
    low = [(-0.38, 0.2), (0.36, 0.17), (0.36, -0.17), (-0.38, -0.2)]
    high = [(-0.46, 0.27), (0.46, 0.22), (0.46, -0.22), (-0.46, -0.27)]
    for share in (0.0, 0.33, 0.66, 1.0):
        ring = [
            (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), 0.52 + 0.42 * share)
            for a, b in zip(low, high, strict=True)
        ]
        wire.rod([*ring, ring[0]], 0.008 if 0 < share < 1 else 0.012, tone, sides=4)
    for (a, b), (c, d) in (((low[0], low[1]), (high[0], high[1])), ((low[3], low[2]), (high[3], high[2]))):
        for share in np.linspace(0, 1, 9):
            foot = (a[0] + share * (b[0] - a[0]), a[1] + share * (b[1] - a[1]), 0.52)
            head = (c[0] + share * (d[0] - c[0]), c[1] + share * (d[1] - c[1]), 0.94)
            wire.rod([foot, head], 0.005, tone, sides=3)
    for share in np.linspace(-1, 1, 6):
        wire.rod(
            [
                (-0.46, 0.27 * share, 0.94),
                (-0.38, 0.2 * share, 0.52),
                (0.36, 0.17 * share, 0.52),
                (0.46, 0.22 * share, 0.94),
            ],
            0.005,
            tone,
            sides=3,
        )
    for y in (-0.22, 0.22):
        wire.rod([(-0.46, y, 0.94), (-0.58, y, 1.02)], 0.012, tone)
        wire.rod([(-0.38, y * 0.8, 0.52), (-0.46, y, 0.16), (0.42, y, 0.14)], 0.014, tone)
        for x in (-0.42, 0.4):
            wire.tube((x, y - 0.02, 0.06), (x, y + 0.02, 0.06), 0.06, (0.03,) * 3, sides=10)
    wire.tube((-0.58, -0.26, 1.02), (-0.58, 0.26, 1.02), 0.017, (0.4, 0.05, 0.04), sides=7)
    return Prop((wire.mesh(f"Trolley_{number}", surfaces.paint(), 0.4),), ((-0.25, 0, 0.32), (0.2, 0, 0.32))).placed(
        at, yaw_deg
    )
