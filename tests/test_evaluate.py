from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from learning import make_figures

from unrealperson.config import Config, EvaluateConfig, TrainConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.transforms import normalise
from unrealperson.evaluate import (
    estimate_statistics,
    evaluate,
    evaluate_manifest,
    evaluate_run,
    extract,
    format_metrics,
)
from unrealperson.evaluate.metrics import ranking, score, split_rows
from unrealperson.evaluate.statistics import camera_index
from unrealperson.models.reid import build_model
from unrealperson.schema import Features

CONFIG = EvaluateConfig(batch_size=4, min_statistics_images=4, bootstrap=50)


def make_features(vectors, pid, camid) -> Features:
    n = len(pid)
    return Features(
        np.asarray(vectors, np.float32).reshape(n, -1), np.asarray(pid, np.int64), np.asarray(camid, np.int64),
        np.full(n, -1), tuple(f"{i}.jpg" for i in range(n)),
    )  # fmt: skip


# Query 0 at 0.0; the gallery lies on a line, so its distances to the query are its places.
LINE = [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]


@pytest.mark.parametrize(
    ("pid", "camid", "first", "precision", "inverse", "why"),
    [
        ([1, 1, 2, 1, 2, 2], [1, 2, 2, 2, 2, 2], 1, (1 / 1 + 2 / 3) / 2, 2 / 3, "two matches at ranks 1 and 3"),
        ([1, 1, 2, 1, 2, 2], [1, 1, 2, 2, 2, 2], 2, 1 / 2, 1 / 2, "the nearest is left out: same camera"),
        ([1, -1, -1, 1, 2, 2], [1, 2, 2, 2, 2, 2], 1, 1.0, 1.0, "images without identity are left out"),
        ([1, 1, 2, 2, 2, 1], [1, -1, 2, 2, 2, 2], 4, 1 / 4, 1 / 4, "same person, camera unknown: left out"),
        ([1, 2, 1, 2, 2, 1], [1, -1, 2, 2, 2, 3], 2, (1 / 2 + 2 / 5) / 2, 2 / 5, "other person, camera unknown: wrong"),
    ],
)
def test_scores_worked_out_by_hand(pid, camid, first, precision, inverse, why):
    scores = score(make_features(LINE, pid, camid), np.array([0]), np.arange(1, 6))
    assert scores.first.tolist() == [first], why
    assert scores.precision.tolist() == pytest.approx([precision]), why
    assert scores.inverse.tolist() == pytest.approx([inverse]), why


def test_equal_distances_rank_by_the_order_of_the_gallery():
    features = make_features([0, 1, 1, 1], [1, 2, 1, 2], [1, 2, 2, 2])
    assert score(features, np.array([0]), np.array([1, 2, 3])).first.tolist() == [2]
    assert score(features, np.array([0]), np.array([2, 1, 3])).first.tolist() == [1]


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_scores_agree_with_a_plain_loop(data):
    n = data.draw(st.integers(4, 24))
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    features = make_features(
        rng.integers(0, 4, (n, 3)), rng.integers(-1, 4, n), rng.integers(1, 4, n)
    )  # whole numbers: many equal distances
    query, gallery = split_rows(features)
    expected = {}
    for q in query:
        distance = ((features.vectors[gallery] - features.vectors[q]) ** 2).sum(1)
        kept = [
            g
            for g in np.argsort(distance, kind="stable")
            if not (features.pid[gallery[g]] == features.pid[q] and features.camid[gallery[g]] == features.camid[q])
        ]
        correct = [rank for rank, g in enumerate(kept, 1) if features.pid[gallery[g]] == features.pid[q]]
        if correct:
            expected[q] = (
                correct[0],
                np.mean([i / rank for i, rank in enumerate(correct, 1)]),
                len(correct) / correct[-1],
            )
    if not expected or len(np.unique(features.pid[features.pid >= 0])) < 2:
        return
    scores = score(features, query, gallery)
    assert scores.query.tolist() == list(expected)
    found = list(zip(scores.first, scores.precision, scores.inverse, strict=True))
    assert np.allclose(found, list(expected.values()))
    assert sum(map(len, scores.skipped.values())) == len(query) - len(expected)


def test_queries_are_the_first_image_of_each_identity_and_camera():
    features = make_features(np.zeros(7), [5, 5, 3, -1, 5, 3, 3], [1, 1, 2, 1, 2, -1, 2])
    query, gallery = split_rows(features)
    assert query.tolist() == [0, 2, 4]
    assert gallery.tolist() == [0, 1, 2, 4, 5, 6]


