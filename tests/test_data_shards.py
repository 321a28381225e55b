"""WebDataset shards are read in place, like a folder."""

from __future__ import annotations

import io
import json
import tarfile
from pathlib import Path

import numpy as np
import pytest
from learning import make_figures

from unrealperson.data.check import check
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import load_image, read_images
from unrealperson.data.subsets import write_set
from unrealperson.data.writers import write_as


@pytest.fixture(scope="module")
def figures(tmp_path_factory: pytest.TempPathFactory) -> Manifest:
    return make_figures(tmp_path_factory.mktemp("figures"), test=1)


@pytest.fixture(scope="module")
def shards(figures: Manifest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("shards") / "set"
    write_as("webdataset", figures, folder)
    return folder


def pack(shard: Path, files: dict[str, bytes]) -> Path:
    with tarfile.open(shard, "w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(name)
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return shard


def test_what_was_written_is_read_again(figures: Manifest, shards: Path) -> None:
    again = read_images(shards)
    assert again.path[0] == "000000.tar/000000000.png" and len(again) == len(figures)
    for name in ("pid", "camid", "frame", "split"):
        assert getattr(again, name).tolist() == getattr(figures, name).tolist()
    rows = np.arange(len(figures))
    ours, theirs = (Images(manifest, height=64, width=32)[rows] for manifest in (again, figures))
    assert np.array_equal(ours, theirs)
    assert check(again).healthy
    assert read_images(shards / "000000.tar").path == again.path


def test_a_part_of_shards_becomes_a_folder(shards: Path, tmp_path: Path) -> None:
    part = write_set(read_images(shards).select([3, 5]), tmp_path / "part")
    assert np.array_equal(load_image(part.image_path(0)), load_image(shards / "000000.tar/000000003.png"))


def test_shards_of_others_tell_identities_by_class_or_name(figures: Manifest, tmp_path: Path) -> None:
    image = figures.image_path(0).read_bytes()
    pack(tmp_path / "a.tar", {"./train/a.png": image, "train/a.cls": b"7", "0003_c2s1_000005_00.png": image})
    found = read_images(tmp_path)
    assert found.path == ("a.tar/train/a.png", "a.tar/0003_c2s1_000005_00.png")
    assert found.pid.tolist() == [7, 3] and found.camid.tolist() == [-1, 2]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        ({"a.png": b"no image"}, r"a\.tar/a\.png is not a readable image"),
        ({"a.txt": b"text"}, "holds no images .* and none in tar files"),
        ({"a.png": None, "a.json": b"{"}, r"the label of .*a\.tar/a\.png is not readable"),
        ({"a.png": None, "a.json": b"[1]"}, "expected an object, got list"),
        ({"a.png": None, "a.json": b"[" * 100_000}, "is not readable"),
        ({"a.png": None, "a.cls": b"cat"}, "the label of .* is not readable"),
        ({"a.png": None, "a.json": b" " * (2**20 + 1)}, "has 1048577 bytes; at most 1048576 are read"),
        ({"a.png": None, "a.json": json.dumps({"pid": "x"}).encode()}, "manifest column pid must be int64"),
    ],
)
def test_broken_shards_are_refused(figures: Manifest, tmp_path: Path, files: dict, message: str) -> None:
    image = figures.image_path(0).read_bytes()
    pack(tmp_path / "a.tar", {name: image if content is None else content for name, content in files.items()})
    with pytest.raises(ValueError, match=message):
        read_images(tmp_path)


def test_files_that_are_not_there_are_named(shards: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"there is no image .*000000.tar/gone.png: the shard holds no such file"):
        load_image(shards / "000000.tar/gone.png")
    with pytest.raises(ValueError, match=r"there is no image .*none.tar/a.png"):
        load_image(tmp_path / "none.tar/a.png")


def test_compressed_and_cut_shards_are_refused(shards: Path, tmp_path: Path) -> None:
    whole = (shards / "000000.tar").read_bytes()
    (tmp_path / "cut.tar").write_bytes(whole[: len(whole) // 2 + 100])
    with pytest.raises(ValueError, match=r"cut.tar"):
        read_images(tmp_path)
    with tarfile.open(tmp_path / "cut.tar", "w:gz") as archive:
        archive.add(shards / "000000.tar", "000000.tar")
    with pytest.raises(ValueError, match=r"is not a readable tar file: .*; shards are tar files without compression"):
        read_images(tmp_path)


def test_links_in_a_shard_are_not_followed(tmp_path: Path) -> None:
    with tarfile.open(tmp_path / "a.tar", "w") as archive:
        entry = tarfile.TarInfo("a.png")
        entry.type, entry.linkname = tarfile.SYMTYPE, "/etc/passwd"
        archive.addfile(entry)
    with pytest.raises(ValueError, match="holds no images"):
        read_images(tmp_path)
