"""Cropper: one pass over a frame's instance mask, then the original's rules for every person."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import hashlib
import importlib.metadata
import io
import json
import math
import platform
import re
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import PIL
from PIL import Image, features

from unrealperson import __version__
from unrealperson.config import Config, CropConfig, SynthConfig, load_config, save_config
from unrealperson.data.frames import list_frames, read_frame
from unrealperson.data.manifest import Manifest
from unrealperson.data.masks import check_image, measure_people, own_pixels
from unrealperson.data.recipe import write_recipe
from unrealperson.data.rle import encode_mask
from unrealperson.data.stored import StoredSet
from unrealperson.executor import Executor, in_turn
from unrealperson.files import pack_folder, replacing_folder, unpack_folder, write_json
from unrealperson.log import get_logger, track
from unrealperson.schema import LabelledFrame, camera_key, person_key
from unrealperson.storage import is_url

_logger = get_logger(__name__)

REASONS = ("not_visible", "few_pixels", "border", "small_area", "low_visibility", "few_keypoints", "low_fill")
"""Why a person of a frame gives no crop, in the order of the rules."""


@dataclass(frozen=True)
class Crop:
    """One person cut out of one frame.

    Attributes:
        person: P, the key of the person's mask colour.
        box: left, top, right, bottom of the enlarged box in the frame; xyxy pixels, half-open.
        image: [bottom - top, right - left, 3] uint8 RGB.
        pixels: mask pixels of the person in the whole frame.
        fill: mask pixels over the area of the tight box. The rules "compat" measure that box between its outermost
            pixels, so a full rectangle fills slightly more than 1.
        tight: left, top, right, bottom of the person's pixels in the frame; half-open.
        visibility: share of the person that is seen; None where it is not known.
    """

    person: int
    box: tuple[int, int, int, int]
    image: np.ndarray
    pixels: int
    fill: float
    tight: tuple[int, int, int, int]
    visibility: float | None = None


def crop_frame(
    image: np.ndarray,  # [H, W, 3] or [H, W, 4] uint8
    mask: np.ndarray,  # [H, W, 3] or [H, W, 4] uint8
    colors: Mapping[int, tuple[int, int, int]],
    rules: CropConfig,
    rng: Callable[[int], np.random.Generator],
    truth: Mapping[int, Mapping[str, Any]] = MappingProxyType({}),
) -> tuple[list[Crop], Counter[str]]:
    """Cuts every person of a frame who passes the rules.

    The rules, in this order: mask pixels > min_pixels; tight box at least `border` away from each edge of the
    frame; each side enlarged by a random whole number of pixels, at most `enlarge` of the box's side, clamped
    to the frame; enlarged area >= min_area; then visibility >= min_visibility and at least min_keypoints visible
    key points, or, where the truth is not known, fill >= min_fill.

    With the rules "compat" boxes and decisions are the original's to the pixel: its extents are inclusive while its
    crops exclude the right and bottom line, so the lines of the person's last pixels may be cut off, and fill takes
    the place of visibility.

    Args:
        image: [H, W, 3] or [H, W, 4] uint8 RGB frame; alpha is dropped.
        mask: instance mask of the same height and width, in flat colours without smoothing.
        colors: mask colour of each person P.
        rules: thresholds of the rules.
        rng: gives the generator of a person P, so that a crop does not depend on who else is in the frame.
        truth: what is known of each person P; `unoccluded_pixels` and `keypoints` count here.

    Returns:
        The crops by increasing person, and how many people were rejected for each of `REASONS`.

    Raises:
        ValueError: wrong shape or type, image and mask of different sizes, or a colour out of range.

    Source: section 3.3 of the paper; toolkit/postprocess.py of the authors' code.
    """
    check_image(image, "image")
    check_image(mask, "mask")
    if image.shape[:2] != mask.shape[:2]:
        raise ValueError(f"image and mask must have one size, got {_size(image)} and {_size(mask)} (W x H)")
    people = sorted(colors)
    table = np.array([colors[person] for person in people], dtype=np.int64).reshape(-1, 3)
    if table.size and not (0 <= table.min() and table.max() <= 255):
        raise ValueError(f"colors must lie in 0 ... 255, got {table.min()} ... {table.max()}")
    measured = measure_people(mask, table.astype(np.uint8), tolerance=rules.tolerance)
    crops: list[Crop] = []
    visible = np.flatnonzero(measured[:, 0]).tolist()
    rejected = Counter({"not_visible": len(people) - len(visible)} if len(visible) < len(people) else ())
    for order in visible:
        person = people[order]
        crop = _apply_rules(image, person, measured[order].tolist(), rules, rng, truth.get(person, {}))
        if isinstance(crop, Crop):
            crops.append(crop)
        else:
            rejected[crop] += 1
    return crops, rejected


def write_crops(
    frame: LabelledFrame, folder: Path, rules: CropConfig, synth: SynthConfig | None
) -> tuple[list[dict[str, Any]], Counter[str]]:
    """Crops a frame and writes each crop as folder/unreal_vX.Y/images/P_cDDD_F.jpg.

    Args:
        frame: image, mask and what is known of them.
        folder: root of the data set.
        rules: thresholds and JPEG quality.
        synth: configuration that made the frame, for the columns seed, split and recipe; None leaves them unknown.

    Returns:
        One row of the manifest per crop, and how many people were rejected for each of `REASONS`.

    Source: folder layout and names of the authors' data set; identity is (Y, P), camera is (X, D).
    """

    def stream(person: int) -> np.random.Generator:
        return np.random.default_rng([rules.seed, frame.scene, frame.version, person, frame.camera, frame.number])

    crops, rejected = crop_frame(frame.image, frame.mask, frame.colors, rules, stream, frame.people)
    images = f"unreal_v{frame.scene}.{frame.version}/images"
    (folder / images).mkdir(parents=True, exist_ok=True)
    height, width = frame.mask.shape[:2]
    of_all = {
        "scene": frame.scene,
        "version": frame.version,
        "camera": frame.camera,
        "camid": camera_key(frame.scene, frame.camera),
        "frame": frame.number,
        "time_s": frame.time_s if math.isfinite(frame.time_s) else None,
        "light": frame.light if frame.light >= 0 else None,
        "hours": frame.hours,
        "camera_pose": _json(frame.camera_pose),
        "frame_width": width,
        "frame_height": height,
        "seed": synth and synth.seed,
        "recipe": synth and write_recipe(synth, rules),
        "made_on": made_on(frame.driver),
    }
    rows = []
    for crop in crops:
        path = f"{images}/{crop.person:04d}_c{frame.camera:03d}_{frame.number:06d}.jpg"
        jpeg = io.BytesIO()
        Image.fromarray(crop.image).save(jpeg, "jpeg", quality=rules.quality)
        (folder / path).write_bytes(jpeg.getvalue())
        row = {
            "path": path,
            "pid": person_key(frame.version, crop.person),
            "person": crop.person,
            "split": synth and ("test" if crop.person >= synth.people - synth.test_people else "train"),
            "sha256": hashlib.sha256(jpeg.getvalue()).hexdigest(),
        }
        rows.append(of_all | row | _describe(crop, frame, rules.tolerance))
    return rows, rejected


@functools.cache
def made_on(driver: str | None) -> str:
    """What the bytes of a crop depend on besides its recipe, as the JSON text of the manifest's column `made_on`.

    Args:
        driver: graphics driver that drew the frame; None where it is not known.
    """
    parts = {"unrealperson": __version__, "cpu": _processor(), "numpy": np.__version__}
    parts |= {"pillow": PIL.__version__, "jpeg": str(features.version("jpg"))}
    turbo = features.version_feature("libjpeg_turbo")
    parts |= {"jpeg": f"libjpeg-turbo {turbo}"} if turbo else {}
    if driver is not None:
        parts["driver"] = driver
        for name in ("panda3d", "anny"):
            with contextlib.suppress(importlib.metadata.PackageNotFoundError):
                parts[name] = importlib.metadata.version(name)
    return json.dumps(parts, sort_keys=True)


def _processor() -> str:
    with contextlib.suppress(OSError):
        found = re.search(r"^model name\s*:\s*(.+)$", Path("/proc/cpuinfo").read_text(encoding="utf-8"), re.MULTILINE)
        if found:
            return f"{platform.machine()} {found[1]}"
    return platform.machine()


def _describe(crop: Crop, frame: LabelledFrame, tolerance: int) -> dict[str, Any]:
    """Columns of one crop that the image and the truth give."""
    left, top, right, bottom = crop.box
    truth = frame.people.get(crop.person, {})
    own = own_pixels(frame.mask[top:bottom, left:right], frame.colors[crop.person], tolerance=tolerance)
    keypoints = None
    if "keypoints" in truth:
        points = [(x - left, y - top, seen) for x, y, seen in truth["keypoints"]]
        inside = [(0 <= x < right - left) and (0 <= y < bottom - top) and seen > 0 for x, y, seen in points]
        keypoints = [value for point, kept in zip(points, inside, strict=True) for value in (point if kept else _NONE)]
    return {
        "left": left,
        "top": top,
        "right": right,
        "bottom": bottom,
        "width": right - left,
        "height": bottom - top,
        "tight_box": crop.tight,
        "full_box": truth.get("full_box"),
        "pixels": crop.pixels,
        "unoccluded_pixels": truth.get("unoccluded_pixels"),
        "visibility": crop.visibility,
        "fill": crop.fill,
        "keypoints": keypoints,
        "mask": encode_mask(own),
        "attributes": _json(frame.attributes.get(crop.person)),
        "yaw_deg": truth.get("yaw_deg"),
        "heading_deg": truth.get("heading_deg"),
        "speed_mps": truth.get("speed_mps"),
        "distance_m": truth.get("distance_m"),
        "position_m": truth.get("position_m"),
    }


_NONE = (0.0, 0.0, 0.0)


def _json(value: Mapping[str, Any] | None) -> str | None:
    return json.dumps(value, sort_keys=True, ensure_ascii=False) if value else None


def crop_folder(frames: Path, out: str | Path, rules: CropConfig, *, executor: Executor | None = None) -> Manifest:
    """Crops frames on disk: those that synth kept (with its rules the crops are the same files), or the original's.

    Args:
        frames: folder of frames as `data.frames.list_frames` takes them; the config.toml beside it tells seed and
            split.
        out: data set to write, complete or not at all: crops, manifest.parquet, report.json, config.toml. A URL is
            filled as `data.stored` says, the crops in tar shards, and goes on where it was stopped.
        rules: thresholds and JPEG quality.
        executor: who crops; None is this process.

    Returns:
        The manifest that was written.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no frames in it, a damaged one, or `out` is taken.
    """
    start_s = time.monotonic()
    found = list_frames(frames)
    beside = Path(frames).absolute().parent / "config.toml"
    config = dataclasses.replace(load_config(beside) if beside.is_file() else Config(), crop=rules)
    given = (rules, config.synth if beside.is_file() else None)
    parts = [found[first : first + _FRAMES] for first in range(0, len(found), _FRAMES)]
    if is_url(out):
        return _crop_to(StoredSet(str(out)), config, given, parts, executor or in_turn)
    rows: list[dict[str, Any]] = []
    reports = []
    with replacing_folder(out) as folder:
        made: Iterator[_Cropped]
        if executor is None:
            made = (_crop_frames(given, [path], folder) for path in found)
        else:
            made = _unpacked(executor(_crop_packed, given, parts), folder)
        for written, report in track(made, label="crop", total=len(found if executor is None else parts)):
            rows += written
            reports.append(report)
        rows.sort(key=lambda row: (row["frame"], row["camera"], row["person"]))
        manifest = Manifest.from_rows(rows, folder)
        manifest.write()
        report = total_report(reports, manifest, seconds=time.monotonic() - start_s)
        write_json(folder / "report.json", report)
        save_config(config, folder / "config.toml")
    log_counts(report)
    return Manifest.read(out)


_FRAMES = 64
"""That one task of an executor crops."""
_Rules = tuple[CropConfig, SynthConfig | None]
_Cropped = tuple[list[dict[str, Any]], dict[str, Any]]


def _crop_frames(rules: _Rules, paths: Sequence[Path], folder: Path) -> _Cropped:
    """Rows of the crops that were written, and how many people were seen, accepted, and rejected for each reason."""
    rows: list[dict[str, Any]] = []
    rejected: Counter[str] = Counter()
    seen = 0
    for path in paths:
        frame = read_frame(path)
        written, reasons = write_crops(frame, folder, *rules)
        rows += written
        rejected += reasons
        seen += len(frame.colors) - reasons["not_visible"]
    return rows, {"frames": len(paths), "people_seen": seen, "accepted": len(rows), "rejected": dict(rejected)}


def _crop_packed(rules: _Rules, paths: Sequence[Path]) -> tuple[_Cropped, bytes]:
    with tempfile.TemporaryDirectory() as folder:
        return _crop_frames(rules, paths, Path(folder)), pack_folder(folder)


def _unpacked(made: Iterator[tuple[int, tuple[_Cropped, bytes]]], folder: Path) -> Iterator[_Cropped]:
    for _, (cropped, packed) in made:
        unpack_folder(packed, folder)
        yield cropped


def _crop_to(
    stored: StoredSet, config: Config, rules: _Rules, parts: Sequence[Sequence[Path]], executor: Executor
) -> Manifest:
    """Makes a set at a URL, or finishes it."""
    start_s = time.monotonic()
    begun = stored.begin(config)
    if (begun.crop, begun.synth) != (config.crop, config.synth):
        raise ValueError(f"{stored.url} was begun with other frames or rules; choose another folder or delete this one")
    whole = stored.manifest()
    if whole is not None:
        return whole
    there = stored.finished()
    named = {f"{number:06d}-of-{len(parts):06d}": part for number, part in enumerate(parts)}
    missing = [(name, part) for name, part in named.items() if name not in there]
    for _ in track(executor(_crop_stored, (rules, stored.url), missing), label="crop", total=len(missing)):
        pass
    manifest, reports = stored.collect(list(named))
    columns = (manifest.column(name) for name in ("person", "camera", "frame"))
    manifest = manifest.select(np.lexsort(tuple(columns)))
    report = total_report(reports, manifest, seconds=time.monotonic() - start_s)
    stored.end(manifest, report)
    log_counts(report)
    return manifest


def _crop_stored(given: tuple[_Rules, str], part: tuple[str, Sequence[Path]]) -> None:
    (rules, url), (name, paths) = given, part
    with tempfile.TemporaryDirectory() as folder:
        shard = Path(folder, name)
        (shard / "files").mkdir(parents=True)
        rows, report = _crop_frames(rules, paths, shard / "files")
        Manifest.from_rows(rows, shard).write()
        write_json(shard / "report.json", report)
        StoredSet(url).add(shard)


def total_report(parts: Iterable[Mapping[str, Any]], manifest: Manifest, *, seconds: float) -> dict[str, Any]:
    """Content of report.json: what became of the people that the frames show.

    Args:
        parts: of each shard frames, people_seen, accepted, and rejected by reason.
        manifest: the crops of all.
        seconds: wall time of the stage.
    """
    counts: Counter[str] = Counter()
    rejected: Counter[str] = Counter()
    for part in parts:
        rejected += Counter(part["rejected"])
        counts += Counter({key: part.get(key, 0) for key in ("frames", "people_seen", "accepted")})
    return {
        "frames": counts["frames"],
        "people_seen": counts["people_seen"],
        "accepted": counts["accepted"],
        "rejected": dict(sorted(rejected.items())),
        "identities": len(manifest.identities),
        "cameras": len(manifest.cameras),
        "seconds": round(seconds, 3),
    }


def log_counts(report: Mapping[str, Any]) -> None:
    """Logs what became of the people that the frames show.

    Args:
        report: content of report.json.
    """
    rejected = ", ".join(f"{count} {reason}" for reason, count in report["rejected"].items())
    _logger.info(
        "%d frames show people %d times: %d crops, rejected: %s",
        report["frames"],
        report["people_seen"],
        report["accepted"],
        rejected or "none",
    )
    if not report["accepted"]:
        _logger.warning("nobody could be cropped; give more people, instants or pixels, or lower crop.min_pixels")


def _apply_rules(
    image: np.ndarray,
    person: int,
    measured: list[int],
    rules: CropConfig,
    rng: Callable[[int], np.random.Generator],
    truth: Mapping[str, Any],
) -> Crop | str:
    pixels, left, top, right, bottom = measured
    if pixels <= rules.min_pixels:
        return "few_pixels"
    height, width = image.shape[:2]
    tight = (left, top, right + 1, bottom + 1)
    # The original takes the last pixel for the end of the box, in the frame as well.
    last = 0 if rules.rules == "compat" else 1
    if min(left, top) < rules.border or bottom >= height - rules.border or right >= width - rules.border:
        return "border"
    right, bottom = right + last, bottom + last
    wide, high = right - left, bottom - top
    if wide * high == 0:
        return "small_area"
    most_x, most_y = int(rules.enlarge * wide), int(rules.enlarge * high)
    grow = rng(person).integers(0, [most_x, most_y, most_x, most_y], endpoint=True).tolist()
    left, top = max(left - grow[0], 0), max(top - grow[1], 0)
    right, bottom = min(right + grow[2], width - 1 + last), min(bottom + grow[3], height - 1 + last)
    if (right - left) * (bottom - top) < rules.min_area:
        return "small_area"
    fill = pixels / (wide * high)
    visibility = min(pixels / truth["unoccluded_pixels"], 1.0) if truth.get("unoccluded_pixels") else None
    if rules.rules == "compat" or visibility is None:
        if fill < rules.min_fill:
            return "low_fill"
    elif visibility < rules.min_visibility:
        return "low_visibility"
    elif "keypoints" in truth and sum(seen == 2 for *_, seen in truth["keypoints"]) < rules.min_keypoints:
        return "few_keypoints"
    box = (left, top, right, bottom)
    return Crop(person, box, image[top:bottom, left:right, :3].copy(), pixels, fill, tight, visibility)


def _size(image: np.ndarray) -> str:
    return f"{image.shape[1]} x {image.shape[0]}"
