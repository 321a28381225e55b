"""What is printed on signs, boards, posters and machines; no real brands."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from numpy.typing import ArrayLike
from PIL import Image, ImageDraw, ImageFont

from unrealperson.synth.scenes import surfaces

PALETTE = ((0.78, 0.74, 0.66), (0.16, 0.22, 0.38), (0.55, 0.14, 0.12), (0.1, 0.11, 0.12), (0.13, 0.32, 0.24))
HEADLINES = ("SALE", "OPEN", "NEW IN", "LUNCH", "FRESH", "CITY RUN", "MARKET", "LIVE", "2 FOR 1", "SUMMER", "TODAY")


def lettering(
    text: str, size: tuple[int, int], ground: ArrayLike, ink: ArrayLike, *, margin: float = 0.18
) -> np.ndarray:
    """A line of text in the middle of an even ground, as large as fits.

    Args:
        text: one line or several.
        size: width and height in pixels.
        ground: sRGB, 0 ... 1.
        ink: sRGB, 0 ... 1.
        margin: share of the height kept free above and below.

    Returns:
        [height, width, 3] uint8.
    """
    image = Image.new("RGB", size, _bytes(ground))
    draw = ImageDraw.Draw(image)
    lines = text.count("\n") + 1
    points = size[1] * (1 - 2 * margin) / lines
    box = draw.multiline_textbbox((0, 0), text, font=ImageFont.load_default(points))
    points *= min(1.0, 0.9 * size[0] / max(box[2], 1))
    middle = (size[0] / 2, size[1] / 2)
    draw.multiline_text(
        middle,
        text,
        fill=_bytes(ink),
        font=ImageFont.load_default(points),
        anchor="mm",
        align="center",
    )
    return np.asarray(image)


def poster(rng: np.random.Generator, size: tuple[int, int] = (128, 192)) -> np.ndarray:
    """An advertisement: a ground that fades, bold shapes, a headline, small print.

    Args:
        rng: source of layout and colours.
        size: width and height in pixels.
    """
    wide, high = size
    one, two = (np.asarray(PALETTE[int(index)]) for index in rng.choice(len(PALETTE), 2, replace=False))
    fade = np.linspace(0, 1, high)[:, None, None]
    value = np.broadcast_to(one * (1 - fade) + (0.5 * one + 0.5 * two) * fade, (high, wide, 3)).copy()
    y, x = np.mgrid[0:high, 0:wide]
    for _ in range(rng.integers(2, 5)):
        cx, cy, radius = rng.uniform(0.2, 0.8) * wide, rng.uniform(0.35, 0.75) * high, rng.uniform(0.1, 0.35) * wide
        inside = np.hypot((x - cx) * rng.uniform(0.6, 1.4), y - cy) < radius
        value[inside] = np.clip(rng.uniform(0.15, 0.95, 3) * (0.8 + 0.3 * (y[inside] / high))[:, None], 0, 1)
    band = high // 5
    ink = (0.95, 0.93, 0.88) if two.mean() < 0.5 else (0.08, 0.08, 0.1)
    headline = lettering(str(rng.choice(HEADLINES)), (wide, band), two, ink)
    top = int(rng.choice([0, high - 2 * band]))
    value[top : top + band] = headline / 255
    for row in range(high - band + 6, high - 6, 7):
        value[row : row + 3, wide // 8 : int(wide * rng.uniform(0.5, 0.88))] = ink
    return surfaces.finish(value)


def blackboard(rng: np.random.Generator, size: tuple[int, int] = (96, 128)) -> np.ndarray:
    """A menu written with chalk.

    Args:
        rng: source of the words' lengths.
        size: width and height in pixels.
    """
    wide, high = size
    value = np.full((high, wide, 3), 0.09) + 0.03 * surfaces.noise(rng, 128, 12)[:high, :wide, None]
    value[: high // 4] = np.maximum(
        value[: high // 4],
        lettering(str(rng.choice(HEADLINES)), (wide, high // 4), (0, 0, 0), rng.uniform(0.7, 0.95, 3)) / 255,
    )
    for row in range(high // 4 + 6, high - 8, 9):
        at = wide // 10
        while at < wide * 0.85:
            word = int(rng.integers(5, 16))
            value[row : row + 3, at : at + word] = rng.uniform(0.5, 0.85)
            at += word + 4
            if rng.random() < 0.25:
                break
    return surfaces.finish(value)


def shelf_goods(rng: np.random.Generator, size: tuple[int, int], rows: int, *, lit: float = 0.6) -> np.ndarray:
    """Rows of packets and bottles behind glass.

    Args:
        rng: source of the goods.
        size: width and height in pixels.
        rows: shelves.
        lit: brightness of the lamp behind.
    """
    wide, high = size
    value = np.full((high, wide, 3), 0.16 + 0.3 * lit) * np.array([1.0, 0.98, 0.92])
    tall = high // rows
    for row in range(rows):
        foot, at = (row + 1) * tall - 3, 2
        while at < wide - 6:
            across, up = int(rng.integers(5, 12)), int(tall * rng.uniform(0.55, 0.85))
            tone = rng.uniform(0.2, 0.7) * (0.55 + 0.9 * rng.random(3)) * (0.5 + 0.5 * lit)
            for _ in range(int(rng.integers(1, 4))):
                if at + across > wide - 2:
                    break
                value[foot - up : foot, at : at + across] = tone
                value[foot - up * 2 // 3 : foot - up // 3, at : at + across] = np.clip(tone * 1.5 + 0.1, 0, 0.9)
                at += across + 1
            at += 2
        value[foot : foot + 3] = 0.12
    return surfaces.finish(value)


@lru_cache(maxsize=16)
def road_sign(kind: int) -> np.ndarray:
    """The face of a traffic sign, on grey.

    Args:
        kind: 0 crossing, 1 no entry, 2 no parking, 3 warning, 4 parking, 5 street name.
    """
    image = Image.new("RGB", (256, 256), (128, 130, 132))
    draw = ImageDraw.Draw(image)
    blue, red, white, black = (22, 62, 140), (178, 26, 32), (236, 236, 232), (20, 20, 22)
    if kind == 0:
        draw.rectangle((4, 4, 252, 252), fill=blue, outline=white, width=8)
        draw.polygon([(128, 40), (224, 216), (32, 216)], fill=white)
        draw.ellipse((117, 82, 139, 104), fill=black)
        draw.line([(128, 104), (126, 150), (106, 196)], fill=black, width=12)
        draw.line([(126, 150), (150, 194)], fill=black, width=12)
        draw.line([(102, 132), (128, 116), (154, 138)], fill=black, width=9)
    elif kind == 1:
        draw.ellipse((4, 4, 252, 252), fill=red, outline=white, width=6)
        draw.rectangle((44, 106, 212, 150), fill=white)
    elif kind == 2:
        draw.ellipse((4, 4, 252, 252), fill=blue, outline=red, width=26)
        draw.line([(46, 46), (210, 210)], fill=red, width=26)
    elif kind == 3:
        draw.polygon([(128, 10), (250, 236), (6, 236)], fill=red)
        draw.polygon([(128, 60), (206, 210), (50, 210)], fill=white)
        draw.rectangle((119, 100, 137, 166), fill=black)
        draw.ellipse((118, 178, 138, 198), fill=black)
    elif kind == 4:
        draw.rectangle((4, 4, 252, 252), fill=blue, outline=white, width=8)
        draw.text((128, 128), "P", fill=white, font=ImageFont.load_default(210), anchor="mm")
    else:
        draw.rectangle((0, 80, 256, 176), fill=(28, 66, 52), outline=white, width=6)
        draw.text((128, 128), "HIGH STREET", fill=white, font=ImageFont.load_default(36), anchor="mm")
    return np.asarray(image)


def number_plate(rng: np.random.Generator) -> str:
    """A made-up registration.

    Args:
        rng: source of letters and digits.
    """
    letters = [chr(65 + int(index)) for index in rng.integers(0, 26, 4)]
    return f"{letters[0]}{letters[1]} {rng.integers(10, 99)} {letters[2]}{letters[3]}"


def striped(colors: Sequence[surfaces.Rgb], size: int = 64) -> np.ndarray:
    """Even stripes across the texture, repeating.

    Args:
        colors: sRGB of each stripe, 0 ... 1.
        size: side in pixels.
    """
    column = np.arange(size) * len(colors) // size
    return surfaces.finish(np.broadcast_to(np.asarray(colors, float)[column], (size, size, 3)))


def _bytes(color: ArrayLike) -> tuple[int, int, int]:
    red, green, blue = (round(255 * float(value)) for value in np.asarray(color))
    return red, green, blue
