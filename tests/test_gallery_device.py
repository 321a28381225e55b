"""Galleries in the memory of a GPU: a simulated one here, a real one where it answers."""

from __future__ import annotations

import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import simulated
from encoders import make_model
from test_gallery_changes import paths, people, start

from unrealperson import ops
from unrealperson.config import SearchConfig
from unrealperson.config.search import Device
from unrealperson.gallery import Filter, Gallery, device, exact


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Gallery:
    folder = tmp_path_factory.mktemp("gallery")
    gallery = start(make_model(folder / "model.onnx"), folder, SearchConfig(precision="float16"))
    gallery.add_features(*people(gallery.root, count=20))
    return gallery


def same_hits_on(where: Device, gallery: Gallery) -> Gallery:
    """Searches all that a gallery can be asked, there and on the CPU."""
    there, here = Gallery.open(gallery.folder, device=where), Gallery.open(gallery.folder)
    vectors = people(gallery.root, count=20)[1]
    first = here.manifest.path[5]
    for change in (lambda one: None, lambda one: one.remove([first])):
        change(there)
        there.refresh()
        here.refresh()
        for queries in (1, 9):
            for how in ({}, {"where": Filter(cameras=(2,))}, {"group": "identity"}, {"rerank": 20}):
                found, expected = (one.search(vectors[:queries], k=7, **how) for one in (there, here))
                assert list(map(paths, found)) == list(map(paths, expected))
                similarity = [[hit.similarity for hit in hits] for hits in expected]
                assert [[hit.similarity for hit in hits] for hits in found] == [
                    pytest.approx(row, abs=1e-5) for row in similarity
                ]
    return there


def test_a_simulated_gpu_gives_the_same_hits(gallery: Gallery, checked_gpu: simulated.SimulatedGpu) -> None:
    there = same_hits_on("cuda", gallery)
    assert all(isinstance(segment.features, checked_gpu.cupy.ndarray) for segment in there._searched)
    before = there._searched
    assert all(one is other for one, other in zip(there.snapshot()._searched, before, strict=True))
    more, added = people(gallery.root, first=300, count=1)
    there.add_features(more, added)  # only the new rows are brought there
    assert there._searched[0] is before[0] and len(there._searched) == len(before) + 1
    assert paths(there.search(added[:1], k=1)[0]) == [more.path[0]]


@pytest.mark.parametrize(
    ("answers", "message"),
    [
        ({"cuda": False, "cuda_devices": 0}, "the native module was built without CUDA"),
        ({"cuda": True, "cuda_devices": 0}, "no CUDA device answers"),
        ({"cuda": True, "cuda_devices": 1}, "out of memory"),
    ],
)
def test_without_a_gpu(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch, answers: dict[str, int], message: str
) -> None:
    def full(*_: object) -> None:
        raise MemoryError("out of memory")

    monkeypatch.setattr(device, "_whole", full)
    monkeypatch.setattr(device.ops, "build_info", lambda: answers)
    monkeypatch.setitem(sys.modules, "cupy", SimpleNamespace(asarray=full))
    with pytest.raises(RuntimeError, match=f"cannot be searched on a GPU: {message}"):
        Gallery.open(gallery.folder, device="cuda")
    assert isinstance(Gallery.open(gallery.folder, device="auto")._searched[0].features, np.ndarray)


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
def test_a_gpu_gives_the_same_hits(gallery: Gallery) -> None:
    same_hits_on("cuda", gallery)


@pytest.mark.gpu
@pytest.mark.skipif(ops.build_info()["cuda_devices"] == 0, reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_many_rows_on_a_gpu(tmp_path: Path, precision: str) -> None:
    gallery = start(make_model(tmp_path / "model.onnx"), tmp_path, SearchConfig(precision=precision))
    rng = np.random.default_rng(0)
    manifest, _ = people(gallery.root, count=12_000)
    vectors = rng.standard_normal((len(manifest), 16), dtype=np.float32)
    gallery.add_features(manifest, vectors)
    segments = gallery._state.segments
    there = device.placed(segments, "cuda")
    mask = rng.random(len(gallery)) < 0.4
    for queries in (1, 30):
        for wanted in (None, mask):
            found = exact.search_exact(there, vectors[:queries], 50, wanted)
            stored = exact.take(segments, np.arange(len(gallery)))
            product = vectors[:queries] @ stored.T / np.linalg.norm(vectors[:queries], axis=1)[:, None]
            product /= np.linalg.norm(stored, axis=1)
            product = product if wanted is None else np.where(wanted, product, -np.inf)
            expected = -np.sort(-product, axis=1)[:, :50]
            np.testing.assert_allclose(found[0], expected, atol=1e-5)
            np.testing.assert_allclose(np.take_along_axis(product, found[1], 1), expected, atol=1e-5)
