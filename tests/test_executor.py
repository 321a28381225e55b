"""Stages whose shards are made elsewhere: sent as bytes, in any order, some of them twice."""

from __future__ import annotations

import dataclasses
import pickle
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from learning import make_figures
from test_synth_shards import fake_capture, files, settings

from unrealperson import crop
from unrealperson.cli import main
from unrealperson.config import Config, EvaluateConfig, TrainConfig
from unrealperson.crop import crop_folder
from unrealperson.evaluate import extract_run, features
from unrealperson.synth import shards
from unrealperson.synth.shards import synthesize


def elsewhere(function, shared, items, *, gpu=False) -> Iterator[tuple[int, object]]:
    """The last shard first, and each made twice from what crossed the wire."""
    task = pickle.dumps((function, shared))
    for index in reversed(range(len(items))):
        for _ in range(2):
            again, common = pickle.loads(task)
            made = again(common, pickle.loads(pickle.dumps(items[index])))
        yield index, pickle.loads(pickle.dumps(made))


@pytest.fixture
def fake(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "capture", fake_capture)
    monkeypatch.setattr(shards, "_portray", lambda config, out: None)
    monkeypatch.setattr(crop, "_FRAMES", 3)


@pytest.mark.usefixtures("fake")
def test_synthesis_and_crops_are_those_of_this_machine(tmp_path: Path) -> None:
    config = settings(keep_frames=True)
    here, there = (synthesize(config, tmp_path / str(who), executor=who) for who in (None, elsewhere))
    assert len(here) > 0 and here.sha256() == there.sha256()
    assert files(here.root / "unreal_v1.1") == files(there.root / "unreal_v1.1")
    kept = here.root / "frames"
    here, there = (crop_folder(kept, tmp_path / f"{who} crops", config.crop, executor=who) for who in (None, elsewhere))
    assert len(here) > 0 and here.sha256() == there.sha256()
    assert files(here.root / "unreal_v1.1") == files(there.root / "unreal_v1.1")


@pytest.mark.usefixtures("fake")
def test_shards_that_are_there_are_not_made_again(tmp_path: Path) -> None:
    def dies(function, shared, items, *, gpu=False):
        yield from list(elsewhere(function, shared, items[:2]))
        raise RuntimeError("the cluster is gone")

    def rest(function, shared, items, *, gpu=False):
        assert len(items) == 1
        return elsewhere(function, shared, items)

    with pytest.raises(RuntimeError, match="the cluster is gone"):
        synthesize(settings(), tmp_path / "out", executor=dies)
    assert synthesize(settings(), tmp_path / "out", executor=rest).sha256()


def test_features_are_those_of_this_machine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(features, "_BATCHES", 2)
    manifest = make_figures(tmp_path, identities=2, cameras=2)
    config = Config(train=TrainConfig(height=32, width=32), evaluate=EvaluateConfig(batch_size=2, mirror=False))
    here, there = (extract_run(None, manifest, config, executor=who) for who in (None, elsewhere))
    assert len(here.vectors) == 12 and np.array_equal(here.vectors, there.vectors)


def test_one_engine_is_not_for_many_machines(tmp_path: Path) -> None:
    config = dataclasses.replace(settings(), synth=dataclasses.replace(settings().synth, endpoint="localhost:9000"))
    with pytest.raises(ValueError, match=r"synth.endpoint is one running engine; .* leave it out"):
        synthesize(config, tmp_path / "out", executor=elsewhere)


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--ray-address", "localhost:6379"], "--ray-address is for --executor ray; give both, or neither"),
        (["--executor", "ray", "--ray-address", "localhost:1"], "there is no Ray cluster at localhost:1"),
        (["--executor", "dask"], "executor"),
    ],
)
def test_wrong_executors_are_refused_in_one_line(tmp_path: Path, capsys, flags, message) -> None:
    if "ray" in flags:
        pytest.importorskip("ray", reason="Ray is not installed: unrealperson[scale]")
    assert main(["crop", "--data", str(tmp_path), "--out", str(tmp_path / "out"), *flags]) == 2
    assert message in capsys.readouterr().err
