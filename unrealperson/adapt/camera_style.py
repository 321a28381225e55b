"""The same crop as another camera would show it, from statistics of unlabelled images alone.

A camera is described by what it does to colour, sharpness, noise and spatial frequencies on average over its images. An
image moves from its camera to another by the difference of the two descriptions, so that clothes keep what tells them
from other clothes. This stands in for images of a generative network trained for each pair of cameras (CamStyle), which
are read where a folder of them is given.

Shapes: n images, h x w pixels.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from PIL import Image, ImageFilter

from unrealperson.data.loader import Images
from unrealperson.data.sources import load_image

Style = Literal["reinhard", "histogram", "fourier"]

SAMPLE = 128
"""At most so many images of a camera describe it."""
_LEVELS, _RINGS = 256, 33
_WHITE = np.array([0.950456, 1.0, 1.088754], np.float32)
_TO_XYZ = np.array(
    [[0.412453, 0.357580, 0.180423], [0.212671, 0.715160, 0.072169], [0.019334, 0.119193, 0.950227]], np.float32
)
_FROM_XYZ = np.linalg.inv(_TO_XYZ.astype(np.float64)).astype(np.float32)
_LIGHT_8BIT = np.arange(256) / 255
_LINEAR = np.where(_LIGHT_8BIT <= 0.04045, _LIGHT_8BIT / 12.92, ((_LIGHT_8BIT + 0.055) / 1.055) ** 2.4).astype(
    np.float32
)
_LAB_LOW, _LAB_HIGH = np.array([0, -100, -110], np.float32), np.array([100, 100, 110], np.float32)


def rgb_to_lab(images: np.ndarray) -> np.ndarray:
    """CIE L*a*b* under D65.

    Args:
        images: [..., 3] uint8 sRGB.

    Returns:
        [..., 3] float32, L within 0 ... 100.
    """
    xyz = _LINEAR[images] @ (_TO_XYZ / _WHITE[:, None]).T
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    x, y, z = np.moveaxis(f, -1, 0)
    return np.stack([116 * y - 16, 500 * (x - y), 200 * (y - z)], axis=-1)


def lab_to_rgb(lab: np.ndarray) -> np.ndarray:
    """The nearest sRGB colours.

    Args:
        lab: [..., 3] float32.

    Returns:
        [..., 3] uint8.
    """
    y = (lab[..., 0] + 16) / 116
    f = np.stack([y + lab[..., 1] / 500, y, y - lab[..., 2] / 200], axis=-1)
    xyz = np.where(f > 0.206893, f**3, (f - 16 / 116) / 7.787) * _WHITE
    linear = np.clip(xyz @ _FROM_XYZ.T, 0, 1)
    light = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.rint(255 * light).astype(np.uint8)


@dataclass(frozen=True)
class CameraLook:
    """What a camera does to images, on average.

    Attributes:
        mean: [3] of L*a*b*.
        deviation: [3] of L*a*b*, over all pixels of all images.
        quantiles: [3, 256] values of L*a*b* below which equal shares of the pixels lie.
        sharpness: mean difference of neighbouring pixels' light that is not noise.
        noise: standard deviation of the light's noise, of 255.
        spectrum: [33] mean amplitude of the light's frequencies, by 1/64 cycle a pixel.
    """

    mean: np.ndarray
    deviation: np.ndarray
    quantiles: np.ndarray
    sharpness: float
    noise: float
    spectrum: np.ndarray


def describe(images: np.ndarray) -> CameraLook:
    """Takes the statistics of a camera's images, or of one image.

    Args:
        images: [n, h, w, 3] uint8 RGB, n 1 or more.
    """
    lab = rgb_to_lab(images)
    pixels = lab.reshape(-1, 3)
    light = _light(images)
    noise = float(np.mean([_noise(each) for each in light]))
    return CameraLook(
        mean=pixels.mean(0),
        deviation=pixels.std(0).clip(1e-3),
        quantiles=np.quantile(pixels, np.linspace(0, 1, _LEVELS), axis=0).T.astype(np.float32),
        sharpness=_sharpness(light, noise),
        noise=noise,
        spectrum=_spectrum(light),
    )


class CameraStyles:
    """Moves images between the cameras of a data set.

    Args:
        images: the data set.
        camera: [n] int64 camera of each image, 0 ... cameras - 1.
        style: how colours move: by mean and deviation of L*a*b* ("reinhard"), by their whole distribution
            ("histogram"), or by the amplitudes of low frequencies ("fourier").
        seed: of the sample of 128 images that describes a camera, and of the noise.
        folder: CamStyle images to take where they exist; None makes all.

    Source: Reinhard et al., "Color transfer between images", 2001; Yang and Soatto, "FDA", CVPR 2020; Zhong et al.,
    "Camera style adaptation", CVPR 2018, for the folders.
    """

    def __init__(
        self, images: Images, camera: np.ndarray, *, style: Style = "reinhard", seed: int = 0, folder: str = ""
    ) -> None:
        self.images, self.camera, self.style, self.seed = images, camera, style, seed
        self.folder = _CamStyleFolder(images, Path(folder)) if folder else None
        self.looks: list[CameraLook] = []
        for number in range(int(camera.max()) + 1):
            rows = np.random.default_rng([seed, number]).permutation(np.flatnonzero(camera == number))[:SAMPLE]
            self.looks.append(describe(images[rows]))

    def views(self, rows: np.ndarray, target: np.ndarray, seed: Sequence[int], first: int = 0) -> np.ndarray:
        """Images as other cameras show them; the image itself where it is its own camera.

        Args:
            rows: [n] int images.
            target: [n] int camera of each view.
            seed: of the noise, with the place of the view.
            first: place of the first view.

        Returns:
            [n, h, w, 3] uint8.
        """
        result = self.images[rows].copy()
        for place, (row, to) in enumerate(zip(rows.tolist(), target.tolist(), strict=True)):
            if to == self.camera[row]:
                continue
            stored = self.folder.read(row, to) if self.folder else None
            if stored is None:
                rng = np.random.default_rng([*seed, first + place])
                stored = self.move(result[place], int(self.camera[row]), to, rng)
            result[place] = stored
        return result

    def move(self, image: np.ndarray, source: int, target: int, rng: np.random.Generator) -> np.ndarray:
        """One image from one camera to another.

        Args:
            image: [h, w, 3] uint8.
            source: its camera.
            target: another camera.
            rng: of the noise.

        Returns:
            [h, w, 3] uint8.
        """
        before, after = self.looks[source], self.looks[target]
        image = _match_sharpness(image, before, after)
        if self.style == "fourier":
            return _add_noise(_match_spectrum(image, before, after), before, after, rng)
        lab = rgb_to_lab(image)
        if self.style == "histogram":
            for channel in range(3):
                moved = np.interp(lab[..., channel], before.quantiles[channel], after.quantiles[channel])
                lab[..., channel] = moved
        else:
            lab = (lab - before.mean) * (after.deviation / before.deviation).clip(0.5, 2) + after.mean
        return _add_noise(lab_to_rgb(np.clip(lab, _LAB_LOW, _LAB_HIGH)), before, after, rng)


class _CamStyleFolder:
    """Images named X_fake_{c}to{k}.jpg, or X_fake_{k}.jpg, for image X of camera c in the style of camera k."""

    def __init__(self, images: Images, folder: Path) -> None:
        if not folder.is_dir():
            raise ValueError(f"adapt.camstyle: there is no folder {folder}; leave it empty to make views without one")
        self.images, self.keys = images, np.unique(images.manifest.camid)
        self.paths = {path.stem: path for path in sorted(folder.rglob("*_fake_*")) if path.is_file()}
        if not self.paths:
            raise ValueError(
                f"adapt.camstyle: {folder} holds no image named X_fake_1to2.jpg or X_fake_2.jpg; "
                "leave it empty to make views without a folder"
            )

    def read(self, row: int, target: int) -> np.ndarray | None:
        manifest = self.images.manifest
        stem, own, other = Path(manifest.path[row]).stem, manifest.camid[row], self.keys[target]
        for name in (f"{stem}_fake_{own}to{other}", f"{stem}_fake_{other}"):
            if name in self.paths:
                return load_image(self.paths[name], size=(self.images.height, self.images.width))
        return None


def contact_sheet(styles: CameraStyles, rows: Sequence[int]) -> np.ndarray:
    """One line of views for each image: the image, then every camera in its order.

    Args:
        styles: the cameras.
        rows: images.

    Returns:
        [lines * h, (cameras + 1) * w, 3] uint8.
    """
    cameras = np.arange(len(styles.looks))
    lines = []
    for row in rows:
        views = styles.views(np.full(len(cameras), row), cameras, [styles.seed, row])
        lines.append(np.concatenate([styles.images[np.array([row])][0], *views], axis=1))
    return np.concatenate(lines)


def _light(images: np.ndarray) -> np.ndarray:
    return images.astype(np.float32) @ np.array([0.299, 0.587, 0.114], np.float32)


def _noise(light: np.ndarray) -> float:
    """Robust standard deviation of what a Laplacian finds, which people and walls hardly have (Immerkaer 1996)."""
    inner = light[1:-1, 1:-1]
    edges = light[:-2, 1:-1] + light[2:, 1:-1] + light[1:-1, :-2] + light[1:-1, 2:]
    corners = light[:-2, :-2] + light[:-2, 2:] + light[2:, :-2] + light[2:, 2:]
    return float(np.median(np.abs(4 * inner - 2 * edges + corners)) / (6 * 0.6745))


def _sharpness(light: np.ndarray, noise: float) -> float:
    """Neighbours' mean squared difference, without the 2 noise^2 that noise adds to it, as a root."""
    squares = np.square(np.diff(light, axis=1)).mean() + np.square(np.diff(light, axis=2)).mean()
    return float(np.sqrt(max(squares - 4 * noise**2, 1e-2)))


