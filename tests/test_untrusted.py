"""Files made to harm: bombs that unpack to much, paths that lead outside, values that would be run or never end."""

from __future__ import annotations

import io
import json
import pickle
import tarfile
import time
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from encoders import make_model
from PIL import Image
from test_people_mhclo import CUBE, HEAD, ROWS

from unrealperson import files
from unrealperson.config import load_config
from unrealperson.data import manifest
from unrealperson.data.frames import read_colors, read_frame
from unrealperson.data.manifest import COLUMNS, Manifest
from unrealperson.data.sources import MAX_SCANS, decode_image, read_images
from unrealperson.export.encoder import OnnxEncoder
from unrealperson.gallery import store
from unrealperson.schema import Features
from unrealperson.synth.endpoint import decode_array
from unrealperson.synth.endpoint import decode_image as decode_reply
from unrealperson.synth.people import mhclo
from unrealperson.synth.people.textures import _picture
from unrealperson.synth.poses import read_poses
from unrealperson.untrusted import read_json, read_pickle

DEEP = b"[" * 100_000
LAUGHS = b"\x80\x02)" + 60 * b"2\x86"  # a pair of itself, sixty times
PICKLES = {
    "a key that takes forever to hash": b"\x80\x02}" + LAUGHS[2:] + b"Nsz.",
    "nested twice, sixty times": LAUGHS + b".",
    "a memo of gigabytes": b"\x80\x02K\x01r\xff\xff\xff\x7f.",
    "a text of exabytes": b"\x80\x04\x8d" + b"\xff" * 7 + b"\x7fabc.",
    "a call": pickle.dumps(print, 0)[:-1] + b"(S'x'\ntR.",
    "an object": b"\x80\x02cbuiltins\nobject\n)\x81.",
    "attributes of a list": b"\x80\x02]}b.",
    "an extension": b"\x80\x02\x82\x01.",
    "deep": DEEP + b".",
}


