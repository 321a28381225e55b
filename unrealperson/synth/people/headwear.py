"""Headwear, fitted to one dressed person: caps, hats, hoods, headphones, scarves."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.people.accessories import Item
from unrealperson.synth.people.dressing import Dressing
from unrealperson.synth.people.haircuts import HAIRCUTS
from unrealperson.synth.people.scalp import MIDDLE
from unrealperson.synth.people.sheets import ramp
from unrealperson.synth.people.solids import band, loft, shell_of, tube


def hat(wearer: Dressing, item: Item) -> None:
    """A cap, a beanie or a hat with a brim.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng = np.random.default_rng(item.seed)
    turn = np.linspace(0, 2 * np.pi, 29)[:-1]
    front = (0.5 + 0.5 * np.cos(turn)) ** 1.0
    share = np.linspace(0, 1, 8)
    if item.kind == "beanie":
        tall = rng.uniform(0.016, 0.035)
        edge = 0.715 + 0.075 * front
        gap = np.append(0.011 + tall * (1 - share) ** 1.5 + 0.006 * np.sin(np.pi * share), [0.019, 0.019, 0.011])
        shell = _shell(wearer, edge, gap[:8], 8)
        cuff = _shell(wearer, edge + 0.045, np.array([0.019, 0.019]), 2)[1]
        low = _shell(wearer, edge, np.array([0.019, 0.019]), 2)[1]
        inner = _shell(wearer, edge, np.array([0.0, 0.004]), 2)[1]
        shell = np.concatenate([shell[:-1], cuff[None], low[None], inner[None]])
        # The cuff stands over the crown's last rows.
        shell[-4] = _shell(wearer, edge + 0.046, np.array([0.013, 0.013]), 2)[1]
        wearer.add(loft(wearer.head.to_body(shell)), "hat", "head")
        return
    edge = 0.757 + 0.042 * front
    if item.kind == "cap":
        crown = 0.014 + 0.022 * np.sin(np.pi * np.clip(0.35 + 0.62 * share, 0, 1)) * (1 - share)
    else:
        # A flat top over upright sides.
        crown = 0.014 + 0.026 * np.sin(np.pi * np.clip(0.25 + 0.72 * share, 0, 1)) ** 0.8
    shell = _shell(wearer, edge, crown, 8)
    inner = _shell(wearer, edge, np.array([0.0, 0.004]), 2)[1:]
    if item.kind == "cap":
        wearer.add(loft(wearer.head.to_body(np.concatenate([shell, inner]))), "hat", "head")
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
        wearer.add(shell_of(wearer.head.to_body(np.stack(rows)), 0.4), "hat", "head")
        return
    brim = rng.uniform(0.05, 0.08)
    rows = []
    for out, down in ((0.0, 0.0), (0.5, 0.006), (1.0, 0.012), (1.0, 0.015), (0.5, 0.01), (-0.1, 0.004)):
        row = shell[-1].copy()
        flat = row - MIDDLE
        flat[:, 2] = 0
        flat /= np.linalg.norm(flat, axis=1, keepdims=True)
        rows.append(row + brim * out * flat - [0, 0, down] + [[0, 0, 1]] * (0.012 * out * np.sin(turn) ** 2)[:, None])
    wearer.add(loft(wearer.head.to_body(np.concatenate([shell, np.stack(rows)]))), "hat", "head")


