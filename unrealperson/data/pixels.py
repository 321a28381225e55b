"""Loops over the pixels of one image: resize as Pillow does, mirror, shift and erase.

Rows are taken as bytes, since loops over those become vector instructions and loops over channels do not.
"""

from __future__ import annotations

import numpy as np

from unrealperson.compiled import compiled

_BITS = 22
"""Of a weight's fraction, as in Pillow."""
_HALF = 1 << (_BITS - 1)


@compiled
def resize(out: np.ndarray, image: np.ndarray) -> None:
    """Bilinear and, where the image gets smaller, anti-aliased: Pillow's BILINEAR.

    Rounded after each direction, as there; the one that leaves fewer pixels to the other goes first. Pillow before 13
    always began with the columns: its pixels may differ by one.

    Args:
        out: [height, width, 3] uint8, filled.
        image: [h, w, 3] uint8, contiguous.
    """
    rows, columns, _ = out.shape
    h, w, _ = image.shape
    if h == rows and w == columns:
        _copy(out.reshape(-1), image.reshape(-1))
        return
    for step in range(2):
        by_rows = (h > rows) == (step == 0)
        target = out
        if step == 0:
            target = np.empty((rows, w, 3) if by_rows else (h, columns, 3), np.uint8)
        if by_rows:
            _resize_rows(target, image)
        else:
            _resize_columns(target, image)
        image = target


@compiled
def place(
    out: np.ndarray, image: np.ndarray, mirrored: bool, shift: np.ndarray, erased: np.ndarray, color: tuple
) -> None:
    """Mirrors, then shifts on black, then erases a box.

    Args:
        out: [h, w, 3] uint8, filled.
        image: [h, w, 3] uint8, contiguous.
        mirrored: whether.
        shift: [2] int pixels down and right.
        erased: [4] int top, left, bottom, right of a box in the image; empty for none.
        color: three values 0 ... 255 for the box.
    """
    h, w, _ = image.shape
    down, right = shift
    left, end = min(max(right, 0), w), max(min(w + right, w), 0)
    n = max(end - left, 0)
    skipped = max(right, 0) if mirrored else max(-right, 0)
    for y in range(h):
        line = out[y].reshape(-1)
        if n == 0 or y < down or y - down >= h:
            line[:] = 0
            continue
        _blacken(line[: 3 * left])
        _blacken(line[3 * end :])
        kept, source = line[3 * left : 3 * end], image[y - down].reshape(-1)[3 * skipped : 3 * (skipped + n)]
        if mirrored:
            for x in range(n):
                kept[3 * x] = source[3 * (n - 1 - x)]
                kept[3 * x + 1] = source[3 * (n - 1 - x) + 1]
                kept[3 * x + 2] = source[3 * (n - 1 - x) + 2]
        else:
            _copy(kept, source)
    for y in range(erased[0], erased[2]):
        for x in range(erased[1], erased[3]):
            out[y, x, 0], out[y, x, 1], out[y, x, 2] = color


@compiled
def _copy(out: np.ndarray, values: np.ndarray) -> None:
    for index in range(len(values)):
        out[index] = values[index]


@compiled
def _blacken(out: np.ndarray) -> None:
    for index in range(len(out)):
        out[index] = 0


@compiled
def _weights(size: int, result: int) -> tuple[np.ndarray, np.ndarray]:
    """[result] int64 first pixel that each output takes, [taps, result] int64 weight of it and of those after it."""
    scale = size / result
    reach = max(scale, 1.0)
    weights = np.zeros((2 * int(np.ceil(reach)) + 1, result), np.int64)
    first = np.empty(result, np.int64)
    near = np.empty(len(weights))
    taps = 0
    for index in range(result):
        center = (index + 0.5) * scale
        first[index] = max(int(center - reach + 0.5), 0)
        count = min(int(center + reach + 0.5), size) - first[index]
        total = 0.0
        for tap in range(count):
            near[tap] = max(1 - abs((first[index] + tap - center + 0.5) / reach), 0.0)
            total += near[tap]
        for tap in range(count):
            weights[tap, index] = int(near[tap] / total * (1 << _BITS) + 0.5)
        taps = max(taps, count)
    return first, weights[:taps]


@compiled
def _resize_rows(out: np.ndarray, image: np.ndarray) -> None:
    height, width, _ = image.shape
    first, weights = _weights(height, len(out))
    lines, results = image.reshape(height, 3 * width), out.reshape(len(out), 3 * width)
    total = np.empty(3 * width, np.int32)
    for y in range(len(out)):
        for x in range(3 * width):
            total[x] = _HALF
        for tap in range(min(len(weights), height - first[y])):
            weight, line = np.int32(weights[tap, y]), lines[first[y] + tap]
            for x in range(3 * width):
                total[x] += np.int32(line[x]) * weight
        result = results[y]
        for x in range(3 * width):
            result[x] = total[x] >> _BITS


@compiled
def _resize_columns(out: np.ndarray, image: np.ndarray) -> None:
    # A product has 30 bits, so that one multiplication of 64 bits does red and green.
    height, width, _ = image.shape
    columns = out.shape[1]
    first, weights = _weights(width, columns)
    lines, results = image.reshape(height, 3 * width), out.reshape(height, 3 * columns)
    pair, blue = np.zeros((2, width + len(weights)), np.int64)
    pairs, blues = np.empty((2, columns), np.int64)
    for y in range(height):
        line, result = lines[y], results[y]
        for x in range(width):
            pair[x] = np.int64(line[3 * x]) | np.int64(line[3 * x + 1]) << 32
            blue[x] = line[3 * x + 2]
        for x in range(columns):
            pairs[x] = _HALF | _HALF << 32
            blues[x] = _HALF
        for tap in range(len(weights)):
            weight, near_pair, near_blue = weights[tap], pair[tap:], blue[tap:]
            for x in range(columns):
                pairs[x] += near_pair[first[x]] * weight[x]
                blues[x] += near_blue[first[x]] * weight[x]
        for x in range(columns):
            result[3 * x] = pairs[x] >> _BITS
            result[3 * x + 1] = pairs[x] >> (32 + _BITS)
            result[3 * x + 2] = blues[x] >> _BITS
