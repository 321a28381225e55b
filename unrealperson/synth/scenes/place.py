"""A user's own place: a Python function that returns a scene, or a glTF model from which one is derived."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Set
from dataclasses import replace
from pathlib import Path

import numpy as np

from unrealperson.config.synth import MODEL_SUFFIXES
from unrealperson.synth.scenes.gltf import Model, read_gltf
from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.scene import Scene
from unrealperson.synth.scenes.walkable import closed_paths, cover_with_circles, find_ground, floor_height
from unrealperson.synth.view import View

_CEILING_M = (2.2, 12.0)
_COVERED = 0.6
"""A place is indoors where a ceiling covers at least this share of its ground."""
_CEILING_LAMP, _LAMP_EVERY_M = (9.0, 8.8, 8.2), 5.0
_BODY_M = 0.3


def make_place(place: str, number: int, seed: int) -> Scene:
    """Builds the scene that a text names.

    A named Python file or module is imported, which runs it: name only code that you trust.

    Args:
        place: `FILE.py:FUNCTION` or `package.module:FUNCTION`, a function (seed) -> Scene; or `FILE.glb`, `FILE.gltf`.
        number: scene number X that the place gets.
        seed: given to the function; chooses light steps.

    Raises:
        ValueError: no such place, or it is not sound; the message says what to mend.
        FileNotFoundError: no such file.
    """
    if place.endswith(MODEL_SUFFIXES):
        path = Path(place)
        try:
            scene = scene_from_model(read_gltf(path), name=path.stem, number=number, seed=seed)
        except ValueError as error:
            raise ValueError(f"{place}: {str(error).removeprefix(f'{place}: ')}") from error
    else:
        built = _function(place)(seed)
        if not isinstance(built, Scene):
            raise ValueError(f"{place} must return a Scene, got {type(built).__name__}")
        scene = replace(built, number=number, seed=seed)
    try:
        _check(scene)
    except ValueError as error:
        raise ValueError(f"{place}: {error}") from error
    return scene


def scene_from_model(model: Model, *, name: str, number: int, seed: int) -> Scene:
    """A scene from a model: what the model does not say is derived from its triangles.

    Its floor comes to height 0. Ground is the largest connected area of floor with nothing between knee and head;
    without paths of its own, closed ones are laid through it; a roof over most of it makes it indoors, with lamps
    below the ceiling where the model has none.

    Args:
        model: what the file holds.
        name: of the scene.
        number: scene number X.
        seed: chooses light steps.

    Raises:
        ValueError: people find no room.
    """
    floors = model.floors or {mesh.name for mesh in model.meshes} - model.obstacles
    model = _lowered(model, floor_height(_corners(model, floors)))
    paths = tuple(path[:, :2] for path in model.paths)
    ground = find_ground(_corners(model, floors), _corners(model), _corners(model, model.obstacles), paths)
    indoor = ground.covered >= _COVERED if model.indoor is None else model.indoor
    ceiling_m = float(np.clip(ground.ceiling_m, *_CEILING_M)) if indoor else np.inf
    lamps = model.lamps
    if indoor and not lamps:
        x0, y0, x1, y1 = ground.bounds
        xs, ys = (
            np.arange(a + _LAMP_EVERY_M / 2, max(b, a + _LAMP_EVERY_M), _LAMP_EVERY_M) for a, b in ((x0, x1), (y0, y1))
        )
        lamps = tuple(Lamp((float(x), float(y), ceiling_m - 0.1), _CEILING_LAMP, 10.0) for x in xs for y in ys)
    return Scene(
        number,
        "".join(letter for letter in name.title() if letter.isalnum()) or "Place",
        seed,
        model.meshes,
        paths or closed_paths(ground),
        cover_with_circles(ground),
        ground.bounds,
        model.views,
        lamps,
        indoor,
        ceiling_m,
    )


def _corners(model: Model, names: Set[str] | None = None) -> np.ndarray:
    """[T, 3, 3] float64 corners of the triangles of all meshes, or of those of these names."""
    chosen = [mesh.positions[mesh.faces] for mesh in model.meshes if names is None or mesh.name in names]
    return np.concatenate([np.zeros((0, 3, 3)), *chosen])


def _lowered(model: Model, height_m: float) -> Model:
    down = np.array([0.0, 0.0, height_m])

    def low(point: tuple[float, float, float]) -> tuple[float, float, float]:
        return point[0], point[1], point[2] - height_m

    return replace(
        model,
        meshes=tuple(replace(mesh, positions=(mesh.positions - down).astype(np.float32)) for mesh in model.meshes),
        views=tuple(replace(view, position_m=low(view.position_m)) for view in model.views),
        lamps=tuple(replace(lamp, position_m=low(lamp.position_m)) for lamp in model.lamps),
    )


def _function(place: str) -> Callable[[int], object]:
    """The function that `FILE.py:FUNCTION` or `package.module:FUNCTION` names."""
    where, _, name = place.rpartition(":")
    if not where or not name.isidentifier():
        raise ValueError(f"a place is FILE.py:FUNCTION, package.module:FUNCTION, FILE.glb or FILE.gltf, got {place!r}")
    if where.endswith(".py"):
        path = Path(where).resolve()
        if not path.is_file():
            raise FileNotFoundError(f"no such file: {where}")
        spec = importlib.util.spec_from_file_location(f"unrealperson_place_{path.stem}", path)
        if spec is None or spec.loader is None:
            raise ValueError(f"{where} is no Python file")
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    else:
        try:
            module = importlib.import_module(where)
        except ModuleNotFoundError as error:
            raise ValueError(f"there is no module {where}: {error}") from error
    found = getattr(module, name, None)
    if not callable(found):
        raise ValueError(f"{where} has no function {name}")
    return found


def _check(scene: Scene) -> None:
    """What renderer and crowd rely on."""
    seen: set[str] = set()
    for mesh in scene.meshes:
        if mesh.name in seen or not mesh.name or " " in mesh.name or mesh.name.startswith(("MH", "Person")):
            raise ValueError(
                f"mesh name {mesh.name!r} must be of its own, without spaces, and not begin with MH or Person"
            )
        seen.add(mesh.name)
        count = len(mesh.positions)
        shapes = [mesh.positions.shape, mesh.normals.shape, mesh.colors.shape, (*mesh.uv.shape, 1)]
        if shapes != [(count, 3), (count, 3), (count, 3), (count, 2, 1)] or mesh.faces.shape[1:] != (3,):
            raise ValueError(
                f"mesh {mesh.name} must have positions, normals, colors [V, 3], uv [V, 2] and faces [T, 3]"
            )
        if not np.isfinite(mesh.positions).all() or (mesh.faces.size and mesh.faces.max() >= count):
            raise ValueError(
                f"mesh {mesh.name} has positions that are no numbers, or faces beyond its {count} vertices"
            )
    if not scene.meshes or len(seen) > 60_000:
        raise ValueError(f"a scene has 1 to 60000 meshes, got {len(seen)}")
    if scene.obstacles.ndim != 2 or scene.obstacles.shape[1] != 3:
        raise ValueError(f"obstacles must be [k, 3]: x, y, radius; got shape {list(scene.obstacles.shape)}")
    if not scene.paths:
        raise ValueError("a scene needs at least one path, a closed polyline [n, 2] on the ground")
    for number, path in enumerate(scene.paths):
        if path.ndim != 2 or path.shape[1] != 2 or len(path) < 3 or not np.isfinite(path).all():
            raise ValueError(f"path {number} must be [n, 2] numbers with n of 3 or more, got shape {list(path.shape)}")
        for start, end in zip(path, np.roll(path, -1, axis=0), strict=True):
            for point in np.linspace(start, end, max(int(np.hypot(*(end - start)) / 0.2), 1) + 1):
                if not scene.is_free(point, _BODY_M):
                    raise ValueError(
                        f"path {number} comes closer than {_BODY_M} m to an obstacle or the bounds {scene.bounds} "
                        f"at ({point[0]:.1f}, {point[1]:.1f}); move one of them"
                    )
    for view in scene.views:
        if not isinstance(view, View):
            raise ValueError(f"views must be View objects, got {type(view).__name__}")
