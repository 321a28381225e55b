"""Camera poses of a level: recorded from a running one, read from the original's pickles, kept as JSON.

Source: toolkit/caminfo_collect.py of the authors' code, which pickles a list of (location, rotation) replies.
"""

from __future__ import annotations

import json
import reprlib
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from unrealperson.config import SynthConfig
from unrealperson.files import write_text
from unrealperson.log import get_logger
from unrealperson.synth.cameras import camera_views
from unrealperson.synth.endpoint import Endpoint, as_texts
from unrealperson.synth.scenes import usual
from unrealperson.synth.view import View, from_unreal, to_unreal
from unrealperson.untrusted import read_json, read_pickle

MAX_BYTES = 1 << 20
MAX_CAMERAS = 999
DEFAULT_FOV_DEG = 90.0
"""UnrealCV's own field of view; the original's files do not tell one."""

_logger = get_logger(__name__)


def views_of(config: SynthConfig, scene: int) -> list[View]:
    """Where the cameras of a scene stand: at the poses that were recorded for it, or else at its own views.

    Args:
        config: camera_poses, or cameras, seed and place count.
        scene: scene number X.

    Raises:
        ValueError: the file of poses holds none, or there is no room for so many cameras.
    """
    if config.camera_poses:
        return read_poses(Path(config.camera_poses))
    count = config.cameras or usual(scene).cameras
    return camera_views(scene, count, config.seed, place=config.place, heights_m=config.camera_height_m)


def read_poses(path: Path) -> list[View]:
    """Reads camera poses.

    Args:
        path: JSON of `write_poses`, or a `caminfo_*.pkl` of the original, of which only plain values are read.

    Returns:
        One view for each camera, in order.

    Raises:
        ValueError: no such file's content, or a pose that cannot be.
    """
    try:
        views = _from_pickle(path) if path.suffix == ".pkl" else _from_json(path)
    except (LookupError, TypeError, ValueError, AttributeError, OverflowError) as error:
        raise ValueError(f"{path} holds no camera poses: {error or type(error).__name__}") from error
    if not 1 <= len(views) <= MAX_CAMERAS:
        raise ValueError(f"{path} must hold 1 ... {MAX_CAMERAS} cameras, got {len(views)}")
    return views


def write_poses(path: Path, views: Sequence[View]) -> None:
    """Writes camera poses as JSON, in Unreal's frame.

    Args:
        path: file to write.
        views: one for each camera.
    """
    cameras = []
    for view in views:
        location, rotation = to_unreal(view)
        cameras.append(
            {
                "location_cm": [round(value, 4) + 0.0 for value in location],
                "pitch_yaw_roll_deg": [round(value, 4) + 0.0 for value in rotation],
                "fov_deg": view.fov_deg,
            }
        )
    lines = ",\n".join(f"  {json.dumps(camera)}" for camera in cameras)
    write_text(path, f'{{"cameras": [\n{lines}\n]}}\n')


def record_pose(endpoint: Endpoint) -> View:
    """Where camera 0 of a running level stands now.

    Args:
        endpoint: where the level runs.

    Raises:
        RuntimeError: the endpoint does not tell.
    """
    location, rotation, fov = as_texts(
        endpoint.attempt("vget /camera/0/location", "vget /camera/0/rotation", "vget /camera/0/fov")
    )
    try:
        fov_deg = DEFAULT_FOV_DEG if fov.startswith("error") else float(fov)
        return from_unreal(_triple(location), _triple(rotation), fov_deg)
    except ValueError as error:
        raise RuntimeError(f"the endpoint does not tell where camera 0 is: {error}") from error


def record_poses(endpoint: Endpoint, path: Path, presses: Iterable[object]) -> list[View]:
    """Adds to a file where camera 0 stands at each press; the file is whole after each.

    Args:
        endpoint: where the level runs.
        path: JSON file; poses that it holds already stay.
        presses: yields whenever the pose of now is wanted.

    Returns:
        All views of the file.

    Raises:
        ValueError: the file is there and holds no poses, or no pose was recorded.
        RuntimeError: the endpoint does not tell.
    """
    views = read_poses(path) if path.exists() else []
    for _ in presses:
        views.append(record_pose(endpoint))
        write_poses(path, views)
        location_cm, rotation = to_unreal(views[-1])
        _logger.info(
            "camera %d: at %.0f %.0f %.0f cm, pitch %.1f, yaw %.1f, roll %.1f, field of view %.1f degrees",
            len(views), *location_cm, *rotation, views[-1].fov_deg,
        )  # fmt: skip
    if not views:
        raise ValueError("no pose was recorded; press Enter at each of them before the end of input (Ctrl-D)")
    return views


def _from_pickle(path: Path) -> list[View]:
    rows = read_pickle(path, most_bytes=MAX_BYTES)
    if not isinstance(rows, list):
        raise TypeError(f"expected a list of (location, rotation), got {type(rows).__name__}")
    return [from_unreal(_triple(location), _triple(rotation), DEFAULT_FOV_DEG) for location, rotation in rows]


def _from_json(path: Path) -> list[View]:
    cameras = read_json(path, most_bytes=MAX_BYTES)["cameras"]
    return [
        from_unreal(_triple(each["location_cm"]), _triple(each["pitch_yaw_roll_deg"]), float(each["fov_deg"]))
        for each in cameras
    ]


def _triple(values: Any) -> tuple[float, float, float]:
    parts = values.split() if isinstance(values, str) else list(values)
    if len(parts) != 3:
        raise ValueError(f"expected three numbers, got {reprlib.repr(values)}")
    x, y, z = (float(part) for part in parts)
    return x, y, z
