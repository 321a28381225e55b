"""The ranges of the cameras' sensors that make clean crops look like a site's: tried on crops, without rendering."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from unrealperson.config import SynthConfig
from unrealperson.fit.looks import Looks, distances, measure
from unrealperson.log import track
from unrealperson.synth.sensors import Sensor

GROUPS = ("light", "contrast", "colour", "sharpness", "noise")
"""What a sensor decides."""
LIMITS: dict[str, tuple[float, float]] = {
    "sensor_exposure": (-1.5, 1.5),
    "sensor_red": (0.6, 1.6),
    "sensor_blue": (0.6, 1.6),
    "sensor_contrast": (0.6, 2.2),
    "sensor_saturation": (0.0, 2.0),
    "sensor_blur_px": (0.0, 3.0),
    "sensor_sharpen": (0.0, 4.0),
    "sensor_noise": (0.0, 15.0),
}
"""What a range may reach."""
_CONCENTRATE = 0.85
"""Every few trials without gain the steps shrink by this factor."""


def apply_sensors(
    crops: Sequence[np.ndarray], frame_widths: Sequence[int], config: SynthConfig, seed: int
) -> list[np.ndarray]:
    """Clean crops as seen by cameras of the configured ranges, each by a camera of its own.

    Args:
        crops: [h, w, 3] uint8 RGB each, made with synth.sensor = false.
        frame_widths: width of the frame that each was cut from, pixels.
        config: section [synth]: the ranges sensor_exposure to sensor_quality.
        seed: same seed, same place of each crop in the ranges, so that two settings can be compared.
    """
    seen = []
    for number, (crop, width) in enumerate(zip(crops, frame_widths, strict=True)):
        rng = np.random.default_rng([seed, number])
        place = dict(zip(LIMITS, rng.random(len(LIMITS)), strict=True))
        low_high = {name: getattr(config, name) for name in LIMITS}
        value = {name: low + (high - low) * float(place[name]) for name, (low, high) in low_high.items()}
        sensor = Sensor(
            exposure=float(np.exp(value["sensor_exposure"])),
            white_balance=(value["sensor_red"], 1.0, value["sensor_blue"]),
            contrast=value["sensor_contrast"],
            saturation=value["sensor_saturation"],
            blur_px=value["sensor_blur_px"] * width / crop.shape[1],  # `apply` takes the crop for a whole frame
            sharpen=value["sensor_sharpen"],
            noise=value["sensor_noise"],
            quality=int(rng.integers(config.sensor_quality[0], config.sensor_quality[1] + 1)),
            gamma=rng.uniform(0.88, 1.2),
            lift=rng.uniform(0.0, 0.05),
            detail=float(rng.choice([1.0, 1.0, 0.75, 0.5])),
        )
        seen.append(sensor.apply(crop, rng))
    return seen


def fit_sensors(
    crops: Sequence[np.ndarray], frame_widths: Sequence[int], target: Looks, config: SynthConfig, *, trials: int,
    seed: int,
) -> SynthConfig:  # fmt: skip
    """Searches the ranges whose crops match the target's light, contrast, colour, sharpness and noise.

    One range after the other moves and widens at random; a change stays if the distance falls.

    Args:
        crops: clean crops of the fitted world.
        frame_widths: of the frames that they were cut from, pixels.
        target: the site.
        config: section [synth] to start from.
        trials: changes that are tried.
        seed: of the search.

    Returns:
        `config` with other ranges.
    """
    rng = np.random.default_rng([seed, 104])
    best, least = config, _distance(crops, frame_widths, config, target, seed)
    step, lost = 0.25, 0
    for number in track(range(trials), label="sensors", unit="trials"):
        name = list(LIMITS)[number % len(LIMITS)]
        low, high = LIMITS[name]
        old_low, old_high = getattr(best, name)
        middle = (old_low + old_high) / 2 + rng.normal(0, step) * (high - low)
        half = (old_high - old_low) / 2 * np.exp(rng.normal(0, 2 * step)) + abs(rng.normal(0, step / 20)) * (high - low)
        changed: Any = tuple(round(float(np.clip(edge, low, high)), 3) for edge in (middle - half, middle + half))
        tried = replace(best, **{name: changed})
        found = _distance(crops, frame_widths, tried, target, seed)
        lost = 0 if found < least else lost + 1
        if found < least:
            best, least = tried, found
        elif lost % len(LIMITS) == 0:
            step *= _CONCENTRATE
    return best


def _distance(
    crops: Sequence[np.ndarray], frame_widths: Sequence[int], config: SynthConfig, target: Looks, seed: int
) -> float:
    looks = measure(apply_sensors(crops, frame_widths, config, seed), features=False)
    return float(np.mean(list(distances(looks, target, GROUPS).values())))
