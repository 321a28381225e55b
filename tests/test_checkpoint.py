from __future__ import annotations

import dataclasses
import errno
import json
import os
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from unrealperson import checkpoint
from unrealperson.checkpoint import (
    RunState,
    load_checkpoint,
    load_optimizer,
    load_start,
    load_state,
    prepare_run,
    save_checkpoint,
)
from unrealperson.config import Config, SynthConfig, TrainConfig
from unrealperson.models.reid import build_model

STATE = RunState(1, (10, 11), (1, 2, 3), "abc", "data", step=4, seconds=2.5)


def make_run(folder, *, optimizer=False):
    prepare_run(folder, Config())
    model = build_model(TrainConfig(), classes=2, cameras=3, pretrained=False)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9) if optimizer else None
    if sgd is not None:
        model(torch.randn(4, 3, 64, 32), torch.tensor([0, 0, 1, 1]))[1].sum().backward()
        sgd.step()
    save_checkpoint(folder, model, STATE, optimizer=sgd, extra={"values": [1.5]})
    return model, sgd


def test_what_is_saved_is_loaded(tmp_path):
    model, _ = make_run(tmp_path)
    loaded, config, state = load_checkpoint(tmp_path)
    assert state == STATE and config == Config() and not loaded.training
    for name, value in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name
    assert loaded.context is not None and loaded.neck.cameras == 3


def test_the_optimiser_goes_on_where_it_stopped(tmp_path):
    model, sgd = make_run(tmp_path, optimizer=True)
    again = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
    assert load_optimizer(tmp_path, again, STATE) == {"values": [1.5]}
    parameter = model.classifier.weight
    assert torch.equal(again.state[parameter]["momentum_buffer"], sgd.state[parameter]["momentum_buffer"])
    with pytest.raises(ValueError, match=r"training cannot go on from .*optimizer-2.pt"):
        load_optimizer(tmp_path, again, dataclasses.replace(STATE, epoch=2))


def test_only_the_newest_optimiser_state_is_kept(tmp_path):
    model, sgd = make_run(tmp_path, optimizer=True)
    save_checkpoint(tmp_path, model, RunState(2, (10, 11), (1, 2, 3), "abc", "data"), optimizer=sgd)
    assert [path.name for path in tmp_path.glob("optimizer-*")] == ["optimizer-2.pt"]
    assert not list(tmp_path.glob("*.partial"))


def test_a_failed_write_leaves_the_checkpoint_before_it(tmp_path, monkeypatch):
    model, sgd = make_run(tmp_path, optimizer=True)

    def fail(*values, **options):
        raise OSError("disk full")

    monkeypatch.setattr(checkpoint, "save", fail)
    with pytest.raises(OSError, match="disk full"):
        save_checkpoint(tmp_path, model, RunState(2, (10, 11), (1, 2, 3), "abc", "data"), optimizer=sgd)
    assert load_state(tmp_path) == STATE
    load_optimizer(tmp_path, sgd, STATE)


def flip(path, place):
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)


def test_a_flipped_bit_is_noticed(tmp_path):
    model, sgd = make_run(tmp_path, optimizer=True)
    for path, load in (
        (tmp_path / "model.safetensors", lambda: load_checkpoint(tmp_path)),
        (tmp_path / "model.safetensors", lambda: load_start(tmp_path, model, TrainConfig())),
        (tmp_path / "optimizer-1.pt", lambda: load_optimizer(tmp_path, sgd, STATE)),
    ):
        load()
        flip(path, path.stat().st_size // 2)
        with pytest.raises(ValueError, match=f"{path.name}.*its checksum is another one"):
            load()
        flip(path, path.stat().st_size // 2)
    path, stored = tmp_path / "model.safetensors", load_state(tmp_path)
    place = path.read_bytes().index(b"10, 11")
    flip(path, place + 1)
    assert load_state(tmp_path) != stored
    with pytest.raises(ValueError, match="its checksum is another one"):
        load_checkpoint(tmp_path)


def test_runs_of_earlier_releases_have_no_checksums(tmp_path):
    _, sgd = make_run(tmp_path, optimizer=True)
    path = tmp_path / "model.safetensors"
    with safe_open(path, "pt") as stored:
        text = stored.metadata()["unrealperson"]
    save_file(load_file(path), path, metadata={"unrealperson": text})
    load_checkpoint(tmp_path)
    load_optimizer(tmp_path, sgd, STATE)


def test_a_full_disk_is_named(tmp_path, monkeypatch):
    def full(path, content):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(OSError, match=r"No space left on device: .*optimizer-1"):
        make_run(tmp_path, optimizer=True)


def rewrite(path, **changes):
    document = {"format_version": 1, "epoch": 1, **changes}
    save_file(load_file(path), path, metadata={"unrealperson": json.dumps(document)})


def test_what_is_no_checkpoint_is_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"holds no trained model \(model.safetensors\); make one with"):
        load_state(tmp_path)
    path = tmp_path / "model.safetensors"
    path.write_bytes(b"junk")
    with pytest.raises(ValueError, match="is not a checkpoint of unrealperson"):
        load_state(tmp_path)
    save_file({"x": torch.zeros(1)}, path)
    with pytest.raises(ValueError, match="is not a checkpoint of unrealperson"):
        load_state(tmp_path)
    rewrite(path, format_version=9)
    with pytest.raises(ValueError, match="has format version 9; this release reads 1"):
        load_state(tmp_path)
    rewrite(path)
    with pytest.raises(ValueError, match="is damaged: its metadata holds epoch"):
        load_state(tmp_path)


def test_weights_that_do_not_fit_the_configuration_are_refused(tmp_path):
    make_run(tmp_path)
    text = (tmp_path / "config.toml").read_text()
    (tmp_path / "config.toml").write_text(text.replace('norm = "cbn"', 'norm = "bn"', 1))
    with pytest.raises(ValueError, match="does not fit the configuration beside it"):
        load_checkpoint(tmp_path)


def test_a_folder_is_claimed_for_one_configuration(tmp_path):
    run = tmp_path / "runs" / "first"
    assert prepare_run(run, Config()) is False
    assert prepare_run(run, Config(synth=SynthConfig(people=7, test_people=0))) is False  # another section may change
    assert prepare_run(run, Config(train=TrainConfig(workers=3))) is False  # images do not depend on it
    with pytest.raises(ValueError, match=r"another configuration \(train.epochs = 15, now 3\)"):
        prepare_run(run, Config(train=TrainConfig(epochs=3)))
    make_run(run)
    assert prepare_run(run, Config()) is True
    (run / "config.toml").unlink()
    with pytest.raises(ValueError, match=r"holds model.safetensors but no config.toml"):
        prepare_run(run, Config())
