"""Houses of a shopping street: a shop on the ground floor, storeys with windows and balconies above.

A house is built with its front along X at y = 0, looking along -Y.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np

from unrealperson.synth.scenes import evening, prints, surfaces
from unrealperson.synth.scenes.furniture import CLOTHS
from unrealperson.synth.scenes.scene import Lamp, Mesh, Prop
from unrealperson.synth.scenes.solid import Solid

LOW_M, STOREY_M = 3.6, 3.1
SHOPS = (
    "BAKERY", "CAFE MILO", "BOOKS & MAPS", "FLOWERS", "PHARMACY", "SHOES", "OPTICIAN", "HAIR STUDIO", "BICYCLES",
    "TEA HOUSE", "FASHION 21", "PHONE REPAIR", "NOODLE BAR", "GROCERY", "TOYS", "TRAVEL", "BANK", "KITCHEN & HOME",
)  # fmt: skip
BODIES = (
    (0.05, 0.065, 0.085), (0.12, 0.04, 0.03), (0.04, 0.075, 0.055), (0.42, 0.4, 0.35), (0.06, 0.058, 0.055),
    (0.5, 0.48, 0.44), (0.16, 0.11, 0.07), (0.07, 0.1, 0.14),
)  # fmt: skip
WALLS = (
    (0.62, 0.5, 0.4), (0.52, 0.34, 0.28), (0.7, 0.66, 0.58), (0.48, 0.48, 0.47), (0.66, 0.6, 0.48), (0.56, 0.42, 0.36),
)  # fmt: skip


@dataclass(frozen=True)
class House:
    """What is chosen for a house.

    Attributes:
        name: ends its meshes' names.
        shop: what its sign says.
        wide_m: length of its front.
        storeys: above the shop.
        near: whether it is seen from close by, and gets balconies, a lit sign and fine textures.
    """

    name: str
    shop: str
    wide_m: float
    storeys: int
    near: bool


def make_house(house: House, at: tuple[float, float, float], yaw_deg: float, rng: np.random.Generator) -> Prop:
    """A house with a shop.

    Args:
        house: its measures.
        at: x, y, z of the foot of its front's middle.
        yaw_deg: its front looks along -Y at 0 degrees.
        rng: source of names, colours and goods.
    """
    meshes = [*_shop(house, rng), *_upper(house, rng)]
    lamps = (Lamp((0.0, -0.6, 2.5), (1.6, 1.4, 1.0), 6.0),) if house.near else ()
    return Prop(tuple(meshes), (), lamps).placed(at, yaw_deg)


def _wall(into: Solid, x0: float, x1: float, z0: float, z1: float, y: float, tone: np.ndarray | float = 1.0) -> None:
    into.quad(np.array([(x0, y, z0), (x1, y, z0), (x1, y, z1), (x0, y, z1)]), np.broadcast_to(tone, 3))


def _shop(house: House, rng: np.random.Generator) -> list[Mesh]:
    """Plinth, pilasters, recessed windows and door, sign board, awning."""
    half = 0.5 * house.wide_m
    body = np.asarray(BODIES[int(rng.integers(len(BODIES)))]) * rng.uniform(0.85, 1.15)
    dark = body * 0.7
    frame, glass, sign = Solid(), Solid(), Solid()
    frame.box((0, 0.25, 0), (house.wide_m, 0.5, 0.02), (0.3, 0.3, 0.29))
    for x in (-half + 0.18, half - 0.18):
        frame.box((x, 0.02, 0), (0.36, 0.24, 3.35), (0.5, 0.485, 0.46))
        frame.box((x, 0.0, 0), (0.42, 0.32, 0.4), (0.4, 0.39, 0.37))
    frame.box((0, 0.1, 3.35), (house.wide_m, 0.5, 0.25), (0.52, 0.5, 0.47))
    frame.box((0, 0.06, 2.62), (house.wide_m - 0.72, 0.3, 0.73), body)
    left, right = -half + 0.36, half - 0.36
    door = float(rng.choice([left + 0.1, right - 1.2, 0.5 * (left + right) - 0.55]))
    spans = [(left, door - 0.06), (door + 1.16, right)]
    for x0, x1 in spans:
        if x1 - x0 < 0.5:
            continue
        frame.box((0.5 * (x0 + x1), 0.1, 0), (x1 - x0, 0.16, 0.5), dark)
        frame.box((0.5 * (x0 + x1), 0.06, 0.5), (x1 - x0, 0.26, 0.05), body * 1.2)
        panes = max(round((x1 - x0) / 1.7), 1) if house.near else 1
        for pane in range(panes + 1):
            frame.box((x0 + (x1 - x0) * pane / panes, 0.12, 0.5), (0.06, 0.1, 2.12), body)
        frame.box((0.5 * (x0 + x1), 0.12, 2.15), (x1 - x0, 0.08, 0.05), body)
        _wall(glass, x0, x1, 0.55, 2.62, 0.17)
    _wall(glass, door, door + 1.1, 0.35, 2.25, 0.45, 0.75)
    for x in (door - 0.03, door + 1.13):
        frame.box((x, 0.24, 0), (0.07, 0.48, 2.62), dark)
    for z, tall in ((0.02, 0.33), (2.2, 0.08), (2.55, 0.07)):
        frame.box((door + 0.55, 0.44, z), (1.1, 0.06, tall), body)
    frame.box((door + 0.55, 0.2, 0), (1.15, 0.5, 0.03), (0.16, 0.15, 0.14))
    frame.tube((door + 0.95, 0.38, 0.9), (door + 0.95, 0.38, 1.35), 0.018, (0.5,) * 3, sides=6)
    ink = (0.93, 0.9, 0.82) if body.mean() < 0.25 else (0.1, 0.1, 0.12)
    ground = np.sqrt(body) if rng.random() < 0.7 else np.asarray(prints.PALETTE[int(rng.integers(len(prints.PALETTE)))])
    if ground.mean() > 0.6:
        ink = (0.1, 0.1, 0.12)
    long = min(0.9 * (right - left), 0.42 * len(house.shop) + 0.8)
    _wall(sign, -0.5 * long, 0.5 * long, 2.7, 3.26, -0.1)
    if house.near and rng.random() < 0.7:
        x = half - 0.3
        frame.box((x, -0.56, 2.68), (0.04, 0.9, 0.04), (0.05,) * 3)
        for out, a, b in ((-0.04, -0.12, -1.0), (0.04, -1.0, -0.12)):
            corners = ((a, 2.5), (b, 2.5), (b, 2.68), (a, 2.68))
            sign.quad(np.array([(x + out, y, z) for y, z in corners]))
    if rng.random() < 0.55:
        _awning(frame, (left, right), 0.45 if house.near else 1.2, rng)
    night = evening.own_stream(rng)
    # Some shops leave only a lamp on, some signs are not lit.
    inside = float(night.choice([1.0, 0.15], p=[0.8, 0.2])) * np.array(evening.SHOP_GLOW) * night.uniform(0.7, 1.1)
    above = 0.9 * float(night.random() < 0.6)
    return [
        frame.mesh(f"Shop_{house.name}_Frame", surfaces.paint(), 0.1),
        glass.mesh(f"Shop_{house.name}_Window", display(rng, 256 if house.near else 128), 0.35, tuple(inside)),
        sign.mesh(f"Shop_{house.name}_Sign", prints.lettering(house.shop, (256, 48), ground, ink), 0.05, above),
    ]


def _awning(into: Solid, span: tuple[float, float], stripe_m: float, rng: np.random.Generator) -> None:
    """A cloth that sags between its arms, with a valance, some of it striped."""
    left, right = span
    cloth = np.asarray(CLOTHS[int(rng.integers(len(CLOTHS)))])
    reach, low = rng.uniform(1.0, 1.4), rng.uniform(2.2, 2.35)
    count = max(round((right - left) / stripe_m), 4)
    xs = np.linspace(left, right, count + 1)
    pale = np.array([0.6, 0.58, 0.53]) if rng.random() < 0.4 else cloth * 0.93
    for index, (a, b) in enumerate(pairwise(xs)):
        tone = (cloth, pale)[index % 2] * rng.uniform(0.96, 1.04)
        profile = ((0.02, 2.72), (-0.5 * reach, 0.5 * (2.72 + low) - 0.03), (-reach, low))
        into.sheet(np.array([[(x, y, z) for y, z in profile] for x in (a, b)]), tone)
        into.quad(
            np.array([(a, -reach, low - 0.2), (b, -reach, low - 0.2), (b, -reach, low), (a, -reach, low)]), tone * 0.9
        )
    for x in (left + 0.1, right - 0.1):
        into.rod([(x, 0.0, 2.3), (x, -reach, low)], 0.015, (0.3,) * 3, sides=4)


def _upper(house: House, rng: np.random.Generator) -> list[Mesh]:
    """The wall with its windows, cornice, sills, balconies, drain pipe and a sloping roof's edge."""
    half, top = 0.5 * house.wide_m, LOW_M + STOREY_M * house.storeys
    wall = WALLS[int(rng.integers(len(WALLS)))]
    bays = max(int(house.wide_m / 1.9), 2)
    front, trim = Solid(), Solid()
    _wall(front, -half, half, LOW_M, top, 0.0)
    front.quad(
        np.array([(-half, 0, top), (half, 0, top), (half, 10, top), (-half, 10, top)]), (0.5,) * 3, np.zeros((4, 2))
    )
    trim.box((0, -0.02, top), (house.wide_m, 0.5, 0.3), (0.5, 0.49, 0.46))
    trim.box((0, -0.04, LOW_M - 0.02), (house.wide_m, 0.3, 0.14), (0.55, 0.54, 0.51))
    trim.tube((half - 0.08, -0.08, 0), (half - 0.08, -0.08, top), 0.05, (0.12,) * 3, sides=7, cap=False)
    for storey in range(house.storeys if house.near else 0):
        z = LOW_M + STOREY_M * storey
        balconies = rng.random(bays) < 0.3
        for bay in range(bays):
            x = (bay + 0.5) * house.wide_m / bays - half
            trim.box((x, -0.06, z + 0.62), (1.15, 0.16, 0.06), (0.56, 0.55, 0.52))
            if balconies[bay]:
                trim.box((x, -0.4, z + 0.25), (1.5, 0.85, 0.12), (0.45, 0.44, 0.42))
                for a, b in (((-0.73, -0.8), (0.73, -0.8)), ((-0.73, -0.8), (-0.73, 0.0)), ((0.73, -0.8), (0.73, 0.0))):
                    trim.tube(
                        (x + a[0], a[1], z + 1.3), (x + b[0], b[1], z + 1.3), 0.02, (0.05,) * 3, sides=5, cap=False
                    )
                for bar in np.linspace(-0.73, 0.73, 12):
                    trim.tube(
                        (x + bar, -0.8, z + 0.37), (x + bar, -0.8, z + 1.3), 0.009, (0.05,) * 3, sides=3, cap=False
                    )
    texture = surfaces.facade(rng, wall, house.storeys, bays, 512 if house.near else 256)
    return [
        front.mesh(f"Building_{house.name}_Wall", texture, 0.0, evening.random_glow(evening.own_stream(rng))),
        trim.mesh(f"Building_{house.name}_Trim", surfaces.paint()),
    ]


