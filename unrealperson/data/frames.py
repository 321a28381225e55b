"""Frames on disk: those that synth kept, and those of the original's toolkit."""

from __future__ import annotations

import operator
import re
import reprlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unrealperson.data.sources import load_image
from unrealperson.schema import LabelledFrame
from unrealperson.untrusted import read_json, read_pickle

LIT, MASK, TRUTH = "_lit.png", "_mask.png", "_truth.json"
COLORS = "object_color"
"""Stem of the file that holds the mask colour of each person, for frames that have no truth beside them."""

_MAX_BYTES = 64 << 20
_original = re.compile(r"c(\d{1,3})_(\d{1,15})")
_folder = re.compile(r"unreal_v(\d{1,5})\.(\d{1,5})")
_color = re.compile(r"\(R=(\d{1,3}),G=(\d{1,3}),B=(\d{1,3}),A=\d{1,3}\)")


def list_frames(folder: str | Path) -> list[Path]:
    """The colour image of each frame in a folder, by camera and number.

    Args:
        folder: holds cDDD_F_lit.png and cDDD_F_mask.png, with cDDD_F_truth.json each, or with one
            object_color.json or object_color.pkl for all of them; or folders of such frames.

    Raises:
        FileNotFoundError: no such folder.
        ValueError: no frames in it.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"there is no folder {folder}; give OUT/frames of 'unrealperson synth'")
    found = [*folder.glob(f"*{LIT}"), *folder.glob(f"*/*{LIT}")]
    found.sort(key=lambda path: (path.parent, [int(number) for number in re.findall(r"\d+", path.name)]))
    if not found:
        raise ValueError(
            f"{folder} holds no frames (*{LIT}); give OUT/frames of 'unrealperson synth --synth.keep-frames True'"
        )
    return found


def read_frame(lit: str | Path) -> LabelledFrame:
    """Reads one frame, its mask and what is known of them.

    Frames of the original's toolkit tell camera and number only: scene and model version come from a folder
    unreal_vX.Y above them, or are 1 and 1.

    Args:
        lit: the colour image, as `list_frames` gives it.

    Raises:
        ValueError: something is missing or damaged.

    Source: toolkit/generate_datasets.py of the authors' code, for the original's names and colours.
    """
    lit = Path(lit)
    stem = lit.name.removesuffix(LIT)
    truth_path = lit.with_name(stem + TRUTH)
    colors_path = next((path for path in _color_files(lit.parent) if path.is_file()), None)
    if truth_path.is_file() or colors_path is None:
        return _read_kept(lit, stem, truth_path)
    name = _original.fullmatch(stem)
    if name is None:
        raise ValueError(f"{lit} must be named c001_17{LIT}, or have a {TRUTH} beside it")
    folder = _folder.findall(lit.absolute().parent.as_posix())
    scene, version = map(int, folder[-1]) if folder else (1, 1)
    return LabelledFrame(
        scene=scene,
        version=version,
        camera=int(name[1]),
        number=int(name[2]),
        time_s=float("nan"),
        light=-1,
        image=load_image(lit),
        mask=load_image(lit.with_name(stem + MASK)),
        colors=read_colors(colors_path),
        people={},
    )


def read_colors(path: str | Path) -> dict[int, tuple[int, int, int]]:
    """Mask colour of each person P, from the original's object_color.pkl or the same as JSON.

    Args:
        path: .pkl: a pickled mapping from object name to the toolkit's Color, of which nothing but names and
            numbers is read; .json: object name -> "(R=1,G=2,B=3,A=255)" or [1, 2, 3].

    Raises:
        ValueError: damaged, too large, or a pickle that holds anything else.
    """
    path = Path(path)
    try:
        stored = (
            read_json(path, most_bytes=_MAX_BYTES)
            if path.suffix == ".json"
            else read_pickle(path, bags={"Color"}, most_bytes=_MAX_BYTES)
        )
        return {int(_number(name)): _rgb(color) for name, color in dict(stored).items()}
    except (ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} holds no colours of objects: {error!r}") from error


def _color_files(folder: Path) -> tuple[Path, Path]:
    return folder / f"{COLORS}.json", folder / f"{COLORS}.pkl"


def _number(name: str) -> str:
    return name.rpartition("_")[2]


def _rgb(color: Any) -> tuple[int, int, int]:
    values = color
    if isinstance(values, Mapping):
        values = [values[channel] for channel in "RGB"]
    elif isinstance(values, str):
        match = _color.fullmatch(values)
        values = match.groups() if match else ()
    red, green, blue = (int(value) for value in values[:3])
    if not all(0 <= value <= 255 for value in (red, green, blue)):
        raise ValueError(f"colours must lie in 0 ... 255, got {reprlib.repr(values)}")
    return red, green, blue


def _read_kept(lit: Path, stem: str, truth_path: Path) -> LabelledFrame:
    try:
        truth = read_json(truth_path)
        return LabelledFrame(
            # Whole numbers or nothing: they become names of folders and files.
            scene=operator.index(truth["scene"]),
            version=operator.index(truth["version"]),
            camera=operator.index(truth["camera"]),
            number=operator.index(truth["frame"]),
            time_s=truth["time_s"],
            light=truth["light"],
            image=load_image(lit),
            mask=load_image(lit.with_name(stem + MASK)),
            colors={int(person): (color[0], color[1], color[2]) for person, color in truth["colors"].items()},
            people={int(person): facts for person, facts in truth["people"].items()},
            hours=truth.get("hours"),
            camera_pose=truth.get("camera_pose"),
            attributes={int(person): looks for person, looks in truth.get("attributes", {}).items()},
            objects={name: (color[0], color[1], color[2]) for name, color in truth.get("objects", {}).items()},
            driver=truth.get("driver"),
        )
    except (OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError) as error:
        raise ValueError(f"{truth_path} is missing or damaged: {error!r}") from error
