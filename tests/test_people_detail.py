from __future__ import annotations

import time

import numpy as np
import pytest

from unrealperson.synth.people import detail
from unrealperson.synth.people.detail import make_levels
from unrealperson.synth.people.person import Person, make_person
from unrealperson.synth.people.sheets import SLOTS


@pytest.fixture(scope="module")
def people() -> list[Person]:
    return [make_person(3, 2, number) for number in range(4)]


def _grid(rows: int, *, seam: bool) -> tuple[np.ndarray, ...]:
    """A flat square of rows x rows cells; with a seam, two charts meet in its middle column."""
    x, y = np.meshgrid(np.arange(rows + 1), np.arange(rows + 1), indexing="ij")
    positions = np.stack([x, y, 0 * x], -1).reshape(-1, 3).astype(np.float32)
    uv = positions[:, :2] / rows
    corner = np.arange((rows + 1) ** 2).reshape(rows + 1, rows + 1)
    a, b, c, d = (part.reshape(-1) for part in (corner[:-1, :-1], corner[1:, :-1], corner[1:, 1:], corner[:-1, 1:]))
    faces = np.concatenate([np.stack([a, b, c], 1), np.stack([a, c, d], 1)])
    if seam:
        middle = np.flatnonzero(positions[:, 0] == rows // 2)
        twin = np.arange(len(positions))
        twin[middle] = len(positions) + np.arange(len(middle))
        right = positions[faces, 0].mean(1) > rows // 2
        faces[right] = twin[faces[right]]
        positions, uv = np.concatenate([positions, positions[middle]]), np.concatenate([uv, 1 - uv[middle]])
    return positions, uv.astype(np.float32), faces.astype(np.uint32)


def _area(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    corner = positions[faces].astype(np.float64)
    return 0.5 * np.cross(corner[:, 1] - corner[:, 0], corner[:, 2] - corner[:, 0])


def _open_edges(positions: np.ndarray, faces: np.ndarray) -> np.ndarray:
    """Places of the two ends of the edges that one triangle alone has."""
    place = np.unique(positions, axis=0, return_inverse=True)[1].reshape(-1)[faces]
    edges = np.sort(np.concatenate([place[:, [0, 1]], place[:, [1, 2]], place[:, [2, 0]]]), 1)
    pairs, count = np.unique(edges, axis=0, return_counts=True)
    return pairs[count == 1]


@pytest.mark.parametrize("seam", [False, True])
def test_a_flat_square_keeps_area_outline_and_seam(seam):
    positions, uv, faces = _grid(16, seam=seam)
    order, levels = make_levels(positions, uv, faces, np.zeros(len(faces), np.uint8))
    positions, uv = positions[order], uv[order]
    for share, level in zip(detail.SHARES, levels, strict=True):
        assert len(level.faces) <= max(share * len(faces), 2) and level.faces.max() < level.vertices
        area = _area(positions, level.faces)
        assert (area[:, 2] > 0).all() and area[:, 2].sum() == pytest.approx(256)
        ends = np.unique(positions, axis=0)[_open_edges(positions, level.faces)]
        assert np.abs(ends[:, 0] - ends[:, 1]).sum() == pytest.approx(64)
        if seam:
            beside = (positions[level.faces, 0] >= 8).all(1)
            assert (beside | (positions[level.faces, 0] <= 8).all(1)).all()
            left, right = (set(level.faces[side].ravel().tolist()) for side in (~beside, beside))
            assert not left & right


def test_levels_share_vertices_and_keep_slots_and_seams(people: list[Person]):
    for person in people:
        assert person.levels[0].faces is person.faces and person.levels[0].slots is person.slots
        assert person.levels[0].vertices == len(person.positions) <= 20_000
        place = np.unique(person.positions, axis=0, return_inverse=True)[1].reshape(-1)
        slot_of = np.zeros(len(person.positions), np.uint8)
        slot_of[person.faces] = person.slots[:, None]
        open_of = []
        for share, level in zip(detail.SHARES, person.levels, strict=True):
            assert 0.9 * share <= len(level.faces) / len(person.faces) <= share
            assert np.array_equal(np.unique(level.faces), np.arange(level.vertices))
            assert np.array_equal(slot_of[level.faces], np.repeat(level.slots[:, None], 3, 1))
            corner = place[level.faces]
            assert level is person.levels[0] or (corner != np.roll(corner, 1, 1)).all()
            open_of.append(len(_open_edges(person.positions, level.faces)))
        assert open_of[0] > open_of[1] > open_of[2]
        worn = {SLOTS[number] for number in np.unique(person.slots)}
        assert {"skin", "eyes", "top", "shoes"} <= worn
        # Nothing that is large vanishes.
        assert {SLOTS[number] for number in np.unique(person.levels[2].slots)} >= worn - {"eyes", "glasses", "headwear"}


def test_levels_lie_on_the_full_surface(people: list[Person]):
    for person in people:
        whole = np.abs(_area(person.positions, person.faces[person.slots != SLOTS.index("hair")])).sum(0)
        for level, least in ((person.levels[1], 0.98), (person.levels[2], 0.9)):
            shown = np.abs(_area(person.positions, level.faces[level.slots != SLOTS.index("hair")])).sum(0)
            assert (shown / whole > least).all() and (shown / whole < 1.01).all()


def test_levels_are_quick_and_the_same_each_time(people: list[Person]):
    person = people[0]
    mesh = person.positions, person.uv, person.faces, person.slots
    spent = []
    for _ in range(3):
        start = time.process_time()
        order, levels = make_levels(*mesh)
        spent.append(time.process_time() - start)
    assert min(spent) < 0.15
    again, others = make_levels(*mesh)
    assert np.array_equal(order, again)
    assert all(np.array_equal(a.faces, b.faces) for a, b in zip(levels, others, strict=True))
