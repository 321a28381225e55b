"""What a surveillance camera's sensor and its encoder do to an image."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from PIL import Image, ImageFilter

from unrealperson.config import SynthConfig

SHARPENING_PX = 1.0
"""Standard deviation of the blur that a camera's unsharp mask takes away."""
_MESH = 24
"""Cells a side in which a lens's bend is taken for linear; off by less than a tenth of a pixel."""
_GREY = 0.18
"""Mean linear light of the image to which automatic exposure brings a scene: a grey card's."""
_GAINS = (0.5, 4.0)
"""Least and greatest factor of automatic exposure."""
_TOE = 0.1
"""Displayed value below which a camera's curve bends towards black instead of cutting it off."""
_SHOWN = np.arange(256) / 255.0
_LINEAR = np.where(_SHOWN <= 0.04045, _SHOWN / 12.92, ((_SHOWN + 0.055) / 1.055) ** 2.4)
"""Linear light of each displayed value."""


@dataclass(frozen=True)
class Sensor:
    """What one surveillance camera does to a clean image.

    Attributes:
        exposure: factor on linear light.
        auto: 0 keeps to `exposure` whatever the camera sees, 1 brings the mean light of each image to middle grey, as
            far as a factor of 0.5 to 4 does.
        white_balance: factors on linear red, green and blue.
        gamma: exponent on the displayed values; above 1 darkens the middle.
        contrast: factor around middle grey.
        lift: black level, 0 to 1 (haze, flare).
        saturation: 0 is grey, 1 leaves colours alone.
        blur_px: radius of the optics' blur at 640 pixels of width.
        sharpen: strength of the unsharp mask of SHARPENING_PX that the camera lays on.
        noise: standard deviation of the brightness noise, in 255ths, where nothing is amplified.
        quality: JPEG quality of the camera's own stream.
        detail: share of the pixels a side that the camera really delivers; the image is enlarged from them.
        distortion: barrel distortion of the lens, 0 ... 0.2: straight lines at the edge bend by about that share of
            half the image's diagonal.
    """

    exposure: float = 1.0
    auto: float = 0.0
    white_balance: tuple[float, float, float] = (1.0, 1.0, 1.0)
    gamma: float = 1.0
    contrast: float = 1.0
    lift: float = 0.0
    saturation: float = 1.0
    blur_px: float = 0.0
    sharpen: float = 0.0
    noise: float = 0.0
    quality: int = 90
    detail: float = 1.0
    distortion: float = 0.0

    def __post_init__(self) -> None:
        if not (0.1 <= self.detail <= 1.0 and 0.0 <= self.distortion <= 0.2):
            raise ValueError(
                f"detail must lie in 0.1 ... 1 and distortion in 0 ... 0.2, got {self.detail} and {self.distortion}"
            )
        if not 0.0 <= self.auto <= 1.0:
            raise ValueError(f"auto must lie in 0 ... 1, got {self.auto}")

    @cached_property
    def _colors(self) -> tuple[float, ...]:
        grey = np.tile([0.299, 0.587, 0.114], (3, 1)) * (1 - self.saturation) + np.eye(3) * self.saturation
        return tuple(np.concatenate([grey, np.zeros((3, 1))], axis=1).ravel())

    def _factor(self, picture: Image.Image) -> float:
        if self.auto == 0.0:
            return 1.0
        light = float(_LINEAR[np.asarray(picture)[::4, ::4]].mean())
        return float(np.clip(_GREY / max(light, 1e-6), *_GAINS) ** self.auto)

    def _curve(self, factor: float) -> list[int]:
        light = _LINEAR * (factor * self.exposure) * np.asarray(self.white_balance)[:, None]
        shown = np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)
        shown = np.where(shown > 0.9, 1.0 - 0.1 * np.exp(-(shown - 0.9) / 0.1), shown)
        shown = (shown**self.gamma - 0.45) * self.contrast + 0.45
        shown = np.where(shown < _TOE, _TOE * np.exp(shown / _TOE - 1.0), shown)
        shown = self.lift + (1.0 - self.lift) * shown
        return np.clip(shown * 255.0 + 0.5, 0, 255).astype(int).ravel().tolist()

    def apply(self, image: np.ndarray, rng: np.random.Generator, *, gain: float = 1.0) -> np.ndarray:
        """The image as this camera's electronics deliver it; what the lens does is `bend`'s.

        Args:
            image: [H, W, 3] uint8 RGB.
            rng: source of the noise.
            gain: amplification of dim light, 1 or more; noise grows with its square root.

        Returns:
            [H, W, 3] uint8 RGB.
        """
        _check(image)
        height, width = image.shape[:2]
        picture = Image.fromarray(image)
        if self.blur_px > 0:
            picture = picture.filter(ImageFilter.BoxBlur(self.blur_px * width / 640))
        if self.detail < 1.0:
            small = (max(round(width * self.detail), 1), max(round(height * self.detail), 1))
            picture = picture.resize(small, Image.Resampling.BOX if self.detail <= 0.5 else Image.Resampling.BILINEAR)
        if self.saturation != 1.0:
            picture = picture.convert("RGB", self._colors)
        picture = picture.point(self._curve(self._factor(picture)))
        if self.noise > 0:
            scale = self.noise * math.sqrt(max(gain, 1.0))
            grain = rng.standard_normal((picture.height, picture.width), dtype=np.float32) * scale
            noisy = np.asarray(picture).astype(np.int16)
            noisy += np.rint(grain).astype(np.int16)[..., None]
            picture = Image.fromarray(np.clip(noisy, 0, 255, out=noisy).astype(np.uint8))
        if self.sharpen > 0:
            picture = picture.filter(ImageFilter.UnsharpMask(SHARPENING_PX, round(100 * self.sharpen), threshold=0))
        if self.quality < 100:
            stream = io.BytesIO()
            picture.save(stream, "JPEG", quality=self.quality)
            picture = Image.open(stream, formats=("JPEG",))
        if picture.size != (width, height):
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return np.array(picture)

    def bend(self, image: np.ndarray, *, flat: bool = False) -> np.ndarray:
        """The image as this camera's lens bends it; the corners stay where they are.

        Args:
            image: [H, W, 3] uint8.
            flat: take the nearest pixel, as masks want it, instead of mixing four.

        Returns:
            [H, W, 3] uint8.
        """
        _check(image)
        if self.distortion == 0.0:
            return image
        height, width = image.shape[:2]
        xs, ys = (np.linspace(0, size, _MESH + 1).round().astype(int) for size in (width, height))
        x, y = np.meshgrid(xs, ys)
        straight = self.straighten(np.stack([x, y], -1).reshape(-1, 2), width, height).reshape(_MESH + 1, _MESH + 1, 2)
        mesh = []
        for row in range(_MESH):
            for column in range(_MESH):
                box = (int(xs[column]), int(ys[row]), int(xs[column + 1]), int(ys[row + 1]))
                corners = straight[[row, row + 1, row + 1, row], [column, column, column + 1, column + 1]]
                mesh.append((box, tuple(corners.ravel().tolist())))
        how = Image.Resampling.NEAREST if flat else Image.Resampling.BILINEAR
        return np.array(Image.fromarray(image).transform((width, height), Image.Transform.MESH, mesh, how))

    def straighten(self, points: np.ndarray, width: int, height: int) -> np.ndarray:
        """Where points of the bent image lie in the straight one.

        Args:
            points: [n, 2] pixels.
            width: image width in pixels.
            height: image height in pixels.

        Returns:
            [n, 2] float64 pixels.

        Source: first radial term of Brown's model, 1966, scaled so that the corners stay.
        """
        middle = np.array([width, height]) / 2.0
        away = np.asarray(points, np.float64) - middle
        square = (away**2).sum(-1, keepdims=True) / (middle**2).sum()
        return middle + away * (1.0 + self.distortion * square) / (1.0 + self.distortion)

    def bent(self, points: np.ndarray, width: int, height: int) -> np.ndarray:
        """Where points of the straight image lie in the bent one; the inverse of `straighten`.

        Args:
            points: [n, 2] pixels.
            width: image width in pixels.
            height: image height in pixels.

        Returns:
            [n, 2] float64 pixels.
        """
        middle = np.array([width, height]) / 2.0
        away = np.asarray(points, np.float64) - middle
        result = away.copy()
        for _ in range(12):
            square = (result**2).sum(-1, keepdims=True) / (middle**2).sum()
            result = away * (1.0 + self.distortion) / (1.0 + self.distortion * square)
        return middle + result


