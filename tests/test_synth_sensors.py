from __future__ import annotations

import time

import numpy as np
import pytest

from unrealperson.config import SynthConfig, parse_config
from unrealperson.synth.sensors import Sensor, camera_sensors


def test_sensor_is_deterministic_and_fast():
    image = np.random.default_rng(0).integers(0, 256, (480, 640, 3), dtype=np.uint8)
    before = image.copy()
    sensors = camera_sensors(1, 4, 0)
    assert camera_sensors(1, 6, 0)[:4] == sensors
    for sensor in sensors:
        one = sensor.apply(image, np.random.default_rng(3))
        assert one.shape == image.shape and one.dtype == np.uint8
        assert np.array_equal(one, sensor.apply(image, np.random.default_rng(3)))
        assert not np.array_equal(one, sensor.apply(image, np.random.default_rng(4)))
    assert np.array_equal(image, before)
    start = time.process_time()
    for _ in range(5):
        sensors[0].apply(image, np.random.default_rng(0))
    assert (time.process_time() - start) / 5 < 0.1


def test_the_configuration_gives_the_ranges():
    config = SynthConfig(
        sensor_exposure=(0.1, 0.2), sensor_red=(1.1, 1.2), sensor_blue=(0.7, 0.8), sensor_contrast=(1.3, 1.4),
        sensor_saturation=(0.1, 0.2), sensor_blur_px=(2, 3), sensor_sharpen=(1, 2), sensor_noise=(5, 6),
        sensor_quality=(20, 30),
    )  # fmt: skip
    for sensor, default in zip(camera_sensors(1, 20, 0, config), camera_sensors(1, 20, 0), strict=True):
        assert 1.1 <= sensor.exposure <= 1.23 and 1.1 <= sensor.white_balance[0] <= 1.2
        assert 0.7 <= sensor.white_balance[2] <= 0.8 and 1.3 <= sensor.contrast <= 1.4
        assert 0.1 <= sensor.saturation <= 0.2 and 2 <= sensor.blur_px <= 3 and 1 <= sensor.sharpen <= 2
        assert 5 <= sensor.noise <= 6 and 20 <= sensor.quality <= 30
        assert (default.gamma, default.detail, default.sharpen) == (sensor.gamma, sensor.detail, 0)


@pytest.mark.parametrize("key", ["sensor_red", "sensor_quality", "camera_height_m"])
@pytest.mark.parametrize("values", [[2, 1], [-1, 1], [1]])
def test_a_range_that_cannot_be_is_told(key, values):
    with pytest.raises(ValueError, match=key):
        parse_config({"synth": {key: values}}, "here")


def test_sensor_parameters_do_what_they_say():
    grey = np.full((64, 64, 3), 120, np.uint8)
    rng = np.random.default_rng(0)
    assert np.abs(Sensor(quality=100).apply(grey, rng).astype(int) - 120).max() <= 1
    assert Sensor(exposure=1.3).apply(grey, rng).mean() > 125
    assert Sensor(gamma=1.3).apply(grey, rng).mean() < 115
    warm = Sensor(white_balance=(1.2, 1.0, 0.8)).apply(grey, rng).mean((0, 1))
    assert warm[0] > warm[1] > warm[2]
    assert 2.0 < Sensor(noise=3.0, quality=100).apply(grey, rng).std() < 4.0
    edge = np.repeat(np.uint8([80, 160]), 32)[None, :, None].repeat(64, 0).repeat(3, 2)
    rims = Sensor(sharpen=2.0, quality=100).apply(edge, rng)
    assert rims.min() < 60 and rims.max() > 180 and abs(int(rims[0, 0, 0]) - 80) <= 1
    red = np.full((64, 64, 3), (200, 40, 40), np.uint8)
    assert np.ptp(Sensor(saturation=0.0, quality=100).apply(red, rng)[0, 0].astype(int)) <= 1
    with pytest.raises(ValueError, match=r"uint8 \[H, W, 3\]"):
        Sensor().apply(np.zeros((4, 4, 3)), rng)


