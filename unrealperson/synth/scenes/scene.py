"""A scene as plain data: named meshes, walking paths, obstacles, cameras, light. No graphics library here.

Source: paper section 3.3 (market-place scenes, pre-defined walking paths, changing skylight).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from unrealperson.synth.view import View


@dataclass(frozen=True)
class Mesh:
    """One named object.

    Attributes:
        name: unique object name.
        positions: [V, 3] float32 metres.
        normals: [V, 3] float32 unit vectors.
        uv: [V, 2] float32, row 0 of the texture is v = 1; repeats outside 0 ... 1.
        colors: [V, 3] float32, factor on the texture's linear colour.
        faces: [T, 3] uint32, counter-clockwise outside.
        texture: [S, S, 3] uint8 sRGB.
        gloss: strength of the highlight, 0 is matt.
    """

    name: str
    positions: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    colors: np.ndarray
    faces: np.ndarray
    texture: np.ndarray
    gloss: float = 0.0


@dataclass(frozen=True)
class Light:
    """Sun and sky of one light step; colours are linear RGB.

    Attributes:
        azimuth_deg: direction of the sun, counter-clockwise from +X.
        elevation_deg: height of the sun above the horizon.
        sun: light of the sun on a surface that faces it.
        sky: ambient light from above.
        ground: ambient light from below.
        haze: colour of the far distance and of the sky.
        haze_per_m: how quickly distance turns into haze.
    """

    azimuth_deg: float
    elevation_deg: float
    sun: tuple[float, float, float]
    sky: tuple[float, float, float]
    ground: tuple[float, float, float]
    haze: tuple[float, float, float]
    haze_per_m: float

    def direction(self) -> tuple[float, float, float]:
        """Unit vector towards the sun."""
        azimuth, elevation = math.radians(self.azimuth_deg), math.radians(self.elevation_deg)
        flat = math.cos(elevation)
        return flat * math.cos(azimuth), flat * math.sin(azimuth), math.sin(elevation)


@dataclass(frozen=True)
class Lamp:
    """A light that burns at night, and by day where a roof keeps the sky out.

    Attributes:
        position_m: x, y, z.
        color: linear RGB of its light on a surface that faces it one metre away.
        reach_m: beyond it, its light is nothing.
    """

    position_m: tuple[float, float, float]
    color: tuple[float, float, float]
    reach_m: float


@dataclass(frozen=True)
class Prop:
    """A thing that can stand anywhere; built around its own origin, X along it, then placed.

    Attributes:
        meshes: its objects.
        obstacles: circles (x, y, radius) in metres that people walk around.
        lamps: lights on it.
    """

    meshes: tuple[Mesh, ...]
    obstacles: tuple[tuple[float, float, float], ...] = ()
    lamps: tuple[Lamp, ...] = ()

    def placed(self, at: tuple[float, float, float], yaw_deg: float) -> Prop:
        """The prop turned, then moved.

        Args:
            at: x, y, z in metres of its origin.
            yaw_deg: counter-clockwise from +X, seen from above.
        """
        cos, sin = math.cos(math.radians(yaw_deg)), math.sin(math.radians(yaw_deg))
        turn = np.array([[cos, sin, 0.0], [-sin, cos, 0.0], [0.0, 0.0, 1.0]])

        def moved(x: float, y: float) -> tuple[float, float]:
            return at[0] + cos * x - sin * y, at[1] + sin * x + cos * y

        return Prop(
            tuple(
                replace(
                    mesh,
                    positions=(mesh.positions @ turn + np.asarray(at)).astype(np.float32),
                    normals=(mesh.normals @ turn).astype(np.float32),
                )
                for mesh in self.meshes
            ),
            tuple((*moved(x, y), radius) for x, y, radius in self.obstacles),
            tuple(
                replace(lamp, position_m=(*moved(*lamp.position_m[:2]), at[2] + lamp.position_m[2]))
                for lamp in self.lamps
            ),
        )


@dataclass(frozen=True)
class Scene:
    """A place.

    Attributes:
        number: scene number X.
        name: its name.
        seed: what its light steps were drawn with.
        meshes: the objects.
        paths: closed polylines, [n, 2] float64 metres on the ground.
        obstacles: [k, 3] float64: x, y, radius in metres of what people walk around.
        bounds: x0, y0, x1, y1 in metres of the ground that people can reach.
        views: surveillance cameras set by hand, the best ones first.
        lamps: lights that do not come from the sky.
        indoor: whether a roof keeps sun and sky out.
    """

    number: int
    name: str
    seed: int
    meshes: tuple[Mesh, ...]
    paths: tuple[np.ndarray, ...]
    obstacles: np.ndarray
    bounds: tuple[float, float, float, float]
    views: tuple[View, ...]
    lamps: tuple[Lamp, ...] = ()
    indoor: bool = False

    def light(self, step: int, steps: int) -> Light:
        """Sun and sky of a light step: the day from morning to evening, now clear, now overcast.

        Args:
            step: 0 ... steps - 1.
            steps: number of light steps.
        """
        if not 0 <= step < steps:
            raise ValueError(f"step must lie in 0 ... {steps - 1}, got {step}")
        rng = np.random.default_rng([self.seed, self.number, 11, step])
        hour = (step + 0.5) / steps if steps > 1 else 0.4
        elevation = 18.0 + 40.0 * math.sin(math.pi * hour) + rng.uniform(-4, 4)
        azimuth = -20.0 - 150.0 * hour + rng.uniform(-8, 8)
        clear = float((0.9, 0.35, 0.7, 0.08)[step % 4] + rng.uniform(-0.08, 0.08))
        low = math.exp(-(elevation - 12.0) / 14.0)
        warm = np.array([1.0, 0.93 - 0.12 * low, 0.82 - 0.28 * low])
        sun = 2.3 * clear * warm * (1.0 - 0.35 * low)
        blue = 0.4 * clear
        sky = (0.62 - 0.22 * clear) * ((1 - blue) * np.array([0.93, 0.98, 1.06]) + blue * np.array([0.72, 0.9, 1.3]))
        ground = 0.22 * sky + 0.09 * sun * math.sin(math.radians(elevation))
        haze = 0.75 * (np.array([0.8, 0.87, 0.95]) if clear > 0.4 else np.array([0.86, 0.88, 0.9]))
        return Light(
            azimuth % 360.0,
            elevation,
            _triple(sun),
            _triple(sky),
            _triple(ground),
            _triple(haze),
            0.001 + 0.002 * (1 - clear),
        )

    def is_free(self, point: np.ndarray, radius: float) -> bool:
        """Whether a disc on the ground lies inside the bounds and off every obstacle.

        Args:
            point: [2] metres.
            radius: metres.
        """
        x0, y0, x1, y1 = self.bounds
        inside = x0 + radius <= point[0] <= x1 - radius and y0 + radius <= point[1] <= y1 - radius
        gap = np.hypot(*(self.obstacles[:, :2] - np.asarray(point)[:2]).T) - self.obstacles[:, 2]
        return bool(inside and (gap > radius).all())

    def sees(self, start: tuple[float, float, float], end: tuple[float, float, float]) -> bool:
        """Whether no obstacle stands between a camera's place in the scene and a point, seen from above.

        Args:
            start: x, y, z of the camera in metres.
            end: x, y, z of the point in metres.
        """
        a, b = np.asarray(start[:2]), np.asarray(end[:2])
        along = np.clip((self.obstacles[:, :2] - a) @ (b - a) / max(float((b - a) @ (b - a)), 1e-9), 0, 1)
        gap = np.hypot(*(self.obstacles[:, :2] - a - along[:, None] * (b - a)).T) - self.obstacles[:, 2]
        x0, y0, x1, y1 = self.bounds
        return bool(x0 <= a[0] <= x1 and y0 <= a[1] <= y1 and (gap > 0.15).all())


def _triple(values: np.ndarray) -> tuple[float, float, float]:
    return float(values[0]), float(values[1]), float(values[2])
