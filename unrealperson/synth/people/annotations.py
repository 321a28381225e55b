"""What data sets of garment photographs say about them: which garments are where.

Layouts, told by what stands in the folder:

- Clothing-Co-Parsing: `photos/NAME.jpg`, `annotations/pixel-level/NAME.mat` with `groundtruth` [h, w], and
  `label_list.mat`, whose cell k + 1 names label k. Photographs without such labels are left out.
- DeepFashion-MultiModal: `images/NAME.jpg` (or `image`), `segm/NAME_segm.png` (or `parsing`) with labels 0 ... 23.
- DeepFashion2: `image/NNNNNN.jpg` and `annos/NNNNNN.json` side by side, at any depth; each `item` has a category_id
  1 ... 13 and a `segmentation` of polygons.
- DeepFashion (category and attribute, landmark, in-shop, consumer-to-shop): `Anno*/list_bbox*.txt` with the number of
  rows, the names of the columns, then a path below the folder (or below its `Img`) and the box as the last four
  numbers; clothes_type, where there is one, is 1 upper, 2 lower, 3 whole body.
- Any other folder: no masks. `labels.csv` with the columns image and label may say what each photograph shows.

Source: the README of each data set.
"""

from __future__ import annotations

import csv
import json
import math
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.synth.people.patches import Box, find_garment

WEARS = ("any", "top", "outer", "dress", "trousers", "skirt")
"""Which garments a patch suits."""
MAX_LIST_BYTES = 128 << 20
_MAX_BYTES, _MAX_PIXELS = 16 << 20, 40_000_000
_LEAST_SHARE = 0.01

# Words of labels: what the cloth suits, and the usual length of the garment's longer side in metres.
_WORDS: dict[str, tuple[str, float]] = (
    dict.fromkeys(
        "t-shirt tshirt tee shirt blouse polo top longsleeve undershirt sweater sweatshirt hoodie jumper tank bodysuit"
        " henley jersey sling".split(),
        ("top", 0.75),
    )
    | dict.fromkeys("jacket coat blazer outwear outer cardigan vest suit cape parka anorak".split(), ("outer", 0.85))
    | dict.fromkeys("dress romper rompers jumpsuit gown kimono".split(), ("dress", 1.0))
    | dict.fromkeys("pants trousers jeans leggings joggers chinos sweatpants".split(), ("trousers", 1.0))
    | dict.fromkeys("shorts".split(), ("trousers", 0.5))
    | dict.fromkeys("skirt".split(), ("skirt", 0.6))
)
_MULTIMODAL = {1: "top", 2: "outer", 3: "skirt", 4: "dress", 5: "pants", 6: "leggings", 21: "rompers"}
_DEEPFASHION2 = (
    "", "top", "top", "jacket", "jacket", "vest", "sling", "shorts", "trousers", "skirt", "dress", "dress", "dress",
    "dress",
)  # fmt: skip
_CLOTHES_TYPE = {"1": "top", "2": "trousers", "3": "dress"}


@dataclass(frozen=True)
class Photograph:
    """A photograph and what is known of it.

    Attributes:
        path: image file.
        word: label of its one garment; empty if unknown.
        annotation: file with masks of its garments, or None.
        box: box of its one garment, or None.
    """

    path: Path
    word: str = ""
    annotation: Path | None = None
    box: Box | None = None


@dataclass(frozen=True)
class Region:
    """A garment in a photograph.

    Attributes:
        mask: [h, w] bool.
        wear: out of `WEARS`.
        long_m: usual length of the garment's longer side in metres.
    """

    mask: np.ndarray
    wear: str
    long_m: float


def describe_word(word: str) -> tuple[str, float] | None:
    """What a label's cloth suits and how long such a garment is in metres, or None if it is no such garment.

    Args:
        word: label such as "T-Shirt" or "long sleeve top"; empty is any garment.
    """
    if not word.strip():
        return "any", 0.75
    for part in reversed(re.split(r"[\s_/]+", word.strip().lower())):
        if part in _WORDS:
            return _WORDS[part]
    return None


