"""Manifest: exact columns, checks, and what comes back from disk."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from unrealperson.data.manifest import COLUMNS, FILE_NAME, Manifest


def row(number: int, **other: Any) -> dict[str, Any]:
    values = {
        "path": f"unreal_v1.2/images/{number:04d}_c003_000007.jpg",
        "pid": 2_000_000 + number % 3,
        "camid": 1_003 + number % 2,
        "frame": 7,
        "left": 10,
        "top": 20,
        "right": 50,
        "bottom": 120,
        "width": 40,
        "height": 100,
        "pixels": 2500,
        "fill": 0.625,
        "split": "test" if number % 3 == 2 else "train",
        "sha256": "ab" * 32,
    }
    return values | other


@pytest.fixture
def manifest(tmp_path: Path) -> Manifest:
    return Manifest.from_rows([row(i) for i in range(6)], tmp_path)


def test_columns_are_the_format() -> None:
    assert (
        COLUMNS.names
        == (
            "path pid camid scene version person camera frame time_s left top right bottom width height pixels fill "
            "light yaw_deg distance_m split seed sha256 tight_box full_box unoccluded_pixels visibility keypoints mask "
            "attributes heading_deg speed_mps position_m hours camera_pose frame_width frame_height recipe made_on"
        ).split()
    )
    assert [str(COLUMNS.field(name).type) for name in ("path", "pid", "camid", "frame", "time_s", "left", "fill")] == [
        "string",
        "int64",
        "int64",
        "int64",
        "double",
        "int32",
        "float",
    ]


def test_properties(manifest: Manifest) -> None:
    assert len(manifest) == 6
    for name, expected in (
        ("pid", [2_000_000, 2_000_001, 2_000_002] * 2),
        ("camid", [1_003, 1_004] * 3),
        ("frame", [7] * 6),
    ):
        values = getattr(manifest, name)
        assert values.dtype == np.int64
        assert values.tolist() == expected
        assert not values.flags.writeable
    assert manifest.split.tolist() == ["train", "train", "test"] * 2
    assert manifest.identities.tolist() == [2_000_000, 2_000_001, 2_000_002]
    assert manifest.cameras.tolist() == [1_003, 1_004]
    assert manifest.path[1] == "unreal_v1.2/images/0001_c003_000007.jpg"
    assert manifest.image_path(1) == manifest.root / manifest.path[1]
    assert manifest.summary() == "6 images, 3 identities, 2 cameras (4 train, 2 test)"


def test_unknown_values(tmp_path: Path) -> None:
    manifest = Manifest.from_rows([{"path": "a.jpg"}, row(1, pid=None, yaw_deg=3.5)], tmp_path)
    assert manifest.pid.tolist() == [-1, -1]
    assert manifest.frame.tolist() == [-1, 7]
    assert manifest.column("seed").tolist() == [-1, -1]
    assert manifest.column("left").dtype == np.int32
    np.testing.assert_array_equal(manifest.column("yaw_deg"), np.float32([np.nan, 3.5]))
    assert manifest.split.tolist() == ["", "train"]
    assert manifest.table["seed"].null_count == 2
    assert manifest.identities.tolist() == []
    assert manifest.summary() == "2 images, 0 identities, 1 camera (1 train), 2 without identity"


@pytest.mark.parametrize("target", ["folder", "file", "elsewhere"])
def test_round_trip(manifest: Manifest, tmp_path: Path, target: str) -> None:
    written = manifest.write(tmp_path / "other" / "rows.parquet" if target == "elsewhere" else None)
    again = Manifest.read(tmp_path if target == "folder" else written)
    assert again.table == manifest.table
    assert again.root == written.parent
    assert again.sha256() == manifest.sha256()
    assert [path.name for path in written.parent.glob("*.partial")] == []


def test_writing_is_reproducible_and_atomic(
    manifest: Manifest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = manifest.write().read_bytes()
    assert manifest.write().read_bytes() == first

    def fail(table: pa.Table, path: Path, **settings: bool) -> None:
        Path(path).write_bytes(b"half")
        raise OSError("disk full")

    monkeypatch.setattr(pq, "write_table", fail)
    with pytest.raises(OSError, match="disk full"):
        manifest.select([0]).write()
    assert (tmp_path / FILE_NAME).read_bytes() == first


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([4, 0], [4, 0]),
        (np.array([True, False, False, False, False, True]), [0, 5]),
        (slice(1, None, 2), [1, 3, 5]),
        ([], []),
        (np.zeros(6, bool), []),
        ([-1], [5]),
    ],
)
def test_select(manifest: Manifest, rows: Any, expected: list[int]) -> None:
    chosen = manifest.select(rows)
    assert chosen.path == tuple(manifest.path[i] for i in expected)
    assert chosen.pid.tolist() == manifest.pid[expected].tolist()
    assert chosen.root == manifest.root


@pytest.mark.parametrize("rows", [[6], np.array([True, False]), np.array([0.5])])
def test_select_refuses(manifest: Manifest, rows: Any) -> None:
    with pytest.raises(ValueError, match="choose among 6 rows"):
        manifest.select(rows)


def test_concatenate(tmp_path: Path) -> None:
    parts = [Manifest.from_rows([row(0)], tmp_path / name) for name in ("a", "b/c")]
    whole = Manifest.concatenate(parts)
    assert whole.root == tmp_path
    assert [whole.image_path(i) for i in range(2)] == [part.image_path(0) for part in parts]
    assert whole.pid.tolist() == [2_000_000, 2_000_000]
    one_root = Manifest.concatenate([parts[0], Manifest.from_rows([row(1)], tmp_path / "a")])
    assert one_root.root == tmp_path / "a"
    with pytest.raises(ValueError, match=r"a path may occur in one row only, got 'unreal_v1.2/.*' in 2"):
        Manifest.concatenate([parts[0], parts[0]])
    with pytest.raises(ValueError, match="at least one manifest"):
        Manifest.concatenate([])


def test_hash_sees_content_only(manifest: Manifest, tmp_path: Path) -> None:
    rows = [row(i) for i in range(6)]
    assert Manifest.from_rows(rows, tmp_path / "elsewhere").sha256() == manifest.sha256()
    parts = [Manifest.from_rows(rows[:2], tmp_path), Manifest.from_rows(rows[2:], tmp_path)]
    assert Manifest.concatenate(parts).sha256() == manifest.sha256()
    others = [
        rows[::-1],
        rows[:5],
        [*rows[:5], row(5, yaw_deg=0.0)],
        [*rows[:5], row(5, split=None)],
        [*rows[:5], row(5, pid=3)],
        [*rows[:5], row(5, seed=0)],
    ]
    hashes = {Manifest.from_rows(other, tmp_path).sha256() for other in others}
    assert len(hashes | {manifest.sha256()}) == len(others) + 1


@settings(max_examples=40)
@given(
    st.lists(
        st.fixed_dictionaries(
            {"pid": st.integers(-1, 2**62), "camid": st.integers(-1, 999_999)},
            optional={
                "time_s": st.none() | st.floats(0, 1e9),
                "seed": st.none() | st.integers(-(2**63), 2**63 - 1),
                "split": st.sampled_from([None, "train", "query", "gallery", "test"]),
                "fill": st.floats(0, 1, width=32),
            },
        ),
        max_size=6,
    )
)
def test_any_rows_come_back(tmp_path_factory: pytest.TempPathFactory, rows: list[dict[str, Any]]) -> None:
    folder = tmp_path_factory.getbasetemp() / "any"
    rows = [{"path": f"{i}.jpg", **values} for i, values in enumerate(rows)]
    manifest = Manifest.from_rows(rows, folder)
    manifest.write()
    again = Manifest.read(folder)
    assert again.sha256() == manifest.sha256()
    for stored, values in zip(again.table.to_pylist(), rows, strict=True):
        assert {name: stored[name] for name in values} == values


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        ({"path": "/etc/a.jpg"}, "paths must stay below the manifest's folder, with forward slashes, got '/etc/a.jpg'"),
        ({"path": "../a.jpg"}, "paths must stay below"),
        ({"path": "a/../../b.jpg"}, "paths must stay below"),
        ({"path": "a\\b.jpg"}, "paths must stay below"),
        ({"path": ""}, "paths must stay below"),
        ({"path": None}, "manifest column path must have no null, got 1"),
        ({"path": row(0)["path"]}, "a path may occur in one row only"),
        ({"pid": -2}, "pid must be at least -1, got -2"),
        ({"camid": -7}, "camid must be at least -1, got -7"),
        ({"width": 0}, "width must be at least 1, got 0"),
        ({"left": 50}, "boxes are half-open, so left must be less than right"),
        ({"bottom": 3}, "so top must be less than bottom"),
        ({"split": "val"}, "split must be one of train, query, gallery, test or null, got 'val'"),
        ({"pid": "one"}, "manifest column pid must be int64"),
        ({"scene": 2**40}, "manifest column scene must be int32"),
        ({"colour": 1, "age": 2}, "a manifest has no column age, colour; it has path, pid"),
    ],
)
def test_bad_rows(tmp_path: Path, bad: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message.replace("\\", "\\\\")):
        Manifest.from_rows([row(0), row(1, **bad)], tmp_path)


def test_bad_tables(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="lacks the column pid, seed"):
        Manifest(manifest.table.drop_columns(["pid", "seed"]), tmp_path)
    with pytest.raises(ValueError, match="has an unknown column more"):
        Manifest(manifest.table.append_column("more", pa.array([1] * 6)), tmp_path)
    wrong = manifest.table.set_column(1, "pid", manifest.table["pid"].cast(pa.int32()))
    with pytest.raises(ValueError, match="manifest column pid must be int64, got int32"):
        Manifest(wrong, tmp_path)
    with pytest.raises(ValueError, match="has no column 'age'"):
        manifest.column("age")


@pytest.mark.parametrize(
    ("metadata", "message"),
    [
        (None, "is a Parquet file but no unrealperson manifest"),
        ({"unrealperson.format_version": "4"}, "has format version 4; this release reads version 3: install a newer"),
        ({"unrealperson.format_version": "0"}, "has format version 0; .*: make the data set again"),
        ({"unrealperson.format_version": "x"}, "has format version x; .*: make the data set again"),
    ],
)
def test_other_versions(manifest: Manifest, tmp_path: Path, metadata: Any, message: str) -> None:
    pq.write_table(manifest.table.replace_schema_metadata(metadata), tmp_path / FILE_NAME)
    with pytest.raises(ValueError, match=message):
        Manifest.read(tmp_path)


def test_unreadable_files(manifest: Manifest, tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"there is no manifest at .*manifest.parquet"):
        Manifest.read(tmp_path)
    path = manifest.write()
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(ValueError, match="is not a readable Parquet file"):
        Manifest.read(tmp_path)
    table = manifest.table.drop_columns(["sha256"])
    pq.write_table(table.replace_schema_metadata({"unrealperson.format_version": "1"}), path)
    with pytest.raises(ValueError, match=r"manifest.parquet: the manifest lacks the column sha256"):
        Manifest.read(tmp_path)


def test_a_flipped_bit_is_never_taken_for_data(manifest: Manifest) -> None:
    path = manifest.write()
    whole, noticed = path.read_bytes(), 0
    for place in range(0, len(whole), 61):
        path.write_bytes(whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :])
        try:
            assert Manifest.read(path).sha256() == manifest.sha256(), f"byte {place}"
        except ValueError:
            noticed += 1
    assert noticed > 0.5 * len(range(0, len(whole), 61))


def test_empty_manifest(tmp_path: Path) -> None:
    empty = Manifest.from_rows([], tmp_path)
    empty.write()
    again = Manifest.read(tmp_path)
    assert len(again) == 0
    assert again.pid.dtype == np.int64
    assert again.path == ()
    assert again.summary() == "0 images, 0 identities, 0 cameras"


@pytest.mark.parametrize(("version", "last"), [("1", "sha256"), ("2", "recipe")])
def test_earlier_formats_are_still_read(manifest: Manifest, tmp_path: Path, version: str, last: str) -> None:
    old = manifest.table.select(COLUMNS.names[: COLUMNS.names.index(last) + 1])
    pq.write_table(old.replace_schema_metadata({"unrealperson.format_version": version}), tmp_path / FILE_NAME)
    again = Manifest.read(tmp_path)
    assert again.table == manifest.table
    assert again.column("mask").tolist() == [""] * 6 and again.column("keypoints").tolist() == [None] * 6
    again.write()
    assert Manifest.read(tmp_path).sha256() == manifest.sha256()


KNOWN: dict[str, Any] = {
    "tight_box": [12, 14, 40, 90],
    "full_box": [10.5, 12.25, 41.0, 96.0],
    "unoccluded_pixels": 4000,
    "visibility": 0.625,
    "keypoints": [float(value) for value in range(51)],
    "mask": "32103",
    "attributes": '{"gender": "female", "age": 31}',
    "position_m": [1.5, -2.0],
    "hours": "night",
    "camera_pose": '{"focal_px": 320.0}',
    "recipe": "{}",
    "made_on": '{"pillow": "13.0.0"}',
}


def test_truth_survives_the_file(tmp_path: Path) -> None:
    manifest = Manifest.from_rows([row(0, **KNOWN), row(1, attributes='{"gender": "male"}'), row(2)], tmp_path)
    manifest.write()
    again = Manifest.read(tmp_path)
    assert again.table == manifest.table and again.sha256() == manifest.sha256()
    stored = again.table.to_pylist()
    assert {key: stored[0][key] for key in KNOWN} == KNOWN
    assert again.attribute("gender").tolist() == ["female", "male", ""]
    assert again.attribute("age").tolist() == ["31", "", ""]
    assert again.attribute_names == ("age", "gender")
    assert again.column("tight_box")[1] is None
    other = again.replaced("hours", ["day", None, "day"])
    assert other.column("hours").tolist() == ["day", None, "day"] and other.sha256() != again.sha256()
    both = Manifest.concatenate([again, Manifest.from_rows([row(5, **KNOWN | {"hours": "dusk"})], tmp_path)])
    both.write()
    assert Manifest.read(tmp_path).column("hours").tolist() == ["night", None, None, "dusk"]


def test_bad_truth(tmp_path: Path) -> None:
    for bad, message in (
        ({"visibility": 1.5}, "visibility must lie in 0 ... 1"),
        ({"keypoints": [1.0]}, "manifest column keypoints"),
        ({"unoccluded_pixels": 0}, "unoccluded_pixels must be at least 1"),
    ):
        with pytest.raises(ValueError, match=message):
            Manifest.from_rows([row(0, **bad)], tmp_path)
    with pytest.raises(ValueError, match="has no column 'age'"):
        Manifest.from_rows([row(0)], tmp_path).replaced("age", [1])
