"""Filters, draws, splits, merged sets, and the check of a folder."""

from __future__ import annotations

import hashlib
import json
import logging
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unrealperson.data.check import check, statistics
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.data.subsets import draw, draw_queries, merge, split_identities, where, write_set


def make_set(folder: Path, *, people: int = 5, cameras: int = 2, shots: int = 3, **columns: Any) -> Manifest:
    """People before cameras; every image another colour."""
    rows = []
    images = folder / "unreal_v1.1" / "images"
    images.mkdir(parents=True)
    for person in range(1, people + 1):
        for camera in range(1, cameras + 1):
            for frame in range(shots):
                name = f"{person:04d}_c{camera:03d}_{frame:06d}.jpg"
                Image.new("RGB", (6, 9), (40 * person, 100 * camera, 80 * frame)).save(images / name)
                row = {"path": f"unreal_v1.1/images/{name}", "pid": 1_000_000 + person, "camid": 1_000 + camera}
                row |= {"width": 6, "height": 9, "frame": frame, "visibility": person / 10, "hours": "day"}
                row |= {"attributes": json.dumps({"gender": "female" if person % 2 else "male", "age": 20 + person})}
                row |= {"sha256": hashlib.sha256((images / name).read_bytes()).hexdigest()}
                rows.append(row | columns)
    manifest = Manifest.from_rows(rows, folder)
    manifest.write()
    return manifest


def people(manifest: Manifest) -> list[int]:
    return [pid - 1_000_000 for pid in manifest.identities.tolist()]


@pytest.mark.parametrize(
    ("conditions", "expected"),
    [
        ([], [1, 2, 3, 4, 5]),
        (["gender=female"], [1, 3, 5]),
        (["gender != female"], [2, 4]),
        (["age>=23", "age<25"], [3, 4]),
        (["visibility>0.25"], [3, 4, 5]),
        (["visibility<=0.3", "gender=male"], [2]),
        (["pid=1000004"], [4]),
        (["hours=day", "split!=test"], [1, 2, 3, 4, 5]),
        (["hours=night"], []),
        (["distance_m>0"], []),
        (["distance_m!=3"], [1, 2, 3, 4, 5]),
    ],
)
def test_conditions(tmp_path: Path, conditions: list[str], expected: list[int]) -> None:
    assert people(where(make_set(tmp_path), conditions)) == expected


