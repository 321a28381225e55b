"""Skin and faces: tones, and painting of head, neck and limbs in the texture atlas."""

from __future__ import annotations

import copy

import numpy as np

from unrealperson.synth.people.body import Body
from unrealperson.synth.people.charts import NAIL_UV, WRAP, grid, head_angle, head_height
from unrealperson.synth.people.haircuts import scalp_cover
from unrealperson.synth.people.noise import smooth_noise
from unrealperson.synth.people.outfits import Outfit
from unrealperson.synth.people.scalp import hairline
from unrealperson.synth.people.sheets import ramp

# sRGB 0 ... 1 of the darkest and the lightest skin usual among `body.ETHNICITIES`.
_TONES = {
    "african": ((0.245, 0.175, 0.142), (0.48, 0.352, 0.282)),
    "asian": ((0.575, 0.44, 0.355), (0.735, 0.598, 0.505)),
    "caucasian": ((0.65, 0.495, 0.415), (0.75, 0.61, 0.532)),
}
_IRIS = {
    "brown": (0.20, 0.115, 0.06),
    "dark brown": (0.10, 0.06, 0.04),
    "hazel": (0.33, 0.25, 0.12),
    "green": (0.27, 0.32, 0.22),
    "blue": (0.27, 0.35, 0.43),
    "grey": (0.34, 0.37, 0.385),
}
# Name -> share among men, strength, and heights on the face: where it starts at the cheeks.
_BEARDS = {"none": 50, "stubble": 22, "moustache": 5, "goatee": 8, "full": 15}
# Distance of the face's surface from the head's axis at some heights, metres on the neutral base mesh.
_REACH_Z = (0.60, 0.64, 0.66, 0.69, 0.7275, 0.75, 0.80)
_REACH_M = (0.085, 0.108, 0.121, 0.114, 0.0995, 0.109, 0.104)
_EYE_Y, _EYE_Z, _EYE_CORNERS = 0.0308, 0.7284, (0.0198, 0.0448)
_LID_TOP, _LID_LOW, _LID_CORNER = 0.7326, 0.7247, (0.7270, 0.7283)
_MOUTH_Z, _MOUTH_M = 0.6608, 0.0255


def random_tone(rng: np.random.Generator, body: Body) -> np.ndarray:
    """Draws the colour of somebody's skin.

    Args:
        rng: source of randomness.
        body: its ethnicity decides.

    Returns:
        [3] sRGB, 0 ... 1.
    """
    share = np.array(body.ethnicity) ** 1.5
    share /= share.sum()
    level = rng.beta(2.2, 2.2)
    tone = sum(
        s * ((1 - level) * np.array(d) + level * np.array(b)) for s, (d, b) in zip(share, _TONES.values(), strict=True)
    )
    red = 1 + rng.normal(0, 0.014)
    return np.clip(tone * np.array([1.0, red, red * (1 + rng.normal(0, 0.02))]), 0.05, 0.95)


def describe_tone(tone: np.ndarray) -> str:
    """The word for a skin colour.

    Args:
        tone: [3] sRGB, 0 ... 1.
    """
    return "dark" if tone.mean() < 0.35 else "medium" if tone.mean() < 0.58 else "light"


def paint_limbs(rng: np.random.Generator, body: Body, tone: np.ndarray, side_px: int) -> np.ndarray:
    """Paints the chart of bare arms, hands and legs: redder fingers and knuckles, darker elbows and knees.

    Args:
        rng: source of randomness.
        body: old skin is more uneven.
        tone: [3] sRGB of the skin.
        side_px: side of the atlas in pixels.

    Returns:
        [h, w, 3] sRGB, 0 ... 1.
    """
    u, v = grid("skin", side_px)
    y, z = 0.55 * u, 0.6 - 1.4 * v
    uneven = 0.05 + 0.04 * np.clip((body.age - 50) / 30, 0, 1)
    image = (
        tone
        * (1 + uneven * (smooth_noise(rng, u.shape, 10) - 0.5) + 0.3 * uneven * rng.normal(0, 1, u.shape))[..., None]
    )
    for place, wide, colour, amount in (
        ((0.47, 0.195), 0.016, (0.93, 0.80, 0.78), 0.45),
        ((0.48, 0.15), 0.03, (1.0, 0.86, 0.84), 0.4),
        ((0.34, 0.35), 0.03, (0.84, 0.78, 0.76), 0.45),
        ((0.17, -0.37), 0.045, (0.88, 0.80, 0.78), 0.4),
    ):
        near = amount * np.exp(-((y - place[0]) ** 2 + (z - place[1]) ** 2) / wide**2)[..., None]
        image = image * (1 - near + near * np.array(colour))
    nail = (np.maximum(np.abs(u - NAIL_UV[0]), np.abs(v - NAIL_UV[1])) < 0.045)[..., None]
    return np.where(nail, 0.82 * tone * np.array([1.06, 0.98, 0.98]) + 0.16, image)


