"""A cheap person, so that tests of the world need no body model."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np

from unrealperson.synth.people.detail import Level


@dataclass(frozen=True)
class StandIn:
    """An upright box on two bones; the second bone lifts its upper half by up to 10 cm with the phase."""

    seed: int
    version: int
    number: int
    size_m: tuple[float, float, float] = (0.3, 0.5, 1.7)
    speed_mps: float = 1.2
    stride_m: float = 1.4
    attributes: dict[str, str | float] = field(default_factory=dict)
    ride: None = None

    @property
    def height_m(self) -> float:
        return self.size_m[2]

    def __post_init__(self) -> None:
        corners, normals, uv, faces = [], [], [], []
        for axis in range(3):
            for sign in (-1.0, 1.0):
                normal = np.eye(3)[axis] * sign
                right = np.eye(3)[(axis + 1) % 3]
                up = np.cross(normal, right)
                start = len(corners)
                for a, b in ((-1, -1), (1, -1), (1, 1), (-1, 1)):
                    corners.append((normal + a * right + b * up) * 0.5)
                    normals.append(normal)
                    uv.append((0.5 + 0.5 * a, 0.5 + 0.5 * b))
                faces += [(start, start + 1, start + 2), (start, start + 2, start + 3)]
        positions = (np.array(corners) + np.array([0, 0, 0.5])) * self.size_m
        weight = np.zeros((24, 4), np.float32)
        weight[:, 0] = 1
        index = np.zeros((24, 4), np.uint8)
        index[:, 0] = positions[:, 2] > 0.5
        color = np.random.default_rng(self.number).integers(40, 200, 3)
        for name, value in (
            ("positions", positions.astype(np.float32)),
            ("normals", np.array(normals, np.float32)),
            ("uv", np.array(uv, np.float32)),
            ("faces", np.array(faces, np.uint32)),
            ("bone_index", index),
            ("bone_weight", weight),
            ("levels", (Level(24, np.array(faces, np.uint32), np.zeros(12, np.uint8)),)),
            ("texture", np.tile(color.astype(np.uint8), (8, 8, 1))),
        ):
            object.__setattr__(self, name, value)

    def bones(self, phase: float, *, moving: float = 1.0, look_deg: float = 0.0) -> np.ndarray:
        bones = np.tile(np.eye(4, dtype=np.float32)[:3], (2, 1, 1))
        bones[1, 2, 3] = 0.1 * moving * (1 - np.cos(2 * np.pi * phase)) / 2
        return bones

    def keypoints(self, bones: np.ndarray) -> np.ndarray:
        points = np.zeros((17, 3), np.float32)
        points[:, 2] = np.linspace(self.height_m, 0, 17)
        return points


def make_stand_in(seed: int, version: int, number: int) -> StandIn:
    return StandIn(seed, version, number, speed_mps=0.9 + 0.05 * (number % 10))
