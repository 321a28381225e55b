"""Camera poses of a level: recorded from a running one, read from the original's pickles, kept as JSON.

    python -m unrealperson.synth.poses --endpoint 127.0.0.1:9000 --out cameras.json
    python -m unrealperson.synth.poses --caminfo caminfo_1.pkl --out cameras.json

Source: toolkit/caminfo_collect.py of the authors' code, which pickles a list of (location, rotation) replies.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from pickle import Unpickler, UnpicklingError
from typing import Any, NoReturn

from unrealperson.files import write_text
from unrealperson.log import configure_logging, get_logger
from unrealperson.synth.endpoint import Endpoint, as_texts, parse_endpoint
from unrealperson.synth.view import View, from_unreal, to_unreal

MAX_BYTES = 1 << 20
MAX_CAMERAS = 999
DEFAULT_FOV_DEG = 90.0
"""UnrealCV's own field of view; the original's files do not tell one."""

_logger = get_logger(__name__)


class _PlainUnpickler(Unpickler):
    """Reads lists, tuples, text and numbers; refuses whatever would import or call something."""

    def find_class(self, module: str, name: str, /) -> NoReturn:
        raise UnpicklingError(f"it wants to load {module}.{name}")


def read_poses(path: Path) -> list[View]:
    """Reads camera poses.

    Args:
        path: JSON of `write_poses`, or a `caminfo_*.pkl` of the original, of which only plain values are read.

    Returns:
        One view for each camera, in order.

    Raises:
        ValueError: no such file's content, or a pose that cannot be.
    """
    if path.stat().st_size > MAX_BYTES:
        raise ValueError(f"{path} is larger than {MAX_BYTES} bytes; that is no file of camera poses")
    try:
        views = _from_pickle(path) if path.suffix == ".pkl" else _from_json(path)
    except (LookupError, TypeError, ValueError, EOFError, AttributeError, UnpicklingError, MemoryError) as error:
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
    write_text(path, json.dumps({"cameras": cameras}, indent=1) + "\n")


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
    fov_deg = DEFAULT_FOV_DEG if fov.startswith("error") else float(fov)
    try:
        return from_unreal(_triple(location), _triple(rotation), fov_deg)
    except ValueError as error:
        raise RuntimeError(f"the endpoint does not tell where camera 0 is: {error}") from error


def main(arguments: Sequence[str] | None = None) -> None:
    """Records poses, one for each press of Enter, or converts the original's file.

    Args:
        arguments: command line without the program's name; None takes the process's own.
    """
    parser = argparse.ArgumentParser(prog="python -m unrealperson.synth.poses", description="camera poses -> JSON")
    parser.add_argument("--out", type=Path, required=True, help="JSON file to write")
    source = parser.add_mutually_exclusive_group(required=True)
    source.add_argument("--endpoint", help="host:port of a running level: move its camera, press Enter at each pose")
    source.add_argument("--caminfo", type=Path, help="caminfo_*.pkl of the original to convert")
    options = parser.parse_args(arguments)
    configure_logging()
    try:
        views = read_poses(options.caminfo) if options.caminfo else _record(options.endpoint)
        if not views:
            raise ValueError("no pose was recorded; press Enter at each of them before the end of input (Ctrl-D)")
        write_poses(options.out, views)
    except (ValueError, RuntimeError, OSError) as error:
        sys.exit(f"poses: {error}")
    _logger.info("%s: %d cameras", options.out, len(views))


def _record(address: str) -> list[View]:
    views: list[View] = []
    with Endpoint(parse_endpoint(address), timeout_s=30.0) as endpoint:
        _logger.info("fly to a camera's place and press Enter here; Ctrl-D when all are recorded")
        while sys.stdin.readline():
            views.append(record_pose(endpoint))
            _logger.info("camera %d: %s", len(views), views[-1])
    return views


def _from_pickle(path: Path) -> list[View]:
    with path.open("rb") as stream:
        rows = _PlainUnpickler(stream).load()
    if not isinstance(rows, list):
        raise TypeError(f"expected a list of (location, rotation), got {type(rows).__name__}")
    return [from_unreal(_triple(location), _triple(rotation), DEFAULT_FOV_DEG) for location, rotation in rows]


def _from_json(path: Path) -> list[View]:
    cameras = json.loads(path.read_text(encoding="utf-8"))["cameras"]
    return [
        from_unreal(_triple(each["location_cm"]), _triple(each["pitch_yaw_roll_deg"]), float(each["fov_deg"]))
        for each in cameras
    ]


def _triple(values: Any) -> tuple[float, float, float]:
    parts = values.split() if isinstance(values, str) else list(values)
    if len(parts) != 3:
        raise ValueError(f"expected three numbers, got '{str(values)[:80]}'")
    x, y, z = (float(part) for part in parts)
    return x, y, z


if __name__ == "__main__":
    main()
