from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from unrealperson.synth.cameras import camera_views
from unrealperson.synth.scenes import make_scene
from unrealperson.synth.view import View, from_unreal, to_unreal

VIEWS = [
    View((0.0, 0.0, 2.0), 0.0, 0.0),
    View((1.5, -2.0, 3.0), 37.0, -20.0, 0.0, 60.0),
    View((-4.0, 2.5, 5.0), -145.0, -35.0, 12.0, 47.0),
]


def _unreal_project(location, rotation, fov_deg, point, width, height):
    """UnrealCV's own convention, written down independently: left-handed, centimetres."""
    pitch, yaw, roll = np.radians(rotation)
    forward = np.array([math.cos(pitch) * math.cos(yaw), math.cos(pitch) * math.sin(yaw), math.sin(pitch)])
    right = np.array([-math.sin(yaw), math.cos(yaw), 0.0])
    up = np.array([-math.sin(pitch) * math.cos(yaw), -math.sin(pitch) * math.sin(yaw), math.cos(pitch)])
    right, up = math.cos(roll) * right - math.sin(roll) * up, math.sin(roll) * right + math.cos(roll) * up
    focal = width / (2 * math.tan(math.radians(fov_deg) / 2))
    d = np.asarray(point) - np.asarray(location)
    return width / 2 + focal * (right @ d) / (forward @ d), height / 2 - focal * (up @ d) / (forward @ d)


@pytest.mark.parametrize(
    ("point", "pixel"),
    [
        ((4.0, 0.0, 2.0), (320.0, 240.0)),
        ((4.0, 4.0, 2.0), (0.0, 240.0)),
        ((4.0, -4.0, 2.0), (640.0, 240.0)),
        ((4.0, 0.0, 3.0), (320.0, 160.0)),
    ],
)
def test_project_known_points(point, pixel):
    pixels, depth_m = VIEWS[0].project(np.array([point]), 640, 480)
    assert pixels[0] == pytest.approx(pixel)
    assert depth_m[0] == pytest.approx(4.0)


def test_points_behind_have_no_pixel():
    pixels, depth_m = VIEWS[0].project(np.array([[-1.0, 0.0, 2.0]]), 640, 480)
    assert np.isnan(pixels).all()
    assert depth_m[0] == pytest.approx(-1.0)


@pytest.mark.parametrize("view", VIEWS)
def test_projection_agrees_with_unreal(view):
    location, rotation = to_unreal(view)
    point = np.asarray(view.position_m) + 5 * view.axes()[1] + (0.4, -0.3, 0.2)
    ours, _ = view.project(point[None], 640, 480)
    theirs = _unreal_project(location, rotation, view.fov_deg, point * (100, -100, 100), 640, 480)
    assert ours[0] == pytest.approx(theirs, abs=1e-6)


@pytest.mark.parametrize("view", VIEWS)
def test_unreal_round_trip(view):
    location, rotation = to_unreal(view)
    back = from_unreal(location, rotation, view.fov_deg)
    assert back.position_m == pytest.approx(view.position_m)
    assert back.rotation == pytest.approx(view.rotation)
    assert view.axes() @ view.axes().T == pytest.approx(np.eye(3))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (dict(position_m=(0.0, 0.0), yaw_deg=0.0, pitch_deg=0.0), "three finite coordinates"),
        (dict(position_m=(0.0, 0.0, math.nan), yaw_deg=0.0, pitch_deg=0.0), "three finite coordinates"),
        (dict(position_m=(0.0, 0.0, 0.0), yaw_deg=0.0, pitch_deg=0.0, fov_deg=180.0), "1 ... 170"),
    ],
)
def test_bad_views(arguments, message):
    with pytest.raises(ValueError, match=message):
        View(**arguments)


def test_bad_points():
    with pytest.raises(ValueError, match=r"points must be \[n, 3\]"):
        VIEWS[0].project(np.zeros(3), 640, 480)


def test_cameras_at_a_height():
    for view in camera_views(1, 8, 0, heights_m=(1.5, 2.0)):
        assert 1.5 <= view.position_m[2] <= 2.0


def test_any_number_of_cameras():
    views = camera_views(1, 16, 5)
    assert len(views) == 16
    assert views[:6] == camera_views(1, 6, 99)
    assert views == camera_views(1, 16, 5)
    assert views[6:] != camera_views(1, 16, 6)[6:]
    assert all(2.2 <= view.position_m[2] <= 8.0 and 40 <= view.fov_deg <= 75 for view in views)
    many = camera_views(1, 200, 5)
    assert many[:16] == views and len(set(many)) == 200
    with pytest.raises(ValueError, match="at least 1 camera"):
        camera_views(1, 0, 0)


def test_where_no_camera_fits(monkeypatch):
    blocked = dataclasses.replace(make_scene(1, 0), bounds=(90.0, 90.0, 91.0, 91.0), views=())
    monkeypatch.setattr("unrealperson.synth.cameras.make_scene", lambda number, seed: blocked)
    with pytest.raises(ValueError, match="CityStreet has no room for 3 cameras"):
        camera_views(1, 3, 0)


def test_people_have_a_useful_size():
    scene = make_scene(1, 0)
    spots = np.concatenate(scene.paths)
    for view in camera_views(1, 12, 0):
        feet, depth_m = view.project(np.column_stack([spots, np.zeros(len(spots))]), 640, 480)
        heads, _ = view.project(np.column_stack([spots, np.full(len(spots), 1.7)]), 640, 480)
        whole = (depth_m > 0) & (feet[:, 1] < 480) & (heads[:, 1] > 0) & (np.abs(feet[:, 0] - 320) < 320)
        assert whole.sum() >= 2
        assert np.max((feet - heads)[whole, 1]) > 95
