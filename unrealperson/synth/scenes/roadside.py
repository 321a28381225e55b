"""What stands along roads: lamps, signs, traffic lights, bollards, railings, cones, hydrants.

Makers have the signature of `furniture`; what faces people looks along -Y at 0 degrees.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes import prints, surfaces
from unrealperson.synth.scenes.furniture import IRON, STEEL, Point
from unrealperson.synth.scenes.scene import Lamp, Prop
from unrealperson.synth.scenes.solid import Solid


def make_street_lamp(
    number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, height_m: float = 5.7
) -> Prop:
    """A lamp post; its arm reaches 1.3 m along -Y."""
    post = Solid()
    tone = np.asarray(IRON) * rng.uniform(0.9, 1.5)
    post.tube((0, 0, 0), (0, 0, 0.05), 0.16, tone, sides=12)
    post.tube((0, 0, 0.05), (0, 0, 1.0), 0.095, tone, sides=12)
    post.tube((0, 0, 1.0), (0, 0, 1.1), 0.095, tone, sides=12, end_radius=0.06, cap=False)
    post.tube((0, 0, 1.1), (0, 0, height_m - 0.3), 0.06, tone, end_radius=0.045, cap=False)
    post.rod(
        [(0, 0, height_m - 0.35), (0, -0.12, height_m - 0.1), (0, -0.4, height_m), (0, -1.0, height_m + 0.05)],
        0.035,
        tone,
    )
    post.box((0, -1.2, height_m), (0.26, 0.66, 0.09), tone, taper=0.8)
    post.box((0, -1.2, height_m - 0.015), (0.2, 0.5, 0.015), (0.8, 0.78, 0.7))
    post.box((0, -0.1, 0.35), (0.1, 0.02, 0.4), tone * 1.4)
    lamp = Lamp((0.0, -1.2, height_m - 0.1), (16.0, 12.5, 8.0), 14.0)
    return Prop((post.mesh(f"Lamp_{number}", surfaces.paint(), 0.2),), ((0, 0, 0.17),), (lamp,)).placed(at, yaw_deg)


def make_sign(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, kind: int | None = None) -> Prop:
    """A traffic sign on a post, of a `kind` of `prints.road_sign`; any one where not given."""
    post, face = Solid(), Solid()
    kind = int(rng.integers(5)) if kind is None else kind
    post.tube((0, 0, 0), (0, 0, 2.75), 0.03, STEEL, sides=8)
    half, low = 0.3, 2.1
    low_, high = (low, low + 2 * half)
    for side in (-1, 1):
        y = side * 0.035
        if kind in (1, 2):
            angle = np.linspace(0, 2 * np.pi, 17)[:-1]
            rim = np.stack([half * np.cos(angle), np.full(16, y), low + half + half * np.sin(angle)], 1)
            uv = 0.5 + 0.49 * np.stack([np.cos(angle), np.sin(angle)], 1)
        elif kind == 3:
            rim = np.array([(-half, y, low_), (half, y, low_), (0, y, high)])
            uv = np.array([(0.02, 0.08), (0.98, 0.08), (0.5, 0.96)])
        else:
            rim = np.array([(-half, y, low_), (half, y, low_), (half, y, high), (-half, y, high)])
            uv = np.array([(0, 0), (1, 0), (1, 1), (0, 1)], float)
        fan = np.array([(0, i, i + 1) for i in range(1, len(rim) - 1)])
        if side < 0:
            face.add(rim, np.tile([0.0, -1, 0], (len(rim), 1)), uv, (0.8,) * 3, fan)
        else:
            post.add(rim, np.tile([0.0, 1, 0], (len(rim), 1)), uv, (0.32,) * 3, fan[:, ::-1])
    meshes = (
        post.mesh(f"Sign_{number}_Post", surfaces.paint(), 0.25),
        face.mesh(f"Sign_{number}_Face", prints.road_sign(kind), 0.15),
    )
    return Prop(meshes, ((0, 0, 0.12),)).placed(at, yaw_deg)


def make_traffic_light(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A signal on a post with a box for people on foot; it looks along -Y."""
    post = Solid()
    post.tube((0, 0, 0), (0, 0, 3.4), 0.06, (0.1, 0.11, 0.11), sides=10)
    post.box((0, -0.14, 2.55), (0.3, 0.2, 0.9), (0.025,) * 3)
    post.box((0, -0.05, 2.45), (0.5, 0.02, 1.1), (0.02,) * 3)
    on = int(rng.integers(3))
    for lens, (z, tone) in enumerate(((3.28, (0.9, 0.03, 0.02)), (3.0, (0.9, 0.45, 0.02)), (2.72, (0.03, 0.75, 0.25)))):
        shade = np.asarray(tone) * (1.0 if lens == on else 0.12)
        post.tube((0, -0.24, z), (0, -0.25, z), 0.1, shade, sides=12)
        post.tube((0, -0.25, z), (0, -0.36, z + 0.01), 0.115, (0.02,) * 3, sides=10, cap=False)
    post.box((0.12, 0, 2.0), (0.24, 0.24, 0.45), (0.025,) * 3)
    post.box((0.245, 0, 2.05), (0.01, 0.16, 0.15), (0.02, 0.3, 0.1) if on == 0 else (0.5, 0.02, 0.02))
    post.box((0, -0.08, 1.05), (0.12, 0.1, 0.2), (0.5, 0.4, 0.04))
    return Prop((post.mesh(f"Signal_{number}", surfaces.paint(), 0.2),), ((0, 0, 0.15),)).placed(at, yaw_deg)


