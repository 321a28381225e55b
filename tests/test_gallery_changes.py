"""Galleries that change: adding, removing, other processes, crashes, filters, back ends."""

from __future__ import annotations

import dataclasses
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from encoders import DIMENSION, HEIGHT, WIDTH, make_model
from PIL import Image

from unrealperson import ops
from unrealperson.config import SearchConfig
from unrealperson.data.manifest import Manifest
from unrealperson.files import only_process
from unrealperson.gallery import Filter, Gallery, Sighting, exact, index_images
from unrealperson.gallery.threshold import labelled_pairs
from unrealperson.schema import Features

PEOPLE, CAMERAS_OF_EACH, FRAMES = 8, 2, 3


def unit(x: np.ndarray) -> np.ndarray:
    return (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)


def people(root: Path, *, first: int = 0, count: int = PEOPLE, noise: float = 0.3) -> tuple[Manifest, np.ndarray]:
    """Rows of people under two cameras, and vectors near a direction of each."""
    rng = np.random.default_rng(first)
    rows = [
        {
            "path": f"{'day' if camera == 1 else 'night'}/{pid:04d}_c{camera}_{frame}.png",
            "pid": pid,
            "camid": camera,
            "frame": 5 * frame + 100 * (frame == 2),
            "time_s": frame / 2.0 if camera == 1 else None,
            "attributes": json.dumps({"gender": "female" if pid % 2 else "male"}),
        }
        for pid in range(first, first + count)
        for camera in (1, 2)
        for frame in range(FRAMES)
    ]
    own = np.random.default_rng(99).standard_normal((first + count, DIMENSION))
    vectors = unit(own[[row["pid"] for row in rows]]) + noise * unit(rng.standard_normal((len(rows), DIMENSION)))
    return Manifest.from_rows(rows, root), unit(vectors)


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_model(tmp_path_factory.mktemp("models") / "model.onnx")


def start(model: Path, folder: Path, config: SearchConfig | None = None) -> Gallery:
    """A gallery of one image and no people."""
    (folder / "crops").mkdir(parents=True)
    Image.fromarray(np.full((HEIGHT, WIDTH, 3), 90, np.uint8)).save(folder / "crops" / "seed.png")
    return index_images(model, folder / "crops", folder / "gallery", config or SearchConfig())


@pytest.fixture
def gallery(model: Path, tmp_path: Path) -> Gallery:
    gallery = start(model, tmp_path)
    manifest, vectors = people(gallery.root)
    assert gallery.add_features(manifest, vectors) == len(manifest)
    return gallery


def paths(hits: list) -> list[str]:
    return [hit.path for hit in hits]


def test_adding_and_removing(gallery: Gallery) -> None:
    manifest, vectors = people(gallery.root)
    assert len(gallery) == 1 + len(manifest) and gallery.add_features(manifest, vectors) == 0
    again = Gallery.open(gallery.folder)
    expected = 1 - ops.pairwise_distance(vectors[:4], vectors, metric="cosine")
    for query, hits in enumerate(again.search(vectors[:4], k=5)):
        order = np.argsort(-expected[query], kind="stable")[:5]
        assert paths(hits) == [manifest.path[row] for row in order]
        np.testing.assert_allclose([hit.similarity for hit in hits], expected[query][order], atol=1e-5)

    assert gallery.remove([manifest.path[0], "absent.png"]) == 1
    assert manifest.path[0] not in paths(gallery.search(vectors[:1], k=60)[0])
    assert len(gallery.search(vectors[:1], k=60)[0]) == len(gallery) == len(manifest)
    assert gallery.add_features(manifest.select([0]), vectors[:1]) == 1  # what was removed may come back
    assert paths(gallery.search(vectors[:1], k=1)[0]) == [manifest.path[0]]
    facts = json.loads((gallery.folder / "gallery.json").read_text())
    assert (facts["images"], facts["identities"], facts["cameras"], len(facts["segments"])) == (49, 8, 2, 3)

    before = gallery.search(vectors[:4], k=5)
    gallery.save()
    assert gallery.search(vectors[:4], k=5) == before
    names = sorted(path.name for path in gallery.folder.iterdir())
    assert [name for name in names if "segment" in name] == ["segment-000005.features.npy", "segment-000005.rows.arrow"]
    gallery.verify()


