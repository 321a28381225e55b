"""A grey cube of one metre, as UnrealCV's `vset /objects/spawn_cube` makes it."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.people.detail import Level


class Cube:
    """What a world shows of a person, for a cube: one bone, no gait, its middle at the origin.

    Attributes:
        positions: [24, 3] float32 metres.
        normals: [24, 3] float32.
        uv: [24, 2] float32.
        levels: its one level of detail.
        bone_index: [24, 4] uint8.
        bone_weight: [24, 4] float32.
        texture: [8, 8, 3] uint8.
        height_m: of its edges.
    """

    height_m = 1.0

    def __init__(self) -> None:
        square = ((-1.0, -1.0), (1.0, -1.0), (1.0, 1.0), (-1.0, 1.0))
        axes = np.eye(3)
        corners: list[np.ndarray] = []
        normals: list[np.ndarray] = []
        faces: list[tuple[int, int, int]] = []
        for axis in range(3):
            for normal in (-axes[axis], axes[axis]):
                right = axes[(axis + 1) % 3]
                up = np.cross(normal, right)
                first = len(corners)
                corners += [0.5 * (normal + a * right + b * up) for a, b in square]
                normals += [normal] * 4
                faces += [(first, first + 1, first + 2), (first, first + 2, first + 3)]
        self.positions = np.array(corners, np.float32)
        self.normals = np.array(normals, np.float32)
        self.uv = np.tile(np.array(square, np.float32) * 0.5 + 0.5, (6, 1))
        self.levels = (Level(24, np.array(faces, np.uint32), np.zeros(12, np.uint8)),)
        self.bone_index = np.zeros((24, 4), np.uint8)
        self.bone_weight = np.tile(np.array([1, 0, 0, 0], np.float32), (24, 1))
        self.texture = np.full((8, 8, 3), 170, np.uint8)

    def bones(self, phase: float, *, moving: float = 1.0, look_deg: float = 0.0) -> np.ndarray:
        """The rest pose, whatever is asked.

        Args:
            phase: not used.
            moving: not used.
            look_deg: not used.

        Returns:
            [1, 3, 4] float32.
        """
        return np.eye(4, dtype=np.float32)[None, :3]