@pytest.mark.parametrize("content", PICKLES.values(), ids=PICKLES)
def test_pickles_that_would_do_harm(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.pkl"
    path.write_bytes(content)
    start_s = time.process_time()
    for read in (read_pickle, read_colors, read_poses):
        try:
            read(path)
        except ValueError as error:
            assert type(error) is ValueError and str(path) in str(error)
        else:
            assert read is read_pickle
    assert time.process_time() - start_s < 1


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_values_come_back(tmp_path: Path, protocol: int) -> None:
    value = {
        "a": [1, -2, 3.5, 2**70, (), (1,), ("x", None), [True, False]],
        "ü": {"b": "a\n", 7: []},
        "again": ("x",) * 5,
    }
    path = tmp_path / "a.pkl"
    path.write_bytes(pickle.dumps(value, protocol))
    assert read_pickle(path) == value


@pytest.mark.parametrize(
    ("content", "message"),
    [(DEEP, "is not valid JSON"), (b"\xff", "is not valid JSON"), (b'{"a": 1', "is not valid JSON"),
     (bytes(101), "larger than 100 bytes")],
)  # fmt: skip
def test_json(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_json(tmp_path / "a.json", most_bytes=10**6 if content is DEEP else 100)


def _rows(tmp_path: Path, rows: int, texts: pa.Array, **how: Any) -> Path:
    columns = {field.name: pa.nulls(rows, field.type) for field in COLUMNS}
    columns |= dict.fromkeys(("pid", "camid", "frame"), pa.array(np.zeros(rows, np.int64)))
    columns |= {"path": pa.array([f"{row}.png" for row in range(rows)]), "mask": texts}
    table = pa.table(columns).replace_schema_metadata({b"unrealperson.format_version": b"3"})
    pq.write_table(table, tmp_path / "manifest.parquet", store_schema=False, **how)
    return tmp_path / "manifest.parquet"


def test_a_parquet_file_that_unpacks_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(manifest, "_LEAST_UNPACKED_BYTES", 8 << 20)
    many, text = 3000, pa.array(["x" * 100_000])
    shared = pa.DictionaryArray.from_arrays(pa.array(np.zeros(many, np.int32)), text)
    path = _rows(tmp_path, many, shared)
    assert path.stat().st_size < 500_000
    before = pa.total_allocated_bytes()
    with pytest.raises(ValueError, match="the texts of mask would unpack to 300000000 bytes"):
        Manifest.read(path)
    assert pa.total_allocated_bytes() - before < 100 << 20
    path = _rows(tmp_path, 20, pa.array(["x" * 1_000_000] * 20), compression="zstd", use_dictionary=False)
    assert path.stat().st_size < 15_000
    with pytest.raises(ValueError, match="it would unpack to 20"):
        Manifest.read(path)
    pq.write_table(pa.table({"pid": pa.nulls(300_000, pa.int64())}), path)
    with pytest.raises(ValueError, match="it would unpack to 15"):
        Manifest.read(path)


def test_a_manifest_with_a_flipped_bit_never_ends_the_process(tmp_path: Path) -> None:
    whole = Manifest.from_rows([{"path": "a.png", "pid": 1}, {"path": "b.png"}], tmp_path).write().read_bytes()
    footer = len(whole) - 8 - int.from_bytes(whole[-8:-4], "little")
    rng, refused = np.random.default_rng(0), 0
    for place in rng.integers(footer, len(whole), 150):
        content = bytearray(whole)
        content[place] ^= 1 << rng.integers(8)
        try:
            Manifest.from_bytes(bytes(content), tmp_path)
        except ValueError:
            refused += 1
    assert refused > 50


def test_an_archive_of_arrays_that_unpacks_to_much(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "_LEAST_UNPACKED_BYTES", 1 << 20)
    np.savez_compressed(tmp_path / "f.npz", vectors=np.zeros((1000, 500), np.float32))
    with pytest.raises(ValueError, match="it would unpack to 2000"):
        Features.load(tmp_path / "f.npz")
    with zipfile.ZipFile(tmp_path / "f.npz", "w") as archive:
        header = b"\x93NUMPY\x01\x00v\x00{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999, 9999999), }"
        archive.writestr("vectors.npy", header.ljust(127) + b"\n")
    with pytest.raises(ValueError, match="is damaged, or no"):
        Features.load(tmp_path / "f.npz")


def _jpeg_of_many_scans() -> bytes:
    stream = io.BytesIO()
    Image.new("RGB", (64, 64)).save(stream, "JPEG", progressive=True)
    content = stream.getvalue()
    last = content.rfind(b"\xff\xda")
    return content[:-2] + content[last:-2] * MAX_SCANS + content[-2:]


def _png_of(width: int, height: int) -> bytes:
    stream = io.BytesIO()
    Image.new("1", (8, 8)).save(stream, "PNG")
    content = stream.getvalue()
    head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + content[24:29]
    return content[:12] + head + zlib.crc32(head).to_bytes(4, "big") + content[33:]


def test_images() -> None:
    with pytest.raises(ValueError, match="more than 100 scans"):
        decode_image(_jpeg_of_many_scans(), "a.jpg")
    with pytest.raises(ValueError, match=r"50000 x 50000 pixels|2500000000 pixels"):
        decode_image(_png_of(50_000, 50_000), "a.png")
    for decode, content in ((decode_reply, _png_of(50_000, 50_000)), (decode_array, b"\x93NUMPY\x01\x00\x05\x00{((((")):
        with pytest.raises(RuntimeError, match="the endpoint sent"):
            decode(content)


def test_a_texture_is_a_picture_and_no_program(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n%%EndComments\nquit\n")
    with pytest.raises(ValueError, match="is not a readable image"):
        _picture(tmp_path / "a.png")


@pytest.mark.parametrize("name", ["../out.png", "/out.png", "a/../../out.png"])
def test_members_of_shards_that_lie_outside(tmp_path: Path, name: str) -> None:
    content = _png_of(8, 8)
    with tarfile.open(tmp_path / "0.tar", "w") as archive:
        entry = tarfile.TarInfo(name)
        entry.size = len(content)
        archive.addfile(entry, io.BytesIO(content))
    with pytest.raises(ValueError, match="leads out of the shard"):
        read_images(tmp_path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (HEAD.replace("patch.obj", "../patch.obj"), "lies outside of the garment's folder"),
        (f"{HEAD}material /etc/hostname\n", "lies outside of the garment's folder"),
        (HEAD.replace("patch.obj", "absent.obj"), "is damaged: .*absent.obj"),
        (HEAD.replace("5399", "9999999"), "x_scale must name two vertices"),
        (HEAD.replace("1.4", "nan"), "x_scale must name two vertices"),
    ],
)
def test_garments(tmp_path: Path, change: str, message: str) -> None:
    (tmp_path / "patch.obj").write_text(CUBE)
    (tmp_path / "patch.mhclo").write_text(f"{change}verts 0\n{ROWS}")
    with pytest.raises(ValueError, match=message):
        mhclo.read_mhclo(tmp_path / "patch.mhclo")


def test_garments_bound_to_vertices_that_are_not_there(tmp_path: Path) -> None:
    (tmp_path / "patch.obj").write_text(CUBE)
    for rows in (ROWS.replace("1501", "99999999"), ROWS.replace("0.25", "nan", 1)):
        (tmp_path / "patch.mhclo").write_text(f"{HEAD}verts 0\n{rows}")
        with pytest.raises(ValueError, match="must bind vertices to those of the base mesh"):
            mhclo.read_mhclo(tmp_path / "patch.mhclo")


def test_a_model_with_sizes_that_cannot_be(tmp_path: Path) -> None:
    for change in ({"height": "1000000000"}, {"width": "0"}, {"dimension": "-1"}, {"cameras": "[" * 100_000}):
        with pytest.raises(ValueError, match="has damaged metadata"):
            OnnxEncoder(make_model(tmp_path / "m.onnx", **change), threads=1)


FACTS = {
    "format_version": store.FORMAT_VERSION, "revision": 1, "images": 1, "dimension": 4, "precision": "float32",
    "backend": "exact", "root": ".", "model_sha256": "", "removed": None,
    "segments": [{"name": "s", "rows": 1, "files": {"s.rows.arrow": {"bytes": 1, "sha256": ""}}}],
}  # fmt: skip


def _segment(**change: object) -> dict[str, object]:
    return {"segments": [FACTS["segments"][0] | change]}  # type: ignore[index]


@pytest.mark.parametrize(
    "change",
    [
        _segment(name="../s"), _segment(files={"../secret": {"bytes": 1, "sha256": ""}}), _segment(files=3),
        _segment(rows="many"), {"segments": [7]}, {"segments": 7}, {"root": 5}, {"images": None},
        {"removed": {"name": "/etc/passwd", "bytes": 1, "sha256": ""}}, {"index": {"name": "a/b"}},
    ],
)  # fmt: skip
def test_galleries_that_name_files_of_others(tmp_path: Path, change: dict[str, object]) -> None:
    (tmp_path / "gallery.json").write_text(json.dumps(FACTS))
    assert store.read_facts(tmp_path)["images"] == 1
    (tmp_path / "gallery.json").write_text(json.dumps(FACTS | change))
    with pytest.raises(ValueError, match=r"gallery.json is damaged"):
        store.read_facts(tmp_path)


def _write(name: str, content: bytes) -> Callable[[Path], Path]:
    def write(folder: Path) -> Path:
        (folder / name).write_bytes(content)
        return folder / name

    return write


@pytest.mark.parametrize(
    ("file", "read"),
    [
        (_write("a.csv", b"path\n\xff\xfe"), read_images),
        (_write("a.csv", b"path\n" + b"x" * 200_000), read_images),
        (_write("a.csv", b'path,tight_box\na.png,"' + DEEP[:9999] + b'"\n'), read_images),
        (_write("a.toml", b"a = " + DEEP), load_config),
        (_write("c001_1_truth.json", DEEP), lambda path: read_frame(path.with_name("c001_1_lit.png"))),
        (_write("poses.json", DEEP), read_poses),
    ],
)
def test_what_is_no_text_or_nested_too_deeply(
    tmp_path: Path, file: Callable[[Path], Path], read: Callable[[Path], object]
) -> None:
    path = file(tmp_path)
    with pytest.raises(ValueError, match=path.name) as caught:
        read(path)
    assert caught.type is ValueError