def _check(image: np.ndarray) -> None:
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(f"image must be uint8 [H, W, 3], got {image.dtype} {list(image.shape)}")


def camera_sensors(scene: int, count: int, seed: int, config: SynthConfig = SynthConfig()) -> list[Sensor]:  # noqa: B008
    """The sensors that belong to `camera_views`.

    Args:
        scene: scene number X.
        count: number of cameras, 1 or more.
        seed: chooses every sensor.
        config: section [synth]: the ranges sensor_exposure to sensor_quality.

    Returns:
        `count` sensors; a longer list starts with the shorter one. The ranges are moderate by default, so that the
        brightness of images deviates by about 0.1 between them, as in real surveillance sets.
    """
    if count < 1:
        raise ValueError(f"count must be at least 1 camera, got {count}")
    sensors = []
    for camera in range(count):
        rng = np.random.default_rng([seed, scene, 102, camera])
        sensors.append(
            Sensor(
                exposure=float(np.exp(rng.uniform(*config.sensor_exposure))),
                auto=config.sensor_auto_exposure,
                white_balance=(rng.uniform(*config.sensor_red), 1.0, rng.uniform(*config.sensor_blue)),
                gamma=rng.uniform(0.88, 1.2),
                contrast=rng.uniform(*config.sensor_contrast),
                lift=rng.uniform(0.0, 0.05),
                saturation=rng.uniform(*config.sensor_saturation),
                blur_px=rng.uniform(*config.sensor_blur_px),
                noise=rng.uniform(*config.sensor_noise),
                quality=int(rng.integers(config.sensor_quality[0], config.sensor_quality[1] + 1)),
                detail=float(rng.choice([1.0, 1.0, 0.75, 0.5])),
                distortion=max(rng.uniform(-0.04, 0.08), 0.0),
                sharpen=rng.uniform(*config.sensor_sharpen),
            )
        )
    return sensors
