"""Textures of the fronts of city buildings: curtain walls, lobbies and shops behind glass, stone, vents."""

from __future__ import annotations

import numpy as np

from unrealperson.synth.scenes import evening
from unrealperson.synth.scenes.surfaces import Rgb, finish, grain, noise


def skyline(rng: np.random.Generator, high: int, wide: int) -> np.ndarray:
    """What glass reflects: sky, clouds, buildings opposite with their windows.

    Args:
        rng: source of the values.
        high: pixels.
        wide: pixels.

    Returns:
        [high, wide, 3] float32 sRGB, 0 ... 1.
    """
    up = np.linspace(1, 0, high, dtype=np.float32)[:, None, None]
    value = np.array([0.74, 0.78, 0.8]) * (1 - up) + np.array([0.42, 0.55, 0.7]) * up
    side = max(high, wide)
    clouds = noise(rng, side, 5) + 0.5 * noise(rng, side, 11) + 0.25 * noise(rng, side, 29)
    value = value + 0.2 * np.clip(clouds[:high, :wide, None] - 0.1, 0, 0.8)
    at = 0
    while at < wide:
        broad, tall = int(rng.uniform(0.06, 0.16) * wide), int(rng.uniform(0.25, 0.72) * high)
        block = np.ones((tall, min(broad, wide - at), 3), np.float32) * rng.uniform(0.25, 0.5)
        block *= np.array([1.0, 0.98, 0.95]) + rng.uniform(-0.06, 0.06, 3)
        rows, columns = np.mgrid[0:tall, 0 : block.shape[1]]
        step_y, step_x = int(rng.integers(9, 15)), int(rng.integers(8, 14))
        panes = (rows % step_y > step_y * 0.4) & (columns % step_x > step_x * 0.35)
        block[panes] *= rng.uniform(0.5, 0.75)
        value[high - tall :, at : at + broad] = block
        at += broad + int(rng.uniform(-0.01, 0.05) * wide)
    return np.clip(value, 0, 1).astype(np.float32)


def curtain_wall(
    rng: np.random.Generator, tint: Rgb, storeys: int, bays: int, size: int = 1024, *, metal: float = 0.32
) -> np.ndarray:
    """A glass front: panes that mirror sky and buildings, each a little askew, mullions, floor edges, blinds.

    Args:
        rng: source of the values.
        tint: colour of the glass, sRGB.
        storeys: floors over the height of the texture.
        bays: panes across it.
        size: side in pixels.
        metal: brightness of the mullions, sRGB.
    """
    mirror = skyline(rng, size, size)
    cell_h, cell_w = size / storeys, size / bays
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    storey, bay = (y / cell_h).astype(int), (x / cell_w).astype(int)
    askew = rng.normal(0, 1, (storeys, bays, 4)).astype(np.float32)[storey, bay]
    middle_x = x - (bay + 0.5) * cell_w
    middle_y = y - (storey + 0.5) * cell_h
    bulge = 3.0 * noise(rng, size, bays)
    from_y = np.clip(y + 7 * askew[..., 0] + 0.05 * askew[..., 1] * middle_x + bulge, 0, size - 1).astype(int)
    from_x = (x + 9 * askew[..., 2] + 0.06 * askew[..., 3] * middle_y + bulge).astype(int) % size
    glass = mirror[from_y, from_x] * np.asarray(tint, np.float32)
    part_y, part_x = (y / cell_h) % 1, (x / cell_w) % 1
    room = np.full((storeys, bays, 1), 0.12, np.float32) * rng.uniform(0.5, 1.4, (storeys, bays, 1))
    inside = np.broadcast_to(room[storey, bay] * np.array([1.0, 1.0, 1.05]), glass.shape).astype(np.float32)
    drawn = (rng.random((storeys, bays)) < 0.35) * rng.uniform(0.15, 0.9, (storeys, bays))
    blind = (part_y > 0.2) & ((part_y - 0.2) / 0.8 < drawn[storey, bay])
    inside[blind] = (0.5 + 0.06 * ((y[blind] % 5) < 2))[:, None] * np.array([1.0, 0.98, 0.93])
    at_night = evening.lit_rooms(evening.own_stream(rng), storeys, bays, 0.42)[storey, bay]
    lit = rng.random((storeys, bays))[storey, bay] < 0.3
    tubes = lit & ~blind & (np.abs(part_y - 0.34) < 0.018) & (np.abs((part_x * 2) % 1 - 0.5) < 0.32)
    inside[tubes] = (0.85, 0.84, 0.76)
    value = 0.34 * inside + 0.72 * glass
    spandrel = part_y < 0.2
    value[spandrel] = 0.75 * value[spandrel] * np.asarray(tint) + 0.04
    edge_x, edge_y = np.minimum(part_x, 1 - part_x) * cell_w, np.minimum(part_y, np.abs(part_y - 0.2)) * cell_h
    value[edge_x < 3.2] *= 0.6
    value[(edge_x < 2.2) | (edge_y < 1.6)] = metal * np.array([1.0, 1.0, 1.02])
    value[(edge_x < 0.9) & (part_x < 0.5)] = metal * 1.5
    # Ceilings of lit offices are brighter than what stands below them.
    at_night *= ~spandrel & (edge_x >= 2.2) & (edge_y >= 1.6)
    shine = at_night * np.clip(1.15 - 0.75 * part_y, 0.2, 1.0)
    return evening.with_shine(finish(value * grain(rng, size, fine=0.01, coarse=0.03)), shine)