def test_automatic_exposure_shows_dark_and_bright_alike():
    scene = np.random.default_rng(0).integers(40, 200, (64, 64, 3))
    dark, bright = (Sensor(exposure=factor, quality=100).apply(scene.astype(np.uint8), np.random.default_rng(0))
                    for factor in (0.4, 1.8))  # fmt: skip
    means = {auto: [Sensor(auto=auto, quality=100).apply(image, np.random.default_rng(0)).mean()
                    for image in (dark, bright)] for auto in (0.0, 0.5, 1.0)}  # fmt: skip
    gaps = [abs(left - right) for left, right in means.values()]
    assert gaps[0] > 1.6 * gaps[1] and gaps[1] > 4 * gaps[2] and gaps[2] < 8
    black = np.zeros((8, 8, 3), np.uint8)
    assert Sensor(auto=1.0, quality=100).apply(black, np.random.default_rng(0)).max() < 12
    assert {sensor.auto for sensor in camera_sensors(1, 4, 0, SynthConfig(sensor_auto_exposure=0.7))} == {0.7}
    with pytest.raises(ValueError, match="sensor_auto_exposure must lie in 0"):
        SynthConfig(sensor_auto_exposure=1.5)
    with pytest.raises(ValueError, match="auto must lie in 0"):
        Sensor(auto=-0.1)


def test_black_is_bent_to_not_cut_off():
    ramp = np.arange(256, dtype=np.uint8)[None, :, None].repeat(64, 0).repeat(3, 2)
    shown = Sensor(contrast=1.4, quality=100).apply(ramp, np.random.default_rng(0))[0, :, 0].astype(int)
    assert 0 < shown[0] < shown[15] < shown[30] < shown[45] < 40


def test_amplified_light_is_noisy():
    grey = np.full((64, 64, 3), 120, np.uint8)
    calm, loud = (Sensor(noise=3.0, quality=100).apply(grey, np.random.default_rng(0), gain=gain) for gain in (1, 4))
    assert loud.std() == pytest.approx(2 * calm.std(), rel=0.1)


def test_few_pixels_lose_detail_but_keep_the_size():
    fine = np.tile(np.array([[40], [200]], np.uint8)[..., None], (32, 64, 3))
    blurred = Sensor(detail=0.5, quality=100).apply(fine, np.random.default_rng(0))
    assert blurred.shape == fine.shape and blurred.std() < 0.2 * fine.std()


@pytest.mark.parametrize("distortion", [0.02, 0.08, 0.2])
def test_a_lens_bends_points_and_pixels_alike(distortion):
    sensor = Sensor(distortion=distortion)
    points = np.random.default_rng(0).uniform((20, 20), (620, 460), (12, 2)).round() + 0.5
    bent = sensor.bent(points, 640, 480)
    assert sensor.straighten(bent, 640, 480) == pytest.approx(points, abs=1e-4)
    assert np.abs(bent - points).max() > 10 * distortion
    for point, expected in zip(points, bent, strict=True):
        image = np.zeros((480, 640, 3), np.uint8)
        x, y = point.astype(int)
        image[y - 3 : y + 4, x - 3 : x + 4] = 255
        for flat in (False, True):
            rows, columns = np.nonzero(sensor.bend(image, flat=flat)[..., 0] > 127)
            assert (columns.mean() + 0.5, rows.mean() + 0.5) == pytest.approx(tuple(expected), abs=0.6)


def test_a_bent_mask_has_no_new_colours_and_corners_stay():
    mask = np.random.default_rng(0).choice(np.array([0, 90, 200], np.uint8), (48, 64, 1)).repeat(3, 2)
    bent = Sensor(distortion=0.1).bend(mask, flat=True)
    assert set(np.unique(bent)) <= {0, 90, 200}
    corners = np.array([[0.0, 0.0], [64.0, 48.0], [32.0, 24.0]])
    assert Sensor(distortion=0.1).bent(corners, 64, 48) == pytest.approx(corners)
    assert Sensor().bend(mask) is mask


@pytest.mark.parametrize("wrong", [{"detail": 0.0}, {"detail": 1.5}, {"distortion": -0.1}, {"distortion": 0.5}])
def test_ranges(wrong):
    with pytest.raises(ValueError, match=r"detail must lie in 0.1 ... 1 and distortion in 0 ... 0.2"):
        Sensor(**wrong)
