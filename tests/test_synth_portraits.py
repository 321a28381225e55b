from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from stand_in import make_stand_in

from unrealperson.config import Config, SynthConfig, save_config
from unrealperson.synth.people.person import make_person

pytest.importorskip("panda3d", reason="rendering needs panda3d: pip install unrealperson[synth]")

from unrealperson.synth.portraits import Studio, contact_sheet, front_and_back, main, walk_strip


@pytest.fixture(scope="module")
def studio():
    with Studio(96) as made:
        yield made


def test_each_person_has_a_picture_of_their_own(studio):
    first, second = (make_person(0, 2, number) for number in (0, 1))
    pictures = [studio.shoot(first), studio.shoot(second), studio.shoot(first, turn_deg=180.0), studio.shoot(first)]
    assert all(picture.shape == (96, 48, 3) and picture.dtype == np.uint8 for picture in pictures)
    assert np.array_equal(pictures[0], pictures[3])
    assert not np.array_equal(pictures[0], pictures[1]) and not np.array_equal(pictures[0], pictures[2])


def test_the_head_fills_a_picture_of_the_head(studio):
    person = make_stand_in(0, 1, 0)
    whole, head = studio.shoot(person, moving=0.0), studio.shoot(person, moving=0.0, head=True)
    assert not np.array_equal(whole, head)
    room = studio.shoot(person, moving=0.0)[0, 0].astype(int)
    covered = [float((np.abs(image.astype(int) - room).max(-1) > 25).mean()) for image in (whole, head)]
    assert covered[1] > covered[0]


def test_sheets(studio):
    people = [make_stand_in(0, 1, number) for number in range(3)]
    sheet = front_and_back(studio, people, columns=2)
    assert sheet.shape == (4 * 96, 2 * 48, 3)
    assert (sheet[2 * 96 :, 48:] == 255).all()
    assert walk_strip(studio, people[0], frames=4).shape == (96, 4 * 48, 3)
    with pytest.raises(ValueError, match="at least one picture"):
        contact_sheet([])


@pytest.mark.parametrize("height", [0, 5000])
def test_sizes_are_bounded(height):
    with pytest.raises(ValueError, match=r"32 ... 4096 pixels"):
        Studio(height)


def test_the_first_people_of_a_configuration(tmp_path: Path):
    save_config(Config(synth=SynthConfig(people=2, test_people=0)), tmp_path / "config.toml")
    main([str(tmp_path / "config.toml"), str(tmp_path / "people.jpg"), "12"])
    with Image.open(tmp_path / "people.jpg") as image:
        assert image.size == (2 * 128, 2 * 256)
    assert [path.name for path in tmp_path.iterdir() if "partial" in path.name] == []
