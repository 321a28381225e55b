"""Instance masks: flat colours that say which pixels are whose."""

from __future__ import annotations

import numpy as np

from unrealperson.compiled import compiled

TOLERANCE = 3
"""A pixel belongs to a person if each channel is within this of the person's colour."""

# Colours within a tolerance of at most 7 of a person's span at most two cells of 16 per channel, so a
# person is listed in at most 8 of the 16**3 cells and a pixel is compared with one cell's people only.
_CELL_BITS = 4
_CELLS = 1 << (3 * (8 - _CELL_BITS))

# Masks are large areas of one colour: inside one, eight pixels at once are compared as three words of 64 bits.
_BLOCK = 8


def measure_people(
    mask: np.ndarray,  # [H, W, 3] or [H, W, 4] uint8
    colors: np.ndarray,  # [n, 3] uint8
    *,
    tolerance: int = TOLERANCE,
) -> np.ndarray:
    """Counts the pixels of many mask colours and finds their extents in one pass.

    A pixel within the tolerance of several colours counts for each of them, as in the original.

    Args:
        mask: [H, W, 3] or [H, W, 4] uint8 instance mask; alpha is ignored.
        colors: [n, 3] uint8 mask colour of each person.
        tolerance: greatest difference per channel, 0 ... 7.

    Returns:
        [n, 5] int64: pixels, then left, top, right, bottom of the outermost pixels (inclusive). Where pixels
        is 0 the extents mean nothing.

    Raises:
        ValueError: wrong shape, type or range.
    """
    check_image(mask, "mask")
    if colors.ndim != 2 or colors.shape[1] != 3 or colors.dtype != np.uint8:
        raise ValueError(f"colors must be uint8 [n, 3], got {colors.dtype} {list(colors.shape)}")
    _check_tolerance(tolerance)
    flat = np.ascontiguousarray(mask[:, :, :3]).reshape(-1)
    words = flat[: flat.size - flat.size % (3 * _BLOCK)].view("<u8")
    colors = np.ascontiguousarray(colors).view()
    # Read-only, contiguous views: one compiled version serves every caller.
    flat.flags.writeable = words.flags.writeable = colors.flags.writeable = False
    return _measure(flat, words, mask.shape[1], colors, tolerance)


def own_pixels(
    mask: np.ndarray,  # [H, W, 3] or [H, W, 4] uint8
    color: tuple[int, int, int],
    *,
    tolerance: int = TOLERANCE,
) -> np.ndarray:
    """The pixels of one colour.

    Args:
        mask: [H, W, 3] or [H, W, 4] uint8 instance mask or a part of it; alpha is ignored.
        color: mask colour, 0 ... 255 per channel.
        tolerance: greatest difference per channel, 0 ... 7.

    Returns:
        [H, W] bool.

    Raises:
        ValueError: wrong shape, type or range.
    """
    check_image(mask, "mask")
    _check_tolerance(tolerance)
    mask = mask.view()
    mask.flags.writeable = False
    return _own_pixels(mask, *map(int, color), tolerance)


def check_image(image: np.ndarray, name: str) -> None:
    """Refuses what is no colour image of bytes.

    Args:
        image: should be [H, W, 3] or [H, W, 4] uint8.
        name: what the message calls it.

    Raises:
        ValueError: wrong shape or type.
    """
    if image.ndim != 3 or image.shape[2] not in (3, 4) or image.dtype != np.uint8:
        raise ValueError(f"{name} must be uint8 [H, W, 3] or [H, W, 4], got {image.dtype} {list(image.shape)}")


def _check_tolerance(tolerance: int) -> None:
    if not 0 <= tolerance <= 7:
        raise ValueError(f"tolerance must lie in 0 ... 7, got {tolerance}")


@compiled
def _own_pixels(mask, r, g, b, tolerance):  # uint8 [H, W, 3 or 4], int64 ... -> bool [H, W]
    height, width = mask.shape[0], mask.shape[1]
    own = np.empty((height, width), np.bool_)
    for y in range(height):
        for x in range(width):
            # Without a branch: four times as fast.
            own[y, x] = (
                (abs(np.int32(mask[y, x, 0]) - r) <= tolerance)
                & (abs(np.int32(mask[y, x, 1]) - g) <= tolerance)
                & (abs(np.int32(mask[y, x, 2]) - b) <= tolerance)
            )
    return own


