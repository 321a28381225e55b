from __future__ import annotations

import dataclasses
import json
import shutil

import numpy as np
import pytest
import torch
from learning import make_figures
from safetensors.torch import load_file

from unrealperson import checkpoint
from unrealperson import train as train_module
from unrealperson.config import Config, TrainConfig, load_config
from unrealperson.data.manifest import Manifest
from unrealperson.files import only_process
from unrealperson.models import losses
from unrealperson.objectives import IdentityObjective
from unrealperson.train import train

SETTINGS = TrainConfig(
    height=64, width=32, epochs=2, decay_epoch=1, pad=2,
    cameras_per_batch=3, identities_per_camera=2, images_per_identity=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Manifest:
    return make_figures(tmp_path_factory.mktemp("figures"), identities=5, test=1)


@pytest.fixture(scope="module")
def run(data, tmp_path_factory):
    return train(data, Config(train=SETTINGS), tmp_path_factory.mktemp("runs") / "first")


def records(run) -> list[dict]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_holds_model_configuration_and_record(run):
    files = ["card.md", "config.toml", "metrics.jsonl", "model.safetensors"]
    assert sorted(path.name for path in run.iterdir()) == files
    assert f"`{checkpoint.load_state(run).data_sha256}`" in (run / "card.md").read_text()
    assert load_config(run / "config.toml") == Config(train=SETTINGS)
    lines = records(run)
    assert set(lines[0]) == {"epoch", "step", "loss", "accuracy", "lr", "images_per_s", "seconds"}
    assert [line["epoch"] for line in lines] == [1, 2] and [line["step"] for line in lines] == [3, 6]
    assert [line["lr"] for line in lines] == pytest.approx([0.01, 0.001])
    assert all(0 <= line["accuracy"] <= 1 and line["images_per_s"] > 0 for line in lines)


def test_only_training_rows_are_used(run):
    state = checkpoint.load_state(run)
    assert state.identity_keys == (10, 11, 12, 13) and state.camera_keys == (1, 2, 3)
    assert state.epoch == 2 and state.step == 6


def test_a_finished_run_returns_at_once(data, run, monkeypatch):
    monkeypatch.setattr(train_module, "build_model", None)
    before = (run / "model.safetensors").stat().st_mtime_ns
    assert train(data, Config(train=SETTINGS), run) == run
    assert (run / "model.safetensors").stat().st_mtime_ns == before


def test_a_run_that_was_cut_off_ends_with_the_same_weights(data, run, tmp_path, monkeypatch):
    out = tmp_path / "cut"
    step, steps = IdentityObjective.forward, []

    def interrupted(*values):
        steps.append(1)
        if len(steps) == 5:  # in the middle of the second epoch
            raise KeyboardInterrupt
        return step(*values)

    monkeypatch.setattr(IdentityObjective, "forward", interrupted)
    with pytest.raises(KeyboardInterrupt):
        train(data, Config(train=SETTINGS), out)
    assert checkpoint.load_state(out).epoch == 1 and (out / "optimizer-1.pt").is_file()
    with (out / "metrics.jsonl").open("a") as stream:
        stream.write('{"epoch": 2, "step": 4, "lo')
    monkeypatch.setattr(IdentityObjective, "forward", step)
    train(data, Config(train=SETTINGS), out)
    assert [line["step"] for line in records(out)] == [3, 6]
    assert not list(out.glob("optimizer-*"))
    whole, resumed = load_file(run / "model.safetensors"), load_file(out / "model.safetensors")
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=1e-4, atol=1e-5)


def test_another_configuration_or_other_data_is_refused(data, run, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(run, copy)
    other = dataclasses.replace(SETTINGS, learning_rate=0.5)
    with pytest.raises(ValueError, match=r"configuration \(train.learning_rate = 0.01, now 0.5\); choose another"):
        train(data, Config(train=other), copy)
    with pytest.raises(ValueError, match="was trained on other data"):
        train(data.select(np.arange(len(data) - 1) + 1), Config(train=SETTINGS), copy)


def test_a_loss_that_is_not_finite_stops_training(data, tmp_path, monkeypatch):
    monkeypatch.setattr(losses, "cross_entropy", lambda logits, label, smoothing: logits.sum() * float("nan"))
    with pytest.raises(
        RuntimeError, match=r"the loss became nan in epoch 1, step 1, at learning rate 0.01; lower .*the batch: "
    ):
        train(data, Config(train=SETTINGS), tmp_path / "run")
    assert not (tmp_path / "run" / "model.safetensors").exists()


def test_training_learns_the_figures(data, tmp_path):
    settings = dataclasses.replace(SETTINGS, epochs=12, decay_epoch=10, identities_per_camera=4)
    out = train(data, Config(train=settings), tmp_path / "run")
    lines = records(out)
    assert lines[-1]["loss"] < 0.5 * lines[0]["loss"]
    assert lines[-1]["accuracy"] > 0.8


def test_plain_batch_norm_trains_as_well(data, tmp_path):
    settings = dataclasses.replace(SETTINGS, norm="bn", epochs=1)
    assert np.isfinite(records(train(data, Config(train=settings), tmp_path / "run"))[-1]["loss"])


def test_a_second_process_is_kept_out_of_the_run(data, tmp_path):
    (tmp_path / "run").mkdir()
    with only_process(tmp_path / "run"), pytest.raises(RuntimeError, match="another process is writing to"):
        train(data, Config(train=SETTINGS), tmp_path / "run")
    assert list((tmp_path / "run").iterdir()) == []
