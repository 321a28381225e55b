from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from raster import look

from unrealperson.synth.people import body, garments, outfits, scalp, sheets
from unrealperson.synth.people.haircuts import (
    HAIRCUTS,
    choose_color,
    choose_haircut,
    describe_length,
    paint_strands,
    scalp_cover,
)
from unrealperson.synth.people.wardrobe import by_name

HAIR = sheets.SLOTS.index("hair")


@pytest.fixture(scope="module")
def someone() -> body.Body:
    return body.random_body(np.random.default_rng(1))


@pytest.fixture(scope="module")
def outfit() -> outfits.Outfit:
    return outfits.random_outfit(np.random.default_rng(3), gender="male")


def _cut(outfit: outfits.Outfit, name: str, hat_z: float | None = None) -> outfits.Outfit:
    style = HAIRCUTS[name]
    end_z = style.end_z if style.end_z[0] else (0.5, 0.5)
    return replace(
        outfit, hair=name, hair_z=float(np.mean(end_z)), hair_volume=float(np.mean(style.lift_m)), hat_z=hat_z
    )


def test_there_are_many_styles_for_both():
    assert len(HAIRCUTS) >= 15
    drawn = {g: {choose_haircut(np.random.default_rng(s), gender=g) for s in range(300)} for g in ("female", "male")}
    assert all(len(names) >= 10 for names in drawn.values())
    assert "braid" not in drawn["male"] and "bald" not in drawn["female"]


def test_styles_follow_age_and_descent():
    def count(names: tuple[str, ...], **of: object) -> int:
        return sum(choose_haircut(np.random.default_rng(s), gender="male", **of) in names for s in range(300))

    assert count(("bald", "receding"), age=65) > 2 * count(("bald", "receding"), age=22)
    assert count(("afro", "curly"), ethnicity=(1, 0, 0)) > 2 * count(("afro", "curly"), ethnicity=(0, 0, 1))


@pytest.mark.parametrize("name", HAIRCUTS)
def test_every_haircut_grows(someone: body.Body, outfit: outfits.Outfit, name: str):
    mesh = garments.dress(someone, _cut(outfit, name))
    assert len(mesh.positions) <= 20_000
    assert np.isfinite(mesh.positions).all() and np.isfinite(mesh.normals).all()
    np.testing.assert_allclose(mesh.bone_weight.sum(1), 1, atol=1e-5)
    corner = mesh.positions[mesh.faces[mesh.slot == HAIR]]
    if name in ("bald", "buzz"):
        assert len(corner) == 0
        return
    # Nothing stands far off the head, and long hair ends where it should.
    place = scalp.measure_head(body.load_template(), someone).from_body(corner - [0, 0, mesh.lift_m])
    style = HAIRCUTS[name]
    far = np.linalg.norm(place - scalp.MIDDLE, axis=-1).max()
    assert far < (0.6 if style.end_z[0] or style.gather in ("tail", "braid") else 0.26)
    if style.end_z[0]:
        assert place[..., 2].min() == pytest.approx(np.mean(style.end_z), abs=0.09)


