from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from unrealperson.synth.scenes import make_scene
from unrealperson.synth.scenes.buildings import add_wall, make_arcade, make_stairs
from unrealperson.synth.scenes.facades import curtain_wall, lobby, louvres, office_wall
from unrealperson.synth.scenes.pavements import Ground, courses, herringbone, paving, tactile
from unrealperson.synth.scenes.solid import Solid

STONE = np.full((8, 8, 3), 128, np.uint8)


def _area(mesh):
    a, b, c = (mesh.positions[mesh.faces[:, corner]].astype(float) for corner in range(3))
    return 0.5 * np.linalg.norm(np.cross(b - a, c - a), axis=1).sum()


def test_plaza_is_as_large_and_as_filmed_as_promised():
    scene = make_scene(2, 0)
    x0, y0, x1, y1 = scene.bounds
    assert x1 - x0 >= 44 and y1 - y0 >= 34
    assert len(scene.views) == 16 and len(scene.paths) >= 8
    heights = [view.position_m[2] for view in scene.views]
    assert min(heights) < 2.8 and max(heights) > 7.0 and all(2.2 <= height <= 8.0 for height in heights)
    assert max(view.fov_deg for view in scene.views) - min(view.fov_deg for view in scene.views) > 10


@pytest.mark.parametrize("camera", range(16))
def test_people_come_out_large_enough(camera):
    scene = make_scene(2, 0)
    view = scene.views[camera]
    tall = []
    for path in scene.paths:
        for start, end in pairwise(np.concatenate([path, path[:1]])):
            for point in np.linspace(start, end, 12):
                pixels, depth_m = view.project(np.array([[*point, 0.0], [*point, 1.7]]), 640, 480)
                if (depth_m > 1).all() and (pixels > 0).all() and (pixels < (640, 480)).all():
                    tall.append(abs(pixels[0, 1] - pixels[1, 1]))
    heights = np.array(tall)
    assert ((heights >= 90) & (heights <= 300)).sum() >= 5


def test_stones_in_courses_tile_and_know_their_edges():
    label, gap = courses(np.random.default_rng(0), 64, 4, 3, ragged=0.5)
    assert label.shape == gap.shape == (64, 64)
    assert len(np.unique(label)) == 12
    assert gap.min() > 0
    across = label != np.roll(label, 1, 1)
    assert (gap[across] <= 1.0).all()


@pytest.mark.parametrize(
    "make",
    [
        lambda rng: paving(rng, (0.5, 0.5, 0.5), 6, 4, 64, ragged=0.5, round_px=3.0),
        lambda rng: herringbone(rng, (0.5, 0.4, 0.3), 64, 8),
        lambda rng: tactile(rng, (0.6, 0.5, 0.3), 64, bars=True),
        lambda rng: tactile(rng, (0.6, 0.5, 0.3), 64, bars=False),
        lambda rng: curtain_wall(rng, (0.8, 0.9, 1.0), 2, 2, 128),
        lambda rng: lobby(rng, 512, 4, shop=True)[:, :256],
        lambda rng: lobby(rng, 512, 4)[:, :256],
        lambda rng: office_wall(rng, (0.6, 0.6, 0.5), 2, 2, 128),
        lambda rng: louvres(rng, (0.5, 0.5, 0.5), 32),
    ],
)
def test_textures_are_pictures_that_the_seed_decides(make):
    first, again, other = (make(np.random.default_rng(seed)) for seed in (0, 0, 1))
    assert first.dtype == np.uint8 and first.shape[0] == first.shape[1] and first.shape[2] in (3, 4)
    first, again, other = first[..., :3], again[..., :3], other[..., :3]
    assert np.array_equal(first, again) and not np.array_equal(first, other)
    assert 20 < first.mean() < 235 and first.std() > 3


def test_paving_covers_its_areas_and_darkens_at_the_foot_of_things():
    areas = [(0.0, 0.0, 4.0, 3.0), (5.0, 0.0, 6.0, 1.0)]
    ground = Ground(np.random.default_rng(0), np.array([[2.0, 1.5, 0.0, 0.0, 0.2]]))
    mesh = ground.pave("Paving", areas, STONE, 1.0, z_m=0.25)
    assert _area(mesh) == pytest.approx(13.0)
    assert (mesh.positions[:, 2] == 0.25).all() and (mesh.normals == (0, 0, 1)).all()
    foot, far = ground.shade(np.array([[2.0, 1.72], [2.0, 9.0]]))
    assert foot < 0.75 * far


def test_walls_face_to_the_right_of_their_direction():
    solid = Solid()
    add_wall(solid, (0.0, 0.0), (4.0, 0.0), 0.0, 3.0, (2.0, 2.0), foot=0.5)
    mesh = solid.mesh("Wall", STONE)
    assert np.allclose(mesh.normals, (0, -1, 0))
    assert _area(mesh) == pytest.approx(12.0)
    assert mesh.colors[mesh.positions[:, 2] == 0].max() == 0.5


def test_stairs_climb_to_their_height():
    mesh = make_stairs("Stairs", (0.0, 0.0), (3.0, 0.0), 5, STONE, rise_m=0.2, tread_m=0.3)
    assert mesh.positions[:, 2].max() == pytest.approx(1.0)
    assert mesh.positions[:, 1].max() == pytest.approx(1.5) and mesh.positions[:, 1].min() == 0.0
    at_depth = mesh.positions[np.isclose(mesh.positions[:, 1], 0.0)]
    assert at_depth[:, 2].max() == pytest.approx(0.2)


def test_arcade_stands_on_evenly_spaced_pillars():
    mesh, feet = make_arcade("Arcade", (0.0, 0.0), (0.0, 20.0), STONE, depth_m=4.0)
    assert np.allclose(np.diff(feet[:, 1]), 5.0) and (feet[:, 0] == 0).all() and len(feet) == 5
    assert mesh.positions[:, 2].max() == pytest.approx(4.6)
    assert mesh.positions[:, 0].min() == pytest.approx(-4.0)
