"""Patches of cloth cut from photographs: where the garment is, and the largest rectangle inside it."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np

Box = tuple[int, int, int, int]
"""Left, top, right, bottom in pixels, half-open."""

WORK_PX = 128
"""Longest side of the small copy on which garment and background are told apart."""
MIN_SIDE_SHARE = 0.11
"""A patch with a side shorter than this share of its garment's longer side is no cloth to cut from."""
_COLORS, _ROUNDS = 6, 3
_LEAST_SPREAD = np.array([3.0, 2.0, 2.0], np.float32)
_SHADED_SPREAD = np.array([10.0, 3.0, 3.0], np.float32)
_AREA = (0.08, 0.88)
_SURE, _MOST_FLOOR, _MARGIN_SHARE = 0.93, 0.3, 0.022


def largest_rectangle(mask: np.ndarray) -> Box:
    """The axis-aligned rectangle of most pixels inside a mask, in time linear in its pixels.

    Args:
        mask: [h, w] bool.

    Returns:
        Its box; (0, 0, 0, 0) for an empty mask. Of several as large, the one whose last row comes first.

    Raises:
        ValueError: mask has another type or shape.
    """
    if mask.ndim != 2 or mask.dtype != np.bool_:
        raise ValueError(f"mask must be bool [h, w], got {mask.dtype} {list(mask.shape)}")
    left, top, right, bottom = (int(side) for side in _compiled_search()(np.ascontiguousarray(mask)))
    return left, top, right, bottom


@lru_cache(maxsize=1)
def _compiled_search() -> Any:
    from unrealperson.compiled import compiled

    return compiled(_search)


def _search(mask):  # bool [h, w] -> int64 [4]
    height, width = mask.shape
    best = np.zeros(4, np.int64)
    most = 0
    high = np.zeros(width + 1, np.int64)  # The last column stays 0: it closes all open rectangles.
    start, level = np.empty(width + 1, np.int64), np.empty(width + 1, np.int64)
    for y in range(height):
        open_count = 0
        for x in range(width + 1):
            if x < width:
                high[x] = high[x] + 1 if mask[y, x] else 0
            begin = x
            while open_count and level[open_count - 1] >= high[x]:
                open_count -= 1
                begin = start[open_count]
                area = level[open_count] * (x - begin)
                if area > most:
                    most = area
                    best[:] = begin, y + 1 - level[open_count], x, y + 1
            start[open_count], level[open_count] = begin, high[x]
            open_count += 1
    return best


def find_garment(image: np.ndarray, *, gaps: bool = True) -> np.ndarray | None:
    """Tells the one garment of a photograph from what it lies on, hangs before or is worn in.

    The background's colours are learnt at the picture's border, the garment's in its middle; both models and the
    mask are then improved in turns. What lies in the middle and hangs together is the garment.

    Args:
        image: [h, w, 3] uint8 sRGB.
        gaps: the background may show within the garment, as between trouser legs; what could be it is left out, which
            costs prints of its colour.

    Returns:
        [h, w] bool, or None where garment and background cannot be told apart with certainty.
    """
    from scipy import ndimage

    lab = _small_lab(image)
    height, width = lab.shape[:2]
    y, x = np.mgrid[0:height, 0:width].astype(np.float32)
    edge = np.minimum(np.minimum(x, width - 1 - x) / width, np.minimum(y, height - 1 - y) / height)
    away = np.maximum(np.abs(x / (width - 1) - 0.5), np.abs(y / (height - 1) - 0.5))
    prior = np.clip((edge - 0.12) / 0.12, -1.0, 1.0)
    outside = edge < 0.06
    foreign = _unlikeliness(lab, lab[outside])
    like_border = foreign < np.quantile(foreign[outside], 0.85)
    # What shows between two trouser legs is no garment, though it lies in the middle.
    inside = (away < 0.25) & (foreign > np.quantile(foreign[outside], 0.95))
    if inside.sum() < 0.3 * (away < 0.25).sum():
        inside = away < 0.2
    gray = lab[..., 0]
    for turn in range(_ROUNDS):
        score = (foreign if turn == 0 else _unlikeliness(lab, lab[outside])) - _unlikeliness(lab, lab[inside])
        score = _along_edges(np.clip(score, -12, 12), gray) + (2.0 * prior if turn == 0 else np.minimum(prior, 0.0))
        garment = _middle_part(score > 0)
        inside = ndimage.binary_erosion(garment, iterations=2)
        outside = ~ndimage.binary_dilation(garment, iterations=2)
        if inside.sum() < 60 or outside.sum() < 60:
            return None
    if not _is_certain(garment, score):
        return None
    if (garment & like_border).sum() > _MOST_FLOOR * garment.sum():
        return None
    alien = like_border
    if gaps:
        # Its colours were learnt as the garment's: it has another light than the border, but none of the main colours.
        shaded = _unlikeliness(lab, lab[edge < 0.06], spread=_SHADED_SPREAD)
        alien = alien | (shaded + 2.0 < _unlikeliness(lab, lab[inside], least_share=0.22))
    alien = ndimage.binary_opening(garment & alien, iterations=1)
    if alien.sum() < _MOST_FLOOR * garment.sum():
        garment = garment & ~alien
    return _enlarge(garment, image.shape[:2])