class _Face:
    """The chart of head and neck while it is painted."""

    def __init__(self, tone: np.ndarray, side_px: int) -> None:
        u, v = grid("head", side_px)
        self.tone = tone
        self.angle = head_angle(u[0] * WRAP)
        self.height = head_height(v[:, 0])
        self.z = self.height[:, None]
        reach = np.interp(self.height, _REACH_Z, _REACH_M)[:, None]
        self.front = (np.cos(self.angle) > 0.3)[None].astype(np.float64)
        self.y = reach * np.tan(np.clip(self.angle, -1.25, 1.25))[None]
        self.side = np.abs(self.y)
        self.image = np.broadcast_to(tone, (*u.shape, 3)).copy()

    def band(self, low_z: float, high_z: float) -> _Face:
        """The same chart between two heights; what is painted there is painted here."""
        rows = np.flatnonzero((self.height >= low_z) & (self.height <= high_z))
        part, within = copy.copy(self), slice(rows[0], rows[-1] + 1)
        part.height, part.image = self.height[within], self.image[within]
        part.z, part.y, part.side = self.z[within], self.y[within], self.side[within]
        return part

    def tint(self, amount: np.ndarray, colour: np.ndarray) -> None:
        """Mixes a colour in where the amount, 0 ... 1, says so."""
        part = _touched(amount)
        shown = colour[part] if colour.ndim == 3 else colour
        self.image[part] += np.clip(amount[part], 0, 1)[..., None] * (shown - self.image[part])

    def shade(self, amount: np.ndarray, factor: float | np.ndarray) -> None:
        """Multiplies the colour where the amount, 0 ... 1, says so."""
        part = _touched(amount)
        self.image[part] *= 1 + amount[part][..., None] * (np.asarray(factor) - 1)

    def spot(self, y: float, z: float, wide: float, high: float) -> np.ndarray:
        """Soft ellipses on both sides of the face."""
        return self.front * np.exp(-(((self.side - y) / wide) ** 2) - ((self.z - z) / high) ** 2)

    def inside(self, low: np.ndarray, high: np.ndarray, soft: float = 0.0006) -> np.ndarray:
        """Between two heights that depend on the place across the face."""
        edge = np.clip((self.z - low) / soft + 0.5, 0, 1) * np.clip((high - self.z) / soft + 0.5, 0, 1)
        return self.front * edge


def _touched(amount: np.ndarray) -> tuple[slice, slice]:
    """The rows and columns in which an amount can be seen."""
    rows, columns = np.flatnonzero(amount.max(1) > 1e-3), np.flatnonzero(amount.max(0) > 1e-3)
    if not len(rows):
        return np.s_[:0, :0]
    return np.s_[rows[0] : rows[-1] + 1, columns[0] : columns[-1] + 1]


