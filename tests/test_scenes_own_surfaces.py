from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrealperson.synth.scenes import make_scene
from unrealperson.synth.scenes.own_surfaces import SURFACES, take_surfaces
from unrealperson.synth.scenes.scene import Scene
from unrealperson.synth.scenes.solid import Solid


def _scene() -> Scene:
    def mesh(name: str, channels: int = 3):
        solid = Solid()
        solid.floor(0, 0, 1, 1, 0, (1.0,) * 3)
        return solid.mesh(name, np.zeros((4, 4, channels), np.uint8))

    names = ("Road", "Pavement_North", "Bench_1", "Building_2", "Wall_North")
    meshes = (*map(mesh, names), mesh("Building_1", 4))
    return Scene(9, "Any", 0, meshes, (np.eye(3)[:, :2],), np.zeros((0, 3)), (0, 0, 1, 1), ())


def _picture(path: Path, tone: int, size: tuple[int, int] = (20, 10)) -> None:
    Image.new("RGB", size, (tone, tone, tone)).save(path)


def test_pictures_cover_what_they_are_named_after(tmp_path):
    for tone, name in enumerate(("asphalt.png", "Brick.JPG", "plaster.png"), 1):
        _picture(tmp_path / name, 50 * tone, (1500, 750) if tone == 1 else (20, 10))
    (tmp_path / "notes.txt").write_text("where they come from", encoding="utf-8")
    scene = _scene()
    found = {mesh.name: mesh.texture for mesh in take_surfaces(scene, tmp_path).meshes}
    assert found["Road"].shape == (512, 1024, 3) and (found["Road"] == 50).all()
    assert abs(int(found["Building_2"].mean()) - 100) < 3 and (found["Wall_North"] == 150).all()
    for kept in ("Pavement_North", "Bench_1", "Building_1"):
        assert not found[kept].any(), kept


def test_every_surface_is_somewhere():
    names = [mesh.name for number in (2, 3, 4) for mesh in make_scene(number, 0).meshes if mesh.texture.shape[2] == 3]
    for surface, pattern in SURFACES.items():
        assert any(re.fullmatch(pattern, name) for name in names), surface


@pytest.mark.parametrize(
    ("names", "message"),
    [
        (None, "there is no folder"),
        ((), "holds no picture"),
        (("asfalt.png",), "named after no surface; there is asphalt, paving"),
        (("asphalt.png", "asphalt.jpg"), "two pictures of asphalt"),
        (("grass.jpg:broken",), "is no PNG or JPEG"),
    ],
)
def test_clear_messages(tmp_path, names, message):
    folder = tmp_path / "surfaces"
    if names is not None:
        folder.mkdir()
        for name in names:
            name, _, broken = name.partition(":")
            _picture(folder / name, 90)
            if broken:
                (folder / name).write_bytes(b"no picture")
    with pytest.raises(ValueError, match=message):
        take_surfaces(_scene(), folder)