def cut_patch(mask: np.ndarray) -> Box | None:
    """Where to cut: the largest rectangle inside a garment, clear of its edge.

    Args:
        mask: [h, w] bool of one garment.

    Returns:
        Its box, or None where the garment is too small or too thin.
    """
    from scipy import ndimage

    rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
    if not len(rows):
        return None
    long_side = max(rows[-1] - rows[0], columns[-1] - columns[0]) + 1
    # A garment that leaves the picture may be cut up to its border.
    far = ndimage.distance_transform_cdt(np.pad(mask, 1, "edge"), "chessboard")[1:-1, 1:-1]
    box = largest_rectangle(far > max(1, round(_MARGIN_SHARE * long_side)))
    least = max(8.0, MIN_SIDE_SHARE * long_side)
    return box if min(box[2] - box[0], box[3] - box[1]) >= least else None


def even_out(patch: np.ndarray) -> np.ndarray:
    """Takes a photograph's own light out of a patch: what is left is as bright on one side as on the other.

    Args:
        patch: [h, w, 3] uint8.

    Returns:
        [h, w, 3] uint8 with the same mean brightness.
    """
    from scipy import ndimage

    light = (patch.astype(np.float32) + 4.0).mean(2)
    slow = ndimage.gaussian_filter(light, [0.3 * side for side in light.shape], mode="reflect")
    # Large light and dark fields of a pattern are no light: they pull the brightness by little.
    gain = np.clip(slow.mean() / slow, 0.8, 1.25)
    gain *= light.mean() / (light * gain).mean()
    return np.clip(patch * gain[..., None] + 0.5, 0, 255).astype(np.uint8)


