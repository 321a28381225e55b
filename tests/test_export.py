"""Export: a network of a few layers, written in every way and run by ONNX Runtime."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from learning import make_figures
from PIL import Image
from torch import nn

from unrealperson.checkpoint import RunState
from unrealperson.config import Config, EvaluateConfig, ExportConfig, TrainConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.evaluate.features import extract
from unrealperson.export import convert as export_module
from unrealperson.export import encoder as encoder_module
from unrealperson.export.calibrate import calibrate
from unrealperson.export.convert import export
from unrealperson.export.encoder import OnnxEncoder, choose_providers
from unrealperson.export.entrance import resize_as_graph
from unrealperson.models.cbn import convert_camera_batch_norm
from unrealperson.models.reid import ReidModel

DIMENSION = 24
CONFIG = Config(
    train=TrainConfig(height=64, width=32),
    evaluate=EvaluateConfig(min_statistics_images=4, batch_size=8),
)


def network(*, cbn: bool = True) -> ReidModel:
    generator = torch.Generator().manual_seed(0)
    backbone = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, 8, 3, stride=2, groups=8, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        nn.Conv2d(8, DIMENSION, 1, bias=False), nn.BatchNorm2d(DIMENSION, eps=1e-3),
    )  # fmt: skip
    model = ReidModel(backbone, DIMENSION, 4)
    for weight in model.parameters():
        weight.data = torch.randn(weight.shape, generator=generator) * 0.3 + (weight.ndim == 1)
    if cbn:
        model.context = convert_camera_batch_norm(model, 3)
    return model


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Manifest:
    return read_images(make_figures(tmp_path_factory.mktemp("figures")).root)  # without a manifest file


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Any:
    """A run whose network is that of `network`."""
    folder = tmp_path_factory.mktemp("run")
    (folder / "metrics.jsonl").write_text('{"epoch": 1}\n{"epoch": 2, "loss": 0.5}\n')
    (folder / "metrics.json").write_text('{"mAP": 0.7}')
    (folder / "card.md").write_text("# Model card\n")
    with pytest.MonkeyPatch.context() as patch:
        state = RunState(epoch=2, identity_keys=(), camera_keys=(), data_sha256="", data_root=str(data.root))
        patch.setattr(export_module, "load_checkpoint", lambda run: (network(), CONFIG, state))
        yield folder


@pytest.fixture(scope="module")
def model(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model.onnx"
    export(run, out, CONFIG)
    return out


def config_of(**settings: Any) -> Config:
    return dataclasses.replace(CONFIG, export=ExportConfig(**settings))


def crops(data: Manifest) -> np.ndarray:
    return Images(data, height=64, width=32)[np.arange(len(data))]


def operators(path: Path) -> Counter:
    return Counter(node.op_type for node in onnx.load(path).graph.node)


def test_the_graph_gives_the_features_of_an_evaluation(model, data):
    found = OnnxEncoder(model).encode(crops(data), data.camid)
    expected = extract(network(), Images(data, height=64, width=32), CONFIG.evaluate)[0].vectors
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, atol=1e-4)
    np.testing.assert_allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)


def test_each_camera_and_the_unknown_one_have_tables_of_their_own(model):
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 32, 3), dtype=np.uint8)
    found = OnnxEncoder(model).encode_rows(np.repeat(image, 6, axis=0), np.array([0, 1, 2, -1, 3, 99]))
    assert len({row.tobytes() for row in found.round(5)}) == 4
    assert np.allclose(found[3], found[4]) and np.allclose(found[3], found[5])


@pytest.mark.parametrize("size", [(64, 32), (128, 64), (131, 57), (37, 19), (30, 200), (1, 1)])
def test_images_of_any_size_go_in(model, data, size):
    height, width = size
    images = np.random.default_rng(0).integers(0, 256, (3, height, width, 3), dtype=np.uint8)
    resized = np.stack([np.asarray(Image.fromarray(image).resize((32, 64), 2)) for image in images])
    ours = resize_as_graph(images, height=64, width=32)
    assert np.abs(ours.astype(int) - resized).max() <= 1 and (size != (64, 32) or (ours == images).all())
    encoder, rows = OnnxEncoder(model), np.array([0, 1, -1])
    np.testing.assert_allclose(encoder.encode_rows(images, rows), encoder.encode_rows(ours, rows), atol=5e-3)


def test_the_file_says_what_it_holds(model, data):
    proto = onnx.load(model)
    stored = {prop.key.removeprefix("unrealperson."): prop.value for prop in proto.metadata_props}
    assert b"convert.py" not in proto.SerializeToString(), "torch notes paths of this machine with each node"
    assert stored["format_version"] == "2"
    assert json.loads(stored["cameras"]) == [1, 2, 3] and json.loads(stored["camera_names"]) == ["1", "2", "3"]
    assert (stored["height"], stored["width"], stored["dimension"]) == ("64", "32", str(DIMENSION))
    assert stored["data_sha256"] == data.sha256()
    assert "[train]" in stored["config"] and "licence of the training images" in stored["licence"]
    assert json.loads(stored["metrics"]) == {"training": {"epoch": 2, "loss": 0.5}, "evaluation": {"mAP": 0.7}}
    card = Path(f"{model}.card.md").read_text()
    assert card.startswith("# Model card\n") and "ONNX, float32, statistics" in card and "of 3 cameras" in card
    assert json.loads(stored["preprocessing"]) == {
        "pixels": True, "resize": True, "mean": 127.0, "std": 128.0, "mirror": True
    }  # fmt: skip
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == 18
    assert [port.name for port in proto.graph.input] == ["images", "camera"]


def test_the_parity_report_lies_beside_the_file(model):
    report = json.loads(model.with_name("model.onnx.parity.json").read_text())
    assert report["batches"] == [1, 7, 64] and report["images"] == 72 and len(report["sizes"]) == 3
    assert report["min_cosine"] > 0.9999 and report["max_abs_error"] < 1e-3 and report["rank1_agreement"] == 1
    assert report["cameras"] == 3 and report["dimension"] == DIMENSION
    assert report["bytes"] == model.stat().st_size
    beside = ["model.onnx", "model.onnx.card.md", "model.onnx.parity.json"]
    assert sorted(path.name for path in model.parent.iterdir()) == beside


def test_folded_statistics_leave_plain_convolutions(model, run, data, tmp_path):
    own, other = data.camid == 2, OnnxEncoder(model)
    for statistics, camera in (("folded", 2), ("global", -1)):
        out = tmp_path / f"{statistics}.onnx"
        export(run, out, config_of(statistics=statistics, camera=camera))
        folded = OnnxEncoder(out)
        assert [port.name for port in onnx.load(out).graph.input] == ["images"] and folded.cameras == ()
        assert not {"Gather", "Where"} & set(operators(out))
        assert operators(out)["BatchNormalization"] <= 1  # the neck, which follows no convolution
        images = crops(data)[own]
        expected = other.encode(images, np.full(len(images), camera))
        np.testing.assert_allclose(folded.encode(images, data.camid[own]), expected, atol=1e-4)
    with pytest.raises(ValueError, match="the crops show no camera 9; they show 1, 2, 3"):
        export(run, tmp_path / "none.onnx", config_of(statistics="folded", camera=9))


def test_preprocessing_can_be_left_out(model, run, data, tmp_path):
    expected = OnnxEncoder(model).encode(crops(data), data.camid)
    for settings, kind in (({"pixels": False}, 1), ({"resize": False}, 2)):
        out = tmp_path / f"{kind}.onnx"
        export(run, out, config_of(**settings))
        assert onnx.load(out).graph.input[0].type.tensor_type.elem_type == kind
        bare = OnnxEncoder(out)
        np.testing.assert_allclose(bare.encode(crops(data), data.camid), expected, atol=1e-4)
        with pytest.raises(ValueError, match=r"images must be uint8 \[n, 64, 32, 3\]"):
            bare.encode(np.zeros((1, 50, 20, 3), np.uint8), np.array([1]))


@pytest.mark.parametrize(("precision", "least"), [("float16", 0.999), ("int8", 0.9)])
def test_smaller_numbers(model, run, data, tmp_path, precision, least):
    report = export(run, tmp_path / "cameras.onnx", config_of(precision=precision))
    assert report["precision"] == precision and report["min_cosine"] > least
    found, expected = (OnnxEncoder(path).encode(crops(data), data.camid) for path in (tmp_path / "cameras.onnx", model))
    assert (found * expected).sum(1).min() > least
    kinds = {tensor.data_type for tensor in onnx.load(tmp_path / "cameras.onnx").graph.initializer}
    assert (onnx.TensorProto.FLOAT16 if precision == "float16" else onnx.TensorProto.INT8) in kinds


def test_a_file_that_disagrees_with_torch_is_not_written(run, data, tmp_path, monkeypatch):
    whole = export_module._torch_to_onnx
    wrong = dataclasses.replace(CONFIG, evaluate=dataclasses.replace(CONFIG.evaluate, mirror=False))
    monkeypatch.setattr(export_module, "_torch_to_onnx", lambda *given: whole(*given[:-1], wrong))
    with pytest.raises(RuntimeError, match=r"features differ from torch's: .* is not written"):
        export(run, tmp_path / "model.onnx", CONFIG, data)
    assert list(tmp_path.iterdir()) == []


def test_crops_without_cameras_give_a_model_for_unknown_cameras(run, data, tmp_path):
    unknown = Manifest.from_rows([{"path": path} for path in data.path], data.root)
    assert export(run, tmp_path / "model.onnx", CONFIG, unknown)["cameras"] == 0
    assert len(OnnxEncoder(tmp_path / "model.onnx").encode(crops(data)[:2], np.array([-1, 0]))) == 2


def test_what_cannot_be_exported_says_why(run, data, tmp_path, monkeypatch):
    with pytest.raises(ValueError, match="there is no crop to take camera statistics from"):
        export(run, tmp_path / "model.onnx", CONFIG, data.select([]))
    state = export_module.load_checkpoint(run)[2]
    monkeypatch.setattr(export_module, "load_checkpoint", lambda run: (network(cbn=False), CONFIG, state))
    with pytest.raises(ValueError, match="the run has plain batch norm, the same for all cameras"):
        export(run, tmp_path / "model.onnx", config_of(statistics="folded", camera=1))
    assert export(run, tmp_path / "plain.onnx", CONFIG)["cameras"] == 0
    with pytest.raises(ValueError, match="holds no tables of cameras: it was exported with"):
        calibrate(tmp_path / "plain.onnx", "4", data, CONFIG.evaluate)


@pytest.mark.parametrize(("mirror", "precision"), [(True, "float32"), (False, "float16")])
def test_a_camera_is_added_without_torch(run, data, tmp_path, mirror, precision):
    evaluate = dataclasses.replace(CONFIG.evaluate, mirror=mirror)
    config = dataclasses.replace(config_of(precision=precision), evaluate=evaluate)
    third = data.select(data.camid == 3)
    export(run, tmp_path / "two.onnx", config, data.select(data.camid != 3))
    export(run, tmp_path / "third.onnx", config, third)
    before = OnnxEncoder(tmp_path / "two.onnx")
    report = calibrate(tmp_path / "two.onnx", "entrance", third, evaluate, out=tmp_path / "three.onnx")
    assert (report["camera"], report["row"], report["cameras"], report["max_change"]) == (3, 2, 3, 0.0)
    after = OnnxEncoder(tmp_path / "three.onnx")
    assert after.camera_names == ("1", "2", "entrance") and after.camera_id("entrance") == 3
    images = crops(data)
    found, expected = (
        after.encode(images, np.full(36, 3)),
        OnnxEncoder(tmp_path / "third.onnx").encode(images, np.full(36, 3)),
    )
    # Without the mirror both see the same batches; with it the file sees both sides of every image.
    assert (found * expected).sum(1).min() > (0.99 if mirror else 0.9999)
    for camera in (1, 2, -1):
        np.testing.assert_array_equal(
            after.encode(images, np.full(36, camera)), before.encode(images, np.full(36, camera))
        )
    calibrate(tmp_path / "three.onnx", "entrance", data.select(data.camid == 1), evaluate)  # again, from other crops
    again = OnnxEncoder(tmp_path / "three.onnx")
    assert again.cameras == (1, 2, 3)
    assert (again.encode(images, np.full(36, 3)) != found).any()


def test_calibration_says_what_is_wrong(model, data, tmp_path):
    with pytest.raises(ValueError, match="3 crops are too few for a camera's statistics, 4 are needed"):
        calibrate(model, "4", data.select([0, 1, 2]), CONFIG.evaluate)
    with pytest.raises(ValueError, match="must have a number or a name"):
        calibrate(model, " ", data, CONFIG.evaluate)
    with pytest.raises(FileNotFoundError, match="there is no model"):
        calibrate(tmp_path / "absent.onnx", "4", data, CONFIG.evaluate)
    with pytest.raises(ValueError, match="knows no camera 'exit'; it knows 1, 2, 3"):
        OnnxEncoder(model).camera_id("exit")


def test_calibration_needs_no_torch(model, data, tmp_path):
    command = ["calibrate", str(model), str(data.root), "--camera", "7", "--out", str(tmp_path / "seven.onnx")]
    code = f"import sys; from unrealperson.cli import main; print(main({command!r}), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert done.stdout.strip() == "0 False", done.stderr
    assert OnnxEncoder(tmp_path / "seven.onnx").cameras == (1, 2, 3, 7)


@pytest.mark.parametrize(
    ("available", "gpu", "chosen"),
    [
        (("CPUExecutionProvider",), True, ("CPUExecutionProvider",)),
        (
            ("TensorrtExecutionProvider", "CUDAExecutionProvider", "CPUExecutionProvider"),
            False,
            ("CPUExecutionProvider",),
        ),
        (("CUDAExecutionProvider", "CPUExecutionProvider"), True, ("CUDAExecutionProvider", "CPUExecutionProvider")),
    ],
)
def test_providers(available, gpu, chosen, monkeypatch):
    assert choose_providers(available, gpu=gpu) == chosen
    monkeypatch.setattr(encoder_module.importlib.metadata, "version", lambda name: "1.0")
    with pytest.raises(RuntimeError, match="onnxruntime and onnxruntime-gpu are both installed"):
        choose_providers(available, gpu=gpu)
