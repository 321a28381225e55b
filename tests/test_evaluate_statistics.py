"""Statistics of cameras: apart for queries, with few images, without cameras, for one new image, and along a curve."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from learning import make_figures
from PIL import Image
from torch import nn

from unrealperson.config import Config, EvaluateConfig, TrainConfig
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.evaluate import curve, evaluate_run, load_model
from unrealperson.evaluate.curve import score_curve
from unrealperson.evaluate.features import embed, extract
from unrealperson.evaluate.metrics import split_rows
from unrealperson.evaluate.pseudo_cameras import cluster_styles
from unrealperson.evaluate.statistics import estimate_tables, group_name, statistics_groups
from unrealperson.models.cbn import convert_camera_batch_norm
from unrealperson.models.reid import ReidModel
from unrealperson.schema import Features

CONFIG = EvaluateConfig(batch_size=4, min_statistics_images=4, bootstrap=20)
SMALL = TrainConfig(backbone="osnet_x0_25", weights="none", height=64, width=32)


@pytest.fixture(scope="module")
def figures(tmp_path_factory) -> Manifest:
    return make_figures(tmp_path_factory.mktemp("figures"), identities=3, cameras=3)


def small_model(*, norm: str = "cbn") -> ReidModel:
    """Two layers, enough to carry statistics."""
    torch.manual_seed(0)
    layers = nn.Conv2d(3, 16, 3, stride=4), nn.BatchNorm2d(16), nn.ReLU()
    model = ReidModel(nn.Sequential(*layers), 16, classes=1)
    if norm == "cbn":
        model.context = convert_camera_batch_norm(model, 0)
    return model


@pytest.fixture
def model() -> ReidModel:
    return small_model()


def pixels_of(manifest: Manifest) -> Images:
    return Images(manifest, height=64, width=32)


def test_queries_and_gallery_of_a_camera_can_have_statistics_apart(model, figures):
    images, query = pixels_of(figures), np.flatnonzero(figures.frame == 0)
    split = replace(CONFIG, statistics="split", min_statistics_images=3)
    group = statistics_groups(images, split, query)
    assert group[query].tolist() == (2 * figures.camid[query]).tolist()
    assert np.delete(group, query).tolist() == np.delete(2 * figures.camid + 1, query).tolist()
    features, tables = extract(model, images, split, query=query)
    assert tables.keys.tolist() == [2, 3, 4, 5, 6, 7] and tables.images.tolist() == [3, 6] * 3
    assert [group_name(key, split) for key in (2, 3)] == ["1 query", "1 gallery"]
    pooled, _ = extract(model, images, replace(split, statistics="pooled"))
    assert not np.allclose(features.vectors, pooled.vectors)
    with pytest.raises(ValueError, match='"split" needs queries'):
        statistics_groups(images, split)


@pytest.mark.parametrize(
    ("few_images", "source"), [("nearest", "as 2"), ("global", "all images"), ("source", "training")]
)
def test_a_camera_with_few_images_takes_what_the_configuration_says(model, styles, few_images, source):
    camid = np.array([1, 2] * 9 + [1, 9])  # 9 is camera 2 by another name
    trained = model.neck.running_mean[-1].uniform_().clone()
    tables = estimate_tables(model, pixels_of(styles), replace(CONFIG, few_images=few_images), camid, with_unknown=True)
    assert tables.source == ("own", "own", source)
    expected = {"nearest": model.neck.running_mean[1], "global": model.neck.running_mean[-1], "source": trained}
    assert torch.equal(model.neck.running_mean[2], expected[few_images])


@pytest.mark.parametrize("norm", ["bn", "cbn"])
def test_statistics_of_the_training_stay_and_plain_batch_norm_takes_those_of_cameras(norm, figures):
    images, row = pixels_of(figures), np.zeros(len(figures), np.int64)
    trained = replace(CONFIG, statistics="training")
    untouched = embed(small_model(norm=norm), images, row, CONFIG)
    features, tables = extract(small_model(norm=norm), images, trained)
    assert np.allclose(features.vectors, untouched, atol=1e-6) and set(tables.source) == {"training"}
    own = extract(small_model(), images, CONFIG)[0].vectors
    assert not np.allclose(own, untouched, atol=1e-3)


def test_a_run_with_plain_batch_norm_can_be_scored_with_statistics_of_each_camera(figures):
    plain = replace(SMALL, norm="bn")
    model, _ = load_model(None, Config(train=plain))
    assert model.context is None
    model, _ = load_model(None, Config(train=plain, evaluate=replace(CONFIG, norm="cbn")))
    expected, _ = load_model(None, Config(train=SMALL))
    ours, theirs = (extract(each, pixels_of(figures), CONFIG) for each in (model, expected))
    assert set(ours[1].source) == {"own"} and np.allclose(ours[0].vectors, theirs[0].vectors, atol=1e-4)


def test_without_a_camera_that_has_enough_images_none_is_nearest(model, figures):
    tables = estimate_tables(
        model, pixels_of(figures), replace(CONFIG, few_images="nearest", min_statistics_images=20), figures.camid
    )
    assert tables.source == ("all images",) * 3


@pytest.fixture(scope="module")
def styles(tmp_path_factory) -> Manifest:
    """Ten pictures of a dark and ten of a bright camera whose numbers nobody knows."""
    root, rng = tmp_path_factory.mktemp("styles"), np.random.default_rng(0)
    for number in range(20):
        noise = rng.normal(60 if number % 2 else 190, 12, (64, 32, 3)).clip(0, 255)
        Image.fromarray(noise.astype(np.uint8)).save(root / f"{number:02}.png")
    return Manifest.from_rows([{"path": f"{number:02}.png", "pid": number // 4} for number in range(20)], root)


def test_images_without_camera_are_grouped_by_style(styles):
    images = pixels_of(styles)
    label = cluster_styles(images, np.arange(20), replace(CONFIG, pseudo_cameras=2))
    assert set(label[::2]) != set(label[1::2]) and len(set(label[::2])) == len(set(label[1::2])) == 1
    assert cluster_styles(images, np.arange(5), CONFIG).tolist() == [0] * 5  # two cameras would have too few each
    clustered = replace(CONFIG, unknown_cameras="clusters", pseudo_cameras=2)
    assert sorted(set(statistics_groups(images, clustered).tolist())) == [0, 1]
    assert (statistics_groups(images, CONFIG) == -1).all()
    known = images.manifest.replaced("camid", [7, -1] * 10)
    assert set(statistics_groups(pixels_of(known), clustered).tolist()) >= {7, 8}


def test_one_new_query_needs_no_statistics_of_its_own(model, figures):
    tables = estimate_tables(model, pixels_of(figures), CONFIG, figures.camid, with_unknown=True)
    one = pixels_of(figures.select([4]))
    own, unknown = (embed(model, one, tables.rows(np.array([camera])), CONFIG) for camera in (figures.camid[4], -1))
    whole = embed(model, pixels_of(figures), tables.rows(figures.camid), CONFIG)
    assert np.allclose(own, whole[4], atol=1e-5) and not np.allclose(own, unknown, atol=1e-3)


def test_one_image_can_be_sought_in_a_gallery(figures, tmp_path):
    figures.write()
    for name in ("0010_c7s1_000001_00.png", "nobody.png"):
        source = figures.image_path(0)
        (tmp_path / name).write_bytes(source.read_bytes())
    config = Config(train=SMALL, evaluate=CONFIG)
    metrics = evaluate_run(None, figures.root, None, config, query=tmp_path / "0010_c7s1_000001_00.png")
    assert (metrics["queries"], metrics["gallery"]) == (1, 27)
    assert {"camera": 7, "images": 1, "source": "all images"} in metrics["statistics"]
    assert metrics["cmc"]["1"] == 1
    within = figures.image_path(0)
    assert evaluate_run(None, figures.root, None, config, query=within)["gallery"] == 26
    with pytest.raises(ValueError, match=r"nobody.png: a query needs a name .* take 'unrealperson search'"):
        evaluate_run(None, figures.root, None, config, query=tmp_path / "nobody.png")


def test_the_curve_goes_on_where_it_was_stopped(model, figures, tmp_path, monkeypatch):
    images, path = pixels_of(figures), tmp_path / "curve.json"
    labels = Features(np.zeros((27, 1), np.float32), figures.pid, figures.camid, figures.frame, figures.path)
    query, gallery = split_rows(labels)
    config = replace(CONFIG, curve_images=(2, 4, 320), curve_draws=2)
    whole = score_curve(model, images, query, gallery, config, path)
    done = [(point["images"], point["statistics"], point["draw"]) for point in whole["points"]]
    own = [(size, "own", draw) for size in (2, 4) for draw in (0, 1)]
    assert done == [(0, "training", 0), (0, "all images", 0), *own, (9, "own", 0)]
    assert whole["largest"] == 9 and all(0 <= point["map"] <= 1 for point in whole["points"])
    full, _ = extract(model, images, CONFIG)
    assert whole["points"][-1]["map"] == pytest.approx(curve.score(full, query, gallery).precision.mean(), abs=0.02)

    monkeypatch.setattr(curve, "embed", lambda *_: pytest.fail("a finished point is computed again"))
    assert score_curve(small_model(), images, query, gallery, config, path) == whole
    with pytest.raises(ValueError, match="--curve needs a network with camera-based batch norm"):
        score_curve(small_model(norm="bn"), images, query, gallery, config)
