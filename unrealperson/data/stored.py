"""A data set at a URL: each shard is put there by whoever made it, its report last; in the end one manifest of all.

URL/shards/NAME/ is a data set by itself: crops.tar (a WebDataset shard, read in place), manifest.parquet, and
report.json, which is there when the others are. URL/manifest.parquet has the rows of all. Pictures that are no crops,
such as kept frames, lie below URL as they would in a folder.
"""

from __future__ import annotations

import io
import json
import tarfile
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa

from unrealperson.config import Config, format_config, parse_config
from unrealperson.data.manifest import FILE_NAME, Manifest
from unrealperson.storage import Storage, origin

CROPS, REPORT, CONFIG, SHARDS = "crops.tar", "report.json", "config.toml", "shards"


class StoredSet:
    """A data set at a URL that several machines write.

    Args:
        url: its folder, as `Storage` takes it.

    Raises:
        ValueError: no such scheme, or no folder.
    """

    def __init__(self, url: str) -> None:
        self.url = url
        self._storage = Storage(url)

    def begin(self, config: Config) -> Config:
        """The configuration that the set was begun with; where nothing is there yet, that is the given one.

        Args:
            config: of the run that begins it or goes on.

        Raises:
            ValueError: something else is there.
        """
        if self._storage.has(CONFIG):
            return parse_config(tomllib.loads(self._storage.read(CONFIG).decode()), f"{self.url}/{CONFIG}")
        names = self._storage.names()
        if names:
            raise ValueError(f"{self.url} holds {names[0]} and no {CONFIG} of an earlier run; choose another folder")
        self._storage.put(CONFIG, format_config(config).encode())
        return config

    def manifest(self) -> Manifest | None:
        """The rows of all shards, or None as long as the set is not whole; its root is the folder of a copy."""
        if not self._storage.has(FILE_NAME):
            return None
        return Manifest.from_bytes(self._storage.read(FILE_NAME), self._storage.here)

    def finished(self) -> set[str]:
        """Names of the shards that are there completely."""
        ends = [name.split("/") for name in self._storage.names(SHARDS)]
        return {parts[1] for parts in ends if parts[2:] == [REPORT]}

    def add(self, folder: Path) -> None:
        """Puts a shard; twice does no harm.

        Args:
            folder: its name is the shard's; it holds manifest.parquet, report.json and files/, where the manifest's
                paths start from.
        """
        manifest = Manifest.read(folder)
        files = folder / "files"
        crops = set(manifest.path)
        for path in sorted(files.rglob("*")):
            name = path.relative_to(files).as_posix()
            if path.is_file() and name not in crops:
                self._storage.put(name, path.read_bytes())
        own = f"{SHARDS}/{folder.name}"
        self._storage.put(f"{own}/{CROPS}", _pack(files, manifest.path))
        self._storage.put(f"{own}/{FILE_NAME}", _moved(manifest, CROPS).to_bytes())
        self._storage.put(f"{own}/{REPORT}", (folder / REPORT).read_bytes())

    def collect(self, shards: Sequence[str]) -> tuple[Manifest, list[dict[str, Any]]]:
        """The rows of all shards, and their reports.

        Args:
            shards: their names, in order.

        Returns:
            The manifest, its root the folder that a copy of the set lies in.
        """
        stored = self._storage.read_all(f"{SHARDS}/{name}/{FILE_NAME}" for name in shards)
        reports = [json.loads(text) for text in self._storage.read_all(f"{SHARDS}/{name}/{REPORT}" for name in shards)]
        root = self._storage.here
        parts = [Manifest.from_bytes(each, root / SHARDS / name) for each, name in zip(stored, shards, strict=True)]
        tables = [_moved(part, f"{SHARDS}/{name}").table for part, name in zip(parts, shards, strict=True)]
        return Manifest(pa.concat_tables(tables), root), reports

    def end(self, manifest: Manifest, report: dict[str, Any]) -> None:
        """Puts the report and the manifest of all; from then on the set is whole.

        Args:
            manifest: of `collect`.
            report: of the whole set.
        """
        self.put(REPORT, (json.dumps(report, indent=1, ensure_ascii=False) + "\n").encode())
        self.put(FILE_NAME, manifest.to_bytes())

    def put(self, name: str, content: bytes) -> None:
        """Writes a file of the set.

        Args:
            name: below the URL.
            content: all of it.
        """
        self._storage.put(name, content)


def copy_set(url: str) -> Path:
    """Copies the images of a URL to this machine, with their manifest where they have one; what is here is kept.

    Args:
        url: a data set, or a folder of images.

    Returns:
        The folder that holds them.

    Raises:
        FileNotFoundError: nothing is there.
        ValueError: a data set that is still being made.
        RuntimeError: the files cannot be read.
    """
    storage = Storage(url)
    if storage.has(FILE_NAME):
        folder = storage.copy_here([FILE_NAME])
        return storage.copy_here(_files(Manifest.read(folder)))
    if storage.has(CONFIG):
        raise ValueError(f"{url} is a data set that is not finished; run the command that makes it again")
    if not storage.names():
        raise FileNotFoundError(f"there is nothing at {url}; give the URL of a folder that holds images of persons")
    return storage.copy_here()


def copy_images(manifest: Manifest) -> None:
    """Copies the images of a set at a URL to this machine where they are not here, as on another node of a cluster.

    Args:
        manifest: rows whose images are wanted; of a folder that is no copy nothing is done.

    Raises:
        RuntimeError: the images cannot be read.
    """
    storage = origin(manifest.root)
    if storage is None:
        return
    files = _files(manifest)
    if not all((manifest.root / name).is_file() for name in files):
        storage.copy_here(files)


def _files(manifest: Manifest) -> list[str]:
    """The files that hold the images: tar shards, or the images themselves."""
    return sorted({path[: path.find(".tar/") + 4] if ".tar/" in path else path for path in manifest.path})


def _moved(manifest: Manifest, folder: str) -> Manifest:
    """The same rows, their images below a folder."""
    return manifest.replaced("path", [f"{folder}/{path}" for path in manifest.path])


def _pack(root: Path, names: Iterable[str]) -> bytes:
    """Files as a tar archive that is the same whoever packs it."""
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w", format=tarfile.USTAR_FORMAT) as archive:
        for name in names:
            content = (root / name).read_bytes()
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return stream.getvalue()
