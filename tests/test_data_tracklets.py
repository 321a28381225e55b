"""Tracklets: numeric order, gaps, the last one, and boxes between boxes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrealperson.data.manifest import Manifest
from unrealperson.data.tracklets import agrees, find_tracklets, interpolate_box


def seen(*rows: tuple[int, int, int]) -> Manifest:
    """A row for each (pid, camid, frame)."""
    made = [
        {"path": f"{n}.jpg", "pid": pid, "camid": camid, "frame": frame} for n, (pid, camid, frame) in enumerate(rows)
    ]
    return Manifest.from_rows(made, Path("there"))


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([], []),
        ([(1, 1, 10), (1, 1, 2)], [(1, 1, 1, [2, 10])]),  # as text, 10 comes before 2
        ([(1, 1, 2), (1, 1, 12)], [(1, 1, 1, [2]), (1, 1, 2, [12])]),
        ([(1, 1, 2), (1, 1, 11)], [(1, 1, 1, [2, 11])]),
        ([(1, 1, 2), (1, 2, 3), (1, 1, 4)], [(1, 1, 1, [2, 4]), (1, 2, 1, [3])]),
        ([(2, 1, 5), (1, 1, 4)], [(1, 1, 1, [4]), (2, 1, 1, [5])]),  # another person right after
        ([(-1, 1, 5), (1, -1, 4), (1, 1, -1)], []),
    ],
)
def test_tracklets(rows: list[tuple[int, int, int]], expected: list[tuple[int, int, int, list[int]]]) -> None:
    manifest = seen(*rows)
    found = [(t.pid, t.camid, t.number, [int(manifest.frame[row]) for row in t.rows]) for t in find_tracklets(manifest)]
    assert found == expected


def test_options_and_errors() -> None:
    manifest = seen((1, 1, 0), (1, 1, 1), (1, 1, 30), (1, 1, 60), (1, 1, 61))
    found = find_tracklets(manifest, least=2)
    assert [(tracklet.number, len(tracklet)) for tracklet in found] == [(1, 2), (2, 2)]
    assert len(find_tracklets(manifest, gap_frames=31)) == 1
    with pytest.raises(ValueError, match="gap_frames must be at least 1"):
        find_tracklets(manifest, gap_frames=0)
    with pytest.raises(ValueError, match=r"0.jpg and 1.jpg show one person in one frame"):
        find_tracklets(seen((1, 1, 4), (1, 1, 4)))


def test_boxes_between_boxes() -> None:
    before, after = (10, 20, 30, 80), (20, 20, 44, 84)
    assert interpolate_box(before, after, 0.0) == before and interpolate_box(before, after, 1.0) == after
    assert interpolate_box(before, after, 0.5) == (15, 20, 37, 82)
    own = np.zeros((100, 100), bool)
    own[22:80, 17:35] = True
    assert agrees((15, 20, 37, 82), own)
    assert not agrees((45, 20, 67, 82), own), "the person went elsewhere"
    assert not agrees((15, 20, 37, 50), own), "half of the person is outside"
    assert not agrees((0, 0, 100, 100), own, min_fill=0.2), "the box is far too large"
    assert not agrees((15, 20, 37, 82), np.zeros((100, 100), bool)), "nobody is there"
