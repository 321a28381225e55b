from __future__ import annotations

import io
import json
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from unrealperson.cli import main
from unrealperson.ops import skin
from unrealperson.synth.people import export
from unrealperson.synth.people.export import export_people
from unrealperson.synth.people.gltf import FRAMES_PER_S, describe_person, encode_glb
from unrealperson.synth.people.person import Person, make_person
from unrealperson.synth.people.sheets import SLOTS

DTYPES = {5126: np.float32, 5123: np.uint16, 5121: np.uint8}
COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4, "MAT4": 16}
FROM_GLTF = np.array([[0, 0, 1], [1, 0, 0], [0, 1, 0]], float)
"""Z forward, X left, Y up becomes X forward, Y left, Z up."""


class Glb:
    """A strict reader of the part of glTF 2.0 that people need."""

    def __init__(self, data: bytes) -> None:
        magic, version, length = struct.unpack_from("<4sII", data)
        assert (magic, version, length) == (b"glTF", 2, len(data)) and length % 4 == 0
        size, kind = struct.unpack_from("<I4s", data, 12)
        assert kind == b"JSON" and size % 4 == 0
        self.json = json.loads(data[20 : 20 + size])
        binary_size, kind = struct.unpack_from("<I4s", data, 20 + size)
        assert kind == b"BIN\0" and 28 + size + binary_size == length
        (buffer,) = self.json["buffers"]
        assert 0 <= binary_size - buffer["byteLength"] < 4
        self.binary = data[28 + size :]

    def view(self, index: int) -> tuple[dict[str, Any], bytes]:
        view = self.json["bufferViews"][index]
        end = view["byteOffset"] + view["byteLength"]
        assert view["buffer"] == 0 and view["byteOffset"] % 4 == 0 and end <= self.json["buffers"][0]["byteLength"]
        return view, self.binary[view["byteOffset"] : end]

    def array(self, index: int) -> np.ndarray:
        accessor = self.json["accessors"][index]
        dtype, columns = np.dtype(DTYPES[accessor["componentType"]]), COLUMNS[accessor["type"]]
        view, data = self.view(accessor["bufferView"])
        stride = view.get("byteStride", columns * dtype.itemsize)
        assert stride >= columns * dtype.itemsize and accessor["byteOffset"] % dtype.itemsize == 0
        assert accessor["byteOffset"] + (accessor["count"] - 1) * stride + columns * dtype.itemsize <= len(data)
        shape, strides = (accessor["count"], columns), (stride, dtype.itemsize)
        values = np.ndarray(shape, dtype, data, accessor["byteOffset"], strides)
        for name, bound in (("min", values.min(0)), ("max", values.max(0))):
            assert name not in accessor or np.array_equal(np.array(accessor[name], dtype), bound)
        return values

    def globals(self, clip: dict[str, Any], frame: int) -> np.ndarray:
        """[J, 4, 4] matrices of the joints in the clip's frame."""
        local: list[dict[str, Any]] = [dict(node) for node in self.json["nodes"]]
        for channel in clip["channels"]:
            sampler = clip["samplers"][channel["sampler"]]
            values = self.array(sampler["output"])
            local[channel["target"]["node"]][channel["target"]["path"]] = values[min(frame, len(values) - 1)]
        parent = {child: n for n, node in enumerate(local) for child in node.get("children", ())}
        joints = self.json["skins"][0]["joints"]
        found: dict[int, np.ndarray] = {}
        for joint in joints:
            matrix = np.eye(4)
            matrix[:3, 3] = local[joint]["translation"]
            x, y, z, w = np.asarray(local[joint].get("rotation", (0, 0, 0, 1)), float)
            assert x * x + y * y + z * z + w * w == pytest.approx(1, abs=1e-5)
            cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
            matrix[:3, :3] = np.eye(3) + 2 * w * cross + 2 * cross @ cross
            found[joint] = found[parent[joint]] @ matrix if joint in parent else matrix
        return np.stack([found[joint] for joint in joints])

    def posed(self, mesh: int, joints: np.ndarray) -> tuple[np.ndarray, np.ndarray, list[str]]:
        """Corners [T, 3, 3] in the person's frame, texture coordinates [T, 3, 2] and each primitive's material."""
        inverse = self.array(self.json["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2)
        bones = joints @ inverse
        corners, uv, names = [], [], []
        for primitive in self.json["meshes"][mesh]["primitives"]:
            part = {name: self.array(index) for name, index in primitive["attributes"].items()}
            index = self.array(primitive["indices"])[:, 0].reshape(-1, 3)
            assert index.max() == len(part["POSITION"]) - 1 and part["JOINTS_0"].max() < len(bones)
            assert len({len(values) for values in part.values()}) == 1
            np.testing.assert_allclose(part["WEIGHTS_0"].sum(1), 1, atol=5e-7)
            np.testing.assert_allclose(np.linalg.norm(part["NORMAL"], axis=1), 1, atol=1e-3)
            blend = np.einsum("nk,nkij->nij", part["WEIGHTS_0"], bones[part["JOINTS_0"]])
            place = np.einsum("nij,nj->ni", blend[:, :3, :3], part["POSITION"]) + blend[:, :3, 3]
            corners.append((place @ FROM_GLTF.T)[index])
            uv.append((part["TEXCOORD_0"] * [1, -1] + [0, 1])[index])
            names.append(self.json["materials"][primitive["material"]]["name"])
        return np.concatenate(corners), np.concatenate(uv), names


@pytest.fixture(scope="module", params=[2, 37])
def person(request: pytest.FixtureRequest) -> Person:
    return make_person(0, 2, request.param)


@pytest.fixture(scope="module")
def glb(person: Person) -> Glb:
    return Glb(encode_glb(person))


@pytest.mark.parametrize(("clip", "frame", "moving"), [("walk", 0, 1.0), ("walk", 9, 1.0), ("idle", 60, 0.0)])
def test_the_file_moves_as_the_person_does(person: Person, glb: Glb, clip: str, frame: int, moving: float):
    (found,) = [each for each in glb.json["animations"] if each["name"] == clip]
    frames = max(glb.json["accessors"][sampler["input"]]["count"] for sampler in found["samplers"]) - 1
    bones = person.bones(frame / frames, moving=moving)
    posed = skin(person.positions, person.normals, person.bone_index, person.bone_weight, bones).positions
    joints = glb.globals(found, frame)
    for number, level in enumerate(person.levels):
        corners, uv, names = glb.posed(number, joints)
        order = np.argsort(level.slots, kind="stable")
        assert np.abs(corners - posed[level.faces[order]]).max() < 1e-3
        assert np.abs(uv - person.uv[level.faces[order]]).max() < 1e-6
        assert names == [f"unrealperson.{SLOTS[slot]}" for slot in np.unique(level.slots)]


def test_clips_run_at_their_rate_and_loop_on_the_spot(person: Person, glb: Glb):
    assert [clip["name"] for clip in glb.json["animations"]] == ["walk", "idle"]
    for clip in glb.json["animations"]:
        seconds = glb.json["scenes"][0]["extras"]["motion"][clip["name"]]["seconds"]
        for sampler in clip["samplers"]:
            time = glb.array(sampler["input"])[:, 0]
            assert len(time) == len(glb.array(sampler["output"]))
            np.testing.assert_allclose(time, np.arange(len(time)) / FRAMES_PER_S, atol=1e-6)
            assert len(time) == 1 or time[-1] == pytest.approx(seconds)
        last = round(seconds * FRAMES_PER_S)
        np.testing.assert_allclose(glb.globals(clip, 0), glb.globals(clip, last), atol=1e-5)
        targets = [tuple(channel["target"].values()) for channel in clip["channels"]]
        assert len(set(targets)) == len(targets)
        roots = [glb.globals(clip, frame)[0] for frame in range(0, last, 5)]
        assert np.ptp([root[[0, 2], 3] for root in roots], axis=0).max() < 1e-6
    walk = glb.json["scenes"][0]["extras"]["motion"]["walk"]
    assert walk["metres"] / walk["seconds"] == pytest.approx(person.speed_mps, rel=0.03)


def test_the_scene_is_whole(person: Person, glb: Glb):
    document = glb.json
    names = [document["nodes"][joint]["name"] for joint in document["skins"][0]["joints"]]
    assert names == list(person.skeleton.names)
    (first,) = [node for node in document["nodes"] if "MSFT_lod" in node.get("extensions", {})]
    lower = first["extensions"]["MSFT_lod"]["ids"]
    levels = [first, *(document["nodes"][index] for index in lower)]
    assert [level["mesh"] for level in levels] == [0, 1, 2] and {level["skin"] for level in levels} == {0}
    shown = document["scenes"][document["scene"]]["nodes"]
    assert document["nodes"].index(first) in shown and not set(lower) & set(shown)
    assert document["scenes"][0]["extras"] == json.loads(json.dumps(describe_person(person)))
    (image,) = document["images"]
    picture = Image.open(io.BytesIO(glb.view(image["bufferView"])[1]))
    assert image["mimeType"] == "image/jpeg" and picture.size == person.texture.shape[1::-1]
    assert np.abs(np.asarray(picture, float) - person.texture).mean() < 4
    rest = glb.posed(
        0, np.linalg.inv(glb.array(document["skins"][0]["inverseBindMatrices"]).reshape(-1, 4, 4).swapaxes(1, 2))
    )
    corners = rest[0]
    assert corners[..., 2].min() == pytest.approx(0, abs=0.01)
    face = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    assert (corners.mean(1) * face).sum() > 0


def test_export_resumes_and_keeps_to_its_configuration(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys):
    out = tmp_path / "people"
    command = ["synth", "--people-out", str(out), "--synth.people", "2", "--synth.test-people", "0", "--quiet"]
    assert main([*command, "--synth.workers", "2"]) == 0
    folders = sorted(path.name for path in out.iterdir() if path.is_dir())
    assert folders == ["P_000000", "P_000001"]
    first = (out / "P_000000" / "person.glb").read_bytes()
    assert first == encode_glb(make_person(0, 1, 0))
    document = json.loads((out / "P_000001" / "person.json").read_text(encoding="utf-8"))
    assert document == Glb((out / "P_000001" / "person.glb").read_bytes()).json["scenes"][0]["extras"]

    def refuse(*_: object) -> None:
        raise AssertionError("everybody is there already")

    monkeypatch.setattr(export, "ProcessPoolExecutor", refuse)
    assert main(command) == 0
    assert main([*command, "--synth.colors", "black"]) == 2
    assert "holds people with synth.colors = wardrobe, now it is black" in capsys.readouterr().err
    assert main(["synth", "--quiet"]) == 2
    assert "--people-out" in capsys.readouterr().err
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "a.txt").write_text("mine", encoding="utf-8")
    with pytest.raises(ValueError, match="is not empty"):
        export_people(export.Config(), tmp_path / "full")


def test_every_attribute_is_documented():
    text = (Path(__file__).resolve().parent.parent / "docs" / "person_files.md").read_text(encoding="utf-8")
    for version, numbers in ((1, range(2)), (2, range(4)), (3, range(2))):
        for number in numbers:
            for name in make_person(5, version, number).attributes:
                assert f"| `{name}` |" in text, f"docs/person_files.md does not explain {name}"
    for slot in SLOTS:
        assert f"`unrealperson.{slot}`" in text