def test_metrics_summarise_the_queries_and_their_intervals():
    rng = np.random.default_rng(0)
    pid, camid = np.repeat(np.arange(6), 4), np.tile([1, 1, 2, 2], 6)
    features = make_features(rng.normal(size=(24, 3)) + pid[:, None], pid, camid)
    metrics = evaluate(features, EvaluateConfig(bootstrap=200, ranks=(1, 3)))
    assert metrics["format_version"] == 1
    assert (metrics["identities"], metrics["cameras"], metrics["queries"], metrics["gallery"]) == (6, 2, 12, 24)
    assert metrics["skipped"] == {} and set(metrics["cmc"]) == {"1", "3"}
    assert set(metrics["interval"]) == {"cmc@1", "cmc@3", "map", "minp"}
    for name, value in {"cmc@1": metrics["cmc"]["1"], "map": metrics["map"], "minp": metrics["minp"]}.items():
        low, high = metrics["interval"][name]
        assert 0 <= low <= value <= high <= 1
    assert metrics == evaluate(features, EvaluateConfig(bootstrap=200, ranks=(1, 3)))
    text = format_metrics(metrics)
    assert "rank-1" in text and "12 queries of 6 identities, 24 gallery images, 2 cameras" in text


def test_more_queries_of_the_same_people_do_not_make_a_score_surer():
    line = make_features([0, 1, 10, 14, 11, 20, 21], [1, 1, 2, 2, 3, 4, 4], [1, 2, 1, 2, 1, 1, 2])
    gallery = np.arange(7)
    once = evaluate(line, EvaluateConfig(bootstrap=200), query=np.array([0, 2, 5]), gallery=gallery)
    often = evaluate(line, EvaluateConfig(bootstrap=200), query=np.repeat([0, 2, 5], 20), gallery=gallery)
    assert once["interval"]["map"] == pytest.approx(often["interval"]["map"])
    assert once["interval"]["map"][1] - once["interval"]["map"][0] > 0.1


def test_perfect_features_score_one_and_skipped_queries_are_counted():
    features = make_features([0, 0, 5, 5, 9], [1, 1, 2, 2, 3], [1, 2, 1, 2, 1])
    metrics = evaluate(features, CONFIG)
    assert metrics["cmc"]["1"] == metrics["map"] == metrics["minp"] == 1
    assert metrics["skipped"] == {"own camera only": 1}
    assert (
        "1 query left out, own camera only: their person's images are all of the query's own camera"
        in format_metrics(metrics)
    )


@pytest.mark.parametrize(
    ("pid", "camid", "message"),
    [
        ([-1, -1], [1, 2], r"no image has a known identity, so nothing can be scored; name the files"),
        ([4, 4], [1, 2], r"all images show one identity \(4\), so every answer is correct; add images"),
        ([1, 1, 2], [1, 1, 2], r"none of the 2 queries has an image of the same identity under another camera"),
    ],
)
def test_what_cannot_be_scored_says_why(pid, camid, message):
    with pytest.raises(ValueError, match=message):
        evaluate(make_features(np.arange(len(pid)), pid, camid), CONFIG)


def test_rankings_show_hits_of_queries_spread_over_the_identities():
    pid, camid = np.repeat(np.arange(80), 2), np.tile([1, 2], 80)
    features = make_features(pid, pid, camid)
    entries = ranking(features, score(features, *split_rows(features)))
    assert len(entries) == 50 and len({entry["pid"] for entry in entries}) == 50
    first = entries[0]
    assert set(first) == {"query", "pid", "camid", "hits"} and len(first["hits"]) == 10
    assert first["hits"][0] == {"path": "1.jpg", "pid": 0, "camid": 2, "distance": 0.0, "correct": True}
    assert not any(hit["path"] == entry["query"] for entry in entries for hit in entry["hits"])


def test_a_camera_that_is_not_listed_is_unknown():
    assert camera_index(np.array([7, -1, 3, 9, 8]), np.array([3, 7, 9])).tolist() == [1, 3, 0, 2, 3]
    assert camera_index(np.array([5]), np.array([], np.int64)).tolist() == [0]


@pytest.fixture(scope="module")
def figures(tmp_path_factory) -> Manifest:
    return make_figures(tmp_path_factory.mktemp("figures"), identities=3, cameras=2)


@pytest.fixture(scope="module")
def model():
    return build_model(TrainConfig(), classes=1, cameras=0, pretrained=False)


def pixels_of(manifest: Manifest) -> Images:
    return Images(manifest, height=64, width=32)


def test_features_have_length_one_and_use_their_cameras_statistics(model, figures):
    features, _ = extract(model, pixels_of(figures), CONFIG)
    assert features.vectors.shape == (18, 1280) and features.path == figures.path
    assert np.allclose(np.linalg.norm(features.vectors, axis=1), 1, atol=1e-5)
    assert model.neck.cameras == 2
    assert model.neck.images[:2].tolist() == [9, 9]
    assert not torch.equal(model.neck.running_mean[0], model.neck.running_mean[1])