def test_images_are_added_from_their_files(model: Path, tmp_path: Path) -> None:
    gallery = start(model, tmp_path)
    rng = np.random.default_rng(0)
    folder = gallery.root / "later"
    folder.mkdir()
    for number in range(3):
        Image.fromarray(rng.integers(0, 256, (20, 10, 3), dtype=np.uint8)).save(folder / f"{number}.png")
    manifest = Manifest.from_rows([{"path": f"{number}.png", "camid": 2} for number in range(3)], folder)
    assert gallery.add(manifest) == 3
    assert gallery.search_image(folder / "1.png", k=1, camid=2)[0].path == "later/1.png"
    with pytest.raises(ValueError, match=r"lies outside .*, the folder of this gallery's images"):
        gallery.add(Manifest.from_rows([{"path": "a.png"}], tmp_path / "elsewhere"))
    with pytest.raises(ValueError, match=r"vectors must be float32 \[3, 16\], got \[3, 4\]"):
        gallery.add_features(manifest, np.ones((3, 4), np.float32))
    with pytest.raises(ValueError, match="vectors must be finite and not zero"):
        gallery.add_features(manifest, np.zeros((3, 16), np.float32))


@pytest.mark.parametrize(
    ("where", "passes"),
    [
        (Filter(cameras=(1,)), lambda row: row["camid"] == 1),
        (Filter(not_cameras=(1, -1)), lambda row: row["camid"] == 2),
        (Filter(from_frame=5, to_frame=110), lambda row: row["frame"] == 5),
        (Filter(from_s=0.5), lambda row: (row["time_s"] or 0) >= 0.5),
        (Filter(to_s=0.5), lambda row: row["time_s"] is not None and row["time_s"] < 0.5),
        (Filter(sources=("night/",)), lambda row: row["path"].startswith("night/")),
        (Filter(attributes={"gender": "female"}), lambda row: '"female"' in (row["attributes"] or "")),
        (Filter(attributes={"hat": "red"}), lambda row: False),
    ],
)
def test_filters(gallery: Gallery, where: Filter, passes) -> None:
    expected = {row["path"] for row in gallery.table.to_pylist() if passes(row)}
    for queries in (1, 9):
        vectors = np.array(gallery.features[1 : 1 + queries])
        assert {*paths(gallery.search(vectors, k=60, where=where)[0])} == expected


def test_groups_and_reranking(gallery: Gallery) -> None:
    manifest, vectors = people(gallery.root)
    (hits,) = gallery.search(vectors[:1], k=8, group="identity")
    assert len({hit.pid for hit in hits}) == 8 and hits[0].pid == 0
    (hits,) = gallery.search(vectors[:1], k=4, group="tracklet")
    seen = [(hit.pid, hit.camid, hit.frame >= 100) for hit in hits]
    assert len(set(seen)) == 4 and {pid for pid, _, _ in seen} == {0}
    known = Filter(not_cameras=(-1,))
    (hits,) = gallery.search(vectors[:1], k=20, rerank=20, where=known)
    first = gallery.search(vectors[:1], k=20, where=known)[0]
    rows = [manifest.path.index(hit.path) for hit in first]
    order = np.argsort(ops.k_reciprocal(vectors[:1], vectors[rows])[0], kind="stable")
    assert paths(hits) == [first[place].path for place in order]


def test_joint_visual_temporal_scores(gallery: Gallery) -> None:
    _, vectors = people(gallery.root)
    table = np.zeros((2, 2, 30), np.float32)
    table[1, 0, 11] = 1.0  # from the first camera to the second in 110 frames, and no other way
    sighting = Sighting(ops.TemporalModel(table, 10), camid=1, frame=0, cameras=(1, 2))
    hits = gallery.search(vectors[:1], k=48, sighting=sighting)[0]
    assert (hits[0].camid, hits[0].frame, hits[0].pid) == (2, 110, 0)


