from __future__ import annotations

import numpy as np
import pytest
import torch

from unrealperson.config import TrainConfig
from unrealperson.models.losses import (
    Losses,
    center_loss,
    circle_loss,
    cross_entropy,
    move_centers,
    triplet_loss,
)

LABEL = torch.tensor([0, 0, 1, 1, 2, 2, 2, 3])
FEATURES = torch.randn(8, 5, generator=torch.Generator().manual_seed(0), dtype=torch.double)


def euclidean(a: torch.Tensor, b: torch.Tensor) -> float:
    return float((a - b).pow(2).sum().sqrt())


@pytest.mark.parametrize("margin", [0.0, 0.3, 2.0])
def test_the_triplet_loss_takes_the_hardest_of_the_batch(margin):
    terms = []
    for i, anchor in enumerate(FEATURES):
        positives = [euclidean(anchor, x) for j, x in enumerate(FEATURES) if j != i and LABEL[j] == LABEL[i]]
        negatives = [euclidean(anchor, x) for j, x in enumerate(FEATURES) if LABEL[j] != LABEL[i]]
        if positives:  # the single image of identity 3 is no anchor
            gap = max(positives) - min(negatives)
            terms.append(max(gap + margin, 0) if margin else np.log1p(np.exp(gap)))
    assert triplet_loss(FEATURES, LABEL, margin=margin).item() == pytest.approx(np.mean(terms))


def test_the_circle_loss_is_its_equation():
    margin, scale = 0.25, 16.0
    vectors = FEATURES / FEATURES.norm(dim=1, keepdim=True)
    cosine = (vectors @ vectors.T).numpy()
    terms = []
    for i in range(7):
        same = [cosine[i, j] for j in range(8) if j != i and LABEL[j] == LABEL[i]]
        other = [cosine[i, j] for j in range(8) if LABEL[j] != LABEL[i]]
        pull = sum(np.exp(-scale * max(1 + margin - s, 0) * (s - (1 - margin))) for s in same)
        push = sum(np.exp(scale * max(s + margin, 0) * (s - margin)) for s in other)
        terms.append(np.log1p(pull * push))
    assert circle_loss(FEATURES, LABEL, margin=margin, scale=scale).item() == pytest.approx(np.mean(terms))


def test_label_smoothing_spreads_a_share_over_all_identities():
    logits = torch.tensor([[2.0, 0.0, -1.0]])
    probabilities = logits.softmax(1)
    target = torch.tensor([[0.9 + 0.1 / 3, 0.1 / 3, 0.1 / 3]])
    found = cross_entropy(logits, torch.tensor([0]), smoothing=0.1)
    torch.testing.assert_close(found, -(target * probabilities.log()).sum())


def test_centers_follow_their_features():
    centers = torch.zeros(4, 5, dtype=torch.double)
    assert center_loss(FEATURES, LABEL, centers).item() == pytest.approx(0.5 * FEATURES.square().sum().item() / 8)
    move_centers(centers, FEATURES, LABEL)
    torch.testing.assert_close(centers[0], 0.5 * FEATURES[:2].sum(0) / 3)
    for _ in range(200):
        move_centers(centers, FEATURES, LABEL)
    torch.testing.assert_close(centers[2], FEATURES[4:7].mean(0), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("loss", [triplet_loss, circle_loss])
@pytest.mark.parametrize("label", [[0, 0, 0], [0, 1, 2]], ids=["one identity", "one image each"])
def test_a_batch_without_triplets_costs_nothing_and_keeps_its_graph(loss, label):
    features = torch.ones(3, 2, requires_grad=True)
    value = loss(features, torch.tensor(label))
    value.backward()
    assert value.item() == 0 and features.grad.abs().sum() == 0


@pytest.mark.parametrize("loss", [triplet_loss, circle_loss])
def test_gradients_are_finite_where_features_coincide(loss):
    features = torch.ones(4, 3, requires_grad=True)
    loss(features, torch.tensor([0, 0, 1, 1])).backward()
    assert torch.isfinite(features.grad).all()


def test_the_losses_add_up_by_their_weights():
    logits = torch.randn(8, 4, generator=torch.Generator().manual_seed(1))
    features = FEATURES.float()
    config = TrainConfig(label_smoothing=0.1, triplet=2.0, triplet_margin=0.0, circle=0.5, center=0.01)
    losses = Losses(config, dimension=5, classes=4)
    expected = (
        cross_entropy(logits, LABEL, smoothing=0.1)
        + 2 * triplet_loss(features, LABEL, margin=0)
        + 0.5 * circle_loss(features, LABEL)
        + 0.01 * center_loss(features, LABEL, torch.zeros(4, 5))
    )
    torch.testing.assert_close(losses(features, logits, LABEL), expected)
    assert losses.centers.abs().sum() > 0
    plain = Losses(TrainConfig(), dimension=5, classes=4)
    torch.testing.assert_close(plain(features, logits, LABEL), cross_entropy(logits, LABEL))
    assert plain.centers.shape == (0, 5)