def paint_head(
    rng: np.random.Generator,
    body: Body,
    tone: np.ndarray,
    hair: np.ndarray,
    outfit: Outfit,
    side_px: int,
    *,
    scalp: np.ndarray | None = None,
) -> tuple[np.ndarray, dict[str, str]]:
    """Paints the chart of face, ears, neck and scalp.

    Args:
        rng: source of randomness.
        body: gender, age and ethnicity decide about beard, lines and eyes.
        tone: [3] sRGB of the skin.
        hair: [3] sRGB of brows and beard.
        outfit: names the haircut, whose line is painted on the scalp.
        side_px: side of the atlas in pixels.
        scalp: [3] sRGB of the hair on the head; None for that of the brows.

    Returns:
        [h, w, 3] sRGB, 0 ... 1, and words: eye_color, beard.
    """
    face = _Face(tone, side_px)
    dark = float(np.clip(1.3 - 1.6 * tone.mean(), 0.2, 0.9))
    _complexion(rng, face, body, dark)
    _nose(face.band(0.66, 0.77))
    _lips(rng, face.band(0.63, 0.69), body, dark)
    eye_colour = _eyes(rng, face.band(0.70, 0.765), body, dark)
    _lines(rng, face.band(0.62, 0.79), body)
    _brows(rng, face.band(0.735, 0.77), body, hair)
    beard = _beard(rng, face, body, hair)
    _scalp(rng, face, hair if scalp is None else scalp, outfit)
    return face.image, {"eye_color": eye_colour, "beard": beard}


def _complexion(rng: np.random.Generator, face: _Face, body: Body, dark: float) -> None:
    shape = face.image.shape[:2]
    old = float(np.clip((body.age - 45) / 35, 0, 1))
    mottle = smooth_noise(rng, shape, 12, 16) + 0.6 * smooth_noise(rng, shape, 40, 50) - 0.8
    face.image *= (1 + (0.05 + 0.05 * old) * mottle + rng.normal(0, 0.012, shape))[..., None]
    blush = rng.uniform(0.25, 0.9) * (1.25 if body.gender == "female" else 0.9) * (1 - 0.6 * dark)
    red = np.array([1.0, 0.80, 0.79])
    for y, z, wide, high, amount in (
        (0.045, 0.692, 0.02, 0.018, 0.75),
        (0.0, 0.689, 0.016, 0.013, 0.55),
        (0.0, 0.64, 0.016, 0.01, 0.3),
        (0.0, 0.775, 0.04, 0.02, 0.15),
    ):
        face.shade(blush * amount * face.spot(y, z, wide, high), red)
    ears = np.exp(-(((np.abs(face.angle) - 1.55) / 0.22) ** 2))[None] * np.exp(-(((face.z - 0.708) / 0.03) ** 2))
    face.shade(0.6 * ears, np.array([1.0, 0.84, 0.82]))
    canal = np.exp(-(((np.abs(face.angle) - 1.40) / 0.07) ** 2))[None] * np.exp(-(((face.z - 0.707) / 0.009) ** 2))
    face.shade(0.45 * canal, 0.5)
    # What chin and jaw keep from the sky.
    below = np.clip((0.625 - face.z) / 0.03, 0, 1) * np.clip(1.1 - np.abs(face.angle) / 1.6, 0, 1)[None]
    face.shade(0.8 * below * np.clip((face.z - 0.52) / 0.06, 0, 1), np.array([0.76, 0.70, 0.68]))
    if body.ethnicity[2] > 0.6 and rng.random() < 0.22:
        grain = smooth_noise(rng, shape, 128, 150)
        area = face.spot(0.03, 0.70, 0.035, 0.02) + face.spot(0.0, 0.705, 0.02, 0.016)
        face.shade(0.55 * np.clip(area, 0, 1) * np.clip((grain - 0.74) / 0.1, 0, 1), np.array([0.78, 0.66, 0.58]))
    if rng.random() < 0.3:
        y, z = rng.uniform(-0.05, 0.05), rng.uniform(0.64, 0.71)
        mole = np.exp(-(((face.y - y) / 0.0018) ** 2) - ((face.z - z) / 0.0016) ** 2) * face.front
        face.shade(0.8 * mole, np.array([0.45, 0.36, 0.32]))


def _nose(face: _Face) -> None:
    face.shade(0.30 * face.spot(0.019, 0.703, 0.006, 0.018), 0.8)
    face.shade(0.35 * face.spot(0.022, 0.687, 0.004, 0.008), np.array([0.78, 0.68, 0.66]))
    face.shade(0.22 * face.spot(0.0, 0.71, 0.006, 0.022), 1.12)
    face.shade(0.75 * face.spot(0.0085, 0.6825, 0.0045, 0.0024), np.array([0.36, 0.25, 0.24]))
    face.shade(0.35 * face.spot(0.0, 0.6775, 0.012, 0.004), np.array([0.75, 0.67, 0.66]))


