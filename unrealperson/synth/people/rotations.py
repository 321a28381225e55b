"""Rotation matrices of the poses: about axes, between directions, and frames."""

from __future__ import annotations

import numpy as np


def about(axis: np.ndarray, angle: float) -> np.ndarray:
    """Rotation about an axis.

    Args:
        axis: [3] unit vector.
        angle: radians, right-handed.

    Returns:
        [3, 3] float64.
    """
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + np.sin(angle) * skew + (1 - np.cos(angle)) * skew @ skew


def about_x(angle: float) -> np.ndarray:
    """Rotation about X; positive lifts the left side.

    Args:
        angle: radians.
    """
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[1.0, 0.0, 0.0], [0.0, cosine, -sine], [0.0, sine, cosine]])


def about_y(angle: float) -> np.ndarray:
    """Rotation about Y; positive bends forwards.

    Args:
        angle: radians.
    """
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, 0.0, sine], [0.0, 1.0, 0.0], [-sine, 0.0, cosine]])


def about_z(angle: float) -> np.ndarray:
    """Rotation about Z; positive turns to the left.

    Args:
        angle: radians.
    """
    sine, cosine = np.sin(angle), np.cos(angle)
    return np.array([[cosine, -sine, 0.0], [sine, cosine, 0.0], [0.0, 0.0, 1.0]])


def cross(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cross product of two vectors; many times faster than numpy's for a single pair.

    Args:
        a: [3].
        b: [3].
    """
    (ax, ay, az), (bx, by, bz) = a, b
    return np.array([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx])


def align(rest: np.ndarray, wanted: np.ndarray) -> np.ndarray:
    """The smallest rotation that turns one direction into another.

    Args:
        rest: [3] direction of any length.
        wanted: [3] direction of any length, not opposite to the first.
    """
    a, b = rest / np.linalg.norm(rest), wanted / np.linalg.norm(wanted)
    axis, cosine = cross(a, b), float(a @ b)
    skew = np.array([[0, -axis[2], axis[1]], [axis[2], 0, -axis[0]], [-axis[1], axis[0], 0]])
    return np.eye(3) + skew + skew @ skew / max(1 + cosine, 1e-9)


def frame(along: np.ndarray, across: np.ndarray) -> np.ndarray:
    """Right-handed axes as columns: first along, second as near across as a right angle allows.

    Args:
        along: [3] direction.
        across: [3] direction that is not parallel to it.
    """
    first = along / np.linalg.norm(along)
    second = across - (across @ first) * first
    second = second / np.linalg.norm(second)
    return np.stack([first, second, cross(first, second)], 1)


def downwards(angle: float, lateral: float) -> np.ndarray:
    """Unit direction of a hanging limb.

    Args:
        angle: radians forwards from the vertical.
        lateral: metres to the left per metre of height.
    """
    direction = np.array([np.sin(angle), lateral, -np.cos(angle)])
    return direction / np.linalg.norm(direction)