def _match_sharpness(image: np.ndarray, before: CameraLook, after: CameraLook) -> np.ndarray:
    ratio = float(after.sharpness / before.sharpness * before.deviation[0] / after.deviation[0])
    if 0.9 < ratio < 1.1:
        return image
    picture = Image.fromarray(image)
    if ratio < 1:
        return np.asarray(picture.filter(ImageFilter.GaussianBlur(min(2.0, 0.8 * (1 / ratio - 1) ** 0.5))))
    blurred = np.asarray(picture.filter(ImageFilter.GaussianBlur(1))).astype(np.float32)
    sharpened = image + min(ratio - 1, 1.0) * (image - blurred)
    return np.clip(np.rint(sharpened), 0, 255).astype(np.uint8)


def _ring(height: int, width: int) -> np.ndarray:
    """[h, w // 2 + 1] frequency of each wave in 1/64 cycle a pixel, the highest ones cut off at 32."""
    down, right = np.fft.fftfreq(height)[:, None], np.fft.rfftfreq(width)[None, :]
    return np.minimum(64 * np.hypot(down, right), _RINGS - 1)


def _spectrum(light: np.ndarray) -> np.ndarray:
    amplitude = np.abs(np.fft.rfft2(light)).mean(0)
    ring = np.rint(_ring(*light.shape[1:])).astype(int).ravel()
    count = np.bincount(ring, minlength=_RINGS)
    return np.bincount(ring, amplitude.ravel(), minlength=_RINGS) / count.clip(1) + 1e-3


