"""Losses and memories against loops in float64 as spec and papers state them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from unrealperson.adapt.memory import (
    ClusterMemory,
    ImageMemory,
    ProxyMemory,
    image_momentum,
    local_loss,
    view_means,
)


def unit(*shape: int, seed: int = 0) -> np.ndarray:
    x = np.random.default_rng(seed).standard_normal(shape)
    return x / np.linalg.norm(x, axis=-1, keepdims=True)


def cross_entropy(logits: np.ndarray, target: np.ndarray) -> float:
    return -float((target * (logits - np.log(np.exp(logits).sum()))).sum())


def test_local_loss():
    views = unit(5, 3, 7)
    means = views.mean(1)
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    expected = np.mean([cross_entropy(means @ view / 0.1, np.eye(5)[i]) for i in range(5) for view in views[i]])
    found = torch.from_numpy(views).requires_grad_()
    assert local_loss(found).item() == pytest.approx(expected, rel=1e-9)
    assert torch.autograd.gradcheck(local_loss, found)


def test_global_loss_shares_the_label_among_the_members():
    views, bank = unit(3, 2, 7), unit(9, 7, seed=1)
    label, rows = np.array([0, 1, 1, 2, 1, 0, 3, 3, 4]), np.array([4, 8, 5])
    losses = []
    for row, image in zip(rows, views, strict=True):
        target = (label == label[row]).astype(float)
        losses += [cross_entropy(bank @ view / 0.05, target / target.sum()) for view in image]
    memory = ImageMemory(torch.from_numpy(bank), torch.from_numpy(label))
    found = torch.from_numpy(views).requires_grad_()
    assert memory.loss(found, torch.from_numpy(rows)).item() == pytest.approx(np.mean(losses), rel=1e-9)
    assert torch.autograd.gradcheck(lambda x: memory.loss(x, torch.from_numpy(rows)), found)


def test_image_memory_moves_and_keeps_its_length():
    bank, means = unit(4, 6), unit(2, 6, seed=1)
    memory = ImageMemory(torch.from_numpy(bank.copy()), torch.arange(4))
    memory.update(torch.tensor([2, 0]), torch.from_numpy(means), momentum=0.3)
    expected = bank.copy()
    expected[[2, 0]] = 0.7 * means + 0.3 * bank[[2, 0]]
    np.testing.assert_allclose(memory.vectors, expected)
    assert np.linalg.norm(memory.vectors[2]) < 0.999


@pytest.mark.parametrize(("epoch", "share"), [(1, 0.01), (10, 0.1), (60, 0.6), (80, 0.8), (200, 0.8)])
def test_momentum_of_the_image_memory(epoch, share):
    assert image_momentum(epoch) == pytest.approx(share)


def test_view_means_have_length_one():
    assert view_means(torch.from_numpy(unit(4, 3, 5))).norm(dim=1).numpy() == pytest.approx(np.ones(4))


def test_cluster_contrast():
    x, centers, label = unit(6, 5), unit(4, 5, seed=1), np.array([0, 3, 3, 1, 0, 3])
    memory = ClusterMemory(torch.from_numpy(centers.copy()))
    expected = np.mean([cross_entropy(centers @ row / 0.05, np.eye(4)[y]) for row, y in zip(x, label, strict=True)])
    assert memory.loss(torch.from_numpy(x), torch.from_numpy(label)).item() == pytest.approx(expected, rel=1e-9)

    memory.update(torch.from_numpy(x), torch.from_numpy(label), momentum=0.1)
    moved = centers.copy()
    for row, y in zip(x, label, strict=True):
        moved[y] = 0.1 * moved[y] + 0.9 * row
        moved[y] /= np.linalg.norm(moved[y])
    np.testing.assert_allclose(memory.vectors, moved)


def test_the_hardest_image_moves_its_cluster():
    x, centers, label = unit(6, 5), unit(4, 5, seed=1), np.array([0, 3, 3, 1, 0, 3])
    memory = ClusterMemory(torch.from_numpy(centers.copy()))
    memory.update(torch.from_numpy(x), torch.from_numpy(label), momentum=0.2, rule="hard")
    for y in range(4):
        rows = np.flatnonzero(label == y)
        expected = centers[y]
        if len(rows):
            expected = 0.2 * centers[y] + 0.8 * x[rows[np.argmin(x[rows] @ centers[y])]]
            expected /= np.linalg.norm(expected)
        np.testing.assert_allclose(memory.vectors[y], expected)


def test_proxies_within_a_camera_and_across():
    proxies, x = unit(6, 5, seed=1), unit(4, 5)
    cluster, camera = np.array([0, 0, 1, 1, 2, 3]), np.array([0, 1, 0, 2, 1, 1])
    of, seen = np.array([0, 1, 1, 2]), np.array([1, 0, 2, 1])
    memory = ProxyMemory(*(torch.from_numpy(a) for a in (proxies, cluster, camera)))
    rows = memory.rows(torch.from_numpy(of), torch.from_numpy(seen))
    assert rows.tolist() == [1, 2, 3, 4]
    within, across = [], []
    for row, proxy in zip(x, rows.tolist(), strict=True):
        logits = proxies @ row / 0.07
        here = np.flatnonzero(camera == camera[proxy])
        within.append(cross_entropy(logits[here], (here == proxy).astype(float)))
        positive = np.flatnonzero((cluster == cluster[proxy]) & (camera != camera[proxy]))
        negative = np.flatnonzero(cluster != cluster[proxy])
        negative = negative[np.argsort(-logits[negative])][:2]
        if len(positive):
            both = np.concatenate([logits[positive], logits[negative]])
            share = np.concatenate([np.full(len(positive), 1 / len(positive)), np.zeros(len(negative))])
            across.append(cross_entropy(both, share))
    found = memory.proxy_loss(torch.from_numpy(x), rows, negatives=2).item()
    assert found == pytest.approx(np.mean(within) + 0.5 * np.mean(across), rel=1e-6)
