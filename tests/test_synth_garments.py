from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from unrealperson.synth import body, charts, garments, outfits, sheets, textures


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


def test_every_garment_can_be_worn(someone: body.Body):
    base = _outfit(3)
    looks = [_outfit(seed, gender) for seed in range(8) for gender in ("female", "male")]
    looks += [replace(base, hair=hair, hair_z=0.5) for hair in ("long", "bob", "ponytail", "short", "bald", "cropped")]
    for look in looks:
        mesh = garments.dress(someone, look)
        assert len(mesh.positions) <= 20_000, look
        assert np.isfinite(mesh.positions).all() and np.isfinite(mesh.normals).all(), look
        np.testing.assert_allclose(mesh.bone_weight.sum(1), 1, atol=1e-5)
        assert mesh.uv.min() >= 0 and mesh.uv.max() <= 1
        assert int(mesh.faces.max()) == len(mesh.positions) - 1
        assert mesh.positions[:, 2].min() == pytest.approx(0, abs=1e-6)


def test_clothes_hide_the_body_below_them(someone: body.Body):
    bare = replace(_outfit(2), bottom="shorts", leg_z=-0.25, leg_width=0.09, top="t-shirt", sleeve=0.4, hair="bald")
    covered = replace(bare, bottom="trousers", leg_z=-0.77, top="sweater", sleeve=1.95)

    def skin_area(look: outfits.Outfit) -> float:
        mesh = garments.dress(someone, look)
        box = charts.REGIONS["skin"]
        u, v = mesh.uv[mesh.faces].mean(1).T
        inside = (u > box.left) & (u < box.left + box.width) & (1 - v > box.top) & (1 - v < box.top + box.height)
        corner = mesh.positions[mesh.faces[inside]]
        cross = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
        return float(np.linalg.norm(cross, axis=1).sum() / 2)

    assert skin_area(covered) < 0.6 * skin_area(bare)


def test_normals_point_outwards(someone: body.Body):
    mesh = garments.dress(someone, replace(_outfit(2), hair="bald"))
    corner = mesh.positions[mesh.faces].astype(np.float64)
    face = np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])
    volume = (corner[:, 0] * face).sum() / 6
    assert 0.03 < volume < 0.25
    agree = (face * mesh.normals[mesh.faces].sum(1)).sum(1) > 0
    assert agree.mean() > 0.97


def test_atlas_paints_every_region_and_depends_on_the_seed(someone: body.Body):
    look = _outfit(4)
    first, again, other = (textures.paint(np.random.default_rng(seed), someone, look) for seed in (1, 1, 2))
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
    assert 0.5 < share < 0.92
    assert len(set(names)) >= 9
