"""Cameras: exact projection, surveillance viewpoints of each scene, and what a sensor does to an image.

Source: UnrealCV conventions of `vget /camera/I/location|rotation|fov`; paper section 3.3 (34 cameras).
"""

from __future__ import annotations

import io
import math
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from unrealperson.synth.scenes import make_scene

PERSON_HEIGHT_M = 1.7
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
        yaw, pitch, roll = np.radians(self.rotation)
        forward = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)])
        right = np.array([math.sin(yaw), -math.cos(yaw), 0.0])
        up = np.cross(right, forward)
        return np.stack(
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


@dataclass(frozen=True)
class Sensor:
    """What one surveillance camera does to a clean image.

    Attributes:
        exposure: factor on linear light.
        white_balance: factors on linear red, green and blue.
        gamma: exponent on the displayed values; above 1 darkens the middle.
        contrast: factor around middle grey.
        lift: black level, 0 to 1 (haze, flare).
        saturation: 0 is grey, 1 leaves colours alone.
        blur_px: radius of the optics' blur at 640 pixels of width.
        noise: standard deviation of the brightness noise, in 255ths.
        quality: JPEG quality of the camera's own stream.
    """

    exposure: float = 1.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 1.0
    lift: float = 0.0
    saturation: float = 1.0
    blur_px: float = 0.0
    noise: float = 0.0
    quality: int = 90
    _curve: list[int] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        value = np.arange(256) / 255.0
        linear = np.where(value <= 0.04045, value / 12.92, ((value + 0.055) / 1.055) ** 2.4)
        light = linear[None] * self.exposure * np.asarray(self.white_balance)[:, None]
        shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        shown = np.where(shown > 0.9, 1.0 - 0.1 * np.exp(-(shown - 0.9) / 0.1), shown)
        shown = (shown**self.gamma - 0.45) * self.contrast + 0.45
        shown = self.lift + (1.0 - self.lift) * shown
        object.__setattr__(self, "_curve", np.clip(shown * 255.0 + 0.5, 0, 255).astype(int).ravel().tolist())

    @cached_property
    def _colors(self) -> tuple[float, ...]:
        grey = np.tile([0.299, 0.587, 0.114], (3, 1)) * (1 - self.saturation) + np.eye(3) * self.saturation
        return tuple(np.concatenate([grey, np.zeros((3, 1))], axis=1).ravel())

    def apply(self, image: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """The image as this camera would deliver it.

        Args:
            image: [H, W, 3] uint8 RGB.
            rng: source of the noise.

        Returns:
            [H, W, 3] uint8 RGB.
        """
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
            raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")
        picture = Image.fromarray(image)
        if self.blur_px > 0:
            picture = picture.filter(ImageFilter.BoxBlur(self.blur_px * image.shape[1] / 640))
        if self.saturation != 1.0:
            picture = picture.convert("RGB", self._colors)
        picture = picture.point(self._curve)
        if self.noise > 0:
            grain = rng.standard_normal(image.shape[:2], dtype=np.float32) * self.noise
            noisy = np.asarray(picture).astype(np.int16)
            noisy += np.rint(grain).astype(np.int16)[..., None]
            picture = Image.fromarray(np.clip(noisy, 0, 255, out=noisy).astype(np.uint8))
        if self.quality < 100:
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=self.quality)
            picture = Image.open(stream)
        return np.array(picture)


def _aimed(
    position_m: tuple[float, float, float], target_m: tuple[float, float, float], fov_deg: float, roll_deg: float = 0.0
) -> View:
    x, y, z = (target - own for target, own in zip(target_m, position_m, strict=True))
    yaw, pitch = math.degrees(math.atan2(y, x)), math.degrees(math.atan2(z, math.hypot(x, y)))
    return View(position_m, yaw, pitch, roll_deg, fov_deg)


_HAND_SET: dict[int, tuple[View, ...]] = {
    1: (
        _aimed((-10.4, 7.4, 3.8), (-3.2, 2.9, 0.6), 43.0),
        _aimed((9.8, 7.3, 4.9), (3.0, 2.6, 0.6), 46.0, 0.8),
        _aimed((-10.2, -2.4, 5.3), (-3.6, 2.2, 0.8), 46.0),
        _aimed((10.0, -2.3, 2.9), (1.6, 3.2, 0.9), 44.0, -0.6),
        _aimed((-0.6, 8.4, 3.2), (0.3, 1.8, 0.7), 62.0),
        _aimed((1.5, -9.3, 4.6), (-4.3, -2.2, 0.7), 46.0),
    ),
}


def camera_views(scene: int, count: int, seed: int) -> list[View]:
    """The surveillance cameras of a scene: the hand-set ones first, then as many seeded ones as asked for.

    Args:
        scene: scene number X.
        count: number of cameras, 1 or more.
        seed: chooses the seeded cameras.

    Returns:
        `count` views; a longer list starts with the shorter one. People appear about 90 to 300 pixels tall at
        640 x 480.

    Source: paper section 3.3; poses were recorded by hand there.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 camera, got {count}")
    place = make_scene(scene, 0)
    views = list(_HAND_SET[scene][:count])
    rng = np.random.default_rng([seed, scene, 101])
    while len(views) < count:
        path = place.paths[rng.integers(len(place.paths))]
        x, y = path[rng.integers(len(path))]
        angle = rng.uniform(-math.pi, math.pi)
        distance_m, height_m, tall_px = rng.uniform(5.5, 11.0), rng.uniform(2.5, 6.0), rng.uniform(115.0, 190.0)
        at = (x - distance_m * math.cos(angle), y - distance_m * math.sin(angle), height_m)
        slant_m = math.hypot(distance_m, height_m - 0.9)
        fov = 2.0 * math.degrees(math.atan(320.0 * PERSON_HEIGHT_M * distance_m / (tall_px * slant_m**2)))
        if 40.0 <= fov <= 75.0 and place.sees(at, (x, y, 0.9)):
            views.append(_aimed(at, (x, y, 0.9), fov, rng.normal(0.0, 1.0)))
    return views


def camera_sensors(scene: int, count: int, seed: int) -> list[Sensor]:
    """The sensors that belong to `camera_views`.

    Args:
        scene: scene number X.
        count: number of cameras, 1 or more.
        seed: chooses every sensor.

    Returns:
        `count` sensors; a longer list starts with the shorter one. Ranges are moderate, so that the brightness of
        images deviates by about 0.1 between them, as in real surveillance sets.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 camera, got {count}")
    sensors = []
    for camera in range(count):
        rng = np.random.default_rng([seed, scene, 102, camera])
        sensors.append(
            Sensor(
                exposure=float(np.exp(rng.uniform(-0.3, 0.3))),
                white_balance=(rng.uniform(0.88, 1.12), 1.0, rng.uniform(0.86, 1.14)),
                gamma=rng.uniform(0.88, 1.2),
                contrast=rng.uniform(0.88, 1.2),
                lift=rng.uniform(0.0, 0.05),
                saturation=rng.uniform(0.6, 1.15),
                blur_px=rng.uniform(0.0, 0.7),
                noise=rng.uniform(0.5, 4.0),
                quality=int(rng.integers(45, 91)),
            )
        )
    return sensors
