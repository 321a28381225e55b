"""From images to the files of a gallery, complete or not at all."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from unrealperson.config import SearchConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import load_image, warn_unreadable
from unrealperson.export.encoder import OnnxEncoder
from unrealperson.gallery import ann, store
from unrealperson.log import get_logger, track
from unrealperson.schema import UNKNOWN

logger = get_logger(__name__)


def write_gallery(
    model: str | Path, manifest: Manifest, out: Path, config: SearchConfig, *, overwrite: bool = False
) -> None:
    """Encodes the images of a manifest and writes them as a gallery.

    Args:
        model: ONNX file, a copy of which becomes part of the gallery.
        manifest: the images.
        out: folder to write.
        config: batch size, precision and back end.
        overwrite: replace a gallery that is at `out` already.

    Raises:
        ValueError: `out` is taken, no image is readable, or the model is unfit.
    """
    require_free(out, overwrite)
    out = out.absolute()
    if not len(manifest):
        raise ValueError(f"there is no image to index below {manifest.root}")
    encoder = OnnxEncoder(model)
    _warn_unknown_cameras(encoder, manifest)
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        with store.writing(partial, "segment-000001", encoder.dimension, config.precision) as writer:
            rows = encode_images(encoder, manifest, writer.append, config.batch_size)
            if not len(rows):
                raise ValueError(f"none of the {len(manifest)} images of {manifest.root} is readable")
            entry = writer.finish(rows)
        shutil.copyfile(encoder.path, partial / "model.onnx")
        facts = {
            "format_version": store.FORMAT_VERSION,
            "revision": 1,
            "images": len(rows),
            "identities": len(rows.identities),
            "cameras": len(rows.cameras),
            "dimension": encoder.dimension,
            "precision": config.precision,
            "backend": config.backend,
            "milvus_uri": config.milvus_uri,
            "root": _portable(manifest.root.absolute(), out),
            "model_sha256": store.checksum(partial / "model.onnx")["sha256"],
            "segments": [entry],
            "removed": None,
            "index": None,
            "threshold": None,
        }
        store.commit(partial, facts)
        if config.backend != "exact":
            store.commit(partial, facts | {"index": ann.build(partial, store.read_state(partial))})
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


def require_free(out: Path, overwrite: bool) -> None:
    """Refuses to write a gallery over something else.

    Args:
        out: folder to write.
        overwrite: whether it may replace a gallery.

    Raises:
        ValueError: the folder is taken.
    """
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


def _portable(root: Path, out: Path) -> str:
    # A data set beside its gallery may be moved together with it; any other stays where it is.
    return os.path.relpath(root, out) if root.is_relative_to(out.parent) else str(root)


def encode_images(
    encoder: OnnxEncoder, manifest: Manifest, take: Callable[[np.ndarray], None], batch_size: int
) -> Manifest:
    """Hands on the vectors of the readable images, batch by batch, with a warning that names the others.

    Args:
        encoder: the model.
        manifest: the images.
        take: is given [n, d] float32 of length 1.
        batch_size: images in one run of the model.

    Returns:
        The rows of the vectors, in their order.
    """
    kept: list[int] = []
    unreadable: list[str] = []
    batches = [range(first, min(first + batch_size, len(manifest))) for first in range(0, len(manifest), batch_size)]
    for batch in track(batches, label="index", unit="batches"):
        rows, images = [], []
        for row in batch:
            try:
                images.append(load_image(manifest.image_path(row), size=(encoder.height, encoder.width)))
                rows.append(row)
            except ValueError:
                unreadable.append(manifest.path[row])
        if rows:
            take(encoder.encode(np.stack(images), manifest.camid[rows]))
            kept += rows
    if unreadable:
        warn_unreadable(unreadable, manifest.root)
    return manifest.select(kept)
