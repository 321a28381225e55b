from __future__ import annotations

import dataclasses

import numpy as np
import pytest
import torch
from learning import make_figures
from torch import nn
from torch.nn import functional as F

from unrealperson import video
from unrealperson.config import Config, EvaluateConfig, TrainConfig
from unrealperson.data.loader import Images
from unrealperson.data.samplers import IdentitySampler
from unrealperson.data.tracklets import TrackletSampler, find_tracklets
from unrealperson.data.transforms import normalise
from unrealperson.models.reid import ReidModel

CONFIG = EvaluateConfig(batch_size=4, bootstrap=0, min_statistics_images=2)


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    return make_figures(tmp_path_factory.mktemp("figures"), identities=3, cameras=2, images=5, size=(16, 8))


@pytest.fixture
def model(monkeypatch) -> ReidModel:
    """Its features are mean colours."""
    model = ReidModel(nn.AdaptiveAvgPool2d(1), 3, 3, attention=True).eval()
    model.attention.weight.data = torch.tensor([[1.0, -2.0, 0.5]])
    trained = Config(train=dataclasses.replace(TrainConfig(norm="bn"), height=32, width=32))
    monkeypatch.setattr(video, "load_model", lambda run, config: (model, trained))
    return model


@pytest.mark.parametrize("frames", [2, 7])
def test_frames_are_drawn_from_equal_parts_of_a_tracklet(frames):
    tracklets = [range(0, 10), range(10, 14)]
    sampler = TrackletSampler(
        tracklets, IdentitySampler(np.array([0, 1]), identities=2, images_per_identity=1, seed=0), frames=frames, seed=0
    )
    assert sampler.batch_size == 2 * frames and len(sampler) == 1
    batches = [rows for number in range(20) for rows in sampler.epoch(number)]
    for rows in batches:
        for part in rows.reshape(2, frames):
            own = tracklets[0] if part[0] < 10 else tracklets[1]
            place = (part - own[0]) * frames // len(own) if frames == 2 else np.sort(part)
            assert set(part) <= set(own) and np.all(np.diff(part) >= 0)
            assert frames == 7 or place.tolist() == [0, 1]
    assert len({tuple(rows) for rows in batches}) > 10
    assert np.array_equal(batches[3], next(sampler.epoch(3)))


def test_a_tracklet_is_pooled_over_all_its_frames_and_their_mirrors(data, model):
    images, tracklets = Images(data, height=16, width=8), find_tracklets(data)
    found = video.extract_tracklets(model, images, tracklets, CONFIG)
    assert len(found) == 6 and found.frame.tolist() == [0] * 6
    rows = list(tracklets[2].rows)
    pixels = normalise(images[rows])
    with torch.no_grad():
        views = torch.cat([model(view, torch.zeros(5)) for view in (pixels, pixels.flip(3))])
    expected = F.normalize(model.score_frames(views).softmax(0) @ views, dim=0)
    np.testing.assert_allclose(found.vectors[2], expected.detach().numpy(), rtol=1e-5)


def test_distractors_are_in_the_gallery_and_never_queries(data, model):
    pid = np.where(data.pid == 12, 0, data.pid)
    found = video.evaluate_tracklets(None, data.replaced("pid", pid), None, Config(evaluate=CONFIG))
    assert (found["queries"], found["gallery"], found["identities"], found["frames"]) == (4, 6, 2, 30)


def test_queries_and_gallery_are_taken_as_they_are_given(data, model, tmp_path):
    divided = data.replaced("split", np.where(data.camid == 1, "query", "gallery"))
    found = video.evaluate_tracklets(None, divided, tmp_path / "scores", Config(evaluate=CONFIG))
    assert (found["queries"], found["gallery"]) == (3, 3)
    assert sorted(path.name for path in (tmp_path / "scores").iterdir()) == [
        "config.toml", "features.npz", "metrics.json",
    ]  # fmt: skip
    with pytest.raises(ValueError, match="has no tracklets to score"):
        video.evaluate_tracklets(None, data.replaced("split", ["train"] * 30), None, Config(evaluate=CONFIG))
