"""Gallery of person crops: feature vectors of an exported model, searched exactly. Needs no torch."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from unrealperson import ops
from unrealperson.config import SearchConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import load_image, read_images, warn_unreadable
from unrealperson.log import get_logger, track
from unrealperson.schema import UNKNOWN

logger = get_logger(__name__)

FORMAT_VERSION = 1
MODEL_VERSION = "1"
_PREFIX = "unrealperson."
_MOST_THREADS = 16


class OnnxEncoder:
    """A model of 'unrealperson export' in ONNX Runtime, on the GPU where its provider is there.

    Attributes:
        path: the ONNX file.
        height: input height in pixels.
        width: input width in pixels.
        dimension: numbers in a feature vector.
        cameras: global cameras whose batch-norm statistics the model holds.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        """Opens the model.

        Args:
            path: the ONNX file.
            threads: CPU threads; 0 is one per core of this process, 16 at most.

        Raises:
            FileNotFoundError: no such file.
            RuntimeError: ONNX Runtime is not installed.
            ValueError: not a model of 'unrealperson export', or one of another format version.
        """
        self.path = Path(path)
        if self.path.is_dir():
            raise ValueError(f"{path} is a folder; give the .onnx file that 'unrealperson export' wrote")
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no model {self.path}; make one with 'unrealperson export'")
        self._session = _open_session(self.path, threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS))
        stored = self._session.get_modelmeta().custom_metadata_map
        names = {port.name for port in (*self._session.get_inputs(), *self._session.get_outputs())}
        version = stored.get(f"{_PREFIX}format_version")
        if version is None or names != {"images", "camera", "features"}:
            raise ValueError(f"{self.path} is no model of 'unrealperson export': it lacks its metadata or its inputs")
        if version != MODEL_VERSION:
            raise ValueError(
                f"{self.path} has format version {version}; this release reads version {MODEL_VERSION}: export it again"
            )
        try:
            self.height, self.width, self.dimension = (
                int(stored[_PREFIX + key]) for key in ("height", "width", "dimension")
            )
            self.cameras = tuple(int(camera) for camera in json.loads(stored[_PREFIX + "cameras"]))
        except (KeyError, TypeError, ValueError) as error:
            raise ValueError(f"{self.path} has damaged metadata ({error}); export it again") from error

    def camera_index(self, camid: np.ndarray) -> np.ndarray:
        """Row of each camera in the model's tables of statistics.

        Args:
            camid: [n] int64 global cameras.

        Returns:
            [n] int64; a camera that the model does not know gets the last row, the statistics of all cameras.
        """
        row = {camera: index for index, camera in enumerate(self.cameras)}
        return np.array([row.get(int(camera), len(self.cameras)) for camera in camid], dtype=np.int64)

    def encode(self, images: np.ndarray, camid: np.ndarray) -> np.ndarray:
        """Feature vectors of one batch.

        Args:
            images: [n, height, width, 3] uint8 RGB.
            camid: [n] int64 global camera of each image, -1 where unknown.

        Returns:
            [n, dimension] float32 of length 1.

        Raises:
            ValueError: wrong shape or type.
            RuntimeError: the model gave something else than finite vectors.
        """
        if images.shape[1:] != (self.height, self.width, 3) or images.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8 [n, {self.height}, {self.width}, 3], got {images.dtype} {list(images.shape)}"
            )
        if camid.shape != (len(images),):
            raise ValueError(f"camid must be int64 [{len(images)}], got {camid.dtype} {list(camid.shape)}")
        if not len(images):
            return np.empty((0, self.dimension), np.float32)
        (vectors,) = self._session.run(["features"], {"images": images, "camera": self.camera_index(camid)})
        if vectors.shape != (len(images), self.dimension) or not np.isfinite(vectors).all():
            raise RuntimeError(
                f"{self.path} must give {len(images)} x {self.dimension} finite numbers, got {list(vectors.shape)} "
                f"with {np.count_nonzero(~np.isfinite(vectors))} that are not finite; export it again"
            )
        return vectors.astype(np.float32, copy=False)

    def encode_file(self, path: str | Path, *, camid: int = UNKNOWN) -> np.ndarray:
        """Feature vector of one image file.

        Args:
            path: image of one person.
            camid: global camera, -1 where unknown.

        Returns:
            [dimension] float32 of length 1.

        Raises:
            ValueError: unreadable image.
        """
        image = load_image(path, size=(self.height, self.width))
        return self.encode(image[None], np.array([camid], dtype=np.int64))[0]


@dataclass(frozen=True)
class Hit:
    """One image of a gallery that resembles a query.

    Attributes:
        path: path below the folder that was indexed.
        image: where the image lies.
        pid: global identity, -1 where unknown.
        camid: global camera, -1 where unknown.
        frame: frame number, -1 where unknown.
        similarity: cosine of the two feature vectors, -1 ... 1.
    """

    path: str
    image: Path
    pid: int
    camid: int
    frame: int
    similarity: float

    @property
    def distance(self) -> float:
        """Cosine distance, 1 - similarity."""
        return 1.0 - self.similarity


