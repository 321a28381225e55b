"""Pictures that become cloth: found in any folder, read with care, cut and evened out, kept ready in the cache."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import io
import os
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from unrealperson.data.sources import UNREADABLE
from unrealperson.files import cache_folder, read_arrays
from unrealperson.log import get_logger, track
from unrealperson.synth.people.annotations import WEARS, Photograph, find_photographs, read_regions
from unrealperson.synth.people.patches import Box, cut_patch, even_out, plain_part, to_lab

Textures = Literal["generated", "random", "real"]
"""Where cloth comes from: painted, any pictures, or patches cut from photographs of garments."""
MAX_BYTES, MAX_PIXELS = 64 << 20, 50_000_000
"""Larger picture files are left out."""
MAX_FILES, MAX_PHOTOGRAPHS = 1_000_000, 4096
"""Pictures that a folder may hold, and how many of them, evenly spread, patches are cut from."""
PIXEL_M = 0.003
"""Finest pixel of cloth: the texture atlas shows no smaller ones."""
_READ_PX = 720
_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp"))
_FORMATS = ("JPEG", "PNG", "WEBP", "BMP")  # Whatever a file is named: Pillow's EPS runs a program.
_FITS = {
    "top": ("top",),
    "outer": ("outer",),
    "dress": ("dress", "skirt", "top"),
    "trousers": ("trousers",),
    "skirt": ("skirt", "dress"),
}
_NEAR, _LEAST_NEAR = 16.0, 8
"""Patches so near to a wanted colour (CIE 1976) are as good as each other, and so many are always to choose from."""
_LAYOUT = 1

logger = get_logger(__name__)


@dataclass(frozen=True)
class Picture:
    """A piece of cloth as a picture.

    Attributes:
        pixels: [h, w, 3] uint8 sRGB.
        pixel_m: side of a pixel in metres on the garment.
        drop_m: from the garment's upper edge down to the picture's middle.
        plain: box of what sleeves and backs are cut from.
    """

    pixels: np.ndarray
    pixel_m: float
    drop_m: float
    plain: Box


@dataclass(frozen=True)
class Patches:
    """Patches of garments, as JPEG files in one array.

    Attributes:
        jpeg: [bytes] uint8.
        start: [n + 1] where each begins.
        wear: [n] index into `annotations.WEARS`.
        pixel_m: [n] metres.
        drop_m: [n] metres.
        color: [n, 3] uint8, its most frequent colour.
    """

    jpeg: np.ndarray
    start: np.ndarray
    wear: np.ndarray
    pixel_m: np.ndarray
    drop_m: np.ndarray
    color: np.ndarray


class AnyPictures:
    """Whole pictures of a folder, or random parts of them.

    Args:
        paths: image files, sorted.
    """

    def __init__(self, paths: list[Path]) -> None:
        self._paths = paths
        self._broken: set[Path] = set()

    def choose(self, rng: np.random.Generator, wear: str, color: np.ndarray) -> Picture:
        """A picture for a garment.

        Args:
            rng: source of randomness.
            wear: which garment; out of `annotations.WEARS`.
            color: ignored: pictures come in all colours.

        Raises:
            ValueError: none of the pictures can be read.
        """
        for index in rng.permutation(len(self._paths)):
            path = self._paths[index]
            try:
                pixels, _ = read_picture(path)
            except ValueError as error:
                if path not in self._broken:
                    logger.warning("left out as cloth: %s", error)
                    self._broken.add(path)
                continue
            high, wide = (max(round(side * rng.uniform(0.5, 1.0)), 1) for side in pixels.shape[:2])
            if rng.random() < 0.5:
                high, wide = pixels.shape[:2]
            top, left = (int(rng.integers(room + 1)) for room in (pixels.shape[0] - high, pixels.shape[1] - wide))
            cut = pixels[top : top + high, left : left + wide]
            # The shorter side covers the front of a trunk or both legs' width.
            pixel_m = float(rng.uniform(0.42, 0.62)) / min(high, wide)
            cut, pixel_m = _reduce(cut, pixel_m)
            height, width = cut.shape[:2]
            return Picture(cut, pixel_m, 0.45 if wear in ("trousers", "skirt") else 0.26, (0, 0, width, height))
        raise ValueError(f"none of the {len(self._paths)} pictures that synth.pictures names can be read")


class GarmentPatches:
    """Patches cut from photographs of garments.

    Args:
        patches: at least one.
    """

    def __init__(self, patches: Patches) -> None:
        self._patches = patches
        self._lab = to_lab(patches.color / 255)

    def __len__(self) -> int:
        return len(self._patches.wear)

    def choose(self, rng: np.random.Generator, wear: str, color: np.ndarray) -> Picture | None:
        """A patch for a garment, or None if the folder shows no such garment.

        Args:
            rng: source of randomness.
            wear: which garment; out of `annotations.WEARS`.
            color: [3] sRGB 0 ... 1 that it is to come close to.
        """
        rows = self._suitable(wear)
        if not len(rows):
            return None
        away = np.linalg.norm(self._lab[rows] - to_lab(color), axis=1)
        near = rows[away < _NEAR]
        if len(near) < _LEAST_NEAR:
            near = rows[np.argsort(away, kind="stable")[:_LEAST_NEAR]]
        return self.picture(int(rng.choice(near)))

    def picture(self, row: int) -> Picture:
        """One of the patches.

        Args:
            row: 0 ... len - 1.
        """
        from PIL import Image

        data = self._patches.jpeg[self._patches.start[row] : self._patches.start[row + 1]]
        with Image.open(io.BytesIO(data.tobytes()), formats=("JPEG",)) as opened:
            pixels = np.array(opened.convert("RGB"))
        # Pockets and fly of trousers are not to be seen again at knee and ankle.
        calm = 0.8 if self._patches.wear[row] == WEARS.index("trousers") else 0.5
        pixel_m, drop_m = float(self._patches.pixel_m[row]), float(self._patches.drop_m[row])
        return Picture(pixels, pixel_m, drop_m, plain_part(pixels, calm=calm))

    def _suitable(self, wear: str) -> np.ndarray:
        for kind in _FITS[wear]:
            rows = np.flatnonzero(np.isin(self._patches.wear, (WEARS.index("any"), WEARS.index(kind))))
            if len(rows):
                return rows
        return np.zeros(0, np.int64)


@lru_cache(maxsize=4)
def open_pictures(folder: Path, textures: Textures) -> AnyPictures | GarmentPatches:
    """Opens a folder of pictures that garments take as their cloth.

    Args:
        folder: pictures at any depth; files and folders whose name begins with a dot are left out.
        textures: "random" takes any pictures; "real" cuts patches from photographs of garments, once for each
            content of the folder.

    Raises:
        ValueError: no such folder, nothing in it that can be used, or textures that take no pictures.
    """
    if textures not in ("random", "real"):
        raise ValueError(f"synth.textures must be random or real to take pictures, got {textures!r}")
    paths = find_pictures(folder)
    if textures == "random":
        return AnyPictures(paths)
    photos = find_photographs(folder, paths)
    path = cache_folder() / f"cloth-{_fingerprint(folder, photos)}.npz"
    with _one_at_a_time(path.parent):
        patches = _load(path)
        if patches is None:
            patches = _cut_all(folder, photos)
            _save(path, patches)
    return GarmentPatches(patches)


def find_pictures(folder: Path) -> list[Path]:
    """All picture files of a folder, at any depth, in the order of their paths.

    Args:
        folder: where to look; links to folders are not followed.

    Raises:
        ValueError: no folder, no pictures, or more than `MAX_FILES`.
    """
    if not folder.is_dir():
        raise ValueError(f"synth.pictures must be a folder of pictures, got {str(folder)!r}")
    found: list[Path] = []
    for root, folders, files in os.walk(folder):
        folders[:] = [name for name in folders if not name.startswith(".")]
        found += [
            Path(root, name) for name in files if Path(name).suffix.lower() in _SUFFIXES and not name.startswith(".")
        ]
        if len(found) > MAX_FILES:
            raise ValueError(f"synth.pictures holds more than {MAX_FILES} pictures; name a smaller folder")
    found = sorted(path for path in found if path.is_file())
    if not found:
        raise ValueError(f"synth.pictures holds no pictures ({' '.join(sorted(_SUFFIXES))}): {folder}")
    return found


def read_picture(path: Path) -> tuple[np.ndarray, tuple[int, int]]:
    """Reads a picture, reduced to what cloth needs.

    Args:
        path: JPEG, PNG, WebP or BMP file.

    Returns:
        [h, w, 3] uint8 sRGB with a longer side of at most 720 pixels, and the file's own width and height.

    Raises:
        ValueError: it is no picture, damaged, or too large.
    """
    from PIL import Image

    try:
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"larger than {MAX_BYTES >> 20} MiB")
        with Image.open(path, formats=_FORMATS) as opened:
            size = opened.size
            if size[0] * size[1] > MAX_PIXELS:
                raise ValueError(f"{size[0]} x {size[1]} pixels, at most {MAX_PIXELS} are read")
            opened.draft("RGB", (2 * _READ_PX, 2 * _READ_PX))
            image = opened.convert("RGB")
    except (*UNREADABLE, MemoryError) as error:
        raise ValueError(f"{path}: {error}") from error
    image.thumbnail((_READ_PX, _READ_PX), Image.Resampling.BOX)
    return np.array(image), size


def _reduce(pixels: np.ndarray, pixel_m: float) -> tuple[np.ndarray, float]:
    """Pixels no finer than `PIXEL_M`, and their size."""
    from PIL import Image

    scale = pixel_m / PIXEL_M
    if scale >= 1:
        return pixels, pixel_m
    size = (max(round(pixels.shape[1] * scale), 1), max(round(pixels.shape[0] * scale), 1))
    return np.array(Image.fromarray(pixels).resize(size, Image.Resampling.BOX)), PIXEL_M


def main_color(pixels: np.ndarray) -> np.ndarray:
    """The most frequent colour of a picture.

    Args:
        pixels: [h, w, 3] uint8.

    Returns:
        [3] uint8.
    """
    flat = pixels.reshape(-1, 3)
    # Cells overlap by half, so that a colour on the border of two is not halved.
    best, most = flat.mean(0), 0
    for shift in (0, 16):
        cell = ((flat.astype(np.int64) + shift) >> 5) @ np.array([1, 16, 256])
        count = np.bincount(cell)
        if count.max() > most:
            most = int(count.max())
            best = flat[cell == count.argmax()].mean(0)
    return np.round(best).astype(np.uint8)


def _cut_all(folder: Path, photos: list[Photograph]) -> Patches:
    """Patches of all photographs of a folder, or of `MAX_PHOTOGRAPHS` of them."""
    from PIL import Image

    if len(photos) > MAX_PHOTOGRAPHS:
        logger.info("%s: patches are cut from %d of %d photographs", folder, MAX_PHOTOGRAPHS, len(photos))
        photos = [photos[len(photos) * k // MAX_PHOTOGRAPHS] for k in range(MAX_PHOTOGRAPHS)]
    files: list[bytes] = []
    rows: list[tuple[int, float, float]] = []
    colors: list[np.ndarray] = []
    broken: list[str] = []
    for photo in track(photos, label="cutting cloth", unit="photo"):
        try:
            image, size = read_picture(photo.path)
            regions = read_regions(photo, image, size)
        except ValueError as error:
            broken.append(str(error))
            continue
        for region in regions:
            box = cut_patch(region.mask)
            if box is None:
                continue
            left, top, right, bottom = box
            high = np.flatnonzero(region.mask.any(1))
            wide = np.flatnonzero(region.mask.any(0))
            pixel_m = region.long_m / (max(high[-1] - high[0], wide[-1] - wide[0]) + 1)
            drop_m = (0.5 * (top + bottom) - high[0]) * pixel_m
            patch, pixel_m = _reduce(image[top:bottom, left:right], pixel_m)
            patch = even_out(patch)
            stream = io.BytesIO()
            Image.fromarray(patch).save(stream, "JPEG", quality=93, subsampling=0)
            files.append(stream.getvalue())
            rows.append((WEARS.index(region.wear), pixel_m, drop_m))
            colors.append(main_color(patch))
    if broken:
        logger.warning("%s: left out %d of %d photographs; the first: %s", folder, len(broken), len(photos), broken[0])
    if not files:
        raise ValueError(
            f"no patch of cloth could be cut from the {len(photos)} photographs of garments in {folder}"
            " (synth.pictures); each must show one whole garment before a background of another colour"
        )
    logger.info("%s: %d patches of cloth from %d photographs", folder, len(files), len(photos))
    wear, pixel_m_all, drop_m_all = zip(*rows, strict=True)
    return Patches(
        jpeg=np.frombuffer(b"".join(files), np.uint8),
        start=np.cumsum([0, *map(len, files)]).astype(np.int64),
        wear=np.array(wear, np.uint8),
        pixel_m=np.array(pixel_m_all, np.float32),
        drop_m=np.array(drop_m_all, np.float32),
        color=np.array(colors, np.uint8),
    )


def _fingerprint(folder: Path, photos: list[Photograph]) -> str:
    """Changes with the names, sizes and times of photographs, with what is known of them and how patches are cut."""
    digest = hashlib.sha256(f"{_LAYOUT} {MAX_PHOTOGRAPHS} {PIXEL_M}".encode())
    for photo in [*photos, *map(Photograph, sorted(folder.glob("label_list.mat")))]:
        digest.update(f"{photo.word} {photo.box}".encode())
        for path in (photo.path, photo.annotation):
            if path is not None:
                found = path.stat()
                name = path.relative_to(folder).as_posix()
                digest.update(f" {name} {found.st_size} {found.st_mtime_ns}\n".encode("utf-8", "surrogateescape"))
    return digest.hexdigest()[:24]


@contextlib.contextmanager
def _one_at_a_time(folder: Path) -> Iterator[None]:
    """Lets one process after the other into the block; without a lock all of them do the same work."""
    with contextlib.ExitStack() as stack:
        try:
            folder.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(folder, os.O_RDONLY)
            stack.callback(os.close, descriptor)
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError as error:
            logger.debug("cannot lock %s (%s)", folder, error)
        yield


def _load(path: Path) -> Patches | None:
    try:
        stored = read_arrays(path)
        patches = Patches(**{name: stored[name] for name in Patches.__dataclass_fields__})
        count = len(patches.wear)
        columns = (patches.pixel_m, patches.drop_m, patches.color)
        if not count or any(len(column) != count for column in columns) or len(patches.start) != count + 1:
            raise ValueError("its arrays do not fit together")
        if patches.start[-1] != len(patches.jpeg) or (np.diff(patches.start) <= 0).any() or patches.start[0] != 0:
            raise ValueError("its files do not fit together")
        return patches
    except FileNotFoundError:
        return None
    except (KeyError, ValueError) as error:
        logger.warning("%s (%s): cutting the patches again", path, error)
        return None


def _save(path: Path, patches: Patches) -> None:
    partial: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".partial", delete=False) as stream:
            partial = Path(stream.name)
            np.savez(stream, **{name: getattr(patches, name) for name in Patches.__dataclass_fields__})
        partial.replace(path)
    except OSError as error:
        logger.warning("cannot write %s (%s); the patches are cut again next time", path, error)
        if partial is not None:
            partial.unlink(missing_ok=True)