@pytest.mark.parametrize("precision", ["float16", "int8"])
@pytest.mark.parametrize("queries", [1, 20])
def test_narrow_vectors(model: Path, tmp_path: Path, precision: str, queries: int) -> None:
    gallery = start(model, tmp_path, SearchConfig(precision=precision))
    manifest, vectors = people(gallery.root, count=100)
    gallery.add_features(manifest, vectors)
    expected = vectors[:queries] @ vectors.T
    for query, hits in enumerate(gallery.search(vectors[:queries], k=10)):
        assert [hit.similarity for hit in hits] == pytest.approx(sorted(expected[query])[:-11:-1], abs=2e-3)
    assert gallery.features.dtype == np.float16 or len(gallery) == 601


@pytest.mark.parametrize(
    "backend", ["faiss_hnsw", "faiss_ivfpq", pytest.param("milvus", marks=pytest.mark.check)]
)  # Milvus takes ten seconds to load
def test_back_ends_agree_with_the_exact_one(model: Path, tmp_path: Path, backend: str) -> None:
    pytest.importorskip("pymilvus" if backend == "milvus" else "faiss")
    gallery = start(model, tmp_path)
    manifest, vectors = people(gallery.root, count=30)
    gallery.add_features(manifest, vectors)
    expected = gallery.search(vectors[::60], k=5)
    facts = json.loads((gallery.folder / "gallery.json").read_text())
    del facts["sha256"]  # of the state as it was
    (gallery.folder / "gallery.json").write_text(json.dumps(facts | {"backend": backend}))
    gallery = Gallery.open(gallery.folder)
    gallery.save()
    assert [paths(hits) for hits in gallery.search(vectors[::60], k=5)] == [paths(hits) for hits in expected]
    more, added = people(gallery.root, first=200, count=3)
    gallery.add_features(more, added)  # behind the index
    assert gallery.search(added[:1], k=1)[0][0].path == more.path[0]
    gallery.remove([more.path[0], expected[0][0].path])
    assert more.path[0] not in paths(gallery.search(added[:1], k=5)[0])
    assert gallery.search(vectors[:1], k=4)[0] == [
        dataclasses.replace(hit, similarity=pytest.approx(hit.similarity, abs=1e-5)) for hit in expected[0][1:]
    ]
    assert {hit.camid for hit in gallery.search(vectors[:1], k=9, where=Filter(cameras=(2,)))[0]} == {2}


def test_two_readers_and_one_writer(gallery: Gallery) -> None:
    readers = [Gallery.open(gallery.folder) for _ in range(2)]
    manifest, vectors = people(gallery.root)
    more, added = people(gallery.root, first=50, count=2)
    gallery.remove(manifest.path[:6])
    gallery.add_features(more, added)
    gallery.save()  # removes the files that the readers have mapped
    for reader in readers:
        assert paths(reader.search(vectors[:1], k=1)[0]) == [manifest.path[0]]
        assert reader.refresh() and not reader.refresh()
        assert paths(reader.search(added[:1], k=1)[0]) == [more.path[0]]
    with only_process(gallery.folder), pytest.raises(RuntimeError, match="another process is writing to"):
        gallery.remove(more.path[:1])


def test_kill_while_adding(model: Path, tmp_path: Path) -> None:
    gallery = start(model, tmp_path)
    script = (
        "import sys, numpy as np\n"
        "from unrealperson.gallery import Gallery\n"
        "from unrealperson.data.manifest import Manifest\n"
        "gallery = Gallery.open(sys.argv[1])\n"
        "vectors = np.random.default_rng(0).standard_normal((10_000, 16)).astype(np.float32)\n"
        "for batch in range(20):\n"
        "    rows = Manifest.from_rows([{'path': f'{batch}/{n}.png'} for n in range(10_000)], gallery.root)\n"
        "    print('adding', flush=True)\n"
        "    gallery.add_features(rows, vectors)\n"
    )
    sizes = set()
    for delay_s in (0.1,):
        writer = subprocess.Popen([sys.executable, "-c", script, gallery.folder], stdout=subprocess.PIPE)
        assert writer.stdout is not None and writer.stdout.readline() == b"adding\n"
        time.sleep(delay_s)
        os.kill(writer.pid, signal.SIGKILL)
        writer.wait()
        writer.stdout.close()
        opened = Gallery.open(gallery.folder)
        opened.verify()
        assert len(opened) % 10_000 == 1
        sizes.add(len(opened))
        rows = Manifest.from_rows([{"path": f"after {delay_s}.png"}], gallery.root)
        assert opened.add_features(rows, np.ones((1, 16), np.float32)) == 1  # and the next writer goes on
        opened.remove(rows.path)
    assert sizes


