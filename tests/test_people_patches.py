from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from unrealperson.synth.people import patches

SHIRT = ((0.3, 0.15), (0.7, 0.15), (0.92, 0.36), (0.8, 0.45), (0.72, 0.38), (0.72, 0.9), (0.28, 0.9), (0.28, 0.38),
         (0.2, 0.45), (0.08, 0.36))  # fmt: skip
TROUSERS = ((0.3, 0.1), (0.7, 0.1), (0.78, 0.92), (0.58, 0.92), (0.5, 0.4), (0.42, 0.92), (0.22, 0.92))


def outline(points: tuple[tuple[float, float], ...], size: tuple[int, int] = (200, 240)) -> np.ndarray:
    drawn = Image.new("1", size)
    ImageDraw.Draw(drawn).polygon([(x * size[0], y * size[1]) for x, y in points], fill=1)
    return np.array(drawn)


def photograph(mask: np.ndarray, cloth: tuple[int, int, int], floor: tuple[int, int, int], seed: int = 0) -> np.ndarray:
    """A garment with folds on a floor with joints, in a light that falls off."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0 : mask.shape[0], 0 : mask.shape[1]]
    image = np.where(mask[..., None], cloth, floor).astype(np.float64)
    image[(y % 60 < 2) & ~mask] *= 0.8
    image *= (1 + 0.08 * np.sin(x / 9 + y / 23) * mask)[..., None] * (0.85 + 0.3 * x / x.max())[..., None]
    return np.clip(image + rng.normal(0, 4, image.shape), 0, 255).astype(np.uint8)


def area_by_hand(mask: np.ndarray) -> int:
    height, width = mask.shape
    return max(
        (
            (bottom - top) * (right - left)
            for top in range(height)
            for bottom in range(top + 1, height + 1)
            for left in range(width)
            for right in range(left + 1, width + 1)
            if mask[top:bottom, left:right].all()
        ),
        default=0,
    )


@pytest.mark.parametrize(
    ("height", "width", "share"),
    [(1, 1, 1), (1, 9, 0.7), (9, 1, 0.7), (7, 8, 0.5), (8, 7, 0.85), (8, 8, 0.95), (6, 6, 0), (6, 5, 1), (0, 4, 1)],
)
@pytest.mark.parametrize("seed", range(4))
def test_the_largest_rectangle_is_as_large_as_the_one_found_by_hand(height: int, width: int, share: float, seed: int):
    mask = np.random.default_rng(seed).random((height, width)) < share
    left, top, right, bottom = patches.largest_rectangle(mask)
    assert (right - left) * (bottom - top) == area_by_hand(mask)
    assert mask[top:bottom, left:right].all()
    flipped = patches.largest_rectangle(mask.T)
    assert (flipped[2] - flipped[0]) * (flipped[3] - flipped[1]) == (right - left) * (bottom - top)


@pytest.mark.parametrize("mask", [np.zeros((3, 3)), np.zeros(4, bool), np.zeros((2, 2, 1), bool)])
def test_a_mask_must_be_two_dimensional_and_bool(mask: np.ndarray):
    with pytest.raises(ValueError, match=r"mask must be bool \[h, w\], got"):
        patches.largest_rectangle(mask)


@pytest.mark.parametrize("points", [SHIRT, TROUSERS])
@pytest.mark.parametrize(
    ("cloth", "floor"),
    [((40, 50, 90), (180, 150, 110)), ((200, 40, 60), (120, 120, 125)), ((225, 225, 220), (90, 40, 110))],
)
def test_garment_and_floor_are_told_apart(points, cloth, floor):
    truth = outline(points)
    found = patches.find_garment(photograph(truth, cloth, floor))
    assert found is not None
    assert (found & truth).sum() / (found | truth).sum() > 0.88
    box = patches.cut_patch(found)
    assert box is not None
    left, top, right, bottom = box
    inside = truth[top:bottom, left:right]
    assert inside.size > 0.1 * truth.sum() and inside.mean() > 0.98


@pytest.mark.parametrize(
    "image",
    [
        np.full((120, 90, 3), 128, np.uint8),
        np.random.default_rng(0).integers(0, 256, (100, 100, 3), dtype=np.uint8),
        photograph(outline(SHIRT), (150, 150, 150), (152, 150, 149)),
        np.zeros((3, 400, 3), np.uint8),
    ],
    ids=["plain", "noise", "same colour", "sliver"],
)
def test_what_cannot_be_told_apart_is_left_out(image: np.ndarray):
    assert patches.find_garment(image) is None


def test_thin_or_absent_garments_give_no_patch():
    mask = np.zeros((100, 100), bool)
    assert patches.cut_patch(mask) is None
    mask[50:54, :] = True
    assert patches.cut_patch(mask) is None
    mask[20:80, 20:80] = True
    left, top, right, bottom = patches.cut_patch(mask) or (0, 0, 0, 0)
    assert 20 < left < 26 and 20 < top < 26 and 74 < right < 80 and 74 < bottom < 80


def test_the_photographs_own_light_is_taken_out():
    x = np.linspace(0.85, 1.15, 120)
    lit = (np.array([120, 80, 60]) * x[None, :, None] * np.ones((90, 1, 1))).astype(np.uint8)
    even = patches.even_out(lit)
    assert even.dtype == np.uint8 and even.shape == lit.shape
    assert even[:, :30].mean() / even[:, -30:].mean() > 0.9 > lit[:, :30].mean() / lit[:, -30:].mean()
    assert abs(even.mean() - lit.mean()) < 1.5


def test_sleeves_and_backs_take_the_plain_part_beside_a_print_but_all_of_a_pattern():
    plain = np.full((100, 80, 3), (30, 60, 120), np.uint8)
    printed = plain.copy()
    printed[10:45, 20:60] = (250, 240, 30)
    striped = plain.copy()
    striped[np.arange(100) % 12 < 6] = (240, 240, 240)
    assert patches.plain_part(plain) == patches.plain_part(striped) == (0, 0, 80, 100)
    left, top, right, bottom = patches.plain_part(printed)
    assert (printed[top:bottom, left:right] == (30, 60, 120)).all()


def test_colours_in_lab():
    lab = patches.to_lab(np.array([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0], [1.0, 0.0, 0.0]]))
    np.testing.assert_allclose(lab, [[100, 0, 0], [0, 0, 0], [53.2, 80.1, 67.2]], atol=0.5)


def test_most_photographs_of_garments_give_a_patch(shared: Path):
    folder = shared / "assets" / "clothing_cc0"
    if not folder.is_dir():
        pytest.skip(f"no photographs of garments in {folder}")
    with (folder / "labels.csv").open() as stream:
        names = [row["image"] for row in csv.DictReader(stream)][::43]
    cut = 0
    for name in names:
        mask = patches.find_garment(np.asarray(Image.open(folder / "images" / name).convert("RGB")))
        cut += mask is not None and patches.cut_patch(mask) is not None
    assert len(names) > 50 and cut >= 0.6 * len(names)
