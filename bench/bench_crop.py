"""Cropper: the pass over the mask and a whole frame, against a numpy statement and the original's pixel loop.

Run: make bench
"""

from __future__ import annotations

import numpy as np
import pytest
from pytest_benchmark.fixture import BenchmarkFixture

from unrealperson.config import CropConfig
from unrealperson.crop import crop_frame
from unrealperson.data.masks import measure_people

FRAMES = {
    "640x480-30people-9visible": (640, 480, 30, 9),
    "640x480-1000people-9visible": (640, 480, 1000, 9),
    "1280x720-60people-14visible": (1280, 720, 60, 14),
    "1920x1080-100people-19visible": (1920, 1080, 100, 19),
}
SMALL = (64, 48, 8, 4)


def make_frame(width: int, height: int, people: int, visible: int) -> tuple[np.ndarray, np.ndarray]:
    """Mask of standing ellipses, and the colours of all people."""
    rng = np.random.default_rng(0)
    colors = rng.integers(8, 256, (people, 3), dtype=np.uint8)
    mask = np.zeros((height, width, 3), np.uint8)
    y, x = np.mgrid[:height, :width]
    for color in colors[:visible]:
        center_x, center_y = rng.uniform(0.1, 0.9) * width, rng.uniform(0.3, 0.7) * height
        mask[((x - center_x) / (0.04 * width)) ** 2 + ((y - center_y) / (0.2 * height)) ** 2 < 1] = color
    return mask, colors


def measure_numpy(mask: np.ndarray, colors: np.ndarray, tolerance: int) -> np.ndarray:
    """One comparison of the whole mask for each person."""
    result = np.zeros((len(colors), 5), np.int64)
    wide = mask.astype(np.int16)
    for row, color in zip(result, colors.astype(np.int16), strict=True):
        inside = (np.abs(wide - color) <= tolerance).all(axis=2)
        if inside.any():
            columns, lines = np.flatnonzero(inside.any(axis=0)), np.flatnonzero(inside.any(axis=1))
            row[:] = np.count_nonzero(inside), columns[0], lines[0], columns[-1], lines[-1]
    return result


def measure_loop(mask: np.ndarray, colors: np.ndarray, tolerance: int) -> np.ndarray:
    """The original's manner: every pixel in Python, for each person."""
    result = np.zeros((len(colors), 5), np.int64)
    for row, color in zip(result, colors.astype(int), strict=True):
        inside = np.abs(mask.astype(int) - color).max(axis=2) <= tolerance
        for y in range(mask.shape[0]):
            for x in range(mask.shape[1]):
                if inside[y, x]:
                    if row[0] == 0:
                        row[1:] = x, y, x, y
                    row[0] += 1
                    row[1], row[3], row[4] = min(row[1], x), max(row[3], x), y
    return result


@pytest.mark.parametrize("shape", FRAMES.values(), ids=FRAMES)
def bench_measure(benchmark: BenchmarkFixture, shape: tuple[int, int, int, int]) -> None:
    mask, colors = make_frame(*shape)
    measure_people(mask, colors)
    result = benchmark(measure_people, mask, colors)
    benchmark.extra_info["megapixels_per_s"] = mask.shape[0] * mask.shape[1] / benchmark.stats.stats.median / 1e6
    assert np.count_nonzero(result[:, 0]) >= shape[3]


@pytest.mark.parametrize("shape", list(FRAMES.values())[:1], ids=list(FRAMES)[:1])
def bench_numpy(benchmark: BenchmarkFixture, shape: tuple[int, int, int, int]) -> None:
    mask, colors = make_frame(*shape)
    result = benchmark.pedantic(measure_numpy, (mask, colors, 3), rounds=3)
    seen = result[:, 0] > 0
    np.testing.assert_array_equal(result[seen], measure_people(mask, colors)[seen])


@pytest.mark.parametrize("method", [measure_people, measure_numpy, measure_loop], ids=["numba", "numpy", "loop"])
def bench_small_frame(benchmark: BenchmarkFixture, method: object) -> None:
    mask, colors = make_frame(*SMALL)
    if method is measure_people:
        result = benchmark(measure_people, mask, colors, tolerance=3)
    else:
        result = benchmark.pedantic(method, (mask, colors, 3), rounds=3)
    assert np.count_nonzero(result[:, 0]) >= 1


@pytest.mark.parametrize("shape", FRAMES.values(), ids=FRAMES)
def bench_frame(benchmark: BenchmarkFixture, shape: tuple[int, int, int, int]) -> None:
    mask, table = make_frame(*shape)
    colors = {person: tuple(color) for person, color in enumerate(table.tolist())}
    image = np.random.default_rng(1).integers(0, 256, mask.shape, dtype=np.uint8)

    def crop() -> int:
        return len(crop_frame(image, mask, colors, CropConfig(), lambda person: np.random.default_rng([0, person]))[0])

    assert crop() >= 1
    assert benchmark(crop) >= 1
    benchmark.extra_info["frames_per_s"] = 1 / benchmark.stats.stats.median
