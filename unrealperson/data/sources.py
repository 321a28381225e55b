"""Readers: any folder of person images becomes a manifest."""

from __future__ import annotations

import csv
import io
import json
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from PIL import Image, ImageOps

from unrealperson.data.layouts import LISTS, SAME_PICTURES, SPLIT_FOLDERS, read_path
from unrealperson.data.manifest import COLUMNS, FILE_NAME, Manifest
from unrealperson.data.shards import list_members, list_shards, read_label, read_member
from unrealperson.data.stored import copy_set
from unrealperson.log import get_logger, track
from unrealperson.storage import is_url

logger = get_logger(__name__)

MAX_PIXELS = 64_000_000
"""Images of more pixels are refused: no crop of a person is that large, and decoding takes 3 bytes for each."""

MAX_BYTES = 2**28
"""Larger image files are refused."""

MAX_SCANS = 100
"""Progressive JPEG files of more are refused: each scan takes the time of the whole image, and a few bytes."""

UNREADABLE = (
    OSError, SyntaxError, ValueError, EOFError, IndexError, TypeError, ArithmeticError, struct.error,
    Image.DecompressionBombError, Warning,
)  # fmt: skip
"""What Pillow raises on broken files; its warnings come as errors where the user made them so."""

_JPEG_SCAN = b"\xff\xda"
_FORMATS = ("JPEG", "PNG", "BMP", "WEBP", "TIFF", "PPM")  # whatever a file is named: Pillow's EPS runs a program

SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".bmp", ".webp", ".tif", ".tiff", ".ppm"))


def read_images(folder: str | Path, *, skip_unreadable: bool = False, keep_unreadable: bool = False) -> Manifest:
    """Makes a manifest of a folder of person images, whatever their names tell.

    In this order: the folder's own manifest.parquet; a CSV file with columns of the manifest; the images that the
    list files of MSMT17 or Black-reID name; all images below the folder, read by the first of `layouts.LAYOUTS` that
    fits, with the split of their folder; any other image without identity and camera; where there is no image, those in
    tar shards (WebDataset). Files and folders whose name begins with a dot are left out.

    Market-1501's junk boxes, named -1, have no identity, so scoring ignores them. Its distractors, named
    0000, keep identity 0: no query has it, so they count as wrong answers. MSMT17 counts training and test
    identities from 0 alike: test identities are moved by 10,000; its list_val.txt is taken for training.

    Args:
        folder: folder of images at any depth, a manifest file, a CSV file, or a tar shard; of a URL, such as
            s3://bucket/crops, the images are copied to this machine first.
        skip_unreadable: decode every file and leave out those that are no readable image, with a warning; without
            it an image whose header is broken is an error, and damage further on shows when it is used.
        keep_unreadable: an image whose header is broken keeps its row, without a size.

    Returns:
        The images in the order of their paths, with their size where they have no manifest of their own.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: not a folder, no images in it, or an unreadable one.

    Source: the sets' own pages and loaders; see `layouts`.
    """
    folder = copy_set(str(folder)) if is_url(folder) else Path(folder)
    if not folder.exists():
        raise FileNotFoundError(f"there is no folder {folder}; give one that holds images of persons")
    if folder.suffix == ".parquet" or (folder / FILE_NAME).is_file():
        return Manifest.read(folder)
    if folder.suffix == ".csv" and folder.is_file():
        return _read_csv(folder)
    if not folder.is_dir() and folder.suffix != ".tar":
        raise ValueError(f"{folder} is not a folder; give the folder that holds the images")
    listed = _listed_files(folder) if folder.is_dir() else {}
    paths = sorted(listed or _image_files(folder))
    inside_shards = not paths
    if inside_shards:
        members = [path for shard in list_shards(folder) for path in list_members(shard, SUFFIXES)]
        folder = folder if folder.is_dir() else folder.parent
        paths = [path.relative_to(folder).as_posix() for path in members]
    if not paths:
        kinds = " ".join(sorted(SUFFIXES))
        raise ValueError(f"{folder} holds no images ({kinds}), at any depth, and none in tar files{_packed(folder)}")
    rows, unreadable = [], []
    for path in track(paths, label="images", unit="img"):
        size: tuple[int | None, int | None] = (None, None)
        try:
            size = _decoded_size(folder / path) if skip_unreadable else image_size(folder / path)
        except ValueError as error:
            if not (skip_unreadable or keep_unreadable):
                raise
            if not keep_unreadable:
                unreadable.append((path, error))
                continue
        told = _parse_name(folder, path) | (read_label(folder / path) if inside_shards else {})
        rows.append(told | {"path": path, "width": size[0], "height": size[1]})
        if listed:
            rows[-1]["split"] = listed[path]
    if unreadable:
        warn_unreadable([path for path, _ in unreadable], folder)
    if not rows:
        raise ValueError(f"none of the {len(paths)} images of {folder} is readable; the first: {unreadable[0][1]}")
    nameless = sum("pid" not in row and "camid" not in row for row in rows)
    if 0 < nameless < len(rows):
        logger.warning("%s: %d of %d names tell no identity and camera and stay without", folder, nameless, len(rows))
    if rows and nameless < len(rows) and not any("camid" in row for row in rows):
        logger.warning("%s: names tell no camera; camera-based batch norm and camera-aware scores see one", folder)
    return Manifest.from_rows(rows, folder)


