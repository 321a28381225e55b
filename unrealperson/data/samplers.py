"""Which images make a training batch.

Each sampler's epoch is a pure function of its seed and the epoch's number, so training goes on in the middle of one by
leaving out the batches that are done. A weight per image says how often it is drawn, relative to the others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class _Sampler:
    """How many images a batch and how many batches an epoch has."""

    def __init__(self, count: int, batch_size: int, epoch_images: int) -> None:
        self._count = count
        self._batch_size = batch_size
        self._epoch_images = epoch_images or count

    @property
    def batch_size(self) -> int:
        """Images in one batch."""
        return self._batch_size

    def __len__(self) -> int:
        """Batches in one epoch: as many images as are asked for or the data set holds, to the nearest batch."""
        return max(1, round(self._epoch_images / self.batch_size))


class CameraBalancedSampler(_Sampler):
    """Draws batches of cameras x identities x images, so that camera batch norm sees enough of each camera.

    Cameras are drawn with replacement. Identities of a camera, and images of an identity under that
    camera, are drawn without replacement as far as there are enough (the authors' code always replaces).

    Args:
        label: [n] int64 identity of each image.
        camera: [n] int64 camera of each image.
        cameras_per_batch: cameras drawn for a batch.
        identities_per_camera: identities drawn for each.
        images_per_identity: images drawn for each identity under the camera.
        seed: an epoch's batches are a pure function of the seed and the epoch's number.
        weight: [n] float64, 0 or more: a camera is drawn by the mean weight of its images, an identity under it
            likewise; None draws all alike.
        epoch_images: images of an epoch; 0: n.

    Source: paper section 4.1 (balanced sampling of its reference 55).
    """

    def __init__(
        self,
        label: np.ndarray,
        camera: np.ndarray,
        *,
        cameras_per_batch: int,
        identities_per_camera: int,
        images_per_identity: int,
        seed: int,
        weight: np.ndarray | None = None,
        epoch_images: int = 0,
    ) -> None:
        if len(label) != len(camera) or len(label) == 0:
            raise ValueError(f"label and camera must be equally long and not empty, got {len(label)} and {len(camera)}")
        super().__init__(len(label), cameras_per_batch * identities_per_camera * images_per_identity, epoch_images)
        self.cameras_per_batch = cameras_per_batch
        self.identities_per_camera = identities_per_camera
        self.images_per_identity = images_per_identity
        self.seed = seed
        order = np.lexsort((label, camera))
        borders = np.flatnonzero((np.diff(camera[order]) != 0) | (np.diff(label[order]) != 0)) + 1
        groups = np.split(order, borders)
        owner = np.array([camera[group[0]] for group in groups])
        self._cameras = [[groups[i] for i in np.flatnonzero(owner == key)] for key in np.unique(owner)]
        self._camera_share: np.ndarray | None = None
        self._group_shares: list[np.ndarray | None] = [None] * len(self._cameras)
        if weight is not None:
            self._camera_share = _shares([weight[np.concatenate(each)].mean() for each in self._cameras])
            self._group_shares = [_shares([weight[rows].mean() for rows in each]) for each in self._cameras]

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch.

        Args:
            number: 0 for the first epoch.

        Yields:
            [batch_size] int64 row of each image, images of one camera next to each other.
        """
        rng = np.random.default_rng([self.seed, number])
        for _ in range(len(self)):
            rows = []
            for camera in np.sort(self._draw_cameras(rng)):
                groups = self._cameras[camera]
                for index in _draw(rng, len(groups), self.identities_per_camera, self._group_shares[camera]):
                    rows.append(groups[index][_draw(rng, len(groups[index]), self.images_per_identity)])
            yield np.concatenate(rows)

    def _draw_cameras(self, rng: np.random.Generator) -> np.ndarray:
        if self._camera_share is None:
            return rng.integers(len(self._cameras), size=self.cameras_per_batch)
        return rng.choice(len(self._cameras), size=self.cameras_per_batch, p=self._camera_share)


class IdentitySampler(_Sampler):
    """Draws batches of identities x images, whatever the cameras ("PK").

    Args:
        label: [n] int64 identity of each image.
        identities: P, drawn for a batch without replacement as far as there are enough.
        images_per_identity: K, likewise.
        seed: an epoch's batches are a pure function of the seed and the epoch's number.
        weight: [n] float64, 0 or more: an identity is drawn by the mean weight of its images; None draws all alike.
        epoch_images: images of an epoch; 0: n.

    Source: Hermans et al., "In Defense of the Triplet Loss", 2017; 16 x 4 in the authors' code.
    """

    def __init__(
        self,
        label: np.ndarray,
        *,
        identities: int,
        images_per_identity: int,
        seed: int,
        weight: np.ndarray | None = None,
        epoch_images: int = 0,
    ) -> None:
        if len(label) == 0:
            raise ValueError("label must not be empty: there is nothing to draw from")
        super().__init__(len(label), identities * images_per_identity, epoch_images)
        self.identities = identities
        self.images_per_identity = images_per_identity
        self.seed = seed
        order = np.argsort(label, kind="stable")
        self._groups = np.split(order, np.flatnonzero(np.diff(label[order])) + 1)
        self._share = None if weight is None else _shares([weight[rows].mean() for rows in self._groups])

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch.

        Args:
            number: 0 for the first epoch.

        Yields:
            [batch_size] int64 row of each image, images of one identity next to each other.
        """
        rng = np.random.default_rng([self.seed, number])
        for _ in range(len(self)):
            chosen = [self._groups[index] for index in _draw(rng, len(self._groups), self.identities, self._share)]
            yield np.concatenate([rows[_draw(rng, len(rows), self.images_per_identity)] for rows in chosen])


class RandomSampler(_Sampler):
    """Draws batches of any images; without weights each image once an epoch, but for the last incomplete batch.

    Args:
        count: n, images of the data set.
        batch_size: images in one batch.
        seed: an epoch's batches are a pure function of the seed and the epoch's number.
        weight: [n] float64, 0 or more: how often an image is drawn; None draws all alike.
        epoch_images: images of an epoch; 0: n.
    """

    def __init__(
        self, count: int, *, batch_size: int, seed: int, weight: np.ndarray | None = None, epoch_images: int = 0
    ) -> None:
        if count < 1:
            raise ValueError(f"count must be at least 1, got {count}: there is nothing to draw from")
        super().__init__(count, batch_size, epoch_images)
        self.seed = seed
        self._share = None if weight is None else _shares(weight)

    def epoch(self, number: int) -> Iterator[np.ndarray]:
        """The batches of one epoch.

        Args:
            number: 0 for the first epoch.

        Yields:
            [batch_size] int64 row of each image.
        """
        rng = np.random.default_rng([self.seed, number])
        wanted = len(self) * self.batch_size
        if self._share is None:
            rows = _draw(rng, self._count, wanted)
        else:
            rows = rng.choice(self._count, size=wanted, p=self._share)
        yield from rows.reshape(len(self), self.batch_size)


def _shares(weights: np.ndarray | list[float]) -> np.ndarray:
    weights = np.asarray(weights, np.float64)
    total = weights.sum()
    # A camera whose images all weigh nothing is never drawn, so its identities' shares do not matter.
    return weights / total if total > 0 else np.full(len(weights), 1 / len(weights))


def _draw(rng: np.random.Generator, available: int, wanted: int, share: np.ndarray | None = None) -> np.ndarray:
    """Indices without replacement as far as they reach, each round anew; by their shares where there are some."""
    if share is not None:
        return rng.choice(available, size=wanted, p=share, replace=bool(wanted > np.count_nonzero(share)))
    rounds = [rng.permutation(available) for _ in range(-(-wanted // available))]
    return np.concatenate(rounds)[:wanted]
