"""Adaptation from a run and a folder, whole, on tiny figures."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from learning import make_figures
from safetensors.torch import load_file
from torch import nn

from unrealperson.adapt import adapt, format_summary, training
from unrealperson.adapt.jvtc import Jvtc, labels_due
from unrealperson.checkpoint import load_checkpoint
from unrealperson.config import AdaptConfig, Config, EvaluateConfig, TrainConfig
from unrealperson.data.manifest import Manifest
from unrealperson.models import reid
from unrealperson.models.cbn import convert_camera_batch_norm, plain_batch_norm
from unrealperson.models.weights import draw_weights
from unrealperson.train import train

TRAIN = TrainConfig(
    weights="none", height=64, width=32, epochs=1, pad=2,
    cameras_per_batch=2, identities_per_camera=2, images_per_identity=2,
)  # fmt: skip
JVTC = dict(epochs=4, steps=2, images=4, views=2, source_identities=2, eps_share=0.1, k1=4, k2=2, score_every=2)
CONTRAST = dict(
    method="cluster_contrast", epochs=2, steps=2, identities=3, images_per_identity=2, k1=5, k2=2, min_samples=2,
)  # fmt: skip
EVALUATE = EvaluateConfig(bootstrap=0, batch_size=16, mirror=False, pseudo_cameras=2, min_statistics_images=4)


@pytest.fixture(scope="module", autouse=True)
def tiny_network():
    """Learning is tested elsewhere; here a network of two layers runs through the whole."""

    def backbone(config, *, pretrained):
        layers = nn.Conv2d(3, 8, 5, stride=4, bias=False), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, 16, 3, stride=2)
        model = nn.Sequential(*layers)
        draw_weights(model, config.seed)
        return model, 16

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(reid, "_backbone", backbone)
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Manifest:
    return make_figures(tmp_path_factory.mktemp("source"), identities=4, cameras=2, images=2)


@pytest.fixture(scope="module")
def target(tmp_path_factory) -> Manifest:
    manifest = make_figures(tmp_path_factory.mktemp("target"), identities=6, cameras=3, images=2)
    frame = 1000 * manifest.pid + 200 * manifest.camid + manifest.frame
    return manifest.replaced("frame", frame).replaced("time_s", frame / 25)


@pytest.fixture(scope="module")
def run(source, tmp_path_factory):
    return train(source, Config(train=TRAIN), tmp_path_factory.mktemp("runs") / "source")


def config(**settings) -> Config:
    return Config(adapt=AdaptConfig(**settings), evaluate=EVALUATE)


def records(out) -> list[dict]:
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


@pytest.fixture(scope="module")
def adapted(run, source, target, tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "jvtc"
    return out, adapt(run, target, config(**JVTC), out, source)


def test_jvtc_writes_a_run_that_others_read(adapted, target):
    out, summary = adapted
    assert sorted(path.name for path in out.iterdir()) == [
        "adaptation.json", "card.md", "config.toml", "labels.npz", "metrics.jsonl", "model.safetensors", "temporal.npz",
    ]  # fmt: skip
    model, _, state = load_checkpoint(out)
    assert state.camera_keys == (1, 2, 3) and state.epoch == 4 and model.neck.cameras == 3
    assert set(summary["scores"]) == {"direct", "adapted", "joint"}
    assert "adapted, looks and times" in format_summary(summary)
    with np.load(out / "labels.npz") as stored:
        assert stored["path"].tolist() == list(target.path) and len(stored["label"]) == len(target)
    with np.load(out / "temporal.npz") as stored:
        assert stored["probability"].shape == (3, 3, 3000)


def test_jvtc_records_what_it_did(adapted):
    lines = records(adapted[0])
    assert [line["epoch"] for line in lines] == [1, 2, 3, 4] and [line["step"] for line in lines] == [2, 4, 6, 8]
    assert all({"loss", "local", "source", "accuracy", "lr", "seconds"} <= set(line) for line in lines)
    assert all("global" in line for line in lines), "15 of 60 epochs are beyond the tenth"
    assert [("clusters" in line, "rank1" in line) for line in lines] == [
        (True, False), (True, True), (True, False), (False, True),
    ]  # fmt: skip
    assert {"groups", "outliers", "eps", "silhouette", "agreement"} <= set(lines[0])
    assert [line["lr"] for line in lines] == pytest.approx([0.01, 0.01, 0.01, 0.001])


def test_an_adaptation_that_was_cut_off_ends_with_the_same_weights(run, source, target, adapted, tmp_path, monkeypatch):
    remember, calls = Jvtc.remember, []

    def interrupted(*values):
        calls.append(1)
        if len(calls) == 6:
            raise KeyboardInterrupt
        remember(*values)

    monkeypatch.setattr(Jvtc, "remember", interrupted)
    out = tmp_path / "cut"
    with pytest.raises(KeyboardInterrupt):
        adapt(run, target, config(**JVTC), out, source)
    assert [line["epoch"] for line in records(out)] == [1, 2]
    monkeypatch.setattr(Jvtc, "remember", remember)
    summary = adapt(run, target, config(**JVTC), out, source)
    assert summary["scores"] == adapted[1]["scores"] and len(records(out)) == 4
    whole, resumed = (load_file(folder / "model.safetensors") for folder in (adapted[0], out))
    for name, value in whole.items():
        torch.testing.assert_close(resumed[name], value, rtol=0, atol=0, msg=name)


def test_a_finished_adaptation_returns_at_once_and_others_are_refused(run, source, target, adapted, monkeypatch):
    out, summary = adapted
    assert adapt(run, target, config(**JVTC), out, source) == summary
    with pytest.raises(ValueError, match=r"another configuration \(adapt.eps_share = 0.1, now 0.2\)"):
        adapt(run, target, config(**JVTC | {"eps_share": 0.2}), out, source)
    with pytest.raises(ValueError, match="was adapted to other images"):
        adapt(run, target.select(np.arange(30)), config(**JVTC), out, source)
    with pytest.raises(ValueError, match="is the run that adaptation starts from; choose another --out"):
        adapt(run, target, config(**JVTC), run)


@pytest.mark.parametrize(
    "settings",
    [
        dict(proxy_weight=0.5, memory_update="hard"),
        dict(norm="domain", outliers="alone", clusters="infomap"),
    ],
)
def test_cluster_contrast_needs_a_run_and_a_folder_alone(run, target, tmp_path, settings):
    summary = adapt(run, target, config(**CONTRAST, **settings), tmp_path / "out")
    assert not summary["source"] and {"direct", "adapted", "joint"} == set(summary["scores"])
    lines = records(tmp_path / "out")
    assert ("proxies" in lines[0]) is ("proxy_weight" in settings)
    model, stored, _ = load_checkpoint(tmp_path / "out")
    assert stored.train.norm == ("bn" if settings.get("norm") == "domain" else "cbn")
    assert (model.context is None) is (stored.train.norm == "bn")


def test_cluster_contrast_with_a_source_and_its_own_statistics(run, source, target, tmp_path):
    settings = dict(CONTRAST, epochs=1, norm="domain", source_identities=2)
    adapt(run, target, config(**settings), tmp_path / "out", source)
    assert {"contrast", "source", "accuracy"} <= set(records(tmp_path / "out")[0])


def test_nothing_known_of_the_site(run, target, tmp_path, caplog):
    """No identity, no camera, no time."""
    bare = target
    for name in ("pid", "camid", "frame"):
        bare = bare.replaced(name, np.full(len(target), -1))
    summary = adapt(run, bare, config(**CONTRAST | {"epochs": 1}), tmp_path / "out")
    assert summary["scores"] == {} and summary["cameras"] == 2
    assert "36 images tell no camera: 2 groups by background" in caplog.text
    assert "the temporal part is off" in caplog.text
    assert not (tmp_path / "out" / "temporal.npz").exists()


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        (CONTRAST | {"min_samples": 40, "epochs": 1}, "raise adapt.eps or lower adapt.min_samples (0.6, 40)"),
        (CONTRAST | {"eps": 1.0, "k1": 30, "epochs": 1}, "lower adapt.eps (1, 2)"),
        (JVTC | {"eps_share": 1.0, "k1": 30, "epochs": 2}, "lower adapt.eps_share (1)"),
    ],
)
def test_clusters_that_teach_nothing_are_told_and_training_goes_on(run, target, tmp_path, caplog, settings, message):
    adapt(run, target, config(**settings), tmp_path / "out")
    assert message in caplog.text and "Training goes on with the labels of before" in caplog.text
    assert len(records(tmp_path / "out")) == settings["epochs"]


def test_plain_batch_norm_does_what_one_camera_does():
    model = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(24, 5), nn.BatchNorm1d(5))
    context = convert_camera_batch_norm(model, 2)
    x = torch.randn(9, 3, 5, 4, generator=torch.Generator().manual_seed(0))
    with torch.no_grad(), context.use(torch.tensor([0] * 4 + [1] * 5)):
        model(x)
    plain = plain_batch_norm(model.eval(), 1)
    with torch.no_grad(), context.use(torch.ones(9, dtype=torch.int64)):
        torch.testing.assert_close(plain(x), model(x))
    assert isinstance(plain[1], nn.BatchNorm2d) and isinstance(plain[4], nn.BatchNorm1d)


def test_too_few_images_are_refused(run, target, tmp_path):
    with pytest.raises(ValueError, match="has 7 images to adapt to; at least 8 are needed"):
        adapt(run, target.select(np.arange(7)), config(**CONTRAST), tmp_path / "out")


def test_a_loss_that_is_not_finite_stops_adaptation(run, target, source, tmp_path, monkeypatch):
    monkeypatch.setattr(training, "cross_entropy", lambda logits, label: logits.sum() * float("nan"))
    with pytest.raises(RuntimeError, match=r"the loss became nan in epoch 1 at learning rate 0.01; lower adapt.learn"):
        adapt(run, target, config(**JVTC), tmp_path / "out", source)


def test_labels_are_due_as_published_and_scale():
    due = {epoch: labels_due(epoch, 60) for epoch in range(1, 61)}
    assert {epoch for epoch, kind in due.items() if kind == "visual"} == {10, 15, 20, 25}
    assert {epoch for epoch, kind in due.items() if kind == "joint"} == {30, 35, 40, 45, 50, 55}
    assert [labels_due(epoch, 6) for epoch in range(1, 7)] == ["visual"] * 2 + ["joint"] * 3 + [""]
