"""Light of an hour: sun, sky and lamps by time of day and weather; indoors by the ceiling.

Source: paper sections 3.3 (changing skylight) and 4.4 (night).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

Hours = Literal["day", "overcast", "dusk", "night"]
"""Part of the day that the light steps are spread over; `day` mixes clear and covered skies."""

_SPAN_H: dict[str, tuple[float, float]] = {
    "day": (7.6, 16.6),
    "overcast": (7.6, 16.6),
    "dusk": (17.9, 19.0),
    "night": (20.5, 27.5),
}
_LATITUDE_DEG, _DECLINATION_DEG = 40.0, 10.0
_CLEAR = (0.9, 0.35, 0.7, 0.08)
_SUN = 2.9
_AIR = np.array([0.10, 0.15, 0.27])
"""Optical depth of clear air for red, green and blue."""
_LAMPS_ON_DEG, _LAMPS_FULL_DEG = 3.0, -3.0
_MIDDLE = 0.78
"""Irradiance at which a camera's automatic exposure changes nothing."""
_GAIN = (0.75, 5.0)


@dataclass(frozen=True)
class Light:
    """Light of one step; colours are linear RGB.

    Attributes:
        azimuth_deg: direction of the sun, counter-clockwise from +X.
        elevation_deg: height of the sun above the horizon.
        sun: light of the sun on a surface that faces it.
        sky: ambient light from above.
        ground: ambient light from below.
        haze: colour of the far distance and of the sky at the horizon.
        haze_per_m: how quickly distance turns into haze.
        zenith: colour of the sky overhead.
        clouds: share of the sky that clouds cover, 0 ... 1.
        lamps: brightness of lamps, 0 off ... 1 on.
        exposure: factor that a camera's automatic exposure puts on all light.
    """

    azimuth_deg: float
    elevation_deg: float
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    haze: tuple[float, float, float]
    haze_per_m: float
    zenith: tuple[float, float, float] = (0.4, 0.55, 0.8)
    clouds: float = 0.0
    lamps: float = 0.0
    exposure: float = 1.0

    def direction(self) -> tuple[float, float, float]:
        """Unit vector towards the sun."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        flat = math.cos(elevation)
        return flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)

    @property
    def gain(self) -> float:
        """Amplification of the camera, 1 by day; its noise grows with it."""
        return max(self.exposure, 1.0)


def outdoor_light(rng: np.random.Generator, step: int, steps: int, hours: Hours, lamp_level: float) -> Light:
    """Light of one step under the open sky.

    Args:
        rng: weather and small shifts of this step.
        step: 0 ... steps - 1, spread over the hours.
        steps: number of light steps.
        hours: part of the day.
        lamp_level: mean light of the scene's lamps where people walk.

    Raises:
        ValueError: no such hours.
    """
    if hours not in _SPAN_H:
        raise ValueError(f"hours must be one of {', '.join(get_args(Hours))}, got {hours!r}")
    start_h, end_h = _SPAN_H[hours]
    share = (step + 0.5) / steps if steps > 1 else 0.4
    azimuth_deg, elevation_deg = sun_at(start_h + (end_h - start_h) * share + rng.uniform(-0.15, 0.15))
    clear = float(_CLEAR[step % len(_CLEAR)] + rng.uniform(-0.08, 0.08))
    clear = rng.uniform(0.0, 0.08) if hours == "overcast" else max(clear, 0.0)
    up = math.sin(math.radians(max(elevation_deg, 0.0)))
    day = _smooth(elevation_deg, -7.0, 9.0)
    sun = _SUN * clear * _through_air(elevation_deg) * _smooth(elevation_deg, -0.5, 4.0)
    blue = 0.4 * clear
    high = (1 - blue) * np.array([0.93, 0.98, 1.06]) + blue * np.array([0.72, 0.9, 1.3])
    twilight = np.array([0.75, 0.8, 1.15])
    evening = math.exp(-((elevation_deg / 7.0) ** 2))
    sky = (
        (0.66 - 0.24 * clear) * (high * (1 - 0.5 * evening) + 0.5 * evening * twilight) * (0.25 + 0.75 * up**0.5) * day
    )
    night = np.array([0.020, 0.021, 0.027]) * rng.uniform(0.7, 1.4)
    sky = sky + night
    ground = 0.22 * sky + 0.09 * sun * up
    zenith = day * (clear * np.array([0.16, 0.33, 0.68]) + (1 - clear) * np.array([0.6, 0.63, 0.67])) + 0.4 * night
    haze = day * 0.75 * (np.array([0.8, 0.87, 0.95]) if clear > 0.4 else np.array([0.86, 0.88, 0.9]))
    haze = haze * (1 - 0.5 * evening) + 0.5 * evening * day * np.array([0.95, 0.62, 0.42]) * (0.35 + 0.65 * clear)
    haze = haze + np.array([0.05, 0.042, 0.036])
    lamps = 1.0 - _smooth(elevation_deg, _LAMPS_FULL_DEG, _LAMPS_ON_DEG)
    return Light(
        azimuth_deg % 360.0,
        elevation_deg,
        _triple(sun),
        _triple(sky),
        _triple(ground),
        _triple(haze),
        0.001 + 0.002 * (1 - clear),
        _triple(zenith),
        float(np.clip(1.05 - clear, 0.0, 1.0)),
        lamps,
        _exposure(float(sky.mean()) + 0.55 * up * float(sun.mean()) + lamps * lamp_level, strength=0.45),
    )


def indoor_light(rng: np.random.Generator, lamp_level: float) -> Light:
    """Light of one step below a roof: lamps, and what walls and floor give back of them.

    Args:
        rng: small shifts of this step.
        lamp_level: mean light of the scene's lamps where people walk.
    """
    level = rng.uniform(0.9, 1.1) * np.array([1.0, rng.uniform(0.96, 1.0), rng.uniform(0.88, 1.0)])
    spread = 0.45 * lamp_level * level
    total = float(lamp_level + spread.mean())
    return Light(
        azimuth_deg=90.0,
        elevation_deg=80.0,
        sun=(0.0, 0.0, 0.0),
        sky=_triple(spread),
        ground=_triple(0.8 * spread),
        haze=_triple(spread),
        haze_per_m=0.0,
        zenith=_triple(spread),
        lamps=float(level[0]),
        exposure=_exposure(total, strength=1.0),
    )


def sun_at(hour: float) -> tuple[float, float]:
    """Where the sun stands, at 40 degrees north in April; +X is east, +Y north.

    Args:
        hour: solar time, 0 ... 24 and beyond.

    Returns:
        Azimuth counter-clockwise from +X and elevation, both in degrees.
    """
    latitude, declination = math.radians(_LATITUDE_DEG), math.radians(_DECLINATION_DEG)
    turn = math.radians(15.0 * (hour - 12.0))
    up = math.sin(latitude) * math.sin(declination) + math.cos(latitude) * math.cos(declination) * math.cos(turn)
    east = -math.cos(declination) * math.sin(turn)
    north = math.cos(latitude) * math.sin(declination) - math.sin(latitude) * math.cos(declination) * math.cos(turn)
    return math.degrees(math.atan2(north, east)), math.degrees(math.asin(up))


def _through_air(elevation_deg: float) -> np.ndarray:
    """Share of the sun's red, green and blue light that comes through the air.

    Source: relative air mass of Kasten and Young, 1989.
    """
    height = max(elevation_deg, 0.0)
    mass = 1.0 / (math.sin(math.radians(height)) + 0.50572 * (height + 6.07995) ** -1.6364)
    return np.exp(-_AIR * mass)


def _exposure(irradiance: float, *, strength: float) -> float:
    """Automatic exposure that makes up for a part of the change of light, within a camera's limits."""
    return float(np.clip((_MIDDLE / max(irradiance, 1e-3)) ** strength, *_GAIN))


def _smooth(value: float, low: float, high: float) -> float:
    share = min(max((value - low) / (high - low), 0.0), 1.0)
    return share * share * (3 - 2 * share)


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
