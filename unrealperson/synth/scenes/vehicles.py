"""Cars, vans, bicycles, scooters. Their heads point along +X at 0 degrees; makers have the signature of `furniture`."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import numpy as np

from unrealperson.synth import cycles
from unrealperson.synth.cycles import PLASTIC, RUBBER
from unrealperson.synth.scenes import prints, surfaces
from unrealperson.synth.scenes.furniture import STEEL, Point
from unrealperson.synth.scenes.scene import Mesh, Prop
from unrealperson.synth.scenes.solid import Solid

CarKind = Literal["hatchback", "sedan", "suv", "van"]
CAR_KINDS: tuple[CarKind, ...] = ("hatchback", "sedan", "suv")
PAINTS = (
    (0.32, 0.03, 0.03),
    (0.42, 0.43, 0.45),
    (0.02, 0.022, 0.028),
    (0.04, 0.08, 0.2),
    (0.62, 0.62, 0.6),
    (0.1, 0.105, 0.11),
    (0.2, 0.21, 0.22),
    (0.05, 0.11, 0.09),
)
GLASS = np.array((0.035, 0.042, 0.048))


@dataclass(frozen=True)
class _Shape:
    """Measures of a car in metres; x from the middle, ahead positive.

    Attributes:
        length, width, wheel_m: overall, and the radius of a wheel.
        axles: x of the front and the rear axle.
        belt: heights of the shell's upper edge at nose, windscreen, rear window, tail.
        cabin: x of the windscreen's foot, its head, the rear window's head, its foot.
        roof: height.
        panes: shares of the side between windscreen and rear window where glass starts and ends.
        rear_panes: the same across the rear.
        seams: x of the rear edges of its doors.
    """

    length: float
    width: float
    wheel_m: float
    axles: tuple[float, float]
    belt: tuple[float, float, float, float]
    cabin: tuple[float, float, float, float]
    roof: float
    panes: tuple[tuple[float, float], ...]
    rear_panes: tuple[tuple[float, float], ...] = ((0.1, 0.9),)
    seams: tuple[float, ...] = (-0.85, 0.1)


_SHAPES: dict[CarKind, _Shape] = {
    "hatchback": _Shape(
        3.95, 1.74, 0.31, (1.26, -1.24), (0.68, 0.94, 0.98, 0.92), (0.95, 0.3, -1.45, -1.86), 1.48,
        ((0.08, 0.47), (0.51, 0.9)),
    ),
    "sedan": _Shape(
        4.6, 1.8, 0.32, (1.42, -1.38), (0.66, 0.92, 0.97, 0.95), (0.92, 0.2, -1.02, -1.62), 1.45,
        ((0.08, 0.47), (0.51, 0.9)),
    ),
    "suv": _Shape(
        4.45, 1.86, 0.36, (1.36, -1.32), (0.82, 1.06, 1.1, 1.05), (0.98, 0.42, -1.72, -2.08), 1.68,
        ((0.06, 0.38), (0.41, 0.68), (0.71, 0.92)),
    ),
    "van": _Shape(
        5.2, 1.98, 0.34, (1.72, -1.6), (0.95, 1.18, 1.25, 1.25), (1.95, 1.3, -2.5, -2.55), 2.15,
        ((0.05, 0.22),), ((0.1, 0.47), (0.53, 0.9)),
    ),
}  # fmt: skip


def make_car(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, kind: CarKind | None = None) -> Prop:
    """A parked car; `at` is the middle of its foot on the road. Its kind follows its number where not given."""
    kind = CAR_KINDS[number % 3] if kind is None else kind
    shape = _SHAPES[kind]
    paint = np.asarray(PAINTS[int(rng.integers(len(PAINTS)))])
    if kind == "van":
        paint = np.asarray(((0.62, 0.62, 0.6), (0.5, 0.5, 0.5), (0.07, 0.12, 0.22))[int(rng.integers(3))])
    shell, fittings, plates = Solid(), Solid(), Solid()
    _shell(shell, shape, paint)
    _cabin(shell, fittings, shape, paint)
    _ends(shell, fittings, plates, shape)
    for axle in shape.axles:
        for side in (-1, 1):
            _car_wheel(fittings, axle, side, 0.5 * shape.width - 0.02, shape.wheel_m)
    half = 0.5 * shape.length
    meshes = (
        shell.mesh(f"Car_{number}_Shell", surfaces.paint(), 0.7),
        fittings.mesh(f"Car_{number}_Fittings", surfaces.paint(), 0.08),
        plates.mesh(
            f"Car_{number}_Plates",
            prints.lettering(prints.number_plate(rng), (128, 28), (0.88, 0.88, 0.84), (0.05, 0.05, 0.08)),
        ),
    )
    circles = tuple((float(x), 0.0, 0.95) for x in np.linspace(-half + 0.8, half - 0.8, 4))
    return Prop(meshes, circles).placed(at, yaw_deg)


def _shell(into: Solid, shape: _Shape, paint: np.ndarray) -> None:
    """Sides, bonnet and boot as one sheet over cross-sections, wheel arches cut into its lower edge."""
    half, wide = 0.5 * shape.length, 0.5 * shape.width
    radius = shape.wheel_m + 0.06
    arches = [axle + radius * math.cos(a) for axle in shape.axles for a in np.linspace(0, math.pi, 7)]
    xs = np.array(
        sorted({-half, -half + 0.06, -half + 0.25, *arches, 0.0, *shape.cabin, half - 0.3, half - 0.08, half})
    )
    xs = xs[np.concatenate([[True], np.diff(xs) > 0.02])]
    nose, screen, rear, tail = shape.belt
    belt_at = np.interp(
        xs, [-half, shape.cabin[3], shape.cabin[0], half - 0.35, half], [tail, rear, screen, nose + 0.1, nose]
    )
    belt_at = belt_at - 0.06 * (xs < -half + 0.05)
    plan = wide * (1 - 0.22 * np.clip((np.abs(xs) - (half - 0.55)) / 0.55, 0, 1) ** 2)
    sill = np.full(len(xs), 0.2) + 0.1 * np.clip((np.abs(xs) - (half - 0.3)) / 0.3, 0, 1)
    for axle in shape.axles:
        reach = radius**2 - (xs - axle) ** 2
        sill = np.maximum(sill, np.where(reach > -1e-9, shape.wheel_m + np.sqrt(np.maximum(reach, 0)), 0))
    waist = sill + (belt_at - sill) * 0.55
    profile = [
        (0.96, sill), (1.0, np.maximum(waist - 0.12, sill)), (1.0, waist), (0.965, belt_at - 0.07), (0.9, belt_at),
        (0.5, belt_at + 0.035), (0.0, belt_at + 0.045),
    ]  # fmt: skip
    rows = [np.stack([xs, plan * share, z], -1) for share, z in profile]
    left = rows + [row * (1, -1, 1) for row in rows[-2::-1]]
    grid = np.stack(left, 1)
    dirt = np.clip((grid[..., 2:] - 0.15) / 0.35, 0, 1)
    into.sheet(grid[::-1], paint * (0.55 + 0.45 * dirt) + 0.012 * (1 - dirt))
    for seam in shape.seams:
        line = np.array([[np.interp(seam, xs, grid[:, row, axis]) for axis in (1, 2)] for row in range(5)])
        for side in (-1, 1):
            y, z = side * (line[:, 0] + 0.003), line[:, 1]
            into.sheet(np.array([np.stack([np.full(5, seam + x), y, z], 1) for x in (-0.008, 0.008)]), paint * 0.12)
            into.box((seam + 0.14, side * (line[3, 0] + 0.01), line[3, 1] - 0.06), (0.17, 0.03, 0.025), paint * 0.7)
    for end, facing in ((0, -1), (-1, 1)):
        ring = grid[end]
        fan = np.array([(0, i, i + 1) for i in range(1, len(ring) - 1)])
        into.add(
            ring,
            np.tile([facing, 0.0, 0.0], (len(ring), 1)),
            ring[:, 1:],
            paint * 0.8,
            fan if facing > 0 else fan[:, ::-1],
        )


def _patch(corners: np.ndarray, bulge: Point, u: tuple[float, float], v: tuple[float, float]) -> np.ndarray:
    """A piece [5, 3, 3] of the bent face between four corners (low start, low end, high end, high start)."""
    us, vs = np.linspace(*u, 5)[:, None, None], np.linspace(*v, 3)[None, :, None]
    low = corners[0] + us * (corners[1] - corners[0])
    high = corners[3] + us * (corners[2] - corners[3])
    return low + vs * (high - low) + (1 - (2 * us - 1) ** 2) * np.asarray(bulge)


def _cabin(shell: Solid, fittings: Solid, shape: _Shape, paint: np.ndarray) -> None:
    """Pillars, roof and glass above the shell."""
    wide, top = 0.5 * shape.width * 0.9, 0.5 * shape.width * 0.72
    front, head, back, foot = shape.cabin
    _, low_front, low_rear, _ = shape.belt
    high = shape.roof - 0.03
    corner = {
        (end, side): np.array([x, side * y, z])
        for end, x, y, z in (
            ("front", front, wide, low_front), ("head", head, top, high),
            ("back", back, top, high), ("foot", foot, wide, low_rear),
        )
        for side in (-1, 1)
    }  # fmt: skip
    faces = [
        ("front", "head", -1, 1, (0.1, 0, 0.02), ((0.06, 0.94),), (0.05, 0.9)),
        (
            "foot",
            "back",
            1,
            -1,
            (-0.07, 0, 0.02),
            ((0.1, 0.9),) if len(shape.panes) > 1 else ((0.1, 0.47), (0.53, 0.9)),
            (0.25, 0.88),
        ),
    ]
    for low, up, start, end, bulge, panes, share in faces:
        corners = np.array([corner[low, start], corner[low, end], corner[up, end], corner[up, start]])
        _glazed(shell, corners, bulge, panes, share, paint)
    for side in (-1, 1):
        ends = ("foot", "front", "head", "back") if side < 0 else ("front", "foot", "back", "head")
        sides = shape.panes if side > 0 else tuple((1 - b, 1 - a) for a, b in shape.panes)
        corners = np.array([corner[name, side] for name in ends])
        _glazed(shell, corners, (0, 0.03 * side, 0), sides, (0.1, 0.88), paint)
    xs = np.linspace(back, head, 5)
    rim = 0.06 * np.array([0, 1, 1.2, 1, 0])
    roof = [
        [(x, y, high + rise * (1 - (y / top) ** 2)) for y in np.linspace(-top, top, 5)]
        for x, rise in zip(xs, rim, strict=True)
    ]
    shell.sheet(np.array(roof), paint)
    for side in (-1, 1):
        x, y = front - 0.2, side * (0.5 * shape.width + 0.06)
        fittings.box((x, y, low_front + 0.02), (0.12, 0.2, 0.14), PLASTIC)


def _glazed(
    shell: Solid,
    corners: np.ndarray,
    bulge: Point,
    panes: tuple[tuple[float, float], ...],
    share: tuple[float, float],
    paint: np.ndarray,
) -> None:
    shell.sheet(_patch(corners, bulge, (0, 1), (0, 1)), paint)
    out = np.cross(corners[1] - corners[0], corners[3] - corners[0])
    out *= 0.008 / np.linalg.norm(out)
    fade = np.array([0.7, 1.0, 1.5])[None, :, None]
    for pane in panes:
        shell.sheet(_patch(corners, bulge, pane, share) + out, np.broadcast_to(GLASS * fade, (5, 3, 3)))


def _ends(shell: Solid, fittings: Solid, plates: Solid, shape: _Shape) -> None:
    """Bumpers, lights, grille and number plates."""
    half, wide = 0.5 * shape.length, 0.5 * shape.width * 0.78
    nose, _, _, tail = shape.belt
    for facing, low in ((1, nose), (-1, tail)):
        x = facing * half
        fittings.box((x - 0.05 * facing, 0, 0.27), (0.16, 2 * wide * 1.04, 0.2), PLASTIC)
        for side in (-1, 1):
            y = side * (wide - 0.2)
            if facing > 0:
                shell.box((x - 0.02, y, low - 0.14), (0.08, 0.36, 0.14), (0.75, 0.76, 0.76), taper=0.92)
                shell.box((x + 0.02, y - 0.03 * side, low - 0.11), (0.012, 0.14, 0.08), (0.25, 0.26, 0.28))
            else:
                tall = 0.2 if shape.roof < 1.6 else 0.3
                shell.box((x + 0.02, y + 0.05 * side, low - tall), (0.08, 0.26, tall - 0.03), (0.33, 0.012, 0.015))
                shell.box((x + 0.014, y + 0.05 * side, low - tall + 0.03), (0.08, 0.2, 0.04), (0.6, 0.5, 0.42))
        if facing > 0:
            fittings.box((x - 0.01, 0, low - 0.22), (0.05, 0.85, 0.18), (0.02,) * 3)
            shell.box((x + 0.012, 0, low - 0.14), (0.02, 0.8, 0.02), (0.55,) * 3)
        z, out = (0.36 if facing > 0 else low - 0.3), x + facing * 0.05
        ys = (-0.26 * facing, 0.26 * facing)
        plates.quad(np.array([(out, ys[0], z), (out, ys[1], z), (out, ys[1], z + 0.115), (out, ys[0], z + 0.115)]), 0.8)


def _car_wheel(into: Solid, x: float, side: int, y_m: float, radius: float) -> None:
    outer, inner = side * y_m, side * (y_m - 0.22)
    into.tube((x, inner, radius), (x, outer, radius), radius, RUBBER, sides=14)
    into.tube((x, outer, radius), (x, outer + side * 0.006, radius), radius * 0.68, (0.12,) * 3, sides=10)
    for angle in np.arange(5) * 2 * math.pi / 5 + 0.3 * x:
        tip = radius * 0.62
        into.tube(
            (x, outer + side * 0.012, radius),
            (x + tip * math.cos(angle), outer + side * 0.012, radius + tip * math.sin(angle)),
            0.045, (0.4,) * 3, end_radius=0.03, sides=3, cap=False,
        )  # fmt: skip
    into.tube((x, inner, radius), (x, inner - side * 0.02, radius + 0.04), radius + 0.02, (0.01,) * 3, sides=8)


def make_bicycle(number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, lean: float = 0.09) -> Prop:
    """A parked bicycle that leans on its stand; some carry a basket or mudguards."""
    frame, place, bicycle = Solid(), cycles.Leaning(lean), cycles.random_bicycle(rng)
    cycles.add_wheels(frame, frame, place)
    cycles.add_frame(frame, place, bicycle)
    cycles.add_cranks(frame, frame, frame, place)
    frame.tube(place(-0.45, 0.32, 0.06), place(-0.38, 0.0, 0.2), 0.009, cycles.STEEL, sides=5)
    cycles.add_fittings(frame, place, bicycle)
    circles = tuple((x, 0.05, 0.28) for x in (-0.55, -0.1, 0.35, 0.7))
    return Prop((frame.mesh(f"Bicycle_{number}", surfaces.paint(), 0.25),), circles).placed(at, yaw_deg)


def make_bicycle_stand(
    number: int, at: Point, yaw_deg: float, rng: np.random.Generator, *, hoops: int = 4, filled: float = 0.7
) -> Prop:
    """Hoops along X, 0.8 m apart, with parked bicycles across most of them (names `Bicycle_<number>0x`)."""
    rack = Solid()
    meshes: list[Mesh] = []
    circles: list[Point] = []
    for slot in range(hoops):
        x = (slot - 0.5 * (hoops - 1)) * 0.8
        arch = [(x, -0.38, 0), (x, -0.38, 0.6), (x, -0.28, 0.76), (x, 0.28, 0.76), (x, 0.38, 0.6), (x, 0.38, 0)]
        rack.rod(arch, 0.024, STEEL, sides=8)
        circles += [(x, y, 0.3) for y in (-0.7, -0.3, 0.3, 0.7)]
        turn = 90.0 if rng.random() < 0.5 else -90.0
        if rng.random() < filled:
            spot = (x + 0.12, float(rng.uniform(-0.1, 0.1)), 0.0)
            parked = make_bicycle(100 * number + slot, spot, turn + rng.uniform(-6, 6), rng, lean=0.05)
            meshes += parked.meshes
    meshes.append(rack.mesh(f"Stand_{number}", surfaces.paint(), 0.4))
    return Prop(tuple(meshes), tuple(circles)).placed(at, yaw_deg)


def make_kick_scooter(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A rental electric kick scooter."""
    body = Solid()
    cycles.add_scooter(body, cycles.Leaning(0.08), cycles.random_accent(rng))
    circles = ((-0.35, 0.03, 0.25), (0.05, 0.03, 0.25), (0.4, 0.03, 0.28))
    return Prop((body.mesh(f"Scooter_{number}", surfaces.paint(), 0.2),), circles).placed(at, yaw_deg)


