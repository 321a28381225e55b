"""What is worn on the face: glasses and masks."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.people.accessories import Item
from unrealperson.synth.people.dressing import Dressing
from unrealperson.synth.people.scalp import MIDDLE
from unrealperson.synth.people.solids import loft, shell_of, tube


def glasses(wearer: Dressing, item: Item) -> None:
    """Glasses or sunglasses.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng, dark = np.random.default_rng(item.seed), item.kind == "sunglasses"
    high, wide, power = rng.uniform(0.015, 0.021), rng.uniform(0.023, 0.027), rng.uniform(2.0, 4.0)
    eyes = _eyes(wearer)
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
        wearer.add(tube(centre + flat, 0.0022 + 0.001 * dark, sides=5), "gear", "head", cell="frame")
        inner.append(centre - [0, sign * wide, -0.4 * high])
        if dark:
            rings = np.stack([centre + [x, 0, 0] + share * flat[:-1] for x, share in
                              ((0.002, 0.0), (0.0015, 0.6), (0.0, 1.0), (-0.002, 0.6), (-0.002, 0.0))])  # fmt: skip
            wearer.add(loft(rings), "gear", "head", cell="lens")
        hinge = centre + np.array([-0.28 * wide, sign * wide, 0.5 * high])
        ear = wearer.head.to_body(np.array([0.045, sign * 0.082, 0.735]))
        out = sign * max(abs(ear[1]), abs(hinge[1]) + 0.012)
        middle = 0.5 * (hinge + ear)
        bend = [hinge[0] - 0.012, 0.55 * hinge[1] + 0.45 * out, hinge[2]]
        hook = [[ear[0], out, ear[2]], [ear[0] - 0.02, out, ear[2] - 0.018]]
        path = np.stack([hinge, bend, [middle[0], out, middle[2]], *hook])
        wearer.add(tube(path, 0.0024, sides=5), "gear", "head", cell="frame")
    arch = np.stack([inner[0], 0.5 * (inner[0] + inner[1]) + [0.004, 0, 0.003], inner[1]])
    wearer.add(tube(arch, 0.002, sides=5), "gear", "head", cell="frame")


def mask(wearer: Dressing, item: Item) -> None:
    """A mask over nose and mouth, with loops behind the ears.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    turn = np.radians(np.linspace(-66, 66, 19))
    level = np.linspace(0, 1, 8)[:, None]
    top = 0.709 - 0.021 * np.sin(turn) ** 2
    z = top + (0.605 + 0.036 * np.sin(turn) ** 2 - top) * level
    towards = np.stack(np.broadcast_arrays(np.cos(turn)[None], np.sin(turn)[None], (z - MIDDLE[2]) / 0.097), -1)
    flat = np.hypot(towards[..., 0], towards[..., 1])
    towards = towards / np.linalg.norm(towards, axis=-1, keepdims=True)
    reach = wearer.head.skin(towards)
    for _ in range(6):
        padded = np.pad(reach, 1, "edge")
        reach = np.maximum(reach, 0.5 * (padded[1:-1, :-2] + padded[1:-1, 2:]))
        reach = np.maximum(reach, 0.5 * (padded[:-2, 1:-1] + padded[2:, 1:-1]))
    outer = wearer.head.to_body(MIDDLE + (reach + 0.006 * flat)[..., None] * towards)
    inner = wearer.head.to_body(MIDDLE + (reach - 0.004)[..., None] * towards)
    wearer.add(shell_of(np.concatenate([inner[:1], outer, inner[::-1][:1]]), 1.0), "gear", "head", cell="mask")
    for sign in (1.0, -1.0):
        ear = wearer.head.to_body(np.array([0.03, sign * 0.086, 0.715]))
        for height in (0.688, 0.652):
            start = wearer.head.to_body(np.array([0.078, sign * 0.066, height]))
            path = np.stack([start, 0.5 * (start + ear) + [0, 0.006 * sign, 0], ear])
            wearer.add(tube(path, 0.0018, sides=4), "gear", "head", cell="mask")


def _eyes(wearer: Dressing) -> np.ndarray:
    """[2, 3] middle of the left and the right eyeball."""
    vertices = wearer.body.vertices
    found = [
        vertices[np.unique(wearer.template.quads[wearer.template.faces_of(f"helper-{side}-eye")])].mean(0)
        for side in "lr"
    ]
    return np.array(found, np.float64) + wearer.lift
