"""Cropper: the pass over the mask, a frame's rules and crops, and the files, each against its floor and its peers.

Run: make bench
"""

from __future__ import annotations

import io
from pathlib import Path

import numba
import numpy as np
import pytest
from PIL import Image
from skimage.measure import regionprops_table

from unrealperson.config import CropConfig, SynthConfig
from unrealperson.crop import crop_frame, write_crops
from unrealperson.data.masks import measure_people
from unrealperson.schema import LabelledFrame

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


def read_once(mask: np.ndarray) -> int:
    """The floor: every byte of the mask is read."""
    return int(np.bitwise_xor.reduce(mask.reshape(-1).view(np.uint64)))


def label_table(colors: np.ndarray, tolerance: int) -> np.ndarray:
    """Number of the person, from 1, of each of the 16,777,216 colours; one person a colour."""
    table = np.zeros((256, 256, 256), np.uint16)
    for number, color in enumerate(colors.tolist(), 1):
        table[tuple(slice(max(channel - tolerance, 0), channel + tolerance + 1) for channel in color)] = number
    return table.ravel()


@numba.njit
def _measure_by_table(mask: np.ndarray, table: np.ndarray, people: int) -> np.ndarray:
    result = np.zeros((people + 1, 5), np.int64)
    for y in range(mask.shape[0]):
        for x in range(mask.shape[1]):
            person = table[(np.int64(mask[y, x, 0]) << 16) | (np.int64(mask[y, x, 1]) << 8) | np.int64(mask[y, x, 2])]
            if person:
                row = result[person]
                if row[0] == 0:
                    row[1], row[2], row[3] = x, y, x
                row[0] += 1
                row[1], row[3], row[4] = min(row[1], x), max(row[3], x), y
    return result[1:]


def measure_regionprops(mask: np.ndarray, table: np.ndarray, people: int) -> np.ndarray:
    """scikit-image on the labels that the table gives."""
    codes = mask[..., 0].astype(np.int32) << 16
    codes |= mask[..., 1].astype(np.int32) << 8
    codes |= mask[..., 2]
    found = regionprops_table(table[codes].astype(np.int32), properties=("label", "num_pixels", "bbox"))
    result = np.zeros((people, 5), np.int64)
    rows = found["label"] - 1
    result[rows, 0] = found["num_pixels"]
    for column, name in ((1, "bbox-1"), (2, "bbox-0"), (3, "bbox-3"), (4, "bbox-2")):
        result[rows, column] = found[name] - (column > 2)
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
def bench_measure(race, shape: tuple[int, int, int, int]) -> None:
    mask, colors = make_frame(*shape)
    table, people = label_table(colors, 3), len(colors)
    peers = {
        "floor: the mask read once": lambda: read_once(mask),
        "numba, 32 MB table built before": lambda: _measure_by_table(mask, table, people),
        "scikit-image, the same table": lambda: measure_regionprops(mask, table, people),
    }
    result = measure_people(mask, colors)
    seen = result[:, 0] > 0
    for peer in list(peers.values())[1:]:
        np.testing.assert_array_equal(peer()[seen], result[seen])
    race(
        lambda: measure_people(mask, colors),
        peers,
        rounds=60,
        traffic=mask.nbytes,
        goals=dict.fromkeys(list(peers)[1:], 0.8),
    )


def bench_the_original_s_loop(race) -> None:
    mask, colors = make_frame(*SMALL)
    expected = measure_loop(mask, colors, 3)
    np.testing.assert_array_equal(measure_people(mask, colors)[expected[:, 0] > 0], expected[expected[:, 0] > 0])
    loop = "64x48: every pixel in Python, for each person"
    race(
        lambda: measure_people(mask, colors),
        {loop: lambda: measure_loop(mask, colors, 3)},
        rounds=20,
        goals={loop: 0.05},
    )


@pytest.mark.parametrize("shape", FRAMES.values(), ids=FRAMES)
def bench_frame(race, shape: tuple[int, int, int, int]) -> None:
    """Pass, rules and crops; the goals are 0.8 ms for the first frame and 2 ms for the last."""
    mask, table = make_frame(*shape)
    colors = {person: tuple(color) for person, color in enumerate(table.tolist())}
    image = np.random.default_rng(1).integers(0, 256, mask.shape, dtype=np.uint8)

    def stream(person: int) -> np.random.Generator:
        return np.random.default_rng([0, 1, 1, person, 1, 0])

    def crop() -> list:
        return crop_frame(image, mask, colors, CropConfig(), stream)[0]

    boxes = [(crop.person, crop.box) for crop in crop()]
    assert boxes

    def copy() -> list[np.ndarray]:
        measure_people(mask, table)
        return [image[top:bottom, left:right].copy() for _, (left, top, right, bottom) in boxes]

    race(crop, {"floor: pass over the mask, copies of the boxes": copy}, rounds=60, traffic=mask.nbytes)


def bench_files(race, tmp_path: Path) -> None:
    """Crops, masks in run lengths, JPEG files and rows of a 640x480 frame."""
    mask, table = make_frame(640, 480, 30, 9)
    colors = {person: tuple(color) for person, color in enumerate(table.tolist())}
    noise = np.random.default_rng(1).integers(0, 256, (48, 64, 3), dtype=np.uint8)
    image = np.asarray(Image.fromarray(noise).resize((640, 480), Image.Resampling.BILINEAR))
    points = [[300.0 + number, 200.0 + number, 2] for number in range(17)]
    people = {person: {"unoccluded_pixels": 20_000, "keypoints": points} for person in range(9)}
    frame = LabelledFrame(1, 1, 1, 0, 0.0, 0, image, mask, colors, people)
    (tmp_path / "unreal_v1.1" / "images").mkdir(parents=True)
    rows, _ = write_crops(frame, tmp_path, CropConfig(), SynthConfig())
    assert rows

    def encode() -> None:
        for row in rows:
            jpeg = io.BytesIO()
            part = image[row["top"] : row["bottom"], row["left"] : row["right"]]
            Image.fromarray(part.copy()).save(jpeg, "jpeg", quality=90)
            (tmp_path / row["path"]).write_bytes(jpeg.getvalue())

    floor = "floor: the JPEG files alone"
    race(lambda: write_crops(frame, tmp_path, CropConfig(), SynthConfig()), {floor: encode}, rounds=10)