def make_motor_scooter(number: int, at: Point, yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A motor scooter on its stand, 1.75 m long."""
    body = Solid()
    place = cycles.Leaning(0.05)
    paint = np.asarray((*PAINTS, (0.35, 0.42, 0.4))[int(rng.integers(len(PAINTS) + 1))])
    for hub in (0.62, -0.58):
        body.tube(place(hub, 0.23, -0.06), place(hub, 0.23, 0.06), 0.23, RUBBER, sides=16)
        body.tube(place(hub, 0.23, -0.065), place(hub, 0.23, 0.065), 0.13, STEEL, sides=12)
    angles = np.linspace(0.2, 2.7, 7)
    fender = [[place(0.62 + 0.27 * math.cos(a), 0.23 + 0.27 * math.sin(a), y) for a in angles] for y in (0.08, -0.08)]
    body.sheet(np.array(fender), paint)
    shield = [
        [
            place(x, z, y * wide)
            for x, z, wide in ((0.36, 0.24, 0.2), (0.42, 0.5, 0.24), (0.4, 0.75, 0.22), (0.33, 0.98, 0.12))
        ]
        for y in (-1, -0.4, 0.4, 1)
    ]
    body.sheet(np.array(shield), paint)
    body.box(place(0.1, 0.2), (0.56, 0.36, 0.1), PLASTIC)
    xs = np.linspace(-0.98, -0.1, 6)
    wide, low, high = (
        np.interp(xs, [-0.98, -0.6, -0.1], values)
        for values in ((0.05, 0.19, 0.17), (0.5, 0.32, 0.24), (0.66, 0.72, 0.68))
    )
    section = [(1, 0.0), (1, 0.6), (0.85, 1.0), (-0.85, 1.0), (-1, 0.6), (-1, 0.0)]
    tail = [
        [place(x, lo + share * (hi - lo), y * w) for y, share in section]
        for x, w, lo, hi in zip(xs, wide, low, high, strict=True)
    ]
    body.sheet(np.array(tail)[::-1], paint)
    body.quad(
        np.array(
            [place(-0.1, 0.24, 0.17), place(-0.1, 0.24, -0.17), place(-0.1, 0.68, -0.15), place(-0.1, 0.68, 0.15)]
        ),
        paint * 0.8,
    )
    seat = [
        [place(x, 0.73 + rise, y) for y in (-0.16, -0.1, 0.1, 0.16)]
        for x, rise in ((-0.88, 0.0), (-0.8, 0.07), (-0.45, 0.05), (-0.12, 0.04), (-0.08, -0.03))
    ]
    body.sheet(np.array(seat), RUBBER)
    body.tube(place(0.5, 0.45), place(0.3, 1.06), 0.03, PLASTIC, sides=7)
    body.box(place(0.32, 0.92), (0.2, 0.22, 0.16), paint, taper=0.8)
    body.tube(place(0.41, 1.0), place(0.44, 1.0), 0.07, (0.7, 0.7, 0.66), sides=12)
    body.rod(
        [place(0.2, 1.04, -0.33), place(0.28, 1.06, -0.15), place(0.28, 1.06, 0.15), place(0.2, 1.04, 0.33)],
        0.016,
        PLASTIC,
    )
    for y in (-0.26, 0.26):
        body.rod([place(0.25, 1.06, y), place(0.22, 1.22, y * 1.2)], 0.008, PLASTIC)
        body.tube(place(0.22, 1.22, y * 1.2), place(0.2, 1.22, y * 1.2), 0.05, PLASTIC, sides=8)
    body.box(place(-0.97, 0.6), (0.05, 0.16, 0.08), (0.4, 0.02, 0.02))
    body.box(place(-1.0, 0.36), (0.01, 0.17, 0.13), (0.75, 0.75, 0.7))
    circles = tuple((x, 0.03, 0.35) for x in (-0.7, -0.25, 0.2, 0.6))
    return Prop((body.mesh(f"Moped_{number}", surfaces.paint(), 0.4),), circles).placed(at, yaw_deg)