def read_name(path: str | Path) -> dict[str, Any]:
    """What the name of one image file tells, as `read_images` would read it.

    Args:
        path: the file, which need not be there.

    Returns:
        Columns of the manifest: pid, camid and frame among others, as far as the name tells.
    """
    path = Path(path)
    return _parse_name(path.parent, path.name)


def load_image(path: str | Path, *, size: tuple[int, int] | None = None, max_pixels: int = MAX_PIXELS) -> np.ndarray:
    """Decodes one image file, turned upright as its EXIF data says.

    Args:
        path: image file.
        size: (height, width) to resize to, with Pillow's bilinear filter as all networks here expect; None
            keeps the image's own.
        max_pixels: greatest width * height; larger ones are refused before they are decoded.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        ValueError: missing, unreadable, truncated or too large; the message names the file.
    """
    return decode_image(read_bytes(path), path, size=size, max_pixels=max_pixels)


def decode_image(
    content: bytes,
    name: str | Path,
    *,
    size: tuple[int, int] | None = None,
    max_pixels: int = MAX_PIXELS,
    formats: tuple[str, ...] = _FORMATS,
) -> np.ndarray:
    """Decodes the content of an image file, as `load_image` does.

    Args:
        content: of the file.
        name: what messages call it.
        size: (height, width) to resize to; None keeps the image's own.
        max_pixels: greatest width * height.
        formats: names that Pillow gives to the formats that are read.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        ValueError: unreadable, truncated or too large.
    """
    with _opened(content, name, max_pixels, formats) as image:
        upright = image
        if image.getexif().get(_EXIF_ORIENTATION, 1) != 1:
            upright = ImageOps.exif_transpose(image)
        if upright.mode != "RGB":
            upright = upright.convert("RGB")
        if size is not None and upright.size != (size[1], size[0]):
            upright = upright.resize((size[1], size[0]), Image.Resampling.BILINEAR)
        return np.array(upright)


def image_size(path: str | Path) -> tuple[int, int]:
    """Width and height of an image turned upright, from its header.

    Args:
        path: image file, or shard.tar/name.

    Raises:
        ValueError: missing, unreadable or too large; the message names the file.
    """
    with _opened(read_bytes(path), path, MAX_PIXELS, _FORMATS) as image:
        width, height = image.size
        turned = "exif" in image.info and image.getexif().get(_EXIF_ORIENTATION, 1) >= 5
        return (height, width) if turned else (width, height)


def read_bytes(path: str | Path) -> bytes:
    """The content of an image file, or of an image in a tar shard.

    Args:
        path: the file, or shard.tar/name.

    Raises:
        ValueError: missing, unreadable or larger than MAX_BYTES; the message names the file.
    """
    member = read_member(path, MAX_BYTES)
    if member is not None:
        return member
    try:
        with open(path, "rb", buffering=0) as stream:
            size = os.fstat(stream.fileno()).st_size
            content = stream.read(size) if size <= MAX_BYTES else b""
    except IsADirectoryError:
        raise ValueError(f"{path} is a folder; give an image file") from None
    except (FileNotFoundError, NotADirectoryError):
        raise ValueError(f"there is no image {path}") from None
    except OSError as error:
        raise ValueError(f"{path} is not readable: {error}") from error
    if size > MAX_BYTES:
        raise ValueError(f"{path} is not a readable image: it has {size} bytes; at most {MAX_BYTES} are read")
    return content


def warn_unreadable(paths: list[str], folder: str | Path) -> None:
    """Logs one warning that counts the skipped files and names the first.

    Args:
        paths: the files, below the folder; at least one.
        folder: where they lie.
    """
    shown = ", ".join(paths[:5]) + (", ..." if len(paths) > 5 else "")
    logger.warning("%s: skipped %d unreadable %s: %s", folder, len(paths), "images" if paths[1:] else "image", shown)


_EXIF_ORIENTATION = 0x0112


def _decoded_size(path: Path) -> tuple[int, int]:
    height, width = load_image(path).shape[:2]
    return width, height


