"""Ground truth about people in an image: boxes, pixels, key points, direction, distance."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

from unrealperson.synth.silhouettes import extents, silhouette
from unrealperson.synth.view import View

if TYPE_CHECKING:
    from unrealperson.synth.world import Actor

NEAR_M = 0.05
"""Body points nearer than this to the camera's plane are left out."""
_FACE_POINTS, _FACE_M, _LIMB_M = 5, 0.09, 0.2
"""How far behind the foremost surface a point of the face, or a joint inside a limb, may lie and be seen."""
_LEAST_PIXELS = 4


def describe_camera(view: View, width: int, height: int) -> dict[str, Any]:
    """Pose and intrinsics of a camera.

    Args:
        view: the camera.
        width: image width in pixels.
        height: image height in pixels.

    Returns:
        `location_m` x, y, z and `axes` right, forward, up (rows) in world coordinates, `fov_deg` horizontal,
        `focal_px`, and `principal_px` x, y.
    """
    return {
        "location_m": [round(value, 6) for value in view.position_m],
        "axes": view.axes().round(8).tolist(),
        "fov_deg": view.fov_deg,
        "focal_px": round(width / (2.0 * math.tan(math.radians(view.fov_deg) / 2.0)), 6),
        "principal_px": [width / 2, height / 2],
    }


