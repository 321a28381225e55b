"""Inputs that the tests of several operations share."""

from __future__ import annotations

import numpy as np

from unrealperson import ops

ISAS = [isa for isa in ("scalar", "avx2", "avx512") if isa in ops.build_info()["isa_supported"]]
"""Instruction sets that the fixture `isa` goes through."""


def whole_numbers(n: int, d: int, seed: int) -> np.ndarray:
    """Small integers, whose products and sums float32 holds exactly; full of ties."""
    return np.random.default_rng(seed).integers(-2, 3, (n, d)).astype(np.float32)


def misaligned(x: np.ndarray) -> np.ndarray:
    """A copy that starts one byte off."""
    raw = np.zeros(x.nbytes + 1, np.uint8)
    raw[1:] = np.frombuffer(x.tobytes(), np.uint8)
    return raw[1:].view(x.dtype).reshape(x.shape)


def read_only(x: np.ndarray) -> np.ndarray:
    """A copy that may not be written to."""
    x = x.copy()
    x.flags.writeable = False
    return x
