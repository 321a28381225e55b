"""Hair: a cover over the scalp and some hundred locks that grow from it, flow over the head and hang down.

Locks are flat and narrow; light sees the round surface that they make together, not each of them.
"""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np

from unrealperson.synth.people.backdrop import Backdrop
from unrealperson.synth.people.body import Body, Template, load_template
from unrealperson.synth.people.charts import hair_chart, lock_chart
from unrealperson.synth.people.haircuts import HAIRCUTS, RIBBONS, Haircut
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.scalp import MIDDLE, Head, measure_head, scalp_field
from unrealperson.synth.people.sheets import (
    Sheet,
    body_guides,
    cut,
    ramp,
    sheet_of,
    skin_faces,
    smooth,
    triangles_of,
)

_STEP_M = 0.02
_TUCKED_Z = 0.55
"""Long hair goes behind a backpack or into a hood at this height."""
_BARE_M = 0.012
"""So far above the hairline single hairs are painted on the skin, and the cover begins."""
_GATHERED = {
    "tail": (-0.036, 0.0, 0.775), "bun": (-0.036, 0.0, 0.735), "top bun": (0.01, 0.0, 0.845),
    "braid": (-0.034, 0.0, 0.725),
}  # fmt: skip


def grow_hair(template: Template, body: Body, outfit: Outfit, top: Sheet) -> list[Sheet]:
    """Builds the hair of one person; nothing for shaved heads.

    Args:
        template: the base mesh.
        body: the person's shape.
        outfit: names the cut, its length and volume.
        top: the upper garment's trunk, over which long hair falls.
    """
    style = HAIRCUTS[outfit.hair]
    if not style.flow and not style.gather:
        return []
    head = measure_head(template, body)
    growth = _Growth(template, body, head, outfit, top)
    roots = growth.roots()
    locks = [growth.locks(roots)] if len(roots) else []
    return [_cover(template, body, outfit, style), *locks, *growth.gathered()]


def _cover(template: Template, body: Body, outfit: Outfit, style: Haircut) -> Sheet:
    """What is seen between the locks: the scalp, raised a little, flush with the skin at its edge."""
    sheet = sheet_of(template, body, skin_faces())
    above = scalp_field(sheet.template, outfit) - _BARE_M
    if style.fade_z:
        above = np.minimum(above, sheet.template[:, 2] - style.fade_z)
    field = np.where(sheet.guide[:, 3] > 0.5, above, -1.0)
    pressed = outfit.hat_z
    volume = np.full(len(field), outfit.hair_volume)
    if pressed is not None:
        volume = np.where(sheet.template[:, 2] > pressed - 0.02, 0.003, volume)
    share = 0.95 if style.flow == "out" else 0.45
    rise = 0.0006 + share * volume * body.height_m / 1.67 * np.clip(field / 0.05, 0, 1) ** 0.7
    if style.flow == "out":
        x, y, z = (sheet.template * 2 * np.pi / 0.024).T
        rise = rise * (1 + 0.12 * np.sin(x + 1.3 * np.sin(z)) * np.sin(y + np.sin(x)) * np.sin(z + y))
    cap = cut(replace(sheet, position=sheet.position + rise[:, None] * sheet.normal), field)
    if style.flow == "out":
        cap = replace(cap, position=smooth(cap, cap.position, 1))
    return replace(cap, chart=hair_chart(cap))