def test_hair_hides_the_scalp_and_leaves_the_face(someone: body.Body, outfit: outfits.Outfit):
    for name in ("messy", "long straight", "ponytail", "curly"):
        mesh = garments.dress(someone, _cut(outfit, name))
        eye_z = someone.height_m * 0.935 + mesh.lift_m
        for yaw_deg, low, high in ((0, 0.0, 0.35), (180, 0.75, 1.0)):
            _, number = look(mesh.positions, mesh.faces, yaw_deg)
            row = number.shape[0] - 10 - round(eye_z * 110)
            seen = number[row - 1 : row + 2, number.shape[1] // 2 - 4 : number.shape[1] // 2 + 5]
            share = (mesh.slot[seen[seen >= 0]] == HAIR).mean()
            assert low <= share <= high, (name, yaw_deg, share)


def test_hats_press_the_hair(someone: body.Body, outfit: outfits.Outfit):
    template = body.load_template()
    head = scalp.measure_head(template, someone)
    for name in ("messy", "bob", "spiky"):
        heights = []
        for hat_z in (None, 0.78):
            mesh = garments.dress(someone, _cut(outfit, name, hat_z))
            used = np.unique(mesh.faces[mesh.slot == HAIR])
            place = head.from_body(mesh.positions[used] - [0, 0, mesh.lift_m]) - scalp.MIDDLE
            radius = np.linalg.norm(place, axis=1)
            above = place[:, 2] > 0.035
            heights.append(float((radius - head.skin(place / radius[:, None]))[above].max()))
        assert heights[1] < 0.0125 < heights[0], name


def test_colours_follow_age_and_descent_and_some_dye():
    def names(age: float, ethnicity: tuple[float, float, float]) -> list[str]:
        return [
            choose_color(np.random.default_rng(s), gender="female", age=age, ethnicity=ethnicity)[0] for s in range(200)
        ]

    young, old, asian = names(25, (0, 0, 1)), names(80, (0, 0, 1)), names(25, (0, 1, 0))
    assert old.count("grey") + old.count("white") > 75 > 2 > young.count("grey")
    assert asian.count("black") > 80 > young.count("black") and "blond" in young
    assert {"platinum", "copper", "burgundy", "pink", "blue"} & set(young + asian)


def test_a_street_has_few_grey_and_very_few_blue_heads():
    drawn = []
    for seed in range(400):
        rng = np.random.default_rng(seed)
        gender = "female" if seed % 2 else "male"
        age, _, ethnicity, _ = body._natural(rng, gender)
        drawn.append(choose_color(rng, gender=gender, age=age, ethnicity=ethnicity)[0])
    share = {name: drawn.count(name) / len(drawn) for name in set(drawn)}
    assert 0.01 < share.get("grey", 0) + share.get("white", 0) < 0.12
    assert sum(share.get(name, 0) for name in ("pink", "blue", "green", "purple")) < 0.02


@pytest.mark.parametrize("name", ["long straight", "long wavy", "ponytail"])
def test_long_hair_lies_on_the_clothes_or_goes_behind_a_backpack(someone: body.Body, outfit: outfits.Outfit, name: str):
    template, plain = body.load_template(), replace(outfit, outer=None, top=by_name()["regular crew neck t-shirt"])
    head = scalp.measure_head(template, someone)
    for pack in (False, True):
        mesh = garments.dress(someone, replace(_cut(plain, name), hair_z=0.36, pack=pack))
        place = head.from_body(mesh.positions - [0, 0, mesh.lift_m])
        locks, cloth = (np.unique(mesh.faces[mesh.slot == sheets.SLOTS.index(slot)]) for slot in ("hair", "top"))
        behind = place[locks][place[locks, 0] < 0]
        assert (behind[:, 2].min() > 0.5) == pack
        if pack:
            continue
        back = place[cloth][np.abs(place[cloth, 1]) < 0.05]
        falls = behind[(behind[:, 2] < 0.5) & (np.abs(behind[:, 1]) < 0.05)]
        depth = np.array([back[np.abs(back[:, 2] - z) < 0.015, 0].min() for z in falls[:, 2]])
        gap = depth - falls[:, 0]
        assert (gap < 0.001).mean() < 0.05 and np.median(gap) < 0.05


def test_only_the_head_is_dyed():
    for seed in range(200):
        name, tone, brows = choose_color(np.random.default_rng(seed), gender="female", age=25, ethnicity=(0, 0, 1))
        assert np.array_equal(tone, brows) != (
            name in ("platinum", "copper", "burgundy", "pink", "blue", "green", "purple")
        )


def test_lengths_have_words():
    lengths = {name: describe_length(name) for name in HAIRCUTS}
    assert lengths["bald"] == "none" and lengths["buzz"] == lengths["crop"] == "short"
    assert lengths["bob"] == lengths["messy"] == "medium" and lengths["braid"] == lengths["long wavy"] == "long"


def test_strands_and_stubble_are_painted():
    tone = np.array([0.24, 0.16, 0.1])
    image = paint_strands(np.random.default_rng(0), tone, (216, 144))
    assert image.shape == (216, 144, 3) and np.isfinite(image).all()
    assert image.std(1).mean() > 2 * image.std(0).mean() * 0.3
    above = np.linspace(-0.05, 0.05, 40)[:, None] + np.zeros((1, 60))
    z = 0.75 + above
    for name, least, most in (("bald", 0, 0), ("buzz", 0.5, 1.1), ("crop", 0.8, 1.2)):
        cover = scalp_cover(np.random.default_rng(0), z, z, z, name, above)
        assert cover[:10].max() == 0
        assert least <= cover[-5:].mean() <= most
