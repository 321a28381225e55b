"""The manifest: one row per crop, stored as Parquet beside the images."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from unrealperson.files import replacing
from unrealperson.schema import UNKNOWN

FILE_NAME = "manifest.parquet"
FORMAT_VERSION = 3
SPLITS = ("train", "query", "gallery", "test")
_VERSION_KEY = b"unrealperson.format_version"

SHARED_TEXT = pa.dictionary(pa.int32(), pa.string())
"""Text that many rows share; it is stored once."""

COLUMNS = pa.schema(
    [
        pa.field("path", pa.string(), nullable=False),  # below the root, with forward slashes
        pa.field("pid", pa.int64(), nullable=False),  # global identity, -1 unknown
        pa.field("camid", pa.int64(), nullable=False),  # global camera, -1 unknown
        pa.field("scene", pa.int32()),  # X
        pa.field("version", pa.int32()),  # Y
        pa.field("person", pa.int32()),  # P
        pa.field("camera", pa.int32()),  # D
        pa.field("frame", pa.int64(), nullable=False),  # F, -1 unknown
        pa.field("time_s", pa.float64()),
        pa.field("left", pa.int32()),  # box in the frame, xyxy pixels, half-open
        pa.field("top", pa.int32()),
        pa.field("right", pa.int32()),
        pa.field("bottom", pa.int32()),
        pa.field("width", pa.int32()),  # of the crop
        pa.field("height", pa.int32()),
        pa.field("pixels", pa.int32()),  # mask pixels of the person
        pa.field("fill", pa.float32()),  # mask pixels over the tight box's area
        pa.field("light", pa.int32()),
        pa.field("yaw_deg", pa.float32()),
        pa.field("distance_m", pa.float32()),
        pa.field("split", pa.string()),  # one of SPLITS
        pa.field("seed", pa.int64()),
        pa.field("sha256", pa.string()),  # of the image file
        pa.field("tight_box", pa.list_(pa.int32(), 4)),  # outermost visible pixels in the frame, xyxy, half-open
        pa.field("full_box", pa.list_(pa.float32(), 4)),  # the whole body, may reach outside the frame
        pa.field("unoccluded_pixels", pa.int32()),  # of the person if nothing else were in the frame
        pa.field("visibility", pa.float32()),  # pixels over unoccluded_pixels
        pa.field("keypoints", pa.list_(pa.float32(), 51)),  # 17 x (x, y, v) in the crop, COCO's order and v
        pa.field("mask", pa.string()),  # of the person in the crop, COCO's compressed run lengths
        pa.field("attributes", SHARED_TEXT),  # JSON object: what the person looks like
        pa.field("heading_deg", pa.float32()),  # walking direction, counter-clockwise from +X
        pa.field("speed_mps", pa.float32()),
        pa.field("position_m", pa.list_(pa.float32(), 2)),  # of the feet on the ground
        pa.field("hours", SHARED_TEXT),  # day, overcast, dusk, night
        pa.field("camera_pose", SHARED_TEXT),  # JSON object: position, axes, focal length, lens
        pa.field("frame_width", pa.int32()),
        pa.field("frame_height", pa.int32()),
        pa.field("recipe", SHARED_TEXT),  # JSON object: the configuration that makes the crop again
        pa.field("made_on", SHARED_TEXT),  # JSON object: driver, processor and libraries that made it
    ]
)
"""Columns of a manifest; null (or -1 where null is not allowed) stands for what a source does not know."""

_LAST_COLUMN = {b"1": "sha256", b"2": "recipe"}
"""Earlier format versions have the columns up to this one."""

_OUTSIDE = r"^$|^/|\\|(^|/)\.\.(/|$)"
"""Paths that are empty, absolute, or lead out of the folder."""
_LONGEST_PATH = 4096

_TEXTS = [field.name for field in COLUMNS if field.type in (pa.string(), SHARED_TEXT)]
_LEAST_UNPACKED_BYTES, _MOST_UNPACKED_RATIO = 256 << 20, 500
_ROW_BYTES = 500


@dataclass(frozen=True)
class Manifest:
    """Rows of crops and the folder that their paths start from.

    Attributes:
        table: rows with exactly the columns `COLUMNS`.
        root: folder of the images.

    Raises:
        ValueError: another column, another type, or a value that no crop can have.
    """

    table: pa.Table
    root: Path

    def __post_init__(self) -> None:
        object.__setattr__(self, "root", Path(self.root))
        object.__setattr__(self, "table", _checked(self.table))

    @staticmethod
    def from_rows(rows: Iterable[Mapping[str, Any]], root: str | Path) -> Manifest:
        """Builds a manifest from one mapping per crop.

        Args:
            rows: column name -> value; all but `path` may be left out, None is unknown.
            root: folder of the images.

        Raises:
            ValueError: an unknown column, a missing path, or a value out of range.
        """
        rows = list(rows)
        unknown = sorted({name for row in rows for name in row} - set(COLUMNS.names))
        if unknown:
            raise ValueError(f"a manifest has no column {', '.join(unknown)}; it has {', '.join(COLUMNS.names)}")
        columns = []
        for field in COLUMNS:
            values = [row.get(field.name) for row in rows]
            if not field.nullable and field.name != "path":
                values = [UNKNOWN if value is None else value for value in values]
            try:
                columns.append(pa.array(values, field.type))
            except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError) as error:
                raise ValueError(f"manifest column {field.name} must be {field.type}: {error}") from error
        return Manifest(pa.table(columns, schema=COLUMNS), Path(root))

    @staticmethod
    def read(path: str | Path) -> Manifest:
        """Reads what `write` wrote.

        Args:
            path: the Parquet file, or the folder that holds manifest.parquet.

        Raises:
            FileNotFoundError: no such file.
            ValueError: not a manifest, or one of another format version.
        """
        path = Path(path)
        if path.is_dir():
            path = path / FILE_NAME
        if not path.is_file():
            raise FileNotFoundError(f"there is no manifest at {path}")
        return _read(path, path, path.parent)

    @staticmethod
    def from_bytes(content: bytes, root: str | Path) -> Manifest:
        """Reads what `to_bytes` gave.

        Args:
            content: of the Parquet file.
            root: folder of the images.

        Raises:
            ValueError: not a manifest, or one of another format version.
        """
        return _read(pa.BufferReader(content), Path(root) / FILE_NAME, Path(root))

    def to_bytes(self) -> bytes:
        """The content of the file that `write` writes."""
        stream = pa.BufferOutputStream()
        pq.write_table(self._versioned(), stream, write_page_checksum=True)
        return bytes(stream.getvalue())

    def write(self, path: str | Path | None = None) -> Path:
        """Writes the rows; the file appears complete or not at all.

        Args:
            path: file to write; None is manifest.parquet in the root.

        Returns:
            The file's path.
        """
        path = self.root / FILE_NAME if path is None else Path(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            pq.write_table(self._versioned(), partial, write_page_checksum=True)
        return path

    def _versioned(self) -> pa.Table:
        return self.table.replace_schema_metadata({_VERSION_KEY: str(FORMAT_VERSION)})

    @staticmethod
    def concatenate(manifests: Sequence[Manifest]) -> Manifest:
        """Puts the rows of several manifests under their nearest common folder.

        Identities and cameras keep their numbers, so sources that number them alike are taken as one.

        Args:
            manifests: at least one.

        Raises:
            ValueError: none given, or two rows with one path.
        """
        if not manifests:
            raise ValueError("manifests must hold at least one manifest, got none")
        roots = [manifest.root.absolute() for manifest in manifests]
        root = Path(os.path.commonpath(roots))
        tables = []
        for manifest, own in zip(manifests, roots, strict=True):
            prefix = own.relative_to(root)
            paths = pa.array([(prefix / path).as_posix() for path in manifest.path], pa.string())
            tables.append(manifest.table.set_column(0, COLUMNS.field("path"), paths))
        return Manifest(pa.concat_tables(tables), root)

    def __len__(self) -> int:
        return self.table.num_rows

    @cached_property
    def path(self) -> tuple[str, ...]:
        """Path of each crop below the root, with forward slashes."""
        return tuple(self.table["path"].to_pylist())

    @cached_property
    def pid(self) -> np.ndarray:
        """[n] int64 global identity, -1 where unknown."""
        return self.column("pid")

    @cached_property
    def camid(self) -> np.ndarray:
        """[n] int64 global camera, -1 where unknown."""
        return self.column("camid")

    @cached_property
    def frame(self) -> np.ndarray:
        """[n] int64 frame number, -1 where unknown."""
        return self.column("frame")

    @cached_property
    def split(self) -> np.ndarray:
        """[n] str split of each row, '' where unknown."""
        return self.column("split")

    @property
    def identities(self) -> np.ndarray:
        """Distinct known identities, increasing, int64."""
        return np.unique(self.pid[self.pid != UNKNOWN])

    @property
    def cameras(self) -> np.ndarray:
        """Distinct known cameras, increasing, int64."""
        return np.unique(self.camid[self.camid != UNKNOWN])

    def column(self, name: str) -> np.ndarray:
        """One column as a read-only array; unknown is -1 for integers, nan for floats, '' for text.

        Lists and texts that rows share come as an object array, with None for unknown.

        Args:
            name: one of `COLUMNS`.

        Raises:
            ValueError: no such column.
        """
        if name not in COLUMNS.names:
            raise ValueError(f"a manifest has no column {name!r}; it has {', '.join(COLUMNS.names)}")
        kind = COLUMNS.field(name).type
        stored = self.table[name]
        if pa.types.is_nested(kind) or pa.types.is_dictionary(kind):
            values = np.empty(len(self), dtype=object)
            values[:] = stored.to_pylist()
        elif pa.types.is_string(kind):
            values = np.array(["" if value is None else value for value in stored.to_pylist()], dtype=np.str_)
        else:
            unknown = float("nan") if pa.types.is_floating(kind) else UNKNOWN
            values = pc.fill_null(stored, pa.scalar(unknown, kind)).to_numpy()
        values.flags.writeable = False
        return values

    def attribute(self, name: str) -> np.ndarray:
        """One attribute of the persons, as text; '' where a row does not have it.

        Args:
            name: key of the JSON objects in the column `attributes`, such as "gender".
        """
        known = {text: str(json.loads(text).get(name, "")) for text in self._distinct("attributes")}
        return np.array([known.get(text, "") for text in self.column("attributes")], dtype=np.str_)

    @property
    def attribute_names(self) -> tuple[str, ...]:
        """Attributes that at least one person has."""
        return tuple(sorted({key for text in self._distinct("attributes") for key in json.loads(text)}))

    def _distinct(self, name: str) -> list[str]:
        return [text for text in pc.unique(self.table[name]).to_pylist() if text is not None]

    def replaced(self, name: str, values: Sequence[Any] | np.ndarray) -> Manifest:
        """The same rows with another column.

        Args:
            name: one of `COLUMNS`.
            values: n values; None is unknown.

        Raises:
            ValueError: no such column, or values that it can not hold.
        """
        if name not in COLUMNS.names:
            raise ValueError(f"a manifest has no column {name!r}; it has {', '.join(COLUMNS.names)}")
        field = COLUMNS.field(name)
        column = pa.array(list(values), field.type)
        return Manifest(self.table.set_column(COLUMNS.names.index(name), field, column), self.root)

    def select(self, rows: np.ndarray | slice | Sequence[int]) -> Manifest:
        """The chosen rows, in the given order.

        Args:
            rows: [n] bool mask, int index array, or slice.

        Raises:
            ValueError: a mask of another length, or an index out of range.
        """
        if not isinstance(rows, slice):
            rows = np.asarray(rows)
            if rows.size == 0 and rows.dtype != np.bool_:
                rows = rows.astype(np.int64)
        try:
            index = np.arange(len(self))[rows]
        except IndexError as error:
            raise ValueError(f"rows must choose among {len(self)} rows of the manifest: {error}") from error
        return Manifest(self.table.take(pa.array(index)), self.root)

    def image_path(self, row: int) -> Path:
        """Where the image of a row lies.

        Args:
            row: index of the row.
        """
        return self.root / self.path[row]

    def sha256(self) -> str:
        """Hash of the rows' content, the same wherever the root lies and however the file is stored."""
        digest = hashlib.sha256(f"manifest {FORMAT_VERSION} {len(self)}\n".encode())
        for name in COLUMNS.names:
            missing = self.table[name].is_null().to_numpy()
            values = self.column(name)
            digest.update(f"{name}\n".encode() + np.packbits(missing).tobytes())
            if values.dtype.kind == "O":
                digest.update(json.dumps(values.tolist()).encode())
            elif values.dtype.kind == "U":
                digest.update("\0".join(values.tolist()).encode())
            else:
                digest.update(np.where(missing, 0, values).astype(values.dtype.newbyteorder("<")).tobytes())
        return digest.hexdigest()

    def summary(self) -> str:
        """One line: images, identities, cameras and splits."""
        images, identities, cameras = len(self), len(self.identities), len(self.cameras)
        text = f"{images} image{'s' * (images != 1)}, {identities} identit{'y' if identities == 1 else 'ies'}"
        text += f", {cameras} camera{'s' * (cameras != 1)}"
        nameless = int(np.count_nonzero(self.pid == UNKNOWN))
        splits = Counter(self.split.tolist())
        named = [f"{splits[name]} {name}" for name in SPLITS if splits[name]]
        text += f" ({', '.join(named)})" if named else ""
        return text + (f", {nameless} without identity" if nameless else "")