@dataclass(frozen=True)
class Gallery:
    """Indexed images and the model that indexed them.

    Attributes:
        encoder: the model.
        features: [n, d] float32 of length 1, mapped from disk.
        manifest: n rows, what is known of each image.
    """

    encoder: OnnxEncoder
    features: np.ndarray
    manifest: Manifest

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
            config: batch size.
            overwrite: replace a gallery that is at `out` already; anything else there is never replaced.

        Returns:
            The opened gallery.

        Raises:
            ValueError: `out` is taken, no image is readable, or the model is unfit.
        """
        _require_free(Path(out), overwrite)
        out = Path(out).absolute()
        if not len(manifest):
            raise ValueError(f"there is no image to index below {manifest.root}")
        encoder = OnnxEncoder(model)
        _warn_unknown_cameras(encoder, manifest)
        partial = out.with_name(f".{out.name}.partial")
        shutil.rmtree(partial, ignore_errors=True)
        partial.mkdir(parents=True)
        try:
            kept = _write_features(encoder, manifest, partial / "features.npy", config.batch_size)
            rows = manifest.select(kept)
            rows.write(partial / "rows.parquet")
            shutil.copyfile(encoder.path, partial / "model.onnx")
            facts = {
                "format_version": FORMAT_VERSION,
                "images": len(rows),
                "identities": len(rows.identities),
                "cameras": len(rows.cameras),
                "dimension": encoder.dimension,
                "root": _portable(manifest.root.absolute(), out),
                "model_sha256": _sha256(partial / "model.onnx"),
            }
            (partial / "gallery.json").write_text(json.dumps(facts, indent=2) + "\n", encoding="utf-8")
            if out.is_dir():
                # A rename over a full folder fails, so the old one steps aside first.
                aside = out.with_name(f".{out.name}.old")
                shutil.rmtree(aside, ignore_errors=True)
                out.rename(aside)
                partial.rename(out)
                shutil.rmtree(aside)
            else:
                partial.rename(out)
        finally:
            shutil.rmtree(partial, ignore_errors=True)
        return Gallery.open(out)

    @staticmethod
    def open(folder: str | Path) -> Gallery:
        """Opens what `build` wrote.

        Args:
            folder: the gallery.

        Raises:
            FileNotFoundError: no such folder, or a file of it is missing.
            ValueError: not a gallery, one of another format version, or files that do not belong together.
        """
        folder = Path(folder)
        if not folder.is_dir():
            raise FileNotFoundError(f"there is no gallery {folder}; make one with 'unrealperson index'")
        facts = _read_facts(folder)
        for name in ("features.npy", "rows.parquet", "model.onnx"):
            if not (folder / name).is_file():
                raise FileNotFoundError(f"the gallery {folder} lacks {name}; index the images again")
        if _sha256(folder / "model.onnx") != facts["model_sha256"]:
            raise ValueError(f"{folder / 'model.onnx'} is not the model that made this gallery; index the images again")
        rows = Manifest.read(folder / "rows.parquet")
        try:
            features = np.load(folder / "features.npy", mmap_mode="r", allow_pickle=False)
        except (ValueError, EOFError, OSError) as error:
            raise ValueError(f"{folder / 'features.npy'} is damaged ({error}); index the images again") from error
        expected = (facts["images"], facts["dimension"])
        if features.shape != expected or features.dtype != np.float32 or len(rows) != expected[0]:
            raise ValueError(
                f"the gallery {folder} must hold float32 {list(expected)} and as many rows, got {features.dtype} "
                f"{list(features.shape)} and {len(rows)} rows; index the images again"
            )
        encoder = OnnxEncoder(folder / "model.onnx")
        if encoder.dimension != expected[1]:
            raise ValueError(f"the model of {folder} gives {encoder.dimension} numbers, its gallery has {expected[1]}")
        return Gallery(encoder, features, Manifest(rows.table, (folder / facts["root"]).resolve()))

    def __len__(self) -> int:
        return len(self.features)

    def search(self, vectors: np.ndarray, *, k: int = 10) -> list[list[Hit]]:
        """Finds the most similar images of each query.

        Args:
            vectors: [q, d] float32 queries.
            k: hits per query; fewer where the gallery is smaller.

        Returns:
            For each query its hits, most similar first; equal ones in the order of the gallery.

        Raises:
            ValueError: wrong shape, or k below 1.
        """
        if vectors.ndim != 2 or vectors.shape[1] != self.features.shape[1]:
            raise ValueError(f"vectors must be float32 [q, {self.features.shape[1]}], got {list(vectors.shape)}")
        if k < 1:
            raise ValueError(f"k must be at least 1, got {k}")
        queries = np.ascontiguousarray(vectors, dtype=np.float32)
        found = ops.topk(queries, np.asarray(self.features), k=k, metric="cosine")
        return [
            [self._hit(int(row), 1.0 - float(distance)) for row, distance in zip(rows, distances, strict=True)]
            for rows, distances in zip(found.indices, found.values, strict=True)
        ]

    def search_image(self, image: str | Path, *, k: int = 10, camid: int = UNKNOWN) -> list[Hit]:
        """Finds the most similar images of one image file.

        Args:
            image: crop of one person.
            k: hits; fewer where the gallery is smaller.
            camid: global camera of the query, -1 where unknown.

        Raises:
            ValueError: unreadable image, or k below 1.
        """
        return self.search(self.encoder.encode_file(image, camid=camid)[None], k=k)[0]

    def _hit(self, row: int, similarity: float) -> Hit:
        rows = self.manifest
        return Hit(
            path=rows.path[row],
            image=rows.image_path(row),
            pid=int(rows.pid[row]),
            camid=int(rows.camid[row]),
            frame=int(rows.frame[row]),
            similarity=similarity,
        )


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
    _require_free(Path(out), overwrite)
    OnnxEncoder(model)  # a wrong model must not cost the reading of many images
    manifest = data if isinstance(data, Manifest) else read_images(data, skip_unreadable=True)
    gallery = Gallery.build(model, manifest, out, config, overwrite=overwrite)
    logger.info("indexed %s, %d numbers each", gallery.manifest.summary(), gallery.encoder.dimension)
    return gallery


def _open_session(path: Path, threads: int) -> Any:
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as states
    except ImportError as error:
        raise RuntimeError("search needs ONNX Runtime: pip install 'unrealperson[cpu]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider")
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=providers)
    except (states.InvalidProtobuf, states.InvalidGraph, states.Fail, states.NotImplemented) as error:
        raise ValueError(f"{path} is not an ONNX model that ONNX Runtime can run: {error}") from error


def _require_free(out: Path, overwrite: bool) -> None:
    if not out.exists() or (out.is_dir() and not any(out.iterdir())):
        return
    if not (out / "gallery.json").is_file():
        raise ValueError(f"{out} exists and is no gallery; choose another folder")
    if not overwrite:
        raise ValueError(f"{out} holds a gallery already; choose another folder or delete it")


def _warn_unknown_cameras(encoder: OnnxEncoder, manifest: Manifest) -> None:
    # Where a model was exported for images without cameras, its one table is theirs.
    strange = int(np.count_nonzero(~np.isin(manifest.camid, encoder.cameras or (UNKNOWN,))))
    if strange:
        logger.warning(
            "%d of %d images come from cameras whose statistics the model lacks; it uses those of all its cameras. "
            "For better results give it your own cameras: unrealperson export --run RUN --data %s --out MODEL",
            strange,
            len(manifest),
            manifest.root,
        )


def _write_features(encoder: OnnxEncoder, manifest: Manifest, path: Path, batch_size: int) -> np.ndarray:
    """Writes the vectors of the readable images and returns their rows in the manifest."""
    kept: list[int] = []
    unreadable: list[str] = []
    batches = [range(first, min(first + batch_size, len(manifest))) for first in range(0, len(manifest), batch_size)]
    with path.open("wb") as stream:
        _write_header(stream, len(manifest), encoder.dimension)
        for batch in track(batches, label="index", unit="batches"):
            rows, images = _load_rows(encoder, manifest, batch, unreadable)
            if rows:
                stream.write(encoder.encode(np.stack(images), manifest.camid[rows]).tobytes())
                kept += rows
        # Only now is the number of readable images known; numpy pads headers so that their length stays the same.
        stream.seek(0)
        _write_header(stream, len(kept), encoder.dimension)
    if unreadable:
        warn_unreadable(unreadable, manifest.root)
    if not kept:
        raise ValueError(f"none of the {len(manifest)} images of {manifest.root} is readable")
    return np.array(kept, dtype=np.int64)


def _write_header(stream: BinaryIO, rows: int, dimension: int) -> None:
    shape = {"descr": "<f4", "fortran_order": False, "shape": (rows, dimension)}
    np.lib.format.write_array_header_1_0(stream, shape)


def _load_rows(
    encoder: OnnxEncoder, manifest: Manifest, batch: Sequence[int], unreadable: list[str]
) -> tuple[list[int], list[np.ndarray]]:
    rows, images = [], []
    for row in batch:
        try:
            images.append(load_image(manifest.image_path(row), size=(encoder.height, encoder.width)))
            rows.append(row)
        except ValueError:
            unreadable.append(manifest.path[row])
    return rows, images


def _read_facts(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / "gallery.json").read_text(encoding="utf-8"))
        version = facts["format_version"]
    except FileNotFoundError as error:
        raise ValueError(
            f"{folder} is no gallery: it holds no gallery.json; make one with 'unrealperson index'"
        ) from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ValueError(f"{folder} is no gallery: it holds no valid gallery.json ({error!r})") from error
    if version != FORMAT_VERSION:
        raise ValueError(
            f"the gallery {folder} has format version {version}; this release reads version {FORMAT_VERSION}: "
            "index the images again"
        )
    missing = {"images", "dimension", "root", "model_sha256"} - facts.keys()
    if missing:
        raise ValueError(f"{folder / 'gallery.json'} lacks {', '.join(sorted(missing))}; index the images again")
    return facts


def _portable(root: Path, out: Path) -> str:
    # A data set beside its gallery may be moved together with it; any other stays where it is.
    return os.path.relpath(root, out) if root.is_relative_to(out.parent) else str(root)


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
