"""One crop of a synthetic data set made again from its row."""

from __future__ import annotations

import hashlib
import json
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Any

from unrealperson.config import Config, parse_config
from unrealperson.crop import write_crops
from unrealperson.data.manifest import FILE_NAME, Manifest
from unrealperson.data.recipe import read_recipe
from unrealperson.files import replacing
from unrealperson.log import get_logger
from unrealperson.synth.capture import Shard, capture
from unrealperson.synth.shards import shards

_logger = get_logger(__name__)


def regenerate(crop: str | Path, out: str | Path | None = None, *, place: str = "") -> bool:
    """Makes a crop again: its people walk up to its instant, and its camera looks.

    Args:
        crop: path of the crop in its data set; the file itself may be missing.
        out: file to write; None writes to `crop` where it is missing or damaged.
        place: the function that built the scene (synth.place), for sets of one; a set may not choose code to run.

    Returns:
        Whether the new file is what the manifest recorded, to the byte. On the driver, the kind of CPU and the
        libraries that made the set it is; otherwise a warning tells which of them differ.

    Raises:
        FileNotFoundError: no manifest above the crop.
        ValueError: the manifest does not know the crop, or not how it was made.
        RuntimeError: the frame holds no such crop any more, or the simulator failed.
    """
    crop = Path(crop).absolute()
    root = next((folder for folder in crop.parents if (folder / FILE_NAME).is_file()), None)
    if root is None:
        raise FileNotFoundError(f"there is no {FILE_NAME} in any folder above {crop}")
    manifest = Manifest.read(root)
    path = crop.relative_to(root).as_posix()
    if path not in manifest.path:
        raise ValueError(f"{root / FILE_NAME} has no row for {path}")
    (row,) = manifest.select([manifest.path.index(path)]).table.to_pylist()
    if row["recipe"] is None:
        raise ValueError(f"{root / FILE_NAME} does not say how {path} was made; only synthetic crops can be made again")
    config = parse_config(read_recipe(row["recipe"], f"the recipe of {path}"), f"the recipe of {path}")
    if config.synth.endpoint:
        raise ValueError(f"{path} was taken from the endpoint {config.synth.endpoint}, which shows no instant twice")
    needed = config.synth.place
    if config.synth.place_is_code and needed != place:
        raise ValueError(
            f"the data set says that the code {needed!r} made {path}; a data set may not choose code to run: "
            "if you know and trust that code, name it with --place"
        )
    content, here = _make(config, row)
    same = row["sha256"] == _digest(content)
    if not same:
        _tell_differences(path, row["made_on"], here)
    target = crop if out is None else Path(out)
    if out is not None or not crop.is_file() or _digest(crop.read_bytes()) != row["sha256"]:
        target.parent.mkdir(parents=True, exist_ok=True)
        with replacing(target) as partial:
            partial.write_bytes(content)
    return same


def _make(config: Config, row: dict[str, Any]) -> tuple[bytes, str]:
    shard = _shard(config, row)
    only = (row["frame"], row["camera"])
    with tempfile.TemporaryDirectory() as folder, closing(capture(config.synth, shard, only=only)) as frames:
        for frame in frames:
            rows, _ = write_crops(frame, Path(folder), config.crop, config.synth)
            for made in rows:
                if made["person"] == row["person"]:
                    return (Path(folder) / made["path"]).read_bytes(), made["made_on"]
    raise RuntimeError(
        f"frame {row['frame']} of camera {row['camera']} gives no crop of person {row['person']} any more"
    )


def _tell_differences(path: str, there: str | None, here: str) -> None:
    recorded, ours = json.loads(there or "{}"), json.loads(here)
    told = [
        f"{name} {recorded.get(name, 'unknown')}, here {ours.get(name, 'unknown')}"
        for name in sorted(recorded.keys() | ours.keys())
        if recorded.get(name) != ours.get(name)
    ]
    if told:
        _logger.warning("%s was made on another machine: %s", path, "; ".join(told))
    else:
        _logger.warning("%s was made with the same driver, processor and libraries; its recipe or file changed", path)


def _shard(config: Config, row: dict[str, Any]) -> Shard:
    for shard in shards(config.synth):
        first = shard.batch * config.synth.instants
        if (shard.scene, shard.version) == (row["scene"], row["version"]) and row["frame"] in range(
            first, first + config.synth.instants
        ):
            return shard
    raise ValueError(f"the recipe makes no frame {row['frame']} of scene {row['scene']}; the row was changed")


def _digest(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()
