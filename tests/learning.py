"""A small synthetic data set for the tests of the learning part: figures of coloured rectangles."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from unrealperson.data.manifest import Manifest

torch.set_num_threads(1)  # batches this small lose more to a second thread than they gain


def make_figures(
    root: Path,
    *,
    identities: int = 4,
    cameras: int = 3,
    images: int = 3,
    test: int = 0,
    size: tuple[int, int] = (64, 32),
) -> Manifest:
    """Identities differ by the colours of head, body and legs; cameras by a colour cast.

    The last `test` identities have split "test", the others "train"; without test there is no split.
    """
    rng = np.random.default_rng(7)
    height, width = size
    colors = rng.integers(20, 235, (identities, 3, 3))
    casts = rng.uniform(0.7, 1.2, (cameras, 3))
    rows = []
    (root / "images").mkdir(parents=True, exist_ok=True)
    for person in range(identities):
        split = ("test" if person >= identities - test else "train") if test else None
        for camera in range(cameras):
            for frame in range(images):
                figure = np.full((height, width, 3), rng.integers(60, 200, 3), np.float64)
                for part, (top, bottom) in enumerate(((0.1, 0.25), (0.25, 0.6), (0.6, 0.95))):
                    figure[int(top * height) : int(bottom * height), width // 4 : -width // 4] = colors[person, part]
                figure = np.clip(figure * casts[camera] + rng.normal(0, 6, figure.shape), 0, 255).astype(np.uint8)
                path = f"images/{person}_c{camera + 1}_{frame}.png"
                Image.fromarray(figure).save(root / path)
                rows.append({"path": path, "pid": 10 + person, "camid": 1 + camera, "frame": frame, "split": split})
    return Manifest.from_rows(rows, root)