def test_damaged_files_are_named(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    path = gallery.folder / "segment-000002.features.npy"
    whole = bytearray(path.read_bytes())
    whole[-3] ^= 1
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"segment-000002\.features\.npy is damaged: its checksum is another one"):
        Gallery.open(gallery.folder)
    monkeypatch.setattr("unrealperson.gallery.store.VERIFIED_BYTES", 100)
    opened = Gallery.open(gallery.folder)  # too large to be read whole at once
    with pytest.raises(ValueError, match=r"segment-000002\.features\.npy is damaged"):
        opened.verify()
    path.write_bytes(whole[:-16])
    with pytest.raises(ValueError, match=r"segment-000002\.features\.npy is damaged: it has \d+ bytes of \d+"):
        Gallery.open(gallery.folder)


def test_threshold_keeps_its_rate(gallery: Gallery) -> None:
    assert gallery.threshold is None and gallery.search(gallery.features[:1], k=1)[0][0].same is None
    found = gallery.calibrate_threshold(0.02)
    assert Gallery.open(gallery.folder).threshold == found
    manifest, vectors = people(gallery.root)
    similarity, pid = vectors @ vectors.T, manifest.pid
    others = similarity[pid[:, None] != pid]
    assert (others >= found.similarity).mean() <= 0.02 < (others >= found.similarity - 0.05).mean()
    assert found.true_accept_rate > 0.9 and found.same_pairs == PEOPLE * FRAMES**2
    hits = gallery.search(vectors[:1], k=40)[0]
    assert hits[0].same and not hits[-1].same
    pairs = Features(vectors, pid, manifest.camid, manifest.frame, manifest.path)
    assert gallery.calibrate_threshold(0.02, pairs=pairs).different_pairs == found.different_pairs
    with pytest.raises(ValueError, match="are too few for a false accept rate of 1e-06"):
        gallery.calibrate_threshold(1e-6)
    with pytest.raises(ValueError, match="must lie between 0 and 1, got 0"):
        labelled_pairs(vectors, pid, manifest.camid).threshold(0)


def test_blocks_with_some_rows_absent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "BLOCK_ROWS", 100)
    monkeypatch.setattr(exact, "FEW_ABSENT", 3)
    rng = np.random.default_rng(0)
    vectors, queries = unit(rng.standard_normal((450, 8))), unit(rng.standard_normal((3, 8)))
    for share in (0.01, 0.5, 0.99, 1.0):
        mask = rng.random(450) >= share
        similarity, rows = exact._scan(vectors, queries, 7, mask, 1000)
        wanted = np.where(mask, queries @ vectors.T, -np.inf)
        order = np.argsort(-wanted, axis=1, kind="stable")[:, : min(7, mask.sum())]
        assert rows.tolist() == (order + 1000).tolist()
        np.testing.assert_allclose(similarity, np.take_along_axis(wanted, order, 1), atol=1e-6)


def test_small_additions_keep_no_file_open(gallery: Gallery) -> None:
    def add(number: int) -> None:
        rows = Manifest.from_rows([{"path": f"{number}.png"}], gallery.root)
        assert gallery.add_features(rows, np.ones((1, DIMENSION), np.float32)) == 1

    add(0)
    before = len(os.listdir("/proc/self/fd"))
    for number in range(1, 6):
        add(number)
    assert len(os.listdir("/proc/self/fd")) == before and len(gallery.facts["segments"]) > 6
