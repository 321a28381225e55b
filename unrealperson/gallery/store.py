"""Files of a gallery: segments that are never changed once written, and one small file that says which of them count.

`gallery.json` is replaced in one rename, after everything that it names has reached the disk. So a process that is
killed leaves the old state or the new one, and readers go on with the files that they have mapped. A folder has one
writer at a time and any number of readers.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import reprlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from unrealperson.data.manifest import COLUMNS, Manifest
from unrealperson.files import file_sha256, replacing
from unrealperson.untrusted import read_json

FORMAT_VERSION = 2
STATE = "gallery.json"
VERIFIED_BYTES = 64 << 20
"""Larger files have their size compared when they are opened, and their checksum by `Gallery.verify` only."""
_READ_BYTES = 1 << 20
_COARSE = 127.0
_OWN = "sha256"
"""Key of the state's own checksum; galleries of earlier releases lack it."""
_OWN_NAME = re.compile(r"[A-Za-z0-9_][\w.-]{0,200}")


@dataclass(frozen=True)
class Segment:
    """Images that were added together.

    Attributes:
        name: stem of its files.
        features: [n, d] float32 or float16 of length 1, mapped from disk where they are large.
        coarse: [n, d] int8 directions that choose candidates, likewise; None where there are none.
        table: rows with the columns of a manifest, likewise.
    """

    name: str
    features: np.ndarray
    coarse: np.ndarray | None
    table: pa.Table

    def __len__(self) -> int:
        return len(self.features)


@dataclass(frozen=True)
class State:
    """What a gallery holds at one moment.

    Attributes:
        facts: content of gallery.json.
        segments: in the order in which they were added.
        present: [n] bool over the rows of all segments: not removed.
    """

    facts: dict[str, Any]
    segments: tuple[Segment, ...]
    present: np.ndarray


class SegmentWriter:
    """Writes one segment: vectors as they come, rows at the end.

    Args:
        folder: the gallery.
        name: stem of the files; none of that name may be in use.
        dimension: numbers in a vector.
        precision: "float32", "float16", or "int8" for float16 with int8 beside it.
    """

    def __init__(self, folder: Path, name: str, dimension: int, precision: str) -> None:
        self._folder, self._name, self._dimension = folder, name, dimension
        self._kinds: dict[str, np.dtype[Any]] = {"features": np.dtype("<f4" if precision == "float32" else "<f2")}
        if precision == "int8":
            self._kinds["coarse"] = np.dtype("i1")
        self._streams = {kind: (folder / f"{name}.{kind}.npy").open("wb") for kind in self._kinds}
        self.count = 0
        self._write_headers()

    def append(self, vectors: np.ndarray) -> None:
        """Adds vectors.

        Args:
            vectors: [n, d] float32 of length 1.
        """
        for kind, stream in self._streams.items():
            if kind == "coarse":
                scale = _COARSE / np.maximum(np.abs(vectors).max(axis=1, keepdims=True), 1e-12)
                vectors = np.rint(vectors * scale)
            stream.write(np.ascontiguousarray(vectors, dtype=self._kinds[kind]).tobytes())
        self.count += len(vectors)

    def finish(self, rows: Manifest) -> dict[str, Any]:
        """Writes the rows and brings all to the disk.

        Args:
            rows: one for each vector.

        Returns:
            The segment's entry in gallery.json.
        """
        # Only now is the number of vectors known; numpy pads headers so that their length stays the same.
        self._write_headers()
        files = []
        for kind, stream in self._streams.items():
            _sync(stream)
            stream.close()
            files.append(f"{self._name}.{kind}.npy")
        files.append(f"{self._name}.rows.arrow")
        with (self._folder / files[-1]).open("wb") as out:
            with pa.ipc.new_file(out, rows.table.schema) as writer:
                writer.write_table(rows.table.combine_chunks())
            _sync(out)
        return {
            "name": self._name,
            "rows": self.count,
            "files": {name: checksum(self._folder / name) for name in files},
        }

    def discard(self) -> None:
        """Removes what was written."""
        for stream in self._streams.values():
            stream.close()
        for path in self._folder.glob(f"{self._name}.*"):
            path.unlink(missing_ok=True)

    def _write_headers(self) -> None:
        for kind, stream in self._streams.items():
            stream.seek(0)
            shape = {"descr": self._kinds[kind].str, "fortran_order": False, "shape": (self.count, self._dimension)}
            np.lib.format.write_array_header_1_0(stream, shape)