def _read(source: Any, path: Path, root: Path) -> Manifest:
    """A Parquet file, or its content, as a manifest; messages call it `path`."""
    try:
        table = _read_bounded(source)
    except (pa.ArrowException, OSError, ValueError, LookupError, MemoryError) as error:
        raise ValueError(f"{path} is not a readable Parquet file: {error}") from error
    version = (table.schema.metadata or {}).get(_VERSION_KEY)
    if version is None:
        raise ValueError(f"{path} is a Parquet file but no unrealperson manifest")
    if version in _LAST_COLUMN:
        for name in COLUMNS.names[COLUMNS.names.index(_LAST_COLUMN[version]) + 1 :]:
            if name not in table.column_names:
                table = table.append_column(COLUMNS.field(name), pa.nulls(len(table), COLUMNS.field(name).type))
    elif version != str(FORMAT_VERSION).encode():
        text = version.decode(errors="replace")
        newer = text.isdecimal() and int(text) > FORMAT_VERSION
        raise ValueError(
            f"{path} has format version {text}; this release reads version {FORMAT_VERSION}: "
            + ("install a newer unrealperson" if newer else "make the data set again")
        )
    try:
        return Manifest(table, root)
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def leads_outside(path: str) -> bool:
    """Whether a path of a row is empty, absolute, or leads out of the folder that it starts from.

    Args:
        path: of an image.
    """
    return re.search(_OUTSIDE, path) is not None


