"""Faces that become the mesh of one object of a scene."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.faces import Faces
from unrealperson.synth.scenes.scene import Glow, Mesh


class Solid(Faces):
    """Gathers the faces of one object of a scene."""

    def mesh(self, name: str, texture: np.ndarray, gloss: float = 0.0, glow: Glow = 0.0) -> Mesh:
        """The object, finished; arguments as in `Mesh`."""
        return Mesh(name, *self.arrays(), texture, gloss, glow)
