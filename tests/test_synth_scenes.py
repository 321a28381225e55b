from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from unrealperson.synth.cameras import camera_views
from unrealperson.synth.scenes import SCENES, make_scene
from unrealperson.synth.scenes.furniture import make_bench, make_kiosk
from unrealperson.synth.scenes.scene import Scene
from unrealperson.synth.scenes.vehicles import make_bicycle, make_car

EVERY_SCENE = pytest.mark.parametrize("number", SCENES)
TRIANGLES, VERTICES, TEXTURE_BYTES, TEXTURE_PIXELS = 120_000, 90_000, 24 << 20, 1024


def _walk(scene: Scene) -> list[np.ndarray]:
    """Points along each path."""
    lines = []
    for path in scene.paths:
        closed = np.concatenate([path, path[:1]])
        lines.append(np.concatenate([np.linspace(a, b, 20) for a, b in pairwise(closed)]))
    return lines


def test_unknown_scene_names_the_known_ones():
    with pytest.raises(ValueError, match=r"no scene 99; there is 1 \(CityStreet\)"):
        make_scene(99, 0)


@EVERY_SCENE
def test_meshes_are_sound(number):
    scene = make_scene(number, 0)
    assert (scene.number, scene.name) == (number, SCENES[number][0])
    names = [mesh.name for mesh in scene.meshes]
    assert len(set(names)) == len(names) > 50
    assert not any(" " in name or name.startswith("MH") for name in names)
    for mesh in scene.meshes:
        count = len(mesh.positions)
        assert mesh.positions.shape == mesh.normals.shape == mesh.colors.shape == (count, 3)
        assert mesh.uv.shape == (count, 2)
        assert mesh.faces.dtype == np.uint32 and mesh.faces.max() < count
        assert np.abs(np.linalg.norm(mesh.normals, axis=1) - 1).max() < 1e-3, mesh.name
        assert mesh.texture.dtype == np.uint8 and mesh.texture.shape[2] in (3, 4)
        assert np.isfinite(mesh.positions).all() and np.isfinite(mesh.uv).all() and np.isfinite(mesh.colors).all()


@EVERY_SCENE
def test_scenes_stay_within_what_a_processor_renders(number):
    scene = make_scene(number, 0)
    assert sum(len(mesh.faces) for mesh in scene.meshes) <= TRIANGLES
    assert sum(len(mesh.positions) for mesh in scene.meshes) <= VERTICES
    textures = {id(mesh.texture): mesh.texture for mesh in scene.meshes}.values()
    assert sum(texture.nbytes for texture in textures) <= TEXTURE_BYTES
    assert max(max(texture.shape[:2]) for texture in textures) <= TEXTURE_PIXELS


@EVERY_SCENE
def test_paths_keep_clear_of_obstacles(number):
    scene = make_scene(number, 0)
    assert len(scene.paths) >= 4
    for point in np.concatenate(_walk(scene)):
        assert scene.is_free(point, 0.3), point


@EVERY_SCENE
def test_paths_and_cameras_do_not_depend_on_the_seed_but_textures_do(number):
    one, two = make_scene(number, 0), make_scene(number, 1)
    assert all(np.array_equal(a, b) for a, b in zip(one.paths, two.paths, strict=True))
    assert np.array_equal(one.obstacles, two.obstacles)
    assert one.views == two.views and len(one.views) >= 6
    assert any(not np.array_equal(a.texture, b.texture) for a, b in zip(one.meshes, two.meshes, strict=False))


@EVERY_SCENE
def test_same_seed_same_scene(number):
    one = make_scene(number, 0)
    two = SCENES[number][1](0)
    assert one is not two
    for a, b in zip(one.meshes, two.meshes, strict=True):
        assert a.name == b.name
        assert np.array_equal(a.positions, b.positions) and np.array_equal(a.texture, b.texture)


@EVERY_SCENE
def test_every_camera_sees_paths(number):
    scene = make_scene(number, 0)
    for view in camera_views(number, len(scene.views), 0):
        seen = 0
        for line in _walk(scene):
            pixels, depth_m = view.project(np.column_stack([line, np.full(len(line), 0.9)]), 640, 480)
            seen += bool(((depth_m > 0) & (pixels > 0).all(1) & (pixels < (640, 480)).all(1)).any())
        assert seen >= 2, view


@EVERY_SCENE
def test_lamps_light_the_place(number):
    scene = make_scene(number, 0)
    assert scene.lamps
    for lamp in scene.lamps:
        assert lamp.reach_m > 0 and min(lamp.color) >= 0 and lamp.position_m[2] > 0.5


@pytest.mark.parametrize("make", [make_bench, make_kiosk, make_car, make_bicycle])
def test_a_prop_stands_where_it_is_put(make):
    at_origin = make(3, (0.0, 0.0, 0.0), 0.0, np.random.default_rng(0))
    moved = make(3, (2.0, 1.0, 0.5), 90.0, np.random.default_rng(0))
    for before, after in zip(at_origin.meshes, moved.meshes, strict=True):
        x, y, z = before.positions.T
        assert after.positions == pytest.approx(np.stack([2 - y, 1 + x, z + 0.5], 1), abs=1e-5)
        assert after.name == before.name and "_3" in after.name
    low = min(float(mesh.positions[:, 2].min()) for mesh in at_origin.meshes)
    assert low == pytest.approx(0.0, abs=0.03)
    for (x, y, radius), (u, v, same) in zip(at_origin.obstacles, moved.obstacles, strict=True):
        assert (u, v, same) == pytest.approx((2 - y, 1 + x, radius))
    for before, after in zip(at_origin.lamps, moved.lamps, strict=True):
        assert after.position_m[2] == pytest.approx(before.position_m[2] + 0.5)


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
