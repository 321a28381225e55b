"""The values that pass between stages, each checked when it is built."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from unrealperson.files import read_arrays, replacing

if TYPE_CHECKING:
    import torch

UNKNOWN = -1
"""Identity or camera that is not known."""

FEATURES_VERSION = 1


def person_key(version: int, person: int) -> int:
    """Global identity of person P of model version Y: P alone collides between folders.

    Args:
        version: Y.
        person: P, below 1,000,000.
    """
    if not (0 <= person < 1_000_000 and 0 <= version):
        raise ValueError(f"person must lie in 0 ... 999999 and version be 0 or more, got P {person}, Y {version}")
    return version * 1_000_000 + person


def camera_key(scene: int, camera: int) -> int:
    """Global camera of camera D of scene X: D alone collides between folders.

    Args:
        scene: X.
        camera: D, below 1,000.
    """
    if not (0 <= camera < 1_000 and 0 <= scene):
        raise ValueError(f"camera must lie in 0 ... 999 and scene be 0 or more, got D {camera}, X {scene}")
    return scene * 1_000 + camera


@dataclass(frozen=True)
class LabelledFrame:
    """What one camera saw at one instant, and which pixels are whose.

    Attributes:
        scene: X.
        version: Y.
        camera: D, from 1.
        number: F, unique for its camera.
        time_s: simulated time, counted through all batches.
        light: light step.
        image: [H, W, 3] uint8 RGB, as the camera's sensor gives it.
        mask: [H, W, 3] uint8 instance mask.
        colors: mask colour of each person P of the batch.
        people: truth about each person P in view; empty where none is known.
        hours: part of the day, where it is known.
        camera_pose: position, axes, focal length and lens of the camera, where they are known.
        attributes: looks of each person P of the batch; empty where none are known.
        objects: mask colour of each other object, by name; empty where nobody asked.
        driver: graphics driver that drew the image, where it is known.
    """

    scene: int
    version: int
    camera: int
    number: int
    time_s: float
    light: int
    image: np.ndarray
    mask: np.ndarray
    colors: dict[int, tuple[int, int, int]]
    people: dict[int, dict[str, Any]]
    hours: str | None = field(default=None, kw_only=True)
    camera_pose: dict[str, Any] | None = field(default=None, kw_only=True)
    attributes: dict[int, dict[str, Any]] = field(default_factory=dict, kw_only=True)
    objects: dict[str, tuple[int, int, int]] = field(default_factory=dict, kw_only=True)
    driver: str | None = field(default=None, kw_only=True)


@dataclass(frozen=True)
class Features:
    """Feature vectors and what is known of each image.

    Attributes:
        vectors: [n, d] float32.
        pid: [n] int64 global identity, -1 where unknown.
        camid: [n] int64 global camera, -1 where unknown.
        frame: [n] int64 frame number, -1 where unknown.
        path: n image paths relative to the data's root.
    """

    vectors: np.ndarray
    pid: np.ndarray
    camid: np.ndarray
    frame: np.ndarray
    path: tuple[str, ...]

    def __post_init__(self) -> None:
        if self.vectors.ndim != 2 or self.vectors.dtype != np.float32:
            raise ValueError(f"vectors must be float32 [n, d], got {self.vectors.dtype} {list(self.vectors.shape)}")
        n = len(self.vectors)
        for name in ("pid", "camid", "frame"):
            value = getattr(self, name)
            if value.shape != (n,) or value.dtype != np.int64:
                raise ValueError(f"{name} must be int64 [{n}], got {value.dtype} {list(value.shape)}")
        if len(self.path) != n:
            raise ValueError(f"path must hold {n} names, got {len(self.path)}")

    def __len__(self) -> int:
        return len(self.vectors)

    def __getitem__(self, rows: Any) -> Features:
        """The chosen rows (boolean mask, slice or index array)."""
        index = np.arange(len(self))[rows]
        return Features(
            self.vectors[index],
            self.pid[index],
            self.camid[index],
            self.frame[index],
            tuple(self.path[i] for i in index),
        )

    def save(self, path: str | Path) -> None:
        """Writes one .npz file; it appears complete or not at all.

        Args:
            path: file to write.
        """
        with replacing(path) as partial, partial.open("wb") as stream:
            np.savez(
                stream,
                version=FEATURES_VERSION,
                vectors=self.vectors,
                pid=self.pid,
                camid=self.camid,
                frame=self.frame,
                path=np.array(self.path, dtype=np.str_),
            )

    @staticmethod
    def load(path: str | Path) -> Features:
        """Reads what `save` wrote.

        Args:
            path: the .npz file.

        Raises:
            ValueError: another format version, or not such a file.
        """
        stored = read_arrays(path)
        if "version" not in stored or "vectors" not in stored:
            raise ValueError(f"{path} holds no features; make them with 'unrealperson extract'")
        if not np.array_equal(stored["version"], FEATURES_VERSION):
            raise ValueError(
                f"{path} has format version {stored['version']}; this release reads {FEATURES_VERSION}: "
                "extract the features again"
            )
        missing = {"pid", "camid", "frame", "path"} - stored.keys()
        if missing or stored["path"].ndim != 1:
            raise ValueError(f"{path} is damaged: it lacks {', '.join(sorted(missing)) or 'names'}")
        names = tuple(map(str, stored["path"].tolist()))
        return Features(stored["vectors"], stored["pid"], stored["camid"], stored["frame"], names)

    def with_vectors(self, vectors: np.ndarray) -> Features:
        """The same images with other vectors.

        Args:
            vectors: [n, d] float32.
        """
        return replace(self, vectors=vectors)


@dataclass(frozen=True)
class Ranking:
    """For each query the nearest gallery images, nearest first.

    Attributes:
        index: [q, k] int64 row in the gallery, -1 where fewer than k are valid.
        distance: [q, k] float32, infinite where index is -1.
    """

    index: np.ndarray
    distance: np.ndarray

    def __post_init__(self) -> None:
        if self.index.ndim != 2 or self.index.dtype != np.int64:
            raise ValueError(f"index must be int64 [q, k], got {self.index.dtype} {list(self.index.shape)}")
        if self.distance.shape != self.index.shape or self.distance.dtype != np.float32:
            raise ValueError(
                f"distance must be float32 {list(self.index.shape)}, "
                f"got {self.distance.dtype} {list(self.distance.shape)}"
            )


@dataclass(frozen=True)
class Batch:
    """One batch of images for a network.

    Attributes:
        images: [n, 3, h, w] float32, normalised.
        label: [n] int64, 0 ... number of identities - 1.
        camera: [n] int64, 0 ... number of cameras - 1.
    """

    images: torch.Tensor
    label: torch.Tensor
    camera: torch.Tensor

    def __post_init__(self) -> None:
        n = len(self.images)
        if self.images.ndim != 4 or self.images.shape[1] != 3:
            raise ValueError(f"images must be [n, 3, h, w], got {list(self.images.shape)}")
        for name in ("label", "camera"):
            if tuple(getattr(self, name).shape) != (n,):
                raise ValueError(f"{name} must be [{n}], got {list(getattr(self, name).shape)}")

    def to(self, device: torch.device) -> Batch:
        """The batch on a device; itself where it is there already.

        Args:
            device: where the network computes.
        """
        return Batch(*(value.to(device, non_blocking=True) for value in (self.images, self.label, self.camera)))