def _lips(rng: np.random.Generator, face: _Face, body: Body, dark: float) -> None:
    woman = body.gender == "female"
    red = np.array([0.92, 0.75, 0.73]) if not woman else np.array([0.95, 0.69, 0.69])
    colour = face.tone * (red * (1 - 0.5 * dark) + 0.5 * dark * np.array([0.80, 0.69, 0.71]))
    if woman and rng.random() < 0.25:
        made_up = np.array([0.56, 0.2, 0.22]) * rng.uniform(0.7, 1.15) + rng.uniform(0, 0.12)
        colour = 0.5 * colour + 0.5 * made_up
    across = face.side / _MOUTH_M
    open_m = np.clip(1 - across**2, 0, 1)
    bow = 0.0022 * np.exp(-(((face.side - 0.0062) / 0.004) ** 2)) - 0.0012 * np.exp(-((face.side / 0.003) ** 2))
    top = _MOUTH_Z + (0.0086 + bow) * open_m**0.75
    low = _MOUTH_Z - 0.0118 * open_m**0.65
    within = (across < 1).astype(np.float64)
    lips = within * face.inside(low, top, 0.0022)
    face.tint((0.8 if woman else 0.62) * lips, colour)
    face.shade(0.5 * lips * (face.z > _MOUTH_Z), 0.88)
    face.shade(0.25 * face.spot(0.0, 0.6545, 0.012, 0.0024), 1.2)
    line = face.front * np.exp(-(((face.z - _MOUTH_Z) / 0.0011) ** 2)) * np.clip((1.06 - across) / 0.12, 0, 1)
    face.shade(0.85 * line, np.array([0.42, 0.28, 0.28]))
    face.shade(0.4 * face.spot(0.0265, 0.6605, 0.003, 0.003), 0.72)
    face.shade(0.4 * face.spot(0.0, 0.6445, 0.014, 0.0035), 0.8)