def find_photographs(folder: Path, paths: list[Path]) -> list[Photograph]:
    """The photographs that can show cloth, with what the folder's annotations say.

    Args:
        folder: their folder.
        paths: image files in it, sorted.

    Raises:
        ValueError: a list of the data set cannot be read.
    """
    if (folder / "annotations" / "pixel-level").is_dir() and (folder / "label_list.mat").is_file():
        masks = folder / "annotations" / "pixel-level"
        found = [Photograph(p, annotation=masks / f"{p.stem}.mat") for p in paths if p.parent.name == "photos"]
        return [photo for photo in found if photo.annotation is not None and photo.annotation.is_file()]
    boxed = sorted(folder.glob("Anno*/**/list_bbox*.txt"))
    if boxed:
        return _read_boxes(folder, boxed, paths)
    found = [Photograph(path, annotation=mask) for path in paths if (mask := _mask_beside(path)) is not None]
    if found:
        return found
    labels = _read_labels(folder / "labels.csv") if (folder / "labels.csv").is_file() else {}
    photos = [Photograph(path, word=labels.get(path.name, "")) for path in paths]
    return [photo for photo in photos if describe_word(photo.word) is not None]


def read_regions(photo: Photograph, image: np.ndarray, size: tuple[int, int]) -> list[Region]:
    """The garments in a photograph.

    Args:
        photo: from `find_photographs`.
        image: [h, w, 3] uint8, the photograph, perhaps reduced.
        size: width and height of the file's image in pixels.

    Raises:
        ValueError: its annotation is damaged or too large.
    """
    if photo.annotation is None:
        return _separate(photo, image, size)
    if photo.annotation.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{photo.annotation} is larger than {_MAX_BYTES >> 20} MiB")
    if photo.annotation.suffix == ".json":
        named = _read_polygons(photo.annotation, image.shape[:2], size)
    else:
        named = _read_label_map(photo.annotation, image.shape[:2])
    described = ((mask, describe_word(word)) for word, mask in named if mask.mean() > _LEAST_SHARE)
    return [Region(mask, *found) for mask, found in described if found is not None]


def _separate(photo: Photograph, image: np.ndarray, size: tuple[int, int]) -> list[Region]:
    height, width = image.shape[:2]
    left, top, right, bottom = 0, 0, width, height
    if photo.box is not None:
        scale = width / size[0]
        left, top, right, bottom = (scale * side for side in photo.box)
        # A little of the background is needed to learn its colours.
        across, down = 0.08 * (right - left), 0.08 * (bottom - top)
        left, top = max(int(left - across), 0), max(int(top - down), 0)
        right, bottom = min(math.ceil(right + across), width), min(math.ceil(bottom + down), height)
        if right - left < 24 or bottom - top < 24:
            return []
    described = describe_word(photo.word)
    if described is None:
        return []
    found = find_garment(image[top:bottom, left:right], gaps=described[0] in ("any", "trousers"))
    if found is None:
        return []
    mask = np.zeros((height, width), bool)
    mask[top:bottom, left:right] = found
    return [Region(mask, *described)]


def _mask_beside(path: Path) -> Path | None:
    beside = path.parent.parent
    if path.parent.name in ("image", "images"):
        for mask in (
            beside / "segm" / f"{path.stem}_segm.png",
            beside / "parsing" / f"{path.stem}_segm.png",
            beside / "annos" / f"{path.stem}.json",
        ):
            if mask.is_file():
                return mask
    return None