def hood(wearer: Dressing, item: Item) -> None:
    """A hood that is up.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    turn = np.radians(np.linspace(50, 310, 27))
    rise = np.radians([82, 64, 48, 32, 16, 0, -16, -32, -46])
    back = (0.5 - 0.5 * np.cos(turn)) ** 1.5
    towards = np.stack(
        np.broadcast_arrays(
            np.cos(rise)[:, None] * np.cos(turn), np.cos(rise)[:, None] * np.sin(turn), np.sin(rise)[:, None]
        ),
        -1,
    )
    reach = wearer.head.skin(towards) + 0.026 + 0.006 * back
    upper = MIDDLE + np.maximum(reach, 0.1)[..., None] * towards
    # Below the jaw it falls to the shoulders, and its edge lies inside the collar.
    fall = np.linspace(0, 1, 6)[1:, None]
    low = upper[-1].copy()
    end = np.stack([0.012 + 0.07 * np.cos(turn), 0.078 * np.sin(turn), 0.572 - 0.03 * (1 - back)], 1)
    lower = low + (end - low) * fall[..., None]
    lower += (0.02 * np.sin(np.pi * fall) * back)[..., None] * np.array([-1.0, 0, 0])
    outer = wearer.head.to_body(np.concatenate([upper, lower]))
    middle = wearer.head.to_body(np.array([0.04, 0.0, 0.7]))
    away = outer - middle
    inner = outer - 0.01 * away / np.linalg.norm(away, axis=2, keepdims=True)
    solid = shell_of(np.concatenate([outer, inner[::-1]]), 1.0)
    weight = np.zeros((len(solid.place), len(wearer.template.bone_names)))
    height = wearer.head.from_body(solid.place)[:, 2]
    weight[:, wearer.template.bone("head")] = ramp(height, 0.56, 0.66)
    weight[:, wearer.template.bone("spine_03")] = 1 - ramp(height, 0.56, 0.66)
    wearer.add(solid, "hat", weight)


def headphones(wearer: Dressing, item: Item) -> None:
    """Cups on both ears and a band over the crown.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    turn = np.radians(np.linspace(-2, 182, 15))
    style = HAIRCUTS[wearer.outfit.hair]
    lift = 0.016 if not style.flow and not style.gather else 0.022
    towards = np.stack([-0.1 * np.sin(turn) * 0, np.cos(turn), np.sin(turn)], 1)
    place = MIDDLE + (wearer.head.skin(towards) + lift)[:, None] * towards + [-0.012, 0, 0]
    place = wearer.head.to_body(place)
    solid = band(place, towards, np.full(15, 0.028), 0.008)
    wearer.add(solid, "gear", "head", cell="frame")
    for sign in (1.0, -1.0):
        covered = style.flow in ("down", "crown") and not style.gather
        over = (wearer.outfit.hair_volume + 0.012) * covered
        ear = wearer.head.to_body(_ear(wearer, sign) + np.array([0.0, sign * over, 0.0]))
        cup = tube(ear + np.array([[0, -0.012 * sign, 0], [0, 0.002 * sign, 0], [0, 0.022 * sign, 0]]), 0.037, sides=12)
        wearer.add(cup, "gear", "head", cell="frame")
        arm = np.stack([ear + np.array([0, 0.01 * sign, 0.03]), place[0 if sign > 0 else -1] + [0, 0, 0.05]])
        wearer.add(tube(arm, 0.006), "gear", "head", cell="metal")


def earphones(wearer: Dressing, item: Item) -> None:
    """A plug in each ear.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    for sign in (1.0, -1.0):
        ear = wearer.head.to_body(_ear(wearer, sign) + np.array([0.006, -0.002 * sign, -0.004]))
        path = ear + np.array([[0, 0, 0.004], [0.004, 0.002 * sign, 0], [0.006, 0.004 * sign, -0.03]])
        wearer.add(tube(path, np.array([0.008, 0.007, 0.003]), sides=7), "gear", "head", cell="white")


def scarf(wearer: Dressing, item: Item) -> None:
    """Two turns around the neck and two ends in front.

    Args:
        wearer: who puts it on.
        item: its kind, measures and cloth.
    """
    rng, s = np.random.default_rng(item.seed), wearer.scale
    base = wearer.joint("neck_01")
    turn = np.linspace(0, 2 * np.pi, 25)[:-1]
    centre = np.array([0.02, 0.0])
    neck = wearer.head.scale.mean()
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
        weight = np.zeros((len(solid.place), len(wearer.template.bone_names)))
        weight[:, wearer.template.bone("neck_01")], weight[:, wearer.template.bone("spine_03")] = 0.5, 0.5
        wearer.add(solid, "scarf", weight)
    length = rng.uniform(0.2, 0.38) * s
    for sign, more in ((1.0, 1.0), (-1.0, 0.8)):
        level = np.linspace(0, 1, 8)
        z = base - 0.04 * s - length * more * level
        y = sign * (0.03 + 0.02 * level) * s
        origin = np.stack([np.full(8, 0.02), y, z], 1)
        knot = np.array([0.02 + neck * 0.1, sign * 0.02, base - 0.02 * s])
        end = origin[-1] + [0, 0, -0.01]
        reach, _ = wearer.touch(origin[-1:], np.array([[1.0, 0, 0]]))
        end = end + np.array([reach[0] + 0.006, 0, 0])
        wearer.strap(origin, np.tile([1.0, 0, 0], (8, 1)), 0.085 * s, ends=(knot, end),
                    bones=("spine_03", "spine_02"), region="scarf", thick_m=0.014)  # fmt: skip


def _shell(wearer: Dressing, edge_z: np.ndarray, gap: np.ndarray, rows: int) -> np.ndarray:
    """[rows, K, 3] places on the neutral head from the crown down to an edge."""
    turn = np.linspace(0, 2 * np.pi, len(edge_z) + 1)[:-1]
    low = np.arctan2(edge_z - MIDDLE[2], 0.092)
    share = np.linspace(0, 1, rows)[:, None]
    rise = np.pi / 2 + (low - np.pi / 2) * share
    towards = np.stack([np.cos(rise) * np.cos(turn), np.cos(rise) * np.sin(turn), np.sin(rise) + 0 * turn], -1)
    return MIDDLE + (wearer.head.skin(towards) + gap[:, None])[..., None] * towards


def _ear(wearer: Dressing, sign: float) -> np.ndarray:
    towards = np.array([-0.02, sign * 0.085, -0.04])
    towards /= np.linalg.norm(towards)
    return MIDDLE + (float(wearer.head.skin(towards)) + 0.012) * towards
