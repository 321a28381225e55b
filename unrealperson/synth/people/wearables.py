"""Meshes of accessories, fitted to one dressed person and skinned to the bones that carry them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np

from unrealperson.synth.people.accessories import GEAR, Item
from unrealperson.synth.people.body import Body, Template
from unrealperson.synth.people.charts import tile_chart
from unrealperson.synth.people.gait import Gait, Skeleton, pose
from unrealperson.synth.people.hair import MIDDLE, Head, measure_head
from unrealperson.synth.people.haircuts import HAIRCUTS
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.sheets import (
    SLOTS,
    Mesh,
    Sheet,
    normals,
    ramp,
    triangles_of,
    weld,
)
from unrealperson.synth.people.solids import Solid, band, leave, loft, pillow, shell_of, tube

_REFERENCE_PHASE = 0.27
"""Instant at which both arms hang in the middle of their swing: what hands hold is upright then."""
_TRUNK = ("pelvis", "spine_01", "spine_02", "spine_03", "clavicle_l", "clavicle_r", "neck_01", "thigh_l", "thigh_r")


def wear(
    items: tuple[Item, ...],
    template: Template,
    body: Body,
    outfit: Outfit,
    mesh: Mesh,
    skeleton: Skeleton,
    gait: Gait,
    grips: dict[str, np.ndarray],
) -> Mesh:
    """Adds accessories to a dressed person.

    Args:
        items: what is worn and held.
        template: the base mesh.
        body: the person's shape.
        outfit: what it wears.
        mesh: the dressed person.
        skeleton: the rig at rest, soles at z = 0.
        gait: habits; the activity belongs to the items.
        grips: [3, 4] rest axes and place of the two hands, "l" and "r".

    Returns:
        One mesh of the person with everything.
    """
    if not items:
        return mesh
    dressing = _Dressing(template, body, outfit, mesh, skeleton, gait, grips)
    for item in items:
        dressing.put_on(item)
    more = weld(dressing.parts)
    more.positions[:, 2] -= np.float32(more.lift_m)
    joined = {
        name: np.concatenate([getattr(mesh, name), getattr(more, name)])
        for name in ("positions", "normals", "uv", "bone_index", "bone_weight", "slot")
    }
    faces = np.concatenate([mesh.faces, more.faces + np.uint32(len(mesh.positions))])
    return Mesh(faces=faces, lift_m=mesh.lift_m, **joined)


class _Dressing:
    """One person while accessories are put on."""

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

    def put_on(self, item: Item) -> None:
        """Builds one accessory."""
        build: dict[str, Callable[[Item], None]] = {
            "backpack": self._backpack, "shoulder bag": self._shoulder_bag, "crossbody": self._crossbody,
            "cap": self._hat, "beanie": self._hat, "brimmed hat": self._hat, "hood": self._hood,
            "headphones": self._headphones, "earphones": self._earphones, "glasses": self._glasses,
            "sunglasses": self._glasses, "mask": self._mask, "scarf": self._scarf, "handbag": self._handbag,
            "tote": self._handbag, "suitcase": self._suitcase, "umbrella": self._umbrella,
            "closed umbrella": self._umbrella, "phone": self._phone,
        }  # fmt: skip
        self.slot = SLOTS.index(item.slot)
        build[item.kind](item)

    # Bones and surfaces.

    def _add(self, solid: Solid, region: str, weight: str | np.ndarray, *, cell: str = "") -> None:
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

    def _touch(self, origin: np.ndarray, direction: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Where rays leave the clothes: distances [n], and bone weights [n, B] there."""
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

    def _strap(
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
        """A strap that lies on the clothes and is sewn to a thing at both ends."""
        direction = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        distance, weight = self._touch(origin, direction)
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
        weight = np.concatenate([end[:1], weight, end[1:]])
        weight[1:-1] = 0.5 * weight[1:-1] + 0.25 * (weight[:-2] + weight[2:])
        solid = band(path, out, np.broadcast_to(wide_m, len(path)), thick_m)
        solid = replace(solid, uv=np.stack([0.02 + 0.03 * solid.uv[:, 0], solid.uv[:, 1]], 1))
        self._add(solid, region, np.repeat(weight, 4, 0))

    def _joint(self, *names: str) -> float:
        return float(np.mean([self.at[name][2] for name in names]))

    # Bags.

    def _backpack(self, item: Item) -> None:
        rng, s = np.random.default_rng(item.seed), self.scale
        wide, high, deep = rng.uniform(0.27, 0.33), rng.uniform(0.38, 0.48), rng.uniform(0.12, 0.19)
        top = self._joint("clavicle_l") + rng.uniform(0.0, 0.03) * s
        middle_z = top - 0.5 * high
        y = np.repeat([-0.09, 0.0, 0.09], 5) * s
        z = np.tile(np.linspace(top - 0.04, top - high + 0.08, 5), 3)
        origin = np.stack([np.full(15, self.at["spine_02"][0]), y, z], 1)
        reach, _ = self._touch(origin, np.tile([-1.0, 0.0, 0.0], (15, 1)))
        back = origin[0, 0] - float(np.sort(reach)[-3:].mean()) + 0.008
        centre = np.array([back - 0.5 * deep, 0.0, middle_z])
        self._add(pillow(centre, (wide, high, deep), "x"), "back bag", "spine_03")
        pocket = np.array([back - deep - 0.012, 0.0, middle_z - 0.2 * high])
        self._add(pillow(pocket, (0.78 * wide, 0.42 * high, 0.06), "x"), "back bag", "spine_03")
        centre_z = top - 0.09 * s
        for sign in (1.0, -1.0):
            turn = np.radians([140, 118, 100, 85, 70, 52, 34, 16, 0, -18])
            y = sign * np.linspace(0.07, 0.112, len(turn)) * s
            over = np.stack([np.full(len(turn), 0.012), y, np.full(len(turn), centre_z)], 1)
            towards = np.stack([np.cos(turn), 0 * turn, np.sin(turn)], 1)
            around = np.radians([48, 66, 86, 106, 126])
            low = np.linspace(centre_z - 0.11 * s, top - high + 0.1, 5)
            side = np.stack([np.full(5, 0.012), np.zeros(5), low], 1)
            towards2 = np.stack([np.cos(around), sign * np.sin(around), 0 * around], 1)
            width = np.interp(np.arange(17), [0, 9, 12, 16], [0.05, 0.055, 0.03, 0.025])
            self._strap(
                np.concatenate([over, side]),
                np.concatenate([towards, towards2]),
                width,
                ends=(
                    np.array([back - 0.03, sign * 0.06 * s, top - 0.015]),
                    np.array([back - 0.03, sign * 0.4 * wide, top - high + 0.06]),
                ),
                bones=("spine_03", "spine_03"),
                region="back bag",
            )

    def _crossbody(self, item: Item) -> None:
        rng, s = np.random.default_rng(item.seed), self.scale
        hip = item.side
        bag_z = self._joint("pelvis") + 0.03 * s
        size = (rng.uniform(0.2, 0.28), rng.uniform(0.15, 0.22), rng.uniform(0.05, 0.08))
        self._slung(hip, -hip, bag_z, size, "pelvis", np.radians(rng.uniform(50, 66)))

    def _shoulder_bag(self, item: Item) -> None:
        rng, s = np.random.default_rng(item.seed), self.scale
        bag_z = self._joint("spine_02") - rng.uniform(0.0, 0.06) * s
        size = (rng.uniform(0.28, 0.36), rng.uniform(0.22, 0.3), rng.uniform(0.08, 0.11))
        self._slung(item.side, item.side, bag_z, size, "spine_01", np.radians(98))

    def _slung(
        self, hip: float, shoulder: float, bag_z: float, size: tuple[float, float, float], bone: str, turn: float
    ) -> None:
        """A bag at one hip, its strap over the shoulder of the same or the other side."""
        s = self.scale
        towards = np.array([[np.cos(turn), hip * np.sin(turn), 0.0]])
        axis = np.array([[0.012, 0.0, bag_z], [0.012, 0.0, bag_z + 0.4 * size[1]], [0.012, 0.0, bag_z - 0.4 * size[1]]])
        reach, _ = self._touch(axis, np.repeat(towards, 3, 0))
        centre = axis[0] + (reach.max() + 0.5 * size[2] - 0.004) * towards[0]
        self._add(pillow(centre, size, "y", turn=hip * (turn - np.pi / 2)), "back bag", bone)
        top_z = self._joint("clavicle_l")
        along = np.array([-np.sin(turn), hip * np.cos(turn), 0.0])
        corner = [centre + sign * 0.42 * size[0] * along + [0, 0, 0.44 * size[1]] for sign in (-1.0, 1.0)]
        level = np.linspace(0, 1, 8)
        z = (bag_z + 0.5 * size[1] + 0.02) * (1 - level) + (top_z - 0.03 * s) * level
        start_y = hip * (0.12 if hip != shoulder else 0.15) * s
        y = start_y * (1 - level) + shoulder * (0.075 if hip != shoulder else 0.125) * s * level
        x = np.sqrt(np.clip(1 - (y / (0.175 * s)) ** 2, 0.12, 1)) * 0.12
        turns = np.radians([35, 62, 90, 118, 145])
        over = np.stack([np.cos(turns), np.full(5, shoulder * 0.12), np.sin(turns)], 1)
        middle = np.tile([0.012, shoulder * (0.075 if hip != shoulder else 0.115) * s, top_z - 0.07 * s], (5, 1))
        axis = np.stack([np.full(8, 0.012), np.zeros(8), z], 1)
        front, back = np.stack([x, y, 0 * x], 1), np.stack([-x, y, 0 * x], 1)
        self._strap(
            np.concatenate([axis, middle, axis[::-1]]),
            np.concatenate([front, over, back[::-1]]),
            0.03,
            ends=(corner[0], corner[1]),
            bones=(bone, bone),
            region="back bag",
            thick_m=0.004,
        )

    # What hands hold: built where the hand is in the middle of a walk.

    def _hand(self, side: str) -> tuple[np.ndarray, np.ndarray]:
        """[3, 4] matrix of the hand's bone and [3, 4] axes and place of the grip in the reference pose."""
        bones = pose(self.skeleton, self.gait, _REFERENCE_PHASE, 1.0)
        carried = bones[self.template.bone(f"hand_{side}")].astype(np.float64)
        grip = carried[:, :3] @ self.grips[side]
        grip[:, 3] += carried[:, 3]
        return carried, grip

    def _give(self, solid: Solid, side: str, carried: np.ndarray, region: str, *, cell: str = "") -> None:
        rest = (solid.place - carried[:, 3]) @ carried[:, :3]
        self._add(replace(solid, place=rest), region, f"hand_{side}", cell=cell)

    def _handbag(self, item: Item) -> None:
        rng, side = np.random.default_rng(item.seed), item.hand
        carried, grip = self._hand(side)
        place, sign = grip[:, 3], 1.0 if side == "l" else -1.0
        if item.kind == "tote":
            size, drop = (rng.uniform(0.32, 0.38), rng.uniform(0.32, 0.38), 0.07), 0.2
        else:
            size, drop = (rng.uniform(0.26, 0.34), rng.uniform(0.18, 0.25), rng.uniform(0.1, 0.13)), 0.1
        drop = min(drop, max(place[2] - size[1] - 0.12, 0.05))
        centre = place + np.array([0.0, sign * 0.015, -drop - 0.5 * size[1]])
        self._give(pillow(centre, size, "y"), side, carried, "hand bag")
        turn = np.linspace(0, np.pi, 9)
        for away in (-0.018, 0.018):
            path = np.stack(
                [
                    0.28 * size[0] * np.cos(turn),
                    away * (1 - 0.8 * np.sin(turn)),
                    -drop - 0.03 + (drop + 0.03) * np.sin(turn) ** 0.6,
                ],
                1,
            )
            solid = tube(place + path + np.array([0, sign * 0.015, 0]) * (1 - np.sin(turn))[:, None], 0.007)
            self._give(replace(solid, uv=solid.uv * [0.05, 1.0]), side, carried, "hand bag")

    def _suitcase(self, item: Item) -> None:
        rng, side = np.random.default_rng(item.seed), item.hand
        carried, grip = self._hand(side)
        place, sign = grip[:, 3], 1.0 if side == "l" else -1.0
        wide, high, deep = rng.uniform(0.3, 0.36), rng.uniform(0.46, 0.58), rng.uniform(0.2, 0.24)
        wheels = np.array([place[0] - 0.55 * place[2], place[1] + 0.09 * sign, 0.035])
        up = place + np.array([0.0, 0.09 * sign, 0.0]) - wheels
        length = float(np.linalg.norm(up))
        up /= length
        out = np.array([-up[2], 0.0, up[0]])
        high = min(high, length - 0.12)
        axes = np.stack([np.array([0.0, 1.0, 0.0]), up, out], 1)
        box = pillow(np.zeros(3), (wide, high, deep), "local", power=7.0)
        centre = wheels + (0.5 * high - 0.01) * up + 0.5 * deep * out
        self._add(replace(box, place=box.place @ axes.T + centre), "hand bag", "Root")
        for offset in (-0.4, 0.4):
            wheel = wheels + np.array([0.0, offset * wide, 0.0]) + 0.04 * out
            wheel[2] = 0.034
            path = wheel + np.array([[0.0, -0.015, 0.0], [0.0, 0.015, 0.0]])
            self._add(tube(path, 0.033, sides=10), "gear", "Root", cell="black")
        rest = (place - carried[:, 3]) @ carried[:, :3]
        for offset in (-0.05, 0.05):
            foot = wheels + high * up + [0, offset, 0] + 0.3 * deep * out
            solid = tube(np.stack([foot, place + np.array([0, 0.4 * offset, 0])]), 0.008)
            held = len(solid.place) // 2
            dense = np.zeros((len(solid.place), len(self.template.bone_names)))
            dense[:held, self.template.bone("Root")] = 1
            dense[held:, self.template.bone(f"hand_{side}")] = 1
            moved = solid.place.copy()
            moved[held:] = (solid.place[held:] - carried[:, 3]) @ carried[:, :3]
            self._add(replace(solid, place=moved), "gear", dense, cell="metal")
        bar = carried[:, :3].T @ np.array([0.0, 1.0, 0.0])
        self._add(tube(rest + np.array([[-0.06], [0.06]]) * bar, 0.012), "gear", f"hand_{side}", cell="black")

    def _umbrella(self, item: Item) -> None:
        side = item.hand
        carried, grip = self._hand(side)
        place = grip[:, 3]
        if item.kind == "closed umbrella":
            z = np.array([0.05, 0.0, -0.06, -0.1, -0.3, -0.55, -0.62])
            z = z * min(1.0, (place[2] - 0.05) / 0.62)
            radius = np.array([0.011, 0.011, 0.011, 0.025, 0.03, 0.022, 0.006])
            self._give(tube(place + z[:, None] * [0.12, 0, 1], radius, sides=8), side, carried, "hand bag")
            return
        top = max(self.head.to_body(np.array([0.06, 0.0, 0.87]))[2] + 0.13, place[2] + 0.5) - place[2]
        centre = place * [1, 0.35, 1]
        tip = np.array([centre[0] - 0.03, centre[1], place[2] + top])
        shaft = place + np.array([-0.1, -0.05, 0.0, 0.1, 0.3, 1.0])[:, None] * (tip - place)
        self._give(tube(shaft, 0.008), side, carried, "gear", cell="metal")
        turn = np.linspace(0, 2 * np.pi, 33)[:-1]
        panel = np.abs((turn / (2 * np.pi) * 8) % 1 - 0.5) * 2
        reach = np.array([0.0, 0.2, 0.38, 0.5, 0.5, 0.37, 0.0])[:, None]
        down = np.array([0.0, 0.03, 0.1, 0.2, 0.205, 0.11, 0.012])[:, None] - 0.03 * (1 - panel) * (reach > 0.4)
        reach = reach * (0.93 + 0.07 * panel)
        canopy = np.stack([reach * np.cos(turn), reach * np.sin(turn), -down], -1)
        self._give(loft(tip + canopy), side, carried, "hand bag")

    def _phone(self, item: Item) -> None:
        carried, grip = self._hand("r")
        axes = grip[:, :3]
        box = pillow(np.zeros(3), (0.073, 0.15, 0.01), "local", power=9.0)
        # The screen looks at the face; the fingers lie behind it.
        screen = self.at["head"] + [0.1, 0, 0.05] - grip[:, 3]
        out = screen / np.linalg.norm(screen)
        up = np.array([0, 0, 1.0]) - out[2] * out
        up /= np.linalg.norm(up)
        turned = np.stack([np.cross(up, out), up, out], 1)
        place = box.place @ turned.T + grip[:, 3] + 0.03 * axes[:, 0] + 0.015 * out
        self._give(replace(box, place=place), "r", carried, "gear", cell="black")

    # Head and neck.

    def _shell(self, edge_z: np.ndarray, gap: np.ndarray, rows: int) -> np.ndarray:
        """[rows, K, 3] places on the neutral head from the crown down to an edge."""
        turn = np.linspace(0, 2 * np.pi, len(edge_z) + 1)[:-1]
        low = np.arctan2(edge_z - MIDDLE[2], 0.092)
        share = np.linspace(0, 1, rows)[:, None]
        rise = np.pi / 2 + (low - np.pi / 2) * share
        towards = np.stack([np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise) + 0 * turn], -1)
        return MIDDLE + (self.head.skin(towards) + gap[:, None])[..., None] * towards

    def _hat(self, item: Item) -> None:
        rng = np.random.default_rng(item.seed)
        turn = np.linspace(0, 2 * np.pi, 29)[:-1]
        front = (0.5 + 0.5 * np.cos(turn)) ** 1.0
        share = np.linspace(0, 1, 8)
        if item.kind == "beanie":
            tall = rng.uniform(0.016, 0.035)
            edge = 0.715 + 0.075 * front
            gap = np.append(0.011 + tall * (1 - share) ** 1.5 + 0.006 * np.sin(np.pi * share), [0.019, 0.019, 0.011])
            shell = self._shell(edge, gap[:8], 8)
            cuff = self._shell(edge + 0.045, np.array([0.019, 0.019]), 2)[1]
            low = self._shell(edge, np.array([0.019, 0.019]), 2)[1]
            inner = self._shell(edge, np.array([0.0, 0.004]), 2)[1]
            shell = np.concatenate([shell[:-1], cuff[None], low[None], inner[None]])
            # The cuff stands over the crown's last rows.
            shell[-4] = self._shell(edge + 0.046, np.array([0.013, 0.013]), 2)[1]
            self._add(loft(self.head.to_body(shell)), "hat", "head")
            return
        edge = 0.757 + 0.042 * front
        crown = 0.014 + (0.022 if item.kind == "cap" else 0.045) * np.sin(
            np.pi * np.clip(0.35 + 0.62 * share, 0, 1)
        ) * (1 - share)
        shell = self._shell(edge, crown, 8)
        inner = self._shell(edge, np.array([0.0, 0.004]), 2)[1:]
        if item.kind == "cap":
            self._add(loft(self.head.to_body(np.concatenate([shell, inner]))), "hat", "head")
            across = np.linspace(-1.0, 1.0, 13)
            rows: list[np.ndarray] = []
            for out in (-0.01, 0.03, 0.068, 0.07, 0.03, -0.01):
                under = -0.004 if len(rows) > 2 else 0.0
                bend = np.cos(across * 1.15)
                base = MIDDLE + np.array([0.03, 0, 0.045])
                reach = 0.082 + out * np.cos(across) ** 0.7
                rows.append(
                    np.stack(
                        [
                            base[0] + reach * np.cos(across) * 0.95,
                            reach * 0.98 * np.sin(across),
                            base[2] - 0.006 - 0.25 * max(out, 0) + 0.012 * (bend - 1) + under,
                        ],
                        1,
                    )
                )
            self._add(shell_of(self.head.to_body(np.stack(rows)), 0.4), "hat", "head")
            return
        brim = rng.uniform(0.05, 0.08)
        rows = []
        for out, down in ((0.0, 0.0), (0.5, 0.006), (1.0, 0.012), (1.0, 0.015), (0.5, 0.01), (-0.1, 0.004)):
            row = shell[-1].copy()
            flat = row - MIDDLE
            flat[:, 2] = 0
            flat /= np.linalg.norm(flat, axis=1, keepdims=True)
            rows.append(
                row + brim * out * flat - [0, 0, down] + [[0, 0, 1]] * (0.012 * out * np.sin(turn) ** 2)[:, None]
            )
        self._add(loft(self.head.to_body(np.concatenate([shell, np.stack(rows)]))), "hat", "head")

    def _hood(self, item: Item) -> None:
        turn = np.radians(np.linspace(50, 310, 27))
        rise = np.radians([82, 64, 48, 32, 16, 0, -16, -32, -46])
        back = (0.5 - 0.5 * np.cos(turn)) ** 1.5
        towards = np.stack(
            np.broadcast_arrays(
                np.cos(rise)[:, None] * np.cos(turn), np.cos(rise)[:, None] * np.sin(turn), np.sin(rise)[:, None]
            ),
            -1,
        )
        reach = self.head.skin(towards) + 0.026 + 0.006 * back
        upper = MIDDLE + np.maximum(reach, 0.1)[..., None] * towards
        # Below the jaw it falls to the shoulders, and its edge lies inside the collar.
        fall = np.linspace(0, 1, 6)[1:, None]
        low = upper[-1].copy()
        end = np.stack([0.012 + 0.07 * np.cos(turn), 0.078 * np.sin(turn), 0.572 - 0.03 * (1 - back)], 1)
        lower = low + (end - low) * fall[..., None]
        lower += (0.02 * np.sin(np.pi * fall) * back)[..., None] * np.array([-1.0, 0, 0])
        outer = self.head.to_body(np.concatenate([upper, lower]))
        middle = self.head.to_body(np.array([0.04, 0.0, 0.7]))
        away = outer - middle
        inner = outer - 0.01 * away / np.linalg.norm(away, axis=2, keepdims=True)
        solid = shell_of(np.concatenate([outer, inner[::-1]]), 1.0)
        weight = np.zeros((len(solid.place), len(self.template.bone_names)))
        height = self.head.from_body(solid.place)[:, 2]
        weight[:, self.template.bone("head")] = ramp(height, 0.56, 0.66)
        weight[:, self.template.bone("spine_03")] = 1 - ramp(height, 0.56, 0.66)
        self._add(solid, "hat", weight)

    def _ear(self, sign: float) -> np.ndarray:
        towards = np.array([-0.02, sign * 0.085, -0.04])
        towards /= np.linalg.norm(towards)
        return MIDDLE + (float(self.head.skin(towards)) + 0.012) * towards

    def _headphones(self, item: Item) -> None:
        turn = np.radians(np.linspace(-2, 182, 15))
        style = HAIRCUTS[self.outfit.hair]
        lift = 0.016 if not style.flow and not style.gather else 0.022
        towards = np.stack([-0.1 * np.sin(turn) * 0, np.cos(turn), np.sin(turn)], 1)
        place = MIDDLE + (self.head.skin(towards) + lift)[:, None] * towards + [-0.012, 0, 0]
        place = self.head.to_body(place)
        solid = band(place, towards, np.full(15, 0.028), 0.008)
        self._add(solid, "gear", "head", cell="frame")
        for sign in (1.0, -1.0):
            covered = style.flow in ("down", "crown") and not style.gather
            over = (self.outfit.hair_volume + 0.012) * covered
            ear = self.head.to_body(self._ear(sign) + np.array([0.0, sign * over, 0.0]))
            cup = tube(
                ear + np.array([[0, -0.012 * sign, 0], [0, 0.002 * sign, 0], [0, 0.022 * sign, 0]]), 0.037, sides=12
            )
            self._add(cup, "gear", "head", cell="frame")
            arm = np.stack([ear + np.array([0, 0.01 * sign, 0.03]), place[0 if sign > 0 else -1] + [0, 0, 0.05]])
            self._add(tube(arm, 0.006), "gear", "head", cell="metal")

    def _earphones(self, item: Item) -> None:
        for sign in (1.0, -1.0):
            ear = self.head.to_body(self._ear(sign) + np.array([0.006, -0.002 * sign, -0.004]))
            path = ear + np.array([[0, 0, 0.004], [0.004, 0.002 * sign, 0], [0.006, 0.004 * sign, -0.03]])
            self._add(tube(path, np.array([0.008, 0.007, 0.003]), sides=7), "gear", "head", cell="white")

    def _eyes(self) -> np.ndarray:
        """[2, 3] middle of the left and the right eyeball."""
        vertices = self.body.vertices
        found = [
            vertices[np.unique(self.template.quads[self.template.faces_of(f"helper-{side}-eye")])].mean(0)
            for side in "lr"
        ]
        return np.array(found, np.float64) + self.lift

    def _glasses(self, item: Item) -> None:
        rng, dark = np.random.default_rng(item.seed), item.kind == "sunglasses"
        high, wide, power = rng.uniform(0.015, 0.021), rng.uniform(0.023, 0.027), rng.uniform(2.0, 4.0)
        eyes = self._eyes()
        front_x = eyes[:, 0].mean() + 0.031
        turn = np.linspace(0, 2 * np.pi, 19)
        sine, cosine = np.sin(turn), np.cos(turn)
        round_y = np.sign(cosine) * np.abs(cosine) ** (2 / power)
        round_z = np.sign(sine) * np.abs(sine) ** (2 / power)
        inner = []
        for eye, sign in zip(eyes, (1.0, -1.0), strict=True):
            centre = np.array([front_x, eye[1] + 0.002 * sign, eye[2] - 0.002])
            flat = np.stack([0 * turn, wide * round_y, high * round_z], 1)
            # The rims follow the face a little.
            flat[:, 0] = -0.28 * np.maximum(sign * (flat[:, 1]), 0)
            self._add(tube(centre + flat, 0.0022 + 0.001 * dark, sides=5), "gear", "head", cell="frame")
            inner.append(centre - [0, sign * wide, -0.4 * high])
            if dark:
                rings = np.stack([centre + [x, 0, 0] + share * flat[:-1] for x, share in
                                  ((0.002, 0.0), (0.0015, 0.6), (0.0, 1.0), (-0.002, 0.6), (-0.002, 0.0))])  # fmt: skip
                self._add(loft(rings), "gear", "head", cell="lens")
            hinge = centre + np.array([-0.28 * wide, sign * wide, 0.5 * high])
            ear = self.head.to_body(np.array([0.045, sign * 0.082, 0.735]))
            out = sign * max(abs(ear[1]), abs(hinge[1]) + 0.012)
            middle = 0.5 * (hinge + ear)
            bend = [hinge[0] - 0.012, 0.55 * hinge[1] + 0.45 * out, hinge[2]]
            hook = [[ear[0], out, ear[2]], [ear[0] - 0.02, out, ear[2] - 0.018]]
            path = np.stack([hinge, bend, [middle[0], out, middle[2]], *hook])
            self._add(tube(path, 0.0024, sides=5), "gear", "head", cell="frame")
        arch = np.stack([inner[0], 0.5 * (inner[0] + inner[1]) + [0.004, 0, 0.003], inner[1]])
        self._add(tube(arch, 0.002, sides=5), "gear", "head", cell="frame")

    def _mask(self, item: Item) -> None:
        turn = np.radians(np.linspace(-66, 66, 19))
        level = np.linspace(0, 1, 8)[:, None]
        top = 0.709 - 0.021 * np.sin(turn) ** 2
        z = top + (0.605 + 0.036 * np.sin(turn) ** 2 - top) * level
        towards = np.stack(np.broadcast_arrays(np.cos(turn)[None], np.sin(turn)[None], (z - MIDDLE[2]) / 0.097), -1)
        flat = np.hypot(towards[..., 0], towards[..., 1])
        towards = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
        reach = self.head.skin(towards)
        for _ in range(6):
            padded = np.pad(reach, 1, "edge")
            reach = np.maximum(reach, 0.5 * (padded[1:-1, :-2] + padded[1:-1, 2:]))
            reach = np.maximum(reach, 0.5 * (padded[:-2, 1:-1] + padded[2:, 1:-1]))
        outer = self.head.to_body(MIDDLE + (reach + 0.006 * flat)[..., None] * towards)
        inner = self.head.to_body(MIDDLE + (reach - 0.004)[..., None] * towards)
        self._add(shell_of(np.concatenate([inner[:1], outer, inner[::-1][:1]]), 1.0), "gear", "head", cell="mask")
        for sign in (1.0, -1.0):
            ear = self.head.to_body(np.array([0.03, sign * 0.086, 0.715]))
            for height in (0.688, 0.652):
                start = self.head.to_body(np.array([0.078, sign * 0.066, height]))
                path = np.stack([start, 0.5 * (start + ear) + [0, 0.006 * sign, 0], ear])
                self._add(tube(path, 0.0018, sides=4), "gear", "head", cell="mask")

    def _scarf(self, item: Item) -> None:
        rng, s = np.random.default_rng(item.seed), self.scale
        base = self._joint("neck_01")
        turn = np.linspace(0, 2 * np.pi, 25)[:-1]
        centre = np.array([0.02, 0.0])
        neck = self.head.scale.mean()
        thick = rng.uniform(0.024, 0.032) * s
        for up, radius, tilt in ((0.0, 0.092, 0.025), (0.034, 0.08, 0.018)):
            path = np.stack(
                [
                    centre[0] + neck * radius * np.cos(turn),
                    neck * radius * np.sin(turn),
                    base + (up - 0.005) * s - tilt * np.cos(turn) + 0.006 * np.sin(3 * turn + up * 90),
                ],
                1,
            )
            bump = thick * (1 + 0.12 * np.sin(5 * turn + 40 * up))
            solid = tube(np.concatenate([path, path[:1]]), np.append(bump, bump[0]), sides=8, caps=False)
            weight = np.zeros((len(solid.place), len(self.template.bone_names)))
            weight[:, self.template.bone("neck_01")], weight[:, self.template.bone("spine_03")] = 0.5, 0.5
            self._add(solid, "scarf", weight)
        length = rng.uniform(0.2, 0.38) * s
        for sign, more in ((1.0, 1.0), (-1.0, 0.8)):
            level = np.linspace(0, 1, 8)
            z = base - 0.04 * s - length * more * level
            y = sign * (0.03 + 0.02 * level) * s
            origin = np.stack([np.full(8, 0.02), y, z], 1)
            knot = np.array([0.02 + neck * 0.1, sign * 0.02, base - 0.02 * s])
            end = origin[-1] + [0, 0, -0.01]
            reach, _ = self._touch(origin[-1:], np.array([[1.0, 0, 0]]))
            end = end + np.array([reach[0] + 0.006, 0, 0])
            self._strap(origin, np.tile([1.0, 0, 0], (8, 1)), 0.085 * s, ends=(knot, end),
                        bones=("spine_03", "spine_02"), region="scarf", thick_m=0.014)  # fmt: skip
