"""Truth about people, held against the renderer's mask and against geometry."""

from __future__ import annotations

import numpy as np
import pytest
from stand_in import make_stand_in

from unrealperson.synth.people.person import KEYPOINTS, make_person
from unrealperson.synth.scenes import make_scene
from unrealperson.synth.sensors import Sensor
from unrealperson.synth.silhouettes import SAMPLE_PX, silhouette
from unrealperson.synth.truth import bend_person, describe_camera, describe_person
from unrealperson.synth.view import View
from unrealperson.synth.world import World

pytest.importorskip("panda3d", reason="rendering needs panda3d: pip install unrealperson[synth]")

from unrealperson.synth.renderer import Renderer

VIEW = View((-5.0, 2.5, 1.6), 0.0, -5.0, 0.0, 50.0)
COLORS = {"MHMainClass_C_0": (10, 200, 30), "MHMainClass_C_1": (200, 40, 90)}
NAMES = {color: name for name, color in COLORS.items()}


@pytest.fixture(scope="module")
def renderer():
    with Renderer(make_scene(1, 0), width=640, height=480) as made:
        yield made


def two_people(make=make_person) -> World:
    world = World(make_scene(1, 0), seed=0, version=1, lights=1, make=make)
    world.spawn(2)
    for name, x in zip(COLORS, (0.0, 1.5), strict=True):
        actor = world.actors[name]
        actor.position_m, actor.yaw_deg, actor.moving, actor.look_deg = (x, 2.5, 0.0), 180.0, 0.0, 0.0
    return world


def truth_of(renderer: Renderer, world: World, view: View = VIEW) -> tuple[np.ndarray, list[dict]]:
    mask = renderer.render(world, view, "object_mask", COLORS)
    found = [describe_person(world.actors[name], view, mask, color, NAMES) for name, color in COLORS.items()]
    assert all(found)
    return mask, found


def test_who_stands_behind_is_hidden_by_whom_and_by_how_much(renderer):
    world = two_people()
    mask, (front, behind) = truth_of(renderer, world)
    assert front["unoccluded_pixels"] == pytest.approx(front["pixels"], rel=0.03) and front["occluders"] == {}
    assert behind["pixels"] < 0.5 * behind["unoccluded_pixels"]
    hidden = behind["unoccluded_pixels"] - behind["pixels"]
    assert behind["occluders"]["MHMainClass_C_0"] == pytest.approx(hidden, rel=0.05)
    world.actors["MHMainClass_C_0"].position_m = (0.0, -2.0, 0.0)
    alone = renderer.render(world, VIEW, "object_mask", COLORS)
    assert behind["unoccluded_pixels"] == pytest.approx((alone == COLORS["MHMainClass_C_1"]).all(-1).sum(), rel=0.03)
    for color, person in zip(COLORS.values(), (front, behind), strict=True):
        rows, columns = np.nonzero((mask == color).all(-1))
        assert person["pixels"] == len(rows)
        assert person["visible_box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]


@pytest.mark.parametrize(
    ("yaw_deg", "seen", "unseen"),
    [(180.0, "nose", ""), (0.0, "", "nose"), (90.0, "left_ear", "right_ear"), (270.0, "right_ear", "left_ear")],
)
def test_a_head_hides_the_face_on_its_other_side(renderer, yaw_deg, seen, unseen):
    world = two_people()
    actor = world.actors["MHMainClass_C_0"]
    actor.yaw_deg = yaw_deg
    _, (person, _) = truth_of(renderer, world)
    visibility = {name: point[2] for name, point in zip(KEYPOINTS, person["keypoints"], strict=True)}
    assert visibility.get(seen, 2) == 2 and visibility.get(unseen, 1) == 1
    assert sum(value == 2 for name, value in visibility.items() if "shoulder" in name or "hip" in name) >= 2


def test_keypoints_lie_on_their_person(renderer):
    world = two_people()
    world.actors["MHMainClass_C_1"].position_m = (0.5, 3.6, 0.0)
    mask, people = truth_of(renderer, world)
    for color, person in zip(COLORS.values(), people, strict=True):
        own = (mask == color).all(-1)
        inside = [own[int(y) - 3 : int(y) + 4, int(x) - 3 : int(x) + 4].any() for x, y, _ in person["keypoints"]]
        assert sum(inside) >= 16
        left, top, right, bottom = person["full_box"]
        assert all(left <= x <= right and top <= y <= bottom for x, y, _ in person["keypoints"])


def test_a_camera_projects_as_it_says():
    view = View((1.0, -2.0, 3.5), 33.0, -21.0, 1.5, 61.0)
    camera = describe_camera(view, 640, 480)
    points = np.random.default_rng(0).uniform((3, -1, -3), (9, 5, 3), (20, 3))
    local = (points - camera["location_m"]) @ np.array(camera["axes"]).T
    x = camera["principal_px"][0] + camera["focal_px"] * local[:, 0] / local[:, 1]
    y = camera["principal_px"][1] - camera["focal_px"] * local[:, 2] / local[:, 1]
    expected, depth_m = view.project(points, 640, 480)
    ahead = depth_m > 0
    assert np.stack([x, y], 1)[ahead] == pytest.approx(expected[ahead], abs=1e-3)


def test_a_bent_image_has_bent_truth(renderer):
    world = two_people()
    mask, people = truth_of(renderer, world)
    sensor = Sensor(distortion=0.15)
    bent_mask = sensor.bend(mask, flat=True)
    for color, person in zip(COLORS.values(), people, strict=True):
        bent = bend_person(person, lambda points: sensor.bent(points, 640, 480), bent_mask, color)
        own = (bent_mask == color).all(-1)
        rows, columns = np.nonzero(own)
        assert bent["pixels"] == len(rows) <= bent["unoccluded_pixels"]
        assert bent["visible_box"] == [columns.min(), rows.min(), columns.max() + 1, rows.max() + 1]
        for x, y, visible in bent["keypoints"]:
            if visible == 2:
                assert own[int(y) - 4 : int(y) + 5, int(x) - 4 : int(x) + 5].any()


def test_silhouette_of_a_rectangle_and_depth_order():
    corners = np.array([[2.0, 1.0], [10.0, 1.0], [10.0, 6.0], [2.0, 6.0]])
    points = np.concatenate([corners, corners]) + SAMPLE_PX
    depth = np.repeat([4.0, 3.0], 4)
    faces = np.array([[0, 1, 2], [0, 2, 3], [4, 5, 6], [4, 6, 7]], np.uint32)
    front = silhouette(points, depth, faces, (0, 0, 12, 8), near_m=0.1)
    assert np.isfinite(front).sum() == 9 * 6 and front[np.isfinite(front)] == pytest.approx(3.0)
    assert not np.isfinite(silhouette(points, depth, faces, (0, 0, 12, 8), near_m=5.0)).any()
    assert silhouette(points, depth, faces, (5, 5, 5, 9), near_m=0.1).shape == (4, 0)


def test_nobody_beside_the_image(renderer):
    world = two_people(make_stand_in)
    actor = world.actors["MHMainClass_C_0"]
    mask = np.zeros((480, 640, 3), np.uint8)
    for position in ((-8.0, 2.5, 0.0), (0.0, 30.0, 0.0)):
        actor.position_m = position
        assert describe_person(actor, VIEW, mask, (1, 2, 3)) is None
