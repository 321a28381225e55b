from __future__ import annotations

import dataclasses
import os
import signal
import time

import numpy as np
import psutil
import pytest
import torch
from learning import make_figures

from unrealperson.config import TrainConfig
from unrealperson.data import loader
from unrealperson.data.loader import Images, make_loader, training_rows
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import load_image

CONFIG = TrainConfig(height=64, width=32, cameras_per_batch=2, identities_per_camera=2, images_per_identity=2, pad=2)


@pytest.mark.parametrize("cache_bytes", [0, 2**20], ids=["uncached", "cached"])
def test_images_come_in_the_order_asked_for(tmp_path, cache_bytes):
    manifest = make_figures(tmp_path, identities=2, cameras=1)
    images = Images(manifest, height=64, width=32, cache_bytes=cache_bytes)
    rows = np.array([4, 0, 4])
    for _ in range(2):
        for row, image in zip(rows, images[rows], strict=True):
            assert np.array_equal(image, load_image(manifest.image_path(row)))
    assert images[[]].shape == (0, 64, 32, 3)


def test_an_image_is_decoded_once(tmp_path, monkeypatch):
    images = Images(make_figures(tmp_path, identities=2, cameras=1), height=32, width=16)
    seen = []
    monkeypatch.setattr(loader, "load_image", lambda path, **size: seen.append(path) or load_image(path, **size))
    for rows in ([0, 1, 1], [1, 2], [0, 2]):
        images[rows]
    assert len(seen) == len(set(seen)) == 3


def test_an_unreadable_image_is_named(tmp_path):
    manifest = make_figures(tmp_path, identities=2, cameras=1)
    manifest.image_path(1).write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"0_c1_1.png is not a readable image"):
        Images(manifest, height=32, width=16)[[0, 1]]


def test_batches_carry_contiguous_labels_and_cameras(tmp_path):
    train = make_loader(make_figures(tmp_path), CONFIG)
    assert train.identity_keys.tolist() == [10, 11, 12, 13] and train.camera_keys.tolist() == [1, 2, 3]
    batches = list(train.epoch(0))
    assert len(batches) == len(train) == 4
    for batch in batches:
        assert batch.images.shape == (8, 3, 64, 32) and batch.images.dtype == torch.float32
        assert set(batch.label.tolist()) <= set(range(4)) and set(batch.camera.tolist()) <= set(range(3))


def test_an_epoch_is_a_pure_function_of_configuration_and_number(tmp_path):
    manifest = make_figures(tmp_path)
    first, again = (list(make_loader(manifest, CONFIG).epoch(1)) for _ in range(2))
    other = list(make_loader(manifest, CONFIG).epoch(2))
    assert all(torch.equal(a.images, b.images) for a, b in zip(first, again, strict=True))
    assert not all(torch.equal(a.images, b.images) for a, b in zip(first, other, strict=True))


def rows(*pairs, split=None) -> Manifest:
    return Manifest.from_rows(
        [{"path": f"{i}.png", "pid": pid, "camid": camid, "split": split} for i, (pid, camid) in enumerate(pairs)],
        "data",
    )


@pytest.mark.parametrize(
    ("manifest", "message"),
    [
        (rows((1, 1), (2, 2), split="test"), "split 'train' .there are test.; lower synth.test_people"),
        (rows(), "no row of data has split 'train' .there are no rows."),
        (rows((1, 1), (1, 2)), "has 1 known identity; training tells at least 2 apart"),
        (rows((-1, 1), (-1, 2)), "has no known identity"),
        (rows((1, 1), (1, 1), (2, 1)), "has 1 known camera; a network that recognises people across cameras"),
        (rows((1, -1), (2, -1)), "has one image per identity; training needs several"),
        (rows((1, 1), (2, 2), (3, 1)), "has one image per identity; training needs several"),
    ],
)
def test_data_that_nothing_can_be_learnt_from_is_refused(manifest, message):
    with pytest.raises(ValueError, match=message):
        training_rows(manifest)


def test_images_without_identity_or_camera_are_left_out(caplog):
    chosen = training_rows(rows((1, 1), (1, 2), (2, 1), (2, 2), (-1, 1), (2, -1)))
    assert len(chosen) == 4
    assert "2 images without identity or camera are not trained on" in caplog.text


def test_images_without_any_camera_count_as_of_one(caplog):
    chosen = training_rows(rows((1, -1), (1, -1), (2, -1), (-1, -1)))
    assert chosen.pid.tolist() == [1, 1, 2] and set(chosen.camid) == {-1}
    assert "tells no camera: its images count as one, and nothing is learnt across cameras" in caplog.text


def equal(first, second) -> bool:
    return all(torch.equal(getattr(first, key), getattr(second, key)) for key in ("images", "label", "camera"))


