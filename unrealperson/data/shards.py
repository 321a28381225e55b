"""WebDataset shards: plain tar files, read in place.

An image's path is that of its shard with the member's name after it, as if the shard were a folder.
"""

from __future__ import annotations

import json
import tarfile
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path, PurePosixPath
from typing import Any

from unrealperson.data.manifest import COLUMNS, leads_outside
from unrealperson.schema import UNKNOWN

MAX_LABEL_BYTES = 2**20
"""A label file with more is refused."""
_MAX_MEMBERS = 2**20

Members = dict[str, tuple[int, int]]
"""Where each file of a shard begins, and how many bytes it has."""


def list_shards(folder: str | Path) -> list[Path]:
    """The shards in a folder at any depth, or the one that is given.

    Args:
        folder: a folder or a .tar file.
    """
    folder = Path(folder)
    return [folder] if folder.suffix == ".tar" else sorted(folder.rglob("*.tar"))


def list_members(shard: Path, suffixes: frozenset[str]) -> Iterator[Path]:
    """The files of some kinds in a shard, in its order.

    Args:
        shard: the .tar file.
        suffixes: such as ".jpg", in small letters.

    Yields:
        Path of a member: shard/name.
    """
    for name in _members(shard):
        if PurePosixPath(name).suffix.lower() in suffixes:
            yield shard / name


def read_member(path: str | Path, max_bytes: int) -> bytes | None:
    """The content of a file in a shard, or None where the path leads into none.

    Args:
        path: shard/name.
        max_bytes: larger files are refused.

    Raises:
        ValueError: no such file in the shard, it is too large, or the shard is broken.
    """
    shard, name = _parts(path)
    if shard is None:
        return None
    members = _members(shard)
    if name not in members:
        raise ValueError(f"there is no image {path}: the shard holds no such file")
    start, size = members[name]
    if size > max_bytes:
        raise ValueError(f"{path} has {size} bytes; at most {max_bytes} are read")
    with shard.open("rb") as stream:
        stream.seek(start)
        content = stream.read(size)
    if len(content) < size:
        raise ValueError(f"{shard} is cut off; copy it again")
    return content


def read_label(path: Path) -> dict[str, Any]:
    """What a shard tells of an image: the columns of a manifest in its .json file; else the identity in its .cls.

    Args:
        path: shard/name of the image.

    Raises:
        ValueError: a label that cannot be read.
    """
    shard, name = _parts(path)
    if shard is None:
        return {}
    key = name[: name.index(".", name.rfind("/") + 1)]  # WebDataset's: up to the first dot of the file's name
    members = _members(shard)
    try:
        if f"{key}.json" in members:
            told = json.loads(read_member(shard / f"{key}.json", MAX_LABEL_BYTES) or b"")
            if not isinstance(told, dict):
                raise ValueError(f"expected an object, got {type(told).__name__}")
            return {column: value for column, value in told.items() if column in COLUMNS.names}
        if f"{key}.cls" in members:
            return {"pid": max(int(read_member(shard / f"{key}.cls", MAX_LABEL_BYTES) or b""), UNKNOWN)}
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the label of {path} is not readable: {error}") from error
    return {}


def _parts(path: str | Path) -> tuple[Path | None, str]:
    text = Path(path).as_posix()
    end = text.find(".tar/")
    while end >= 0:
        shard = Path(text[: end + 4])
        if shard.is_file():
            return shard, text[end + 5 :]
        end = text.find(".tar/", end + 1)
    return None, text


def _members(shard: Path) -> Members:
    changed = shard.stat()
    return _index(shard, changed.st_mtime_ns, changed.st_size)


@lru_cache(maxsize=4096)
def _index(shard: Path, changed_ns: int, size: int) -> Members:
    """Positions of the ordinary files; links and devices are no images, and their targets are not followed."""
    found: Members = {}
    try:
        with tarfile.open(shard, "r:") as archive:
            for count, member in enumerate(archive):
                if count >= _MAX_MEMBERS:
                    raise ValueError(f"{shard} holds more than {_MAX_MEMBERS} files; divide it")
                if member.isreg() and not member.issparse():
                    if leads_outside(member.name):
                        raise ValueError(f"{shard} holds {member.name!r}, which leads out of the shard")
                    found[member.name.removeprefix("./")] = (member.offset_data, member.size)
    except (tarfile.TarError, EOFError, OSError) as error:
        raise ValueError(
            f"{shard} is not a readable tar file: {error}; shards are tar files without compression"
        ) from error
    return found
