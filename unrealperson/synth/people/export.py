"""Everybody of a configuration as files for other tools: OUT/P_000012/person.glb and person.json."""

from __future__ import annotations

import multiprocessing
import os
import shutil
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

from unrealperson.config import Config, SynthConfig, load_config, save_config
from unrealperson.files import only_process, write_json
from unrealperson.log import get_logger, track
from unrealperson.synth.people.gltf import describe_person, encode_glb, name_of
from unrealperson.synth.people.person import person_maker

MODEL_FILE, ATTRIBUTES_FILE, CONFIG_FILE = "person.glb", "person.json", "config.toml"

_logger = get_logger(__name__)


def export_people(config: Config, out: Path) -> list[Path]:
    """Writes every person of a configuration, or those that are still missing; people are made side by side.

    Args:
        config: section synth says who: people 0 ... people - 1 of a seed and version, and their looks.
        out: folder to fill. A person's folder is there completely or not at all.

    Returns:
        The people's folders, in the order of their numbers.

    Raises:
        ValueError: the folder holds people of another configuration, or more than one version is asked for.
        RuntimeError: another process works in the folder, or the body model is missing.
    """
    if len(config.synth.versions) != 1:
        raise ValueError(f"people are exported one version at a time: give one of {list(config.synth.versions)}")
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    with only_process(out):
        _claim(config, out)
        folders = [out / name_of(number) for number in range(config.synth.people)]
        missing = [number for number, folder in enumerate(folders) if not folder.is_dir()]
        if len(missing) < len(folders):
            _logger.info("%d of %d people are there already", len(folders) - len(missing), len(folders))
        if missing:
            workers = min(config.synth.workers or len(os.sched_getaffinity(0)), len(missing))
            with ProcessPoolExecutor(workers, mp_context=multiprocessing.get_context("spawn")) as pool:
                try:
                    made = pool.map(partial(export_person, config.synth, out), missing)
                    for _ in track(made, label="people", total=len(missing), unit="people"):
                        pass
                except BaseException:
                    pool.shutdown(wait=False, cancel_futures=True)
                    raise
    return folders


def export_person(config: SynthConfig, out: Path, number: int) -> Path:
    """Writes one person's folder.

    Args:
        config: seed, version and looks.
        out: existing folder of all people.
        number: person P.

    Returns:
        The person's folder.
    """
    person = person_maker(config)(config.seed, config.versions[0], number)
    folder = out / name_of(number)
    partial_folder = out / f".partial-{folder.name}"
    shutil.rmtree(partial_folder, ignore_errors=True)
    partial_folder.mkdir()
    (partial_folder / MODEL_FILE).write_bytes(encode_glb(person))
    write_json(partial_folder / ATTRIBUTES_FILE, describe_person(person))
    return partial_folder.rename(folder)


def _claim(config: Config, out: Path) -> None:
    """Saves the configuration in a new folder, and compares it in one that holds people."""
    path = out / CONFIG_FILE
    if not path.is_file():
        if any(out.iterdir()):
            raise ValueError(f"{out} is not empty and holds no {CONFIG_FILE} of exported people; choose another folder")
        save_config(config, path)
        return
    old, new = (_looks(each.synth) for each in (load_config(path), config))
    for key, value in new.items():
        if old[key] != value:
            raise ValueError(
                f"{out} holds people with synth.{key} = {old[key]}, now it is {value}; "
                "choose another folder or delete this one"
            )


def _looks(config: SynthConfig) -> dict[str, Any]:
    """Everything on which the people of a configuration depend."""
    return {"seed": config.seed, "versions": config.versions, **person_maker(config).keywords}
