"""Writers: a data set in the form that other tools read."""

from __future__ import annotations

import io
import json
import re
import tarfile
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, Literal

import numpy as np
from PIL import Image

from unrealperson.data.frames import list_frames, read_frame
from unrealperson.data.manifest import Manifest
from unrealperson.data.masks import own_pixels
from unrealperson.data.sightings import FRAMES, SeenFrame, Sighting, seen_frames
from unrealperson.data.sources import load_image, read_bytes
from unrealperson.data.subsets import draw_queries, place_image
from unrealperson.data.tracklets import Filled, Tracklet, fill_gaps, find_tracklets
from unrealperson.files import replacing_folder, write_json
from unrealperson.log import get_logger, track
from unrealperson.schema import UNKNOWN, camera_key

Format = Literal["market", "mars", "list", "webdataset", "coco", "mot"]

_logger = get_logger(__name__)
_MARKET_FOLDERS = {"train": "bounding_box_train", "query": "query", "gallery": "bounding_box_test"}
_SHARD_IMAGES = 1000
_numbers = re.compile(r"_\d+")  # Bench_4_Slats is one of the category Bench_Slats
_KEYPOINTS = (
    "nose left_eye right_eye left_ear right_ear left_shoulder right_shoulder left_elbow right_elbow left_wrist "
    "right_wrist left_hip right_hip left_knee right_knee left_ankle right_ankle"
).split()
_SKELETON = (
    *((16, 14), (14, 12), (17, 15), (15, 13), (12, 13), (6, 12), (7, 13), (6, 7), (6, 8), (7, 9)),
    *((8, 10), (9, 11), (2, 3), (1, 2), (1, 3), (2, 4), (3, 5), (4, 6), (5, 7)),
)


def write_as(form: Format, manifest: Manifest, out: str | Path, *, seed: int = 0) -> None:
    """Writes a data set in another form; the folder appears complete or not at all.

    Args:
        form: market, mars, list, webdataset, coco or mot.
        manifest: the data set.
        out: folder to make.
        seed: of the queries, where test images have none (market and mars).

    Raises:
        ValueError: the folder is taken, or the set lacks what the form needs.
    """
    if not len(manifest):
        raise ValueError(f"{manifest.root} has no images to write")
    writers: dict[str, Callable[[Path], None]] = {
        "market": lambda folder: _write_market(_with_queries(manifest, seed), folder),
        "mars": lambda folder: _write_mars(_with_queries(manifest, seed), folder),
        "list": lambda folder: _write_list(manifest, folder),
        "webdataset": lambda folder: _write_webdataset(manifest, folder),
        "coco": lambda folder: _write_coco(seen_frames(manifest), folder),
        "mot": lambda folder: _write_mot(seen_frames(manifest), folder),
    }
    with replacing_folder(out) as folder:
        writers[form](folder)


def _with_queries(manifest: Manifest, seed: int) -> Manifest:
    """The split train, query, gallery: test images are divided where they are not yet."""
    split = manifest.split
    test = np.flatnonzero(split == "test")
    values = np.where(split == "", "train", split).astype("<U7")
    if len(test):
        values[test] = draw_queries(manifest.select(test), seed=seed).split
    return manifest.replaced("split", values.tolist())


def _numbered(values: np.ndarray, *, first: int) -> dict[int, int]:
    """Small numbers for large ones; junk (-1) and distractors (0) keep theirs."""
    distinct = [value for value in np.unique(values).tolist() if value > 0]
    return {UNKNOWN: UNKNOWN, 0: 0} | {value: number for number, value in enumerate(distinct, first)}


def _write_market(manifest: Manifest, folder: Path) -> None:
    """Folders and names of Market-1501, with people and cameras counted from 1; numbers.json tells who is who."""
    people, cameras = _numbered(manifest.pid, first=1), _camera_numbers(manifest)
    for row in track(range(len(manifest)), label="market", unit="img"):
        pid, camera = people[int(manifest.pid[row])], cameras[int(manifest.camid[row])]
        frame = max(int(manifest.frame[row]), 0)
        name = f"{'-1' if pid == UNKNOWN else f'{pid:04d}'}_c{camera}s1_{frame:06d}_{row:06d}"
        target = folder / _MARKET_FOLDERS[manifest.split[row]] / (name + manifest.image_path(row).suffix)
        target.parent.mkdir(exist_ok=True)
        place_image(manifest.image_path(row), target)
    write_json(folder / "numbers.json", {"pid": _told(people), "camid": _told(cameras)})


def _camera_numbers(manifest: Manifest) -> dict[int, int]:
    cameras = {value: number for number, value in enumerate(np.unique(manifest.camid).tolist(), 1)}
    if UNKNOWN in cameras:
        _logger.warning("images without camera are written as camera %d", cameras[UNKNOWN])
    if len(cameras) > 9:
        _logger.warning("%d cameras: loaders that read one digit of the camera mix them up", len(cameras))
    return cameras


