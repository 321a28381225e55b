"""Folders by URL: whole files, no half-made ones, copies that follow what changes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from learning import make_figures
from test_executor import elsewhere
from test_synth_shards import fake_capture, settings

from unrealperson import crop
from unrealperson.cli import main
from unrealperson.config import Config, CropConfig, EvaluateConfig, TrainConfig, save_config
from unrealperson.crop import crop_folder
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_bytes, read_images
from unrealperson.data.stored import StoredSet
from unrealperson.evaluate import extract_run, extract_run_to, features
from unrealperson.schema import Features
from unrealperson.storage import Storage, is_url, origin
from unrealperson.synth import shards
from unrealperson.synth.shards import synthesize

QUICK = TrainConfig(backbone="osnet_x0_25", weights="none", height=64, width=32)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "capture", fake_capture)
    monkeypatch.setattr(shards, "_portray", lambda config, out: None)
    monkeypatch.setattr(crop, "_FRAMES", 3)


def url(folder: Path) -> str:
    return folder.as_uri()


@pytest.mark.parametrize(
    ("place", "answer"),
    [("s3://b/x", True), ("file:///x", True), ("/x", False), ("x", False), ("C:/x", False), (Path("s3://b/x"), False)],
)
def test_what_is_a_url(place, answer) -> None:
    assert is_url(place) == answer


@pytest.mark.parametrize(
    ("place", "message"),
    [
        ("sftp://b/c", "sftp://b/c is not the URL of a folder, such as s3://bucket/folder: Unrecognized filesystem"),
        ("file://b", "is not the URL of a folder"),
        ("file:///", "names no folder"),
        ("s3://key:secret@bucket/c", "credentials do not belong in a URL"),
    ],
)
def test_wrong_urls_are_refused_in_one_line(place, message) -> None:
    with pytest.raises(ValueError, match=message) as refused:
        Storage(place)
    assert "secret" not in str(refused.value)


def test_a_file_appears_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Storage(url(tmp_path / "a b"))
    assert storage.names() == []
    storage.put("x/1", b"one")
    storage.put("x/1", b"uno")
    storage.put("2", b"two")
    assert storage.names() == ["2", "x/1"] and storage.names("x") == ["x/1"]
    assert storage.read_all(["x/1", "2"]) == [b"uno", b"two"]

    def full(path: str, content: bytes) -> None:
        Path(path).write_bytes(content[:1])
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch, pytest.raises(RuntimeError, match=r"a%20b: x/1 cannot be used: .* No space"):
        patch.setattr(storage, "_write", full)
        storage.put("x/1", b"eins")
    assert storage.read("x/1") == b"uno" and len(list((tmp_path / "a b" / "x").iterdir())) == 1
    (tmp_path / "a b" / "x" / ".0.partial").write_bytes(b"of a process that was killed")
    assert storage.names() == ["2", "x/1"]
    with pytest.raises(RuntimeError, match=r"none cannot be used"):
        storage.read("none")


def test_a_copy_follows_what_changed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = far(tmp_path, monkeypatch)
    storage.put("x/1", b"one")
    storage.put("2", b"two")
    copy = storage.copy_here(["x/1"])
    assert (copy / "x/1").read_bytes() == b"one" and not (copy / "2").exists()
    before = (copy / "x/1").stat().st_ino
    assert storage.copy_here() == copy and (copy / "2").read_bytes() == b"two"
    assert (copy / "x/1").stat().st_ino == before, "what is here is not copied again"
    storage.put("x/1", b"ONE")
    assert (storage.copy_here() / "x/1").read_bytes() == b"ONE"
    found = origin(copy)
    assert found is not None and found.url == storage.url and origin(tmp_path) is None
    with pytest.raises(RuntimeError, match="holds no 3"):
        storage.copy_here(["3"])


def far(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Storage:
    """A folder of this machine that has to be copied all the same."""
    monkeypatch.setenv("UNREALPERSON_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(Storage, "_is_here", False)
    return Storage(url(tmp_path / "far"))


def rows(manifest: Manifest) -> list[dict]:
    """All that a manifest tells, but where the crops lie."""
    told = manifest.table.drop_columns(["path"]).to_pylist()
    return [row | {"name": path.rpartition("/")[2]} for row, path in zip(told, manifest.path, strict=True)]


def assert_same(ours: Manifest, theirs: Manifest) -> None:
    assert len(ours) > 0 and rows(ours) == rows(theirs)
    for row in range(len(ours)):
        assert read_bytes(ours.image_path(row)) == read_bytes(theirs.image_path(row))


@pytest.mark.usefixtures("fake")
@pytest.mark.parametrize("who", [None, elsewhere])
def test_a_set_by_url_is_that_of_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, who) -> None:
    config = settings(keep_frames=True)
    here = synthesize(config, tmp_path / "here")
    storage = far(tmp_path, monkeypatch)
    there = synthesize(config, storage.url, executor=who)
    assert not there.image_path(0).exists() and rows(there) == rows(here)
    assert_same(read_images(storage.url), here)
    ours = {name for name in storage.names() if name.startswith(("frames", "samples"))}
    assert ours == {
        path.relative_to(here.root).as_posix()
        for folder in ("frames", "samples")
        for path in (here.root / folder).rglob("*.*")
    }
    one = Storage(f"{storage.url}/shards/v1.1_00000")
    assert {row["person"] for row in rows(read_images(one.url))} == {0}, "a shard is a set by itself"
    monkeypatch.setattr(shards, "capture", None)
    assert rows(synthesize(config, storage.url, executor=who)) == rows(here), "what is whole is not made again"
    with pytest.raises(ValueError, match=r"was begun with synth.people = 5, now it is 6"):
        synthesize(settings(keep_frames=True, people=6), storage.url)
    frames = here.root / "frames"
    again = crop_folder(frames, url(tmp_path / "crops"), config.crop, executor=who)
    assert rows(again) == rows(crop_folder(frames, tmp_path / "again", config.crop))
    assert_same(read_images(url(tmp_path / "crops")), Manifest.read(tmp_path / "again"))
    with pytest.raises(ValueError, match="was begun with other frames or rules"):
        crop_folder(frames, url(tmp_path / "crops"), CropConfig(min_pixels=501), executor=who)


@pytest.mark.usefixtures("fake")
def test_a_set_by_url_goes_on_where_it_was(tmp_path: Path) -> None:
    def dies(function, shared, items, *, gpu=False):
        yield from list(elsewhere(function, shared, items[:2]))
        raise RuntimeError("the cluster is gone")

    def rest(function, shared, items, *, gpu=False):
        assert [shard.batch for shard in items] == [1, 2]
        return elsewhere(function, shared, items)

    there = url(tmp_path / "there")
    with pytest.raises(RuntimeError, match="the cluster is gone"):
        synthesize(settings(), there, executor=dies)
    assert StoredSet(there).finished() == {"v1.1_00000", "v1.1_00001"}
    with pytest.raises(ValueError, match="is a data set that is not finished; run the command that makes it again"):
        read_images(there)
    (tmp_path / "there" / "shards" / "v1.1_00001" / "report.json").unlink()  # as if killed before its end
    assert_same(synthesize(settings(), there, executor=rest), synthesize(settings(), tmp_path / "here"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "me.jpg").touch()
    with pytest.raises(ValueError, match=r"holds me\.jpg and no config\.toml of an earlier run"):
        synthesize(settings(), url(tmp_path / "own"))
    with pytest.raises(FileNotFoundError, match="there is nothing at file://"):
        read_images(url(tmp_path / "nothing"))


def test_features_by_url_are_those_of_one_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_BATCHES", 2)
    given = make_figures(tmp_path / "far" / "crops", identities=2, cameras=2)
    given.write()
    storage = far(tmp_path, monkeypatch)
    manifest = read_images(f"{storage.url}/crops")
    config = Config(train=QUICK, evaluate=EvaluateConfig(batch_size=2, mirror=False))
    one = extract_run(None, manifest, config)
    out = tmp_path / "parts"

    def forgetful(function, shared, items, *, gpu=False):
        for index in range(len(items)):
            manifest.image_path(4 * index).unlink()  # another node has no copy
            yield from ((index, result) for _, result in elsewhere(function, shared, items[index : index + 1]))

    assert extract_run_to(url(out), None, manifest, config, executor=forgetful) == 3
    (out / "000001-of-000003.npz").unlink()
    assert extract_run_to(url(out), None, manifest, config) == 3
    parts = [Features.load(path) for path in sorted(out.glob("*.npz"))]
    assert np.array_equal(np.concatenate([part.vectors for part in parts]), one.vectors)
    assert sum((part.path for part in parts), ()) == one.path
    with pytest.raises(ValueError, match="was begun with another network, other images or settings"):
        extract_run_to(url(out), None, manifest.select(slice(4)), config)


def test_the_command_line_takes_urls(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_figures(tmp_path / "crops", identities=2, cameras=2).write()
    save_config(Config(train=QUICK), tmp_path / "small.toml")
    given = ["--data", url(tmp_path / "crops"), "--config", str(tmp_path / "small.toml")]
    assert main(["extract", *given, "--out", url(tmp_path / "features")]) == 0
    assert (tmp_path / "features" / "000000-of-000001.npz").is_file()
    assert main(["crop", "--data", str(tmp_path), "--out", "sftp://host/x"]) == 2
    assert main(["extract", *given, "--out", "sftp://host/x"]) == 2
    assert "sftp://host/x is not the URL of a folder, such as s3://bucket/folder" in capsys.readouterr().err
