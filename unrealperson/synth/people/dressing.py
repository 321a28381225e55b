"""One person while accessories are put on: where clothes and head are, and which bones carry what is sewn there."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from unrealperson.synth.people.accessories import GEAR
from unrealperson.synth.people.body import Body, Template
from unrealperson.synth.people.charts import tile_chart
from unrealperson.synth.people.gait import Gait, Skeleton, pose
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.scalp import Head, measure_head
from unrealperson.synth.people.sheets import SLOTS, Mesh, Sheet, normals, triangles_of
from unrealperson.synth.people.solids import Solid, band, leave

_REFERENCE_PHASE = 0.27
"""Instant at which both arms hang in the middle of their swing: what hands hold is upright then."""
_TRUNK = ("pelvis", "spine_01", "spine_02", "spine_03", "clavicle_l", "clavicle_r", "neck_01", "thigh_l", "thigh_r")


class Dressing:
    """A dressed person and the accessories put on so far, as `parts`; `slot` is what the next part belongs to.

    Args:
        template: the base mesh.
        body: the person's shape.
        outfit: what it wears.
        mesh: the dressed person.
        skeleton: the rig at rest, soles at z = 0.
        gait: habits; the activity belongs to the items.
        grips: [3, 4] rest axes and place of the two hands, "l" and "r".
    """

    def __init__(
        self,
        template: Template,
        body: Body,
        outfit: Outfit,
        mesh: Mesh,
        skeleton: Skeleton,
        gait: Gait,
        grips: dict[str, np.ndarray],
    ) -> None:
        self.template, self.body, self.outfit, self.mesh = template, body, outfit, mesh
        self.skeleton, self.gait, self.grips = skeleton, gait, grips
        self.scale = body.height_m / 1.67
        self.lift = np.array([0.0, 0.0, mesh.lift_m])
        self.at = skeleton.at()
        self.parts: list[Sheet] = []
        self.slot = 0
        self._head: Head | None = None
        self._triangles: tuple[np.ndarray, np.ndarray] | None = None

    def add(self, solid: Solid, region: str, weight: str | np.ndarray, *, cell: str = "") -> None:
        """Adds a solid.

        Args:
            solid: its surface, in metres at rest.
            region: tile of the atlas.
            weight: the bone that carries it, or [n, B] weights.
            cell: out of `accessories.GEAR`: the one colour it has.
        """
        uv = solid.uv if not cell else np.tile([0.5, (GEAR.index(cell) + 0.5) / len(GEAR)], (len(solid.place), 1))
        if isinstance(weight, str):
            dense = np.zeros((len(solid.place), len(self.template.bone_names)))
            dense[:, self.template.bone(weight)] = 1.0
        else:
            dense = weight
        triangles = triangles_of(solid.quads)
        sheet = Sheet(
            solid.place,
            solid.place,
            np.zeros((len(solid.place), 4)),
            normals(solid.place, triangles),
            dense,
            triangles,
            tile_chart(region, uv)[triangles],
            self.slot,
        )
        self.parts.append(sheet)

    @property
    def head(self) -> Head:
        """The person's head, measured once, above the shoes' soles."""
        if self._head is None:
            measured = measure_head(self.template, self.body)
            self._head = replace(measured, shift=measured.shift + self.lift)
        return self._head

    def touch(self, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays leave the clothes.

        Args:
            origin: [n, 3] metres.
            direction: [n, 3] unit vectors.

        Returns:
            Distances [n] in metres, and bone weights [n, B] there.
        """
        mesh = self.mesh
        if self._triangles is None:
            trunk = np.isin(np.array(self.skeleton.names), _TRUNK)
            # Hair is no ground for straps.
            chosen = trunk[mesh.bone_index[mesh.faces, 0]].all(1) & (mesh.slot != SLOTS.index("hair"))
            faces = mesh.faces[chosen].astype(np.int64)
            self._triangles = faces, mesh.positions[faces].astype(np.float32)
        faces, corner = self._triangles
        distance, found = leave(origin, direction, corner)
        vertex = faces[found, 0]
        weight = np.zeros((len(origin), len(self.template.bone_names)))
        np.put_along_axis(weight, mesh.bone_index[vertex].astype(np.int64), mesh.bone_weight[vertex], 1)
        known = np.isfinite(distance)
        if not known.all():
            order = np.arange(len(distance))
            nearest = np.abs(order[:, None] - order[known][None]).argmin(1)
            distance, weight = distance[known][nearest], weight[known][nearest]
        return distance, weight

    def strap(
        self,
        origin: np.ndarray,
        direction: np.ndarray,
        wide_m: np.ndarray | float,
        *,
        ends: tuple[np.ndarray, np.ndarray],
        bones: tuple[str, str],
        region: str,
        thick_m: float = 0.006,
    ) -> None:
        """Adds a strap that lies on the clothes and is sewn to a thing at both ends.

        Args:
            origin: [n, 3] metres: places inside the body along the strap.
            direction: [n, 3] from there to the clothes.
            wide_m: its width, one or [n + 2].
            ends: [3] metres: where it is sewn.
            bones: what carries its ends.
            region: tile of the atlas.
            thick_m: its thickness.
        """
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        distance, weight = self.touch(origin, direction)
        for _ in range(2):
            padded = np.concatenate([distance[:1], distance, distance[-1:]])
            distance = np.maximum(distance, 0.5 * (padded[:-2] + padded[2:]))
        path = origin + (distance + 0.004)[:, None] * direction
        end = np.zeros((2, weight.shape[1]))
        end[0, self.template.bone(bones[0])], end[1, self.template.bone(bones[1])] = 1, 1
        path = np.concatenate([ends[0][None], path, ends[1][None]])
        out = np.concatenate([direction[:1], direction, direction[-1:]])
        for _ in range(2):
            path[1:-1] = 0.5 * path[1:-1] + 0.25 * (path[:-2] + path[2:])
        # What smoothing pulled below the clothes comes out again.
        sunk = (path[1:-1] - origin - (distance + 0.005)[:, None] * direction) * direction
        path[1:-1] -= np.minimum(sunk.sum(1, keepdims=True), 0) * direction
        weight = np.concatenate([end[:1], weight, end[1:]])
        weight[1:-1] = 0.5 * weight[1:-1] + 0.25 * (weight[:-2] + weight[2:])
        solid = band(path, out, np.broadcast_to(wide_m, len(path)), thick_m)
        solid = replace(solid, uv=np.stack([0.02 + 0.03 * solid.uv[:, 0], solid.uv[:, 1]], 1))
        self.add(solid, region, np.repeat(weight, 4, 0))

    def joint(self, *names: str) -> float:
        """Mean height of joints in metres.

        Args:
            names: of bones.
        """
        return float(np.mean([self.at[name][2] for name in names]))

    def hand(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """Where a hand is in the middle of a walk.

        Args:
            side: "l" or "r".

        Returns:
            [3, 4] matrix of the hand's bone, and [3, 4] axes and place of its grip.
        """
        bones = pose(self.skeleton, self.gait, _REFERENCE_PHASE, 1.0)
        carried = bones[self.template.bone(f"hand_{side}")].astype(np.float64)
        grip = carried[:, :3] @ self.grips[side]
        grip[:, 3] += carried[:, 3]
        return carried, grip

    def give(self, solid: Solid, side: str, carried: np.ndarray, region: str, *, cell: str = "") -> None:
        """Adds a solid that a hand holds.

        Args:
            solid: its surface, in metres in the middle of a walk.
            side: "l" or "r".
            carried: [3, 4] matrix of the hand's bone then.
            region: tile of the atlas.
            cell: as for `add`.
        """
        rest = (solid.place - carried[:, 3]) @ carried[:, :3]
        self.add(replace(solid, place=rest), region, f"hand_{side}", cell=cell)