@pytest.mark.parametrize("sampler", ["camera_balanced", "identity", "random"])
def test_an_epoch_goes_on_in_its_middle_and_is_shared_out(tmp_path, sampler):
    manifest = make_figures(tmp_path)
    config = dataclasses.replace(CONFIG, sampler=sampler, erasing=0.5, jitter=0.2)
    whole = list(make_loader(manifest, config).epoch(1))
    rest = list(make_loader(manifest, config).epoch(1, 2))
    assert len(rest) == len(whole) - 2 and all(map(equal, whole[2:], rest))
    parts = [list(make_loader(manifest, config, rank=rank, world=2).epoch(1)) for rank in (0, 1)]
    for batch, first, second in zip(whole, *parts, strict=True):
        assert torch.equal(batch.images, torch.cat([first.images, second.images]))
        assert torch.equal(batch.label, torch.cat([first.label, second.label]))


def test_a_batch_can_be_named(tmp_path):
    manifest = make_figures(tmp_path)
    loader = make_loader(manifest, CONFIG)
    batches = list(loader.epoch(1))
    paths = loader.paths(1, 2)
    labels = [int(loader.label[manifest.path.index(path)]) for path in paths]
    assert labels == batches[2].label.tolist()


def test_batches_that_cannot_be_shared_alike_are_refused(tmp_path):
    with pytest.raises(ValueError, match="a batch of 8 images cannot be shared by 3 processes alike"):
        make_loader(make_figures(tmp_path), CONFIG, world=3)


def sourced() -> Manifest:
    sources = [(1, 1), (1, 2), (2, 1), (None, None)] * 6
    return Manifest.from_rows(
        [
            {"path": f"{i}.png", "pid": i % 4, "camid": i % 2, "scene": scene, "version": version}
            for i, (scene, version) in enumerate(sources)
        ],
        "data",
    )


@pytest.mark.parametrize(
    ("weights", "expected"),
    [
        ((), None),
        (("1.1=3",), [3, 1, 1, 1]),
        (("*.1=0.5", "1.1 = 2"), [2, 1, 0.5, 1]),
        (("1.*=0",), [0, 0, 1, 1]),
    ],
)
def test_sources_have_weights(weights, expected):
    found = loader._source_weights(sourced(), weights)
    assert found is None if expected is None else found[:4].tolist() == expected


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        (("unreal=2",), 'holds .unreal=2.; write "X.Y=weight"'),
        (("5.1=2",), "names '5.1=2', but data holds no image of that source"),
    ],
)
def test_weights_of_unknown_sources_are_refused(weights, message):
    with pytest.raises(ValueError, match=message):
        loader._source_weights(sourced(), weights)


@pytest.fixture(scope="module")
def figures(tmp_path_factory) -> Manifest:
    return make_figures(tmp_path_factory.mktemp("figures"))


def test_workers_give_the_same_images_and_stay_for_the_next_epoch(figures):
    config = dataclasses.replace(CONFIG, erasing=0.5, jitter=0.2)
    state = torch.get_rng_state()
    loader = make_loader(figures, dataclasses.replace(config, workers=2))
    before = set(psutil.Process().children())
    alone = make_loader(figures, dataclasses.replace(config, workers=0))
    epoch = loader.epoch(0)
    next(epoch)
    started = set(psutil.Process().children()) - before
    assert len(started) == 2
    # The first batch is there before the other worker has come so far.
    deadline_s = time.monotonic() + 30
    while any(os.getpgid(worker.pid) != worker.pid for worker in started):
        assert time.monotonic() < deadline_s, "a signal to the group does not end them"
        time.sleep(0.01)
    epoch.close()  # left in its middle
    for number, first in ((1, 0), (2, 1)):
        assert all(map(equal, loader.epoch(number, first), alone.epoch(number, first)))
    assert set(psutil.Process().children()) - before == started
    assert torch.equal(torch.get_rng_state(), state)


def test_an_error_in_a_worker_is_one_line(tmp_path):
    manifest = make_figures(tmp_path, identities=2, cameras=2)
    for row in range(len(manifest)):
        manifest.image_path(row).write_bytes(b"no image")
    loader = make_loader(manifest, dataclasses.replace(CONFIG, workers=1))
    with pytest.raises(ValueError, match=r"^\S*_c\d_\d.png is not a readable image: [^\n]*$"):
        list(loader.epoch(0))


def test_a_lost_worker_interrupts_nothing(figures, monkeypatch):
    handled = []
    set_handler = signal.signal
    monkeypatch.setattr(signal, "signal", lambda number, to: handled.append(number) or set_handler(number, to))
    list(make_loader(figures, dataclasses.replace(CONFIG, workers=2)).epoch(0))
    assert signal.SIGCHLD not in handled  # torch's handler would raise wherever the process happens to be


@pytest.mark.parametrize(
    ("workers", "needed", "local", "count"), [(-1, False, 1, 0), (-1, True, 1, 6), (-1, True, 4, 1), (3, False, 1, 3)]
)
def test_workers_are_a_share_of_the_cores_where_they_are_needed(monkeypatch, workers, needed, local, count):
    monkeypatch.setattr(os, "cpu_count", lambda: 6)
    monkeypatch.setenv("LOCAL_WORLD_SIZE", str(local))
    assert loader._workers(TrainConfig(workers=workers), needed=needed) == count
