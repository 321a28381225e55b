"""More than one number: camera pairs, open set, re-ranking, looks and times, factors, and what is left out."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest

from unrealperson import ops
from unrealperson.config import EvaluateConfig
from unrealperson.data.manifest import Manifest
from unrealperson.data.passages import cluster_crops
from unrealperson.evaluate import format_metrics
from unrealperson.evaluate.bootstrap import intervals
from unrealperson.evaluate.camera_pairs import score_camera_pairs
from unrealperson.evaluate.factors import score_factors
from unrealperson.evaluate.metrics import SKIPPED, evaluate, score, split_rows, summarise
from unrealperson.evaluate.open_set import explain_point, nearest_same_and_other, score_open_set
from unrealperson.evaluate.rerank import score_reranked
from unrealperson.evaluate.temporal import score_joint
from unrealperson.schema import Features

CONFIG = EvaluateConfig(bootstrap=100, false_accepts=(0.25, 0.01))


def make_features(vectors, pid, camid, frame=None) -> Features:
    vectors = np.asarray(vectors, np.float32).reshape(len(pid), -1)
    vectors /= np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-6)
    frame = np.full(len(pid), -1) if frame is None else np.asarray(frame, np.int64)
    paths = tuple(f"{number}.jpg" for number in range(len(pid)))
    return Features(vectors, np.asarray(pid, np.int64), np.asarray(camid, np.int64), frame, paths)


def crowd(people: int = 12, cameras: int = 3, each: int = 2, noise: float = 0.7) -> Features:
    rng = np.random.default_rng(3)
    pid, camid = np.repeat(np.arange(people), cameras * each), np.tile(np.repeat(np.arange(cameras), each), people)
    return make_features(rng.normal(size=(people, 6))[pid] + noise * rng.normal(size=(len(pid), 6)), pid, camid)


def test_a_pair_of_cameras_is_scored_as_if_there_were_no_others():
    features = crowd()
    query, gallery = split_rows(features)
    table = score_camera_pairs(features, query, gallery)
    pairs = [(entry["query_camera"], entry["gallery_camera"]) for entry in table]
    assert pairs == [(0, 1), (0, 2), (1, 0), (1, 2), (2, 0), (2, 1)]
    for entry in table:
        asked = query[features.camid[query] == entry["query_camera"]]
        there = gallery[features.camid[gallery] == entry["gallery_camera"]]
        alone = score(features, asked, there)
        assert entry["queries"] == len(alone.query) == 12
        assert entry["rank1"] == (alone.first == 1).mean() and entry["map"] == pytest.approx(alone.precision.mean())


def test_open_set_errors_worked_out_by_hand():
    # Angles on a circle; person 3 has no second image.
    angle = np.radians([0, 10, 40, 60, 100, 105, 200])
    features = make_features(np.stack([np.cos(angle), np.sin(angle)], 1), [0, 0, 1, 1, 2, 2, 3], [1, 2] * 3 + [1])
    near = nearest_same_and_other(features, np.array([0, 2, 4, 6]), np.array([1, 3, 5]))
    degrees = [np.degrees(np.arccos(np.clip(side[:3], -1, 1))).round(1).tolist() for side in (near.same, near.other)]
    assert degrees == [[10, 20, 5], [60, 30, 40]] and near.same[3] == -np.inf
    found = score_open_set(features, near.query, np.array([1, 3, 5]), replace(CONFIG, threshold=0.95))
    assert (found["absent"], found["present"]) == (4, 3)
    quarter, rare, given = found["points"]
    # Of four searches for somebody absent one may be accepted: that of 30 degrees; the next is that of 40.
    assert np.cos(np.radians(40)) < quarter["threshold"] < np.cos(np.radians(30))
    assert (quarter["far"], quarter["frr"]) == (0.25, 0)
    assert rare == {"wanted": 0.01, "threshold": None}
    assert (given["far"], given["frr"], given["missed"], given["mistaken"]) == (0, pytest.approx(1 / 3), 1 / 3, 0)
    assert "of 100 for somebody who is, 66.7 name that person, 33.3 nobody, 0.0 somebody else" in explain_point(given)
    assert explain_point(rare) == "a false accept rate of 1 % cannot be told from so few searches"


def test_a_threshold_keeps_the_rate_it_was_chosen_for():
    features = crowd(people=30)
    query, gallery = split_rows(features)
    found = score_open_set(features, query, gallery, replace(CONFIG, false_accepts=(0.5, 0.2, 0.1, 0.05)))
    for point in found["points"]:
        assert point["wanted"] - 2 / found["absent"] <= point["far"] <= point["wanted"]
        assert point["frr"] == pytest.approx(point["missed"] + point["mistaken"])
        assert point["interval"]["far"][0] <= point["far"] <= point["interval"]["far"][1]
    assert np.all(np.diff(found["curve"]["far"]) <= 0) and np.all(np.diff(found["curve"]["frr"]) >= 0)
    rank1 = (score(features, query, gallery).first == 1).mean()
    assert found["curve"]["frr"][0] == pytest.approx(1 - rank1)  # nothing is refused: only mistakes are left


def test_reranking_scores_the_distances_of_the_op():
    features = crowd()
    query, gallery = split_rows(features)
    config = replace(CONFIG, rerank_k1=4, rerank_k2=2)
    matrix = ops.k_reciprocal(features.vectors[query], features.vectors[gallery], k1=4, k2=2)
    found = score_reranked(features, query, gallery, config)
    assert found.precision.tolist() == score(features, query, gallery, matrix=matrix).precision.tolist()
    assert found.precision.mean() > score(features, query, gallery).precision.mean()


def test_times_tell_apart_people_who_look_alike():
    rng = np.random.default_rng(0)
    people = 40
    looks = rng.normal(size=(people, 8))
    looks[1::2] = looks[::2] + 0.02 * rng.normal(size=(people // 2, 8))  # pairs of doubles
    start = rng.permutation(people) * 500
    frame = np.concatenate([start, start + 300 + rng.integers(0, 40, people)])  # everybody takes some 300 frames
    vectors = np.concatenate([looks, looks]) + 0.05 * rng.normal(size=(2 * people, 8))
    pid, camid = np.tile(np.arange(people), 2), np.repeat([4, 9], people)
    features = make_features(vectors, pid, camid, frame)
    query, gallery = np.arange(people), np.arange(people, 2 * people)
    config = replace(CONFIG, bin_frames=50, temporal_sigma=1)
    plain, joint = score(features, query, gallery), score_joint(features, query, gallery, config)
    assert (plain.first == 1).mean() < 0.8 < 0.9 <= (joint.first == 1).mean()
    unknown = features.frame * 0 - 1
    with pytest.raises(ValueError, match=r"evaluate.joint needs to know when and where images were taken: cameras and"):
        score_joint(replace(features, frame=unknown), query, gallery, config)


def test_clusters_are_people_where_people_are_apart():
    pid = np.repeat(np.arange(6), 5)
    vectors = np.eye(6, dtype=np.float32)[pid] + 0.02 * np.random.default_rng(0).normal(size=(30, 6))
    cluster = cluster_crops(make_features(vectors, pid, pid).vectors)
    assert all(len(set(pid[cluster == label])) == 1 for label in cluster)


@pytest.mark.parametrize(
    ("pid", "camid", "reason"),
    [
        (-1, 1, "identity unknown"),
        (1, -1, "camera unknown"),
        (9, 1, "not in the gallery"),
        (5, 1, "own camera only"),
        (6, 1, "other cameras unknown"),
    ],
)
def test_every_query_that_is_left_out_says_why(pid, camid, reason):
    features = make_features(np.arange(1, 7), [1, 1, 5, 6, 2, pid], [1, 2, 1, -1, 2, camid])
    query, gallery = np.array([0, 5]), np.arange(5)
    metrics = summarise(features, score(features, query, gallery), CONFIG, gallery=5)
    assert metrics["skipped"] == {reason: 1} and metrics["skipped_examples"] == {reason: ["5.jpg"]}
    assert f"1 query left out, {reason}: {SKIPPED[reason]} (such as 5.jpg)" in format_metrics(metrics)


def test_without_cameras_everything_counts(caplog):
    features = make_features([[1, 0], [1, 0.1], [0, 1], [0.1, 1], [1, 1]], [1, 1, 2, 2, 3], [-1] * 5)
    metrics = evaluate(features, CONFIG)
    assert (metrics["queries"], metrics["gallery"], metrics["cmc"]["1"]) == (2, 3, 1)
    assert "no image has a known camera, so images of the query's own camera count as well" in caplog.text


def test_intervals_are_those_of_people_drawn_again_and_again():
    rng = np.random.default_rng(0)
    pid, value = rng.integers(0, 9, 60), rng.random(60)
    people, owner = np.unique(pid, return_inverse=True)
    draws = np.random.default_rng(4).multinomial(9, np.full(9, 1 / 9), size=200)
    means = [np.average(value, weights=draw[owner]) for draw in draws]
    config = replace(CONFIG, bootstrap=200, seed=4)
    assert intervals({"x": value}, pid, config)["x"] == pytest.approx(np.quantile(means, [0.025, 0.975]).tolist())
    assert len(people) == 9 and intervals({"x": value}, pid, replace(config, bootstrap=0)) == {}
    assert intervals({"x": value}, pid * 0, config) == {}  # one person tells nothing of others


def truth(number: int) -> dict:
    """Persons 0 and 1 wear the same; person 2 carries a bag; camera 2 sees backs at night."""
    person, camera = divmod(number, 2)
    look = {"top_color": "red", "top_category": "shirt", "outer_color": "none", "accessories": "none"}
    look |= {"top_color": "blue", "accessories": "backpack, cap"} if person == 2 else {}
    look |= {"gender": "male" if person else "female", "skin": "dark"}
    return {
        "path": f"{number}.jpg", "pid": person, "camid": camera + 1, "frame": 0, "light": camera,
        "yaw_deg": 350.0 if camera else 170.0, "distance_m": 5.0 + 10 * camera, "visibility": 1 - 0.05 * person,
        "hours": "night" if camera else "day", "attributes": json.dumps(look),
    }  # fmt: skip


def test_factors_count_answers_by_what_is_true_of_the_crops(tmp_path):
    manifest = Manifest.from_rows(map(truth, range(6)), tmp_path)
    # Persons 0 and 1 are taken for each other, person 2 is found.
    features = make_features([[1, 0], [0.8, 0.2], [0.8, 0.2], [1, 0], [0, 1], [0, 1]], manifest.pid, manifest.camid)
    table = score_factors(features, manifest, np.arange(6), CONFIG)
    found = {
        factor["factor"]: {group["label"]: (group["queries"], group["rank1"]) for group in factor["groups"]}
        for factor in table
    }
    third = pytest.approx(1 / 3)
    assert found == {
        "view": {"back": (3, third), "front": (3, third)},
        "light": {"day": (3, third), "night": (3, third)},
        "occlusion": {"0 to 2 %": (2, 0), "2 to 10 %": (2, 0), "10 to 30 %": (2, 1)},
        "distance": {"0 to 8 m": (3, third), "from 14 m": (3, third)},
        "accessories": {"none": (4, 0), "two or more": (2, 1)},
        "look-alikes": {"40 to 60 %": (2, 1), "from 80 %": (4, 0)},
        "gender": {"female": (2, 0), "male": (4, 0.5)},
    }  # view change: all turn by 180 degrees, one class alone
    assert "rank-1 100.0 %" in format_metrics(evaluate(features, CONFIG) | {"factors": table})
    plain = Manifest.from_rows([{"path": f"{n}.jpg", "pid": n // 2, "camid": 1 + n % 2} for n in range(6)], tmp_path)
    with pytest.raises(ValueError, match="there are no factors; they need a data set of 'unrealperson synth'"):
        score_factors(features, plain, np.arange(6), CONFIG)
