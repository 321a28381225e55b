from __future__ import annotations

import numpy as np
import pytest
from stand_in import make_stand_in

from unrealperson.synth.cameras import camera_views
from unrealperson.synth.scenes import interior, make_scene
from unrealperson.synth.scenes.packages import COLUMNS, ROWS, stocked
from unrealperson.synth.scenes.scene import Prop
from unrealperson.synth.scenes.solid import Solid
from unrealperson.synth.world import World

HALLS = pytest.mark.parametrize(("number", "people"), [(4, 50), (5, 60)], ids=["market", "station"])


@HALLS
def test_a_crowd_keeps_walking_around_what_stands_there(number, people):
    scene = make_scene(number, 0)
    world = World(scene, seed=0, version=1, lights=1, make=make_stand_in)
    world.spawn(people)
    start = np.array([actor.position_m[:2] for actor in world.actors.values()])
    world.advance(8.0)
    spots = np.array([actor.position_m[:2] for actor in world.actors.values()])
    gaps = np.hypot(*(spots[:, None] - scene.obstacles[None, :, :2]).transpose(2, 0, 1)) - scene.obstacles[:, 2]
    assert gaps.min() > 0.1
    x0, y0, x1, y1 = scene.bounds
    assert ((spots > (x0, y0)) & (spots < (x1, y1))).all()
    assert np.median(np.hypot(*(spots - start).T)) > 1.5


@HALLS
def test_everything_stands_on_the_floor_below_the_ceiling(number, people):
    scene = make_scene(number, 0)
    assert scene.indoor and 0.7 < scene.light(0, 1).exposure <= 1.0
    for mesh in scene.meshes:
        assert mesh.positions[:, 2].min() > -0.1, mesh.name
        assert mesh.positions[:, 2].max() <= scene.ceiling_m + 1e-4, mesh.name
    for view in camera_views(number, 20, 0):
        assert 2.0 < view.position_m[2] < scene.ceiling_m - 0.3


@HALLS
def test_circles_cover_what_people_could_walk_through(number, people):
    """Solid things between knee and head lie within an obstacle, but for what hangs on walls."""
    scene = make_scene(number, 0)
    x0, y0, x1, y1 = scene.bounds
    for mesh in scene.meshes:
        z = mesh.positions[:, 2]
        spots = np.unique(mesh.positions[(z > 0.5) & (z < 1.9)][:, :2].round(2), axis=0)
        inside = (spots > (x0 + 0.5, y0 + 0.5)).all(1) & (spots < (x1 - 0.5, y1 - 0.5)).all(1)
        if not inside.any():
            continue
        spots = spots[inside]
        gaps = np.hypot(*(spots[:, None] - scene.obstacles[None, :, :2]).transpose(2, 0, 1)) - scene.obstacles[:, 2]
        assert gaps.min(1).max() < 0.45, (mesh.name, spots[gaps.min(1).argmax()])


def test_a_hall_is_lit_without_sun():
    pytest.importorskip("panda3d", reason="rendering needs panda3d: pip install unrealperson[synth]")
    from unrealperson.synth.renderer import Renderer

    scene = make_scene(5, 0)
    world = World(scene, seed=0, version=1, lights=1, make=make_stand_in)
    with Renderer(scene, width=160, height=120) as renderer:
        for view in scene.views:
            image = renderer.render(world, view, "lit")
            assert 60 < image.mean() < 180 and image.std() > 20
            floor = renderer.render(world, view, "object_mask", {"Floor_1": (255, 255, 255)})[..., 0] == 255
            assert floor.mean() > 0.25


def test_shelves_are_full_and_each_package_shows_one_cell():
    mesh = stocked(np.random.default_rng(0), 8.0, np.zeros((64, 64, 3), np.uint8))
    assert len(mesh.faces) > 200
    fronts = mesh.normals[:, 1] < -0.5
    inside = mesh.uv[fronts].reshape(-1, 4, 2)
    cells = np.floor(inside * (COLUMNS, ROWS))
    one_cell = (cells == cells[:, :1]).all((1, 2))
    assert one_cell.sum() == len(cells) - 5
    assert np.ptp(mesh.positions[:, 0]) == pytest.approx(8.0, abs=0.1)


@pytest.mark.parametrize(
    ("start", "end", "radius"), [((0, 0), (4, 0), 0.3), ((1, 1), (1, 1), 0.5), ((0, 0), (0, 0.2), 1)]
)
def test_rows_of_circles_leave_no_gap(start, end, radius):
    circles = np.array(interior.row_of_circles(start, end, radius))
    assert circles[0, :2] == pytest.approx(start) and circles[-1, :2] == pytest.approx(end)
    steps = np.hypot(*np.diff(circles[:, :2], axis=0).T)
    assert (steps <= 1.1 * radius + 1e-9).all() and (circles[:, 2] == radius).all()


def test_joined_meshes_keep_their_faces():
    def patch(x: float) -> Solid:
        solid = Solid()
        solid.floor(x, 0, x + 1, 1, 0.0, (1, 1, 1))
        return solid

    texture = np.zeros((4, 4, 3), np.uint8)
    parts = [patch(x).mesh(f"Part_{x}", texture) for x in (0, 2, 5)]
    whole = interior.join("Whole_1", parts)
    assert whole.faces.dtype == np.uint32 and whole.name == "Whole_1"
    corners = [part.positions[part.faces] for part in parts]
    assert np.array_equal(whole.positions[whole.faces], np.concatenate(corners))


def test_settled_props_are_darker_at_their_feet():
    box = Solid()
    box.box((0, 0, 0), (1, 1, 2), (1, 1, 1))
    mesh = interior.settle(Prop((box.mesh("Box_1", np.zeros((4, 4, 3), np.uint8)),))).meshes[0]
    sides = np.abs(mesh.normals[:, 2]) < 0.5
    low = mesh.positions[:, 2] < 0.1
    assert mesh.colors[sides & low].max() < 0.6 and mesh.colors[~low].min() == pytest.approx(1.0)