def plain_part(patch: np.ndarray, *, calm: float = 0.5) -> Box:
    """The part of a patch that sleeves, legs and backs are cut from: all of it, but for a print on plain cloth.

    Args:
        patch: [h, w, 3] uint8.
        calm: a part with less than this share of the whole patch's variance is calmer than it.

    Returns:
        The box of the whole patch or of its calmest part.
    """
    height, width = patch.shape[:2]
    high, wide = max(height * 2 // 5, 1), max(width * 2 // 5, 1)
    values = patch.astype(np.float64)
    sums = [np.pad(part.cumsum(0).cumsum(1), ((1, 0), (1, 0), (0, 0))) for part in (values, values**2)]
    mean, square = (
        (s[high:, wide:] - s[:-high, wide:] - s[high:, :-wide] + s[:-high, :-wide]) / (high * wide) for s in sums
    )
    spread = (square - mean**2).sum(2)
    whole = values.var((0, 1)).sum()
    top, left = np.unravel_index(spread.argmin(), spread.shape)
    if whole < 40.0 or spread.min() > calm * whole:
        return 0, 0, width, height
    return int(left), int(top), int(left) + wide, int(top) + high


def to_lab(color: np.ndarray) -> np.ndarray:
    """CIE L*a*b* (D65) of sRGB colours.

    Args:
        color: [..., 3] in 0 ... 1.

    Returns:
        [..., 3] float32.
    """
    color = np.asarray(color, np.float32)
    linear = np.where(color > 0.04045, ((color + 0.055) / 1.055) ** 2.4, color / 12.92)
    white = np.array([0.9505, 1.0, 1.089], np.float32)
    to_xyz = np.array([[0.4124, 0.3576, 0.1805], [0.2126, 0.7152, 0.0722], [0.0193, 0.1192, 0.9505]], np.float32)
    xyz = linear @ to_xyz.T / white
    f = np.where(xyz > 0.008856, np.cbrt(xyz), 7.787 * xyz + 16 / 116)
    return np.stack([116 * f[..., 1] - 16, 500 * (f[..., 0] - f[..., 1]), 200 * (f[..., 1] - f[..., 2])], -1)


def _small_lab(image: np.ndarray) -> np.ndarray:
    from PIL import Image

    scale = min(1.0, WORK_PX / max(image.shape[:2]))
    size = (max(round(image.shape[1] * scale), 24), max(round(image.shape[0] * scale), 24))
    small = np.asarray(Image.fromarray(image).resize(size, Image.Resampling.BOX))
    return to_lab(small / np.float32(255))


def _unlikeliness(
    lab: np.ndarray, sample: np.ndarray, *, spread: np.ndarray = _LEAST_SPREAD, least_share: float = 0.01
) -> np.ndarray:
    """Half the squared distance of each pixel to the nearest of a sample's main colours, in their spreads; [h, w].

    Colours that fewer than a share of the sample have do not count, but for the most frequent one.
    """
    sample = sample[:: max(1, len(sample) // 1200)]
    centre = sample.mean(0, keepdims=True)
    for _ in range(_COLORS - 1):
        far = ((sample[:, None] - centre) ** 2).sum(2).min(1)
        # Not the farthest colour, which is an outlier, but one that many are as far as.
        order = np.argsort(far, kind="stable")
        centre = np.concatenate([centre, sample[order[[int(0.9 * len(order))]]]])
    for _ in range(5):
        nearest = ((sample[:, None] - centre) ** 2).sum(2).argmin(1)
        centre = np.stack(
            [sample[nearest == k].mean(0) if (nearest == k).any() else centre[k] for k in range(len(centre))]
        )
    most = np.bincount(nearest).max()
    best = np.full(lab.shape[:2], np.inf, np.float32)
    for k, middle in enumerate(centre):
        own = sample[nearest == k]
        if len(own) < min(least_share * len(sample), most):
            continue
        wide = np.hypot(own.std(0), spread)
        cost = 0.5 * (((lab - middle) / wide) ** 2).sum(2) + np.log(wide).sum() - np.log(len(own) / len(sample))
        best = np.minimum(best, cost)
    return best


def _along_edges(score: np.ndarray, guide: np.ndarray) -> np.ndarray:
    """Smooths a score but for edges of the guide (guided filter)."""
    from scipy.ndimage import uniform_filter

    mean_g, mean_s = uniform_filter(guide, 7), uniform_filter(score, 7)
    slope = (uniform_filter(guide * score, 7) - mean_g * mean_s) / (uniform_filter(guide**2, 7) - mean_g**2 + 9.0)
    return uniform_filter(slope, 7) * guide + uniform_filter(mean_s - slope * mean_g, 7)


def _middle_part(mask: np.ndarray) -> np.ndarray:
    """The part that hangs together and has most of the middle, without specks and small holes."""
    from scipy import ndimage

    mask = ndimage.binary_opening(mask, iterations=1)
    label, count = ndimage.label(mask)
    height, width = mask.shape
    middle = label[height // 5 : -(height // 5), width // 5 : -(width // 5)]
    seen = np.bincount(middle.ravel(), minlength=count + 1)
    seen[0] = 0
    if not seen.any():
        return np.zeros_like(mask)
    garment = label == seen.argmax()
    holes, count = ndimage.label(~garment)
    size = np.bincount(holes.ravel(), minlength=count + 1)
    border = np.unique(np.concatenate([holes[0], holes[-1], holes[:, 0], holes[:, -1]]))
    small = size < 0.015 * garment.sum()
    small[border] = False
    return garment | small[holes]


def _is_certain(garment: np.ndarray, score: np.ndarray) -> bool:
    """Whether a mask is neither a speck nor the whole picture, and unlike its surroundings."""
    from scipy import ndimage

    if not _AREA[0] < garment.mean() < _AREA[1]:
        return False
    rim = np.concatenate([garment[0], garment[-1], garment[:, 0], garment[:, -1]])
    if rim.mean() > 0.45:
        return False
    inner = ndimage.binary_erosion(garment, iterations=3)
    outer = ~ndimage.binary_dilation(garment, iterations=3)
    if inner.sum() < 60 or outer.sum() < 60:
        return False
    return bool((score[inner] > 1.0).mean() > _SURE and (score[outer] < -0.5).mean() > _SURE - 0.08)


def _enlarge(mask: np.ndarray, shape: tuple[int, int]) -> np.ndarray:
    rows = np.arange(shape[0]) * mask.shape[0] // shape[0]
    columns = np.arange(shape[1]) * mask.shape[1] // shape[1]
    return mask[rows[:, None], columns]