def _read_bounded(source: Any) -> pa.Table:
    """The table of a Parquet file that does not unpack to much more than its size.

    Texts stay shared, so that one that many rows name is there once, until it is known what they take.
    """
    packed = source.size() if isinstance(source, pa.BufferReader) else source.stat().st_size
    most = max(_LEAST_UNPACKED_BYTES, _MOST_UNPACKED_RATIO * packed)
    # Of the metadata no more is looked at: asking a damaged column for its codec ends the process in pyarrow 26.
    facts = pq.read_metadata(source)
    packed_rows = sum(facts.row_group(group).total_byte_size for group in range(facts.num_row_groups))
    unpacked = facts.num_rows * _ROW_BYTES + packed_rows
    if unpacked > most:
        raise ValueError(f"it would unpack to {unpacked} bytes")
    texts = set(facts.schema.to_arrow_schema().names).intersection(_TEXTS)
    with pq.ParquetFile(source, read_dictionary=sorted(texts), page_checksum_verification=True) as file:
        table = file.read()
    for place, name in enumerate(table.column_names):
        kind = table.schema.field(place).type
        if name in texts and COLUMNS.field(name).type == pa.string() and kind == SHARED_TEXT:
            parts = table[place].chunks
            lengths = [pc.sum(pc.binary_length(part.dictionary).take(part.indices)).as_py() or 0 for part in parts]
            if sum(lengths) > most:
                raise ValueError(f"the texts of {name} would unpack to {sum(lengths)} bytes")
            table = table.set_column(place, COLUMNS.field(name), table[place].cast(pa.string()))
    return table


