"""MakeHuman clothes from any folder: `.mhclo` fitting files with their `.obj` meshes and `.mhmat` materials."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np

from unrealperson.log import get_logger
from unrealperson.synth.people.body import Body, load_template
from unrealperson.synth.people.sheets import Sheet, body_guides, normals, triangles_of
from unrealperson.untrusted import read_bounded

_MOST_VERTICES = 9_000
_MOST_BYTES = 64 << 20

logger = get_logger(__name__)


@dataclass(frozen=True, eq=False)
class Fitted:
    """A garment that is bound to triangles of the base mesh.

    Attributes:
        name: from the file.
        slot: a suit covers trunk and legs, shoes the feet, a hat the head.
        gender: "female" or "male" where its name says so, else "".
        anchors: [n, 3] int vertices of the base mesh that carry each vertex.
        shares: [n, 3] their barycentric weights.
        shift: [n, 3] offset in units of `scale`; forward, left, up.
        scale: for each of the three directions two vertices of the base mesh and the distance that they have in the
            offset's units.
        hidden: [V] bool vertices of the base mesh that it hides.
        triangles: [T, 3] int.
        uv: [T, 3, 2] texture coordinates, v up.
        upper: [T] bool triangles of a shirt, jacket or bodice, not of trousers or a skirt.
        texture: picture of its material, if there is one.
    """

    name: str
    slot: Literal["suit", "shoes", "hat"]
    gender: str
    anchors: np.ndarray
    shares: np.ndarray
    shift: np.ndarray
    scale: tuple[tuple[int, int, float], ...]
    hidden: np.ndarray
    triangles: np.ndarray
    uv: np.ndarray
    upper: np.ndarray
    texture: Path | None


@lru_cache(maxsize=4)
def load_clothes(folder: Path) -> tuple[Fitted, ...]:
    """Reads all garments below a folder, in the order of their paths; what cannot be worn is left out with a warning.

    Args:
        folder: holds `.mhclo` files at any depth.

    Raises:
        ValueError: the folder holds no garment that can be worn.
    """
    found = []
    for path in sorted(folder.rglob("*.mhclo")):
        try:
            found.append(read_mhclo(path))
        except (OSError, ValueError) as error:
            logger.warning("leaving out %s: %s", path, error)
    if not found:
        raise ValueError(
            f"synth.clothes must be a folder with .mhclo garments, got {folder} with none that can be read"
        )
    return tuple(found)


def read_mhclo(path: Path) -> Fitted:
    """Reads one garment.

    Args:
        path: the `.mhclo` file; its mesh and material lie where it says, in its folder or below.

    Raises:
        ValueError: the file or its mesh is missing or damaged, it leads out of its folder, or its mesh has more than
            9000 vertices.

    Source: MakeHuman's `shared/proxy.py`, format of `.mhclo` files.
    """
    try:
        return _read(path)
    except (OSError, LookupError, OverflowError) as error:
        raise ValueError(f"{path} is damaged: {error}") from error


def _read(path: Path) -> Fitted:
    keys: dict[str, str] = {}
    tags: list[str] = []
    rows: list[list[float]] = []
    hidden = np.zeros(len(load_template().vertices), bool)
    section = ""
    for words in _lines(path):
        if words[0] in ("verts", "delete_verts"):
            section = words[0]
        elif section == "verts" and words[0].lstrip("-").isdigit():
            rows.append([float(word) for word in words])
        elif section == "delete_verts" and words[0].isdigit():
            for first, last in _ranges(words):
                hidden[first : last + 1] = True
        elif words[0] == "tag":
            tags.append(" ".join(words[1:]).lower())
        else:
            keys[words[0]] = " ".join(words[1:])
    if not rows or "obj_file" not in keys:
        raise ValueError(f"{path} must have obj_file and verts, got {', '.join(keys) or 'nothing'}")
    if len(rows) > _MOST_VERTICES:
        raise ValueError(f"a garment may have {_MOST_VERTICES} vertices, {path} has {len(rows)}")
    # A vertex is bound to a triangle with weights and offset, or to a single vertex.
    bound = np.array([row[:9] if len(row) >= 9 else [row[0]] * 3 + [1, 0, 0, 0, 0, 0] for row in rows])
    anchors, count = bound[:, :3].astype(np.int64), len(hidden)
    if not np.isfinite(bound).all() or anchors.min() < 0 or anchors.max() >= count:
        raise ValueError(f"{path} must bind vertices to those of the base mesh, 0 ... {count - 1}, with finite weights")
    triangles, uv = _read_obj(_below(path.parent, keys["obj_file"]), len(rows))
    name = keys.get("name", path.stem)
    return Fitted(
        name=name,
        slot="shoes" if "shoes" in tags else "hat" if {"hats", "hat"} & set(tags) else "suit",
        gender=next((gender for gender in ("female", "male") if name.lower().startswith(gender)), ""),
        anchors=anchors,
        shares=bound[:, 3:6],
        shift=bound[:, [8, 6, 7]],
        scale=tuple(_scale(keys, axis, path) for axis in ("z_scale", "x_scale", "y_scale")),
        hidden=hidden,
        triangles=triangles,
        uv=uv,
        upper=_upper(triangles, load_template().vertices[anchors[:, 0], 2]),
        texture=_texture(path.parent, keys["material"]) if "material" in keys else None,
    )


def fit(garment: Fitted, body: Body) -> Sheet:
    """Fits a garment to a body.

    Args:
        garment: what is worn.
        body: the person's shape.

    Returns:
        The cloth without a chart; it moves with the bones of the skin below.
    """
    guides = body_guides()

    def mixed(values: np.ndarray) -> np.ndarray:
        return np.einsum("nk,nkj->nj", garment.shares, values[garment.anchors].astype(np.float64))

    def placed(vertices: np.ndarray) -> np.ndarray:
        unit = [abs(float(vertices[a, k] - vertices[b, k])) / value for k, (a, b, value) in enumerate(garment.scale)]
        return mixed(vertices) + garment.shift * np.array(unit)

    position = placed(body.vertices)
    weight = np.clip(mixed(guides.weight), 0, None)
    weight /= np.maximum(weight.sum(1, keepdims=True), 1e-9)
    guide = mixed(np.stack([guides.arm, guides.along, np.abs(guides.around), guides.head], 1))
    return Sheet(
        position,
        placed(load_template().vertices),
        guide,
        normals(position, garment.triangles),
        weight,
        garment.triangles,
        np.zeros((0, 3, 2)),
    )


def _lines(path: Path) -> Iterator[list[str]]:
    for line in read_bounded(path, _MOST_BYTES).decode("utf-8", errors="replace").splitlines():
        words = line.split()
        if words and not words[0].startswith("#"):
            yield words


def _ranges(words: list[str]) -> Iterator[tuple[int, int]]:
    at = 0
    while at < len(words):
        spans = at + 2 < len(words) and words[at + 1] == "-"
        yield int(words[at]), int(words[at + 2] if spans else words[at])
        at += 3 if spans else 1


def _scale(keys: dict[str, str], axis: str, path: Path) -> tuple[int, int, float]:
    words = keys.get(axis, "").split()
    if len(words) != 3:
        raise ValueError(f"{axis} must name two vertices and their distance, got {keys.get(axis)!r} in {path}")
    first, second, distance = int(words[0]), int(words[1]), float(words[2])
    count = len(load_template().vertices)
    if not (0 <= first < count and 0 <= second < count and 0 < abs(distance) < np.inf):
        raise ValueError(f"{axis} must name two vertices and their distance, got {keys[axis]!r} in {path}")
    return first, second, distance


def _read_obj(path: Path, count: int) -> tuple[np.ndarray, np.ndarray]:
    uv: list[list[float]] = [[0.0, 0.0]]
    quads: list[list[int]] = []
    quad_uv: list[list[int]] = []
    for words in _lines(path):
        if words[0] == "vt":
            uv.append([float(words[1]), float(words[2])])
        elif words[0] == "f":
            corners = [[int(part or 0) for part in word.split("/")] + [0] for word in words[1:5]]
            corners += corners[-1:] * (4 - len(corners))
            quads.append([corner[0] - 1 for corner in corners])
            quad_uv.append([corner[1] for corner in corners])
    triangles = np.array(quads, np.int64).reshape(-1, 4)
    if not len(triangles) or triangles.min() < 0 or triangles.max() >= count:
        raise ValueError(f"faces must name vertices 1 ... {count} of the fitting file, got others or none in {path}")
    split = triangles_of(triangles)
    # The same split, for the texture coordinates of each corner.
    rows = np.arange(triangles.size).reshape(-1, 4)
    halves = np.concatenate([rows[:, [0, 1, 2]], rows[triangles[:, 3] != triangles[:, 2]][:, [0, 2, 3]]])
    if not np.isfinite(uv).all():
        raise ValueError(f"texture coordinates must be finite in {path}")
    return split, np.array(uv)[np.array(quad_uv).reshape(-1)[halves]]


def _upper(triangles: np.ndarray, z: np.ndarray) -> np.ndarray:
    """Pieces that reach the chest belong to the upper part, down to the hips where one also covers the knees."""
    piece = np.arange(len(z))
    while True:
        least = piece.copy()
        np.minimum.at(least, triangles, piece[triangles].min(1, keepdims=True))
        least = least[least]
        if (least == piece).all():
            break
        piece = least
    high, low = np.full(len(z), -np.inf), np.full(len(z), np.inf)
    np.maximum.at(high, piece, z)
    np.minimum.at(low, piece, z)
    of = piece[triangles[:, 0]]
    return (high[of] > 0.3) & ((low[of] > -0.3) | (z[triangles].mean(1) > 0.1))


def _below(folder: Path, name: str) -> Path:
    """A file that a garment names."""
    path = (folder / name).resolve()
    if not path.is_relative_to(folder.resolve()):
        raise ValueError(f"{name} lies outside of the garment's folder {folder}")
    return path


def _texture(folder: Path, name: str) -> Path | None:
    material = _below(folder, name)
    if not material.is_file():
        return None
    named = [words[1] for words in _lines(material) if words[0] == "diffuseTexture" and len(words) > 1]
    path = _below(folder, str((material.parent / named[0]).resolve())) if named else None
    return path if path is not None and path.is_file() else None
