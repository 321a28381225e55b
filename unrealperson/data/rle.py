"""Masks as COCO's compressed run lengths: the text that pycocotools reads and writes."""

from __future__ import annotations

import numpy as np

_BITS, _MORE, _FIRST_CHARACTER = 5, 32, 48


def encode_mask(
    mask: np.ndarray,  # [H, W] bool
) -> str:
    """Compresses a mask.

    Args:
        mask: [H, W] bool.

    Returns:
        The `counts` of COCO's run-length encoding; its `size` is [H, W].

    Raises:
        ValueError: wrong shape.

    Source: run lengths column after column, starting with zeros, from the fourth on as the difference from the one
        two before, in groups of 5 bits from the lowest, bit 6 marking that more follow; the characters from "0" on.
    """
    if mask.ndim != 2:
        raise ValueError(f"mask must be bool [H, W], got {list(mask.shape)}")
    flat = np.asarray(mask, dtype=bool).T.ravel()
    edges = np.flatnonzero(flat[1:] != flat[:-1]) + 1
    runs = np.diff(np.concatenate([[0] if len(flat) and flat[0] else [], [0], edges, [len(flat)]])).astype(np.int64)
    changes = runs.copy()
    changes[3:] -= runs[1:-2]
    text = bytearray()
    for change in changes.tolist():
        while True:
            group = change & (_MORE - 1)
            change >>= _BITS
            done = change == (-1 if group & (_MORE >> 1) else 0)
            text.append(_FIRST_CHARACTER + (group if done else group | _MORE))
            if done:
                break
    return text.decode("ascii")


def decode_mask(counts: str, height: int, width: int) -> np.ndarray:
    """Reads what `encode_mask` wrote.

    Args:
        counts: compressed run lengths.
        height: H.
        width: W.

    Returns:
        [H, W] bool.

    Raises:
        ValueError: text that is no such encoding, or of another size.
    """
    runs: list[int] = []
    value = shift = 0
    for character in counts.encode():
        group = character - _FIRST_CHARACTER
        if not 0 <= group < 2 * _MORE or shift > 60:
            raise ValueError(f"counts must be COCO's compressed run lengths, got {counts[:40]!r}")
        value |= (group & (_MORE - 1)) << shift
        shift += _BITS
        if group & _MORE:
            continue
        if group & (_MORE >> 1):
            value -= 1 << shift
        runs.append(value + (runs[-2] if len(runs) > 2 else 0))
        value = shift = 0
    if shift or min(runs, default=0) < 0 or sum(runs) != height * width:
        raise ValueError(f"counts must cover {height} x {width} pixels, got {counts[:40]!r}")
    flat = np.repeat(np.arange(len(runs)) % 2 == 1, runs)
    return flat.reshape(width, height).T
