from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrealperson.synth.people import body, garments, mhclo, sheets
from unrealperson.synth.people.outfits import describe, random_outfit
from unrealperson.synth.people.person import make_person

CUBE = "v 0 0 0\nv 1 0 0\nv 1 1 0\nv 0 1 0\nvt 0 0\nvt 1 0\nvt 1 1\nvt 0 1\nf 1/1 2/2 3/3 4/4\n"
HEAD = "name patch\nobj_file patch.obj\nx_scale 5399 11998 1.4\ny_scale 791 881 2.4\nz_scale 962 5320 2.0\n"
ROWS = "1500 1501 1502 0.5 0.25 0.25 0 0 0.1\n1501\n1502\n1503\n"


def _write(folder: Path, text: str, mesh: str = CUBE) -> Path:
    (folder / "patch.obj").write_text(mesh)
    path = folder / "patch.mhclo"
    path.write_text("# a patch\n" + text)
    return path


def test_a_patch_is_bound_to_triangles_of_the_base_mesh(tmp_path):
    patch = mhclo.read_mhclo(_write(tmp_path, HEAD + "verts 0\n" + ROWS + "delete_verts\n10 - 12 20\n"))
    assert patch.slot == "suit" and patch.texture is None and patch.triangles.shape == (2, 3)
    assert np.flatnonzero(patch.hidden).tolist() == [10, 11, 12, 20]
    np.testing.assert_array_equal(patch.uv[1, 1], [1, 1])
    someone = body.random_body(np.random.default_rng(3))
    sheet = mhclo.fit(patch, someone)
    np.testing.assert_allclose(sheet.position[1:], someone.vertices[[1501, 1502, 1503]], atol=1e-6)
    unit = abs(float(someone.vertices[962, 0] - someone.vertices[5320, 0])) / 2.0
    middle = 0.5 * someone.vertices[1500] + 0.25 * someone.vertices[1501] + 0.25 * someone.vertices[1502]
    np.testing.assert_allclose(sheet.position[0], middle + np.array([0.1 * unit, 0, 0]), atol=1e-6)
    np.testing.assert_allclose(sheet.weight.sum(1), 1, atol=1e-6)


@pytest.mark.parametrize(
    ("text", "mesh", "message"),
    [
        (HEAD, CUBE, "must have obj_file and verts"),
        (HEAD.replace("x_scale 5399 11998 1.4", "x_scale 5399"), CUBE, "x_scale must name two vertices"),
        (HEAD, "v 0 0 0\nf 1 2 9\n", "faces must name vertices 1 ... 4"),
    ],
)
def test_damaged_files_are_named(tmp_path, text: str, mesh: str, message: str):
    rows = "" if "verts" in message else "verts 0\n" + ROWS
    with pytest.raises(ValueError, match=message):
        mhclo.read_mhclo(_write(tmp_path, text + rows, mesh))


def test_a_folder_without_garments_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"synth\.clothes must be a folder with \.mhclo garments"):
        mhclo.load_clothes(tmp_path)
    with pytest.raises(ValueError, match="colors must be one of wardrobe, black, uniform, got 'neon'"):
        make_person(0, 1, 0, colors="neon")  # type: ignore[arg-type]


def test_makehuman_clothes_are_worn(shared: Path):
    folder = shared / "assets" / "makehuman" / "clothes"
    if not folder.is_dir():
        pytest.skip(f"no MakeHuman clothes in {folder}")
    clothes = mhclo.load_clothes(folder)
    assert {garment.slot for garment in clothes} == {"suit", "shoes", "hat"}
    seen = 0
    for seed in range(12):
        rng = np.random.default_rng(seed)
        someone = body.random_body(rng)
        outfit = random_outfit(rng, gender=someone.gender, clothes=clothes)
        if not outfit.fitted:
            continue
        seen += 1
        assert outfit.fitted[0].name in describe(outfit).values()
        mesh = garments.dress(someone, outfit)
        assert len(mesh.positions) <= 20_000 and np.isfinite(mesh.positions).all()
        cloth = np.unique(mesh.faces[mesh.slot != sheets.SLOTS.index("skin")])
        assert np.abs(mesh.positions[cloth]).max() < 1.2 * someone.height_m
    assert seen >= 5
    dressed = make_person(5, 1, 3, clothes=folder)
    assert np.array_equal(dressed.positions, make_person(5, 1, 3, clothes=folder).positions)