class _Growth:
    """Locks while they grow, in the measures of the neutral head; N locks of R places each."""

    def __init__(self, template: Template, body: Body, head: Head, outfit: Outfit, top: Sheet) -> None:
        self.template, self.head, self.outfit = template, head, outfit
        self.style = style = HAIRCUTS[outfit.hair]
        self.rng = np.random.default_rng(int(outfit.hair_volume * 1e9) + int(outfit.hair_z * 1e6))
        self.long = bool(style.end_z[0]) and style.end_z[0] < 0.7
        upper = (outfit.outer or outfit.top).upper
        hood = upper is not None and upper.collar == "hood"
        self.tucked = outfit.pack or hood
        self.backdrop: Backdrop | None = None
        if self.long or style.gather in ("tail", "braid"):
            bare = body.vertices[_trunk_vertices()].astype(np.float64)
            self.backdrop = Backdrop(head.from_body(bare if hood else np.concatenate([top.position, bare])))
        self.part = float(self.rng.choice([-1.0, 1.0])) * (0.03 if style.flow == "side" else self.rng.uniform(0, 0.03))
        # Which sides of long hair lie in front of the shoulders: none, both, or one.
        self.in_front = ((0, 0), (1, 1), (1, 0), (0, 1))[int(self.rng.choice(4, p=[0.5, 0.2, 0.15, 0.15]))]

    def roots(self) -> np.ndarray:
        """[N, 3] unit vectors to roots, evenly over the scalp."""
        number = np.arange(self.style.locks)
        rise = 1 - 2 * (number + 0.5) / len(number)
        turn = number * np.pi * (3 - np.sqrt(5)) + self.rng.uniform(0, 6)
        flat = np.sqrt(1 - rise**2)
        towards = np.stack([flat * np.cos(turn), flat * np.sin(turn), rise], -1)
        towards += self.rng.normal(0, 0.03, towards.shape)
        towards /= np.linalg.norm(towards, axis=1, keepdims=True)
        place = MIDDLE + self.head.skin(towards)[:, None] * towards
        above = scalp_field(place, self.outfit)
        keep = (above > self.rng.uniform(0.001, 0.008, len(above))) & (place[:, 2] > max(self.style.fade_z, 0.64))
        if self.style.flow == "out":
            keep &= above > 0.012
        if self.style.end_z[0]:
            keep &= place[:, 2] > self.style.end_z[1] + 0.01
        pressed = self.outfit.hat_z
        if pressed is not None:
            keep &= (place[:, 2] < pressed + 0.035) & (pressed > 0.7)
        return towards[keep]

    def locks(self, towards: np.ndarray) -> Sheet:
        """All that grow from the scalp, from roots in the given directions."""
        style, rng = self.style, self.rng
        root = MIDDLE + self.head.skin(towards)[:, None] * towards
        top = ramp(root[:, 2], 0.765, 0.815)
        side = np.where(root[:, 1] > self.part, 1.0, -1.0)
        direction = self._flow(root, top, side)
        direction += rng.normal(0, style.mess, root.shape)
        length = style.side_m + (style.top_m - style.side_m) * top
        length = length * rng.uniform(0.7, 1.25, len(root))
        if not style.end_z[0]:
            # Short at the nape and where the clippers began.
            length = length * (0.45 + 0.55 * ramp(root[:, 2], 0.68, 0.75))
        lowest = style.fade_z or 0.6
        most = 1.2 if style.mess > 0.2 else 0.95
        lift = self.outfit.hair_volume * rng.uniform(0.6, most, len(root)) + 0.006 * ramp(root[:, 2], 0.72, 0.85)
        lift = lift * (0.45 + 0.55 * ramp(root[:, 2], lowest, lowest + 0.06))
        if style.gather:
            goal = np.array(_GATHERED[style.gather])
            length = np.linalg.norm(goal - root, axis=1) * 1.12
        end_z = 0.672 + rng.normal(0, 0.006, len(root))
        if style.end_z[0]:
            end_z = self.outfit.hair_z + rng.normal(0, 0.006 + 0.07 * style.mess, len(root))
            # Cut in a bow, longest behind.
            end_z = end_z + self.long * (0.25 * np.abs(root[:, 1]) + 0.2 * np.clip(root[:, 0] - 0.03, 0, 1))
        fringe = np.zeros(len(root), bool)
        if self.outfit.fringe > 0 and (style.flow == "down" or style.gather):
            fringe = (root[:, 0] > 0.088) & (np.abs(root[:, 1]) < 0.055) & (root[:, 2] > 0.78)
            direction[fringe] = np.array([1.0, 0.0, -0.3]) + rng.normal(0, 0.16, (int(fringe.sum()), 3))
            length[fringe] = 0.11
            end_z[fringe] = 0.785 - self.outfit.fringe + rng.normal(0, 0.006, int(fringe.sum()))
            lift[fringe] = np.minimum(lift[fringe], 0.011)
        path, along = self._trace(towards, direction, length, lift, end_z, fringe)
        rows = 9 if self.long else 7 if style.wave_m and style.period_m < 0.05 else 5 if length.max() > 0.05 else 4
        rows = 3 if style.flow == "out" else rows
        # Long locks bend most on the head.
        share = np.linspace(0, 1, rows)[:, None] ** (1.4 if self.long else 1.0)
        path, total = _resample(path, along, share)
        tip = (
            0.6 if style.flow == "out" else 0.5 if (self.long and style.mess < 0.15) else 0.3 if style.end_z[0] else 0.1
        )
        wide = style.wide_m * rng.uniform(0.6, 1.35, len(root))
        start = np.where((scalp_field(root, self.outfit) < 0.015) | (not self.long), 0.2, 0.6)
        return self._ribbons(path, total, wide, tip, share=share, start=start)

    def _flow(self, root: np.ndarray, top: np.ndarray, side: np.ndarray) -> np.ndarray:
        zero, one = np.zeros(len(root)), np.ones(len(root))
        flow, behind = self.style.flow, ramp(root[:, 0], 0.06, 0.0)
        front = ramp(root[:, 0], 0.08, 0.12)
        if self.style.gather:
            return np.array(_GATHERED[self.style.gather]) - root
        if flow == "crown":
            crown = np.array([0.0, 0.012 * np.sign(self.part), 0.87])
            up = root - crown
            up = up / np.linalg.norm(up, axis=1, keepdims=True)
        elif flow == "side":
            up = np.stack([0.35 * one, -np.sign(self.part) * one, 0 * one], 1)
            up = np.where((side == np.sign(self.part))[:, None], [[0.1, np.sign(self.part), -0.4]], up)
        else:
            up = {
                "down": np.stack([-0.15 - 0.7 * behind - 0.5 * front, side * (1 - 0.9 * behind), -0.5 * one], 1),
                "back": np.stack([-one, 0.15 * side, 0.1 * one], 1),
                "forward": np.stack([one, 0.1 * side, -0.1 * one], 1),
                "up": np.stack([0.5 * one, 0.2 * side, one], 1),
                "out": root - MIDDLE,
            }[flow]
        if flow == "out":
            up = up / np.linalg.norm(up, axis=1, keepdims=True)
            aside = np.cross(up, self.rng.normal(0, 1, up.shape))
            return 0.15 * up + aside / np.linalg.norm(aside, axis=1, keepdims=True)
        lean = np.where(root[:, 0] > 0.06, 0.3, -0.25) if flow != "back" else -1.2 * one
        down = np.stack([lean * (flow != "down"), zero, -one], 1)
        return top[:, None] * up + (1 - top)[:, None] * down

    def _trace(
        self,
        towards: np.ndarray,
        direction: np.ndarray,
        length: np.ndarray,
        lift: np.ndarray,
        end_z: np.ndarray,
        fringe: np.ndarray,
    ) -> tuple[np.ndarray, np.ndarray]:
        """[K, N, 3] places from root to tip, and [K, N] metres along the locks."""
        style, pressed = self.style, self.outfit.hat_z
        reach = float(length.max())
        steps = int(np.clip(np.ceil(reach / _STEP_M), 5, 26))
        step = length / steps
        weight = 0.35 if self.long else 0.2 if style.flow in ("down", "crown", "side") else 0.08
        weight = 0.0 if style.flow in ("up", "out") or style.gather else weight
        going = direction / np.linalg.norm(direction, axis=1, keepdims=True)
        skin = self.head.skin(towards)
        here = MIDDLE + skin[:, None] * towards
        start = -0.003 * np.ones(len(lift))
        if style.flow == "out":
            start = 0.85 * self.outfit.hair_volume * np.clip(scalp_field(here, self.outfit) / 0.05, 0, 1) ** 0.55
        here = MIDDLE + (skin + start)[:, None] * towards
        chosen = np.where(here[:, 1] > 0, self.in_front[0], self.in_front[1]) > 0
        chosen &= self.outfit.hair_z < 0.57
        front = chosen & (here[:, 0] > self.rng.uniform(-0.03, 0.03, len(here))) & ~fringe
        goal_x, in_front_y = np.where(front, 0.045, -0.07), self.rng.uniform(0.07, 0.125, len(here))
        path, stopped = [here], np.zeros(len(here), bool)
        for number in range(1, steps + 1):
            away = here - MIDDLE
            radius = np.linalg.norm(away, axis=1, keepdims=True)
            away = away / radius
            scalp = (here[:, 2] > (0.70 if self.long else 0.665)) & (style.flow not in ("up", "out"))
            going = going + weight * (np.array([0, 0, -1.0]) - going) * (1 - 0.5 * scalp[:, None])
            if style.gather:
                towards_knot = np.array(_GATHERED[style.gather]) - here
                towards_knot /= np.linalg.norm(towards_knot, axis=1, keepdims=True)
                going = np.where(fringe[:, None], going + np.array([0.0, 0.0, -0.15]), towards_knot)
            # Long hair leaves the face free.
            if self.long or style.flow == "crown":
                edge_z = 0.815 if self.long else 0.745
                face = ramp(here[:, 2], edge_z, edge_z - 0.03) * ramp(here[:, 2], 0.58, 0.62)
                face = face * ramp(here[:, 0], 0.055, 0.09) * ~fringe
                going = going + face[:, None] * np.stack(
                    [-1.6 * np.ones(len(here)), (0.5 if self.long else 0.1) * np.sign(here[:, 1]), np.zeros(len(here))],
                    1,
                )
            if self.long:
                # It falls behind or in front of the shoulders rather than over their ends.
                fall = 0.7 * ramp(here[:, 2], 0.69, 0.62)[:, None] * ~fringe[:, None]
                side = here[:, 1]
                goal_y = np.where(front, in_front_y * np.sign(side), np.clip(side, -0.09, 0.09))
                aside = np.clip(np.stack([goal_x - here[:, 0], goal_y - side], 1) / 0.08, -0.7, 0.7)
                going += fall * (np.concatenate([aside, -np.ones((len(here), 1))], 1) - going)
            inward = (going * away).sum(1)
            taken = np.where(scalp | (inward < 0), inward, 0.0) * ((radius[:, 0] < 0.2) & (style.flow != "out"))
            going = going - taken[:, None] * away
            going /= np.maximum(np.linalg.norm(going, axis=1, keepdims=True), 1e-9)
            stopped |= here[:, 2] < np.where(self.tucked & ~front, np.maximum(end_z, _TUCKED_Z), end_z)
            here = here + np.where(stopped, 0.0, step)[:, None] * going
            if style.flow != "out":
                risen = np.minimum(1.0, np.maximum(2.6 * number / steps, number * step / 0.04))
                here = self._clear(here, lift * risen, scalp, front, pressed)
            path.append(here)
        places = np.stack(path)
        part = np.linalg.norm(np.diff(places, axis=0), axis=2)
        return places, np.concatenate([np.zeros((1, len(here))), np.cumsum(part, 0)])

    def _clear(
        self, here: np.ndarray, lift: np.ndarray, scalp: np.ndarray, front: np.ndarray, pressed: float | None
    ) -> np.ndarray:
        """Keeps places outside of head and clothes, those on the scalp on its surface, those below a hat inside it."""
        away = here - MIDDLE
        radius = np.linalg.norm(away, axis=1)
        away = away / radius[:, None]
        ear = 0.012 * np.exp(-(((here[:, 0] - 0.035) / 0.028) ** 2) - ((here[:, 2] - 0.715) / 0.03) ** 2)
        least = self.head.skin(away) + lift + ear * (self.long or self.style.flow == "crown")
        if pressed is not None:
            least = np.where(here[:, 2] > pressed, np.minimum(least, self.head.skin(away) + 0.003), least)
        # Below the jaw the line from the skull ends at the shoulders, not at the neck.
        lowest = 0.645 if self.long else 0.665
        fits = np.where(scalp, least, np.where(here[:, 2] > lowest, np.maximum(radius, least), radius))
        here = MIDDLE + np.maximum(fits, 0.02)[:, None] * away
        if self.backdrop is not None:
            low = here[:, 2] < 0.66
            if low.any():
                here[low] = self.backdrop.clear(here[low], front[low], 0.9 * lift[low] + 0.004)
        return here

    def _ribbons(
        self,
        path: np.ndarray,
        total: np.ndarray,
        wide: np.ndarray,
        tip: float,
        *,
        share: np.ndarray | None = None,
        start: np.ndarray | None = None,
        middle: np.ndarray | None = None,
    ) -> Sheet:
        """Flat locks along the paths, [R, N, 3], lit like the round thing about a middle, by default the skull."""
        rng, style = self.rng, self.style
        rows, count = path.shape[:2]
        share = np.linspace(0, 1, rows)[:, None] if share is None else share
        along = np.gradient(path, axis=0)
        along /= np.maximum(np.linalg.norm(along, axis=2, keepdims=True), 1e-9)
        if middle is None:
            axis = np.broadcast_to(MIDDLE, path.shape).copy()
            axis[..., 2] = np.minimum(path[..., 2], MIDDLE[2])
        else:
            axis = np.broadcast_to(middle, path.shape)
        out = path - axis
        out /= np.maximum(np.linalg.norm(out, axis=2, keepdims=True), 1e-9)
        rounded = out
        if style.flow == "up" and middle is None:
            # These stand off the scalp: their broad side looks to the front.
            out = np.broadcast_to(np.array([0.6, 0.0, 0.8]), path.shape)
        across = np.cross(along, out)
        across /= np.maximum(np.linalg.norm(across, axis=2, keepdims=True), 1e-9)
        out = np.cross(across, along)
        if style.wave_m:
            phase = 2 * np.pi * share * total / style.period_m + rng.uniform(0, 6.3, count)
            size = style.wave_m * ramp(share, 0.0, 0.5)
            path = path + (size * np.sin(phase))[..., None] * across
            path = path + (0.6 * size * (1 + np.cos(phase)))[..., None] * out
        grown = ramp(share * np.maximum(total / 0.1, 1), 0, 0.3)
        begin = np.full(count, 0.2) if start is None else start
        profile = (begin + (1 - begin) * grown) * (1 - (1 - tip) * ramp(share, 0.45, 1.0))
        half = np.expand_dims(0.5 * wide * profile, 2) * across
        # Each lock turns a little about itself, which sets it off from its neighbours.
        turn = rng.normal(0, 0.14 + 0.5 * style.mess, (1, count, 1))
        place = np.stack([path - half - 0.3 * turn * half, path + half], 2)
        lit = rounded + turn * across + 0.25 * out
        lit = np.stack([lit - 0.2 * across, lit + 0.2 * across], 2)
        lit /= np.maximum(np.linalg.norm(lit, axis=3, keepdims=True), 1e-9)
        # Short locks show a short piece, away from the chart's edge: what is shrunk a lot takes in its neighbours.
        along_v = 0.1 + 0.88 * share * np.clip(total / 0.15, 0.2, 1)
        ribbon = rng.integers(RIBBONS, size=(count,))
        corner = (np.arange(count)[None] + count * np.arange(rows - 1)[:, None]) * 2
        quads = np.stack([corner, corner + 1, corner + 1 + 2 * count, corner + 2 * count], -1).reshape(-1, 4)
        u = np.array([0.04, 0.96])
        uv = np.stack(np.broadcast_arrays((ribbon[None, :, None] + u) / RIBBONS, along_v[..., None]), -1)
        return self._sheet(
            self._press(place.reshape(-1, 3)), lit.reshape(-1, 3), triangles_of(quads), uv.reshape(-1, 2)
        )

    def _press(self, place: np.ndarray) -> np.ndarray:
        """What lies below a hat lies flat."""
        if self.outfit.hat_z is None:
            return place
        away = place - MIDDLE
        radius = np.linalg.norm(away, axis=1)
        most = self.head.skin(away / radius[:, None]) + 0.007
        below = (place[:, 2] > self.outfit.hat_z) & (radius > most)
        return np.where(below[:, None], MIDDLE + away * (most / radius)[:, None], place)

    def _sheet(self, place: np.ndarray, normal: np.ndarray, triangles: np.ndarray, uv: np.ndarray) -> Sheet:
        weight = np.zeros((len(place), len(self.template.bone_names)))
        weight[:, self.template.bone("head")] = ramp(place[:, 2], 0.5, 0.62)
        weight[:, self.template.bone("spine_03")] = 1 - weight[:, self.template.bone("head")]
        return Sheet(
            self.head.to_body(place),
            place,
            np.zeros((len(place), 4)),
            normal,
            weight,
            triangles,
            lock_chart(uv)[triangles],
            soft=True,
        )

    def gathered(self) -> list[Sheet]:
        """What the locks are tied into."""
        kind, rng = self.style.gather, self.rng
        hidden = self.outfit.hat_z is not None and _GATHERED.get(kind, (0, 0, 0))[2] > self.outfit.hat_z - 0.01
        if not kind or hidden:
            return []
        goal = np.array(_GATHERED[kind])
        away = goal - MIDDLE
        away = away / np.linalg.norm(away)
        if kind in ("bun", "top bun"):
            return [self._bun(goal, away)]
        share = np.linspace(0, 1, 18 if kind == "braid" else 12)[:, None]
        end_z = max(self.outfit.hair_z, _TUCKED_Z) if self.outfit.pack else self.outfit.hair_z
        down = goal[2] + 0.01 - (goal[2] - end_z) * share
        back = goal[0] - (0.02 if kind == "braid" else 0.04) * np.sin(np.pi * np.clip(share * 1.5, 0, 0.62))
        middle = np.stack(np.broadcast_arrays(back, 0 * back, down), -1)
        if self.backdrop is not None:
            flat = middle[:, 0]
            middle = self.backdrop.clear(flat, np.zeros(len(flat), bool), np.full(len(flat), 0.022))[:, None]
        if kind == "braid":
            phase = 2 * np.pi * (share * 3.5 + np.arange(3) / 3)
            thin = 1 - 0.45 * share
            path = middle + np.stack([-0.008 * thin * np.cos(2 * phase), 0.015 * thin * np.sin(phase), 0 * phase], -1)
            total, wide = np.full(3, 0.2), np.full(3, 0.034)
            # Three sides of one braid.
            within = ((0.03, 0.0, 0.0), (0.0, 0.03, 0.0), (0.0, -0.03, 0.0))
            return [self._ribbons(path, total, wide, 0.35, middle=middle + np.array(side)) for side in within]
        strands = 22
        turn = rng.uniform(0, 2 * np.pi, strands)
        loose = rng.uniform(0.45, 1.1, strands) * 0.024 * np.sin(np.pi * np.clip(0.1 + 0.75 * share, 0, 1)) ** 0.8
        offset = np.stack(
            [loose * np.cos(turn), 1.15 * loose * np.sin(turn), rng.uniform(-0.03, 0.03, strands) * share], -1
        )
        return [self._ribbons(middle + offset, np.full(strands, 0.2), np.full(strands, 0.024), 0.2, middle=middle)]

    def _bun(self, goal: np.ndarray, away: np.ndarray) -> Sheet:
        """Strands wound around a knot."""
        size = self.rng.uniform(0.026, 0.036)
        middle = goal + 0.6 * size * away
        rings = 14
        share = np.linspace(0, 1, 12)[:, None]
        turn = 2 * np.pi * share + self.rng.uniform(0, 2 * np.pi, rings)
        tilt = np.linspace(-0.9, 1.45, rings)[None] + 0.25 * np.sin(turn + self.rng.uniform(0, 6, rings))
        square = np.cross(away, [0.0, 1.0, 0.0])
        ring = np.cos(tilt)[..., None] * (np.cos(turn)[..., None] * square + np.sin(turn)[..., None] * [0.0, 1, 0])
        path = middle + size * (ring + 0.85 * np.sin(tilt)[..., None] * away)
        return self._ribbons(path, np.full(rings, 0.2), np.full(rings, 0.024), 0.8, middle=middle)


@lru_cache(maxsize=1)
def _trunk_vertices() -> np.ndarray:
    """Vertices of shoulders, chest and back, over which hair falls."""
    guides, used = body_guides(), np.unique(skin_faces())
    height = load_template().vertices[used, 2]
    return used[(guides.arm[used] < 0.6) & (guides.head[used] < 0.5) & (height > 0.15)]


def _resample(path: np.ndarray, along: np.ndarray, share: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Places at shares [rows, 1] of each lock's length: [rows, N, 3], and the lengths [N]."""
    total = np.maximum(along[-1], 1e-4)
    wanted = share * total
    before = np.clip((along[None] <= wanted[:, None] + 1e-9).sum(1) - 1, 0, len(along) - 2)
    column = np.arange(path.shape[1])
    start, end = along[before, column], along[before + 1, column]
    share = np.clip((wanted - start) / np.maximum(end - start, 1e-9), 0, 1)[..., None]
    return path[before, column] * (1 - share) + path[before + 1, column] * share, total
