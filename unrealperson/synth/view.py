"""A pinhole camera: exact projection, and the coordinates that UnrealCV's commands take.

Source: UnrealCV conventions of `vget /camera/I/location|rotation|fov`.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

CENTIMETRES_PER_METRE = 100.0


@dataclass(frozen=True)
class View:
    """A pinhole camera in world coordinates (metres, Z up, right-handed).

    Attributes:
        position_m: x, y, z.
        yaw_deg: counter-clockwise from +X, seen from above.
        pitch_deg: positive looks up.
        roll_deg: positive turns the camera clockwise, seen from behind.
        fov_deg: horizontal field of view, between 1 and 170.
    """

    position_m: tuple[float, float, float]
    yaw_deg: float
    pitch_deg: float
    roll_deg: float = 0.0
    fov_deg: float = 90.0

    def __post_init__(self) -> None:
        if len(self.position_m) != 3 or not all(map(math.isfinite, (*self.position_m, *self.rotation))):
            raise ValueError(f"a view needs three finite coordinates and finite angles, got {self}")
        if not 1.0 <= self.fov_deg <= 170.0:
            raise ValueError(f"fov_deg must lie in 1 ... 170 degrees, got {self.fov_deg}")

    @property
    def rotation(self) -> tuple[float, float, float]:
        """Yaw, pitch and roll in degrees."""
        return self.yaw_deg, self.pitch_deg, self.roll_deg

    def axes(self) -> np.ndarray:
        """The camera's right, forward and up axes in the world.

        Returns:
            [3, 3] float64, one unit vector a row.
        """
        yaw, pitch, roll = map(math.radians, self.rotation)
        forward = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)])
        right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
        up = np.array([-math.sin(pitch) * math.cos(yaw), -math.sin(pitch) * math.sin(yaw), math.cos(pitch)])
        return np.array(
            [
                math.cos(roll) * right - math.sin(roll) * up,
                forward,
                math.sin(roll) * right + math.cos(roll) * up,
            ]
        )

    def project(self, points: np.ndarray, width: int, height: int) -> tuple[np.ndarray, np.ndarray]:
        """Projects world points into the image.

        Args:
            points: [n, 3] metres.
            width: image width in pixels.
            height: image height in pixels.

        Returns:
            [n, 2] float64 pixels (x to the right, y down, pixel i covers i ... i + 1) and [n] float64 depth along
            the optical axis in metres; points that are not in front of the camera are not a number.

        Source: UnrealCV: f = width / (2 tan(fov / 2)).
        """
        points = np.asarray(points, np.float64)
        if points.ndim != 2 or points.shape[1] != 3:
            raise ValueError(f"points must be [n, 3] metres, got shape {list(points.shape)}")
        right, depth, up = ((points - np.asarray(self.position_m)) @ self.axes().T).T
        focal = width / (2.0 * math.tan(math.radians(self.fov_deg) / 2.0))
        safe = np.where(depth > 1e-6, depth, np.nan)
        return np.stack([width / 2 + focal * right / safe, height / 2 - focal * up / safe], axis=1), depth


def to_unreal(view: View) -> tuple[tuple[float, float, float], tuple[float, float, float]]:
    """The location and rotation that UnrealCV's commands take.

    Args:
        view: a view in our coordinates.

    Returns:
        Location x, y, z in centimetres of a left-handed frame, and pitch, yaw, roll in degrees.
    """
    x, y, z = (CENTIMETRES_PER_METRE * value for value in view.position_m)
    return (x, -y, z), (view.pitch_deg, -view.yaw_deg, view.roll_deg)


def from_unreal(location_cm: tuple[float, float, float], rotation: tuple[float, float, float], fov_deg: float) -> View:
    """The view that UnrealCV's location and rotation mean.

    Args:
        location_cm: x, y, z in centimetres of a left-handed frame.
        rotation: pitch, yaw, roll in degrees.
        fov_deg: horizontal field of view in degrees.
    """
    x, y, z = (value / CENTIMETRES_PER_METRE for value in location_cm)
    pitch, yaw, roll = rotation
    return View((x, -y, z), -yaw, pitch, roll, fov_deg)


def aimed(
    position_m: tuple[float, float, float], target_m: tuple[float, float, float], fov_deg: float, roll_deg: float = 0.0
) -> View:
    """A camera that looks at a point.

    Args:
        position_m: x, y, z of the camera.
        target_m: x, y, z of the point in the middle of its image.
        fov_deg: horizontal field of view.
        roll_deg: positive turns the camera clockwise, seen from behind.
    """
    x, y, z = (target - own for target, own in zip(target_m, position_m, strict=True))
    yaw, pitch = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
    return View(position_m, yaw, pitch, roll_deg, fov_deg)
