"""The unlabelled site: its images, cameras and clock, whatever is known of them, and what may be scored."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from unrealperson.config import AdaptConfig, Config
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.evaluate.pseudo_cameras import cluster_styles
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN

logger = get_logger(__name__)

LEAST_IMAGES = 8


@dataclass(frozen=True)
class Target:
    """What adaptation sees of a site; identities are not looked at.

    Attributes:
        images: the images to adapt to; an unknown camera has got a stand-in.
        camera: [n] int64 camera of each, 0 ... cameras - 1.
        camera_keys: [cameras] int64 global camera of each number.
        frame: [n] int64 on one clock of all cameras, -1 unknown.
        scored: labelled images to score, with splits query and gallery or none; None where there are none.
    """

    images: Images
    camera: np.ndarray
    camera_keys: np.ndarray
    frame: np.ndarray
    scored: Manifest | None

    def __len__(self) -> int:
        return len(self.camera)

    @property
    def timed(self) -> bool:
        """Whether times between cameras can be learnt."""
        return bool((self.frame != UNKNOWN).any()) and len(self.camera_keys) > 1


def read_target(manifest: Manifest, config: Config) -> Target:
    """Chooses what to adapt to and what to score.

    Rows with split "train" are adapted to, all rows where there is none; rows with split query and gallery are scored,
    else those with split "test", else all, where identities and cameras are known.

    Args:
        manifest: crops of the site.
        config: sections [train]: size; [adapt]: clock, ticks_per_s; [evaluate]: pseudo_cameras.

    Raises:
        ValueError: too few images.
    """
    split = manifest.split
    rows = manifest.select(split == "train") if (split == "train").any() else manifest
    if len(rows) < LEAST_IMAGES:
        raise ValueError(f"{manifest.root} has {len(rows)} images to adapt to; at least {LEAST_IMAGES} are needed")
    images = Images(rows, height=config.train.height, width=config.train.width)
    camid = rows.camid
    unknown = camid == UNKNOWN
    if unknown.any():
        found = cluster_styles(images, np.flatnonzero(unknown), config.evaluate)
        logger.warning(
            "%d images tell no camera: %d groups by background, light and sharpness stand in (evaluate.pseudo_cameras)",
            unknown.sum(), len(np.unique(found)),
        )  # fmt: skip
        camid = camid.copy()
        camid[unknown] = camid.max() + 1 + found
        images.manifest = rows.replaced("camid", camid)
    keys, camera = np.unique(camid, return_inverse=True)
    frame = clock(rows, config.adapt)
    frame[unknown] = UNKNOWN
    target = Target(images, camera, keys, frame, _scored(manifest))
    if config.adapt.clock != "off" and not target.timed:
        why = "one camera only" if len(keys) == 1 else "the images tell no times" if not unknown.all() else "no cameras"
        logger.warning("the temporal part is off: %s; labels and scores come from looks alone", why)
    return target


def clock(manifest: Manifest, config: AdaptConfig) -> np.ndarray:
    """When each image was taken, in frames.

    Args:
        manifest: the images.
        config: section [adapt]: clock, ticks_per_s.

    Returns:
        [n] int64, a new array, -1 unknown.
    """
    if config.clock == "time":
        time_s = manifest.column("time_s")
        known = np.isfinite(time_s)
        return np.where(known, np.rint(np.where(known, time_s, 0) * config.ticks_per_s), UNKNOWN).astype(np.int64)
    return manifest.frame.copy() if config.clock == "frame" else np.full(len(manifest), UNKNOWN)


def _scored(manifest: Manifest) -> Manifest | None:
    split = manifest.split
    if {"query", "gallery"} <= set(split):
        rows = manifest.select(np.isin(split, ("query", "gallery")))
    elif (split == "test").any():
        rows = manifest.select(split == "test")
    elif (split != "").any():
        return None
    else:
        rows = manifest
    return rows if len(rows.identities) > 1 and len(rows.cameras) > 1 else None