def _told(numbers: dict[int, int]) -> dict[str, int]:
    return {str(number): value for value, number in numbers.items() if value != number or value > 0}


def _write_mars(manifest: Manifest, folder: Path) -> None:
    """Folders and names of MARS, its lists as text: first and last image, person, camera of each tracklet.

    Where the set keeps its frames, gaps are filled with crops of interpolated boxes that the masks confirm.
    """
    if not find_tracklets(manifest):
        raise ValueError(f"{manifest.root} has no tracklet: no image tells person, camera and frame number")
    kept_frames = _frames_by_place(manifest)
    people, cameras = _numbered(manifest.pid, first=1), _camera_numbers(manifest)
    (folder / "info").mkdir()
    for part, splits in (("train", ("train",)), ("test", ("query", "gallery"))):
        kept = manifest.select(np.isin(manifest.split, splits))
        names: list[str] = []
        lines: list[str] = []
        queries: list[int] = []
        seen: set[tuple[int, int]] = set()
        for tracklet in find_tracklets(kept):
            pid, camera = people[tracklet.pid], cameras[tracklet.camid]
            first = len(names) + 1
            start = f"{pid:04d}C{camera}T{tracklet.number:04d}"
            names += _place_tracklet(kept, tracklet, folder / f"bbox_{part}" / f"{pid:04d}", start, kept_frames)
            lines.append(f"{first} {len(names)} {pid} {camera}")
            if (pid, camera) not in seen:
                queries.append(len(lines))
            seen.add((pid, camera))
        _write_lines(folder / "info" / f"{part}_name.txt", names)
        _write_lines(folder / "info" / f"tracks_{part}_info.txt", lines)
        if part == "test":
            several = {pid for pid, _ in seen if sum(other == pid for other, _ in seen) > 1}
            queries = [number for number in queries if int(lines[number - 1].split()[2]) in several]
            _write_lines(folder / "info" / "query_IDX.txt", map(str, queries))


def _place_tracklet(
    manifest: Manifest, tracklet: Tracklet, folder: Path, start: str, kept_frames: dict[tuple[int, int], Path]
) -> list[str]:
    folder.mkdir(parents=True, exist_ok=True)
    sources: dict[int, Path | Filled] = {int(manifest.frame[row]): manifest.image_path(row) for row in tracklet.rows}
    person = int(manifest.column("person")[tracklet.rows[0]])

    def seen_pixels(number: int) -> np.ndarray | None:
        path = kept_frames.get((tracklet.camid, number))
        if path is None:
            return None
        frame = read_frame(path)
        return own_pixels(frame.mask, frame.colors[person]) if person in frame.colors else None

    if kept_frames:
        sources |= {filled.frame: filled for filled in fill_gaps(manifest, tracklet, seen_pixels)}
    names = []
    for number, (frame, source) in enumerate(sorted(sources.items()), 1):
        suffix = source.suffix if isinstance(source, Path) else ".jpg"
        names.append(f"{start}F{number:03d}{suffix}")
        if isinstance(source, Path):
            place_image(source, folder / names[-1])
        else:
            left, top, right, bottom = source.box
            image = load_image(kept_frames[tracklet.camid, frame])[max(top, 0) : bottom, max(left, 0) : right]
            Image.fromarray(image).save(folder / names[-1], quality=90)
    return names


def _frames_by_place(manifest: Manifest) -> dict[tuple[int, int], Path]:
    """Kept frames by global camera and number; the files' names tell them, their folder or the rows the scene."""
    folder = manifest.root / FRAMES
    if not folder.is_dir():
        return {}
    scenes = sorted(set(manifest.column("scene").tolist()))
    places = {}
    for path in list_frames(folder):
        camera, number = (int(text) for text in re.findall(r"\d+", path.name)[:2])
        scene = re.fullmatch(r"v(\d+)\.\d+", path.parent.name)
        places[camera_key(int(scene[1]) if scene else scenes[0], camera), number] = path
    return places


def _write_list(manifest: Manifest, folder: Path) -> None:
    """The original's list: path, label and camera of each training image, the latter two counted from 0."""
    train = manifest.select(np.isin(manifest.split, ("train", "")) & (manifest.pid != UNKNOWN))
    if not len(train):
        raise ValueError(f"{manifest.root} has no training image with an identity")
    labels, cameras = np.unique(train.pid, return_inverse=True)[1], np.unique(train.camid, return_inverse=True)[1]
    lines = (f"{path} {label} {camera}" for path, label, camera in zip(train.path, labels, cameras, strict=True))
    _write_lines(folder / "list_unreal_train.txt", lines)