def _read_label_map(path: Path, shape: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
    names: dict[int, str] = _MULTIMODAL
    if path.suffix == ".mat":
        names = dict(enumerate(_read_label_list(path.parent.parent.parent / "label_list.mat")))
        labels = _read_matrix(path, "groundtruth")
    else:
        from PIL import Image

        try:
            with Image.open(path, formats=("PNG",)) as opened:
                if opened.width * opened.height > _MAX_PIXELS or opened.mode not in ("L", "P"):
                    raise ValueError(f"it is {opened.width} x {opened.height} {opened.mode}, no label map")
                labels = np.asarray(opened)
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ValueError(f"{path}: {error}") from error
    if labels.ndim != 2 or not labels.size or labels.dtype.kind not in "uif":
        raise ValueError(f"{path} must hold a matrix of labels, got {labels.dtype} {list(labels.shape)}")
    rows = np.arange(shape[0]) * labels.shape[0] // shape[0]
    columns = np.arange(shape[1]) * labels.shape[1] // shape[1]
    labels = labels[rows[:, None], columns]
    return [(names[int(value)], labels == value) for value in np.unique(labels) if int(value) in names]


def _read_matrix(path: Path, name: str) -> np.ndarray:
    """One matrix of a MATLAB file, after a look at how large it is."""
    from scipy.io import loadmat, whosmat
    from scipy.io.matlab import MatReadError

    try:
        shapes = {entry[0]: entry[1] for entry in whosmat(path, appendmat=False)}
        if name not in shapes or math.prod(shapes[name]) > _MAX_PIXELS:
            raise ValueError(f"it has {shapes}, expected {name} of at most {_MAX_PIXELS} numbers")
        return np.asarray(loadmat(path, appendmat=False, variable_names=[name])[name])
    except (OSError, KeyError, TypeError, IndexError, ValueError, NotImplementedError, MatReadError, EOFError) as error:
        raise ValueError(f"{path}: {error}") from error


def _read_label_list(path: Path) -> list[str]:
    if path.stat().st_size > _MAX_BYTES:
        raise ValueError(f"{path} is larger than {_MAX_BYTES >> 20} MiB")
    return [
        str(np.asarray(cell).item()) if np.size(cell) == 1 else "" for cell in _read_matrix(path, "label_list").flat
    ]


def _read_polygons(path: Path, shape: tuple[int, int], size: tuple[int, int]) -> list[tuple[str, np.ndarray]]:
    from PIL import Image, ImageDraw

    try:
        document: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        found = []
        for name in sorted(document):
            item = document[name]
            if not name.startswith("item"):
                continue
            drawn = Image.new("1", (shape[1], shape[0]))
            for polygon in item["segmentation"]:
                points = np.asarray(polygon, np.float64).reshape(-1, 2) * (shape[1] / size[0])
                if len(points) > 2 and np.isfinite(points).all():
                    ImageDraw.Draw(drawn).polygon([(float(x), float(y)) for x, y in points], fill=1)
            found.append((_DEEPFASHION2[int(item["category_id"])], np.array(drawn)))
        return found
    except (OSError, KeyError, IndexError, TypeError, AttributeError, ValueError, RecursionError) as error:
        raise ValueError(f"{path} is no annotation of DeepFashion2: {error!r}") from error


def _read_boxes(folder: Path, lists: list[Path], paths: list[Path]) -> list[Photograph]:
    known = {path.relative_to(folder).as_posix(): path for path in paths}
    known |= {name.removeprefix("Img/"): path for name, path in known.items()}
    found: dict[Path, Photograph] = {}
    for listed in lists:
        columns: list[str] = []
        for number, line in enumerate(_read_text(listed).splitlines()):
            words = line.split()
            if number == 1:
                columns = words
            if number < 2 or len(words) < 5 or words[0] not in known:
                continue
            try:
                left, top, right, bottom = (int(float(word)) for word in words[-4:])
            except (ValueError, OverflowError) as error:
                raise ValueError(f"{listed}, line {number + 1}: the last four must be a box, got {line!r}") from error
            at = columns.index("clothes_type") if "clothes_type" in columns else 0
            word = _CLOTHES_TYPE.get(words[at], "") if 0 < at < len(words) else ""
            path = known[words[0]]
            found[path] = Photograph(path, word=word, box=(left, top, right, bottom))
    return [found[path] for path in paths if path in found]


def _read_labels(path: Path) -> dict[str, str]:
    rows = csv.DictReader(_read_text(path).splitlines())
    if not {"image", "label"} <= set(rows.fieldnames or ()):
        raise ValueError(f"{path} must have the columns image and label, got {rows.fieldnames}")
    return {Path(row["image"] or "").name: row["label"] or "" for row in rows}


def _read_text(path: Path) -> str:
    if path.stat().st_size > MAX_LIST_BYTES:
        raise ValueError(f"{path} is larger than {MAX_LIST_BYTES >> 20} MiB")
    return path.read_text(encoding="utf-8", errors="replace")