@pytest.mark.parametrize(
    ("condition", "message"),
    [
        ("gender", "must be NAME=VALUE"),
        ("colour=red", r"no column or attribute 'colour'; columns are path, .*; attributes are age, gender"),
        ("visibility>much", "'visibility>much' must compare numbers, got 'much'"),
        ("gender>1", "gender 'female' must compare numbers"),
    ],
)
def test_bad_conditions(tmp_path: Path, condition: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        where(make_set(tmp_path), [condition])


def test_draw_is_seeded_and_nested(tmp_path: Path) -> None:
    manifest = make_set(tmp_path, people=8)
    one = draw(manifest, identities=3, per_identity=2, seed=5)
    assert one.path == draw(manifest, identities=3, per_identity=2, seed=5).path
    assert len(one) == 6 and len(one.identities) == 3
    assert set(one.path) < set(draw(manifest, identities=3, per_identity=4, seed=5).path)
    assert set(people(one)) < set(people(draw(manifest, identities=5, seed=5)))
    assert list(one.path) == sorted(one.path), "rows keep their order"
    assert len({tuple(people(draw(manifest, identities=3, seed=seed))) for seed in range(6)}) > 1
    assert draw(manifest).table == manifest.table
    with pytest.raises(ValueError, match="9 identities are wanted, 8 are there"):
        draw(manifest, identities=9)
    with pytest.raises(ValueError, match="must be 0 or more"):
        draw(manifest, per_identity=-1)


def test_split_by_identity(tmp_path: Path) -> None:
    manifest = split_identities(make_set(tmp_path), 2, seed=1)
    test, train = (set(manifest.pid[manifest.split == name].tolist()) for name in ("test", "train"))
    assert len(test) == 2 and len(train) == 3 and not test & train
    for wrong in (0, 5):
        with pytest.raises(ValueError, match=r"test must lie in 1 ... 4 identities"):
            split_identities(manifest, wrong)


def test_queries(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    manifest = make_set(tmp_path)
    camid = manifest.camid.copy()
    camid[:6] = 1_001  # the first person is seen by one camera
    drawn = draw_queries(manifest.replaced("camid", camid), seed=3)
    rows = np.flatnonzero(drawn.split == "query")
    pairs = list(zip(drawn.pid[rows].tolist(), drawn.camid[rows].tolist(), strict=True))
    assert sorted(pairs) == [(1_000_000 + person, camera) for person in (2, 3, 4, 5) for camera in (1_001, 1_002)]
    assert set(drawn.split) == {"query", "gallery"}
    assert (draw_queries(manifest, seed=3).split == draw_queries(manifest, seed=3).split).all()
    unseen = manifest.replaced("camid", np.full(len(manifest), -1))
    with caplog.at_level(logging.WARNING, "unrealperson"):
        assert (draw_queries(unseen).split == "query").sum() == 5
    assert "no camera is known" in caplog.text
    with pytest.raises(ValueError, match="nobody can be a query"):
        draw_queries(manifest.replaced("camid", np.full(len(manifest), 7)))


def test_merge_keeps_strangers_apart(tmp_path: Path) -> None:
    one, two = make_set(tmp_path / "a", people=2), make_set(tmp_path / "b", people=3)
    both = merge([one, two])
    assert len(both.identities) == 5 and len(both.cameras) == 4
    written = write_set(both, tmp_path / "both")
    assert check(written).healthy and len(written) == 30
    assert {path.split("/")[0] for path in written.path} == {"a", "b"}, "their paths are alike"


def test_merge_knows_the_same_people_again(tmp_path: Path) -> None:
    def recipe(**changes: Any) -> str:
        return json.dumps({"synth": {"seed": 3, "colors": "wardrobe", "hours": "day"} | changes, "crop": {}})

    one = make_set(tmp_path / "a", people=2, recipe=recipe())
    night = make_set(tmp_path / "b", people=3, recipe=recipe(hours="night"))
    black = make_set(tmp_path / "c", people=2, recipe=recipe(colors="black"))
    assert len(merge([one, night]).identities) == 3
    assert len(merge([one, night, black]).identities) == 5
    both = merge([one, black]).replaced("recipe", [None] * len(one) + [None] * len(black))
    assert len(merge([both, make_set(tmp_path / "d", people=2)]).identities) == 6, "merged once more"
    far = night.replaced("pid", np.full(len(night), 2**63 - 1))
    with pytest.raises(ValueError, match="can be merged"):
        merge([one, far.replaced("recipe", [None] * len(far))])
    with pytest.raises(ValueError, match="at least one"):
        merge([])


def test_written_part_is_a_set(tmp_path: Path) -> None:
    manifest = make_set(tmp_path / "all")
    part = write_set(where(manifest, ["age=23"]), tmp_path / "part")
    assert part.table == Manifest.read(tmp_path / "part").table == read_images(tmp_path / "part").table
    assert len(part) == 6 and check(part).healthy
    with pytest.raises(ValueError, match="exists; choose another folder"):
        write_set(manifest, tmp_path / "part")
    with pytest.raises(ValueError, match="no row is left"):
        write_set(where(manifest, ["age=99"]), tmp_path / "none")
    manifest.image_path(4).unlink()
    with pytest.raises(ValueError, match="there is no image"):
        write_set(manifest, tmp_path / "broken")
    assert not (tmp_path / "broken").exists()


def test_check_finds_what_is_wrong(tmp_path: Path) -> None:
    manifest = make_set(tmp_path)
    paths = [manifest.image_path(row) for row in range(5)]
    assert check(manifest).healthy
    paths[0].unlink()
    paths[1].write_bytes(paths[1].read_bytes()[:200])
    paths[2].write_bytes(paths[3].read_bytes())
    found = check(manifest)
    assert not found.healthy
    assert (found.missing, found.damaged, found.changed) == ([manifest.path[0]], [manifest.path[1]], [manifest.path[2]])
    assert found.duplicates == [[manifest.path[2], manifest.path[3]]]
    other = check(manifest.select([4]).replaced("width", [7]))
    assert other.damaged == [manifest.path[4]]


def test_statistics(tmp_path: Path) -> None:
    numbers = statistics(make_set(tmp_path).replaced("split", ["train"] * 20 + [None] * 10))
    assert (numbers["images"], numbers["identities"], numbers["cameras"]) == (30, 5, 2)
    assert numbers["images per identity"] == "6 ... 6, median 6"
    assert numbers["visibility"] == "0.1 ... 0.5, median 0.3"
    assert numbers["split train"] == 20 and numbers["split unknown"] == 10
    unknown = Manifest.from_rows([{"path": "a.jpg"}], tmp_path)
    assert statistics(unknown)["images per identity"] == "unknown"
    assert statistics(unknown)["images without camera"] == 1


@pytest.mark.parametrize("name", ["cuhk03_100", "two_camera_74"])
def test_real_sets(shared: Path, name: str) -> None:
    manifest = read_images(shared / "real" / name)
    found = check(manifest)
    assert found.healthy and found.statistics["cameras"] == 2
    assert found.statistics["identities"] == int(name.rpartition("_")[2])
    drawn = draw_queries(manifest)
    assert len(np.unique(drawn.pid[drawn.split == "query"])) == len(manifest.identities)
