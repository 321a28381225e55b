"""The cropper against a slow statement of the original's rules."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from unrealperson import compiled
from unrealperson.config import Config, CropConfig, SynthConfig, load_config, save_config
from unrealperson.crop import REASONS, Crop, crop_folder, crop_frame, write_crops
from unrealperson.data.manifest import Manifest
from unrealperson.schema import LabelledFrame

RED, GREEN = (200, 30, 40), (20, 220, 60)
ORIGINAL = CropConfig(rules="compat")


def stream(person: int) -> np.random.Generator:
    return np.random.default_rng([7, person])


def paint(width: int, height: int, *boxes: tuple[tuple[int, int, int], tuple[int, int, int, int]]) -> np.ndarray:
    mask = np.zeros((height, width, 3), np.uint8)
    for color, (left, top, right, bottom) in boxes:
        mask[top:bottom, left:right] = color
    return mask


def noise(mask: np.ndarray) -> np.ndarray:
    return np.random.default_rng(1).integers(0, 256, mask.shape, dtype=np.uint8)


def slow_person(mask: np.ndarray, color: tuple[int, int, int], rules: CropConfig, person: int) -> Any:
    """Rules 1 to 7 pixel by pixel: the reason, or (box, pixels, fill)."""
    height, width = mask.shape[:2]
    inside = [
        (x, y)
        for y in range(height)
        for x in range(width)
        if all(abs(int(mask[y, x, c]) - color[c]) <= rules.tolerance for c in range(3))
    ]
    if not inside:
        return "not_visible"
    if not len(inside) > rules.min_pixels:
        return "few_pixels"
    left, right = min(x for x, _ in inside), max(x for x, _ in inside)
    top, bottom = min(y for _, y in inside), max(y for _, y in inside)
    edge = rules.border
    if left < edge or top < edge or bottom >= height - edge or right >= width - edge:
        return "border"
    r1, r2 = right - left, bottom - top
    most = [int(rules.enlarge * r1), int(rules.enlarge * r2)] * 2
    grow = stream(person).integers(0, most, endpoint=True)
    box = (
        max(0, left - int(grow[0])),
        max(0, top - int(grow[1])),
        min(width - 1, right + int(grow[2])),
        min(height - 1, bottom + int(grow[3])),
    )
    if r1 * r2 == 0 or (box[2] - box[0]) * (box[3] - box[1]) < rules.min_area:
        return "small_area"
    if len(inside) / (r1 * r2) < rules.min_fill:
        return "low_fill"
    return box, len(inside), len(inside) / (r1 * r2)


def slow_visible(
    mask: np.ndarray, color: tuple[int, int, int], rules: CropConfig, person: int, truth: dict[str, Any]
) -> Any:
    """The rules "visibility" pixel by pixel, in half-open boxes: the reason, or (box, pixels, visibility)."""
    height, width = mask.shape[:2]
    near = (np.abs(mask.astype(int) - color) <= rules.tolerance).all(axis=2)
    pixels = int(near.sum())
    if pixels == 0:
        return "not_visible"
    if pixels <= rules.min_pixels:
        return "few_pixels"
    y, x = np.nonzero(near)
    box = [int(x.min()), int(y.min()), int(x.max()) + 1, int(y.max()) + 1]
    edge = rules.border
    if box[0] < edge or box[1] < edge or box[2] > width - edge or box[3] > height - edge:
        return "border"
    wide, high = box[2] - box[0], box[3] - box[1]
    most = [int(rules.enlarge * wide), int(rules.enlarge * high)] * 2
    grow = [int(step) for step in stream(person).integers(0, most, endpoint=True)]
    fill = pixels / (wide * high)
    box = [
        max(0, box[0] - grow[0]),
        max(0, box[1] - grow[1]),
        min(width, box[2] + grow[2]),
        min(height, box[3] + grow[3]),
    ]
    if (box[2] - box[0]) * (box[3] - box[1]) < rules.min_area:
        return "small_area"
    if not truth:
        return "low_fill" if fill < rules.min_fill else (tuple(box), pixels, None)
    visibility = min(pixels / truth["unoccluded_pixels"], 1)
    if visibility < rules.min_visibility:
        return "low_visibility"
    if [point[2] for point in truth["keypoints"]].count(2) < rules.min_keypoints:
        return "few_keypoints"
    return tuple(box), pixels, visibility


@st.composite
def frames(draw: st.DrawFn) -> tuple[np.ndarray, dict[int, tuple[int, int, int]], CropConfig]:
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    width, height = draw(st.integers(1, 30)), draw(st.integers(1, 24))
    # Few levels close to each other: pixels within the tolerance of several people, and of none.
    levels = draw(st.sampled_from([[0, 3, 5, 250, 255], [12, 15, 16, 17, 31, 33], list(range(0, 256, 9))]))
    people = draw(st.integers(0, 12))
    colors = {int(p): tuple(rng.choice(levels, 3).tolist()) for p in rng.permutation(40)[:people]}
    mask = np.zeros((height, width, 3), np.uint8)
    for color in list(colors.values())[: people - people // 4]:
        left, top = rng.integers(0, width), rng.integers(0, height)
        shape = (slice(top, top + rng.integers(1, 20)), slice(left, left + rng.integers(1, 16)))
        mask[shape] = np.clip(np.array(color) + rng.integers(-3, 4, mask[shape].shape), 0, 255)
    rules = CropConfig(
        rules=draw(st.sampled_from(["compat", "visibility"])),
        min_visibility=draw(st.sampled_from([0.0, 0.3, 0.9])),
        min_keypoints=draw(st.sampled_from([0, 4, 12])),
        tolerance=draw(st.integers(0, 7)),
        min_pixels=draw(st.integers(0, 60)),
        border=draw(st.integers(0, 4)),
        enlarge=draw(st.sampled_from([0.0, 0.1, 0.5])),
        min_area=draw(st.integers(0, 80)),
        min_fill=draw(st.sampled_from([0.0, 0.3, 0.9])),
    )
    return mask, colors, rules


@settings(max_examples=80, deadline=None)
@given(frames())
def test_agrees_with_the_slow_statements(case: tuple[np.ndarray, dict[int, tuple[int, int, int]], CropConfig]) -> None:
    mask, colors, rules = case
    image = noise(mask)
    points = [[0.0, 0.0, number % 3] for number in range(17)]
    truth = {person: {"unoccluded_pixels": 40 + person, "keypoints": points[person:] + [[0, 0, 2]] * person}
             for person in range(0, 17, 2)}  # fmt: skip
    crops, rejected = crop_frame(image, mask, colors, rules, stream, truth)
    compat = rules.rules == "compat"
    expected = {
        person: slow_person(mask, color, rules, person)
        if compat
        else slow_visible(mask, color, rules, person, truth.get(person, {}))
        for person, color in colors.items()
    }
    assert rejected == Counter(result for result in expected.values() if isinstance(result, str))
    assert {c.person: (c.box, c.pixels, c.fill if compat else c.visibility) for c in crops} == {
        person: result for person, result in expected.items() if not isinstance(result, str)
    }
    assert [c.person for c in crops] == sorted(c.person for c in crops)
    for crop in crops:
        left, top, right, bottom = crop.box
        np.testing.assert_array_equal(crop.image, image[top:bottom, left:right])


@pytest.mark.parametrize(
    ("boxes", "reason"),
    [
        ([(RED, (50, 50, 90, 100))], "few_pixels"),  # 2000 pixels; more are needed
        ([(RED, (50, 50, 90, 100)), (RED, (60, 100, 61, 101))], None),  # 2001
        ([(RED, (5, 5, 45, 100))], None),
        ([(RED, (4, 5, 45, 100))], "border"),
        ([(RED, (5, 4, 45, 100))], "border"),
        ([(RED, (50, 50, 155, 115))], None),
        ([(RED, (50, 50, 156, 115))], "border"),
        ([(RED, (50, 50, 155, 116))], "border"),
        ([(RED, (10, 10, 60, 60)), (RED, (150, 110, 151, 111))], "low_fill"),  # 2501 / (141 * 101)
        ([], "not_visible"),
    ],
)
def test_thresholds_of_the_original(boxes: list[Any], reason: str | None) -> None:
    mask = paint(160, 120, *boxes)
    crops, rejected = crop_frame(noise(mask), mask, {3: RED}, ORIGINAL, stream)
    assert (len(crops), dict(rejected)) == ((1, {}) if reason is None else (0, {reason: 1}))
    assert reason is None or reason in REASONS


@pytest.mark.parametrize(
    ("boxes", "known", "reason"),
    [
        ([(RED, (5, 5, 45, 100))], None, None),
        ([(RED, (50, 50, 155, 115))], None, None),
        ([(RED, (50, 50, 156, 115))], None, "border"),
        ([(RED, (10, 10, 60, 60)), (RED, (150, 110, 151, 111))], None, "low_fill"),
        ([(RED, (10, 10, 60, 60)), (RED, (150, 110, 151, 111))], (2501, 4), None),  # the truth is known: all is seen
        ([(RED, (10, 10, 60, 60))], (8400, 4), "low_visibility"),  # 2500 of 8400 pixels
        ([(RED, (10, 10, 60, 60))], (8300, 4), None),
        ([(RED, (10, 10, 60, 60))], (2500, 3), "few_keypoints"),
    ],
)
def test_thresholds_of_visibility(boxes: list[Any], known: tuple[int, int] | None, reason: str | None) -> None:
    mask = paint(160, 120, *boxes)
    truth = {}
    if known:
        points = [[1.0, 1.0, 2]] * known[1] + [[1.0, 1.0, 1]] * (17 - known[1])
        truth = {3: {"unoccluded_pixels": known[0], "keypoints": points}}
    crops, rejected = crop_frame(noise(mask), mask, {3: RED}, CropConfig(), stream, truth)
    assert (len(crops), dict(rejected)) == ((1, {}) if reason is None else (0, {reason: 1}))
    assert reason is None or reason in REASONS


def test_boxes_hold_every_pixel_but_in_compat() -> None:
    mask = paint(160, 120, (RED, (40, 20, 90, 100)))
    for rules, right in ((CropConfig(enlarge=0.0), 90), (CropConfig(enlarge=0.0, rules="compat"), 89)):
        (crop,), _ = crop_frame(mask, mask, {3: RED}, rules, stream)
        assert crop.box == (40, 20, right, right + 10)
        assert crop.tight == (40, 20, 90, 100)


def test_small_area_needs_another_threshold() -> None:
    mask = paint(160, 120, (RED, (50, 50, 95, 100)))
    rules = CropConfig(min_area=4000)
    assert crop_frame(noise(mask), mask, {3: RED}, rules, stream)[1] == {"small_area": 1}


def test_crop_does_not_depend_on_who_else_is_there() -> None:
    mask = paint(320, 240, (RED, (60, 40, 110, 200)), (GREEN, (200, 60, 250, 210)))
    both, _ = crop_frame(noise(mask), mask, {9: RED, 4: GREEN}, CropConfig(), stream)
    alone, _ = crop_frame(noise(mask), mask, {9: RED}, CropConfig(), stream)
    assert [crop.person for crop in both] == [4, 9]
    assert both[1].box == alone[0].box


def test_enlargement_covers_its_whole_range_and_nothing_more() -> None:
    mask = paint(200, 160, (RED, (40, 30, 91, 131)))  # tight box 40, 30, 90, 130: up to 5 and 10 pixels a side
    boxes = []
    for seed in range(300):
        (crop,), _ = crop_frame(mask, mask, {1: RED}, ORIGINAL, lambda p, s=seed: np.random.default_rng(s))
        boxes.append(crop.box)
    for side, values in enumerate(zip(*boxes, strict=True)):
        tight, most, sign = ((40, 5, -1), (30, 10, -1), (90, 5, 1), (130, 10, 1))[side]
        assert set(values) == {tight + sign * step for step in range(most + 1)}
    corners = {box[:2] for box in boxes}
    assert len(corners) > 40, "sides must grow independently"


def test_enlargement_stops_at_the_frame() -> None:
    mask = paint(100, 80, (RED, (1, 1, 98, 78)))
    rules = CropConfig(rules="compat", border=1, enlarge=1.0)
    boxes = np.array(
        [crop_frame(mask, mask, {1: RED}, rules, lambda p, s=s: np.random.default_rng(s))[0][0].box for s in range(20)]
    )
    assert boxes.min() == 0
    assert boxes[:, 2].max() == 99
    assert boxes[:, 3].max() == 79


def test_alpha_and_strides_change_nothing() -> None:
    mask = paint(320, 240, (RED, (60, 40, 110, 200)))
    image = noise(mask)
    alpha = np.full((240, 320, 1), 9, np.uint8)
    plain, _ = crop_frame(image, mask, {9: RED}, CropConfig(), stream)
    with_alpha, _ = crop_frame(
        np.concatenate([image, alpha], 2), np.concatenate([mask, alpha], 2), {9: RED}, CropConfig(), stream
    )
    strided, _ = crop_frame(
        np.repeat(image, 2, axis=1)[:, ::2], np.asfortranarray(mask), {9: RED}, CropConfig(), stream
    )
    for other in (with_alpha, strided):
        np.testing.assert_array_equal(plain[0].image, other[0].image)
        assert plain[0].box == other[0].box
    assert plain[0].image.flags.owndata, "a crop must not keep its frame alive"


@pytest.mark.parametrize(
    ("image", "mask", "colors", "message"),
    [
        (np.zeros((4, 5), np.uint8), np.zeros((4, 5, 3), np.uint8), {}, r"image must be uint8 \[H, W, 3\].*\[4, 5\]"),
        (np.zeros((4, 5, 3)), np.zeros((4, 5, 3), np.uint8), {}, "image must be uint8 .* got float64"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5, 2), np.uint8), {}, "mask must be uint8"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((5, 4, 3), np.uint8), {}, "one size, got 5 x 4 and 4 x 5"),
        (np.zeros((4, 5, 3), np.uint8), np.zeros((4, 5, 3), np.uint8), {1: (0, 0, 256)}, "0 ... 255, got 0 ... 256"),
    ],
)
def test_bad_frames(image: np.ndarray, mask: np.ndarray, colors: Any, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        crop_frame(image, mask, colors, CropConfig(), stream)


def test_empty_frames() -> None:
    empty = np.zeros((0, 7, 3), np.uint8)
    assert crop_frame(empty, empty, {1: RED}, CropConfig(), stream) == ([], Counter(not_visible=1))
    assert crop_frame(empty, empty, {}, CropConfig(), stream) == ([], Counter())


SYNTH = SynthConfig(people=10, test_people=2, seed=11)


def kept_frame(camera: int, number: int) -> LabelledFrame:
    mask = paint(320, 240, (RED, (60 + camera, 40, 110, 200 - number)), (GREEN, (200, 60, 250, 210)))
    return LabelledFrame(
        scene=2,
        version=3,
        camera=camera,
        number=number,
        time_s=0.5 * number,
        light=1,
        image=noise(mask),
        mask=mask,
        colors={1: RED, 9: GREEN, 5: (1, 2, 250)},
        people={1: {"yaw_deg": 30.0, "distance_m": 8.5}},
    )


def keep(frame: LabelledFrame, folder: Path) -> None:
    stem = f"c{frame.camera:03d}_{frame.number:06d}"
    Image.fromarray(frame.image).save(folder / f"{stem}_lit.png")
    Image.fromarray(frame.mask).save(folder / f"{stem}_mask.png")
    names = {key.name for key in dataclasses.fields(frame)} - {"image", "mask", "number"}
    truth = {name: getattr(frame, name) for name in names} | {"frame": frame.number}
    (folder / f"{stem}_truth.json").write_text(json.dumps(truth))


@pytest.fixture
def kept(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "frames"
    folder.mkdir(parents=True)
    save_config(Config(synth=SYNTH), folder.parent / "config.toml")
    for camera in (1, 2):
        for number in (0, 1):
            keep(kept_frame(camera, number), folder)
    return folder


def test_rows_of_a_frame_say_what_is_known(tmp_path: Path) -> None:
    frame = kept_frame(4, 7)
    rows, rejected = write_crops(frame, tmp_path, CropConfig(), SYNTH)
    assert rejected == {"not_visible": 1}
    manifest = Manifest.from_rows(rows, tmp_path)
    assert manifest.path == ("unreal_v2.3/images/0001_c004_000007.jpg", "unreal_v2.3/images/0009_c004_000007.jpg")
    assert manifest.pid.tolist() == [3_000_001, 3_000_009]
    assert manifest.camid.tolist() == [2_004, 2_004]
    assert manifest.split.tolist() == ["train", "test"]
    assert manifest.column("yaw_deg")[0] == 30
    assert np.isnan(manifest.column("yaw_deg")[1])
    for row, stored in enumerate(rows):
        content = manifest.image_path(row).read_bytes()
        assert hashlib.sha256(content).hexdigest() == stored["sha256"]
        assert Image.open(io.BytesIO(content)).size == (stored["width"], stored["height"])
        assert (stored["right"] - stored["left"], stored["bottom"] - stored["top"]) == (
            stored["width"],
            stored["height"],
        )


def test_kept_frames_give_the_same_crops(kept: Path, tmp_path: Path) -> None:
    rows = []
    for number in (0, 1):
        for camera in (1, 2):
            rows += write_crops(kept_frame(camera, number), tmp_path / "direct", CropConfig(), SYNTH)[0]
    direct = Manifest.from_rows(rows, tmp_path / "direct")
    manifest = crop_folder(kept, tmp_path / "again", CropConfig())
    assert manifest.table == direct.table
    assert all(manifest.image_path(i).read_bytes() == direct.image_path(i).read_bytes() for i in range(len(direct)))
    report = json.loads((tmp_path / "again" / "report.json").read_text())
    assert (report["frames"], report["people_seen"], report["accepted"]) == (4, 8, 8)
    assert report["rejected"] == {"not_visible": 4}
    assert load_config(tmp_path / "again" / "config.toml") == Config(synth=SYNTH)


def test_other_rules_and_no_configuration(kept: Path, tmp_path: Path) -> None:
    (kept.parent / "config.toml").unlink()
    rules = CropConfig(min_pixels=7_650)  # person 9 has 7500; person 1 has 7840, 7791, 7680 and 7632
    manifest = crop_folder(kept, tmp_path / "again", rules)
    assert manifest.column("pixels").tolist() == [7840, 7680, 7791]
    assert manifest.column("person").tolist() == [1, 1, 1]
    assert manifest.split.tolist() == [""] * 3
    assert manifest.column("seed").tolist() == [-1] * 3
    assert load_config(tmp_path / "again" / "config.toml").crop == rules


def test_bad_frame_folders(kept: Path, tmp_path: Path) -> None:
    out = tmp_path / "again"
    with pytest.raises(FileNotFoundError, match=r"there is no folder .*missing"):
        crop_folder(tmp_path / "missing", out, CropConfig())
    with pytest.raises(ValueError, match=r"holds no frames .*keep-frames True"):
        crop_folder(tmp_path, out, CropConfig())
    with pytest.raises(ValueError, match="exists; choose another folder"):
        crop_folder(kept, kept, CropConfig())
    (kept / "c002_000001_truth.json").write_text("{}")
    with pytest.raises(ValueError, match=r"c002_000001_truth.json is missing or damaged: KeyError\('scene'\)"):
        crop_folder(kept, out, CropConfig())
    assert not out.exists()
    truth = json.loads((kept / "c001_000001_truth.json").read_text()) | {"scene": "/../.."}
    (kept / "c002_000001_truth.json").write_text(json.dumps(truth))
    with pytest.raises(ValueError, match=r"c002_000001_truth.json is missing or damaged: TypeError"):
        crop_folder(kept, out, CropConfig())
    (kept / "c002_000001_truth.json").unlink()
    with pytest.raises(ValueError, match="is missing or damaged: FileNotFoundError"):
        crop_folder(kept, out, CropConfig())
    (kept / "c001_000000_mask.png").write_bytes(b"no image")
    with pytest.raises(ValueError, match=r"c001_000000_mask.png is not a readable image"):
        crop_folder(kept, out, CropConfig())


def test_crop_is_a_value() -> None:
    crop = Crop(1, (0, 0, 2, 3), np.zeros((3, 2, 3), np.uint8), 6, 1.0, (0, 0, 2, 3))
    with pytest.raises(dataclasses.FrozenInstanceError):
        crop.person = 2  # type: ignore[misc]


def test_compiles_where_no_cache_can_be_written(monkeypatch: pytest.MonkeyPatch) -> None:
    real = compiled.numba.njit

    def refusing(*, nogil: bool, cache: bool = False):
        if cache:
            raise RuntimeError("cannot cache function")
        return real(nogil=nogil)

    monkeypatch.setattr(compiled.numba, "njit", refusing)
    assert compiled.compiled(lambda x: x + 1)(2) == 3
