"""Whether an ONNX file computes what its network computes: the gate that a file passes before it exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from unrealperson.data.sources import load_image

BATCHES = (1, 7, 64)
ODD_SIZES = ((37, 19), (131, 57), (200, 301))
"""Heights and widths of images that a graph has to resize."""
_CROPS = 64
_RESIZED = 0.99
"""Smallest cosine after a resize in the graph, whose rounding may make a whole level of next to nothing."""

Encode = Callable[[np.ndarray, np.ndarray], np.ndarray]
"""[n, h, w, 3] uint8 images and [n] int64 table rows to [n, d] float32 features."""

Crops = Callable[[np.ndarray, tuple[int, int]], np.ndarray]
"""Rows and (height, width) to [n, height, width, 3] uint8 crops."""


def compare(
    expected: Encode,
    found: Encode,
    *,
    crops: Crops,
    count: int,
    size: tuple[int, int],
    cameras: int,
    any_size: bool,
    noise: bool,
) -> dict[str, Any]:
    """Compares two encoders on noise and on crops, under known and unknown cameras.

    Args:
        expected: what the network gives.
        found: what the file gives.
        crops: images to compare on.
        count: how many there are.
        size: (height, width) of the network's input.
        cameras: known cameras.
        any_size: compare images of odd sizes as well.
        noise: half of each batch is noise.

    Returns:
        batches, sizes, resized_min_cosine, images, min_cosine, mean_cosine, max_abs_error,
        rank1_agreement (the share of crops whose nearest other crop is the same by both; 1 where there are fewer than
        three).

    Raises:
        RuntimeError: the file gives another shape, or not finite numbers.
    """
    rng = np.random.default_rng(0)
    cosines, resized, error = [], [1.0], 0.0
    for n in BATCHES:
        images = crops(rng.integers(0, count, n), size)
        if noise:
            images[n // 2 :] = rng.integers(0, 256, images[n // 2 :].shape, dtype=np.uint8)
        a, b = _both(expected, found, images, rng.integers(-1, cameras + 2, n))
        cosines.append(_cosine(a, b))
        error = max(error, float(np.abs(a - b).max()))
    for odd in ODD_SIZES if any_size else ():
        a, b = _both(expected, found, crops(rng.integers(0, count, 2), odd), rng.integers(-1, cameras + 2, 2))
        resized.append(float(_cosine(a, b).min()))
    chosen = rng.permutation(count)[:_CROPS]
    nearest = []
    for encode in (expected, found):
        parts = [chosen[first : first + 32] for first in range(0, len(chosen), 32)]
        features = np.concatenate([encode(crops(part, size), np.full(len(part), -1)) for part in parts])
        similarity = features @ features.T
        np.fill_diagonal(similarity, -np.inf)
        nearest.append(similarity.argmax(axis=1))
    cosine = np.concatenate(cosines)
    return {
        "batches": list(BATCHES),
        "sizes": [list(odd) for odd in ODD_SIZES if any_size],
        "resized_min_cosine": min(resized),
        "images": len(cosine),
        "min_cosine": float(cosine.min()),
        "mean_cosine": float(cosine.mean()),
        "max_abs_error": error,
        "rank1_images": len(chosen),
        "rank1_agreement": float((nearest[0] == nearest[1]).mean()) if len(chosen) > 2 else 1.0,
    }


def require_parity(report: dict[str, Any], *, min_cosine: float, min_rank1_agreement: float, what: str) -> None:
    """Refuses a file that computes something else.

    Args:
        report: of `compare`.
        min_cosine: smallest cosine that passes.
        min_rank1_agreement: smallest agreement that passes.
        what: the file, for the message.

    Raises:
        RuntimeError: it fails.
    """
    resized = min(min_cosine, _RESIZED)
    least_of = {"min_cosine": min_cosine, "resized_min_cosine": resized, "rank1_agreement": min_rank1_agreement}
    for name, least in least_of.items():
        if not report[name] >= least:
            raise RuntimeError(
                f"ONNX Runtime's features differ from torch's: {name} {report[name]:.6f}, needed {least}; "
                f"{what} is not written"
            )


def crops_of(manifest: Any) -> Crops:
    """Crops of a manifest at any size.

    Args:
        manifest: its rows name the images.
    """
    return lambda rows, size: np.stack([load_image(manifest.image_path(int(row)), size=size) for row in rows])


def _both(expected: Encode, found: Encode, images: np.ndarray, rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    a, b = expected(images, rows), found(images, rows)
    if a.shape != b.shape or not np.isfinite(b).all():
        raise RuntimeError(
            f"ONNX Runtime gave {list(b.shape)} for {len(images)} images, the network {list(a.shape)}, "
            "or numbers that are not finite"
        )
    return a, b


def _cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    return (a * b).sum(1) / np.maximum(np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1), 1e-12)