@compiled
def _measure(flat, words, width, colors, tolerance):  # uint8 [3 HW], its uint64, int, uint8 [n, 3], int -> int64 [n, 5]
    pixels, blocks = len(flat) // 3, len(words) // 3
    start, listed = _list_by_cell(colors, tolerance)
    result = np.zeros((len(colors), 5), np.int64)
    at = 0
    while at < pixels:
        first = at
        r, g, b = flat[3 * at], flat[3 * at + 1], flat[3 * at + 2]
        at = _end_of_run(flat, first + 1, min(first - first % _BLOCK + _BLOCK, pixels), r, g, b)
        if at % _BLOCK == 0:
            low, middle, high = _block_of(r, g, b)
            block = at // _BLOCK
            while (
                block < blocks
                and words[3 * block] == low
                and words[3 * block + 1] == middle
                and words[3 * block + 2] == high
            ):
                block += 1
            at = _end_of_run(flat, _BLOCK * block, pixels, r, g, b)
        cell = _cell(r, g, b)
        for entry in range(start[cell], start[cell + 1]):
            person = listed[entry]
            if (
                abs(np.int64(r) - colors[person, 0]) <= tolerance
                and abs(np.int64(g) - colors[person, 1]) <= tolerance
                and abs(np.int64(b) - colors[person, 2]) <= tolerance
            ):
                _add_run(result[person], first, at, width)
    return result


@compiled
def _end_of_run(flat, at, end, r, g, b):
    while at < end and flat[3 * at] == r and flat[3 * at + 1] == g and flat[3 * at + 2] == b:
        at += 1
    return at


@compiled
def _block_of(r, g, b):  # the three words, lowest byte first, of eight pixels of one colour
    color = np.uint64(r) | np.uint64(g) << np.uint64(8) | np.uint64(b) << np.uint64(16)
    pair = color | color << np.uint64(24)
    low = pair | color << np.uint64(48)
    middle = color >> np.uint64(16) | pair << np.uint64(8) | color << np.uint64(56)
    return low, middle, color >> np.uint64(8) | pair << np.uint64(16)


@compiled
def _add_run(
    row, first, end, width
):  # flat pixels first ... end - 1; a run that goes on in the next line holds both edges
    top, bottom = first // width, (end - 1) // width
    left, right = (0, width - 1) if bottom > top else (first - top * width, end - 1 - top * width)
    if row[0] == 0:
        row[1], row[2], row[3] = left, top, right
    row[0] += end - first
    row[1] = min(row[1], left)
    row[3] = max(row[3], right)
    row[4] = bottom


@compiled
def _list_by_cell(colors, tolerance):  # people of cell c: listed[start[c]:start[c + 1]]
    start = np.zeros(_CELLS + 1, np.int32)
    listed = np.empty(8 * len(colors), np.int32)
    low, high = np.empty(3, np.int64), np.empty(3, np.int64)
    for fill in (False, True):
        for person in range(len(colors)):
            for channel in range(3):
                low[channel] = max(np.int64(colors[person, channel]) - tolerance, 0) >> _CELL_BITS
                high[channel] = min(np.int64(colors[person, channel]) + tolerance, 255) >> _CELL_BITS
            for r in range(low[0], high[0] + 1):
                for g in range(low[1], high[1] + 1):
                    for b in range(low[2], high[2] + 1):
                        cell = (r << (2 * (8 - _CELL_BITS))) | (g << (8 - _CELL_BITS)) | b
                        if fill:
                            start[cell] -= 1
                            listed[start[cell]] = person
                        else:
                            start[cell] += 1
        if not fill:
            for cell in range(_CELLS):
                start[cell + 1] += start[cell]
    return start, listed


@compiled
def _cell(r, g, b):
    width = 8 - _CELL_BITS
    return (
        ((np.int64(r) >> _CELL_BITS) << (2 * width))
        | ((np.int64(g) >> _CELL_BITS) << width)
        | (np.int64(b) >> _CELL_BITS)
    )
