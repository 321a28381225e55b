"""Scores by looks and times against a ranking of the dense joint distance."""

from __future__ import annotations

import numpy as np
import pytest

from unrealperson.adapt.scoring import estimate_times, score, score_joint, times_of
from unrealperson.adapt.target import Target, clock, read_target
from unrealperson.config import AdaptConfig, Config, TrainConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.passages import temporal_distribution
from unrealperson.evaluate.metrics import split_rows
from unrealperson.ops import reference
from unrealperson.schema import Features

SMALL = Config(train=TrainConfig(height=64, width=32))
CONFIG = AdaptConfig(bin_frames=50, bins=40, sigma=1.0, eps_share=0.05)


def sightings(n: int = 60) -> tuple[Manifest, Features]:
    rng = np.random.default_rng(1)
    pid, camid = rng.integers(0, 9, n), 5 + rng.integers(0, 3, n)
    frame = 4000 * pid + 400 * camid + rng.integers(0, 100, n)
    x = rng.standard_normal((9, 6))[pid] + 1.2 * rng.standard_normal((n, 6))
    x = (x / np.linalg.norm(x, axis=1, keepdims=True)).astype(np.float32)
    rows = [
        {"path": f"{i}.png", "pid": int(p), "camid": int(c), "frame": int(f), "time_s": f / 25}
        for i, (p, c, f) in enumerate(zip(pid, camid, frame, strict=True))
    ]
    manifest = Manifest.from_rows(rows, ".")
    return manifest, Features(x, manifest.pid, manifest.camid, manifest.frame, manifest.path)


def test_joint_scores_are_those_of_the_dense_ranking():
    manifest, features = sightings()
    camera = manifest.camid - 5
    model = temporal_distribution(manifest.pid, camera, manifest.frame, cameras=3, bin_frames=50, bins=40, sigma=1)
    query, gallery = split_rows(features)
    x = features.vectors.astype(np.float64)
    distance = reference.joint_similarity(
        x[query] @ x[gallery].T, model.probability, 50,
        (camera[query], manifest.frame[query]), (camera[gallery], manifest.frame[gallery]),
    )  # fmt: skip
    found = reference.cmc_map(
        distance, query_pid=manifest.pid[query], gallery_pid=manifest.pid[gallery],
        query_camera=camera[query], gallery_camera=camera[gallery],
    )  # fmt: skip
    precision = [np.mean([(i + 1) / rank for i, rank in enumerate(ranks)]) for _, ranks in found.values()]
    joint = score_joint(features, manifest, model, np.array([5, 6, 7]), CONFIG)
    assert joint["map"] == pytest.approx(np.mean(precision), abs=1e-6)
    assert joint["rank1"] == pytest.approx(np.mean([ranks[0] == 1 for _, ranks in found.values()]))
    assert joint["map"] > score(features, manifest)["map"]


def test_cameras_that_the_model_lacks_are_unknown():
    manifest, features = sightings()
    model = temporal_distribution(manifest.pid, manifest.camid - 5, manifest.frame, cameras=3, bins=40, bin_frames=50)
    alike = score_joint(features, manifest, model, np.array([95, 96, 97]), CONFIG)
    assert alike == pytest.approx(score(features, manifest))


def test_the_clock_is_frames_or_true_seconds_or_nothing():
    manifest, _ = sightings()
    np.testing.assert_array_equal(clock(manifest, AdaptConfig()), manifest.frame)
    np.testing.assert_array_equal(clock(manifest, AdaptConfig(clock="time", ticks_per_s=25)), manifest.frame)
    assert (clock(manifest, AdaptConfig(clock="off")) == -1).all()
    half = manifest.replaced("time_s", [None if i % 2 else 2.0 for i in range(60)])
    assert clock(half, AdaptConfig(clock="time", ticks_per_s=10)).tolist() == [20, -1] * 30


def test_times_come_from_clusters_of_looks():
    manifest, features = sightings()
    target = Target(None, manifest.camid - 5, np.array([5, 6, 7]), manifest.frame.copy(), None)
    known = times_of(manifest.pid, target, CONFIG)
    found = estimate_times(features.vectors, target, CONFIG)
    assert found.probability.shape == known.probability.shape == (3, 3, 40) and found.bin_frames == 50
    pairs = known.probability.any(2)
    assert pairs.any() and np.isclose(found.probability.sum(2), found.probability.any(2), atol=1e-5).all()


def test_what_is_adapted_to_and_what_is_scored(tmp_path, caplog):
    from learning import make_figures

    manifest = make_figures(tmp_path, identities=4, cameras=2, images=2, test=2)
    target = read_target(manifest, SMALL)
    assert set(target.images.manifest.pid) == {10, 11} and set(target.scored.pid) == {12, 13} and target.timed
    assert target.camera_keys.tolist() == [1, 2] and target.camera.max() == 1
    one = manifest.replaced("camid", np.ones(len(manifest), int))
    assert not read_target(one, SMALL).timed
    assert "the temporal part is off: one camera only" in caplog.text
