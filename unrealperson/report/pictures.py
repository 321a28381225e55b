"""Pictures for the report: small copies as data URIs, within a budget of bytes."""

from __future__ import annotations

import base64
import io
import os
import re
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import UNREADABLE
from unrealperson.schema import UNKNOWN

Box = tuple[int, int, int, int]

MAX_PIXELS = 40_000_000
"""A picture with more is not opened."""
_CROP_SIZE = (96, 192)
_LARGE_SIZE, _SMALL_SIZE = (720, 720), (320, 320)
_MIN_PERSON_PIXELS = 60


@dataclass(frozen=True)
class Picture:
    """A small copy of an image.

    Attributes:
        uri: data URI.
        width: pixels.
        height: pixels.
    """

    uri: str
    width: int
    height: int


@dataclass(frozen=True)
class PersonView:
    """A person in a frame who became a crop; the crop's box is in percent of the frame's size.

    Attributes:
        name: such as "P 17".
        color: colour in the instance mask, "#rrggbb".
        left: percent.
        top: percent.
        width: percent.
        height: percent.
    """

    name: str
    color: str
    left: float
    top: float
    width: float
    height: float


@dataclass(frozen=True)
class FrameView:
    """A frame, its instance mask (None for a small view) and the people cropped from it."""

    name: str
    lit: Picture | None
    mask: Picture | None
    people: tuple[PersonView, ...]


class Album:
    """Makes data URIs until a budget of bytes is used up; after that there are no more pictures.

    Args:
        budget_bytes: bytes that all URIs together may take.
    """

    def __init__(self, budget_bytes: int) -> None:
        self._left = budget_bytes
        self._made: dict[tuple[Path, tuple[int, int]], Picture | None] = {}

    def crop(self, root: Path, name: str) -> Picture | None:
        """A small copy of a crop, or None if there is none or it lies outside `root`.

        Args:
            root: folder that holds the images.
            name: path relative to `root`.
        """
        # Names come from files: what climbs out of the root is not read.
        path = Path(os.path.normpath(root / name))
        return self.copy(path, _CROP_SIZE) if path.is_relative_to(os.path.normpath(root)) else None

    def copy(self, path: Path, size: tuple[int, int]) -> Picture | None:
        """A copy that fits in `size`, or None if the file is no readable picture.

        Args:
            path: image file.
            size: largest width and height in pixels.
        """
        key = (path, size)
        if key not in self._made:
            image = open_image(path)
            if image is None:
                self._made[key] = None
            else:
                image.thumbnail(size, Image.Resampling.LANCZOS)
                self._made[key] = _encode(image, "WEBP", quality=76, method=4)
        return self._spend(self._made[key])

    def exact(self, image: Image.Image) -> Picture | None:
        """A copy without loss, for flat colours.

        Args:
            image: RGB image of few colours.
        """
        return self._spend(_encode(image.quantize(256, dither=Image.Dither.NONE), "PNG", optimize=True))

    def _spend(self, picture: Picture | None) -> Picture | None:
        if picture is None or len(picture.uri) > self._left:
            return None
        self._left -= len(picture.uri)
        return picture


def open_image(path: Path) -> Image.Image | None:
    """Opens an image as RGB, or None if it is absent, too large or not readable.

    Args:
        path: JPEG, PNG, WebP or BMP file.
    """
    try:
        with Image.open(path, formats=("JPEG", "PNG", "WEBP", "BMP")) as image:
            if image.width * image.height > MAX_PIXELS:
                return None
            return image.convert("RGB")
    except UNREADABLE:
        return None


def view_frame(lit_path: Path, crops: Manifest | None, album: Album, *, large: bool) -> FrameView:
    """A frame with the people who were cropped from it.

    Args:
        lit_path: file cDDD_F_lit.png of camera D and frame F; the mask is cDDD_F_mask.png beside it.
        crops: manifest, to tell which people became crops, or None.
        album: makes the pictures.
        large: with the mask and a larger copy.
    """
    stem = lit_path.name.removesuffix("_lit.png")
    numbered = re.search(r"c(\d+)_(\d+)$", stem)
    camera, frame = (int(number) for number in numbered.groups()) if numbered else (UNKNOWN, UNKNOWN)
    mask = open_image(lit_path.with_name(f"{stem}_mask.png"))
    return FrameView(
        name=f"camera {camera}, frame {frame}" if numbered else stem,
        lit=album.copy(lit_path, _LARGE_SIZE if large else _SMALL_SIZE),
        mask=_small_mask(mask, album) if large and mask is not None else None,
        people=_people(np.asarray(mask), _boxes(crops, camera, frame)) if mask is not None else (),
    )


def _small_mask(mask: Image.Image, album: Album) -> Picture | None:
    scale = min(1.0, *(limit / side for limit, side in zip(_LARGE_SIZE, mask.size, strict=True)))
    size = (max(1, round(mask.width * scale)), max(1, round(mask.height * scale)))
    return album.exact(mask.resize(size, Image.Resampling.NEAREST))


def _people(mask: np.ndarray, crops: list[tuple[int, Box]]) -> tuple[PersonView, ...]:
    """The people who became crops; the mask's other colours are things of the scene, or people without a crop."""
    height, width = mask.shape[:2]
    colored = _colored_boxes(mask)
    people = []
    for person, crop in sorted(crops):
        color, box = max(colored, key=lambda pair: _overlap(crop, pair[1]), default=(0, crop))
        if _overlap(crop, box) > 0.5:
            people.append(
                PersonView(
                    name=f"P {person}",
                    color=f"#{color:06x}",
                    left=round(100 * crop[0] / width, 2),
                    top=round(100 * crop[1] / height, 2),
                    width=round(100 * (crop[2] - crop[0]) / width, 2),
                    height=round(100 * (crop[3] - crop[1]) / height, 2),
                )
            )
    return tuple(people)


def _colored_boxes(mask: np.ndarray) -> list[tuple[int, Box]]:
    """Each colour but black as 0xRRGGBB, with the tight box of its pixels; specks are left out."""
    ys, xs = np.nonzero(mask.any(axis=2))
    colors, label, count = np.unique(
        (mask[ys, xs].astype(np.int64) * (65536, 256, 1)).sum(axis=1), return_inverse=True, return_counts=True
    )
    low = np.full((2, len(colors)), max(mask.shape))
    high = np.zeros((2, len(colors)), dtype=int)
    for axis, place in enumerate((xs, ys)):
        np.minimum.at(low[axis], label, place)
        np.maximum.at(high[axis], label, place + 1)
    return [
        (int(colors[i]), (int(low[0, i]), int(low[1, i]), int(high[0, i]), int(high[1, i])))
        for i in np.flatnonzero(count >= _MIN_PERSON_PIXELS)
    ]


def _boxes(crops: Manifest | None, camera: int, frame: int) -> list[tuple[int, Box]]:
    """P and box of the crops that came from one frame."""
    if crops is None:
        return []
    rows = np.flatnonzero((crops.column("camera") == camera) & (crops.frame == frame))
    columns = [crops.column(name)[rows].tolist() for name in ("person", "left", "top", "right", "bottom")]
    return [(person, (left, top, right, bottom)) for person, left, top, right, bottom in zip(*columns, strict=True)]


def _overlap(a: Box, b: Box) -> float:
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    shared = width * height
    return shared / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - shared)


def _encode(image: Image.Image, kind: str, **options: int | bool) -> Picture:
    stream = io.BytesIO()
    image.save(stream, kind, **options)
    data = base64.b64encode(stream.getvalue()).decode("ascii")
    return Picture(f"data:image/{kind.lower()};base64,{data}", image.width, image.height)