@contextmanager
def _opened(content: bytes, name: str | Path, max_pixels: int, formats: tuple[str, ...]) -> Iterator[Image.Image]:
    try:
        with Image.open(io.BytesIO(content), formats=formats) as image:
            if image.width * image.height > max_pixels:
                raise ValueError(f"it has {image.width} x {image.height} pixels; at most {max_pixels} are read")
            if image.format == "JPEG" and content.count(_JPEG_SCAN) > MAX_SCANS:
                raise ValueError(f"it comes in more than {MAX_SCANS} scans")
            yield image
    except UNREADABLE as error:
        raise ValueError(f"{name} is not a readable image: {error}") from error


def _image_files(folder: Path) -> Iterator[str]:
    seen = set()
    for parent, folders, names in os.walk(folder, followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link back to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        if {"bounding_box_train", "bounding_box_test"} & set(folders):
            # Market-1501 has hand-drawn boxes of the same people beside, other tools put restyled copies there.
            folders[:] = [name for name in folders if name in SPLIT_FOLDERS]
        for pair in SAME_PICTURES:
            if set(pair) <= set(folders):
                twice = " and ".join(pair)
                raise ValueError(f"{parent} holds the same pictures twice, in {twice}; give one of the two")
        for name in names:
            if not name.startswith(".") and os.path.splitext(name)[1].lower() in SUFFIXES:
                yield (Path(parent) / name).relative_to(folder).as_posix()


def _packed(folder: Path) -> str:
    if any(folder.rglob("cuhk-03.mat")):
        return (
            ", only CUHK03's cuhk-03.mat, which is not read: give the images that other tools unpack from it "
            "(images_labeled or images_detected), or the published set CUHK03-NP (labeled or detected)"
        )
    return ""


def _listed_files(folder: Path) -> dict[str, str]:
    """Split of each image that the set's list files name; empty where it has none for query and gallery.

    The lists lie in the folder, or in the only one below it, as MSMT17_V1 in msmt17.
    """
    below = [path for path in folder.iterdir() if path.is_dir() and not path.name.startswith(".")]
    for root in (folder, *(below if len(below) == 1 else ())):
        lists = [(root / name, split, starts) for name, split, starts in LISTS if (root / name).is_file()]
        if {"query", "gallery"} <= {split for _, split, _ in lists}:
            prefix = root.relative_to(folder)
            return {(prefix / path).as_posix(): split for path, split in _read_lists(root, lists).items()}
    return {}


def _read_lists(folder: Path, lists: Sequence[tuple[Path, str, tuple[str, ...]]]) -> dict[str, str]:
    found: dict[str, str] = {}
    for path, split, starts in lists:
        for line in path.read_text(encoding="utf-8").splitlines():
            if not line.strip():
                continue
            name = line.split()[0].replace("\\", "/")
            inside = [(Path(start) / name).as_posix() for start in starts if (folder / start / name).is_file()]
            if not inside:
                raise ValueError(f"{path} lists {name}, which is in none of {', '.join(starts) or folder}")
            found[inside[0]] = split
    return found


def _parse_name(folder: Path, path: str) -> dict[str, Any]:
    # The folder's own name counts: the user may point inside unreal_vX.Y or at bounding_box_test.
    whole = (folder.absolute() / path).as_posix()
    value = read_path(whole, path)
    split = SPLIT_FOLDERS.get(whole.rsplit("/", 2)[-2])
    return {**value, "split": split} if split else value


def _read_csv(path: Path) -> Manifest:
    """Rows of a CSV file whose header names columns of the manifest, at least path."""
    try:
        with path.open(newline="", encoding="utf-8-sig") as stream:
            reader = csv.DictReader(stream)
            if "path" not in (reader.fieldnames or ()):
                raise ValueError(f"it must have a header with the column path, got {reader.fieldnames}")
            rows = [dict(row) for row in reader]
    except (csv.Error, ValueError) as error:
        raise ValueError(f"{path} is not a readable CSV file: {error}") from error
    known = {field.name: field.type for field in COLUMNS}
    typed = []
    for number, row in enumerate(rows, 2):
        values: dict[str, Any] = {}
        for name, text in row.items():
            if name not in known:
                raise ValueError(f"{path} has an unknown column {name}; columns are {', '.join(known)}")
            if text is None or text == "":
                continue
            kind = known[name]
            convert: Any = int if pa.types.is_integer(kind) else float if pa.types.is_floating(kind) else str
            convert = json.loads if pa.types.is_nested(kind) else convert
            try:
                values[name] = convert(text)
            except (ValueError, RecursionError) as error:
                raise ValueError(f"{path}, line {number}: {name} must be {kind}, got {text!r}") from error
        typed.append(values)
    return Manifest.from_rows(typed, path.parent)
