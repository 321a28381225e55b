from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from raster import look, seen_through

from unrealperson.ops import skin
from unrealperson.synth.people import body, charts, cloth, collars, gait, garments, outfits, sheets, textures, trims
from unrealperson.synth.people.wardrobe import by_name

TYPES = by_name()
PLAIN = outfits.Outfit(
    top=TYPES["regular crew neck t-shirt"],
    bottom=TYPES["straight jeans"],
    outer=None,
    shoes=TYPES["low sneakers"],
    tucked=False,
    creases=3,
    hair="bald",
    hair_z=0.66,
    hair_volume=0.015,
    fringe=0.0,
)


def _outfit(seed: int, gender: str = "male") -> outfits.Outfit:
    return outfits.random_outfit(np.random.default_rng(seed), gender=gender)


@pytest.fixture(scope="module")
def someone() -> body.Body:
    return body.random_body(np.random.default_rng(1))


def _square() -> sheets.Sheet:
    position = np.array([[0, 0, 0], [1, 0, 0], [1, 1, 0], [0, 1, 0]], np.float64)
    triangles = np.array([[0, 1, 2], [0, 2, 3]])
    return sheets.Sheet(
        position,
        position,
        np.zeros((4, 4)),
        np.tile([0.0, 0, 1], (4, 1)),
        np.ones((4, 2)) / 2,
        triangles,
        np.zeros((0, 3, 2)),
    )


def _area(sheet: sheets.Sheet) -> float:
    corner = sheet.position[sheet.triangles]
    return float(np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])[:, 2].sum() / 2)


@pytest.mark.parametrize("share", [0.25, 0.5, 0.9])
def test_cut_keeps_the_part_beyond_the_line(share: float):
    square = _square()
    cut = sheets.cut(square, square.position[:, 0] - (1 - share))
    assert _area(cut) == pytest.approx(share)
    assert cut.position[:, 0].min() == pytest.approx(1 - share)
    np.testing.assert_allclose(cut.weight.sum(1), 1)


def test_cut_keeps_all_or_nothing():
    square = _square()
    assert len(sheets.cut(square, np.ones(4)).triangles) == 2
    assert len(sheets.cut(square, -np.ones(4)).triangles) == 0


def test_hem_closes_the_border_inwards():
    hemmed = sheets.hem(_square(), 0.1)
    assert len(hemmed.triangles) == 2 + 8
    assert hemmed.position[:, 2].min() == pytest.approx(-0.1)


def test_parts_of_one_slot_share_their_normals_at_a_seam():
    flat = replace(_square(), weight=np.full((4, 4), 0.25), chart=np.zeros((2, 3, 2)))
    upright = replace(flat, position=flat.position[:, [2, 1, 0]] * [1.0, 1.0, -1.0])
    for slot, joined in ((0, True), (1, False)):
        mesh = sheets.weld([flat, replace(upright, slot=slot)])
        places = mesh.positions.round(5)
        seam = [row for row in range(4) if (places[4:] == places[row]).all(1).any()]
        assert len(seam) == 2
        twins = [4 + int(np.flatnonzero((places[4:] == places[row]).all(1))[0]) for row in seam]
        assert np.allclose(mesh.normals[seam], mesh.normals[twins], atol=1e-5) == joined
        np.testing.assert_allclose(np.linalg.norm(mesh.normals, axis=1), 1, atol=1e-5)


