"""Fences of wire mesh and of pickets."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.scenes.solid import Solid

STEEL = (0.3, 0.32, 0.32)


def chain_link(
    solid: Solid,
    start: tuple[float, float],
    end: tuple[float, float],
    height_m: float = 1.5,
    *,
    cell_m: float = 0.11,
    coat: tuple[float, float, float] = (0.1, 0.17, 0.12),
) -> None:
    """Adds a chain-link fence: posts, top and bottom wire, crossing wires.

    Args:
        solid: gathers it.
        start: x, y in metres.
        end: x, y in metres.
        height_m: height of the mesh.
        cell_m: distance of neighbouring wires.
        coat: colour of the posts and wires.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    long = float(np.hypot(*(b - a)))
    along = (b - a) / long
    low = 0.06
    posts = max(round(long / 2.5), 1)
    for share in np.linspace(0, 1, posts + 1):
        x, y = a + share * (b - a)
        solid.tube((x, y, 0), (x, y, height_m + 0.12), 0.026, coat, sides=6)
    for z in (low, height_m):
        solid.tube((*a, z), (*b, z), 0.006, STEEL, sides=3, cap=False)
    tall = height_m - low
    first = np.arange(-tall, long, cell_m)
    left, right = np.maximum(first, 0.0), np.minimum(first + tall, long)
    for mirrored in (False, True):
        z0, z1 = low + left - first, low + right - first
        u0, u1 = (long - left, long - right) if mirrored else (left, right)
        flat0, flat1 = a + u0[:, None] * along, a + u1[:, None] * along
        lift = np.array([0.0, 0.0, 0.006])
        p0, p1 = np.column_stack([flat0, z0]), np.column_stack([flat1, z1])
        corners = np.stack([p0 - lift, p1 - lift, p1 + lift, p0 + lift], 1)
        count = len(corners)
        normal = np.tile([along[1], -along[0], 0.0], (4 * count, 1))
        faces = np.array([[0, 1, 2], [0, 2, 3]]) + 4 * np.arange(count)[:, None, None]
        solid.add(corners.reshape(-1, 3), normal, np.zeros((4 * count, 2)), STEEL, faces.reshape(-1, 3))


def picket_fence(
    rng: np.random.Generator,
    solid: Solid,
    start: tuple[float, float],
    end: tuple[float, float],
    height_m: float = 1.0,
    *,
    paint: tuple[float, float, float] = (0.55, 0.52, 0.46),
) -> None:
    """Adds a fence of pointed pickets on two rails, weathered unevenly.

    Args:
        rng: source of the weathering.
        solid: gathers it.
        start: x, y in metres.
        end: x, y in metres.
        height_m: height of the pickets.
        paint: colour.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    long = float(np.hypot(*(b - a)))
    along = np.append((b - a) / long, 0.0)
    out = np.array([along[1], -along[0], 0.0])
    yaw_deg = float(np.degrees(np.arctan2(along[1], along[0])))
    for z in (0.28, 0.78):
        middle = (a + b) / 2
        solid.box((*middle, z * height_m), (long, 0.04, 0.07), tuple(0.75 * c for c in paint), yaw_deg=yaw_deg)
    for at in np.arange(0.0, long, 2.0):
        x, y = a + at * along[:2]
        solid.box((x, y, 0), (0.08, 0.08, 0.95 * height_m), tuple(0.7 * c for c in paint), yaw_deg=yaw_deg)
    profile = np.array([[-0.04, 0.05], [0.04, 0.05], [0.04, 0.93], [0.0, 1.0], [-0.04, 0.93]])
    for at in np.arange(0.06, long, 0.135):
        foot = np.append(a, 0.0) + (at + rng.uniform(-0.008, 0.008)) * along + 0.03 * out
        tall = height_m * rng.uniform(0.97, 1.02)
        corners = foot + profile[:, :1] * along + profile[:, 1:] * tall * np.array([0.0, 0.0, 1.0])
        tone = np.array([0.6, 0.6, 1.0, 1.0, 1.0])[:, None] * np.asarray(paint) * rng.uniform(0.8, 1.08)
        solid.add(
            corners, np.tile(out, (5, 1)), profile + rng.uniform(), tone, np.array([[0, 1, 2], [0, 2, 4], [2, 3, 4]])
        )


def hoop_rail(solid: Solid, start: tuple[float, float], end: tuple[float, float]) -> list[tuple[float, float, float]]:
    """Adds knee-high hoops that keep feet off a lawn.

    Args:
        solid: gathers them.
        start: x, y in metres.
        end: x, y in metres.

    Returns:
        Circles that people walk around.
    """
    a, b = np.asarray(start, float), np.asarray(end, float)
    count = max(round(float(np.hypot(*(b - a))) / 1.25), 1)
    for number in range(count):
        x0, y0 = a + (number + 0.06) / count * (b - a)
        x1, y1 = a + (number + 0.94) / count * (b - a)
        solid.rod([(x0, y0, 0), (x0, y0, 0.4), (x1, y1, 0.4), (x1, y1, 0)], 0.02, STEEL, sides=6)
    spots = a + np.linspace(0, 1, 2 * count + 1)[:, None] * (b - a)
    return [(float(x), float(y), 0.2) for x, y in spots]
