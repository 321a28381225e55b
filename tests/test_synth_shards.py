"""Data sets from shards: layout, resumption, refusal, and one small set made for real."""

from __future__ import annotations

import dataclasses
import fcntl
import hashlib
import importlib.util
import json
import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrealperson.config import Config, CropConfig, SynthConfig, load_config
from unrealperson.crop import crop_folder
from unrealperson.data.frames import list_frames
from unrealperson.data.manifest import Manifest
from unrealperson.data.recipe import write_recipe
from unrealperson.data.rle import decode_mask
from unrealperson.synth import regenerate as again
from unrealperson.synth import shards as module
from unrealperson.synth.capture import Frame, Shard
from unrealperson.synth.regenerate import regenerate
from unrealperson.synth.shards import shards, synthesize
from unrealperson.synth.view import View


def settings(**changes: object) -> Config:
    values = {"people": 5, "test_people": 2, "people_per_batch": 2, "cameras": 2, "instants": 2, "workers": 2}
    synth = SynthConfig(width=200, height=160, **(values | changes))  # type: ignore[arg-type]
    return Config(synth=synth, crop=CropConfig(min_pixels=500))


def fake_capture(config: SynthConfig, shard: Shard, people: Path | None = None) -> Iterator[Frame]:
    """People as rectangles; the second of a batch stands at the frame's edge."""
    people = range(shard.first, shard.first + shard.count)
    colors = {person: (255, 10 * person, 60) for person in people}
    for instant in range(config.instants):
        for camera in range(1, config.cameras + 1):
            number = shard.batch * config.instants + instant
            image = np.random.default_rng([camera, number]).integers(0, 255, (160, 200, 3), dtype=np.uint8)
            mask = np.zeros_like(image)
            for order, person in enumerate(people):
                mask[30:110, 100 * order : 100 * order + 40] = colors[person] if order else (0, 0, 0)
                mask[30:110, 20 + 140 * order : 60 + 140 * order] = colors[person]
            yield Frame(
                scene=shard.scene,
                version=shard.version,
                camera=camera,
                number=number,
                time_s=number * config.interval_s,
                light=instant,
                image=image,
                mask=mask,
                colors=colors,
                people={people[0]: {"person": people[0], "yaw_deg": 90.0, "distance_m": 5.5}},
                view=View((0.0, 0.0, 3.0), 0.0, 0.0),
                depth=np.full((160, 200), 700 + number, np.uint16) if config.keep_frames else None,
            )


def test_each_scene_has_its_own_batches() -> None:
    made = shards(SynthConfig(people=120, test_people=0, people_per_batch=0, scenes=(2, 4)))
    assert [(shard.scene, shard.batch, shard.first, shard.count) for shard in made] == [
        (2, 0, 0, 100), (2, 1, 100, 20), (4, 0, 0, 50), (4, 1, 50, 50), (4, 2, 100, 20),
    ]  # fmt: skip
    assert len({shard.name for shard in made}) == 5


