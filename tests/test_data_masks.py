"""Instance masks: counts, extents and pixels against plain numpy."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrealperson.data.masks import measure_people, own_pixels

RED = (200, 30, 40)


def paint(width: int, height: int, *boxes: tuple[tuple[int, int, int], tuple[int, int, int, int]]) -> np.ndarray:
    mask = np.zeros((height, width, 3), np.uint8)
    for color, (left, top, right, bottom) in boxes:
        mask[top:bottom, left:right] = color
    return mask


def compare(mask: np.ndarray, colors: np.ndarray, tolerance: int) -> None:
    result = measure_people(mask, colors, tolerance=tolerance)
    for row, color in zip(result.tolist(), colors.tolist(), strict=True):
        near = (np.abs(mask.astype(int) - color) <= tolerance).all(-1)
        assert row[0] == near.sum()
        if row[0]:
            y, x = np.nonzero(near)
            assert row[1:] == [x.min(), y.min(), x.max(), y.max()]
        np.testing.assert_array_equal(own_pixels(mask, tuple(color), tolerance=tolerance), near)


@settings(max_examples=120, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(0, 70), st.integers(0, 12), st.integers(0, 7), st.integers(1, 90))
def test_runs_of_every_length(seed: int, width: int, height: int, tolerance: int, longest: int) -> None:
    """Runs begin and end anywhere in a block, and go on from line to line."""
    rng = np.random.default_rng(seed)
    levels = np.array([0, 1, 8, 9, 128, 255], np.uint8)
    runs = rng.integers(1, longest + 1, width * height + 1)
    colors = rng.choice(levels, (5, 3))
    flat = np.repeat(colors[rng.integers(0, 5, len(runs))], runs, axis=0)[: width * height]
    compare(flat.reshape(height, width, 3), colors, tolerance)


def test_a_mask_of_one_color() -> None:
    compare(np.full((9, 31, 3), 7, np.uint8), np.array([[7, 7, 7], [9, 7, 7], [40, 40, 40]], np.uint8), 3)


@pytest.mark.parametrize(("shift", "inside"), [(0, True), (3, True), (-3, True), (4, False), (-4, False)])
@pytest.mark.parametrize("channel", [0, 1, 2])
def test_tolerance_holds_for_each_channel(shift: int, inside: bool, channel: int) -> None:
    color = list(RED)
    color[channel] += shift
    mask = paint(40, 30, (tuple(color), (10, 10, 20, 20)))
    assert measure_people(mask, np.array([RED], np.uint8), tolerance=3)[0, 0] == (100 if inside else 0)


def test_pixel_between_two_colors_counts_for_both() -> None:
    mask = paint(20, 10, ((100, 100, 100), (2, 3, 8, 7)))
    colors = np.array([(97, 100, 100), (103, 100, 100), (104, 100, 100)], np.uint8)
    assert measure_people(mask, colors, tolerance=3).tolist()[:2] == [[24, 2, 3, 7, 6]] * 2
    assert measure_people(mask, colors, tolerance=3)[2, 0] == 0


def test_a_thousand_colors_in_noise_match_numpy() -> None:
    rng = np.random.default_rng(5)
    mask = rng.integers(0, 256, (40, 50, 3), dtype=np.uint8)
    colors = rng.integers(0, 256, (1000, 3), dtype=np.uint8)
    near = (np.abs(mask[None].astype(int) - colors[:, None, None]) <= 7).all(-1)
    result = measure_people(mask, colors, tolerance=7)
    np.testing.assert_array_equal(result[:, 0], near.sum((1, 2)))
    for row, hit in zip(result, near, strict=True):
        if row[0]:
            y, x = np.nonzero(hit)
            assert row[1:].tolist() == [x.min(), y.min(), x.max(), y.max()]


@pytest.mark.parametrize(
    ("colors", "tolerance", "message"),
    [
        (np.zeros((2, 3)), 3, "colors must be uint8 .* got float64"),
        (np.zeros((2, 4), np.uint8), 3, r"colors must be uint8 \[n, 3\], got uint8 \[2, 4\]"),
        (np.zeros((2, 3), np.uint8), 8, "tolerance must lie in 0 ... 7, got 8"),
    ],
)
def test_bad_colors(colors: np.ndarray, tolerance: int, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        measure_people(np.zeros((4, 5, 3), np.uint8), colors, tolerance=tolerance)


def test_bad_masks() -> None:
    for mask in (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3)), np.zeros((4, 5, 2), np.uint8)):
        with pytest.raises(ValueError, match="mask must be uint8"):
            measure_people(mask, np.zeros((1, 3), np.uint8))
        with pytest.raises(ValueError, match="mask must be uint8"):
            own_pixels(mask, RED)
    with pytest.raises(ValueError, match=r"tolerance must lie in 0 \.\.\. 7, got -1"):
        own_pixels(np.zeros((4, 5, 3), np.uint8), RED, tolerance=-1)
