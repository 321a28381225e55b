"""The head below the hair: its measures, and where hair begins to grow."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np

from unrealperson.synth.people.body import Body, Template, load_template
from unrealperson.synth.people.haircuts import HAIRCUTS
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.sheets import body_guides, ramp, skin_faces

MIDDLE = np.array([0.055, 0.0, 0.755])
"""Middle of the skull on the neutral base mesh."""
_TURNS, _RISES = 48, 32


def hairline(x: np.ndarray, y: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Height of the hairline on the neutral base mesh: high over the forehead, round the ears, low at the nape.

    Args:
        x: metres forward.
        y: metres to the left.
        outfit: its haircut draws the line back over the temples.
    """
    side = np.interp(x, [-0.07, 0.0, 0.03, 0.045, 0.06, 0.085], [0.662, 0.672, 0.735, 0.742, 0.722, 0.765])
    back_m = HAIRCUTS[outfit.hair].recede_m
    temples = np.exp(-(((np.abs(y) - 0.045) / 0.02) ** 2))
    forehead = 0.803 - 6 * y**2 + 0.35 * back_m + 0.8 * back_m * temples
    ragged = 0.002 * np.sin(170 * y + 90 * x + 300 * outfit.hair_volume) + 0.0015 * np.sin(410 * y - 230 * x)
    return side + (forehead - side) * ramp(x, 0.06, 0.1) + ragged


def scalp_field(template: np.ndarray, outfit: Outfit) -> np.ndarray:
    """Metres above the hairline.

    Args:
        template: [n, 3] places on the neutral base mesh.
        outfit: names the haircut.
    """
    return template[:, 2] - hairline(template[:, 0], template[:, 1], outfit)


@dataclass(frozen=True)
class Head:
    """One person's head in the measures of the neutral base mesh, as distances from the middle of the skull.

    Attributes:
        scale: [3] metres of this body per metre of the base mesh.
        shift: [3] metres.
        reach: [turns, rises] distance of the skin.
    """

    scale: np.ndarray
    shift: np.ndarray
    reach: np.ndarray

    def to_body(self, points: np.ndarray) -> np.ndarray:
        """Places in the body.

        Args:
            points: [..., 3] places on the neutral head.
        """
        return points * self.scale + self.shift

    def from_body(self, points: np.ndarray) -> np.ndarray:
        """Places on the neutral head.

        Args:
            points: [..., 3] places in the body.
        """
        return (points - self.shift) / self.scale

    def skin(self, direction: np.ndarray) -> np.ndarray:
        """Distance of the skin from the middle of the skull.

        Args:
            direction: [..., 3] unit vectors.

        Returns:
            [...] metres on the neutral head.
        """
        turn = (np.arctan2(direction[..., 1], direction[..., 0]) / (2 * np.pi) % 1.0) * _TURNS
        rise = (np.arcsin(np.clip(direction[..., 2], -1, 1)) / np.pi + 0.5) * (_RISES - 1)
        i, j = turn.astype(int), np.minimum(rise.astype(int), _RISES - 2)
        a, b = turn - i, rise - j
        i, following = i % _TURNS, (i + 1) % _TURNS
        low = self.reach[i, j] * (1 - a) + self.reach[following, j] * a
        high = self.reach[i, j + 1] * (1 - a) + self.reach[following, j + 1] * a
        return low * (1 - b) + high * b


@lru_cache(maxsize=1)
def _head_vertices() -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Vertices of head and neck without ears, and for each direction of the table the nearest six and their weights."""
    template, guides = load_template(), body_guides()
    used = np.unique(skin_faces())
    point = template.vertices[used].astype(np.float64)
    ear = (np.abs(point[:, 1]) > 0.0785) & (point[:, 2] > 0.67)
    near = (guides.arm[used] < 0.3) & (point[:, 2] > 0.6) & ~ear
    used, point = used[near], point[near]
    away = point - MIDDLE
    away /= np.linalg.norm(away, axis=1, keepdims=True)
    turn = np.arange(_TURNS) / _TURNS * 2 * np.pi
    rise = (np.arange(_RISES) / (_RISES - 1) - 0.5) * np.pi
    table = np.stack(
        np.broadcast_arrays(
            np.cos(turn)[:, None] * np.cos(rise), np.sin(turn)[:, None] * np.cos(rise), np.sin(rise)[None]
        ),
        -1,
    ).reshape(-1, 3)
    apart = 1 - table @ away.T
    chosen = np.argpartition(apart, 6, axis=1)[:, :6]
    weight = 1 / (np.take_along_axis(apart, chosen, 1) + 2e-4)
    return used, np.flatnonzero(guides.head > 0.6), chosen, weight / weight.sum(1, keepdims=True)


def measure_head(template: Template, body: Body) -> Head:
    """Measures a person's head.

    Args:
        template: the base mesh.
        body: the person's shape.
    """
    used, head, chosen, weight = _head_vertices()
    rest, own = template.vertices[head].astype(np.float64), body.vertices[head].astype(np.float64)
    scale = np.ptp(own, axis=0) / np.ptp(rest, axis=0)
    shift = own.mean(0) - scale * rest.mean(0)
    away = (body.vertices[used] - shift) / scale - MIDDLE
    reach = (np.linalg.norm(away, axis=1)[chosen] * weight).sum(1)
    return Head(scale, shift, reach.reshape(_TURNS, _RISES))
