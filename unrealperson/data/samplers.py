"""Which images make a training batch."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np


class CameraBalancedSampler:
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
    ) -> None:
        if len(label) != len(camera) or len(label) == 0:
            raise ValueError(f"label and camera must be equally long and not empty, got {len(label)} and {len(camera)}")
        self.cameras_per_batch = cameras_per_batch
        self.identities_per_camera = identities_per_camera
        self.images_per_identity = images_per_identity
        self.seed = seed
        self._count = len(label)
        order = np.lexsort((label, camera))
        borders = np.flatnonzero((np.diff(camera[order]) != 0) | (np.diff(label[order]) != 0)) + 1
        groups = np.split(order, borders)
        owner = np.array([camera[group[0]] for group in groups])
        self._cameras = [[groups[i] for i in np.flatnonzero(owner == key)] for key in np.unique(owner)]

    @property
    def batch_size(self) -> int:
        """Images in one batch."""
        return self.cameras_per_batch * self.identities_per_camera * self.images_per_identity

    def __len__(self) -> int:
        """Batches in one epoch: as many images as the data set holds, to the nearest batch."""
        return max(1, round(self._count / self.batch_size))

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
            for camera in np.sort(rng.integers(len(self._cameras), size=self.cameras_per_batch)):
                groups = self._cameras[camera]
                for index in _draw(rng, len(groups), self.identities_per_camera):
                    rows.append(groups[index][_draw(rng, len(groups[index]), self.images_per_identity)])
            yield np.concatenate(rows)


def _draw(rng: np.random.Generator, available: int, wanted: int) -> np.ndarray:
    """Indices without replacement as far as they reach, each round anew."""
    rounds = [rng.permutation(available) for _ in range(-(-wanted // available))]
    return np.concatenate(rounds)[:wanted]