def display(rng: np.random.Generator, size: int = 256) -> np.ndarray:
    """A shop window: the lit room behind it, shelves, goods on a stand, posters, and the street mirrored in it.

    Args:
        rng: source of goods and reflections.
        size: width in pixels; the height is half of it.
    """
    wide, high = size, size // 2
    y, x = np.mgrid[0:high, 0:wide] / np.array([high, wide]).reshape(2, 1, 1)
    warm = np.array([1.0, 0.93, 0.8]) if rng.random() < 0.6 else np.array([0.92, 0.97, 1.0])
    value = (0.16 + 0.3 * (1 - y) * rng.uniform(0.6, 1.5))[..., None] * warm
    shelf = prints.shelf_goods(rng, (wide, high // 2), 3, lit=0.35) / 255
    back = value[high // 6 : high // 6 + high // 2]
    back += 0.25 * (0.6 * shelf.mean(2, keepdims=True) + 0.4 * shelf)[: len(back)] - 0.06
    for lamp in np.arange(rng.uniform(0.05, 0.12), 1.0, rng.uniform(0.12, 0.2)):
        value += (0.5 * np.exp(-(((x - lamp) / 0.012) ** 2) - ((y - 0.07) / 0.025) ** 2))[..., None] * warm
    at = 0.02
    while at < 0.95:
        across, tall = rng.uniform(0.03, 0.13), rng.uniform(0.05, 0.4)
        tone = rng.uniform(0.15, 0.75) * (0.85 + 0.3 * rng.random(3)) * np.array([1.05, 1.0, 0.9])
        shape = ((x - at - across / 2) / (across / 2)) ** 2 + np.clip((1.0 - tall - y) / 0.08, 0, 9) ** 2
        inside = (shape < 1) & (y > 1 - tall - 0.08)
        shade = 0.65 + 0.5 * np.clip((x - at) / across, 0, 1)
        value[inside] = (tone * shade[..., None])[inside]
        at += across + rng.uniform(0.005, 0.07)
    value[y > 0.93] *= 0.6
    for _ in range(int(rng.integers(0, 3))):
        tall = int(high * rng.uniform(0.3, 0.5))
        printed = prints.poster(rng, (tall * 2 // 3, tall)) / 255
        top, left = int(rng.uniform(0.2, 0.45) * high), int(rng.uniform(0.05, 0.8) * wide)
        spot = value[top : top + tall, left : left + tall * 2 // 3]
        spot[:] = 0.85 * printed[: spot.shape[0], : spot.shape[1]]
    skyline = (
        0.35 + 0.12 * np.sign(surfaces.noise(rng, size, 9))[:1, :wide] + 0.05 * surfaces.noise(rng, size, 30)[:1, :wide]
    )
    mirror = np.where((y < skyline)[..., None], np.array([0.6, 0.66, 0.72]), np.array([0.22, 0.21, 0.2]))
    mirror = mirror * (1 + 0.25 * surfaces.noise(rng, size, 11)[:high, :wide, None])
    value = 0.8 * value + rng.uniform(0.12, 0.24) * mirror
    return surfaces.finish(np.clip(value, 0, 1))