def _match_spectrum(image: np.ndarray, before: CameraLook, after: CameraLook) -> np.ndarray:
    """Low frequencies of each colour channel by the ratio of the cameras' amplitudes, smoothly none at the high ones.

    The ratio is one for all directions: what one camera's images have in common as a picture must not come along.
    """
    height, width = image.shape[:2]
    ring = _ring(height, width)
    ratio = np.interp(ring, np.arange(_RINGS), (after.spectrum / before.spectrum).clip(0.5, 2))
    waves = np.fft.rfft2(image.astype(np.float32), axes=(0, 1))
    waves *= (1 + np.exp(-0.5 * (ring / 8) ** 2) * (ratio - 1))[..., None]
    return np.clip(np.rint(np.fft.irfft2(waves, s=(height, width), axes=(0, 1))), 0, 255).astype(np.uint8)


def _add_noise(image: np.ndarray, before: CameraLook, after: CameraLook, rng: np.random.Generator) -> np.ndarray:
    """What the other camera's noise has more; noise that is there stays."""
    missing = max(0.0, after.noise**2 - before.noise**2) ** 0.5
    if missing < 0.3:
        return image
    grain = rng.standard_normal(image.shape[:2], dtype=np.float32)[..., None] * missing
    return np.clip(np.rint(image + grain), 0, 255).astype(np.uint8)
