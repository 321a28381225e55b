"""Contact sheets of people: random ones, every garment, every accessory, hard groups, a walk, and riders.

python examples/people_sheets.py [FOLDER] [COUNT]    COUNT people, garments, accessories and groups at most; 4
"""

import sys
from dataclasses import replace
from functools import partial
from itertools import islice
from pathlib import Path

import numpy as np
from PIL import Image

from unrealperson.synth.people.accessories import KINDS, make_item
from unrealperson.synth.people.cuts import Garment
from unrealperson.synth.people.identity import Identity, random_identity
from unrealperson.synth.people.person import build_person, make_person
from unrealperson.synth.people.riding import let_ride
from unrealperson.synth.people.wardrobe import by_name, catalogue
from unrealperson.synth.portraits import Studio, contact_sheet, front_and_back, walk_strip

SEED = 11


def dressed(somebody: Identity, garment: Garment) -> Identity:
    """The same person in one garment, with plain things where it leaves them bare."""
    plain = by_name()
    outfit = replace(
        somebody.outfit,
        top=plain["slim crew neck t-shirt"],
        bottom=plain["straight trousers"],
        outer=None,
        shoes=plain["low sneakers"],
        tucked=False,
    )
    if garment.slot == "dress":
        outfit = replace(outfit, top=garment, bottom=None, tucked=True)
    elif garment.slot == "outer":
        whole = garment.lower is not None
        outfit = replace(outfit, outer=garment, bottom=None if whole else outfit.bottom, tucked=whole)
    else:
        skirt = garment.lower is not None and garment.lower.skirt
        outfit = replace(outfit, **{garment.slot: garment}, tucked=skirt)
    return replace(somebody, outfit=outfit, items=())


def rows_of(pictures: list[np.ndarray], columns: int) -> list[list[np.ndarray]]:
    return [pictures[start : start + columns] for start in range(0, len(pictures), columns)]


def ride_sheet(count: int) -> np.ndarray:
    """Riders from eight sides, pedalling; the last pictures of a row slow down and stop."""
    rows = []
    ride = let_ride(partial(make_person, body="natural"), 1.0)
    with Studio(176, wide=True) as studio:
        riders = (ride(SEED, 2, number) for number in range(99))
        for rider in islice((each for each in riders if each.ride), count):
            row = [studio.shoot(rider, turn_deg=45.0 * side, phase=0.13 * side) for side in range(8)]
            rows.append(row + [studio.shoot(rider, turn_deg=60.0, phase=0.3, moving=share) for share in (0.12, 0.0)])
    return contact_sheet(rows)


def main(folder: Path, count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    sheets = {}
    with Studio(192) as studio:
        people = [make_person(SEED, 2, number, body="natural") for number in range(count)]
        sheets["people"] = front_and_back(studio, people, columns=15)
        sheets["heads"] = contact_sheet(rows_of([studio.shoot(each, head=True, moving=0.0) for each in people], 15))
        sheets["walk"] = walk_strip(studio, people[0], frames=12)
    with Studio(200) as studio:
        everyone = (random_identity(SEED, 1, number, body="natural") for number in range(99))
        one = next(somebody for somebody in everyone if somebody.body.gender == "female")
        pictures = []
        for number, each in enumerate(islice(catalogue(), count if count < 60 else None)):
            wearer = replace(dressed(one, each), cloth_seed=np.random.SeedSequence(number))
            pictures.append(studio.shoot(build_person(wearer), turn_deg=20.0, moving=0.0)[24:, 16:-16])
        sheets["garments"] = contact_sheet(rows_of(pictures, 26))
    with Studio(224) as studio:
        pictures = []
        for number, kind in enumerate(islice(KINDS, count)):
            wearer = random_identity(SEED, 1, 20 + number, body="natural")
            item = make_item(np.random.default_rng(number), kind, wearer.outfit, colors="wardrobe")
            person = build_person(replace(wearer, items=(item,)))
            pictures += [studio.shoot(person, turn_deg=turn_deg) for turn_deg in (30.0, 210.0)]
        sheets["accessories"] = contact_sheet(rows_of(pictures, 14))
        groups = [make_person(SEED, 3, number, body="natural") for number in range(5 * min(count, 10))]
        pictures = [studio.shoot(each, turn_deg=25.0) for each in groups]
        sheets["groups"] = contact_sheet(rows_of(pictures, 15))
    sheets["riders"] = ride_sheet(min(count, 5))
    for name, sheet in sheets.items():
        Image.fromarray(sheet).save(folder / f"{name}.jpg", quality=82)
        print(f"{folder / name}.jpg: {sheet.shape[1]} x {sheet.shape[0]}")


if __name__ == "__main__":
    main(Path(sys.argv[1] if len(sys.argv) > 1 else "people_sheets"), int(sys.argv[2]) if len(sys.argv) > 2 else 4)
