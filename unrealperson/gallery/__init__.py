"""Gallery of person crops: feature vectors of an exported model, on disk and searched. Needs no torch."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unrealperson.config import SearchConfig
from unrealperson.config.search import Device
from unrealperson.data.manifest import COLUMNS, Manifest
from unrealperson.data.sources import read_images
from unrealperson.export.encoder import OnnxEncoder
from unrealperson.files import only_process
from unrealperson.gallery import ann, exact, store
from unrealperson.gallery.device import placed
from unrealperson.gallery.filters import Filter, Group, distinct, filter_of
from unrealperson.gallery.hits import Hit, Sighting, learn_passages, order_hits
from unrealperson.gallery.indexing import encode_images, require_free, write_gallery
from unrealperson.gallery.threshold import Pairs, Threshold, labelled_pairs
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN, Features

__all__ = ["Filter", "Gallery", "Group", "Hit", "OnnxEncoder", "Sighting", "Threshold", "filter_of", "index_images"]

logger = get_logger(__name__)

SEARCH_BATCH = 256
"""Queries that are searched together."""
_OVERSAMPLE, _MORE = 2, 32


class Gallery:
    """Indexed images and the model that indexed them, as they were when it was opened; `refresh` looks again.

    Attributes:
        folder: where it lies.
        encoder: the model.
    """

    def __init__(self, folder: Path, encoder: OnnxEncoder, state: store.State, device: Device = "cpu") -> None:
        self.folder = folder
        self.encoder = encoder
        self._device = device
        self._searched: tuple[store.Segment, ...] = ()
        self._passages: tuple[tuple[int, float], Sighting] | None = None
        self._take(state)

    @staticmethod
    def build(
        model: str | Path, manifest: Manifest, out: str | Path, config: SearchConfig, *, overwrite: bool = False
    ) -> Gallery:
        """Encodes the images of a manifest and writes them as a gallery, complete or not at all.

        Unreadable images are left out with a warning.

        Args:
            model: ONNX file of 'unrealperson export'; a copy of it becomes part of the gallery.
            manifest: the images.
            out: folder to write.
            config: batch size, precision and back end.
            overwrite: replace a gallery that is at `out` already; anything else there is never replaced.

        Returns:
            The opened gallery.

        Raises:
            ValueError: `out` is taken, no image is readable, or the model is unfit.
        """
        write_gallery(model, manifest, Path(out), config, overwrite=overwrite)
        return Gallery.open(out)

    @staticmethod
    def open(folder: str | Path, *, device: Device = "cpu") -> Gallery:
        """Opens what `build` wrote; vectors stay on disk until they are read.

        Args:
            folder: the gallery.
            device: where all rows are searched: the mapped file, or a copy of it in the memory of a GPU.

        Raises:
            RuntimeError: "cuda", and no GPU answers or its memory is too small.
            FileNotFoundError: no such folder, or a file of it is missing.
            ValueError: not a gallery, one of another format version, or a damaged file, which is named.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no gallery {folder}; make one with 'unrealperson index'")
        facts = store.read_facts(folder)
        if not (folder / "model.onnx").is_file():
            raise FileNotFoundError(f"the gallery {folder} lacks model.onnx; index the images again")
        if store.checksum(folder / "model.onnx")["sha256"] != facts["model_sha256"]:
            raise ValueError(f"{folder / 'model.onnx'} is not the model that made this gallery; index the images again")
        state = store.read_state(folder)
        encoder = OnnxEncoder(folder / "model.onnx")
        if encoder.dimension != state.facts["dimension"]:
            raise ValueError(
                f"the model of {folder} gives {encoder.dimension} numbers, its gallery has {state.facts['dimension']}"
            )
        return Gallery(folder, encoder, state, device)

    def refresh(self) -> bool:
        """Takes up what another process has written since.

        Returns:
            Whether there was anything.
        """
        if store.read_facts(self.folder)["revision"] == self._state.facts["revision"]:
            return False
        self._take(store.read_state(self.folder))
        return True

    def verify(self) -> None:
        """Compares the checksums of all files, large ones too.

        Raises:
            FileNotFoundError: a file is missing.
            ValueError: a file is damaged; the message names it.
        """
        store.read_state(self.folder, everything=True)

    def __len__(self) -> int:
        return int(np.count_nonzero(self._state.present))

    @cached_property
    def table(self) -> pa.Table:
        """What is known of each row, removed ones too, with the columns of a manifest."""
        return pa.concat_tables([segment.table for segment in self._state.segments]).unify_dictionaries()

    @property
    def root(self) -> Path:
        """Folder of the images."""
        return (self.folder / self._state.facts["root"]).resolve()

    @property
    def manifest(self) -> Manifest:
        """The images that are present, as a manifest."""
        return Manifest(self.table.filter(pa.array(self._state.present)).combine_chunks(), self.root)

    @property
    def features(self) -> np.ndarray:
        """[n, d] vectors of the images that are present; mapped from disk where they lie in one piece."""
        segments = self._state.segments
        if len(segments) == 1 and self._state.present.all():
            return segments[0].features
        return exact.take(segments, np.flatnonzero(self._state.present))

    @property
    def facts(self) -> dict[str, Any]:
        """What gallery.json says of the state that was opened."""
        return dict(self._state.facts)

    @property
    def threshold(self) -> Threshold | None:
        """The similarity from which two images show one person, where `calibrate_threshold` has found it."""
        stored = self._state.facts.get("threshold")
        return None if stored is None else Threshold(**stored)

    @property
    def revision(self) -> int:
        """Number of the state that was opened; each change takes the next one."""
        return int(self._state.facts["revision"])

    @property
    def backend(self) -> str:
        """What finds candidates, as `SearchConfig.backend` names it."""
        return str(self._state.facts["backend"])

    @property
    def present(self) -> np.ndarray:
        """[n] bool for each row of `table`: not removed."""
        return self._state.present

    @property
    def segment_tables(self) -> dict[str, pa.Table]:
        """The parts of `table` by name, in its order; what bears a name never changes."""
        return {segment.name: segment.table for segment in self._state.segments}

    def vectors(self, rows: np.ndarray) -> np.ndarray:
        """Vectors of some rows of `table`.

        Args:
            rows: [n] int64.

        Returns:
            [n, d] float32.
        """
        return exact.take(self._state.segments, rows)

    def snapshot(self, encoder: OnnxEncoder | None = None) -> Gallery:
        """The gallery as it is now, for other threads to read while this one goes on changing it.

        Args:
            encoder: another file of the same network; None keeps its own.
        """
        taken = Gallery(self.folder, encoder or self.encoder, self._state)
        taken._device, taken._searched = self._device, self._searched  # on a GPU: the copy that is there already
        return taken

    def add(self, manifest: Manifest, *, batch_size: int = 32) -> int:
        """Encodes and adds images; all of them are there afterwards or, after an interruption, none.

        Args:
            manifest: the images, below the gallery's root or at paths of their own.
            batch_size: images in one run of the model.

        Returns:
            How many were added: those that are readable and not there already.

        Raises:
            RuntimeError: another process is writing to the gallery.
            ValueError: images outside the gallery's root.
        """
        return self._add(
            self._below_root(manifest),
            lambda rows, writer: encode_images(self.encoder, rows, writer.append, batch_size),
        )

    def add_features(self, manifest: Manifest, vectors: np.ndarray) -> int:
        """Adds images whose vectors are known.

        Args:
            manifest: what is known of each image, below the gallery's root.
            vectors: [n, d] float32, of any length but 0.

        Returns:
            How many were added: those that are not there already.

        Raises:
            RuntimeError: another process is writing to the gallery.
            ValueError: vectors of another shape, not finite or of length 0, or images outside the gallery's root.
        """
        dimension = self.encoder.dimension
        if vectors.shape != (len(manifest), dimension):
            raise ValueError(f"vectors must be float32 [{len(manifest)}, {dimension}], got {list(vectors.shape)}")
        length = np.linalg.norm(vectors.astype(np.float32, copy=False), axis=1, keepdims=True)
        if not (np.isfinite(length).all() and (length > 0).all()):
            raise ValueError("vectors must be finite and not zero")
        unit = vectors / length
        of_path = {path: row for row, path in enumerate(manifest.path)}
        below = self._below_root(manifest)
        renamed = dict(zip(below.path, manifest.path, strict=True))

        def append(rows: Manifest, writer: store.SegmentWriter) -> Manifest:
            writer.append(unit[[of_path[renamed[path]] for path in rows.path]])
            return rows

        return self._add(below, append)

    def _add(self, manifest: Manifest, fill: Any) -> int:
        with only_process(self.folder):
            self.refresh()
            present = set(self._paths(np.flatnonzero(self._state.present)))
            rows = manifest.select([row for row, path in enumerate(manifest.path) if path not in present])
            if not len(rows):
                return 0
            facts = self._state.facts
            name = f"segment-{facts['revision'] + 1:06d}"
            with store.writing(self.folder, name, facts["dimension"], facts["precision"]) as writer:
                rows = fill(rows, writer)
                if not len(rows):
                    writer.discard()
                    return 0
                entry = writer.finish(rows)
            self._commit(segments=[*facts["segments"], entry], present=[*self._state.present, *[True] * len(rows)])
        return len(rows)

    def remove(self, paths: Sequence[str]) -> int:
        """Removes images from the gallery; their files stay where they are.

        Args:
            paths: below the gallery's root.

        Returns:
            How many were there.

        Raises:
            RuntimeError: another process is writing to the gallery.
        """
        with only_process(self.folder):
            self.refresh()
            present = self._state.present.copy()
            gone = np.isin(np.array(self._paths(np.arange(len(present))), dtype=object), list(paths)) & present
            if not gone.any():
                return 0
            present[gone] = False
            facts = self._state.facts
            name = f"removed-{facts['revision'] + 1:06d}.npy"
            self._commit(removed=store.write_removed(self.folder, name, present), present=present)
        return int(np.count_nonzero(gone))

    def save(self) -> None:
        """Puts all segments into one without the removed rows, and builds the back end's index anew.

        Raises:
            RuntimeError: another process is writing to the gallery.
        """
        with only_process(self.folder):
            self.refresh()
            facts, rows = self._state.facts, np.flatnonzero(self._state.present)
            name = f"segment-{facts['revision'] + 1:06d}"
            with store.writing(self.folder, name, facts["dimension"], facts["precision"]) as writer:
                for first in range(0, len(rows), exact.BLOCK_ROWS):
                    writer.append(exact.take(self._state.segments, rows[first : first + exact.BLOCK_ROWS]))
                entry = writer.finish(self.manifest)
            self._commit(segments=[entry], removed=None, index=None, present=np.ones(len(rows), bool))
            if facts["backend"] != "exact":
                self._commit(index=ann.build(self.folder, self._state))

    def calibrate_threshold(self, false_accept_rate: float = 0.01, *, pairs: Features | None = None) -> Threshold:
        """Finds the similarity from which two images show one person, and keeps it with the gallery.

        Args:
            false_accept_rate: share of pairs of different people that may pass.
            pairs: labelled vectors of this gallery's model; None takes the gallery's own labelled images.

        Raises:
            ValueError: too few labelled pairs for the rate.
            RuntimeError: another process is writing to the gallery.
        """
        found = self.pairs(pairs).threshold(false_accept_rate)
        with only_process(self.folder):
            self.refresh()
            self._commit(threshold=dataclasses.asdict(found))
        return found

    def pairs(self, labelled: Features | None = None) -> Pairs:
        """Similarities of labelled images, two by two, of 4,000 images at most.

        Args:
            labelled: vectors of this gallery's model; None takes the gallery's own labelled images.
        """
        if labelled is not None:
            return labelled_pairs(labelled.vectors, labelled.pid, labelled.camid)
        rows = self.manifest
        return labelled_pairs(self.features, rows.pid, rows.camid)

    def encode(self, manifest: Manifest, *, batch_size: int = 32) -> Features:
        """Vectors of images by this gallery's model, such as labelled ones for `calibrate_threshold`.

        Args:
            manifest: the images; unreadable ones are left out with a warning.
            batch_size: images in one run of the model.
        """
        parts: list[np.ndarray] = [np.empty((0, self.encoder.dimension), np.float32)]
        rows = encode_images(self.encoder, manifest, parts.append, batch_size)
        return Features(np.concatenate(parts), rows.pid, rows.camid, rows.frame, rows.path)

    def sighting(self, camid: int, frame: int, *, bin_frames: int = 100, sigma: float = 50) -> Sighting:
        """A query seen then and there, beside how long people take from camera to camera.

        That is learnt from the gallery's identities or, where it knows none, from images that look alike.

        Args:
            camid: global camera of the query.
            frame: its frame number, on the clock of the gallery's.
            bin_frames: frames a bin of the time that people take.
            sigma: of its smoothing, in bins.

        Raises:
            ValueError: the camera or the frame is unknown, of the query or of all images.
        """
        if UNKNOWN in (camid, frame):
            raise ValueError(
                "joint scores need the query's camera and frame number: in its file's name (0002_c1s1_000451_03.jpg), "
                "or given beside it"
            )
        kind = bin_frames, sigma
        if self._passages is None or self._passages[0] != kind:
            self._passages = kind, learn_passages(self.manifest, lambda: self.features, bin_frames, sigma)
        return dataclasses.replace(self._passages[1], camid=camid, frame=frame)

    def search(
        self,
        vectors: np.ndarray,
        *,
        k: int = 10,
        where: Filter | None = None,
        group: Group | None = None,
        rerank: int = 0,
        sighting: Sighting | None = None,
    ) -> list[list[Hit]]:
        """Finds the most similar images of each query.

        Args:
            vectors: [q, d] float32 queries.
            k: hits per query; fewer where the gallery is smaller.
            where: rows that may be found.
            group: return one hit for each person or passage.
            rerank: order so many first hits by their common neighbours (k-reciprocal re-ranking); 0: none.
            sighting: order the hits by joint visual-temporal scores of a query seen then and there.

        Returns:
            For each query its hits, most similar first; equal ones in the order of the gallery.

        Raises:
            ValueError: wrong shape, or k below 1.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.encoder.dimension:
            raise ValueError(f"vectors must be float32 [q, {self.encoder.dimension}], got {list(vectors.shape)}")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        wanted = self._wanted(where)
        hits = []
        for first in range(0, len(queries), SEARCH_BATCH):
            part = queries[first : first + SEARCH_BATCH]
            width = max(k, rerank)
            similarity, rows = self._nearest(part, width, wanted)
            for query in range(len(part)):
                own = self._ordered(part[query], similarity[query], rows[query], rerank, sighting)
                while group is not None and (kept := distinct(group, own[1].tolist(), self.table)) is not None:
                    if len(kept) >= k or len(own[1]) < width:
                        own = own[0][kept], own[1][kept]
                        break
                    width *= 4
                    more = self._nearest(part[query : query + 1], width, wanted)
                    own = self._ordered(part[query], more[0][0], more[1][0], rerank, sighting)
                hits.append(self._hits(own[0][:k], own[1][:k]))
        return hits

    def search_image(self, image: str | Path, *, k: int = 10, camid: int = UNKNOWN, **how: Any) -> list[Hit]:
        """Finds the most similar images of one image file.

        Args:
            image: crop of one person.
            k: hits; fewer where the gallery is smaller.
            camid: global camera of the query, -1 where unknown.
            how: where, group, rerank and sighting of `search`.

        Raises:
            ValueError: unreadable image, or k below 1.
        """
        return self.search(self.encoder.encode_file(image, camid=camid)[None], k=k, **how)[0]

    def _nearest(self, queries: np.ndarray, k: int, wanted: np.ndarray | None) -> exact.Found:
        k = min(k, max(1, len(self._state.present)))
        index = self._state.facts.get("index")
        if index is None or wanted is not None:
            # A filter is answered by the rows themselves, which misses none.
            return exact.search_exact(self._searched, queries, k, self._present_if_any(wanted))
        covered = index["rows"]
        _, rows = self._index.search(queries, min(covered, _OVERSAMPLE * k + _MORE))
        rows = np.where((rows >= 0) & self._state.present[rows], rows, -1)
        found = exact.rescore(self._state.segments, queries, rows, k)
        if covered < len(self._state.present):
            later = self._state.present.copy()
            later[:covered] = False
            found = exact.merge(found, exact.search_exact(self._searched, queries, k, later), k)
        if (found[1][:, :k] < 0).any() or found[1].shape[1] < k:
            return exact.search_exact(self._searched, queries, k, self._present_if_any(None))
        return found

    def _ordered(
        self, query: np.ndarray, similarity: np.ndarray, rows: np.ndarray, rerank: int, sighting: Sighting | None
    ) -> tuple[np.ndarray, np.ndarray]:
        """One query's hits without gaps, in the order that was asked for."""
        similarity, rows = similarity[rows >= 0], rows[rows >= 0]
        if (not rerank and sighting is None) or not len(rows):
            return similarity, rows
        vectors, known = exact.take(self._state.segments, rows), self.table.take(rows)
        order = order_hits(query, vectors, similarity, known, rerank=rerank, sighting=sighting)
        return similarity[order], rows[order]

    def _wanted(self, where: Filter | None) -> np.ndarray | None:
        return None if where is None else where.rows(self.table) & self._state.present

    def _present_if_any(self, wanted: np.ndarray | None) -> np.ndarray | None:
        present = self._state.present
        return wanted if wanted is not None else None if present.all() else present

    @cached_property
    def _index(self) -> Any:
        return ann.open_index(self.folder, self._state.facts)

    def _commit(self, *, present: Any = None, **changes: Any) -> None:
        facts = {**self._state.facts, **changes, "revision": self._state.facts["revision"] + 1}
        if present is not None:
            tables = [store.rows_table(self.folder, entry) for entry in facts["segments"]]
            table = pa.concat_tables(tables).unify_dictionaries().filter(pa.array(present))
            facts["images"] = len(table)
            for key, name in (("identities", "pid"), ("cameras", "camid")):
                values = np.unique(table[name].to_numpy())
                facts[key] = int(np.count_nonzero(values != UNKNOWN))
        store.commit(self.folder, facts)
        self._take(store.read_state(self.folder))

    def _take(self, state: store.State) -> None:
        self._state = state
        self._passages = None
        self._searched = placed(state.segments, self._device, self._searched)
        for name in ("table", "_index"):
            self.__dict__.pop(name, None)

    def _paths(self, rows: np.ndarray) -> list[str]:
        return self.table["path"].take(pa.array(rows)).to_pylist()

    def _below_root(self, manifest: Manifest) -> Manifest:
        try:
            prefix = manifest.root.resolve().relative_to(self.root)
        except ValueError as error:
            raise ValueError(
                f"{manifest.root} lies outside {self.root}, the folder of this gallery's images; move the images there"
            ) from error
        if prefix == Path("."):
            return Manifest(manifest.table, self.root)
        paths = pa.array([(prefix / path).as_posix() for path in manifest.path], pa.string())
        return Manifest(manifest.table.set_column(0, COLUMNS.field("path"), paths), self.root)

    def _hits(self, similarity: np.ndarray, rows: np.ndarray) -> list[Hit]:
        known = self.table.select(["path", "pid", "camid", "frame"]).take(pa.array(rows))
        columns = (known[name].to_pylist() for name in known.column_names)
        limit, root = self._state.facts.get("threshold"), self.root
        return [
            Hit(path, root / path, pid, camid, frame, score, None if limit is None else score >= limit["similarity"])
            for score, path, pid, camid, frame in zip(similarity.tolist(), *columns, strict=True)
        ]


def index_images(
    model: str | Path, data: str | Path | Manifest, out: str | Path, config: SearchConfig, *, overwrite: bool = False
) -> Gallery:
    """Makes a gallery of a folder of crops; labels are not needed.

    Args:
        model: ONNX file of 'unrealperson export'.
        data: folder of images, or their manifest.
        out: folder of the gallery.
        config: batch size.
        overwrite: replace a gallery that is at `out` already.

    Returns:
        The opened gallery.

    Raises:
        FileNotFoundError: no such model or folder.
        ValueError: `out` is taken, no image is readable, or the model is unfit.
    """
    require_free(Path(out), overwrite)
    OnnxEncoder(model)  # a wrong model must not cost the reading of many images
    manifest = data if isinstance(data, Manifest) else read_images(data, skip_unreadable=True)
    gallery = Gallery.build(model, manifest, out, config, overwrite=overwrite)
    logger.info("indexed %s, %d numbers each", gallery.manifest.summary(), gallery.encoder.dimension)
    return gallery
