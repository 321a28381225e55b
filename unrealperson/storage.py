"""Folders that URLs name (s3://, file://), filled by many machines at once and read through a copy on this one."""

from __future__ import annotations

import os
import re
import shutil
import uuid
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path, PurePosixPath
from typing import Any, NamedTuple
from urllib.parse import quote, unquote, urlsplit

from unrealperson.files import cache_folder, only_process, replacing
from unrealperson.log import track

_CONNECTIONS = 16
"""Files that are read or copied at a time; a request to an object store is mostly waiting."""

_OBJECT_STORES = ("s3", "gcs", "abfs")
"""pyarrow's names of stores where an object appears when all of it has arrived."""

_PARTIAL = ".partial"


class _File(NamedTuple):
    name: str
    size_bytes: int
    changed_ns: int


def is_url(place: str | Path) -> bool:
    """Whether a place is a URL, not a path.

    Args:
        place: what the user gave.
    """
    return isinstance(place, str) and re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", place) is not None


class Storage:
    """A folder that a URL names, through pyarrow.fs.

    What is put there appears whole or not at all, so whoever lists the files sees finished ones alone. Several machines
    may put the same file at the same time.

    Args:
        url: such as file:///data/crops or s3://bucket/crops, with pyarrow's options behind it:
            s3://bucket/crops?region=eu-central-1. Credentials come from the environment, as all S3 clients take them.

    Raises:
        ValueError: a scheme that pyarrow does not know, no folder, or credentials in the URL.
    """

    def __init__(self, url: str) -> None:
        from pyarrow import ArrowInvalid
        from pyarrow.fs import FileSystem

        if "@" in urlsplit(url).netloc:
            raise ValueError("credentials do not belong in a URL, which is logged; give AWS_ACCESS_KEY_ID and the like")
        try:
            self._files, self._folder = FileSystem.from_uri(url)
        except (ArrowInvalid, ValueError, OSError) as error:
            raise ValueError(f"{url} is not the URL of a folder, such as s3://bucket/folder: {error}") from error
        self._folder = self._folder.rstrip("/")
        if not self._folder:
            raise ValueError(f"{url} names no folder; give one, such as s3://bucket/folder")
        self.url = url

    def put(self, name: str, content: bytes) -> None:
        """Writes a file that appears whole or not at all.

        Args:
            name: of the file below the folder, with forward slashes.
            content: all of it.

        Raises:
            RuntimeError: it cannot be written.
        """
        path = f"{self._folder}/{name}"
        with self._telling(name):
            if self._files.type_name in _OBJECT_STORES:
                self._write(path, content)
                return
            folder = path.rpartition("/")[0]
            self._files.create_dir(folder, recursive=True)
            partial = f"{folder}/.{uuid.uuid4().hex}{_PARTIAL}"
            try:
                self._write(partial, content)
                self._files.move(partial, path)
            except BaseException:
                if self._files.get_file_info(partial).is_file:
                    self._files.delete_file(partial)
                raise

    def read(self, name: str) -> bytes:
        """The content of a file.

        Args:
            name: of the file below the folder.

        Raises:
            RuntimeError: it cannot be read.
        """
        with self._telling(name), self._files.open_input_stream(f"{self._folder}/{name}") as stream:
            content: bytes = stream.read()
        return content

    def read_all(self, names: Iterable[str]) -> list[bytes]:
        """The contents of several files, read side by side.

        Args:
            names: of the files below the folder.

        Raises:
            RuntimeError: one cannot be read.
        """
        with ThreadPoolExecutor(_CONNECTIONS) as pool:
            return list(pool.map(self.read, names))

    def names(self, folder: str = "") -> list[str]:
        """The files at any depth, in order, without those that are being written.

        Args:
            folder: below the URL's; empty is all of it.

        Raises:
            RuntimeError: no such bucket, no right to see it, or no connection.
        """
        return [file.name for file in self._listed(folder)]

    def has(self, name: str) -> bool:
        """Whether a file is there.

        Args:
            name: of the file below the folder.

        Raises:
            RuntimeError: no such bucket, no right to see it, or no connection.
        """
        with self._telling(name):
            return bool(self._files.get_file_info(f"{self._folder}/{name}").is_file)

    def copy_here(self, names: Iterable[str] | None = None) -> Path:
        """Copies files to this machine, unless they are here and have not changed.

        Args:
            names: of files below the folder; None is all of them.

        Returns:
            The folder that holds them: `here`, below UNREALPERSON_CACHE or ~/.cache/unrealperson.

        Raises:
            RuntimeError: a file is not there, or cannot be read.
        """
        folder = self.here
        if self._is_here:
            return folder
        folder.mkdir(parents=True, exist_ok=True)
        with only_process(folder, wait=True):
            with ThreadPoolExecutor(_CONNECTIONS) as pool:
                there = self._listed("") if names is None else list(pool.map(self._described, dict.fromkeys(names)))
                old = [each for each in there if _seen(folder / each.name) != (each.size_bytes, each.changed_ns)]
                made = pool.map(lambda each: self._copy(each, folder), old)
                for _ in track(made, label="copying", total=len(old), unit="files") if old else ():
                    pass
        return folder

    @property
    def here(self) -> Path:
        """The folder of this machine that `copy_here` fills; of file:// the folder itself."""
        return Path(self._folder) if self._is_here else _copies() / quote(self.url, safe="")

    @property
    def _is_here(self) -> bool:
        return bool(self._files.type_name == "local")

    def _copy(self, there: _File, folder: Path) -> None:
        target = folder / there.name
        target.parent.mkdir(parents=True, exist_ok=True)
        with self._telling(there.name), self._files.open_input_stream(f"{self._folder}/{there.name}") as stream:
            with replacing(target) as partial, partial.open("wb") as file:
                shutil.copyfileobj(stream, file, 2**22)
        os.utime(target, ns=(there.changed_ns, there.changed_ns))

    def _described(self, name: str) -> _File:
        with self._telling(name):
            info = self._files.get_file_info(f"{self._folder}/{name}")
        if not info.is_file:
            raise RuntimeError(f"{self.url} holds no {name}")
        return self._file(info)

    def _file(self, info: Any) -> _File:
        name = info.path.removeprefix(f"{self._folder}/")
        if ".." in PurePosixPath(name).parts or PurePosixPath(name).is_absolute():
            raise ValueError(f"{self.url} holds a file named {name!r}, which leads out of the folder")
        return _File(name, info.size, info.mtime_ns or 0)

    def _listed(self, folder: str) -> list[_File]:
        from pyarrow.fs import FileSelector

        base = f"{self._folder}/{folder}".rstrip("/")
        with self._telling(folder):
            infos = self._files.get_file_info(FileSelector(base, allow_not_found=True, recursive=True))
        found = sorted(self._file(info) for info in infos if info.is_file)
        return [file for file in found if not file.name.endswith(_PARTIAL)]

    def _write(self, path: str, content: bytes) -> None:
        with self._files.open_output_stream(path) as stream:
            stream.write(content)

    @contextmanager
    def _telling(self, name: str) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            raise RuntimeError(f"{self.url}: {name or 'the folder'} cannot be used: {error}") from error


def origin(folder: Path) -> Storage | None:
    """The storage that a folder is a copy of, or None.

    Args:
        folder: any folder of this machine.
    """
    if folder.parent != _copies():
        return None
    return Storage(unquote(folder.name))


def _copies() -> Path:
    return cache_folder() / "copies"


def _seen(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except OSError:
        return None
    return status.st_size, status.st_mtime_ns
