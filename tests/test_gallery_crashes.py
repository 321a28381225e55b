"""Galleries whose writers are killed at any moment, and readers that run beside a writer."""

from __future__ import annotations

import multiprocessing
import os
import shutil
import signal
import sys
import time
from collections.abc import Callable
from multiprocessing import forkserver
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoders import DIMENSION, make_model
from test_gallery_changes import start

from unrealperson.config import SearchConfig
from unrealperson.data.manifest import Manifest
from unrealperson.gallery import Gallery

pytestmark = pytest.mark.check
KILLS = int(os.environ.get("UNREALPERSON_KILLS", "20"))
ROWS, BATCH, ROUNDS = 10_000, 400, 25


@pytest.fixture(scope="module")
def processes() -> Any:
    """Processes that start at once, from one that has loaded all that they need."""
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["test_gallery_crashes"])
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", os.pathsep.join(sys.path))  # which that one is not told otherwise
        forkserver.ensure_running()
    return context


def directions(batch: int, count: int) -> np.ndarray:
    return np.random.default_rng(int(batch)).standard_normal((count, DIMENSION)).astype(np.float32)


def rows_of(gallery: Gallery, batch: int, count: int) -> Manifest:
    return Manifest.from_rows([{"path": f"{int(batch)}/{row}.png"} for row in range(count)], gallery.root)


def change(folder: Path, how: str, ready: Any) -> None:
    """Opens a gallery, tells so, and changes it."""
    gallery = Gallery.open(folder)
    rows, vectors = rows_of(gallery, how == "add", ROWS), directions(how == "add", ROWS)
    ready.set()
    if how == "add":
        gallery.add_features(rows, vectors)
    elif how == "remove":
        gallery.remove(rows.path[::2])
    else:
        gallery.save()


def one_change(processes: Any, folder: Path, how: str, kill_after_s: float | None) -> float:
    """How long it took, or was left to run."""
    ready = processes.Event()
    writer = processes.Process(target=change, args=(folder, how, ready))
    writer.start()
    assert ready.wait(60)
    begun = time.perf_counter()
    if kill_after_s is not None:
        time.sleep(kill_after_s)
        writer.kill()
    writer.join()
    assert writer.exitcode in (0, -signal.SIGKILL if kill_after_s is not None else 0)
    return time.perf_counter() - begun


