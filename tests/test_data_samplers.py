from __future__ import annotations

import numpy as np
import pytest

from unrealperson.data.samplers import CameraBalancedSampler, IdentitySampler, RandomSampler

LABEL = np.repeat(np.arange(6), 12)
CAMERA = np.tile(np.repeat(np.arange(3), 4), 6)


def make(label=LABEL, camera=CAMERA, *, seed=0, cameras=4, identities=2, images=3) -> CameraBalancedSampler:
    return CameraBalancedSampler(
        label,
        camera,
        cameras_per_batch=cameras,
        identities_per_camera=identities,
        images_per_identity=images,
        seed=seed,
    )


def test_a_batch_is_cameras_by_identities_by_images():
    sampler = make()
    for rows in sampler.epoch(0):
        assert rows.shape == (24,)
        for drawn in rows.reshape(4, 2, 3):
            assert len(set(CAMERA[drawn.ravel()])) == 1
            assert all(len(set(LABEL[group])) == 1 and len(set(group)) == 3 for group in drawn)
            assert len(set(LABEL[drawn.ravel()])) == 2
        assert (np.diff(CAMERA[rows]) >= 0).all()  # one camera's images lie together


@pytest.mark.parametrize(("count", "batches"), [(72, 3), (70, 3), (5, 1)])
def test_an_epoch_is_as_long_as_the_data_set(count, batches):
    sampler = make(LABEL[:count], CAMERA[:count])
    assert len(sampler) == batches == len(list(sampler.epoch(0)))


@pytest.mark.parametrize("images", [24, 240])
def test_an_epoch_is_as_long_as_asked_for(images):
    for sampler in (
        CameraBalancedSampler(
            LABEL, CAMERA, cameras_per_batch=4, identities_per_camera=2, images_per_identity=3, seed=0,
            epoch_images=images,
        ),
        IdentitySampler(LABEL, identities=8, images_per_identity=3, seed=0, epoch_images=images),
        RandomSampler(len(LABEL), batch_size=24, seed=0, epoch_images=images),
    ):  # fmt: skip
        batches = list(sampler.epoch(0))
        assert len(sampler) == len(batches) == images / 24
        assert all(len(rows) == 24 and rows.max() < len(LABEL) for rows in batches)


def test_batches_depend_on_seed_and_epoch_alone():
    state = np.random.get_state()[1].tolist()
    first = np.concatenate(list(make().epoch(2)))
    assert np.array_equal(first, np.concatenate(list(make().epoch(2))))
    assert not np.array_equal(first, np.concatenate(list(make().epoch(3))))
    assert not np.array_equal(first, np.concatenate(list(make(seed=1).epoch(2))))
    assert np.random.get_state()[1].tolist() == state


def test_too_few_images_and_identities_are_repeated():
    sampler = make(np.array([0, 0, 1]), np.array([5, 5, 9]), cameras=2, identities=3, images=4)
    for rows in sampler.epoch(0):
        assert rows.shape == (24,)
        assert set(rows) <= {0, 1, 2}


def test_cameras_are_drawn_equally_often_however_many_images_they_have():
    label = np.zeros(1000, dtype=np.int64)
    camera = np.r_[np.zeros(990, dtype=np.int64), np.ones(10, dtype=np.int64)]
    rows = np.concatenate([rows for epoch in range(20) for rows in make(label, camera).epoch(epoch)])
    assert 0.45 < camera[rows].mean() < 0.55


def test_nothing_to_draw_from_is_refused():
    with pytest.raises(ValueError, match="label and camera must be equally long and not empty, got 0 and 0"):
        make(np.array([]), np.array([]))


def test_identity_batches_are_identities_by_images():
    sampler = IdentitySampler(LABEL, identities=4, images_per_identity=3, seed=0)
    batches = list(sampler.epoch(0))
    assert len(batches) == len(sampler) == 6
    for rows in batches:
        groups = LABEL[rows].reshape(4, 3)
        assert (groups == groups[:, :1]).all() and len(set(groups[:, 0])) == 4 and len(set(rows)) == 12


def test_random_batches_hold_each_image_once_an_epoch():
    sampler = RandomSampler(72, batch_size=12, seed=0)
    batches = list(sampler.epoch(0))
    assert len(batches) == len(sampler) == 6
    assert sorted(np.concatenate(batches)) == list(range(72))
    assert not np.array_equal(batches, list(sampler.epoch(1)))


def samplers(weight: np.ndarray | None = None) -> list:
    options = dict(seed=0, weight=weight)
    return [
        CameraBalancedSampler(
            LABEL, CAMERA, cameras_per_batch=4, identities_per_camera=2, images_per_identity=3, **options
        ),
        IdentitySampler(LABEL, identities=4, images_per_identity=3, **options),
        RandomSampler(len(LABEL), batch_size=12, **options),
    ]


@pytest.mark.parametrize("kind", [0, 1, 2], ids=["camera_balanced", "identity", "random"])
def test_weights_say_how_often_images_are_drawn(kind):
    weight = np.where(LABEL == 0, 5.0, np.where(LABEL == 1, 0.0, 1.0))
    sampler = samplers(weight)[kind]
    drawn = LABEL[np.concatenate([rows for epoch in range(60) for rows in sampler.epoch(epoch)])]
    share = np.bincount(drawn, minlength=6) / len(drawn)
    assert share[1] == 0 and share[0] > 1.2 * share[2:].max()
    assert np.ptp(share[2:]) < 0.08
    even = np.concatenate([rows for rows in samplers()[kind].epoch(0)])
    assert np.array_equal(even, np.concatenate([rows for rows in samplers(None)[kind].epoch(0)]))


def test_a_camera_of_greater_weight_is_drawn_more_often():
    sampler = samplers(np.where(CAMERA == 2, 3.0, 1.0))[0]
    drawn = CAMERA[np.concatenate([rows for epoch in range(100) for rows in sampler.epoch(epoch)])]
    assert (drawn == 2).mean() == pytest.approx(0.6, abs=0.05)