@pytest.mark.parametrize("name", ["regular shirt", "slim polo shirt", "open regular blazer", "regular hoodie"])
def test_collars_lie_on_their_garment(someone: body.Body, name: str):
    shell = sheets.sheet_from(body.load_template(), someone, "helper-tights")
    upper = TYPES[name].upper
    assert upper is not None
    parts = collars.collar_of(shell, upper)
    strip, place = parts[0]
    assert len(parts) == (2 if upper.collar == "lapel" else 1)
    assert collars.COLLAR_SPAN[0] - 1e-9 <= place[:, 2].min() < place[:, 2].max() <= collars.COLLAR_SPAN[1] + 1e-9
    # What is turned down stays outside the garment.
    edge = strip.position[place[:, 2] < collars.COLLAR_SPAN[0] + 1e-6]
    edge = edge[: len(edge) // 2]
    nearest = np.linalg.norm(edge[:, None] - shell.position[None], axis=2).argmin(1)
    depth = ((edge - shell.position[nearest]) * shell.normal[nearest]).sum(1)
    assert np.mean(depth > -0.004) > 0.95


@pytest.mark.parametrize(
    ("name", "where", "x_m", "z_m"),
    [
        ("closed windbreaker", "front", 0.0, 0.3),
        ("closed denim jacket", "back", 0.1, 0.42),
        ("closed trench coat", "back", 0.0, 0.155),
        ("regular hoodie", "front", 0.0, 0.22),
        ("closed regular blazer", "front", 0.085, 0.4),
    ],
)
def test_trims_are_sewn_where_they_belong(name: str, where: str, x_m: float, z_m: float):
    x, z = np.meshgrid(np.linspace(-0.25, 0.25, 250), np.linspace(0.69, -0.1, 395))
    image = np.full((*x.shape, 3), 0.5)
    plain = cloth.Cloth("tech", "grey", np.full(3, 0.5), np.full(3, 0.9), np.full(3, 0.1), 0.03, 0.5, 0.03, 5)
    trims.finish_trunk(image, x, z, np.full(x.shape, where == "front"), TYPES[name], plain)
    near = (np.abs(x - x_m) < 0.02) & (np.abs(z - z_m) < 0.02)
    assert np.abs(image[near] - 0.5).max() > 0.05
    # Lines fade out over a texel instead of ending in steps.
    assert len(np.unique(image[near].round(4))) > 3


def test_random_outfits_can_be_worn(someone: body.Body):
    looks = [_outfit(seed, gender) for seed in range(8) for gender in ("female", "male")]
    for look_ in looks:
        mesh = garments.dress(someone, look_)
        assert len(mesh.positions) <= 20_000, look_
        assert np.isfinite(mesh.positions).all() and np.isfinite(mesh.normals).all(), look_
        np.testing.assert_allclose(mesh.bone_weight.sum(1), 1, atol=1e-5)
        assert mesh.uv.min() >= 0 and mesh.uv.max() <= 1
        assert int(mesh.faces.max()) == len(mesh.positions) - 1
        assert mesh.positions[:, 2].min() == pytest.approx(0, abs=1e-6)
        assert len(mesh.slot) == len(mesh.faces) and int(mesh.slot.max()) < len(sheets.SLOTS)


def _skin_area(someone: body.Body, outfit: outfits.Outfit) -> float:
    mesh = garments.dress(someone, outfit)
    corner = mesh.positions[mesh.faces[mesh.slot == sheets.SLOTS.index("skin")]]
    cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    return float(np.linalg.norm(cross, axis=1).sum() / 2)


def test_clothes_hide_the_body_below_them(someone: body.Body):
    bare = replace(PLAIN, top=TYPES["crop top"], bottom=TYPES["hot pants"], shoes=TYPES["flip-flops"])
    covered = replace(PLAIN, top=TYPES["regular crew-neck sweater"], shoes=TYPES["chelsea boots"])
    assert _skin_area(someone, covered) < 0.6 * _skin_area(someone, bare)


def test_an_open_jacket_shows_the_layer_below(someone: body.Body):
    top, outer = sheets.SLOTS.index("top"), sheets.SLOTS.index("outer")

    def seen(name: str, yaw_deg: float) -> tuple[int, int]:
        mesh = garments.dress(someone, replace(PLAIN, outer=TYPES[name]))
        _, number = look(mesh.positions, mesh.faces, yaw_deg)
        slot = np.where(number >= 0, mesh.slot[number], 0)
        return int((slot == top).sum()), int((slot == outer).sum())

    opened, closed, behind = (
        seen(name, yaw)
        for name, yaw in (("open field jacket", 0), ("closed field jacket", 0), ("open field jacket", 180))
    )
    assert opened[0] > 0.12 * opened[1] > 10 * behind[0]
    assert closed[0] < 0.1 * closed[1]


def test_skirts_and_coats_end_where_their_cut_says(someone: body.Body):
    def hem_share(outfit: outfits.Outfit, slot: str) -> float:
        mesh = garments.dress(someone, outfit)
        used = np.unique(mesh.faces[mesh.slot == sheets.SLOTS.index(slot)])
        return float(mesh.positions[used, 2].min() / someone.height_m)

    lengths = [hem_share(replace(PLAIN, bottom=TYPES[f"{n} A-line skirt"]), "bottom") for n in ("mini", "midi", "maxi")]
    assert lengths[0] > 0.34 > lengths[1] > 0.14 > lengths[2] > 0.02
    coats = [hem_share(replace(PLAIN, outer=TYPES[f"closed {n} coat"]), "outer") for n in ("car", "trench", "maxi")]
    assert coats[0] > coats[1] + 0.05 > coats[2] + 0.15


def test_layers_stay_apart_in_a_walk():
    total = wrong = 0
    for number in range(8):
        rng = np.random.default_rng([99, number])
        someone = body.random_body(rng)
        outfit = outfits.random_outfit(rng, gender=someone.gender)
        mesh = garments.dress(someone, outfit)
        template = body.load_template()
        names = tuple(str(name) for name in template.bone_names)
        arm = np.array([name.startswith(("upperarm", "lowerarm", "hand")) or name[-4:-2].isdigit() for name in names])
        strongest = np.take_along_axis(mesh.bone_index, mesh.bone_weight.argmax(1)[:, None], 1)[:, 0]
        limb = arm[strongest[mesh.faces[:, 0]]].astype(int)
        lift = np.array([0, 0, mesh.lift_m], np.float32)
        skeleton = gait.Skeleton(names, template.parents, someone.joints + lift)
        habits = gait.random_gait(rng, weight=0.5, age=30, gender=someone.gender, height_m=someone.height_m)
        habits = gait.with_stride(habits, skeleton, 0.87 if outfit.narrow else 1.0)
        inside = ("skin", "top", "bottom", "outer") if outfit.tucked else ("skin", "bottom", "top", "outer")
        for phase in (0.0, 0.25, 0.6):
            bones = gait.pose(skeleton, habits, phase, 1.0)
            posed = skin(mesh.positions, mesh.normals, mesh.bone_index, mesh.bone_weight, bones).positions
            for yaw in (0, 90, 180, 270):
                layers = [sheets.SLOTS.index(name) for name in inside]
                pixels, bad = seen_through(posed, mesh.faces, mesh.slot, limb, layers, yaw)
                total, wrong = total + pixels, wrong + bad
    assert total > 100_000
    assert wrong <= 0.005 * total


def test_normals_point_outwards(someone: body.Body):
    mesh = garments.dress(someone, PLAIN)
    corner = mesh.positions[mesh.faces].astype(np.float64)
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    volume = (corner[:, 0] * face).sum() / 6
    assert 0.03 < volume < 0.25
    agree = (face * mesh.normals[mesh.faces].sum(1)).sum(1) > 0
    assert agree.mean() > 0.97


def test_atlas_paints_every_region_and_depends_on_the_seed(someone: body.Body):
    worn = replace(PLAIN, top=TYPES["regular shirt"], outer=TYPES["open field jacket"])
    first, again, other = (textures.paint(np.random.default_rng(seed), someone, worn) for seed in (1, 1, 2))
    assert first.texture.shape == (textures.ATLAS_PX, textures.ATLAS_PX, 3) and first.texture.dtype == np.uint8
    assert np.array_equal(first.texture, again.texture) and first.words == again.words
    assert np.abs(first.texture.astype(int) - other.texture).mean() > 5
    for box in charts.REGIONS.values():
        top, left = round(box.top * textures.ATLAS_PX), round(box.left * textures.ATLAS_PX)
        bottom, right = (
            round((box.top + box.height) * textures.ATLAS_PX),
            round((box.left + box.width) * textures.ATLAS_PX),
        )
        assert first.texture[top:bottom, left:right].max() > 8


def test_wardrobe_is_mostly_muted_with_some_colour(someone: body.Body):
    names = [textures.paint(np.random.default_rng(s), someone, _outfit(s)).words["top_color"] for s in range(40)]
    muted = {"black", "charcoal", "grey", "light grey", "white", "beige", "brown", "navy"}
    share = np.mean([name in muted for name in names])
    assert 0.45 < share < 0.92
    assert len(set(names)) >= 9


def test_black_clothes_and_even_colours_by_name(someone: body.Body):
    def names(colors: str) -> list[str]:
        looks = [textures.paint(np.random.default_rng(s), someone, _outfit(s), colors=colors).words for s in range(12)]
        return [words[f"{layer}_color"] for words in looks for layer in ("top", "bottom", "shoes")]

    assert {name.split()[0] for name in names("black")} <= {"black", "charcoal", "olive"}
    assert len(set(names("uniform"))) > 12


def test_stripes_meet_at_the_side_seams_and_go_on_down_the_sleeves():
    stripes = cloth.Cloth("stripe", "red", np.zeros(3), np.ones(3), np.ones(3), 0.06, 0.5, 0.03, 5)
    z = np.broadcast_to(np.linspace(0.5, 0.1, 200)[:, None], (200, 8)).copy()
    x = np.broadcast_to(np.linspace(-0.02, 0.02, 8), (200, 8)).copy()
    bright = [cloth.weave(stripes, x, z, where).mean((1, 2)) > 0.5 for where in ("front", "back", "sleeve")]
    assert (bright[0] == bright[1]).mean() > 0.97 and (bright[0] == bright[2]).mean() > 0.97
    assert 0.3 < bright[0].mean() < 0.7