def test_versions_share_the_frames_of_a_scene() -> None:
    made = shards(SynthConfig(people=5, test_people=0, people_per_batch=3, scenes=(1,), versions=(1, 3)))
    assert [(shard.version, shard.batch, shard.first) for shard in made] == [(1, 0, 0), (1, 1, 3), (3, 2, 0), (3, 3, 3)]


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"scenes": ()}, "at least one"),
        ({"scenes": (1, 1)}, "different numbers"),
        ({"scenes": (0,)}, "from 1"),
        ({"scenes": (1, 2), "endpoint": "127.0.0.1:9000"}, "shows one level"),
        ({"versions": (1, 4)}, "different ones of 1, 2 and 3"),
        ({"people_per_batch": -1}, "0 .the scene's own. or more"),
        ({"cameras": 1000}, "0 .the scene's own. ... 999"),
    ],
)
def test_scenes_are_checked(wrong: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        SynthConfig(**wrong)


@pytest.fixture
def no_portraits(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_portray", lambda config, out: None)


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch, no_portraits: None) -> None:
    monkeypatch.setattr(module, "capture", fake_capture)


def files(folder: Path) -> dict[str, str]:
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.mark.parametrize(
    ("people", "batch", "expected"),
    [(5, 2, [(0, 2), (2, 2), (4, 1)]), (4, 2, [(0, 2), (2, 2)]), (1, 24, [(0, 1)])],
)
def test_people_are_split_into_batches(people: int, batch: int, expected: list[tuple[int, int]]) -> None:
    made = shards(SynthConfig(people=people, test_people=0, people_per_batch=batch, scenes=(3,), versions=(2,)))
    assert [(shard.first, shard.count) for shard in made] == expected
    assert [shard.batch for shard in made] == list(range(len(expected)))
    assert {(shard.scene, shard.version) for shard in made} == {(3, 2)}
    assert len({shard.name for shard in made}) == len(made)


@pytest.mark.usefixtures("fake")
def test_layout_rows_and_report(tmp_path: Path) -> None:
    config = settings()
    manifest = synthesize(config, tmp_path / "set")
    assert {path.name for path in (tmp_path / "set").iterdir()} == {
        "card.md",
        "config.toml",
        "manifest.parquet",
        "report.json",
        "samples",
        "unreal_v1.1",
    }
    assert load_config(tmp_path / "set" / "config.toml") == config
    assert len(manifest) == 3 * 2 * 2  # the first person of each of 3 batches, at 2 instants, from 2 cameras
    row = manifest.table.to_pylist()[-1]
    assert row["path"] == "unreal_v1.1/images/0004_c002_000005.jpg"
    expected = {"pid": 1_000_004, "camid": 1_002, "scene": 1, "version": 1, "person": 4, "camera": 2, "frame": 5}
    expected |= {"time_s": 10.0, "light": 1, "yaw_deg": 90.0, "distance_m": 5.5, "split": "test", "seed": 0}
    assert {key: row[key] for key in expected} == expected
    assert row["pixels"] == 3200 and row["width"] == row["right"] - row["left"] and row["left"] >= 20 - 4
    for index, digest in enumerate(manifest.column("sha256")):
        data = manifest.image_path(index).read_bytes()
        assert hashlib.sha256(data).hexdigest() == digest
        with Image.open(manifest.image_path(index)) as image:
            assert image.size == (manifest.column("width")[index], manifest.column("height")[index])
    assert set(manifest.split[manifest.column("person") < 3]) == {"train"}
    report = json.loads((tmp_path / "set" / "report.json").read_text())
    assert report.pop("seconds") >= 0
    assert report == {
        "frames": 12,
        "people_seen": 20,
        "accepted": 12,
        "rejected": {"border": 8},
        "identities": 3,
        "cameras": 2,
    }
    assert sorted(path.name for path in (tmp_path / "set" / "samples").iterdir()) == [
        f"c00{camera}_000000_{kind}.png" for camera in (1, 2) for kind in ("lit", "mask")
    ]


@pytest.mark.usefixtures("fake")
def test_enlargement_differs_between_people_cameras_and_frames_but_not_between_runs(tmp_path: Path) -> None:
    one = synthesize(settings(workers=1), tmp_path / "one")
    many = synthesize(settings(workers=3), tmp_path / "many")
    assert one.sha256() == many.sha256() and list(one.column("sha256")) == list(many.column("sha256"))
    boxes = {tuple(row[side] for side in ("left", "top", "right", "bottom")) for row in one.table.to_pylist()}
    assert len(boxes) > 6
    other = dataclasses.replace(settings(), crop=CropConfig(min_pixels=500, seed=1))
    assert synthesize(other, tmp_path / "other").sha256() != one.sha256()


@pytest.mark.usefixtures("no_portraits")
def test_a_stopped_run_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    started: list[int] = []

    def breaks(config: SynthConfig, shard: Shard, people: Path | None) -> Iterator[Frame]:
        started.append(shard.batch)
        for count, frame in enumerate(fake_capture(config, shard)):
            if shard.batch == 1 and count == 3:
                raise RuntimeError("the endpoint closed the connection")
            yield frame

    monkeypatch.setattr(module, "capture", breaks)
    with pytest.raises(RuntimeError, match="the endpoint closed the connection"):
        synthesize(settings(workers=1), tmp_path / "set")
    assert started == [0, 1] and not (tmp_path / "set" / "manifest.parquet").exists()
    assert [path.name for path in (tmp_path / "set" / "shards").iterdir()] == ["v1.1_00000"]

    def resumed(config: SynthConfig, shard: Shard, people: Path | None) -> Iterator[Frame]:
        started.append(shard.batch)
        return fake_capture(config, shard)

    monkeypatch.setattr(module, "capture", resumed)
    manifest = synthesize(settings(workers=1), tmp_path / "set")
    assert started == [0, 1, 1, 2]
    monkeypatch.setattr(module, "capture", fake_capture)
    whole = synthesize(settings(), tmp_path / "whole")
    assert manifest.sha256() == whole.sha256()
    ours, theirs = files(tmp_path / "set"), files(tmp_path / "whole")
    assert ours.keys() == theirs.keys()
    assert {name for name in ours if ours[name] != theirs[name]} <= {"report.json", "config.toml"}


def test_who_walks_through_several_scenes_is_kept_until_the_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    turns: list[tuple[int, int]] = []
    there: list[int] = []

    def keeps(config: SynthConfig, shard: Shard, people: Path | None) -> Iterator[Frame]:
        assert people is not None
        turns.append((shard.scene, shard.first))
        there.append(len(list(people.iterdir())))
        for number in range(shard.first, shard.first + shard.count):
            (people / f"v{shard.version}_{number:06d}.npz").touch()
        return fake_capture(config, shard)

    monkeypatch.setattr(module, "capture", keeps)
    monkeypatch.setattr(module, "_portray", lambda config, out: None)
    config = settings(people=4, scenes=(1, 2, 3), workers=1)
    (tmp_path / "set" / ".people").mkdir(parents=True)
    (tmp_path / "set" / ".people" / "v1_000009.npz").touch()
    (tmp_path / "set" / "config.toml").touch()
    synthesize(config, tmp_path / "set")
    assert turns == [(1, 0), (2, 0), (3, 0), (1, 2), (2, 2), (3, 2)]
    assert there == [0, 2, 2, 0, 2, 2]
    assert not (tmp_path / "set" / ".people").exists()
    turns.clear()
    synthesize(dataclasses.replace(config, synth=dataclasses.replace(config.synth, workers=2)), tmp_path / "two")
    assert sorted(turns[:2]) == [(1, 0), (1, 2)]


@pytest.mark.usefixtures("no_portraits")
@pytest.mark.parametrize("moved", [1, 5, 100])
def test_a_merge_that_was_cut_off_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, moved: int) -> None:
    monkeypatch.setattr(module, "capture", fake_capture)
    replace, done = Path.replace, []

    def cut_off(self: Path, target: Path) -> Path:
        if self.suffix == ".jpg":
            done.append(self)
            if len(done) > moved:
                raise KeyboardInterrupt
        elif self.name == "report.json.partial":
            raise KeyboardInterrupt
        return replace(self, target)

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(Path, "replace", cut_off)
        synthesize(settings(), tmp_path / "set")
    monkeypatch.setattr(module, "capture", None)
    manifest = synthesize(settings(), tmp_path / "set")
    assert len(manifest) == 12 and all(manifest.image_path(row).is_file() for row in range(12))
    assert not (tmp_path / "set" / "shards").exists()
    assert synthesize(settings(workers=7), tmp_path / "set").sha256() == manifest.sha256()


