"""A person as glTF 2.0: one binary file with rig, texture, levels of detail and the own walk (or ride) and stand.

The rig has the names of the game_engine skeleton; meshes have one primitive and material a slot. Units are metres,
Y is up, the person looks along +Z.
"""

from __future__ import annotations

import io
import json
import struct
from typing import Any

import numpy as np
from PIL import Image

from unrealperson.synth.people.person import Person
from unrealperson.synth.people.sheets import SLOTS

SCHEMA = "unrealperson.person/1"
"""Version of what `describe_person` returns; it grows when a key changes its meaning."""
FRAMES_PER_S = 30
IDLE_S = 5.0
_LOD_COVERAGE = (0.4, 0.05, 0.0)
"""Share of the view's height above which each level of detail is meant to be shown."""
_ROUGHNESS = {"skin": 0.6, "eyes": 0.2, "hair": 0.55, "shoes": 0.6, "glasses": 0.3}
_JPEG_QUALITY = 95
_TYPES = {"float32": 5126, "uint16": 5123, "uint8": 5121}
_ARRAY_BUFFER, _ELEMENT_BUFFER = 34962, 34963


def describe_person(person: Person) -> dict[str, Any]:
    """What person.json and the extras of the glTF say about somebody.

    Args:
        person: who.

    Returns:
        Values that json can write: schema, name, seed, version, person, attributes, motion and mesh.
    """
    frames, clip = _cycle_frames(person), _clip_of(person)
    return {
        "schema": SCHEMA,
        "name": name_of(person.number),
        "seed": person.seed,
        "version": person.version,
        "person": person.number,
        "attributes": dict(person.attributes),
        "motion": {
            clip: {"seconds": frames / FRAMES_PER_S, "metres": person.stride_m, "loops": True},
            "idle": {"seconds": IDLE_S, "metres": 0.0, "loops": True},
        },
        "mesh": {
            "slots": [SLOTS[number] for number in np.unique(person.slots)],
            "levels": [{"vertices": level.vertices, "triangles": len(level.faces)} for level in person.levels],
            "texture_px": len(person.texture),
        },
    }


def name_of(number: int) -> str:
    """Name of a person's folder and scene.

    Args:
        number: person P.
    """
    return f"P_{number:06d}"


def encode_glb(person: Person) -> bytes:
    """Writes a person as binary glTF.

    Args:
        person: who.

    Returns:
        The file: the same person gives the same bytes.

    Source: Khronos glTF 2.0 specification; levels of detail by the vendor extension MSFT_lod.
    """
    return _Document(person).encode()