def make_bollard(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A bollard with a pale band."""
    post = Solid()
    tone = np.asarray(IRON) * rng.uniform(0.9, 1.4)
    post.tube((0, 0, 0), (0, 0, 0.08), 0.1, tone, sides=12)
    post.tube((0, 0, 0.08), (0, 0, 0.92), 0.07, tone, sides=12, end_radius=0.06)
    post.tube((0, 0, 0.74), (0, 0, 0.82), 0.068, (0.7, 0.68, 0.62), sides=12)
    post.ball((0, 0, 0.93), (0.075, 0.075, 0.06), tone)
    return Prop((post.mesh(f"Bollard_{number}", surfaces.paint(), 0.2),), ((0, 0, 0.12),)).placed(at, yaw_deg)


def make_railing(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, length_m: float = 2.0) -> Prop:
    """A guard rail of bars, 1.05 m high; `at` is its middle, X along it."""
    rail = Solid()
    tone = np.asarray((0.09, 0.1, 0.1)) * rng.uniform(0.8, 1.4)
    half = 0.5 * length_m
    for x in np.linspace(-half, half, max(round(length_m / 2.0), 1) + 1):
        rail.tube((x, 0, 0), (x, 0, 1.07), 0.03, tone, sides=8)
    for z in (0.18, 1.02):
        rail.tube((-half, 0, z), (half, 0, z), 0.022, tone, sides=6)
    for x in np.arange(-half + 0.12, half - 0.05, 0.125):
        rail.tube((x, 0, 0.18), (x, 0, 1.02), 0.008, tone, sides=4, cap=False)
    circles = tuple((float(x), 0.0, 0.16) for x in np.linspace(-half, half, max(round(length_m / 0.3), 2)))
    return Prop((rail.mesh(f"Railing_{number}", surfaces.paint(), 0.2),), circles).placed(at, yaw_deg)


def make_cone(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A traffic cone, 0.7 m high."""
    cone = Solid()
    red, white = np.asarray((0.75, 0.14, 0.03)) * rng.uniform(0.8, 1.0), (0.75, 0.74, 0.7)
    cone.box((0, 0, 0), (0.38, 0.38, 0.04), (0.03,) * 3)
    edges = ((0.04, 0.15), (0.24, 0.115), (0.38, 0.09), (0.5, 0.068), (0.6, 0.05), (0.7, 0.03))
    for ring, ((low, wide), (high, narrow)) in enumerate(pairwise(edges)):
        tone = white if ring in (1, 3) else red
        cone.tube((0, 0, low), (0, 0, high), wide, tone, end_radius=narrow, sides=12, cap=high > 0.65)
    return Prop((cone.mesh(f"Cone_{number}", surfaces.paint(), 0.1),), ((0, 0, 0.22),)).placed(at, yaw_deg)


def make_barrier(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A road-works barrier, 2 m long, X along it."""
    boards, feet = Solid(), Solid()
    tone = rng.uniform(0.75, 0.95)
    for z in (0.42, 0.85):
        boards.box((0, 0, z), (2.0, 0.04, 0.2), (tone,) * 3, tile_m=0.5)
    for x in (-0.85, 0.85):
        feet.tube((x, 0, 0), (x, 0, 1.08), 0.022, STEEL, sides=6)
        feet.box((x, 0, 0), (0.2, 0.75, 0.09), (0.04,) * 3)
    feet.tube((0.85, 0, 1.08), (0.85, 0, 1.24), 0.08, (0.8, 0.4, 0.03), sides=10)
    meshes = (
        boards.mesh(f"Barrier_{number}_Boards", prints.striped([(0.78, 0.16, 0.12), (0.9, 0.88, 0.85)]), 0.1),
        feet.mesh(f"Barrier_{number}_Feet", surfaces.paint(), 0.2),
    )
    return Prop(meshes, tuple((x, 0.0, 0.32) for x in (-0.85, -0.3, 0.3, 0.85))).placed(at, yaw_deg)


def make_hydrant(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A fire hydrant, 0.75 m high."""
    body = Solid()
    tone = np.asarray((0.5, 0.05, 0.03)) * rng.uniform(0.7, 1.1)
    body.tube((0, 0, 0), (0, 0, 0.05), 0.16, tone, sides=12)
    body.tube((0, 0, 0.05), (0, 0, 0.55), 0.105, tone, sides=12)
    body.tube((0, 0, 0.55), (0, 0, 0.6), 0.14, tone * 1.1, sides=12)
    body.tube((0, 0, 0.6), (0, 0, 0.72), 0.115, tone, end_radius=0.04, sides=12)
    body.tube((0, 0, 0.7), (0, 0, 0.77), 0.03, tone, sides=6)
    body.tube((-0.18, 0, 0.42), (0.18, 0, 0.42), 0.055, tone * 1.1, sides=10)
    body.tube((0, 0, 0.38), (0, -0.19, 0.38), 0.07, tone * 1.1, sides=10)
    return Prop((body.mesh(f"Hydrant_{number}", surfaces.paint(), 0.25),), ((0, 0, 0.22),)).placed(at, yaw_deg)


def make_letter_box(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A letter box on a post; its slot looks along -Y."""
    body = Solid()
    tone = np.asarray(((0.62, 0.42, 0.03), (0.45, 0.03, 0.03), (0.04, 0.1, 0.28))[int(rng.integers(3))])
    body.tube((0, 0, 0), (0, 0, 0.65), 0.04, IRON, sides=8)
    body.box((0, 0, 0), (0.35, 0.3, 0.03), IRON)
    body.box((0, 0, 0.62), (0.48, 0.36, 0.62), tone)
    arch = [[(x, 0.18 * np.cos(a), 1.24 + 0.1 * np.sin(a)) for a in np.linspace(np.pi, 0, 6)] for x in (-0.24, 0.24)]
    body.sheet(np.array(arch)[::1], tone * 1.05)
    body.box((0, -0.185, 1.08), (0.3, 0.02, 0.05), (0.02,) * 3)
    body.box((0, -0.183, 0.78), (0.22, 0.01, 0.16), (0.7, 0.7, 0.66))
    return Prop((body.mesh(f"LetterBox_{number}", surfaces.paint(), 0.25),), ((0, 0, 0.32),)).placed(at, yaw_deg)
