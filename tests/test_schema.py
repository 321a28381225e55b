from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from unrealperson.schema import Features, Ranking, camera_key, person_key


def features(n: int = 3) -> Features:
    ids = np.arange(n, dtype=np.int64)
    return Features(np.ones((n, 4), np.float32), ids, ids + 10, ids + 20, tuple(f"{i}.jpg" for i in range(n)))


def test_keys_do_not_collide_between_folders() -> None:
    keys = {person_key(version, person) for version in (1, 2, 3) for person in range(0, 7000, 100)}
    assert len(keys) == 3 * 70
    assert person_key(2, 17) == 2_000_017 and camera_key(3, 8) == 3_008


@pytest.mark.parametrize(
    "call", [lambda: person_key(1, 1_000_000), lambda: person_key(1, -1), lambda: camera_key(1, 1000)]
)
def test_keys_out_of_range(call) -> None:
    with pytest.raises(ValueError, match="must lie in"):
        call()


def test_features_survive_the_disk(tmp_path: Path) -> None:
    features().save(tmp_path / "f.npz")
    loaded = Features.load(tmp_path / "f.npz")
    for name in ("vectors", "pid", "camid", "frame"):
        np.testing.assert_array_equal(getattr(loaded, name), getattr(features(), name))
    assert loaded.path == ("0.jpg", "1.jpg", "2.jpg")
    assert [path.name for path in tmp_path.iterdir()] == ["f.npz"]


def test_features_are_chosen_like_an_array() -> None:
    chosen = features()[np.array([True, False, True])]
    assert chosen.path == ("0.jpg", "2.jpg") and chosen.pid.tolist() == [0, 2]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"vectors": np.ones((3, 4))}, r"vectors must be float32 \[n, d\], got float64 \[3, 4\]"),
        ({"pid": np.zeros(2, np.int64)}, r"pid must be int64 \[3\], got int64 \[2\]"),
        ({"path": ("a",)}, "path must hold 3 names, got 1"),
    ],
)
def test_features_are_checked(change: dict, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        Features(**{**features().__dict__, **change})


def test_features_of_another_version_are_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "f.npz", version=99, vectors=np.ones((1, 1), np.float32))
    with pytest.raises(ValueError, match="format version 99; this release reads 1"):
        Features.load(tmp_path / "f.npz")


def test_ranking_is_checked() -> None:
    with pytest.raises(ValueError, match=r"distance must be float32 \[1, 2\]"):
        Ranking(np.zeros((1, 2), np.int64), np.zeros((1, 3), np.float32))