def describe_person(
    actor: Actor,
    view: View,
    mask: np.ndarray,  # [H, W, 3] uint8
    color: tuple[int, int, int],
    names: Mapping[tuple[int, int, int], str] = MappingProxyType({}),
) -> dict[str, Any] | None:
    """What a camera sees of one person.

    Args:
        actor: the person in the world.
        view: the camera.
        mask: [H, W, 3] uint8 object mask of that camera at this instant.
        color: the person's mask colour.
        names: object of each mask colour, for the occluders.

    Returns:
        None where the person lies outside the image, otherwise `person`, `full_box` (of the whole body, may reach
        outside the image) and `visible_box` (xyxy pixels, half-open; None where hidden), `pixels` visible,
        `unoccluded_pixels` inside the image if nothing else were there, `occluders` (pixels that each object hides,
        the worst first), `keypoints` 17 x (x, y, v) in COCO order with v 0 outside, 1 hidden by something or by the
        person's own body, 2 visible, `position_m` x, y on the ground, `yaw_deg` (0 faces away from the camera, 180
        towards it, counter-clockwise seen from above), `heading_deg` (counter-clockwise from +X), `speed_mps`,
        `distance_m`.
    """
    height, width = mask.shape[:2]
    vertices, faces = actor.surface()
    points, depth_m = view.project(vertices, width, height)
    left, top, right, bottom, known = extents(points, depth_m, near_m=NEAR_M)
    if not known or right <= 0 or bottom <= 0 or left >= width or top >= height:
        return None
    whole = known == len(points)
    x, y = (max(int(left) - 2, 0), max(int(top) - 2, 0)) if whole else (0, 0)
    near = mask[y : int(bottom) + 3, x : int(right) + 3] if whole else mask
    own = _own(near, color)
    pixels, seen_box = _extent(own, x, y)
    front = silhouette(points, depth_m, faces, (x, y, x + near.shape[1], y + near.shape[0]), near_m=NEAR_M)
    covered = np.isfinite(front)
    offset_m = np.asarray(actor.position_m, float) - np.asarray(view.position_m, float)
    towards_deg = math.degrees(math.atan2(offset_m[1], offset_m[0]))
    return {
        "person": actor.person.number,
        "full_box": [round(float(value), 2) for value in (left, top, right, bottom)],
        "visible_box": seen_box,
        "pixels": pixels,
        "unoccluded_pixels": int((covered | own).sum()),
        "occluders": _occluders(near[covered & ~own], names),
        "keypoints": _describe_keypoints(actor, view, (width, height), (x, y), own, front),
        "position_m": [round(float(value), 4) for value in actor.position_m[:2]],
        "yaw_deg": round((actor.yaw_deg - towards_deg) % 360.0, 3),
        "heading_deg": round(actor.yaw_deg % 360.0, 3),
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
    moved = bent(np.array(edge + [(x, y) for x, y, _ in person["keypoints"]]))
    outline = moved[: len(edge)]
    full_box = [float(value) for value in (*outline.min(0), *outline.max(0))]
    x, y = (max(int(value) - 4, 0) for value in full_box[:2])
    near = mask[y : max(int(full_box[3]) + 5, 0), x : max(int(full_box[2]) + 5, 0)]
    pixels, seen_box = _extent(_own(near, color), x, y)
    keypoints = []
    for (x_px, y_px), (_, _, seen) in zip(moved[len(edge) :].tolist(), person["keypoints"], strict=True):
        inside = seen and 0 <= x_px < width and 0 <= y_px < height
        keypoints.append([round(x_px, 2), round(y_px, 2), seen] if inside else [0.0, 0.0, 0])
    full_box = [round(value, 2) for value in full_box]
    stretch = pixels / person["pixels"] if person["pixels"] else 1.0
    return person | {
        "full_box": full_box,
        "visible_box": seen_box,
        "pixels": pixels,
        "unoccluded_pixels": max(round(person["unoccluded_pixels"] * stretch), pixels),
        "occluders": {name: round(hidden * stretch) for name, hidden in person["occluders"].items()},
        "keypoints": keypoints,
    }


def _own(mask: np.ndarray, color: tuple[int, int, int]) -> np.ndarray:
    return (mask[..., 0] == color[0]) & (mask[..., 1] == color[1]) & (mask[..., 2] == color[2])


def _extent(own: np.ndarray, left: int, top: int) -> tuple[int, list[int] | None]:
    """Number of a person's pixels in a part of the image, and their box in the whole image."""
    rows, columns = np.nonzero(own)
    if not len(rows):
        return 0, None
    box = [left + columns.min(), top + rows.min(), left + columns.max() + 1, top + rows.max() + 1]
    return len(rows), [int(value) for value in box]


def _occluders(hiding: np.ndarray, names: Mapping[tuple[int, int, int], str]) -> dict[str, int]:
    """Pixels by the object that hides them; a pixel or two along an outline hides nothing."""
    if not len(hiding):
        return {}
    codes, counts = np.unique(hiding.astype(np.uint32) @ np.array([1 << 16, 1 << 8, 1], np.uint32), return_counts=True)
    found: dict[str, int] = {}
    for code, pixels in zip(codes.tolist(), counts.tolist(), strict=True):
        found[names.get((code >> 16, code >> 8 & 255, code & 255), "")] = pixels
    worst = sorted(found.items(), key=lambda item: (-item[1], item[0]))
    return {name: pixels for name, pixels in worst if name and pixels >= _LEAST_PIXELS}


def _describe_keypoints(
    actor: Actor,
    view: View,
    size: tuple[int, int],
    corner: tuple[int, int],
    own: np.ndarray,
    front: np.ndarray,
) -> list[list[float]]:
    """A key point is visible where the person's own pixels lie within 2 pixels and no other limb is before it."""
    described = []
    points, depth_m = view.project(actor.keypoints(), *size)
    for order, ((x, y), depth) in enumerate(zip(points.tolist(), depth_m.tolist(), strict=True)):
        if depth <= NEAR_M or not (0 <= x < size[0] and 0 <= y < size[1]):
            described.append([0.0, 0.0, 0])
            continue
        column, row = int(x) - corner[0], int(y) - corner[1]
        window = slice(max(row - 2, 0), max(row + 3, 0)), slice(max(column - 2, 0), max(column + 3, 0))
        inside_m = _FACE_M if order < _FACE_POINTS else _LIMB_M
        seen = own[window].any() and front[window].size and depth - front[window].min() < inside_m
        described.append([round(x, 2), round(y, 2), 2 if seen else 1])
    return described
