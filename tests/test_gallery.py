"""Gallery: small ONNX models stand in for an exported network."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from encoders import CAMERAS, DIMENSION, HEIGHT, WIDTH, expected_features, make_model, model_weights
from PIL import Image

from unrealperson.config import SearchConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.export.seal import save_sealed
from unrealperson.gallery import Gallery, OnnxEncoder, index_images
from unrealperson.gallery.store import read_facts

SHARED = Path(os.environ.get("UNREALPERSON_SHARED", Path(__file__).parents[2] / "shared"))
CONFIG = SearchConfig(batch_size=4)


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return make_model(tmp_path / "model.onnx")


@pytest.fixture
def crops(tmp_path: Path) -> Path:
    """Ten images of five identities under cameras 1 and 2."""
    folder = tmp_path / "crops"
    folder.mkdir()
    rng = np.random.default_rng(1)
    for number in range(10):
        pixels = rng.integers(0, 256, (HEIGHT * 2, WIDTH * 2, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{number // 2:04d}_c{number % 2 + 1}s1_{number:06d}_00.png")
    return folder


def test_a_flipped_bit_of_a_model_is_noticed(model: Path) -> None:
    whole, vectors = (
        model.read_bytes(),
        OnnxEncoder(model).encode(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8), np.array([1])),
    )
    for place in range(0, len(whole) - 90, 419):
        model.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"model.onnx is damaged: its checksum is another one"):
            OnnxEncoder(model)
    proto = onnx.load_from_string(whole)
    assert [entry.key for entry in proto.metadata_props].count("unrealperson.sha256") == 1
    save_sealed(proto, model)
    assert model.read_bytes() == whole
    onnx.save(onnx.load_from_string(whole[:-89]), model)  # as earlier releases wrote it
    np.testing.assert_array_equal(
        OnnxEncoder(model).encode(np.zeros((1, HEIGHT, WIDTH, 3), np.uint8), np.array([1])), vectors
    )


def test_a_flipped_bit_of_the_state_is_noticed(model: Path, crops: Path, tmp_path: Path) -> None:
    state = Gallery.build(model, read_images(crops), tmp_path / "gallery", CONFIG).folder / "gallery.json"
    whole, facts = state.read_bytes(), read_facts(state.parent)
    for place in range(0, whole.index(b' "sha256":'), 7):
        state.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        with pytest.raises(ValueError, match=r"gallery"):
            read_facts(state.parent)
    state.write_text(json.dumps(facts), encoding="utf-8")  # as earlier releases wrote it
    assert read_facts(state.parent) == facts


def test_encoder_reads_its_contract(model: Path) -> None:
    encoder = OnnxEncoder(model)
    assert (encoder.height, encoder.width, encoder.dimension) == (HEIGHT, WIDTH, DIMENSION)
    assert encoder.cameras == CAMERAS
    assert encoder.camera_index(np.array([1_004, 1, 7, -1])).tolist() == [2, 0, 3, 3]
    images = np.random.default_rng(2).integers(0, 256, (5, HEIGHT, WIDTH, 3), dtype=np.uint8)
    vectors = encoder.encode(images, np.array([2, 2, 1_004, 99, -1]))
    assert vectors.dtype == np.float32
    np.testing.assert_allclose(vectors, expected_features(images, [1, 1, 2, 3, 3]), atol=1e-5)
    assert encoder.encode(images[:0], np.empty(0, np.int64)).shape == (0, DIMENSION)


def test_encoder_refuses_other_images(model: Path) -> None:
    encoder = OnnxEncoder(model, threads=1)
    with pytest.raises(ValueError, match=r"images must be uint8 \[n, 8, 4, 3\], got uint8 \[1, 4, 8, 3\]"):
        encoder.encode(np.zeros((1, 4, 8, 3), np.uint8), np.array([1]))
    with pytest.raises(ValueError, match=r"images must be uint8 .* got float64"):
        encoder.encode(np.zeros((1, 8, 4, 3)), np.array([1]))
    with pytest.raises(ValueError, match=r"camid must be int64 \[1\], got int64 \[2\]"):
        encoder.encode(np.zeros((1, 8, 4, 3), np.uint8), np.array([1, 2]))


def test_not_finite_features_are_an_error(tmp_path: Path) -> None:
    _, table = model_weights()
    table[:, 0] = np.nan
    encoder = OnnxEncoder(make_model(tmp_path / "nan.onnx", table=table))
    with pytest.raises(RuntimeError, match=r"must give 1 x 16 finite numbers, got .* that are not finite"):
        encoder.encode(np.zeros((1, 8, 4, 3), np.uint8), np.array([1]))


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        ({"format_version": None}, "is no model of 'unrealperson export'"),
        ({"format_version": "1"}, "has format version 1; this release reads version 2: export it again"),
        ({"height": "tall"}, "has damaged metadata"),
        ({"cameras": "[1, "}, "has damaged metadata"),
        ({"cameras": "7"}, "has damaged metadata"),
        ({"dimension": None}, r"has damaged metadata \('unrealperson.dimension'\); export it again"),
    ],
)
def test_foreign_models(tmp_path: Path, metadata: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        OnnxEncoder(make_model(tmp_path / "other.onnx", **metadata))


def test_files_that_are_no_models(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no model .*; make one with 'unrealperson export'"):
        OnnxEncoder(tmp_path / "missing.onnx")
    (tmp_path / "words.onnx").write_bytes(b"words")
    with pytest.raises(ValueError, match=r"words\.onnx is not an ONNX model that ONNX Runtime can run"):
        OnnxEncoder(tmp_path / "words.onnx")


def test_index_and_search(model: Path, crops: Path, tmp_path: Path) -> None:
    built = index_images(model, crops, tmp_path / "gallery", CONFIG)
    assert len(built) == 10
    opened = Gallery.open(tmp_path / "gallery")
    manifest = read_images(crops)
    assert opened.manifest.table == manifest.table
    assert opened.manifest.root == crops
    images = np.stack([np.asarray(Image.open(crops / path).resize((WIDTH, HEIGHT), 2)) for path in manifest.path])
    expected = expected_features(images, [int(camid) - 1 for camid in manifest.camid])
    np.testing.assert_allclose(opened.features, expected, atol=1e-5)

    hits = opened.search_image(crops / manifest.path[3], k=4, camid=2)
    similarity = expected @ expected[3]
    order = np.argsort(-similarity, kind="stable")[:4]
    assert [hit.path for hit in hits] == [manifest.path[i] for i in order]
    np.testing.assert_allclose([hit.similarity for hit in hits], similarity[order], atol=1e-5)
    best = hits[0]
    assert (best.path, best.image, best.pid, best.camid, best.frame) == (
        manifest.path[3],
        crops / manifest.path[3],
        1,
        2,
        3,
    )
    assert best.similarity == pytest.approx(1.0, abs=1e-5)
    assert best.distance == 1.0 - best.similarity

    many = opened.search(np.array(opened.features[:3]), k=50)
    assert [len(found) for found in many] == [10, 10, 10]
    assert [found[0].path for found in many] == list(manifest.path[:3])
    assert opened.search(np.empty((0, DIMENSION), np.float32)) == []


def test_query_camera_matters(model: Path, crops: Path, tmp_path: Path) -> None:
    gallery = index_images(model, crops, tmp_path / "gallery", CONFIG)
    query = crops / gallery.manifest.path[0]
    assert gallery.search_image(query, k=1, camid=1)[0].similarity > 0.9999
    assert gallery.search_image(query, k=1)[0].similarity < 0.999


def test_search_refuses(model: Path, crops: Path, tmp_path: Path) -> None:
    gallery = index_images(model, crops, tmp_path / "gallery", CONFIG)
    with pytest.raises(ValueError, match=r"vectors must be float32 \[q, 16\], got \[2, 3\]"):
        gallery.search(np.zeros((2, 3), np.float32))
    with pytest.raises(ValueError, match="k must be at least 1, got 0"):
        gallery.search(np.zeros((2, 16), np.float32), k=0)
    (tmp_path / "words.jpg").write_text("words")
    with pytest.raises(ValueError, match=r"words\.jpg is not a readable image"):
        gallery.search_image(tmp_path / "words.jpg")


def test_unreadable_images_are_left_out(
    model: Path, crops: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    manifest = read_images(crops)
    whole = (crops / manifest.path[4]).read_bytes()
    (crops / manifest.path[4]).write_bytes(whole[: len(whole) // 2])  # its size can still be read
    (crops / manifest.path[7]).write_bytes(b"")
    with caplog.at_level(logging.WARNING, "unrealperson"):
        gallery = index_images(model, crops, tmp_path / "gallery", CONFIG)
    kept = [i for i in range(10) if i not in (4, 7)]
    assert gallery.manifest.path == tuple(manifest.path[i] for i in kept)
    assert gallery.features.shape == (8, DIMENSION)
    assert gallery.search_image(crops / manifest.path[9], k=1, camid=2)[0].path == manifest.path[9]
    assert f"skipped 2 unreadable images: {manifest.path[4]}, {manifest.path[7]}" in caplog.text
    caplog.clear()
    with caplog.at_level(logging.WARNING, "unrealperson"):
        assert len(Gallery.build(model, manifest, crops / "gallery", CONFIG)) == 8
    assert f"skipped 2 unreadable images: {manifest.path[4]}, {manifest.path[7]}" in caplog.text
    for path in manifest.path:
        (crops / path).write_bytes(b"words")
    with pytest.raises(ValueError, match=r"none of the 10 images of .*crops is readable"):
        index_images(model, manifest, tmp_path / "none", CONFIG)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", "gallery", "model.onnx"]


def test_unknown_cameras_warn_once(crops: Path, model: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with caplog.at_level(logging.WARNING, "unrealperson"):
        index_images(model, crops, tmp_path / "known", CONFIG)
        assert caplog.text == ""
        foreign = make_model(tmp_path / "foreign.onnx", cameras="[5, 6, 7]")
        index_images(foreign, crops, tmp_path / "unknown", CONFIG)
    (record,) = caplog.records
    assert "10 of 10 images come from cameras whose statistics the model lacks" in record.getMessage()
    assert f"unrealperson export --run RUN --data {crops} --out MODEL" in record.getMessage()


def test_taken_folders(model: Path, crops: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="exists and is no gallery; choose another folder"):
        index_images(model, crops, crops, CONFIG)
    with pytest.raises(ValueError, match="exists and is no gallery"):
        index_images(model, crops, crops, CONFIG, overwrite=True)
    out = tmp_path / "gallery"
    out.mkdir()  # an empty folder is free
    index_images(model, crops, out, CONFIG)
    with pytest.raises(ValueError, match="holds a gallery already; choose another folder or delete it"):
        index_images(model, crops, out, CONFIG)
    manifest = read_images(crops)
    assert len(index_images(model, manifest.select([0, 1, 2]), out, CONFIG, overwrite=True)) == 3
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", "gallery", "model.onnx"]


def test_a_failed_build_leaves_nothing(
    model: Path, crops: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "gallery"
    index_images(model, crops, out, CONFIG)

    def fail(*arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("unrealperson.gallery.indexing.shutil.copyfile", fail)
    with pytest.raises(KeyboardInterrupt):
        index_images(model, read_images(crops).select([0]), out, CONFIG, overwrite=True)
    assert len(Gallery.open(out)) == 10
    assert sorted(path.name for path in tmp_path.iterdir()) == ["crops", "gallery", "model.onnx"]


def test_nothing_to_index(model: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is no image to index below"):
        index_images(model, Manifest.from_rows([], tmp_path), tmp_path / "gallery", CONFIG)


def test_moves_together_with_its_images(model: Path, crops: Path, tmp_path: Path) -> None:
    demo = tmp_path / "demo"
    demo.mkdir()
    shutil.move(crops, demo / "crops")
    index_images(model, demo / "crops", demo / "gallery", CONFIG)
    index_images(model, demo / "crops", tmp_path / "far" / "gallery", CONFIG)
    assert Gallery.open(tmp_path / "far" / "gallery").manifest.image_path(0).is_file()
    demo.rename(tmp_path / "moved")
    assert Gallery.open(tmp_path / "moved" / "gallery").manifest.image_path(0).is_file()


@pytest.mark.parametrize(
    ("name", "change", "message"),
    [
        ("gallery.json", None, "is no gallery: it holds no gallery.json; make one with"),
        ("gallery.json", b"{", "is no gallery: it holds no valid gallery.json"),
        ("gallery.json", b'{"format_version": 9}', "has format version 9; this release reads version 2: index the"),
        ("gallery.json", b'{"format_version": 2, "root": ""}', "gallery.json lacks backend, dimension, images"),
        ("segment-000001.features.npy", None, "lacks segment-000001.features.npy; index the images again"),
        ("segment-000001.features.npy", b"words", "features.npy is damaged: it has 5 bytes of 768"),
        ("segment-000001.features.npy", np.zeros((10, 16), np.float32), "features.npy is damaged: its checksum is"),
        ("model.onnx", b"words", "is not the model that made this gallery"),
        ("segment-000001.rows.arrow", b"words", "rows.arrow is damaged"),
    ],
)
def test_damaged_galleries(model: Path, crops: Path, tmp_path: Path, name: str, change: Any, message: str) -> None:
    out = tmp_path / "gallery"
    index_images(model, crops, out, CONFIG)
    if change is None:
        (out / name).unlink()
    elif isinstance(change, bytes):
        (out / name).write_bytes(change)
    else:
        np.save(out / name, change)
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        Gallery.open(out)


def test_real_crops(model: Path, tmp_path: Path) -> None:
    folder = SHARED / "real" / "two_camera_74"
    if not folder.is_dir():
        pytest.skip(f"no real crops at {folder}; set UNREALPERSON_SHARED to the folder that holds real/")
    gallery = index_images(model, folder, tmp_path / "gallery", SearchConfig())
    assert len(gallery) == 1184
    for row in (0, 500, 1183):
        best = gallery.search_image(gallery.manifest.image_path(row), k=2, camid=int(gallery.manifest.camid[row]))[0]
        assert (best.path, best.pid) == (gallery.manifest.path[row], gallery.manifest.pid[row])


def test_needs_no_torch() -> None:
    code = (
        "import sys, unrealperson.gallery, unrealperson.crop, unrealperson.data.sources; "
        "print([name for name in ('torch', 'panda3d', 'unrealcv', 'onnxruntime') if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