@contextmanager
def writing(folder: Path, name: str, dimension: int, precision: str) -> Iterator[SegmentWriter]:
    """A segment's writer, whose files go away where the block fails.

    Args:
        folder: the gallery.
        name: stem of the files.
        dimension: numbers in a vector.
        precision: as for `SegmentWriter`.
    """
    writer = SegmentWriter(folder, name, dimension, precision)
    try:
        yield writer
    except BaseException:
        writer.discard()
        raise


def write_removed(folder: Path, name: str, present: np.ndarray) -> dict[str, Any]:
    """Writes which rows are gone.

    Args:
        folder: the gallery.
        name: of the file.
        present: [n] bool.

    Returns:
        The file's entry in gallery.json.
    """
    with (folder / name).open("wb") as out:
        np.save(out, np.flatnonzero(~present))
        _sync(out)
    return {"name": name, **checksum(folder / name)}


def commit(folder: Path, facts: dict[str, Any]) -> None:
    """Makes a state the gallery's own, and removes what only earlier states named.

    Args:
        folder: the gallery.
        facts: content of gallery.json; all that it names is on the disk.
    """
    with replacing(folder / STATE) as partial, partial.open("w", encoding="utf-8") as out:
        json.dump(facts | {_OWN: _fingerprint(facts)}, out, indent=1)
        out.write("\n")
        _sync(out)
    _sync_folder(folder)
    named = {STATE, "model.onnx", *_named_files(facts)}
    for path in folder.iterdir():
        if path.name not in named and path.is_file():
            path.unlink(missing_ok=True)


def read_facts(folder: Path) -> dict[str, Any]:
    """Reads and checks gallery.json.

    Args:
        folder: the gallery.

    Raises:
        ValueError: not a gallery, a damaged one, or one of another format version.
    """
    try:
        facts = read_json(folder / STATE)
        version = facts["format_version"]
        stored = facts.pop(_OWN, None)
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
    if stored not in (None, _fingerprint(facts)):
        raise ValueError(f"{folder / STATE} is damaged: its checksum is another one; index the images again")
    needed = {"revision", "images", "dimension", "precision", "backend", "root", "model_sha256", "segments", "removed"}
    if missing := needed - facts.keys():
        raise ValueError(f"{folder / STATE} lacks {', '.join(sorted(missing))}; index the images again")
    try:
        _require_own_files(facts)
    except (LookupError, TypeError, AttributeError, ValueError) as error:
        raise ValueError(f"{folder / STATE} is damaged: {error!r}; index the images again") from error
    return facts


def _require_own_files(facts: dict[str, Any]) -> None:
    """Types of what is read later, and no name that leads out of the gallery's folder."""
    for kind, names in ((int, ("revision", "images", "dimension")), (str, ("backend", "root", "model_sha256"))):
        for name in names:
            if type(facts[name]) is not kind:
                raise TypeError(f"{name} must be {kind.__name__}, got {reprlib.repr(facts[name])}")
    for entry in facts["segments"]:
        if type(entry["rows"]) is not int:
            raise TypeError(f"rows must be int, got {reprlib.repr(entry['rows'])}")
    stored = [file for entry in facts["segments"] for file in entry["files"].values()]
    for file in [*stored, *([facts["removed"]] if facts["removed"] else [])]:
        if type(file["bytes"]) is not int or type(file["sha256"]) is not str:
            raise TypeError(f"a file has {reprlib.repr(file)}")
    for name in (*_named_files(facts), *(entry["name"] for entry in facts["segments"])):
        if not _OWN_NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of a gallery's file")