@pytest.mark.usefixtures("fake")
def test_a_changed_configuration_is_refused(tmp_path: Path) -> None:
    synthesize(settings(), tmp_path)
    with pytest.raises(ValueError, match=r"was begun with synth\.people = 5, now it is 6; choose another folder"):
        synthesize(settings(people=6), tmp_path)
    changed = dataclasses.replace(settings(), crop=CropConfig(min_pixels=501))
    with pytest.raises(ValueError, match=r"was begun with crop\.min_pixels = 500, now it is 501"):
        synthesize(changed, tmp_path)
    (tmp_path / "config.toml").unlink()
    with pytest.raises(ValueError, match=r"is not empty and holds no config\.toml of"):
        synthesize(settings(), tmp_path)


@pytest.mark.usefixtures("no_portraits")
def test_a_start_that_failed_does_not_bind_the_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ValueError, match=r"an endpoint is host:port"):
        synthesize(settings(endpoint="localhost"), tmp_path)
    monkeypatch.setattr(module, "capture", fake_capture)
    synthesize(settings(), tmp_path)
    assert load_config(tmp_path / "config.toml") == settings()


def test_own_pictures_are_left_alone(tmp_path: Path) -> None:
    (tmp_path / "me.jpg").touch()
    with pytest.raises(ValueError, match=r"is not empty and holds no config\.toml of"):
        synthesize(settings(), tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == ["me.jpg"]


@pytest.mark.usefixtures("no_portraits")
def test_a_set_without_crops_is_said_to_be_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(module, "capture", fake_capture)
    config = dataclasses.replace(settings(), crop=CropConfig(min_pixels=10**6))
    assert len(synthesize(config, tmp_path)) == 0
    assert "nobody could be cropped; give more people" in caplog.text


@pytest.mark.usefixtures("fake")
def test_lost_crops_and_a_second_process_are_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch, pytest.raises(FileNotFoundError):
        patch.setattr(module, "_merge", lambda *arguments, **named: None)
        patch.setattr(module.shutil, "rmtree", lambda *arguments, **named: None)
        synthesize(settings(), tmp_path)
    next((tmp_path / "shards" / "v1.1_00001").rglob("*.jpg")).unlink()
    with pytest.raises(RuntimeError, match=r"1 crops are gone from .*, the first is unreal_v1.1/images/0002_c001"):
        synthesize(settings(), tmp_path)
    folder = os.open(tmp_path, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX)
        with pytest.raises(RuntimeError, match="another process is writing to"):
            synthesize(settings(), tmp_path)
    finally:
        os.close(folder)


@pytest.mark.usefixtures("fake")
def test_all_frames_are_kept_on_demand(tmp_path: Path) -> None:
    synthesize(settings(keep_frames=True, cameras=1), tmp_path)
    names = {path.name for path in (tmp_path / "frames").iterdir()}
    assert names == {
        f"c001_{f:06d}_{end}" for f in range(6) for end in ("lit.png", "mask.png", "depth.png", "truth.json")
    }
    with Image.open(tmp_path / "frames" / "c001_000002_depth.png") as depth:
        assert depth.mode == "I;16" and set(np.asarray(depth).ravel()) == {702}
    truth = json.loads((tmp_path / "frames" / "c001_000002_truth.json").read_text())
    assert (truth["scene"], truth["version"], truth["camera"], truth["frame"]) == (1, 1, 1, 2)
    assert truth["colors"] == {"2": [255, 20, 60], "3": [255, 30, 60]} and truth["people"]["2"]["distance_m"] == 5.5


@pytest.mark.usefixtures("fake")
def test_kept_frames_of_several_scenes_lie_apart(tmp_path: Path) -> None:
    config = settings(keep_frames=True, cameras=1, scenes=(1, 2), people=2, test_people=1)
    manifest = synthesize(config, tmp_path)
    for folder in ("frames", "samples"):
        assert sorted(path.name for path in (tmp_path / folder).iterdir()) == ["v1.1", "v2.1"]
    assert len(list((tmp_path / "samples").rglob("*_mask.png"))) == 2, "no scene overwrites another's sample"
    assert len(list_frames(tmp_path / "frames")) == 4
    again = crop_folder(tmp_path / "frames", tmp_path / "again", config.crop)
    assert sorted(again.path) == sorted(manifest.path)


def test_a_real_set_is_the_same_whatever_the_workers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("panda3d", "unrealcv", "anny"):
        if importlib.util.find_spec(name) is None:
            pytest.skip(f"synthesis needs {name}: pip install 'unrealperson[synth]'")
    synth = SynthConfig(
        people=4, test_people=2, people_per_batch=2, cameras=2, instants=2, lights=2, width=320, height=240, workers=1
    )
    crop = CropConfig(min_pixels=60, border=1, min_area=60)
    one = synthesize(Config(synth=synth, crop=crop), tmp_path / "one")
    assert json.loads(one.column("made_on")[0])["driver"] and (tmp_path / "one" / "people.jpg").is_file()
    monkeypatch.setattr(module, "_portray", lambda config, out: None)
    two = synthesize(Config(synth=dataclasses.replace(synth, workers=2), crop=crop), tmp_path / "two")
    assert len(one) >= 3 and one.sha256() == two.sha256()
    assert files(tmp_path / "one" / "unreal_v1.1") == files(tmp_path / "two" / "unreal_v1.1")
    assert files(tmp_path / "one" / "samples") == files(tmp_path / "two" / "samples")
    assert np.isfinite(one.column("distance_m")).all() and (one.column("yaw_deg") >= 0).all()
    assert Manifest.read(tmp_path / "one").summary() == one.summary()
    assert (one.column("visibility") > 0.25).all() and set(one.column("hours")) == {"day"}
    assert set(one.attribute("gender")) <= {"female", "male"} and "height_m" in one.attribute_names
    poses = {text for text in one.column("camera_pose")}
    assert len(poses) == len(one.cameras) and all(json.loads(pose)["focal_px"] > 0 for pose in poses)
    for row in one.table.to_pylist():
        own = decode_mask(row["mask"], row["height"], row["width"])
        assert own.sum() == row["pixels"], "all of the person's pixels lie in the crop"
        points = np.reshape(row["keypoints"], (17, 3))
        assert (points[points[:, 2] > 0, :2] < (row["width"], row["height"])).all()
        assert (points[:, 2] == 2).sum() >= 1
    lost = one.image_path(len(one) - 1)
    before = lost.read_bytes()
    lost.unlink()
    assert regenerate(lost) and lost.read_bytes() == before
    with Image.open(tmp_path / "one" / "samples" / "c001_000000_lit.png") as lit:
        assert lit.size == (320, 240) and np.asarray(lit).std() > 10


@pytest.mark.usefixtures("fake")
def test_a_crop_is_made_again_from_its_row(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    riders = []

    def only_one(config: SynthConfig, shard: Shard, *, only: tuple[int, int]) -> Iterator[Frame]:
        riders.append(config.riders)
        yield from (frame for frame in fake_capture(config, shard) if (frame.number, frame.camera) == only)

    monkeypatch.setattr(again, "capture", only_one)
    manifest = synthesize(settings(), tmp_path / "set")
    for row in (0, len(manifest) - 1):
        path = manifest.image_path(row)
        recorded = path.read_bytes()
        assert regenerate(path, tmp_path / "out.jpg") and (tmp_path / "out.jpg").read_bytes() == recorded
        path.write_bytes(b"damaged")
        assert regenerate(path) and path.read_bytes() == recorded
    changed = json.loads(manifest.column("recipe")[0])
    del changed["synth"]["riders"]
    manifest.replaced("recipe", [json.dumps(changed)] * len(manifest)).write()
    assert regenerate(manifest.image_path(0)) and riders == [0.03] * 4 + [0.0], "sets from before riders have none"
    assert "riders" not in json.loads(write_recipe(SynthConfig(riders=0.0), CropConfig()))["synth"]
    changed["crop"]["quality"] = 50
    manifest.replaced("recipe", [json.dumps(changed)] * len(manifest)).write()
    assert not regenerate(manifest.image_path(0), tmp_path / "out.jpg"), "another quality gives other bytes"
    assert "was made with the same driver, processor and libraries; its recipe or file changed" in caplog.text
    elsewhere = {"driver": "softpipe", "pillow": "0.9", "cpu": "abacus"}
    there = manifest.replaced("made_on", [json.dumps(elsewhere)] * len(manifest))
    there.replaced("recipe", [json.dumps(changed)] * len(manifest)).write()
    assert not regenerate(manifest.image_path(0), tmp_path / "out.jpg")
    assert "was made on another machine: cpu abacus, here " in caplog.text and "pillow 0.9, here 1" in caplog.text
    changed["crop"]["min_pixels"] = 10**6
    manifest.replaced("recipe", [json.dumps(changed)] * len(manifest)).write()
    with pytest.raises(RuntimeError, match=r"frame 0 of camera 1 gives no crop of person 0 any more"):
        regenerate(manifest.image_path(0))
    for key, value, message in (
        ("endpoint", "127.0.0.1:9000", "which shows no instant twice"),
        ("place", f"{tmp_path}/set/place.py:build", "a data set may not choose code to run"),
    ):
        changed["synth"] = json.loads(manifest.column("recipe")[0])["synth"] | {key: value}
        manifest.replaced("recipe", [json.dumps(changed)] * len(manifest)).write()
        with pytest.raises(ValueError, match=message):
            regenerate(manifest.image_path(0))
    manifest.replaced("recipe", [None] * len(manifest)).write()
    with pytest.raises(ValueError, match=r"does not say how .* was made"):
        regenerate(manifest.image_path(0))
    with pytest.raises(ValueError, match=r"has no row for unreal_v1.1/images/gone.jpg"):
        regenerate(tmp_path / "set/unreal_v1.1/images/gone.jpg")
    with pytest.raises(FileNotFoundError, match=r"there is no manifest.parquet in any folder above"):
        regenerate(tmp_path / "elsewhere.jpg")