class _Document:
    """One glTF file in the making: its JSON and its binary buffer."""

    def __init__(self, person: Person) -> None:
        self.person = person
        self.binary = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0", "generator": "unrealperson"},
            "extensionsUsed": ["MSFT_lod"],
            "scene": 0,
            "scenes": [],
            "nodes": [],
            "meshes": [],
            "skins": [],
            "animations": [],
            "materials": [],
            "textures": [{"source": 0, "sampler": 0}],
            "samplers": [{"magFilter": 9729, "minFilter": 9987, "wrapS": 33071, "wrapT": 33071}],
            "images": [],
            "accessors": [],
            "bufferViews": [],
        }

    def encode(self) -> bytes:
        self.add_rig()
        self.add_meshes()
        self.add_clip(_clip_of(self.person), _cycle_frames(self.person), 1.0)
        self.add_clip("idle", round(IDLE_S * FRAMES_PER_S), 0.0)
        self.add_texture()
        self.json["buffers"] = [{"byteLength": len(self.binary)}]
        text = json.dumps(self.json, separators=(",", ":"), ensure_ascii=False).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<II", len(text), 0x4E4F534A) + text + struct.pack("<II", len(binary), 0x004E4942) + binary
        return struct.pack("<III", 0x46546C67, 2, 12 + len(chunks)) + chunks

    def add_rig(self) -> None:
        """Joints, skin and the scene that holds them."""
        skeleton = self.person.skeleton
        joints = _to_gltf(skeleton.joints)
        for bone, name in enumerate(skeleton.names):
            parent = int(skeleton.parents[bone])
            offset = joints[bone] - joints[parent] if parent >= 0 else joints[bone]
            node: dict[str, Any] = {"name": name, "translation": offset.astype(np.float64).round(7).tolist()}
            children = [int(child) for child in np.flatnonzero(skeleton.parents == bone)]
            self.json["nodes"].append(node | ({"children": children} if children else {}))
        inverse = np.tile(np.eye(4, dtype=np.float32), (len(joints), 1, 1))
        inverse[:, 3, :3] = -joints
        root = int(np.flatnonzero(skeleton.parents < 0)[0])
        self.json["skins"].append(
            {
                "joints": list(range(len(joints))),
                "inverseBindMatrices": self.accessor(self.view(inverse), inverse.reshape(-1, 16), "MAT4"),
                "skeleton": root,
            }
        )
        scene = {"name": name_of(self.person.number), "nodes": [root, len(joints)]}
        self.json["scenes"].append(scene | {"extras": describe_person(self.person)})

    def add_meshes(self) -> None:
        """One mesh a level of detail; the vertices of a slot lie side by side, those of the lowest level first."""
        person, first = self.person, len(self.json["nodes"])
        slot_of = np.zeros(len(person.positions), np.uint8)
        slot_of[person.faces] = person.slots[:, None]
        order = np.argsort(slot_of, kind="stable")
        weight = person.bone_weight[order].astype(np.float64)
        weight = (weight / weight.sum(1, keepdims=True)).astype(np.float32)
        normal = _to_gltf(person.normals[order]).astype(np.float64)
        normal /= np.maximum(np.linalg.norm(normal, axis=1, keepdims=True), 1e-9)
        columns = {
            "POSITION": (_to_gltf(person.positions[order]), "VEC3"),
            "NORMAL": (normal.astype(np.float32), "VEC3"),
            "TEXCOORD_0": (np.stack([person.uv[order, 0], 1 - person.uv[order, 1]], 1).astype(np.float32), "VEC2"),
            "JOINTS_0": (np.where(weight > 0, person.bone_index[order], 0).astype(np.uint8), "VEC4"),
            "WEIGHTS_0": (weight, "VEC4"),
        }
        views = {
            name: self.view(values, target=_ARRAY_BUFFER, stride=values[:1].nbytes)
            for name, (values, _) in columns.items()
        }
        begin = np.searchsorted(slot_of[order], np.arange(len(SLOTS) + 1))
        row_of = np.empty(len(order), np.int64)
        row_of[order] = np.arange(len(order))
        worn = np.unique(person.slots)
        for slot in worn:
            self.json["materials"].append(
                {
                    "name": f"unrealperson.{SLOTS[slot]}",
                    "doubleSided": True,
                    "pbrMetallicRoughness": {
                        "baseColorTexture": {"index": 0},
                        "metallicFactor": 0.0,
                        "roughnessFactor": _ROUGHNESS.get(SLOTS[slot], 0.9),
                    },
                }
            )
        for number, level in enumerate(person.levels):
            primitives = []
            for material, slot in enumerate(worn):
                faces = row_of[level.faces[level.slots == slot]] - begin[slot]
                if not len(faces):
                    continue
                rows = slice(begin[slot], begin[slot] + int(faces.max()) + 1)
                attributes = {
                    name: self.accessor(views[name], values[rows], kind, offset=rows.start * values[:1].nbytes)
                    for name, (values, kind) in columns.items()
                }
                index = faces.astype(np.uint16).reshape(-1, 1)
                indices = self.accessor(self.view(index, target=_ELEMENT_BUFFER), index, "SCALAR")
                primitives.append({"attributes": attributes, "indices": indices, "material": material})
            name = f"{name_of(person.number)}_LOD{number}"
            self.json["meshes"].append({"name": name, "primitives": primitives})
            self.json["nodes"].append({"name": name, "mesh": number, "skin": 0})
        lower = list(range(first + 1, first + len(person.levels)))
        self.json["nodes"][first] |= {
            "extensions": {"MSFT_lod": {"ids": lower}},
            "extras": {"MSFT_screencoverage": list(_LOD_COVERAGE)},
        }

    def add_clip(self, name: str, frames: int, moving: float) -> None:
        """One cycle on the spot, sampled at `FRAMES_PER_S`; the last frame is the first again."""
        person = self.person
        parents, joints = person.skeleton.parents, person.skeleton.joints.astype(np.float64)
        phases = np.append(np.arange(frames) / frames, 0.0)
        if person.ride is not None and not moving:
            phases *= 0.0
        bones = np.stack([person.bones(float(phase), moving=moving) for phase in phases]).astype(np.float64)
        place = np.einsum("fbij,bj->fbi", bones[..., :3], joints) + bones[..., 3]
        turn = bones[..., :3].copy()
        for bone, parent in enumerate(parents):
            if parent >= 0:
                above = bones[:, parent, :, :3]
                turn[:, bone] = np.swapaxes(above, 1, 2) @ bones[:, bone, :, :3]
                place[:, bone] = np.einsum("fji,fj->fi", above, place[:, bone] - _place_of(bones, parent, joints))
        time = (np.arange(frames + 1, dtype=np.float32) / np.float32(FRAMES_PER_S)).reshape(-1, 1)
        times = self.accessor(self.view(time), time, "SCALAR", bounds=True)
        start = self.accessor(self.view(time[:1]), time[:1], "SCALAR", bounds=True)
        samplers: list[dict[str, Any]] = []
        channels: list[dict[str, Any]] = []
        for path, kind, tracks in (
            ("rotation", "VEC4", _quaternions(_axes_to_gltf(turn))),
            ("translation", "VEC3", _to_gltf(place).astype(np.float32)),
        ):
            for bone, track in enumerate(np.swapaxes(tracks, 0, 1)):
                still = bool((np.abs(track - track[0]) < 1e-6).all())
                rest = self.json["nodes"][bone]["translation"] if path == "translation" else [0, 0, 0, 1]
                if still and np.allclose(track[0], rest, atol=1e-5):
                    continue
                values = np.ascontiguousarray(track[:1] if still else track)
                output = self.accessor(self.view(values), values, kind)
                channels.append({"sampler": len(samplers), "target": {"node": bone, "path": path}})
                samplers.append({"input": start if still else times, "output": output})
        self.json["animations"].append({"name": name, "samplers": samplers, "channels": channels})

    def add_texture(self) -> None:
        """The atlas that all materials share."""
        picture = io.BytesIO()
        Image.fromarray(self.person.texture).save(picture, "JPEG", quality=_JPEG_QUALITY, subsampling=0)
        view = self.view(np.frombuffer(picture.getvalue(), np.uint8))
        self.json["images"].append({"name": "atlas", "mimeType": "image/jpeg", "bufferView": view})

    def view(self, values: np.ndarray, *, target: int | None = None, stride: int | None = None) -> int:
        """Appends an array to the buffer; returns its view."""
        self.binary += bytes(-len(self.binary) % 4)
        data = np.ascontiguousarray(values).tobytes()
        view = {"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)}
        view |= {"target": target} if target else {}
        self.json["bufferViews"].append(view | ({"byteStride": stride} if stride else {}))
        self.binary += data
        return len(self.json["bufferViews"]) - 1

    def accessor(self, view: int, values: np.ndarray, kind: str, *, offset: int = 0, bounds: bool = False) -> int:
        """Describes rows [n, k] of a view; positions and times need their bounds."""
        accessor = {
            "bufferView": view,
            "byteOffset": int(offset),
            "componentType": _TYPES[str(values.dtype)],
            "count": len(values),
            "type": kind,
        }
        if bounds or kind == "VEC3":
            accessor |= {"min": values.min(0).tolist(), "max": values.max(0).tolist()}
        self.json["accessors"].append(accessor)
        return len(self.json["accessors"]) - 1


def _clip_of(person: Person) -> str:
    return "walk" if person.ride is None else "ride"


def _cycle_frames(person: Person) -> int:
    """Frames of one cycle of the walk, or of one turn of the crank, at about the preferred speed."""
    return max(round(FRAMES_PER_S * person.stride_m / person.speed_mps), 2)


def _place_of(bones: np.ndarray, bone: int, joints: np.ndarray) -> np.ndarray:
    return bones[:, bone, :, :3] @ joints[bone] + bones[:, bone, :, 3]


def _to_gltf(points: np.ndarray) -> np.ndarray:
    """X forward, Y left, Z up becomes Z forward, X left, Y up."""
    return np.ascontiguousarray(points[..., [1, 2, 0]])


def _axes_to_gltf(matrix: np.ndarray) -> np.ndarray:
    return matrix[..., [1, 2, 0], :][..., [1, 2, 0]]


def _quaternions(turn: np.ndarray) -> np.ndarray:
    """[F, B, 3, 3] rotations -> [F, B, 4] float32 x, y, z, w whose signs do not jump between frames."""
    m = turn
    # Four times the outer product of the quaternion with itself: any large row of it is the quaternion, scaled.
    diagonal = np.einsum("...ii->...i", m)
    square = np.empty((*m.shape[:-2], 4, 4))
    for i in range(3):
        j, k = (i + 1) % 3, (i + 2) % 3
        square[..., i, i] = 1 + diagonal[..., i] - diagonal[..., j] - diagonal[..., k]
        square[..., i, j] = square[..., j, i] = m[..., i, j] + m[..., j, i]
        square[..., i, 3] = square[..., 3, i] = m[..., k, j] - m[..., j, k]
    square[..., 3, 3] = 1 + diagonal.sum(-1)
    largest = np.einsum("...ii->...i", square).argmax(-1)
    found = np.take_along_axis(square, largest[..., None, None], -2)[..., 0, :]
    found /= np.linalg.norm(found, axis=-1, keepdims=True)
    found *= np.where(found[:1, :, 3:] < 0, -1.0, 1.0)
    step = np.where((found[1:] * found[:-1]).sum(-1) < 0, -1.0, 1.0)
    found[1:] *= np.cumprod(step, axis=0)[..., None]
    return found.astype(np.float32)