def lobby(rng: np.random.Generator, size: int = 1024, bays: int = 8, *, shop: bool = False) -> np.ndarray:
    """Ground floor behind tall glass, twice as wide as high: the room, its lights, furniture, reflections.

    Args:
        rng: source of the values.
        size: width in pixels; the height is half of it.
        bays: panes across.
        shop: shows goods, dressed dummies and posters instead of a reception.
    """
    high, bay = size // 2, size // bays
    y, x = np.mgrid[0:high, 0:size].astype(np.float32) / high
    warm = np.array([1.0, 0.93, 0.82], np.float32)
    panels = 1 + 0.14 * rng.standard_normal(40)[(x * 20).astype(int)]
    value = ((0.5 + 0.1 * noise(rng, size, 4)[:high] - 0.12 * y) * panels)[..., None] * warm
    ceiling, floor = y < 0.2, y > 0.8
    value[ceiling] = (0.34 + 0.5 * y[ceiling])[:, None] * np.array([1.0, 0.98, 0.94])
    value[floor] = (0.4 - 0.7 * (y[floor] - 0.8))[:, None] * np.array([1.0, 0.97, 0.92])
    for row in (0.07, 0.12, 0.15):
        value[(np.abs(y - row) < 0.007) & (np.abs((x * 9 + row * 7) % 1 - 0.5) < 0.17)] = (1.3, 1.25, 1.1)
    for left in range(0, size, bay):
        _fill_bay(rng, value[:, left : left + bay], shop)
    for shift in (1, 2):
        value = (2 * value + np.roll(value, shift, 1) + np.roll(value, -shift, 1)) / 4
        value[shift:-shift] = (2 * value[shift:-shift] + value[2 * shift :] + value[: -2 * shift]) / 4
    mirror = skyline(rng, size, size)[: high * 2 : 2].repeat(2, 1)[:, :size]
    shift = rng.integers(-14, 15, bays)[(x * high / bay).astype(int)]
    mirror = mirror[np.clip(np.arange(high)[:, None] + shift, 0, high - 1), np.arange(size)]
    strength = np.clip(0.55 - 0.45 * y + 0.22 * noise(rng, size, 6)[:high], 0.06, 0.7)[..., None]
    value = value * (1 - 0.6 * strength) + 0.75 * mirror * strength * np.array([0.92, 1.0, 0.98])
    part = (x * high / bay) % 1
    edge = np.minimum(part, 1 - part) * bay
    value[edge < 4] = (0.2, 0.2, 0.21)
    value[(edge < 1.5) & (part < 0.5)] = 0.34
    for row, thick in ((0.0, 9), (0.3, 4), (0.955, 8)):
        top = int(row * high)
        value[top : top + thick] = (0.22, 0.22, 0.23)
    value[int(0.965 * high) :] = (0.3, 0.295, 0.285)
    band = (np.abs(y - 0.62) < 0.008) & (((x * 22) % 1) < 0.55)
    value[band] = 0.5 * value[band] + 0.36
    rooms = evening.lit_rooms(evening.own_stream(rng), 1, bays, 0.85)[0, (x * high / bay).astype(int)]
    shine = rooms * ((edge >= 4) & (y > 0.02) & (y < 0.95)) * np.clip(1.1 - 0.5 * y, 0, 1)
    return evening.with_shine(finish(value * grain(rng, size, fine=0.015, coarse=0.03)[:high]), shine)