def test_features_do_not_depend_on_the_batch_size_of_the_forward_pass(model, figures):
    images = pixels_of(figures)
    estimate_statistics(model, images, CONFIG)
    camera = torch.from_numpy(camera_index(figures.camid, figures.cameras))
    x = normalise(images[np.arange(18)])
    with torch.inference_mode():
        whole = model.eval()(x, camera)
        parts = torch.cat([model(x[i : i + 5], camera[i : i + 5]) for i in range(0, 18, 5)])
    torch.testing.assert_close(parts, whole, rtol=1e-3, atol=1e-4)


def test_a_camera_with_few_images_uses_the_statistics_of_all(model, figures, caplog):
    few = figures.select(np.flatnonzero((figures.camid == 1) | (figures.frame == 0)))
    keys = estimate_statistics(model, pixels_of(few), CONFIG)
    assert keys.tolist() == [1, 2]
    assert (
        "cameras with fewer than 4 images use other statistics, see evaluate.few_images: 2 (3 images): all images"
        in caplog.text
    )
    assert torch.equal(model.neck.running_mean[1], model.neck.running_mean[2])
    assert not torch.equal(model.neck.running_mean[0], model.neck.running_mean[2])
    assert model.neck.images[2].item() == len(few)


def test_statistics_do_not_depend_on_the_training_limit_of_images(figures):
    features = []
    for min_images in (2, 50):
        torch.manual_seed(0)
        settings = TrainConfig(height=64, width=32, min_images=min_images)
        model = build_model(settings, classes=2, cameras=1, pretrained=False)
        features.append(extract(model, pixels_of(figures), CONFIG)[0].vectors)
    np.testing.assert_array_equal(*features)


def test_too_few_images_altogether_use_the_statistics_of_training(figures, caplog):
    model = build_model(TrainConfig(), classes=1, cameras=0, pretrained=False)
    trained = model.neck.running_mean[-1].uniform_().clone()
    features, _ = extract(model, pixels_of(figures.select([0, 9])), EvaluateConfig(min_statistics_images=3))
    assert "2 images are too few for batch-norm statistics of their own (3 are needed)" in caplog.text
    assert model.neck.running_mean.tolist() == [trained.tolist()] * 3
    assert np.isfinite(features.vectors).all()


def test_images_without_camera_use_the_statistics_of_all(model, figures):
    rows = [{"path": path, "pid": 1, "camid": -1} for path in figures.path]
    features, _ = extract(model, pixels_of(Manifest.from_rows(rows, figures.root)), CONFIG)
    assert model.neck.cameras == 0 and model.neck.images.tolist() == [18]
    assert np.isfinite(features.vectors).all()


def test_evaluation_writes_scores_features_and_rankings(figures, tmp_path):
    figures.write()
    config = Config(train=TrainConfig(height=64, width=32), evaluate=CONFIG)
    metrics = evaluate_run(None, figures.root, tmp_path / "scores", config)
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == [
        "config.toml", "features.npz", "metrics.json", "metrics.txt", "ranking.json",
    ]  # fmt: skip
    assert json.loads((tmp_path / "scores" / "metrics.json").read_text()) == metrics
    assert metrics["model"] == "efficientnet_lite0, ImageNet weights, untrained"
    assert metrics["data"] == str(figures.root.absolute())
    assert metrics["queries"] == 6 and metrics["identities"] == 3
    assert len(Features.load(tmp_path / "scores" / "features.npz")) == 18
    assert len(json.loads((tmp_path / "scores" / "ranking.json").read_text())) == 6


def with_split(manifest: Manifest, split) -> Manifest:
    rows = manifest.table.to_pylist()
    return Manifest.from_rows([{**row, "split": split(row)} for row in rows], manifest.root)


@pytest.mark.parametrize(
    ("split", "queries", "gallery"),
    [
        (lambda row: "query" if row["frame"] == 0 else "gallery", 6, 12),
        (lambda row: "test" if row["pid"] < 12 else "train", 4, 12),
    ],
    ids=["query and gallery", "test"],
)
def test_the_data_sets_own_split_is_used(figures, split, queries, gallery):
    config = Config(train=TrainConfig(height=64, width=32), evaluate=CONFIG)
    metrics = evaluate_manifest(None, with_split(figures, split), None, config)
    assert (metrics["queries"], metrics["gallery"]) == (queries, gallery)


def test_data_without_test_images_are_refused(figures):
    with pytest.raises(ValueError, match=r"has no test images \(its splits are train\); set synth.test_people"):
        evaluate_manifest(None, with_split(figures, lambda row: "train"), None, Config())
    with pytest.raises(ValueError, match="there is no image to take features of"):
        evaluate_manifest(None, figures.select([]), None, Config())
