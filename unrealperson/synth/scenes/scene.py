"""A scene as plain data: named meshes, walking paths, obstacles, cameras, light. No graphics library here.

Source: paper section 3.3 (market-place scenes, pre-defined walking paths, changing skylight).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from unrealperson.synth.scenes.lamps import Lamp, LampField, lamp_field
from unrealperson.synth.scenes.light import Hours, Light, indoor_light, outdoor_light
from unrealperson.synth.view import View

Glow = float | tuple[float, float, float]

_LIT_HEIGHT_M = 7.0


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
        texture: [S, S, 3] uint8 sRGB; a fourth channel says how much of a place shines when lamps are on.
        gloss: strength of the highlight, 0 is matt.
        glow: brightness of what shines when lamps are on, as a factor on the texture's linear colour, or as one each
            for red, green and blue.
    """

    name: str
    positions: np.ndarray
    normals: np.ndarray
    uv: np.ndarray
    colors: np.ndarray
    faces: np.ndarray
    texture: np.ndarray
    gloss: float = 0.0
    glow: Glow = 0.0


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
        ceiling_m: height of the roof; cameras hang below it.
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
    ceiling_m: float = math.inf

    @cached_property
    def lamp_field(self) -> LampField:
        """Light of all lamps on a grid around the ground that people can reach."""
        return lamp_field(self.lamps, self.bounds, min(self.ceiling_m, _LIT_HEIGHT_M))

    @cached_property
    def lamp_level(self) -> float:
        """Mean light of all lamps on people along the paths."""
        if not self.lamps:
            return 0.0
        spots = np.concatenate(self.paths)
        return float(self.lamp_field.at(np.column_stack([spots, np.full(len(spots), 1.2)])).mean())

    def light(self, step: int, steps: int, hours: Hours = "day") -> Light:
        """Light of one step.

        Args:
            step: 0 ... steps - 1.
            steps: number of light steps.
            hours: part of the day that the steps are spread over; below a roof it does not matter.

        Raises:
            ValueError: no such step or hours.
        """
        if not 0 <= step < steps:
            raise ValueError(f"step must lie in 0 ... {steps - 1}, got {step}")
        rng = np.random.default_rng([self.seed, self.number, 11, step])
        if self.indoor:
            return indoor_light(rng, self.lamp_level)
        return outdoor_light(rng, step, steps, hours, self.lamp_level)

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