def _fill_bay(rng: np.random.Generator, bay: np.ndarray, shop: bool) -> None:
    """Paints what stands behind one pane into it: [H, W, 3], changed in place."""
    high, wide = bay.shape[:2]
    muted = np.array([1.0, 0.95, 0.88]) + rng.uniform(-0.2, 0.2, (12, 3))
    foot = int(high * rng.uniform(0.86, 0.94))
    kind = rng.choice(["shelves", "dummies", "poster", "room"] if shop else ["desk", "plant", "room", "lift"])
    if kind == "shelves":
        for row in np.linspace(0.36, 0.86, 6):
            bay[int(row * high) : int(row * high) + 4] = 0.75
            at = 6
            while at < wide - 12:
                broad, tall = int(rng.integers(5, 16)), int(rng.uniform(0.03, 0.07) * high)
                bay[int(row * high) - tall : int(row * high), at : at + broad] = rng.uniform(0.15, 0.7) * rng.choice(
                    muted
                )
                at += broad + int(rng.integers(1, 6))
    elif kind == "dummies":
        y, x = np.mgrid[0:high, 0:wide].astype(float)
        for middle in (0.3, 0.72):
            cloth = rng.uniform(0.1, 0.6, (2, 1)) * muted[:2]
            for part, center, radii in ((0.46, 0.03, 0.07), (0.6, 0.1, 0.17), (0.76, 0.1, 0.12)):
                inside = ((x / wide - middle) / radii) ** 2 + ((y / high - part) / (center + 0.012)) ** 2 < 1
                bay[inside] = (0.6, 0.52, 0.45) if part < 0.5 else cloth[int(part > 0.7)]
        bay[int(0.87 * high) : int(0.95 * high)] = 0.62
    elif kind == "poster":
        top, bottom = int(0.34 * high), int(0.84 * high)
        fade = np.linspace(1.1, 0.6, bottom - top)[:, None, None]
        bay[top:bottom, 12:-12] = fade * rng.uniform(0.35, 0.75) * muted[0]
        bay[top + 60 : top + 150, 30:-26] = rng.uniform(0.15, 0.6) * muted[1]
        bay[top + 20 : top + 34, 24:-34] = 0.85
        bay[bottom - 26 : bottom - 18, 24:-50] = 0.85
    elif kind == "desk":
        bay[foot - int(0.22 * high) : foot, 4:-20] = rng.uniform(0.2, 0.5) * muted[0]
        bay[foot - int(0.22 * high) : foot - int(0.2 * high), 2:-18] = 0.7
    elif kind == "plant":
        y, x = np.mgrid[0:high, 0:wide].astype(float)
        leaf = noise(rng, 512, 60)[:high, :wide]
        crown = ((x / wide - 0.5) / 0.36) ** 2 + ((y / high - 0.62) / 0.16) ** 2 < 1 + 1.2 * leaf
        bay[crown] = (0.12 + 0.1 * leaf[crown])[:, None] * np.array([0.8, 1.2, 0.6])
        bay[foot - int(0.12 * high) : foot, wide // 2 - 18 : wide // 2 + 18] = 0.62
    elif kind == "lift":
        bay[int(0.42 * high) : int(0.82 * high), 16:-16] = 0.55
        bay[int(0.42 * high) : int(0.82 * high), wide // 2 - 1 : wide // 2 + 2] = 0.25
        bay[int(0.36 * high) : int(0.39 * high), 40:-40] = (0.9, 0.5, 0.2)
    for _ in range(int(rng.integers(0, 3))):
        left, tall = int(rng.integers(4, wide - 24)), int(rng.uniform(0.1, 0.2) * high)
        bay[foot - tall : foot, left : left + int(rng.integers(10, 24))] = rng.uniform(0.08, 0.4) * muted[2]


def office_wall(
    rng: np.random.Generator, wall: Rgb, storeys: int, bays: int, size: int = 512, *, ribbon: bool = False
) -> np.ndarray:
    """Storeys of a stone or concrete block: cladding with joints, deep windows, sills, streaks under them.

    Args:
        rng: source of the values.
        wall: sRGB of the cladding.
        storeys: rows of windows.
        bays: windows a row.
        size: side in pixels.
        ribbon: windows run through in bands.
    """
    value = np.asarray(wall, np.float32) * grain(rng, size, fine=0.035, coarse=0.1)
    y, x = np.mgrid[0:size, 0:size].astype(np.float32)
    high, wide = size / storeys, size / bays
    plates = 1 + 0.035 * rng.standard_normal((storeys * 3, bays * 2)).astype(np.float32)
    value *= plates[(y * 3 / high).astype(int), (x * 2 / wide).astype(int), None]
    value[((y * 3 / high) % 1 < 4.5 / high) | ((x * 2 / wide) % 1 < 2.2 / wide)] *= 0.78
    part_y, part_x = (y / high) % 1, (x / wide) % 1
    x0, x1, y0, y1 = (0.03, 0.97, 0.28, 0.8) if ribbon else (0.2, 0.8, 0.2, 0.82)
    streak = noise(rng, size, size // 5)[:1] * np.clip(1 - (part_y - y1) / 0.3, 0, 1) * (part_y > y1)
    value *= (1 - 0.28 * np.clip(streak, 0, 1) * ((part_x > x0) & (part_x < x1)))[..., None]
    reveal = 5.0
    inside_x, inside_y = np.minimum(part_x - x0, x1 - part_x) * wide, np.minimum(part_y - y0, y1 - part_y) * high
    hole = (inside_x > -reveal) & (inside_y > -reveal * 0.6)
    value[hole] *= np.where(part_y[hole] < 0.5, 0.5, 1.1)[:, None]
    pane = (inside_x > 0) & (inside_y > 0)
    mirror = skyline(rng, size, size)
    room = rng.uniform(0.05, 0.3, (storeys, bays, 1)).astype(np.float32)[(y / high).astype(int), (x / wide).astype(int)]
    drawn = rng.uniform(-0.8, 0.9, (storeys, bays))[(y / high).astype(int), (x / wide).astype(int)]
    room = np.where(((part_y - y0) / (y1 - y0) < drawn)[..., None], np.float32(0.55), room)
    shift = rng.integers(-40, 40, (storeys, bays))[(y / high).astype(int), (x / wide).astype(int)]
    glass = 0.5 * room + 0.45 * mirror[np.clip(y.astype(int) // 2 + shift + size // 4, 0, size - 1), x.astype(int)]
    glass *= np.where(inside_y < 7, 0.55, 1.0)[..., None]
    value[pane] = glass[pane]
    frame = pane & ((inside_x < 2.4) | (inside_y < 2.4) | (np.abs(part_x - 0.5) * wide < 1.5))
    value[frame] = (0.2, 0.2, 0.2)
    sill = (np.abs(part_y - y1 - 0.018) < 0.014) & (part_x > x0 - 0.03) & (part_x < x1 + 0.03)
    value[sill] = np.asarray(wall) * 1.12
    rooms = evening.lit_rooms(evening.own_stream(rng), storeys, bays, 0.4)[
        (y / high).astype(int), (x / wide).astype(int)
    ]
    return evening.with_shine(finish(value), rooms * (pane & ~frame))


def louvres(rng: np.random.Generator, color: Rgb, size: int = 128) -> np.ndarray:
    """Slanted blades of a vent; eight over the height.

    Args:
        rng: source of the values.
        color: sRGB.
        size: side in pixels.
    """
    blade = (np.arange(size) * 8 / size) % 1
    shade = np.where(blade < 0.3, 0.32, 0.75 + 0.4 * blade)[:, None, None]
    return finish(np.asarray(color) * shade * grain(rng, size, fine=0.03, coarse=0.08))