def read_state(folder: Path, *, everything: bool = False) -> State:
    """Opens what gallery.json names.

    Args:
        folder: the gallery.
        everything: compare the checksums of large files as well.

    Raises:
        FileNotFoundError: a file is missing.
        ValueError: a file is damaged; the message names it.
    """
    for attempt in range(3):
        facts = read_facts(folder)
        try:
            segments = tuple(_open_segment(folder, entry, facts, everything=everything) for entry in facts["segments"])
            present = np.ones(sum(map(len, segments)), bool)
            if facts["removed"]:
                _check(folder / facts["removed"]["name"], facts["removed"], everything=True)
                present[np.load(folder / facts["removed"]["name"], allow_pickle=False)] = False
            return State(facts, segments, present)
        except (LookupError, TypeError, AttributeError, EOFError, pa.ArrowException, MemoryError) as error:
            raise ValueError(f"the gallery {folder} is damaged: {error!r}; index the images again") from error
        except FileNotFoundError:
            # A writer may have replaced the state, and removed its files, since it was read.
            if attempt == 2 or read_facts(folder)["revision"] == facts["revision"]:
                raise
    raise RuntimeError(f"{folder} changes faster than it can be opened; try again")


def rows_table(folder: Path, entry: dict[str, Any]) -> pa.Table:
    """What is known of a segment's images.

    Args:
        folder: the gallery.
        entry: of the segment in gallery.json.

    Raises:
        ValueError: the file is damaged.
    """
    path = folder / f"{entry['name']}.rows.arrow"
    try:
        with pa.memory_map(str(path)) if _is_large(path) else pa.OSFile(str(path)) as source:
            table = pa.ipc.open_file(source).read_all()
        table.validate(full=True)  # nothing has looked at the lengths and places in it yet
        wrong = [field.name for field in table.schema if field not in COLUMNS]
    except (pa.ArrowException, OSError, ValueError) as error:
        raise ValueError(f"{path} is damaged: {error}; index the images again") from error
    if wrong or "path" not in table.column_names or len(table) != entry["rows"]:
        raise ValueError(f"{path} must hold {entry['rows']} rows with columns of a manifest; index the images again")
    return table


def checksum(path: Path) -> dict[str, Any]:
    """Size and SHA-256 of a file.

    Args:
        path: the file.
    """
    return {"bytes": path.stat().st_size, "sha256": file_sha256(path)}


def _open_segment(folder: Path, entry: dict[str, Any], facts: dict[str, Any], *, everything: bool) -> Segment:
    for name, stored in entry["files"].items():
        _check(folder / name, stored, everything=everything)
    arrays = {}
    for kind in ("features", "coarse"):
        path = folder / f"{entry['name']}.{kind}.npy"
        if path.name in entry["files"]:
            arrays[kind] = np.load(path, mmap_mode="r" if _is_large(path) else None, allow_pickle=False)
            if arrays[kind].shape != (entry["rows"], facts["dimension"]):
                raise ValueError(
                    f"{path} must be {[entry['rows'], facts['dimension']]}, got {list(arrays[kind].shape)}"
                )
    return Segment(entry["name"], arrays["features"], arrays.get("coarse"), rows_table(folder, entry))


def _is_large(path: Path) -> bool:
    """Whether a file is mapped; smaller ones are read, since a mapped file stays open and additions may be many."""
    return path.stat().st_size > _READ_BYTES


def _fingerprint(facts: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()


def _check(path: Path, stored: dict[str, Any], *, everything: bool) -> None:
    if not path.is_file():
        raise FileNotFoundError(f"the gallery {path.parent} lacks {path.name}; index the images again")
    size = path.stat().st_size
    if size != stored["bytes"]:
        raise ValueError(f"{path} is damaged: it has {size} bytes of {stored['bytes']}; index the images again")
    if (everything or size <= VERIFIED_BYTES) and checksum(path)["sha256"] != stored["sha256"]:
        raise ValueError(f"{path} is damaged: its checksum is another one; index the images again")


def _named_files(facts: dict[str, Any]) -> Iterator[str]:
    for entry in facts["segments"]:
        yield from entry["files"]
    for key in ("removed", "index"):
        if facts.get(key):
            yield facts[key]["name"]


def _sync(stream: Any) -> None:
    stream.flush()
    os.fsync(stream.fileno())


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
