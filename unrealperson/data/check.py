"""What a data set holds, and whether its files are what its manifest says."""

from __future__ import annotations

import hashlib
from collections import Counter, defaultdict
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import load_image, read_bytes
from unrealperson.log import track
from unrealperson.schema import UNKNOWN


@dataclass(frozen=True)
class Findings:
    """What `check` found; paths are below the data set's root.

    Attributes:
        statistics: name -> number or text.
        missing: images that are not there.
        damaged: images that can not be decoded, or have another size than their row says.
        changed: images whose content is not what the manifest recorded.
        duplicates: groups of images with the same content.
    """

    statistics: dict[str, Any]
    missing: list[str]
    damaged: list[str]
    changed: list[str]
    duplicates: list[list[str]]

    @property
    def healthy(self) -> bool:
        """Whether every image is there and is what its row says; duplicates alone do no harm."""
        return not (self.missing or self.damaged or self.changed)


def check(manifest: Manifest) -> Findings:
    """Reads every image of a data set and compares it with its row.

    Args:
        manifest: the data set.
    """
    missing, damaged, changed = [], [], []
    same: dict[str, list[str]] = defaultdict(list)
    digests, widths, heights = (manifest.column(name) for name in ("sha256", "width", "height"))
    for row, path in enumerate(track(manifest.path, label="check", unit="img")):
        file = manifest.image_path(row)
        try:
            digest = hashlib.sha256(read_bytes(file)).hexdigest()
        except ValueError:
            missing.append(path)
            continue
        same[digest].append(path)
        try:
            height, width = load_image(file).shape[:2]
        except ValueError:
            damaged.append(path)
            continue
        if digests[row] and digests[row] != digest:
            changed.append(path)
        elif widths[row] != UNKNOWN and (widths[row], heights[row]) != (width, height):
            damaged.append(path)
    twice = [paths for paths in same.values() if len(paths) > 1]
    return Findings(statistics(manifest), missing, damaged, changed, twice)


def statistics(manifest: Manifest) -> dict[str, Any]:
    """Numbers that describe a data set.

    Args:
        manifest: the data set.
    """
    named = manifest.pid != UNKNOWN
    _, counts = np.unique(manifest.pid[named], return_counts=True)
    known = named & (manifest.camid != UNKNOWN)
    pairs = np.unique(np.stack([manifest.pid[known], manifest.camid[known]], axis=1), axis=0)
    _, cameras = np.unique(pairs[:, 0], return_counts=True)
    numbers: dict[str, Any] = {
        "images": len(manifest),
        "identities": len(manifest.identities),
        "cameras": len(manifest.cameras),
        "images without identity": int(np.count_nonzero(~named)),
        "images without camera": int(np.count_nonzero(manifest.camid == UNKNOWN)),
        "images per identity": _spread(counts),
        "cameras per identity": _spread(cameras),
        "identities of one camera": int(np.count_nonzero(cameras == 1)),
        "width": _spread(manifest.column("width")[manifest.column("width") > 0]),
        "height": _spread(manifest.column("height")[manifest.column("height") > 0]),
    }
    visibility = manifest.column("visibility")
    if not np.isnan(visibility).all():
        numbers["visibility"] = _spread(visibility[~np.isnan(visibility)])
    for split, count in sorted(Counter(manifest.split.tolist()).items()):
        numbers[f"split {split or 'unknown'}"] = count
    return numbers


def _spread(values: np.ndarray) -> str:
    if not len(values):
        return "unknown"
    low, middle, high = np.quantile(values, [0, 0.5, 1])
    return f"{low:.4g} ... {high:.4g}, median {middle:.4g}"
