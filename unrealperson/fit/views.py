"""From how steep crops are seen and how much of people is hidden: told from features, learnt on crops with truth."""

from __future__ import annotations

import json
from collections.abc import Sequence

import numpy as np

from unrealperson.data.manifest import Manifest
from unrealperson.fit.looks import Looks

TOLD = {"view": "camera elevation, degrees", "crowding": "share of the person that is hidden"}
"""What is told of each crop."""
_RIDGE = 30.0
_FOLDS = 4
_MIDDLE_M = 0.9


def truth_of(manifest: Manifest) -> np.ndarray:
    """Elevation of the camera above the person's middle, in degrees, and the hidden share, [n, 2] float64.

    Args:
        manifest: rows of the embedded simulator.
    """
    positions, poses = manifest.column("position_m"), manifest.column("camera_pose")
    told = []
    for position, pose, visible in zip(positions, poses, manifest.column("visibility"), strict=True):
        x, y, z = json.loads(pose)["location_m"]
        away_m = np.hypot(x - position[0], y - position[1])
        told.append((np.degrees(np.arctan2(z - _MIDDLE_M, away_m)), 1.0 - visible))
    return np.array(told)


class Judge:
    """Ridge regression from features to what only the simulator knows.

    Estimates of a real crop carry the distance between rendered and real features; they serve to compare sets.

    Args:
        sets: looks of rendered crops, and their truth [n, 2].
    """

    def __init__(self, sets: Sequence[tuple[Looks, np.ndarray]]) -> None:
        self._features = np.concatenate([looks.features for looks, _ in sets])
        self._truth = np.nan_to_num(np.concatenate([truth for _, truth in sets]))
        self._members = np.concatenate([np.full(len(looks), number) for number, (looks, _) in enumerate(sets)])
        self._looks = [looks for looks, _ in sets]
        self._whole = _solve(self._features, self._truth)

    def tell(self, looks: Looks) -> np.ndarray:
        """Estimates of each crop, [n, 2]; crops that were learnt from are told by what the others teach.

        Args:
            looks: measured crops.
        """
        own = [number for number, each in enumerate(self._looks) if each is looks]
        if not own or len(self._features) < 2 * _FOLDS:
            return _told(looks.features, self._whole)
        rows = np.flatnonzero(self._members == own[0])
        found = np.empty((len(rows), self._truth.shape[1]))
        for fold in range(_FOLDS):
            part = rows[fold::_FOLDS]
            others = np.setdiff1d(np.arange(len(self._features)), part)
            found[fold::_FOLDS] = _told(self._features[part], _solve(self._features[others], self._truth[others]))
        return found

    def distances(self, ours: Looks, target: Looks) -> dict[str, float]:
        """Wasserstein distances of the estimates, in standard deviations of the target's.

        Args:
            ours: one set.
            target: the other.
        """
        places = (np.arange(100) + 0.5) / 100
        a, b = self.tell(ours), self.tell(target)
        return {
            name: float(
                np.abs(np.quantile(a[:, column], places) - np.quantile(b[:, column], places)).mean()
                / max(b[:, column].std(), 0.02)
            )
            for column, name in enumerate(TOLD)
        }

    def estimates(self, looks: Looks) -> dict[str, float]:
        """Medians of the estimates.

        Args:
            looks: measured crops.
        """
        return {name: round(float(value), 3) for name, value in zip(TOLD, np.median(self.tell(looks), 0), strict=True)}


def _solve(features: np.ndarray, truth: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Means, scale and weights of the regression, by the smaller of the two systems of equations."""
    x_mean, scale, y_mean = features.mean(0), features.std(0) + 1e-3, truth.mean(0)
    x = ((features - x_mean) / scale).astype(np.float64) / np.sqrt(features.shape[1])
    dual = np.linalg.solve(x @ x.T + _RIDGE / features.shape[1] * len(x) * np.eye(len(x)), truth - y_mean)
    return x_mean, scale, x.T @ dual, y_mean


def _told(features: np.ndarray, solved: tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]) -> np.ndarray:
    x_mean, scale, weight, y_mean = solved
    return (features - x_mean) / scale / np.sqrt(features.shape[1]) @ weight + y_mean
