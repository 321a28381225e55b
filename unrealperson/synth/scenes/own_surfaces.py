"""Surfaces from a folder: pictures named after what they show take the place of painted asphalt, paving, brick, ..."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import numpy as np
from PIL import Image

from unrealperson.data.sources import UNREADABLE
from unrealperson.synth.scenes.scene import Scene

SURFACES = {
    "asphalt": r"Road(_.*)?|Patches|Repairs|Drive_.*|Court_.*|Walk_(North|South)",
    "paving": r"Pavement_.*|Paving_(Along|Across|Promenade|Lanes|Repairs|Arcade)|Walk_(West|Shelter)",
    "setts": r"Setts|Paving_(Cubes|Setts|Ring)|Walk_Middle",
    "grass": r"Lawn_.*|Field_.*",
    "brick": r"Building_\d+",
    "stone": r"Arcade_.*|Stairs_.*|Terrace_.*|Wall_\d+",
    "tiles": r"Floor_.*",
    "plaster": r"Wall_(North|East|South|West)",
}
"""Names of pictures without their ending, and the objects of the scenes that they cover."""
SUFFIXES = (".jpg", ".jpeg", ".png")
_FILE_BYTES, _IMAGE_PX, _TEXTURE_PX = 64 << 20, 8192, 1024


def take_surfaces(scene: Scene, folder: Path) -> Scene:
    """Covers a scene with pictures; what has no picture, or has windows painted on it, stays.

    A picture is repeated; it covers as much as the painted surface did, 1 to 5 m. At most 1,024 pixels a side are kept.

    Args:
        scene: any.
        folder: of pictures such as `asphalt.jpg`, named after `SURFACES`.

    Raises:
        ValueError: no such folder, no picture in it, one of another name, two of one name, or one that cannot be read.
    """
    pictures = _read_folder(folder)
    meshes = []
    for mesh in scene.meshes:
        found = next((name for name in pictures if re.fullmatch(SURFACES[name], mesh.name)), None)
        plain = mesh.texture.shape[2] == 3
        meshes.append(replace(mesh, texture=pictures[found]) if found is not None and plain else mesh)
    return replace(scene, meshes=tuple(meshes))


def _read_folder(folder: Path) -> dict[str, np.ndarray]:
    """[H, W, 3] uint8 pictures by the name of their surface."""
    if not folder.is_dir():
        raise ValueError(f"synth.surfaces must be a folder of pictures, there is no folder {folder}")
    paths = sorted(path for path in folder.iterdir() if path.suffix.lower() in SUFFIXES)
    known = ", ".join(SURFACES)
    if not paths:
        raise ValueError(f"{folder} holds no picture ({', '.join(SUFFIXES)}); name pictures after surfaces: {known}")
    pictures: dict[str, np.ndarray] = {}
    for path in paths:
        name = path.stem.lower()
        if name not in SURFACES:
            raise ValueError(f"{path} is named after no surface; there is {known}")
        if name in pictures:
            raise ValueError(f"{folder} holds two pictures of {name}; keep one")
        pictures[name] = _read(path)
    return pictures


def _read(path: Path) -> np.ndarray:
    if path.stat().st_size > _FILE_BYTES:
        raise ValueError(f"{path} is larger than {_FILE_BYTES >> 20} MiB")
    try:
        with Image.open(path, formats=("PNG", "JPEG")) as picture:
            if max(picture.size) > _IMAGE_PX:
                raise ValueError(f"{path} has {picture.size} pixels, the most is {_IMAGE_PX} a side")
            picture.draft("RGB", (_TEXTURE_PX, _TEXTURE_PX))
            small = picture.convert("RGB")
    except UNREADABLE as error:
        raise ValueError(f"{path} is no PNG or JPEG: {error}") from error
    small.thumbnail((_TEXTURE_PX, _TEXTURE_PX))
    return np.asarray(small)