def _checked(table: pa.Table) -> pa.Table:
    missing = [name for name in COLUMNS.names if name not in table.column_names]
    extra = [name for name in table.column_names if name not in COLUMNS.names]
    if missing or extra:
        lacks = f"lacks the column {', '.join(missing)}" if missing else f"has an unknown column {', '.join(extra)}"
        raise ValueError(f"the manifest {lacks}; it must have {', '.join(COLUMNS.names)}")
    table = table.select(COLUMNS.names)
    for field in COLUMNS:
        stored = table.schema.field(field.name).type
        if stored != field.type:
            raise ValueError(f"manifest column {field.name} must be {field.type}, got {stored}")
        if not field.nullable and table[field.name].null_count:
            raise ValueError(f"manifest column {field.name} must have no null, got {table[field.name].null_count}")
    for name in ("pid", "camid", "frame"):
        _require_least(table, name, UNKNOWN)
    for name in ("width", "height", "pixels", "unoccluded_pixels", "frame_width", "frame_height"):
        _require_least(table, name, 1)
    if pc.any(pc.greater(table["visibility"], 1.0)).as_py() or pc.any(pc.less(table["visibility"], 0.0)).as_py():
        raise ValueError("visibility must lie in 0 ... 1 in every row")
    for low, high in (("left", "right"), ("top", "bottom")):
        if pc.any(pc.greater_equal(table[low], table[high])).as_py():
            raise ValueError(f"boxes are half-open, so {low} must be less than {high} in every row")
    splits = set(pc.unique(table["split"]).to_pylist()) - {None, *SPLITS}
    if splits:
        raise ValueError(f"split must be one of {', '.join(SPLITS)} or null, got {min(splits)!r}")
    outside = table["path"].filter(pc.match_substring_regex(table["path"], _OUTSIDE))
    if len(outside):
        raise ValueError(
            f"paths must stay below the manifest's folder, with forward slashes, got {outside[0].as_py()!r}"
        )
    if (pc.max(pc.binary_length(table["path"])).as_py() or 0) > _LONGEST_PATH:
        raise ValueError(f"a path may have {_LONGEST_PATH} bytes at most")
    if pc.count_distinct(table["path"]).as_py() != len(table):
        twice, count = Counter(table["path"].to_pylist()).most_common(1)[0]
        raise ValueError(f"a path may occur in one row only, got {twice!r} in {count}")
    return table.cast(COLUMNS).combine_chunks()


def _require_least(table: pa.Table, name: str, least: int) -> None:
    lowest = pc.min(table[name]).as_py()
    if lowest is not None and lowest < least:
        raise ValueError(f"{name} must be at least {least}, got {lowest}")
