"""The published recipes through the command line, in one process and under torchrun."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import sys
import time
from pathlib import Path

import pytest
import torch
from learning import make_figures
from safetensors.torch import load_file

from unrealperson import checkpoint
from unrealperson.checkpoint import load_checkpoint, load_state
from unrealperson.cli import main
from unrealperson.config import Config, TrainConfig, load_config
from unrealperson.data.manifest import Manifest
from unrealperson.descent import learning_rate
from unrealperson.train import train

ROOT = Path(__file__).resolve().parent.parent
SMALL = {
    "height": 64, "width": 32, "pad": 2, "cameras-per-batch": 2, "identities-per-camera": 2, "images-per-identity": 2,
    "backbone": "osnet_x0_25", "weights": "none",
}  # fmt: skip
QUICK = TrainConfig(
    backbone="osnet_x0_25", weights="none", height=64, width=32, epochs=2, decay_epoch=1, pad=2,
    cameras_per_batch=2, identities_per_camera=2, images_per_identity=2,
)  # fmt: skip


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Manifest:
    manifest = make_figures(tmp_path_factory.mktemp("figures"), identities=4, cameras=2, images=3)
    manifest.write()
    return manifest


def words(**settings) -> list[str]:
    return [word for name, value in settings.items() for word in (f"--train.{name.replace('_', '-')}", str(value))]


def command(data: Manifest | Path, out: Path, config: str, **settings) -> list[str]:
    source = data if isinstance(data, Path) else data.root
    small = {key.replace("-", "_"): value for key, value in SMALL.items()}
    return [
        "train", "--data", str(source), "--out", str(out), "--config", str(ROOT / "configs" / f"{config}.toml"),
        "--quiet", *words(**(small | settings)),
    ]  # fmt: skip


def losses(run: Path) -> list[float]:
    return [json.loads(line)["loss"] for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_the_recipes_are_the_published_ones():
    names = ("direct_transfer", "supervised", "finetune", "bot", "video", "contrast")
    direct, real, tuned, bot, video, contrast = (load_config(ROOT / "configs" / f"{name}.toml").train for name in names)
    for each in (direct, real, tuned, bot, video, contrast):
        assert each.backbone == "resnet50" and (each.height, each.width) == (256, 128)
        assert each.batch_size == (128 if each is contrast else 64)
    assert (direct.norm, direct.epochs, direct.decay_epoch, direct.learning_rate) == ("cbn", 15, 10, 0.01)
    for each in (real, tuned):
        assert (each.norm, each.epochs, each.decay_epoch, each.learning_rate) == ("cbn", 60, 40, 0.01)
    assert [learning_rate(bot, epoch) for epoch in (0, 5, 10, 39, 40, 70)] == pytest.approx(
        [3.5e-6, 1.7675e-4, 3.5e-4, 3.5e-4, 3.5e-5, 3.5e-6]
    )
    assert bot.norm == "bn" and bot.triplet and bot.label_smoothing and bot.erasing and bot.sampler == "identity"


@pytest.fixture(scope="module")
def direct(data, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("runs") / "direct"
    assert main(command(data, out, "direct_transfer", epochs=3, decay_epoch=2)) == 0
    return out


def test_direct_transfer_then_fine_tuning_from_it(data, direct, tmp_path):
    assert len(losses(direct)) == 3
    out = tmp_path / "tuned"
    assert main(command(data, out, "finetune", epochs=1, learning_rate=1e-9, from_run=direct)) == 0
    before, after = load_file(direct / "model.safetensors"), load_file(out / "model.safetensors")
    torch.testing.assert_close(after["backbone.conv1.conv.weight"], before["backbone.conv1.conv.weight"])
    assert not torch.equal(after["classifier.weight"], before["classifier.weight"])


def test_a_run_of_another_backbone_is_no_start(data, direct, tmp_path, capsys):
    arguments = command(data, tmp_path / "other", "finetune", from_run=direct, backbone="efficientnet_lite0")
    assert main(arguments) == 2
    assert "holds osnet_x0_25; set train.backbone to it" in capsys.readouterr().err


def test_bag_of_tricks_trains_and_its_centers_and_means_survive_a_stop(data, tmp_path, monkeypatch):
    settings = dict(epochs=2, warmup_epochs=1, circle=0.1, ema=0.9, accumulate=2)
    assert main(command(data, tmp_path / "whole", "bot", **settings)) == 0
    stop_after(monkeypatch, 2)
    assert main(command(data, tmp_path / "cut", "bot", **settings)) == 143
    monkeypatch.undo()
    assert load_state(tmp_path / "cut").epoch_step == 2
    assert main(command(data, tmp_path / "cut", "bot", **settings)) == 0
    assert_same(tmp_path / "whole", tmp_path / "cut")


def stop_after(monkeypatch, steps: int) -> None:
    """SIGTERM comes while this step runs."""
    from unrealperson.models.reid import ReidModel

    forward, seen = ReidModel.forward, []

    def counted(*values, **options):
        seen.append(1)
        if len(seen) == steps:
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(0.01)
        return forward(*values, **options)

    monkeypatch.setattr(ReidModel, "forward", counted)


def assert_same(first: Path, second: Path) -> None:
    """Bit for bit: one thread computes."""
    whole, resumed = load_file(first / "model.safetensors"), load_file(second / "model.safetensors")
    for name, value in whole.items():
        assert torch.equal(value, resumed[name]), name
    assert losses(first) == losses(second)
    assert not list(second.glob("optimizer-*"))


def test_sigterm_in_mid_epoch_costs_nothing(data, tmp_path, monkeypatch):
    config = Config(train=QUICK)
    train(data, config, tmp_path / "whole")
    stop_after(monkeypatch, 5)
    handler = signal.getsignal(signal.SIGTERM)
    with pytest.raises(SystemExit, match="143"):
        train(data, config, tmp_path / "cut")
    monkeypatch.undo()
    state = load_state(tmp_path / "cut")
    assert (state.epoch, state.epoch_step, state.step) == (1, 2, 5)
    assert (tmp_path / "cut" / "optimizer-1-2.pt").is_file()
    assert signal.getsignal(signal.SIGTERM) is handler
    train(data, config, tmp_path / "cut")
    assert_same(tmp_path / "whole", tmp_path / "cut")


def test_a_checkpoint_is_written_every_so_many_minutes(data, tmp_path, monkeypatch):
    from unrealperson import train as train_module

    saved = []
    save = checkpoint.save_checkpoint
    monkeypatch.setattr(
        train_module,
        "save_checkpoint",
        lambda out, model, state, **more: saved.append(state) or save(out, model, state, **more),
    )
    train(data, Config(train=dataclasses.replace(QUICK, checkpoint_minutes=1e-6)), tmp_path / "run")
    assert [(state.epoch, state.epoch_step) for state in saved] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]


@pytest.mark.parametrize("precision", ["bfloat16", "float16"])
def test_16_bit_training_stays_close_to_32_bits(data, direct, tmp_path, precision):
    assert main(command(data, tmp_path / "half", "direct_transfer", epochs=1, precision=precision)) == 0
    assert losses(tmp_path / "half")[0] == pytest.approx(losses(direct)[0], abs=0.05)
    assert load_file(tmp_path / "half" / "model.safetensors")["backbone.conv1.conv.weight"].dtype == torch.float32


def test_pre_training_without_labels_is_a_start_and_survives_a_stop(data, tmp_path, monkeypatch):
    nameless = data.replaced("pid", [-1] * len(data)).write(data.root / "nameless.parquet")
    whole, cut, tuned = (tmp_path / name for name in ("whole", "cut", "tuned"))
    settings = dict(epochs=1, queue=8, ema=0.9, precision="float16")
    assert main(command(nameless, whole, "contrast", **settings)) == 0
    stop_after(monkeypatch, 2)
    assert main(command(nameless, cut, "contrast", **settings)) == 143
    monkeypatch.undo()
    assert main(command(nameless, cut, "contrast", **settings)) == 0
    assert_same(whole, cut)
    assert load_state(whole).identity_keys == (-1,)
    assert main(command(data, tuned, "finetune", epochs=1, learning_rate=1e-9, from_run=whole)) == 0
    before, after = load_file(whole / "model.safetensors"), load_file(tuned / "model.safetensors")
    torch.testing.assert_close(after["backbone.conv1.conv.weight"], before["backbone.conv1.conv.weight"])


def test_tracklets_train_and_are_scored(data, direct, tmp_path, capsys):
    out, scores = tmp_path / "video", tmp_path / "scores"
    settings = dict(epochs=1, frames=2, images_per_identity=1, from_run=direct)
    assert main(command(data, out, "video", **settings)) == 0
    assert losses(out) and "attention.weight" in load_file(out / "model.safetensors")
    scoring = ["--evaluate.tracklets", "True", "--evaluate.min-statistics-images", "4", "--evaluate.bootstrap", "0"]
    assert main(["evaluate", "--run", str(out), "--data", str(data.root), "--out", str(scores), *scoring]) == 0
    assert "8 queries of 4 identities, 8 gallery images, 2 cameras" in capsys.readouterr().out
    assert json.loads((scores / "metrics.json").read_text())["frames"] == 24


def test_what_cannot_be_trained_is_one_line(data, tmp_path, capsys, monkeypatch):
    single = data.select(data.frame == 0).write(data.root / "single.parquet")
    monkeypatch.setitem(sys.modules, "torch.utils.tensorboard", None)
    for settings, expected in (
        (dict(compiler="fortran"), "'fortran' is no backend of torch.compile; there are aot_eager"),
        (dict(tensorboard=True), "train.tensorboard needs the package tensorboard: pip install tensorboard"),
    ):
        assert main(command(data, tmp_path / "run", "direct_transfer", epochs=1, **settings)) == 2
        assert expected in capsys.readouterr().err
    assert main(command(single, tmp_path / "run", "direct_transfer", frames=2)) == 2
    assert "has no tracklet, two crops of a person under one camera less than 10" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (dict(objective="contrast"), 'takes two views of each image: set train.sampler = "identity"'),
        (dict(objective="contrast", sampler="identity", images_per_identity=2, queue=8), "must hold the 16 images"),
        (dict(frames=2, source_weights=("*.1=2",)), "train.frames above 1 goes with neither train.source_weights"),
        (dict(frames=0), "train.frames must be at least 1"),
        (dict(teacher_decay=1.0), "train.teacher_decay must lie in 0 ... 1"),
        (dict(temperature=0.0), "train.temperature must be positive"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        TrainConfig(**settings)


def test_resnet50_with_camera_batch_norm_trains_and_exports(data, tmp_path):
    out = tmp_path / "resnet"
    assert main(command(data, out, "direct_transfer", backbone="resnet50", epochs=1)) == 0
    model, config, _ = load_checkpoint(out)
    assert config.train.backbone == "resnet50" and model.dimension == 2048 and model.context is not None
    exported = ["export", "--run", str(out), "--data", str(data.root), "--out", str(tmp_path / "model.onnx"), "--quiet"]
    assert main([*exported, "--evaluate.min-statistics-images", "4", "--evaluate.mirror", "False"]) == 0
    report = json.loads((tmp_path / "model.onnx.parity.json").read_text())
    assert report["dimension"] == 2048 and report["min_cosine"] > 0.9999


def test_missing_weights_are_one_line(data, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    monkeypatch.setattr("urllib.request.urlopen", lambda *_, **__: (_ for _ in ()).throw(OSError("no route")))
    assert main(command(data, tmp_path / "run", "direct_transfer", backbone="resnet50", weights="")) == 2
    error = capsys.readouterr().err
    assert error.count("\n") == 1 and "resnet50-0676ba61.pth (sha256 0676ba61...)" in error


def test_a_loss_that_is_not_finite_names_the_batch(data, tmp_path, capsys):
    assert main(command(data, tmp_path / "run", "direct_transfer", learning_rate=1e30)) == 2
    error = capsys.readouterr().err
    assert "the loss became nan" in error or "the loss became inf" in error
    assert "images/" in error and ".png" in error