def _eyes(rng: np.random.Generator, face: _Face, body: Body, dark: float) -> str:
    woman, caucasian = body.gender == "female", body.ethnicity[2]
    odds = np.array(
        [2.5, 3.5 - 2.8 * caucasian, 0.7 * caucasian, 0.5 * caucasian**2, 2.2 * caucasian**2, 0.6 * caucasian**2]
    )
    name = str(rng.choice(list(_IRIS), p=odds / odds.sum()))
    iris = np.array(_IRIS[name]) * rng.uniform(0.8, 1.2)
    # The render shades the socket itself; a lid catches light.
    face.shade(0.22 * face.spot(0.0235, 0.7335, 0.012, 0.008), np.array([0.76, 0.68, 0.66]))
    face.shade(0.22 * face.spot(0.032, 0.7185, 0.013, 0.005), np.array([0.82, 0.72, 0.72]))
    face.shade(0.5 * face.spot(0.032, 0.739, 0.013, 0.005), 1.12)
    inner, outer = _EYE_CORNERS
    along = np.clip((face.side - inner) / (outer - inner), 0, 1)
    within = ((face.side > inner - 0.001) & (face.side < outer + 0.001)).astype(np.float64)
    arch = np.clip(4 * along * (1 - along), 0, 1) ** 0.6
    corner = _LID_CORNER[0] + along * (_LID_CORNER[1] - _LID_CORNER[0])
    top, low = corner + arch * (_LID_TOP - corner), corner - arch * (corner - _LID_LOW)
    crease = face.front * within * np.exp(-(((face.z - top - 0.0032) / 0.0011) ** 2))
    face.shade(0.45 * crease * arch, np.array([0.58, 0.48, 0.46]))
    # The chart of the eyeballs is the same: white and iris end at the lids.
    ball = within * face.inside(low - 0.0002, top)
    white = (np.array([0.80, 0.76, 0.74]) - 0.24 * dark) * (0.94 + 0.06 * rng.random())
    face.tint(ball, white)
    face.shade(0.6 * ball * np.clip((face.z - (top - 0.003)) / 0.003, 0, 1), 0.62)
    face.shade(0.5 * ball * (2 * along - 1) ** 4, np.array([0.62, 0.54, 0.52]))
    face.shade(0.6 * face.spot(inner + 0.001, corner.mean(), 0.0022, 0.002) * ball, np.array([1.0, 0.74, 0.72]))
    gaze = rng.uniform(-0.0012, 0.0012)
    away = np.hypot(face.side - _EYE_Y - gaze * np.sign(face.y), face.z - _EYE_Z - 0.0003)

    def disc(radius: float) -> np.ndarray:
        return ball * np.clip((radius - away) / 0.0008 + 0.5, 0, 1)

    face.tint(disc(0.0060), 0.45 * iris)
    face.tint(disc(0.0051), iris)
    face.tint(disc(0.0023), np.array([0.02, 0.018, 0.018]))
    glint = ball * np.exp(-((face.y - np.sign(face.y) * _EYE_Y - 0.0016) ** 2 + (face.z - 0.7302) ** 2) / 0.0009**2)
    face.tint(0.85 * glint, np.array([0.95, 0.95, 0.95]))
    lash = 0.0012 if woman else 0.0008
    wing = within * face.front
    upper = wing * np.exp(-(((face.z - top - 0.0002) / lash) ** 2))
    face.tint((0.92 if woman else 0.72) * upper, np.array([0.06, 0.045, 0.04]) + 0.12 * face.tone)
    lower = wing * np.exp(-(((face.z - low + 0.0004) / 0.0006) ** 2))
    face.tint(0.38 * lower, 0.4 * face.tone)
    if woman and rng.random() < 0.3:
        shadow = within * face.inside(top, top + 0.0045, 0.002)
        face.tint(0.3 * shadow, face.tone * rng.uniform(0.45, 0.75, 3))
    return name


def _lines(rng: np.random.Generator, face: _Face, body: Body) -> None:
    """Folds beside the nose for all, lines of age from the forties on."""
    old = float(np.clip((body.age - 38) / 37, 0, 1))
    fold_y = 0.021 + 0.55 * np.clip(0.688 - face.z, 0, 0.03)
    fold = np.exp(-(((face.side - fold_y) / 0.0024) ** 2)) * np.clip((face.z - 0.662) / 0.01, 0, 1)
    face.shade((0.12 + 0.4 * old) * face.front * fold * (face.z < 0.69), np.array([0.70, 0.62, 0.60]))
    if old <= 0:
        return
    groove = np.array([0.72, 0.64, 0.61])
    wave = 0.002 * np.cos(face.side / 0.012) + 0.001 * rng.normal()
    middle = face.front * np.clip(1.2 - face.side / 0.042, 0, 1)
    for z in (0.7665, 0.7755, 0.7845):
        face.shade(0.5 * old * middle * np.exp(-(((face.z - z - wave) / 0.001) ** 2)), groove)
    for slope in (-0.35, 0.05, 0.45):
        crow = np.exp(-(((face.z - 0.7285 - slope * (face.side - 0.047)) / 0.0009) ** 2))
        face.shade(0.45 * old * face.front * crow * np.exp(-(((face.side - 0.053) / 0.006) ** 2)), groove)
    bag = np.exp(-(((face.z - 0.7165 - 9 * (face.side - 0.031) ** 2) / 0.0018) ** 2))
    face.shade(0.5 * old * bag * face.spot(0.031, 0.7165, 0.014, 0.008), groove)
    face.shade(0.4 * old * face.spot(0.026, 0.6475, 0.0025, 0.01), groove)
    face.shade(
        0.5 * old * face.front * np.exp(-(((face.side - 0.004) / 0.0012) ** 2)) * (np.abs(face.z - 0.747) < 0.006),
        groove,
    )


