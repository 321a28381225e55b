"""Ground truth about people in an image: boxes, pixels, key points, direction, distance."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from unrealperson.synth.view import View

if TYPE_CHECKING:
    from unrealperson.synth.world import Actor

NEAR_M = 0.05
"""Body points nearer than this to the camera's plane are left out."""


def describe_person(
    actor: Actor,
    view: View,
    mask: np.ndarray,  # [H, W, 3] uint8
    color: tuple[int, int, int],
) -> dict[str, Any] | None:
    """What a camera sees of one person.

    Args:
        actor: the person in the world.
        view: the camera.
        mask: [H, W, 3] uint8 object mask of that camera at this instant.
        color: the person's mask colour.

    Returns:
        None where the person lies outside the image, otherwise `person`, `full_box` (of the whole body, may reach
        outside the image) and `visible_box` (xyxy pixels, half-open; None where hidden), `pixels` visible,
        `keypoints` 17 x (x, y, v) in COCO order with v 0 outside, 1 hidden, 2 visible, `yaw_deg` (0 faces away from
        the camera, 180 towards it, counter-clockwise seen from above), `speed_mps`, `distance_m`.
    """
    height, width = mask.shape[:2]
    points, depth_m = view.project(actor.positions(), width, height)
    whole = bool((depth_m > NEAR_M).all())
    points = points[depth_m > NEAR_M]
    if not len(points):
        return None
    left, top = points.min(0)
    right, bottom = points.max(0)
    if right <= 0 or bottom <= 0 or left >= width or top >= height:
        return None
    x, y = (max(int(left) - 2, 0), max(int(top) - 2, 0)) if whole else (0, 0)
    near = mask[y : int(bottom) + 3, x : int(right) + 3] if whole else mask
    rows, columns = _pixels_of(near, color)
    seen_box = None
    if len(rows):
        seen_box = [x + int(columns.min()), y + int(rows.min()), x + int(columns.max()) + 1, y + int(rows.max()) + 1]
    offset_m = np.asarray(actor.position_m, float) - np.asarray(view.position_m, float)
    towards_deg = math.degrees(math.atan2(offset_m[1], offset_m[0]))
    return {
        "person": actor.person.number,
        "full_box": [round(float(value), 2) for value in (left, top, right, bottom)],
        "visible_box": seen_box,
        "pixels": len(rows),
        "keypoints": _describe_keypoints(actor, view, mask, color),
        "yaw_deg": round((actor.yaw_deg - towards_deg) % 360.0, 3),
        "speed_mps": round(float(actor.speed_mps), 4),
        "distance_m": round(float(np.linalg.norm(offset_m)), 4),
    }


def bend_person(
    person: dict[str, Any],
    bent: Callable[[np.ndarray], np.ndarray],
    mask: np.ndarray,  # [H, W, 3] uint8
    color: tuple[int, int, int],
) -> dict[str, Any]:
    """What `describe_person` said, for an image that a lens has bent.

    Args:
        person: of the straight image.
        bent: maps [n, 2] pixels of the straight image to the bent one.
        mask: [H, W, 3] uint8 object mask of the bent image.
        color: the person's mask colour.
    """
    height, width = mask.shape[:2]
    left, top, right, bottom = person["full_box"]
    share = np.linspace(0.0, 1.0, 9)
    xs, ys = left + share * (right - left), top + share * (bottom - top)
    edge = [*((x, y) for x in xs for y in (top, bottom)), *((x, y) for y in ys for x in (left, right))]
    outline = bent(np.array(edge))
    full_box = [float(value) for value in (*outline.min(0), *outline.max(0))]
    x, y = (max(int(value) - 4, 0) for value in full_box[:2])
    rows, columns = _pixels_of(mask[y : max(int(full_box[3]) + 5, 0), x : max(int(full_box[2]) + 5, 0)], color)
    seen_box = None
    if len(rows):
        seen_box = [x + int(columns.min()), y + int(rows.min()), x + int(columns.max()) + 1, y + int(rows.max()) + 1]
    keypoints = []
    for (x_px, y_px), (_, _, seen) in zip(
        bent(np.array(person["keypoints"], float)[:, :2]).tolist(), person["keypoints"], strict=True
    ):
        inside = seen and 0 <= x_px < width and 0 <= y_px < height
        keypoints.append([round(x_px, 2), round(y_px, 2), seen] if inside else [0.0, 0.0, 0])
    full_box = [round(value, 2) for value in full_box]
    return person | {"full_box": full_box, "visible_box": seen_box, "pixels": len(rows), "keypoints": keypoints}


def _pixels_of(mask: np.ndarray, color: tuple[int, int, int]) -> tuple[np.ndarray, np.ndarray]:
    rows, columns = np.nonzero((mask[..., 0] == color[0]) & (mask[..., 1] == color[1]) & (mask[..., 2] == color[2]))
    return rows, columns


def _describe_keypoints(actor: Actor, view: View, mask: np.ndarray, color: tuple[int, int, int]) -> list[list[float]]:
    """A key point counts as visible where the person's own pixels lie within 2 pixels of it."""
    height, width = mask.shape[:2]
    described = []
    points, depth_m = view.project(actor.keypoints(), width, height)
    for (x, y), depth in zip(points.tolist(), depth_m.tolist(), strict=True):
        if depth <= NEAR_M or not (0 <= x < width and 0 <= y < height):
            described.append([0.0, 0.0, 0])
            continue
        near = mask[max(int(y) - 2, 0) : int(y) + 3, max(int(x) - 2, 0) : int(x) + 3]
        described.append([round(x, 2), round(y, 2), 2 if len(_pixels_of(near, color)[0]) else 1])
    return described
