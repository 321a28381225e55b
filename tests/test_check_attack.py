"""A short part of soak/attack.py: every target takes its good inputs, and refuses damaged ones as documented.

The port and the service have tests of their own: test_synth_fuzz.py, test_check_serve.py.
"""

from __future__ import annotations

import logging
from pathlib import Path

import numpy as np
import pytest
from targets import DOCUMENTED, TARGETS

pytestmark = pytest.mark.check

DAMAGED = 60


def damaged(rng: np.random.Generator, seeds: list[bytes]) -> bytes:
    """One of the inputs, cut, spliced with another or with some bytes changed."""
    content = bytearray(seeds[rng.integers(len(seeds))])
    way = rng.integers(4)
    if way == 0:
        return bytes(content[: rng.integers(len(content) + 1)])
    if way == 1:
        other = seeds[rng.integers(len(seeds))]
        return bytes(content[: rng.integers(len(content) + 1)] + other[rng.integers(len(other) + 1) :])
    for place in rng.integers(len(content), size=rng.integers(1, 5)):
        content[place] = rng.choice([rng.integers(256), 0, 255, ord("9"), ord("-"), ord("[")])
    return bytes(content)


@pytest.mark.parametrize("name", [name for name in TARGETS if name not in ("port", "service")])
def test_a_target(name: str, tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    logging.disable()
    try:
        seeds, attack = TARGETS[name](tmp_path)
        taken = 0
        for content in [*seeds, *(damaged(rng, seeds) for _ in range(DAMAGED))]:
            try:
                attack(content)
                taken += 1
            except DOCUMENTED as error:
                assert type(error) in DOCUMENTED, repr(error)
        assert taken >= 1
    finally:
        logging.disable(logging.NOTSET)