def _write_webdataset(manifest: Manifest, folder: Path) -> None:
    """Tar shards of an image, its row (json) and its label (cls: identities counted from 0, -1 unknown) each."""
    labels = {pid: number for number, pid in enumerate(manifest.identities.tolist())}
    names = manifest.table.column_names
    for shard, first in enumerate(track(range(0, len(manifest), _SHARD_IMAGES), label="webdataset", unit="tar")):
        part = manifest.select(slice(first, first + _SHARD_IMAGES))
        with tarfile.open(folder / f"{shard:06d}.tar", "w", format=tarfile.USTAR_FORMAT) as archive:
            for number, row in enumerate(part.table.to_pylist()):
                image = part.image_path(number)
                known = {name: row[name] for name in names if row[name] is not None and name != "recipe"}
                key = f"{first + number:09d}"
                _add(archive, f"{key}{image.suffix.lower()}", read_bytes(image))
                _add(archive, f"{key}.cls", str(labels.get(row["pid"], UNKNOWN)).encode())
                _add(archive, f"{key}.json", json.dumps(known, sort_keys=True).encode())


def _add(archive: tarfile.TarFile, name: str, content: bytes) -> None:
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    archive.addfile(entry, io.BytesIO(content))


def _write_coco(frames: Iterable[SeenFrame], folder: Path) -> None:
    """annotations.json with boxes, masks and key points of people and masks of other objects, and images/."""
    categories: dict[str, int] = {"person": 1}
    images: list[dict[str, Any]] = []
    annotations: list[dict[str, Any]] = []
    for number, frame in enumerate(frames, 1):
        images.append({"id": number, "file_name": frame.name, "width": frame.width, "height": frame.height})
        _place_frame(frame, folder / "images" / frame.name)
        for seen in frame.sightings:
            category = categories.setdefault(_numbers.sub("", seen.name), len(categories) + 1)
            annotations.append(_coco_annotation(seen, frame, len(annotations) + 1, number, category))
    told = [{"id": number, "name": name, "supercategory": "scene"} for name, number in categories.items()]
    told[0] |= {
        "supercategory": "person",
        "keypoints": list(_KEYPOINTS),
        "skeleton": [list(bone) for bone in _SKELETON],
    }
    made = {"info": {"description": "people of unrealperson"}, "licenses": [], "categories": told}
    write_json(folder / "annotations.json", made | {"images": images, "annotations": annotations})


def _coco_annotation(seen: Sighting, frame: SeenFrame, number: int, image: int, category: int) -> dict[str, Any]:
    left, top, right, bottom = seen.box
    annotation: dict[str, Any] = {
        "id": number,
        "image_id": image,
        "category_id": category,
        "bbox": [left, top, right - left, bottom - top],
        "area": seen.pixels,
        "iscrowd": 0,
        "segmentation": {"size": [frame.height, frame.width], "counts": seen.mask},
    }
    if seen.pid == UNKNOWN:
        return annotation | {"name": seen.name}
    # Scorers of key points ask for them in every person.
    points = seen.keypoints or [[0.0, 0.0, 0.0]] * len(_KEYPOINTS)
    return annotation | {
        "track_id": seen.pid,
        "visibility": seen.visibility,
        "keypoints": [value for point in points for value in point],
        "num_keypoints": sum(point[2] > 0 for point in points),
    }


def _write_mot(frames: Iterable[SeenFrame], folder: Path) -> None:
    """One sequence a camera: gt/gt.txt (frame, id, left, top, width, height, 1, class, visibility), seqinfo.ini, img1/.

    Frames are counted from 1. Boxes are those of the whole body where it is known, as in MOT17.
    """
    by_camera: dict[tuple[int, int], list[SeenFrame]] = {}
    for frame in frames:
        by_camera.setdefault((frame.scene, frame.camera), []).append(frame)
    for (scene, camera), sequence in sorted(by_camera.items()):
        sequence.sort(key=lambda frame: frame.number)
        name = f"S{scene:03d}-C{camera:03d}"
        lines = []
        for number, frame in enumerate(sequence, 1):
            _place_frame(frame, folder / name / "img1" / f"{number:06d}.png")
            for seen in frame.sightings:
                if seen.pid == UNKNOWN:
                    continue
                left, top, right, bottom = seen.full_box or seen.box
                share = 1.0 if seen.visibility is None else seen.visibility
                box = f"{left:.2f},{top:.2f},{right - left:.2f},{bottom - top:.2f}"
                lines.append(f"{number},{seen.pid},{box},1,1,{share:.4f}")
        (folder / name / "gt").mkdir(parents=True)
        _write_lines(folder / name / "gt" / "gt.txt", lines)
        info = {"name": name, "imDir": "img1", "frameRate": 1, "seqLength": len(sequence)}
        info |= {"imWidth": sequence[0].width, "imHeight": sequence[0].height, "imExt": ".png"}
        _write_lines(folder / name / "seqinfo.ini", ["[Sequence]", *(f"{key}={value}" for key, value in info.items())])


def _place_frame(frame: SeenFrame, target: Path) -> None:
    if frame.image is not None:
        target.parent.mkdir(parents=True, exist_ok=True)
        place_image(frame.image, target)


def _write_lines(path: Path, lines: Iterable[str]) -> None:
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
