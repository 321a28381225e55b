"""Folds, seams and shade painted into cloth, so that it does not look like painted skin."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.people.cloth import noise
from unrealperson.synth.people.cuts import Lower, Upper
from unrealperson.synth.people.sheets import ramp

_CROTCH_Z, _KNEE_Z = -0.045, -0.37


def trunk_shade(rng: np.random.Generator, x: np.ndarray, z: np.ndarray, upper: Upper, *, stiff: float) -> np.ndarray:
    """Brightness of a trunk's panel: folds that follow looseness, shade at armpits, collar and edges.

    Args:
        rng: chooses the folds.
        x: [h, w] metres from the panel's middle.
        z: [h, w] height on the neutral base mesh.
        upper: the cut.
        stiff: 0 is soft cloth, 1 does not fold.

    Returns:
        [h, w] factor around 1.
    """
    away = np.abs(x)
    loose = (0.35 + 0.65 * upper.fall) * (1 - 0.7 * stiff)
    down = ramp(z, 0.46, 0.16)
    hang = _crest(noise(rng, x + 0.15 * z, z, 0.09, 0.6)) * down
    # Both sides pull towards their armpit, but not alike.
    apart = away + 1.3 * (x < 0)
    pull = _crest(noise(rng, apart * 0.7 + z * 0.7, z * 0.7 - apart * 0.7, 0.4, 0.09))
    pull *= np.exp(-(((z - 0.32) / 0.14) ** 2)) * np.clip((away - 0.01) / 0.11, 0, 1)
    waist = _crest(noise(rng, x, z + 0.25 * x, 0.2, 0.06)) * np.exp(-(((z - 0.14) / 0.09) ** 2))
    narrow = np.interp(z, [0.06, 0.17, 0.3, 0.42], [1.0, 0.8, 0.85, 1.0])
    seam = np.clip((0.205 * narrow - away) / 0.05, 0, 1)
    height = 0.02 * hang + 0.017 * pull + 0.008 * waist * (0.5 + 0.5 * upper.fall)
    shade = _light(height * loose * seam, x, z)
    armpit = np.exp(-(((away - 0.2) / 0.06) ** 2) - ((z - 0.39) / 0.045) ** 2)
    side = np.clip((away - 0.15) / 0.1, 0, 1) * ramp(z, 0.46, 0.36)
    neck = 0.0 * z
    if upper.collar in ("polo", "shirt"):
        neck = np.exp(-(((z - 0.535) / 0.035) ** 2) - (away / 0.09) ** 4) * (z < 0.6)
    elif upper.collar != "none":
        neck = np.exp(-(((z - 0.555) / 0.02) ** 2) - (away / 0.09) ** 4)
    shade = shade * (1 - 0.2 * armpit - 0.10 * side - 0.2 * neck)
    if upper.quilt_m:
        chamber = np.abs(((z + 0.004 * np.sin(40 * x)) / 0.075) % 1 - 0.5) * 2
        shade = shade * (1.06 - 0.34 * chamber**5) * (1 + 0.16 * ((z / 0.075) % 1 - 0.5))
    edge = np.abs(z - upper.hem_z - 0.022) < 0.0022
    return shade * (1 - 0.22 * edge) * (1 - 0.2 * (z < upper.hem_z + 0.006))


def sleeve_shade(
    rng: np.random.Generator, x: np.ndarray, along: np.ndarray, upper: Upper, *, stiff: float
) -> np.ndarray:
    """Brightness of a sleeve.

    Args:
        rng: chooses the folds.
        x: [h, w] metres around the arm from its front.
        along: [h, w] 0 shoulder, 1 elbow, 2 wrist.
        upper: the cut.
        stiff: 0 is soft cloth, 1 does not fold.

    Returns:
        [h, w] factor around 1.
    """
    z = -0.275 * along
    bend = 0.3 + 0.6 * np.exp(-(((along - 1.0) / 0.3) ** 2)) + 0.7 * np.clip(along - 1.6, 0, 0.4) / 0.4
    lean = 0.35 * np.sin(np.pi * x / 0.2)
    height = 0.007 * _crest(noise(rng, x + 0.5 * z, z - 0.2 * lean, 0.13, 0.06)) * bend
    height = height + 0.011 * _crest(noise(rng, x + 0.2 * z, z, 0.07, 0.35)) * ramp(along, 0.0, 0.6)
    shade = _light(height * (1 - 0.7 * stiff) * min(upper.arm_m / 0.055, 1.2), x, z)
    shade = shade * (1 - 0.1 * np.exp(-((along / 0.2) ** 2)) * np.clip((x - 0.04) / 0.06, 0, 1))
    if upper.quilt_m:
        shade = shade * (1.06 - 0.34 * (np.abs((along / 0.28) % 1 - 0.5) * 2) ** 5)
    cuffed = upper.wrist_m < 0.04 and upper.sleeve > 1.5
    at = upper.sleeve - (0.22 if cuffed else 0.07)
    return shade * (1 - 0.25 * (np.abs(along - at) < 0.012) * (at > 0.1))


def leg_shade(rng: np.random.Generator, turn: np.ndarray, z: np.ndarray, lower: Lower, *, stiff: float) -> np.ndarray:
    """Brightness of trouser legs.

    Args:
        rng: chooses the folds.
        turn: [h, w] once around the leg; 0 inside, 0.25 front, 0.5 outside, 0.75 back.
        z: [h, w] height on the neutral base mesh.
        lower: the cut.
        stiff: 0 is soft cloth, 1 does not fold.

    Returns:
        [h, w] factor around 1.
    """
    x = turn * 0.5
    tight = lower.thigh_m == 0
    loose = (0.3 if tight else 0.55 + 3.0 * lower.hem_m) * (1 - 0.6 * stiff)
    knee = np.exp(-(((z - _KNEE_Z) / 0.08) ** 2))
    stack = np.exp(-(((z - lower.leg_z - 0.05) / 0.06) ** 2)) * (lower.leg_z < -0.7)
    groin = np.exp(-(((z - _CROTCH_Z + 0.02) / 0.06) ** 2)) * np.exp(-(((turn - 0.18) / 0.2) ** 2))
    across = _crest(noise(rng, x + 0.25 * z, z - 0.5 * x, 0.13, 0.06))
    along = _crest(noise(rng, x, z, 0.07, 0.5))
    height = 0.008 * across * (0.1 + knee + 1.2 * stack + groin) + 0.012 * along * ramp(z, -0.03, -0.25)
    shade = _light(height * loose, x, z)
    inner = np.exp(-((np.minimum(turn % 1, 1 - turn % 1) / 0.1) ** 2)) * np.clip((-0.02 - z) / 0.05, 0, 1)
    crotch = np.exp(-(((z - _CROTCH_Z) / 0.05) ** 2)) * (np.minimum(turn % 1, 1 - turn % 1) < 0.16)
    seam = (np.abs(turn - 0.5) < 0.006) | (np.abs(z - lower.waist_z + 0.035) < 0.002)
    cuff = np.abs(z - lower.leg_z - max(lower.cuff_m, 0.018)) < 0.002
    edge = z < lower.leg_z + 0.005
    return shade * (1 - 0.22 * inner - 0.2 * crotch) * (1 - 0.2 * seam) * (1 - 0.22 * cuff) * (1 - 0.2 * edge)


def skirt_shade(rng: np.random.Generator, x: np.ndarray, z: np.ndarray, lower: Lower, *, stiff: float) -> np.ndarray:
    """Brightness of a skirt: folds that run down and grow towards the edge.

    Args:
        rng: chooses the folds.
        x: [h, w] metres from the panel's middle.
        z: [h, w] height on the neutral base mesh.
        lower: the cut.
        stiff: 0 is soft cloth, 1 does not fold.

    Returns:
        [h, w] factor around 1.
    """
    down = np.clip((lower.waist_z - z) / max(lower.waist_z - lower.leg_z, 0.05), 0, 1)
    fan = x / (1 + max(lower.flare, 0.0) * down)
    height = _crest(noise(rng, fan, z, 0.06, 1.5)) * (0.004 + 0.02 * down * (0.2 + max(lower.flare, 0.0)))
    height = height + 0.006 * _crest(noise(rng, x + 0.5 * z, z, 0.16, 0.14)) * (1 - stiff)
    seam = np.clip((0.215 - np.abs(fan)) / 0.05, 0, 1)
    shade = _light(height * (1 - 0.4 * stiff) * seam, x, z)
    if lower.pleats > 12:
        shade = shade * (1 - 0.14 * (np.abs((fan / 0.045) % 1 - 0.5) < 0.06) * (down > 0.06))
    for tier in range(1, lower.tiers):
        at = lower.waist_z - (lower.waist_z - lower.leg_z) * tier / lower.tiers
        shade = shade * (1 - 0.25 * np.exp(-(((z - at) / 0.008) ** 2)))
    edge = np.abs(z - lower.leg_z - 0.02) < 0.002
    return shade * (1 - 0.18 * edge) * (1 - 0.18 * (np.abs(z - lower.waist_z + 0.03) < 0.002))


def _crest(field: np.ndarray) -> np.ndarray:
    """Sharpens noise into the rounded crests of folds, 0 ... 1."""
    return (4 * field * (1 - field)) ** 3


def _light(height_m: np.ndarray, x: np.ndarray, z: np.ndarray) -> np.ndarray:
    """How light from above and the left falls on a height field; hollows are darker."""
    step_x = float(x[0, 1] - x[0, 0]) or 1e-3
    step_z = float(z[1, 0] - z[0, 0]) or 1e-3
    slope_z, slope_x = np.gradient(height_m, step_z, step_x)
    hollow = 9.0 * (height_m - height_m.mean())
    return np.exp(0.34 * np.tanh((0.45 * slope_x - 0.9 * slope_z + hollow) / 0.34))
