from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
from learning import make_figures

from unrealperson import export as export_module
from unrealperson.config import Config, EvaluateConfig, TrainConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.evaluate import extract_run
from unrealperson.export import export
from unrealperson.train import train

CONFIG = Config(
    train=TrainConfig(
        height=64, width=32, epochs=1, cameras_per_batch=3, identities_per_camera=2, images_per_identity=2, pad=2
    ),
    evaluate=EvaluateConfig(min_statistics_images=4, batch_size=8),
)


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Manifest:
    return read_images(make_figures(tmp_path_factory.mktemp("figures")).root)  # without a manifest file


@pytest.fixture(scope="module")
def run(data, tmp_path_factory) -> Path:
    return train(data, CONFIG, tmp_path_factory.mktemp("runs") / "first")


@pytest.fixture(scope="module")
def model(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("models") / "model.onnx"
    export(run, out, CONFIG)
    return out


def features(model: Path, images: np.ndarray, camera: np.ndarray) -> np.ndarray:
    session = onnxruntime.InferenceSession(str(model), providers=["CPUExecutionProvider"])
    return session.run(["features"], {"images": images, "camera": camera})[0]


def test_the_graph_gives_the_features_of_an_evaluation(model, run, data):
    images = Images(data, height=64, width=32)[np.arange(len(data))]
    found = features(model, images, data.camid - 1)
    assert found.dtype == np.float32
    assert np.allclose(found, extract_run(run, data, CONFIG).vectors, atol=1e-4)


@pytest.mark.parametrize("n", [1, 7, 64])
def test_any_number_of_images_goes_through(model, n):
    images = np.random.default_rng(0).integers(0, 256, (n, 64, 32, 3), dtype=np.uint8)
    found = features(model, images, np.zeros(n, np.int64))
    assert found.shape == (n, 1280)
    assert np.allclose(np.linalg.norm(found, axis=1), 1, atol=1e-4)


def test_each_camera_and_the_unknown_one_have_tables_of_their_own(model):
    image = np.random.default_rng(1).integers(0, 256, (1, 64, 32, 3), dtype=np.uint8)
    found = features(model, np.repeat(image, 6, axis=0), np.array([0, 1, 2, -1, 3, 99]))
    assert len({row.tobytes() for row in found.round(5)}) == 4
    assert np.allclose(found[3], found[4]) and np.allclose(found[3], found[5])


def test_the_file_says_what_it_needs(model, data):
    proto = onnx.load(model)
    stored = {prop.key: prop.value for prop in proto.metadata_props}
    assert {key for key in stored if key.startswith("unrealperson.")} == {
        f"unrealperson.{key}"
        for key in ("format_version", "cameras", "height", "width", "dimension", "config", "data_sha256", "licence")
    }
    assert stored["unrealperson.format_version"] == "1"
    assert json.loads(stored["unrealperson.cameras"]) == [1, 2, 3]
    assert (stored["unrealperson.height"], stored["unrealperson.width"]) == ("64", "32")
    assert stored["unrealperson.data_sha256"] == data.sha256()
    assert "[train]" in stored["unrealperson.config"]
    assert {entry.domain: entry.version for entry in proto.opset_import}[""] == 18
    onnx.checker.check_model(proto, full_check=True)


def test_the_parity_report_lies_beside_the_file(model):
    report = json.loads(model.with_name("model.onnx.parity.json").read_text())
    assert report["batches"] == [1, 7, 64] and report["images"] == 72
    assert report["min_cosine"] > 0.9999 and report["max_abs_error"] < 1e-3
    assert report["cameras"] == 3 and report["dimension"] == 1280
    assert sorted(path.name for path in model.parent.iterdir()) == ["model.onnx", "model.onnx.parity.json"]


def test_a_file_that_disagrees_with_torch_is_not_written(run, model, data, tmp_path, monkeypatch):
    monkeypatch.setattr(export_module, "_write_onnx", lambda graph, path, config, metadata: shutil.copy(model, path))
    config = dataclasses.replace(CONFIG, evaluate=dataclasses.replace(CONFIG.evaluate, mirror=False))
    with pytest.raises(RuntimeError, match=r"features differ from torch's: smallest cosine .* is not written"):
        export(run, tmp_path / "model.onnx", config, data)
    assert list(tmp_path.iterdir()) == []


def test_crops_without_cameras_give_a_model_for_unknown_cameras(run, data, tmp_path, caplog):
    crops = Manifest.from_rows([{"path": path} for path in data.path], data.root)
    report = export(run, tmp_path / "model.onnx", CONFIG, crops)
    assert report["cameras"] == 0
    assert features(tmp_path / "model.onnx", np.zeros((2, 64, 32, 3), np.uint8), np.array([-1, 0])).shape == (2, 1280)


def test_what_cannot_be_exported_says_why(run, data, tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no trained model"):
        export(tmp_path, tmp_path / "model.onnx", CONFIG)
    with pytest.raises(ValueError, match="there is no crop to take camera statistics from"):
        export(run, tmp_path / "model.onnx", CONFIG, data.select([]))
