"""What a surveillance camera's sensor and its encoder do to an image."""

from __future__ import annotations

import io
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter


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
