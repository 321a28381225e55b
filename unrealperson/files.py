"""Files and folders that appear complete or not at all, and folders that one process writes at a time."""

from __future__ import annotations

import fcntl
import hashlib
import io
import json
import os
import shutil
import tarfile
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

_LEAST_UNPACKED_BYTES, _MOST_UNPACKED_RATIO = 256 << 20, 100


@contextmanager
def replacing(path: str | Path) -> Iterator[Path]:
    """Yields a temporary name beside `path` to write to, and renames it to `path` when the block succeeds.

    A block that fails leaves an earlier file as it was, and nothing of its own.

    Args:
        path: file that is to appear.
    """
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        yield partial
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


@contextmanager
def replacing_folder(path: str | Path) -> Iterator[Path]:
    """Yields a new folder beside `path` to fill, and renames it to `path` when the block succeeds.

    A block that fails leaves nothing.

    Args:
        path: folder that is to appear; an empty one may be there.

    Raises:
        ValueError: something is there already.
    """
    path = Path(path).absolute()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} exists; choose another folder")
    partial = path.with_name(f".{path.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir(parents=True)
    try:
        yield partial
        partial.rename(path)
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def cache_folder() -> Path:
    """Folder of what can be made or copied again: UNREALPERSON_CACHE, or ~/.cache/unrealperson."""
    named = os.environ.get("UNREALPERSON_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "unrealperson"


def write_text(path: str | Path, text: str) -> None:
    """Writes a UTF-8 text file that appears complete or not at all.

    Args:
        path: file to write.
        text: its content.
    """
    with replacing(path) as partial:
        partial.write_text(text, encoding="utf-8")


def write_json(path: str | Path, value: Any) -> None:
    """Writes a JSON file that appears complete or not at all.

    Args:
        path: file to write.
        value: anything that json can write.
    """
    write_text(path, json.dumps(value, indent=1, ensure_ascii=False) + "\n")


def file_sha256(path: str | Path) -> str:
    """SHA-256 of a file's content, as hexadecimal digits.

    Args:
        path: the file.
    """
    with open(path, "rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def read_arrays(path: str | Path) -> dict[str, np.ndarray]:
    """All arrays of an .npz file, each compared with its checksum.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no such file's content, a damaged one, or one that unpacks to more than 256 MiB and 100 times
            its size.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            # Not more than this is unpacked of an entry, whatever it holds.
            unpacked = sum(entry.file_size for entry in archive.infolist())
        if unpacked > max(_LEAST_UNPACKED_BYTES, _MOST_UNPACKED_RATIO * Path(path).stat().st_size):
            raise ValueError(f"it would unpack to {unpacked} bytes")
        with np.load(path, allow_pickle=False) as stored:
            arrays = {name: stored[name] for name in stored}
        if not all(isinstance(array, np.ndarray) for array in arrays.values()):
            raise ValueError("it holds files that are no arrays")
        return arrays
    except FileNotFoundError:
        raise
    # What broken archives and headers of arrays raise is open-ended.
    except Exception as error:
        raise ValueError(f"{path} is damaged, or no .npz file: {error}; make it again") from error


def pack_folder(folder: str | Path) -> bytes:
    """All files below a folder as one tar archive.

    Args:
        folder: what to pack.
    """
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as archive:
        archive.add(folder, arcname=".")
    return stream.getvalue()


def unpack_folder(packed: bytes, folder: str | Path) -> None:
    """Writes the files that `pack_folder` took; none comes to lie outside the folder.

    Args:
        packed: the archive.
        folder: where to write.
    """
    with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
        archive.extractall(folder, filter="data")


@contextmanager
def only_process(folder: str | Path, *, wait: bool = False) -> Iterator[None]:
    """Keeps a second process out of a folder while the block runs; the lock ends with the process.

    Args:
        folder: an existing folder.
        wait: begin when the other has ended.

    Raises:
        RuntimeError: another process holds it.
    """
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            raise RuntimeError(
                f"another process is writing to {folder}; wait for it or choose another folder"
            ) from error
        yield
    finally:
        os.close(descriptor)