@pytest.mark.parametrize(
    ("how", "precision", "before", "after"),
    [
        ("add", "float32", 1, ROWS + 1),
        ("add", "int8", 1, ROWS + 1),
        ("remove", "float16", ROWS + 1, ROWS // 2 + 1),
        ("save", "int8", ROWS + 1, ROWS + 1),
    ],
)
def test_a_killed_writer_leaves_the_old_state_or_the_new_one(
    processes: Any, tmp_path: Path, how: str, precision: Any, before: int, after: int
) -> None:
    whole = start(make_model(tmp_path / "model.onnx"), tmp_path, SearchConfig(precision=precision))
    if how != "add":
        whole.add_features(rows_of(whole, 0, ROWS), directions(0, ROWS))
    trial = whole.folder.with_name("trial")
    shutil.copytree(whole.folder, trial)
    full_s = one_change(processes, trial, how, None)
    assert len(Gallery.open(trial)) == after
    rng, left = np.random.default_rng(0), set()
    for _ in range(-(-KILLS // 4)):
        shutil.rmtree(trial)
        shutil.copytree(whole.folder, trial)
        moment_s = float(rng.uniform(0, 1.1 * full_s))
        one_change(processes, trial, how, moment_s)
        opened = Gallery.open(trial)
        opened.verify()
        assert len(opened) in (before, after), f"killed after {moment_s:.4f} s"
        left.add((len(opened), opened.facts["revision"]))
        last = directions(1 if how == "add" else 0, ROWS)[-1:]
        found = opened.search(last, k=1)[0][0].path
        assert (found == f"{1 if how == 'add' else 0}/{ROWS - 1}.png") == (len(opened) > 1)
        assert opened.add_features(rows_of(opened, 7, 1), np.ones((1, DIMENSION), np.float32)) == 1  # and all goes on
        names = {path.name for path in trial.iterdir() if path.is_file()}
        named = {name for entry in opened.facts["segments"] for name in entry["files"]}
        assert names >= named and len(names - named) <= 4  # model, state, lock, removed rows: no leftovers
    assert left


def write(folder: Path, done: Any) -> None:
    try:
        gallery = Gallery.open(folder)
        for batch in range(ROUNDS):
            gallery.add_features(rows_of(gallery, batch, BATCH), directions(batch, BATCH))
            if batch % 3 == 2:
                gallery.remove(rows_of(gallery, batch - 1, BATCH).path[: BATCH // 2])
            if batch % 5 == 4:
                gallery.save()
    finally:
        done.set()


def read(folder: Path, done: Any, told: Any) -> None:
    """Every state that is seen is one that was written, whole."""
    gallery, seen = Gallery.open(folder), 0
    while True:
        last = done.is_set()
        seen += gallery.refresh()
        batches = max([-1, *(int(path.split("/")[0]) for path in gallery.manifest.path if "/" in path)])
        gone = sum(batch % 3 == 1 and f"{batch}/0.png" not in gallery.manifest.path for batch in range(batches))
        if len(gallery) != 1 + (batches + 1) * BATCH - gone * BATCH // 2:
            told.put(f"{len(gallery)} rows of {batches + 1} batches, {gone} of them halved")
            return
        if batches >= 0:
            for hit, row in (
                (gallery.search(directions(batches, BATCH)[row : row + 1], k=1)[0][0], row) for row in (250, 399)
            ):
                if hit.path != f"{batches}/{row}.png" or hit.similarity < 0.999:
                    told.put(f"{hit} instead of {batches}/{row}.png")
                    return
        if last:
            told.put(seen)
            return


def test_two_readers_race_one_writer(processes: Any, tmp_path: Path) -> None:
    folder = start(make_model(tmp_path / "model.onnx"), tmp_path).folder
    done, told = processes.Event(), processes.Queue()
    readers = [processes.Process(target=read, args=(folder, done, told)) for _ in range(2)]
    writer = processes.Process(target=write, args=(folder, done))
    for process in (*readers, writer):
        process.start()
    answers = [told.get(timeout=120) for _ in readers]
    for process in (*readers, writer):
        process.join()
    assert [process.exitcode for process in (*readers, writer)] == [0, 0, 0]
    assert all(isinstance(answer, int) and answer > 3 for answer in answers), answers
    assert len(Gallery.open(folder)) == 1 + ROUNDS * BATCH - ROUNDS // 3 * BATCH // 2


def corrupt(path: Path, change: Callable[[bytes], bytes]) -> None:
    path.write_bytes(change(path.read_bytes()))


@pytest.mark.parametrize("seed", range(8))
def test_a_changed_byte_anywhere_is_named(tmp_path: Path, seed: int) -> None:
    gallery = start(make_model(tmp_path / "model.onnx"), tmp_path, SearchConfig(precision="int8"))
    gallery.add_features(rows_of(gallery, 0, 300), directions(0, 300))
    gallery.remove(["0/3.png"])
    rng = np.random.default_rng(seed)
    for path in sorted(path for path in gallery.folder.iterdir() if path.suffix in (".npy", ".arrow", ".onnx")):
        whole = path.read_bytes()
        place, bit = int(rng.integers(len(whole))), 1 << int(rng.integers(8))
        corrupt(path, lambda content, at=place, bit=bit: content[:at] + bytes([content[at] ^ bit]) + content[at + 1 :])
        with pytest.raises(ValueError, match=path.name.replace(".", r"\.")):
            Gallery.open(gallery.folder)
        corrupt(path, lambda content, whole=whole, at=place: whole[:at])
        with pytest.raises(ValueError, match=path.name.replace(".", r"\.")):
            Gallery.open(gallery.folder)
        path.write_bytes(whole)
    Gallery.open(gallery.folder).verify()
