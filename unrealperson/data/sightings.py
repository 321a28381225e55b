"""People in whole frames: from the frames that a data set keeps, or as far as its crops tell."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from unrealperson.data.frames import list_frames, read_frame
from unrealperson.data.manifest import Manifest
from unrealperson.data.masks import own_pixels
from unrealperson.data.rle import decode_mask, encode_mask
from unrealperson.log import get_logger
from unrealperson.schema import camera_key, person_key

_logger = get_logger(__name__)
FRAMES = "frames"


@dataclass(frozen=True)
class Sighting:
    """One person or object in one frame.

    Attributes:
        name: "person", or the object's name.
        pid: global identity; -1 for an object.
        box: of the visible pixels; xyxy, half-open.
        full_box: of the whole body, may reach outside; None where it is not known.
        pixels: that are seen.
        visibility: share that is seen; None where it is not known.
        keypoints: 17 x (x, y, v) in the frame; None where they are not known.
        mask: the whole frame's mask as COCO's compressed run lengths.
    """

    name: str
    pid: int
    box: tuple[int, int, int, int]
    full_box: tuple[float, float, float, float] | None
    pixels: int
    visibility: float | None
    keypoints: list[list[float]] | None
    mask: str


@dataclass(frozen=True)
class SeenFrame:
    """Everything that is annotated in one frame.

    Attributes:
        scene: X.
        camid: global camera.
        camera: D.
        number: F.
        width: of the frame in pixels.
        height: of the frame in pixels.
        image: the frame's file; None where frames were not kept.
        sightings: people, then objects.
    """

    scene: int
    camid: int
    camera: int
    number: int
    width: int
    height: int
    image: Path | None
    sightings: list[Sighting] = field(default_factory=list)

    @property
    def name(self) -> str:
        """File name of the frame's image in an export."""
        return f"s{self.scene:03d}_c{self.camera:03d}_{self.number:06d}.png"


def seen_frames(manifest: Manifest) -> Iterator[SeenFrame]:
    """Frames of a data set with all that they show, by camera and number.

    Where the set keeps its frames everybody who is seen is told, otherwise only those who have a crop.

    Args:
        manifest: a synthetic data set.

    Raises:
        ValueError: rows that do not tell their place in a frame.
    """
    folder = manifest.root / FRAMES
    if folder.is_dir():
        for path in list_frames(folder):
            yield _from_frame(path)
        return
    yield from _from_rows(manifest)


def _from_frame(path: Path) -> SeenFrame:
    frame = read_frame(path)
    height, width = frame.mask.shape[:2]
    camid = camera_key(frame.scene, frame.camera)
    seen = SeenFrame(frame.scene, camid, frame.camera, frame.number, width, height, path)
    packed = frame.mask.astype(np.int32) @ np.array([65536, 256, 1])
    present = set(np.unique(packed).tolist())
    for name, color in frame.objects.items():
        code = color[0] << 16 | color[1] << 8 | color[2]
        if code in present:
            own = packed == code
            seen.sightings.append(_sighting(name, -1, own, None, None, None))
    people = []
    for person, color in sorted(frame.colors.items()):
        own = own_pixels(frame.mask, color)
        if own.any():
            truth = frame.people.get(person, {})
            unoccluded = truth.get("unoccluded_pixels")
            visibility = min(int(own.sum()) / unoccluded, 1.0) if unoccluded else None
            full = truth.get("full_box")
            points = [list(map(float, point)) for point in truth["keypoints"]] if "keypoints" in truth else None
            pid = person_key(frame.version, person)
            people.append(_sighting("person", pid, own, full and tuple(full), visibility, points))
    seen.sightings[:0] = people
    return seen


def _from_rows(manifest: Manifest) -> Iterator[SeenFrame]:
    names = ["scene", "camera", "frame", "camid", "pid", "left", "top", "right", "bottom", "tight_box", "full_box"]
    names += ["visibility", "keypoints", "mask", "frame_width", "frame_height", "path"]
    rows = manifest.table.select(names).to_pylist()
    lacking = [row["path"] for row in rows if None in (row["scene"], row["mask"], row["tight_box"], row["frame_width"])]
    if lacking:
        raise ValueError(f"{lacking[0]} does not tell its place in a frame; only synthetic sets can be written so")
    _logger.warning("%s keeps no frames (synth.keep_frames): only people who have a crop are written", manifest.root)
    frames: dict[tuple[int, int, int], SeenFrame] = {}
    for row in sorted(rows, key=lambda row: (row["scene"], row["camera"], row["frame"], row["pid"])):
        key = (row["scene"], row["camera"], row["frame"])
        size = (row["frame_width"], row["frame_height"])
        frame = frames.setdefault(key, SeenFrame(row["scene"], row["camid"], row["camera"], row["frame"], *size, None))
        own = np.zeros((row["frame_height"], row["frame_width"]), bool)
        left, top, right, bottom = (row[side] for side in ("left", "top", "right", "bottom"))
        own[top:bottom, left:right] = decode_mask(row["mask"], bottom - top, right - left)
        points = None
        if row["keypoints"] is not None:
            triples = np.reshape(row["keypoints"], (17, 3))
            points = [[x + left, y + top, v] if v else [0.0, 0.0, 0.0] for x, y, v in triples.tolist()]
        full = row["full_box"] and tuple(row["full_box"])
        frame.sightings.append(_sighting("person", row["pid"], own, full, row["visibility"], points))
    yield from frames.values()


def _sighting(
    name: str,
    pid: int,
    own: np.ndarray,  # [H, W] bool
    full_box: tuple[float, float, float, float] | None,
    visibility: float | None,
    keypoints: list[list[float]] | None,
) -> Sighting:
    columns, lines = np.flatnonzero(own.any(axis=0)), np.flatnonzero(own.any(axis=1))
    box = (int(columns[0]), int(lines[0]), int(columns[-1]) + 1, int(lines[-1]) + 1)
    return Sighting(name, pid, box, full_box, int(own.sum()), visibility, keypoints, encode_mask(own))
