from __future__ import annotations

import numpy as np
import pytest

from unrealperson.synth.scenes import usual
from unrealperson.synth.scenes.lamps import Lamp, lamp_field
from unrealperson.synth.scenes.light import indoor_light, outdoor_light, sun_at


def steps(hours: str, count: int = 6, lamp_level: float = 0.3):
    return [outdoor_light(np.random.default_rng(step), step, count, hours, lamp_level) for step in range(count)]


@pytest.mark.parametrize(
    ("hour", "azimuth_deg", "elevation_deg"), [(12.0, -90.0, 60.0), (0.0, 90.0, -40.0), (24.0, 90.0, -40.0)]
)
def test_the_sun_stands_in_the_south_at_noon(hour, azimuth_deg, elevation_deg):
    assert sun_at(hour) == pytest.approx((azimuth_deg, elevation_deg), abs=1e-6)


def test_the_sun_rises_in_the_east():
    azimuth_deg, elevation_deg = sun_at(5.6)
    assert abs(azimuth_deg) < 20 and abs(elevation_deg) < 6


@pytest.mark.parametrize(("hours", "elevation_deg"), [("day", (25, 61)), ("dusk", (-8, 10)), ("night", (-90, -15))])
def test_hours_have_their_sun(hours, elevation_deg):
    lights = steps(hours)
    assert all(elevation_deg[0] < light.elevation_deg < elevation_deg[1] for light in lights)
    assert len({light.azimuth_deg for light in lights}) == len(lights)
    for light in lights:
        assert np.linalg.norm(light.direction()) == pytest.approx(1.0)
        assert min((*light.sky, *light.ground, *light.haze, *light.zenith)) > 0 and min(light.sun) >= 0


def test_lamps_burn_at_night_and_cameras_amplify():
    day, night = steps("day"), steps("night")
    assert all(light.lamps == 0 and light.gain < 1.4 for light in day)
    assert all(light.lamps == 1 and light.gain > 1.4 for light in night)
    assert max(sum(light.sky) for light in night) < 0.1 * min(sum(light.sky) for light in day)
    assert all(max(light.sun) == 0 for light in night)


def test_an_overcast_day_has_hardly_any_sun():
    assert max(max(light.sun) for light in steps("overcast")) < 0.3
    assert max(max(light.sun) for light in steps("day")) > 1.2


def test_a_low_sun_is_warm():
    noon, evening = steps("day")[2].sun, steps("dusk")[0].sun
    assert evening[0] / evening[2] > 2 * noon[0] / noon[2]


def test_unknown_hours():
    with pytest.raises(ValueError, match="hours must be one of day, overcast, dusk, night, got 'noon'"):
        outdoor_light(np.random.default_rng(0), 0, 1, "noon", 0.0)


def test_indoors_the_lamps_give_all_light():
    light = indoor_light(np.random.default_rng(0), 0.5)
    assert light.sun == (0.0, 0.0, 0.0) and light.lamps == pytest.approx(1.0, abs=0.11)
    assert 0.15 < np.mean(light.sky) < 0.3


def test_lamp_light_falls_with_the_square_of_the_distance_and_adds_up():
    bounds = (-6.0, -6.0, 6.0, 6.0)
    lamp = Lamp((0.0, 0.0, 6.0), (10.0, 8.0, 6.0), 40.0)
    field = lamp_field([lamp], bounds, 7.0)
    near, far = field.at(np.array([[0.0, 0.0, 4.0], [0.0, 0.0, 0.3]]))
    assert near[0] / far[0] == pytest.approx((5.7 / 2.0) ** 2, rel=0.35)
    assert far / far[0] == pytest.approx([1.0, 0.8, 0.6])
    both = lamp_field([lamp, lamp], bounds, 7.0)
    assert both.light == pytest.approx(2 * field.light)
    assert np.linalg.norm(field.towards, axis=-1) == pytest.approx(1.0, abs=1e-3)
    assert lamp_field([], bounds, 7.0).light.max() == 0


def test_light_from_two_sides_has_no_direction():
    lamps = [Lamp((x, 0.0, 1.0), (4.0, 4.0, 4.0), 20.0) for x in (-5.0, 5.0)]
    field = lamp_field(lamps, (-6.0, -6.0, 6.0, 6.0), 7.0)
    _, y, x = (size // 2 for size in field.towards.shape[:3])
    middle = field.towards[1, y, x - 1 : x + 1].mean(0)
    assert np.linalg.norm(middle) < 0.3


@pytest.mark.parametrize(
    ("scene", "expected"), [(1, (6, 100, 1)), (2, (16, 100, 12)), (3, (6, 100, 6)), (4, (6, 50, 1))]
)
def test_each_scene_has_its_numbers(scene, expected):
    assert (usual(scene).cameras, usual(scene).people, usual(scene).lights) == expected
