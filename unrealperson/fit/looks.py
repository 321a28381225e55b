"""What unlabelled crops look like: statistics of each crop, features, and how far two sets of crops lie apart."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
import torch
from PIL import Image

from unrealperson.config import TrainConfig
from unrealperson.data.transforms import normalise
from unrealperson.models.reid import ReidModel, build_model

HEIGHT, WIDTH = 128, 64
"""Size at which all but the size is measured, in pixels: what a network sees."""
GROUPS: dict[str, tuple[str, ...]] = {
    "light": ("brightness",),
    "contrast": ("contrast", "blacks", "whites"),
    "colour": ("red cast", "blue cast", "saturation"),
    "sharpness": ("sharpness",),
    "noise": ("noise",),
    "resolution": ("log height",),
    "aspect": ("aspect",),
}
"""Attributes and the statistics that tell them."""
LEAST_SPREAD = {
    "brightness": 0.05, "contrast": 0.03, "blacks": 0.05, "whites": 0.05, "red cast": 0.05, "blue cast": 0.05,
    "saturation": 0.03, "sharpness": 0.1, "noise": 0.3, "log height": 0.3, "aspect": 0.05,
}  # fmt: skip
"""Of a site whose crops are all alike in a statistic, this stands for their standard deviation."""
COLORS = ("black", "grey", "white", "red", "brown", "yellow", "green", "blue", "purple")
TORSO, LEGS = (slice(28, 58), slice(20, 44)), (slice(72, 104), slice(22, 42))
"""Rows and columns of HEIGHT x WIDTH that clothes fill."""
_BATCH = 64


@dataclass(frozen=True)
class Looks:
    """Measured crops.

    Attributes:
        values: [n] float64 by the name of the statistic.
        clothes: [2, len(COLORS)] float64 share of each colour among torsos, and among legs.
        features: [n, d] float32 of a network trained on ImageNet.
    """

    values: Mapping[str, np.ndarray]
    clothes: np.ndarray
    features: np.ndarray

    def __len__(self) -> int:
        return len(self.features)


def measure(crops: Sequence[np.ndarray], *, features: bool = True) -> Looks:
    """Measures crops; no label is needed.

    Args:
        crops: [h, w, 3] uint8 RGB each, of any size.
        features: also compute features, the costly part.

    Raises:
        ValueError: no crop.
    """
    if not crops:
        raise ValueError("crops must hold at least one image, got none")
    shown = np.stack([resized(crop) for crop in crops])
    parts = [_statistics(shown[start : start + _BATCH]) for start in range(0, len(shown), _BATCH)]
    table = {name: np.concatenate([part[name] for part in parts]).astype(np.float64) for name in parts[0]}
    table["log height"] = np.log2([crop.shape[0] for crop in crops])
    table["aspect"] = np.array([crop.shape[1] / crop.shape[0] for crop in crops])
    clothes = np.stack([_color_shares(shown[:, rows, columns]) for rows, columns in (TORSO, LEGS)])
    return Looks(table, clothes, embed(shown) if features else np.zeros((len(crops), 0), np.float32))


def resized(crop: np.ndarray) -> np.ndarray:
    """A crop at HEIGHT x WIDTH.

    Args:
        crop: [h, w, 3] uint8 RGB.
    """
    if crop.shape[:2] == (HEIGHT, WIDTH):
        return crop
    return np.asarray(Image.fromarray(crop).resize((WIDTH, HEIGHT), Image.Resampling.BILINEAR))


def _statistics(images: np.ndarray) -> dict[str, np.ndarray]:  # [n, HEIGHT, WIDTH, 3] uint8
    red, green, blue = (images[..., channel].astype(np.float32) / 255 for channel in range(3))
    grey = 0.299 * red + 0.587 * green + 0.114 * blue
    halved = (grey[:, ::2, ::2] + grey[:, 1::2, ::2] + grey[:, ::2, 1::2] + grey[:, 1::2, 1::2]) / 4
    fine, coarse = (np.abs(np.diff(plane, axis=2)).mean((1, 2)) for plane in (grey, halved))
    # What is left of a pixel when its neighbours are taken away, where the image is flattest: grain.
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    rest = (grey[:, 1:-1, 1:-1] - around / 4)[:, : 8 * 15, : 8 * 7].reshape(len(images), 15, 8, 7, 8)
    blocks = rest.std((2, 4)).reshape(len(images), -1)
    means = [plane.mean((1, 2)) + 0.01 for plane in (red, green, blue)]
    spread = np.maximum(np.maximum(red, green), blue) - np.minimum(np.minimum(red, green), blue)
    return {
        "brightness": grey.mean((1, 2)),
        "contrast": grey.std((1, 2)),
        "blacks": (grey < 0.1).mean((1, 2)),
        "whites": (grey > 0.9).mean((1, 2)),
        "red cast": np.log2(means[0] / means[1]),
        "blue cast": np.log2(means[2] / means[1]),
        "saturation": spread.mean((1, 2)),
        "sharpness": np.log2((fine + 1e-4) / (coarse + 1e-4)),
        "noise": np.log2(np.quantile(blocks, 0.2, axis=1) * 255 + 0.2),
    }


def _color_shares(patches: np.ndarray) -> np.ndarray:
    """[len(COLORS)] shares, by the median colour of each [n, h, w, 3] patch."""
    red, green, blue = np.median(patches.reshape(len(patches), -1, 3), axis=1).T / 255
    high, low = np.maximum(np.maximum(red, green), blue), np.minimum(np.minimum(red, green), blue)
    spread = high - low
    safe = np.maximum(spread, 1e-6)
    hue = np.where(
        high == red, (green - blue) / safe, np.where(high == green, 2 + (blue - red) / safe, 4 + (red - green) / safe)
    )
    hue = 60 * (hue % 6)
    plain = np.select([high < 0.22, high > 0.75], [0, 2], 1)
    warm = np.where(high < 0.6, COLORS.index("brown"), COLORS.index("yellow"))
    bright = np.select([hue < 15, hue < 70, hue < 165, hue < 255, hue < 330], [3, warm, 6, 7, 8], 3)
    named = np.where((high < 0.15) | (spread < 0.25 * high + 0.02), plain, bright)
    return np.bincount(named, minlength=len(COLORS)) / len(named)


@cache
def _network() -> ReidModel:
    settings = TrainConfig(backbone="efficientnet_lite0", norm="bn", height=HEIGHT, width=WIDTH)
    return build_model(settings, classes=1, cameras=0).eval()


def embed(images: np.ndarray) -> np.ndarray:
    """Features of an ImageNet network, [n, d] float32.

    Args:
        images: [n, HEIGHT, WIDTH, 3] uint8 RGB.
    """
    network = _network()
    found = []
    with torch.inference_mode():
        for start in range(0, len(images), _BATCH):
            batch = normalise(np.ascontiguousarray(images[start : start + _BATCH]))
            found.append(network(batch, torch.zeros(len(batch), dtype=torch.int64)).numpy())
    return np.concatenate(found)


def distances(ours: Looks, target: Looks, groups: Iterable[str] = ()) -> dict[str, float]:
    """How far two sets of crops lie apart in each attribute; 0 is alike.

    Args:
        ours: one set.
        target: the other, whose spread is the unit.
        groups: keys of `GROUPS`, "clothing", "features"; none: all.

    Returns:
        By attribute: for statistics the Wasserstein distance in standard deviations of the target, mean over the
        attribute's statistics; for clothing the share of people who would have to change; for features the square root
        of the kernel distance.

    Source: Binkowski et al., "Demystifying MMD GANs", ICLR 2018 (kernel distance, unbiased for few images).
    """
    found: dict[str, float] = {}
    for group in groups or (*GROUPS, "clothing", "features"):
        if group == "clothing":
            found[group] = float(np.abs(ours.clothes - target.clothes).sum(1).mean() / 2)
        elif group == "features":
            found[group] = _kernel_distance(ours.features, target.features)
        else:
            each = [
                _wasserstein(ours.values[name], target.values[name])
                / max(float(target.values[name].std()), LEAST_SPREAD[name])
                for name in GROUPS[group]
            ]
            found[group] = float(np.mean(each))
    return found


def _wasserstein(ours: np.ndarray, target: np.ndarray) -> float:
    places = (np.arange(100) + 0.5) / 100
    return float(np.abs(np.quantile(ours, places) - np.quantile(target, places)).mean())


def _kernel_distance(ours: np.ndarray, target: np.ndarray) -> float:
    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x.astype(np.float64) @ y.T / x.shape[1] + 1) ** 3

    def without_self(x: np.ndarray) -> float:
        matrix, n = kernel(x, x), len(x)
        return float((matrix.sum() - np.trace(matrix)) / max(n * (n - 1), 1))

    square = without_self(ours) + without_self(target) - 2 * float(kernel(ours, target).mean())
    return float(np.sqrt(max(square, 0.0)))
