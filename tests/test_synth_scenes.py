from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from unrealperson.synth.cameras import camera_views
from unrealperson.synth.scenes import make_scene


def test_unknown_scene_names_the_known_ones():
    with pytest.raises(ValueError, match=r"no scene 7; there is 1 \(CityStreet\)"):
        make_scene(7, 0)


def test_meshes_are_sound():
    scene = make_scene(1, 0)
    names = [mesh.name for mesh in scene.meshes]
    assert len(set(names)) == len(names) > 50
    assert not any(" " in name or name.startswith("MH") for name in names)
    for mesh in scene.meshes:
        count = len(mesh.positions)
        assert mesh.positions.shape == mesh.normals.shape == mesh.colors.shape == (count, 3)
        assert mesh.uv.shape == (count, 2)
        assert mesh.faces.dtype == np.uint32 and mesh.faces.max() < count
        assert np.linalg.norm(mesh.normals, axis=1) == pytest.approx(1.0, abs=1e-4)
        assert mesh.texture.dtype == np.uint8 and mesh.texture.shape[2] == 3
        assert np.isfinite(mesh.positions).all() and np.isfinite(mesh.uv).all()


def test_paths_keep_clear_of_obstacles():
    scene = make_scene(1, 0)
    for path in scene.paths:
        closed = np.concatenate([path, path[:1]])
        for start, end in pairwise(closed):
            for share in np.linspace(0, 1, 20):
                assert scene.is_free(start + share * (end - start), 0.3)


def test_paths_and_cameras_do_not_depend_on_the_seed_but_textures_do():
    one, two = make_scene(1, 0), make_scene(1, 1)
    assert all(np.array_equal(a, b) for a, b in zip(one.paths, two.paths, strict=True))
    assert np.array_equal(one.obstacles, two.obstacles)
    assert any(not np.array_equal(a.texture, b.texture) for a, b in zip(one.meshes, two.meshes, strict=False))


def test_same_seed_same_scene():
    one = make_scene(1, 3)
    make_scene.cache_clear()
    two = make_scene(1, 3)
    assert one is not two
    for a, b in zip(one.meshes, two.meshes, strict=True):
        assert a.name == b.name
        assert np.array_equal(a.positions, b.positions) and np.array_equal(a.texture, b.texture)


@pytest.mark.parametrize("camera", range(6))
def test_every_camera_sees_a_path(camera):
    scene = make_scene(1, 0)
    view = camera_views(1, 6, 0)[camera]
    seen = 0
    for path in scene.paths:
        closed = np.concatenate([path, path[:1]])
        line = np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(closed)])
        pixels, depth_m = view.project(np.column_stack([line, np.full(len(line), 0.9)]), 640, 480)
        inside = (depth_m > 0) & (pixels > 0).all(1) & (pixels[:, 0] < 640) & (pixels[:, 1] < 480)
        seen += bool(inside.any())
    assert seen >= 3


def test_light_steps():
    scene = make_scene(1, 0)
    lights = [scene.light(step, 6) for step in range(6)]
    assert len({light.azimuth_deg for light in lights}) == 6
    for light in lights:
        assert 10 < light.elevation_deg < 70
        assert np.linalg.norm(light.direction()) == pytest.approx(1.0)
        assert min((*light.sun, *light.sky, *light.ground)) > 0
    with pytest.raises(ValueError, match=r"step must lie in 0 ... 5, got 6"):
        scene.light(6, 6)