def _brows(rng: np.random.Generator, face: _Face, body: Body, hair: np.ndarray) -> None:
    woman = body.gender == "female"
    thick = rng.uniform(0.0018, 0.0028) if woman else rng.uniform(0.0028, 0.0042)
    rise, start, end = rng.uniform(0.002, 0.005), rng.uniform(0.012, 0.016), rng.uniform(0.047, 0.053)
    along = np.clip((face.side - start) / (end - start), 0, 1)
    middle = 0.7485 + rise * np.sin(np.pi * np.clip(along, 0, 1) ** 1.3) - 0.0022 * along
    width = thick * (0.75 + 0.5 * np.sin(np.pi * along**0.8)) * (1 - 0.55 * along)
    strokes = 0.65 + 0.7 * smooth_noise(rng, face.image.shape[:2], 11, 110)
    inside = ((face.side > start) & (face.side < end)) * np.clip((face.side - start) / 0.004, 0, 1)
    body_of = np.exp(-(((face.z - middle) / width) ** 2)) * inside * face.front
    face.tint(np.clip((0.62 if woman else 0.75) * body_of * strokes, 0, 0.88), _of_the_face(hair, face.tone))


def _of_the_face(hair: np.ndarray, tone: np.ndarray) -> np.ndarray:
    """Colour of brows and beards: they grey later than the head, and skin is seen between the hairs."""
    dark = hair if hair.mean() < 0.33 else 0.55 * hair + 0.45 * np.array([0.2, 0.16, 0.13])
    return 0.8 * dark + 0.14 * tone


def _beard(rng: np.random.Generator, face: _Face, body: Body, hair: np.ndarray) -> str:
    odds = np.array(list(_BEARDS.values()), np.float64)
    kind = str(rng.choice(list(_BEARDS), p=odds / odds.sum()))
    shape = face.image.shape[:2]
    strands = 0.6 + 0.8 * smooth_noise(rng, shape, 90, 190)
    patchy = smooth_noise(rng, shape, 22, 26) - 0.5
    strength = {"stubble": rng.uniform(0.2, 0.4), "full": rng.uniform(0.6, 0.85)}.get(kind, rng.uniform(0.5, 0.75))
    if body.gender == "female" or kind == "none":
        return "none"
    angle = np.abs(face.angle)[None]
    edge = 0.660 + 0.045 * np.clip((angle - 0.55) / 0.75, 0, 1) ** 2 + 0.012 * patchy
    # Thin at the cheeks, over the throat and below the ears.
    jaw = (
        ramp(edge - face.z, 0.0, 0.02)
        * ramp(face.z + 0.01 * patchy, 0.606, 0.632)
        * ramp(angle + 0.2 * patchy, 1.5, 1.2)
        * (0.75 + 0.25 * ramp(angle, 0.9, 0.3))
    )
    upper = ramp(0.680 - 0.14 * face.side - face.z, 0.0, 0.004) * ramp(face.z + 0.15 * face.side, 0.6655, 0.669)
    upper = upper * ramp(face.side, 0.03, 0.022) * face.front
    chin = np.clip((0.028 - face.side) / 0.006, 0, 1) * face.front * np.clip((0.668 - face.z) / 0.006, 0, 1)
    chin = chin * np.clip((face.z - 0.617) / 0.012, 0, 1)
    area = {"moustache": upper, "goatee": np.maximum(upper, chin)}.get(kind, np.maximum(upper, jaw))
    mouth = np.exp(-((face.side / 0.023) ** 4) - ((face.z - 0.6605) / 0.0085) ** 4) * face.front
    area = area * (1 - mouth)
    face.tint(np.clip(strength * area * strands, 0, 0.92), _of_the_face(hair, face.tone))
    return kind


def _scalp(rng: np.random.Generator, face: _Face, hair: np.ndarray, outfit: Outfit) -> None:
    x, y = 0.035 + 0.09 * np.cos(face.angle), 0.085 * np.sin(face.angle)
    above = face.z - hairline(x, y, outfit)[None]
    grown = scalp_cover(rng, x, y, np.broadcast_to(face.z, above.shape), outfit.hair, above)
    strands = hair * (0.8 + 0.3 * (smooth_noise(rng, above.shape, 30, 150) - 0.5))[..., None]
    face.tint(grown, strands)
