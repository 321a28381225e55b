"""The one writer of a served gallery: adds, removes, takes up what others changed, and publishes each new state."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.config.search import Device
from unrealperson.data.manifest import Manifest
from unrealperson.files import replacing
from unrealperson.gallery import Gallery, OnnxEncoder
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN
from unrealperson.serve.catalogue import Catalogue, entry_id

logger = get_logger(__name__)

ADDED = "added"
"""Folder below the gallery's root for the images that clients add; their names are made of their content."""
_MOST_SEGMENTS = 64
_LEAST_COSINE = 0.99
_OWN_FILE = re.compile(rf"{ADDED}/[0-9a-f]{{32}}\.(jpg|png|webp|bmp)")


@dataclass(frozen=True)
class Addition:
    """An image to add.

    Attributes:
        content: of the image file.
        suffix: of its name, which its content decides.
        vector: [d] float32.
        known: columns of its row besides the path.
    """

    content: bytes
    suffix: str
    vector: np.ndarray
    known: dict[str, Any]

    @property
    def path(self) -> str:
        """Where it is kept below the root."""
        return f"{ADDED}/{hashlib.sha256(self.content).hexdigest()[:32]}{self.suffix}"


@dataclass(frozen=True)
class Removal:
    """Entries to remove.

    Attributes:
        ids: of the entries.
    """

    ids: tuple[str, ...]


@dataclass(frozen=True)
class Look:
    """A look whether another process has changed the gallery."""


Change = tuple[Addition, ...] | Removal | Look
"""What clients want: images that are added together, entries that go, or only the newest state."""


class Keeper:
    """Owns the gallery's folder; everything but `catalogue` is for one thread.

    Attributes:
        catalogue: the newest state; readers take it once for each request.
        encoder: the model that requests are encoded with.
    """

    def __init__(
        self, folder: str | Path, *, model: str | Path | None = None, threads: int = 0, device: Device = "cpu"
    ) -> None:
        """Opens the gallery.

        Args:
            folder: the gallery.
            model: another file of the gallery's network, such as one with a camera more; None takes its own.
            threads: CPU threads of the model; 0 is one per core.
            device: where the gallery is searched, as in `Gallery.open`.

        Raises:
            RuntimeError: "cuda", and no GPU answers or its memory is too small.
            FileNotFoundError: no such gallery or model.
            ValueError: not a gallery, a damaged one, or another network.
        """
        opened = Gallery.open(folder, device=device)
        self.encoder = OnnxEncoder(model or opened.folder / "model.onnx", threads=threads)
        if model is not None:
            _require_same_network(opened.encoder, self.encoder)
        self._gallery = opened.snapshot(self.encoder)
        self.catalogue = Catalogue(self._gallery.snapshot())

    @property
    def writable(self) -> bool:
        """Whether the operating system lets this process change the gallery and keep images beside those it has."""
        return os.access(self._gallery.folder, os.W_OK) and os.access(self._gallery.root, os.W_OK)

    def change(self, changes: Sequence[Change]) -> list[Any]:
        """Carries out some changes, all additions in one step and all removals in another.

        Args:
            changes: what is wanted.

        Returns:
            For added images whether each is new; for a removal how many entries were there; for a look None.

        Raises:
            RuntimeError: another process is writing to the gallery.
            OSError: the disk is full, or the folders cannot be written to.
        """
        self._gallery.refresh()
        self._publish()
        additions = [addition for change in changes if isinstance(change, tuple) for addition in change]
        removals = [change for change in changes if isinstance(change, Removal)]
        new = self._add(additions) if additions else set()
        self._publish()
        gone = self._remove(removals) if removals else {}
        self._publish()
        results: list[Any] = []
        for change in changes:
            if isinstance(change, tuple):
                results.append([addition.path in new for addition in change])
                new -= {addition.path for addition in change}
            elif isinstance(change, Removal):
                results.append(sum(gone.pop(entry, 0) for entry in change.ids))
            else:
                results.append(None)
        return results

    def _publish(self) -> None:
        if self._gallery.revision != self.catalogue.gallery.revision:
            self.catalogue = Catalogue(self._gallery.snapshot(), self.catalogue)

    def _add(self, additions: Sequence[Addition]) -> set[str]:
        """Paths of those that were not there."""
        fresh = {
            addition.path: addition for addition in additions if self.catalogue.row(entry_id(addition.path)) is None
        }
        if not fresh:
            return set()
        root = self._gallery.root
        (root / ADDED).mkdir(exist_ok=True)
        for path, addition in fresh.items():
            with replacing(root / path) as partial:
                partial.write_bytes(addition.content)
        rows = Manifest.from_rows(({"path": path, **addition.known} for path, addition in fresh.items()), root)
        try:
            self._gallery.add_features(rows, np.stack([addition.vector for addition in fresh.values()]))
        except BaseException:
            for path in fresh:
                (root / path).unlink(missing_ok=True)
            raise
        if len(self._gallery.segment_tables) > _MOST_SEGMENTS and self._gallery.backend == "exact":
            self._gallery.save()
        return set(fresh)

    def _remove(self, removals: Sequence[Removal]) -> dict[str, int]:
        """1 for each entry that was there."""
        wanted = {entry for removal in removals for entry in removal.ids}
        rows = {entry: self.catalogue.row(entry) for entry in wanted}
        paths = {entry: self.catalogue.path(row) for entry, row in rows.items() if row is not None}
        if paths:
            self._gallery.remove(list(paths.values()))
            for path in paths.values():
                if _OWN_FILE.fullmatch(path):
                    (self._gallery.root / path).unlink(missing_ok=True)
        return dict.fromkeys(paths, 1)


def _require_same_network(own: OnnxEncoder, other: OnnxEncoder) -> None:
    """The gallery's vectors and those of the other file must be comparable."""
    rng = np.random.default_rng(0)
    cameras = np.array([*own.cameras[:8], UNKNOWN])
    small = rng.integers(0, 256, (len(cameras), 4, 4, 3)).astype(np.uint8)
    images = small.repeat(-(-own.height // 4), 1).repeat(-(-own.width // 4), 2)[:, : own.height, : own.width]
    fits = (own.height, own.width, own.dimension) == (other.height, other.width, other.dimension)
    cosine = float((own.encode(images, cameras) * other.encode(images, cameras)).sum(1).min()) if fits else 0.0
    if cosine < _LEAST_COSINE:
        raise ValueError(
            f"{other.path} is not the network that made this gallery: the vectors of the same image have cosine "
            f"{cosine:.3f}; leave --model out, or index the images again with it"
        )
    logger.info("%s gives the gallery's vectors (smallest cosine of %d images: %.4f)", other.path, len(images), cosine)
