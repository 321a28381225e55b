"""People kept in files while a data set is made: who walks through several scenes is made once."""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.files import read_arrays
from unrealperson.log import get_logger
from unrealperson.synth.people.detail import Level
from unrealperson.synth.people.gait import Gait, Skeleton
from unrealperson.synth.people.person import Person
from unrealperson.synth.people.riding import Ride

logger = get_logger(__name__)

_SCALARS = ("seed", "version", "number", "height_m", "speed_mps", "stride_m", "attributes")
_NESTED = ("levels", "skeleton", "gait", "ride")
_ARRAYS = tuple(field.name for field in dataclasses.fields(Person) if field.name not in (*_SCALARS, *_NESTED))


def kept_file(folder: Path, version: int, number: int) -> Path:
    """Where somebody is kept.

    Args:
        folder: of people of one configuration.
        version: model version Y.
        number: person P.
    """
    return folder / f"v{version}_{number:06d}.npz"


def keep_people(make: Callable[[int, int, int], Person], folder: Path) -> Callable[[int, int, int], Person]:
    """Reads people from a folder, and makes and keeps those who are not there yet.

    Args:
        make: makes person (seed, version, number); the folder must hold nobody else's people.
        folder: where they are kept; several processes may share it.

    Returns:
        As `make`; who was kept is equal to the byte.
    """

    def remember(seed: int, version: int, number: int) -> Person:
        path = kept_file(folder, version, number)
        try:
            return load_person(path)
        except FileNotFoundError:
            pass
        except (KeyError, ValueError) as error:
            logger.warning("%s: the person is made again", error)
        person = make(seed, version, number)
        save_person(person, path)
        return person

    return remember


def save_person(person: Person, path: Path) -> None:
    """Writes everything about a person to a file, about 3 MB, that appears complete or not at all.

    Args:
        person: who.
        path: .npz file to write.
    """
    words = {name: getattr(person, name) for name in _SCALARS}
    words |= {"gait": dataclasses.asdict(person.gait), "bones": person.skeleton.names}
    words |= {"ride": dataclasses.asdict(person.ride) if person.ride is not None else None}
    words |= {"vertices": [level.vertices for level in person.levels]}
    arrays: dict[str, Any] = {name: getattr(person, name) for name in _ARRAYS}
    arrays |= {"parents": person.skeleton.parents, "joints": person.skeleton.joints, "words": json.dumps(words)}
    for number, level in enumerate(person.levels):
        arrays |= {f"faces_{number}": level.faces, f"slots_{number}": level.slots}
    # Several processes may write the same person at once, so the temporary name is this one's own.
    partial = path.with_name(f"{path.name}.{os.getpid()}")
    try:
        with partial.open("wb") as file:
            np.savez(file, **arrays)
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)


def load_person(path: Path) -> Person:
    """Reads what `save_person` wrote.

    Args:
        path: .npz file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: a damaged one.
    """
    file = read_arrays(path)
    words = json.loads(str(file["words"]))
    levels = [
        Level(vertices, file[f"faces_{number}"], file[f"slots_{number}"])
        for number, vertices in enumerate(words["vertices"])
    ]
    plain: dict[str, Any] = {name: words[name] for name in _SCALARS} | {name: file[name] for name in _ARRAYS}
    return Person(
        **plain,
        levels=tuple(levels),
        skeleton=Skeleton(tuple(words["bones"]), file["parents"], file["joints"]),
        gait=Gait(**words["gait"]),
        ride=Ride(**words["ride"]) if words["ride"] is not None else None,
    )
