"""Pseudo-cameras: images whose camera is not known, grouped by what a camera does to them."""

from __future__ import annotations

import numpy as np

from unrealperson.config import EvaluateConfig
from unrealperson.data.loader import Images

_BLOCK = 512
_EDGE = 8  # an eighth of the width on each side shows the background


def cluster_styles(images: Images, rows: np.ndarray, config: EvaluateConfig) -> np.ndarray:
    """Groups images by the background, light and sharpness that the images of one camera share.

    Args:
        images: the images.
        rows: [n] int64 those to group.
        config: section [evaluate]: pseudo_cameras, min_statistics_images, seed.

    Returns:
        [n] int64 pseudo-camera, 0 or more; no more of them than leave each its least number of images on average.
    """
    from scipy.cluster.vq import kmeans2

    styles = np.concatenate([_styles(images[rows[start : start + _BLOCK]]) for start in range(0, len(rows), _BLOCK)])
    styles = (styles - styles.mean(0)) / (styles.std(0) + 1e-6)
    count = max(1, min(config.pseudo_cameras, len(rows) // config.min_statistics_images))
    _, label = kmeans2(styles, count, minit="++", seed=config.seed)
    return label.astype(np.int64)


def _styles(pixels: np.ndarray) -> np.ndarray:  # [n, h, w, 3] uint8
    x = pixels.astype(np.float32) / 255
    n, height, width, _ = x.shape
    side = max(1, width // _EDGE)
    edge = np.concatenate([x[:, :, :side], x[:, :, -side:]], axis=2)
    sharpness = [np.abs(np.diff(x, axis=axis)).mean((1, 2)) for axis in (1, 2)]
    spread = edge.reshape(n, -1, 3).std(1)
    return np.concatenate(
        [edge[:, : height // 2].mean((1, 2)), edge[:, height // 2 :].mean((1, 2)), spread, *sharpness], axis=1
    )
