"""COCO's compressed run lengths against a slow statement of the format."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrealperson.data.rle import decode_mask, encode_mask


def slow_runs(counts: str) -> list[int]:
    """Reads the text bit by bit."""
    runs: list[int] = []
    bits: list[int] = []
    for character in counts:
        group = ord(character) - 48
        bits += [group >> bit & 1 for bit in range(5)]
        if not group & 32:
            value = sum(bit << place for place, bit in enumerate(bits)) - (bits[-1] << len(bits))
            runs.append(value + (runs[-2] if len(runs) > 2 else 0))
            bits = []
    return runs


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.integers(1, 90), st.integers(1, 60), st.sampled_from([0.0, 0.02, 0.5, 1.0]))
def test_round_trip(seed: int, height: int, width: int, share: float) -> None:
    mask = np.random.default_rng(seed).random((height, width)) < share
    counts = encode_mask(mask)
    np.testing.assert_array_equal(decode_mask(counts, height, width), mask)
    runs = slow_runs(counts)
    assert sum(runs) == mask.size and sum(runs[1::2]) == mask.sum()


@pytest.mark.parametrize(
    ("rows", "runs", "counts"),
    [
        (["00", "00"], [4], "4"),
        (["11", "11"], [0, 4], "04"),
        (["01", "11"], [1, 3], "13"),
        (["0110", "0110", "0000"], [3, 2, 1, 2, 4], "32103"),
    ],
)
def test_known_texts(rows: list[str], runs: list[int], counts: str) -> None:
    mask = np.array([[character == "1" for character in row] for row in rows])
    assert slow_runs(encode_mask(mask)) == runs
    assert encode_mask(mask) == counts


def test_long_runs_and_shrinking_runs() -> None:
    mask = np.zeros((700, 3), bool)
    mask[650, 0] = mask[10, 1] = mask[5:600, 2] = True
    counts = encode_mask(mask)
    assert slow_runs(counts) == [650, 1, 59, 1, 694, 595, 100]
    assert (
        counts[:3] == "Zd0"
    )  # 650 = 10 + 20 * 32: the characters 48 + (10 | 32), 48 + (20 | 32), and 48 since bit 4 of 20 is set
    np.testing.assert_array_equal(decode_mask(counts, 700, 3), mask)


@pytest.mark.parametrize(
    ("counts", "height", "width"), [("4", 3, 2), ("\x1f", 1, 1), ("oooooooooooooooo", 2, 2), ("O4", 2, 2), ("40", 2, 3)]
)
def test_damaged_texts(counts: str, height: int, width: int) -> None:
    with pytest.raises(ValueError, match="counts must"):
        decode_mask(counts, height, width)


def test_bad_masks() -> None:
    with pytest.raises(ValueError, match=r"mask must be bool \[H, W\], got \[3\]"):
        encode_mask(np.zeros(3, bool))
