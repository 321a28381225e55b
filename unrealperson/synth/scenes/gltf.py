"""Reads a still glTF 2.0 model: meshes, pictures, cameras and lamps, in the scenes' own frame.

Metres; glTF's X, Y up, Z become X, Z up, -Y, which is what Blender shows. What a file asks for is checked against
bounds, and its buffers and pictures are never taken from outside its folder.

Source: Khronos glTF 2.0 specification; KHR_lights_punctual, KHR_texture_transform, KHR_materials_emissive_strength.
"""

from __future__ import annotations

import base64
import binascii
import io
import json
import math
import re
import struct
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import numpy as np
from PIL import Image

from unrealperson.data.sources import UNREADABLE
from unrealperson.synth.scenes.lamps import Lamp
from unrealperson.synth.scenes.scene import Mesh
from unrealperson.synth.view import View

ROLES = ("path", "camera", "lamp", "floor", "obstacle")
"""What the extras of a node may call it: {"unrealperson": ROLE}; floor and obstacle hold for all nodes below it."""

_FILE_BYTES, _JSON_BYTES, _TEXTURE_BYTES = 512 << 20, 32 << 20, 256 << 20
_NODES, _VERTICES, _TRIANGLES = 20_000, 3_000_000, 3_000_000
_IMAGE_PX, _TEXTURE_PX = 8192, 1024
_FAR_M = 1e6
_KNOWN = {
    "KHR_lights_punctual", "KHR_texture_transform", "KHR_mesh_quantization", "KHR_materials_emissive_strength",
    "KHR_materials_unlit",
}  # fmt: skip
_TYPES = {5120: "<i1", 5121: "<u1", 5122: "<i2", 5123: "<u2", 5125: "<u4", 5126: "<f4"}
_COLUMNS = {"SCALAR": 1, "VEC2": 2, "VEC3": 3, "VEC4": 4}
_UPRIGHT = np.array([[1.0, 0, 0, 0], [0, 0, -1, 0], [0, 1, 0, 0], [0, 0, 0, 1]])
_LAMP_COLOR, _LAMP_REACH_M = (12.0, 11.0, 9.5), 14.0
_DEFAULT_FOV_DEG = 60.0


@dataclass(frozen=True)
class Model:
    """What a file holds.

    Attributes:
        meshes: the objects, each under a name Kind_Number of its own.
        floors: names of those marked as floor.
        obstacles: names of those marked as obstacle.
        paths: [n, 3] float64 metres each.
        views: its cameras.
        lamps: its lamps.
        indoor: what the scene's extras say, {"unrealperson": "indoor" | "outdoor"}; None where they say nothing.
    """

    meshes: tuple[Mesh, ...]
    floors: frozenset[str]
    obstacles: frozenset[str]
    paths: tuple[np.ndarray, ...]
    views: tuple[View, ...]
    lamps: tuple[Lamp, ...]
    indoor: bool | None


@dataclass(frozen=True)
class _Look:
    """A material: texture, [4] linear colour, and where on the picture a vertex lies, [2, 3]."""

    texture: np.ndarray
    color: np.ndarray
    place: np.ndarray
    gloss: float
    glow: float


def read_gltf(path: Path) -> Model:
    """Reads a file.

    Animation and skins are left out, and every material is opaque.

    Args:
        path: .glb, or .gltf with its buffers and pictures inside or in the same folder.

    Raises:
        ValueError: not such a file, damaged, too large, or it needs what is not supported.
        FileNotFoundError: no such file, or one that it names.
    """
    if not path.is_file():
        raise FileNotFoundError(f"no such model: {path}")
    try:
        return _Document(path).model()
    except (KeyError, TypeError, AttributeError, IndexError, OverflowError, struct.error, RecursionError) as error:
        raise ValueError(f"{path} is no valid glTF file: {type(error).__name__} {error}") from error
    except ValueError as error:
        raise ValueError(f"{path}: {error}") from error


def _load(path: Path) -> bytes:
    if path.stat().st_size > _FILE_BYTES:
        raise ValueError(f"{path.name} has {path.stat().st_size} bytes, the most is {_FILE_BYTES}")
    return path.read_bytes()


class _Document:
    """One file while it is read."""

    def __init__(self, path: Path) -> None:
        self.folder = path.parent.resolve()
        data = _load(path)
        self.binary = b""
        if data[:4] == b"glTF":
            text, self.binary = _chunks(data)
        else:
            text = data
        if len(text) > _JSON_BYTES:
            raise ValueError(f"its JSON has {len(text)} bytes, the most is {_JSON_BYTES}")
        self.json: dict[str, Any] = json.loads(text, parse_constant=_refuse)
        version = self.json["asset"]["version"]
        if not str(version).startswith("2."):
            raise ValueError(f"it is glTF {version}, only 2 is supported")
        missing = sorted(set(self.json.get("extensionsRequired", ())) - _KNOWN)
        if missing:
            raise ValueError(f"it needs {', '.join(missing)}; export it without, for example without compression")
        self.buffers: dict[int, bytes] = {}
        self.images: dict[int, np.ndarray] = {}
        self.looks: dict[int, _Look] = {}
        self.white = np.full((4, 4, 3), 255, np.uint8)
        self.counts: Counter[str] = Counter()
        self.vertices = self.triangles = 0

    def model(self) -> Model:
        """Everything below the file's scene."""
        scene = self.item("scenes", self.json.get("scene", 0))
        meshes: list[Mesh] = []
        marked: dict[str, list[str]] = {"floor": [], "obstacle": []}
        paths, views, lamps, lights = [], [], [], []
        for node, matrix, role in self.nodes(scene["nodes"]):
            if role == "path":
                paths.append(self.path(node, matrix))
                continue
            made = self.meshes(node, matrix) if "mesh" in node else []
            if "camera" in node or role == "camera":
                views.append(self.view(node, matrix))
            light = node.get("extensions", {}).get("KHR_lights_punctual")
            if light is not None:
                lights.append((self.light(light), matrix[:3, 3]))
            elif role == "lamp":
                made = [replace(mesh, glow=max(mesh.glow, 1.0)) for mesh in made]
                low = [mesh.positions.min(0) for mesh in made] or [matrix[:3, 3]]
                high = [mesh.positions.max(0) for mesh in made] or [matrix[:3, 3]]
                middle = (np.min(low, 0) + np.max(high, 0)) / 2
                lamps.append(Lamp((middle[0], middle[1], np.min(low, 0)[2] - 0.05), _LAMP_COLOR, _LAMP_REACH_M))
            if role in marked:
                marked[role] += [mesh.name for mesh in made]
            meshes += made
        said = _said(scene)
        if said not in (None, "indoor", "outdoor"):
            raise ValueError(f"the scene's extras say unrealperson = {said!r}; it may be 'indoor' or 'outdoor'")
        if not meshes:
            raise ValueError("its scene holds no triangles")
        return Model(
            tuple(meshes),
            frozenset(marked["floor"]),
            frozenset(marked["obstacle"]),
            tuple(paths),
            tuple(views),
            tuple(lamps) + _scaled(lights),
            None if said is None else said == "indoor",
        )

    def item(self, kind: str, index: Any) -> dict[str, Any]:
        """An entry of one of the file's lists."""
        entries = self.json.get(kind, [])
        if type(index) is not int or not 0 <= index < len(entries):
            raise ValueError(f"{kind}[{index}] is asked for, there are {len(entries)}")
        return entries[index]

    def nodes(self, roots: list[int]) -> Iterator[tuple[dict[str, Any], np.ndarray, str]]:
        """Each node below the roots with its place in the world, [4, 4], and its role."""
        waiting = [(index, _UPRIGHT, "") for index in reversed(roots)]
        seen: set[int] = set()
        while waiting:
            index, above, inherited = waiting.pop()
            node = self.item("nodes", index)
            if index in seen or len(seen) >= _NODES:
                raise ValueError(f"node {index} is there twice, or there are more than {_NODES} nodes")
            seen.add(index)
            matrix = above @ _local(node)
            if not np.abs(matrix).max() < _FAR_M:
                raise ValueError(f"node {index} lies or reaches {_FAR_M:g} m away")
            role = _said(node) or ""
            if role not in ("", *ROLES):
                raise ValueError(f"node {index} says unrealperson = {role!r}; it may be {', '.join(ROLES)}")
            role = role or inherited
            yield node, matrix, role
            if role != "path":
                below = role if role in ("floor", "obstacle") else ""
                waiting += [(child, matrix, below) for child in reversed(node.get("children", []))]

    def path(self, node: dict[str, Any], matrix: np.ndarray) -> np.ndarray:
        """A walking path: the points of a line, or the places of the node's children in their order."""
        if "mesh" in node:
            (primitive,) = self.item("meshes", node["mesh"])["primitives"]
            if primitive.get("mode", 4) not in (2, 3):
                raise ValueError(f"the path {node.get('name', '')!r} must be a line strip, a line loop or empty nodes")
            points = self.array(primitive["attributes"]["POSITION"], "VEC3")
            if "indices" in primitive:
                points = points[self.indices(primitive, len(points))]
            return _moved(points, matrix)
        children = [self.item("nodes", child) for child in node.get("children", [])]
        if len(children) < 3:
            raise ValueError(
                f"the path {node.get('name', '')!r} has {len(children)} nodes below it, it needs 3 or more"
            )
        return np.stack([(matrix @ _local(child))[:3, 3] for child in children])

    def view(self, node: dict[str, Any], matrix: np.ndarray) -> View:
        """A camera; one that the file only marks has a usual lens."""
        fov_deg = _DEFAULT_FOV_DEG
        if "camera" in node:
            camera = self.item("cameras", node["camera"])
            if camera["type"] != "perspective":
                raise ValueError(f"camera {node['camera']} is {camera['type']}, only perspective ones are supported")
            lens = camera["perspective"]
            half = math.tan(float(lens["yfov"]) / 2) * float(lens.get("aspectRatio", 4 / 3))
            fov_deg = 2 * math.degrees(math.atan(half))
        right, ahead = matrix[:3, 0], -matrix[:3, 2]
        ahead, right = ahead / np.linalg.norm(ahead), right / np.linalg.norm(right)
        yaw_deg = math.degrees(math.atan2(ahead[1], ahead[0]))
        pitch_deg = math.degrees(math.asin(float(np.clip(ahead[2], -1, 1))))
        x, y, z = matrix[:3, 3].tolist()
        level, _, up = View((x, y, z), yaw_deg, pitch_deg).axes()
        return View((x, y, z), yaw_deg, pitch_deg, math.degrees(math.atan2(-right @ up, right @ level)), fov_deg)

    def light(self, extension: dict[str, Any]) -> dict[str, Any]:
        """A light of KHR_lights_punctual."""
        lights = self.json["extensions"]["KHR_lights_punctual"]["lights"]
        if type(extension["light"]) is not int or not 0 <= extension["light"] < len(lights):
            raise ValueError(f"light {extension['light']} is asked for, there are {len(lights)}")
        return lights[extension["light"]]

    def meshes(self, node: dict[str, Any], matrix: np.ndarray) -> list[Mesh]:
        """The triangles of a node, one mesh a primitive; lines and points are left out."""
        mesh = self.item("meshes", node["mesh"])
        kind = _kind(str(node.get("name") or mesh.get("name") or ""))
        made = []
        for primitive in mesh["primitives"]:
            mode = primitive.get("mode", 4)
            if mode < 4:
                continue
            if mode > 4 or "KHR_draco_mesh_compression" in primitive.get("extensions", {}):
                raise ValueError(f"{kind} holds compressed triangles, strips or fans; export it as plain triangles")
            self.counts[kind] += 1
            made.append(self.mesh(f"{kind}_{self.counts[kind]}", primitive, matrix))
        return made

    def mesh(self, name: str, primitive: dict[str, Any], matrix: np.ndarray) -> Mesh:
        """One primitive, placed in the world."""
        attributes = primitive["attributes"]
        look = self.look(primitive.get("material"))
        positions = _moved(self.array(attributes["POSITION"], "VEC3"), matrix)
        count = len(positions)
        columns: dict[str, np.ndarray] = {}
        for key, kind in (("NORMAL", "VEC3"), ("TEXCOORD_0", "VEC2"), ("COLOR_0", None)):
            if key in attributes:
                columns[key] = self.array(attributes[key], kind)
                if len(columns[key]) != count:
                    raise ValueError(f"{name} has {count} positions and {len(columns[key])} of {key}")
        faces = self.indices(primitive, count) if "indices" in primitive else np.arange(count)
        if len(faces) % 3 or not len(faces):
            raise ValueError(f"{name} has {len(faces)} corners, which make no triangles")
        faces = faces.reshape(-1, 3)
        turn = matrix[:3, :3]
        if np.linalg.det(turn) < 0:
            faces = faces[:, ::-1]
        if "NORMAL" in columns:
            cofactors = np.stack([np.cross(turn[(row + 1) % 3], turn[(row + 2) % 3]) for row in range(3)])
            normals = columns["NORMAL"] @ cofactors.T * (1.0 if np.linalg.det(turn) >= 0 else -1.0)
        else:
            positions = positions[faces].reshape(-1, 3)
            columns = {key: values[faces].reshape(-1, values.shape[1]) for key, values in columns.items()}
            faces = np.arange(len(positions)).reshape(-1, 3)
            a, b, c = positions.reshape(-1, 3, 3).swapaxes(0, 1)
            normals = np.repeat(np.cross(b - a, c - a), 3, axis=0)
        self.vertices, self.triangles = self.vertices + len(positions), self.triangles + len(faces)
        if self.vertices > _VERTICES or self.triangles > _TRIANGLES:
            raise ValueError(f"it has more than {_VERTICES} vertices or {_TRIANGLES} triangles; simplify it")
        length = np.linalg.norm(normals, axis=1, keepdims=True)
        normals = np.where(length > 1e-12, normals / np.maximum(length, 1e-12), (0.0, 0.0, 1.0))
        uv = columns.get("TEXCOORD_0", np.zeros((len(positions), 2)))
        uv = np.column_stack([uv, np.ones(len(uv))]) @ look.place.T
        colors = columns.get("COLOR_0", np.ones((len(positions), 3)))[:, :3] * look.color[:3]
        return Mesh(
            name,
            positions.astype(np.float32),
            normals.astype(np.float32),
            np.column_stack([uv[:, 0], 1.0 - uv[:, 1]]).astype(np.float32),
            colors.astype(np.float32),
            faces.astype(np.uint32),
            look.texture,
            look.gloss,
            look.glow,
        )

    def indices(self, primitive: dict[str, Any], count: int) -> np.ndarray:
        """[n] vertex numbers."""
        index = self.array(primitive["indices"], "SCALAR", whole=True)[:, 0].astype(np.int64)
        if len(index) and index.max() >= count:
            raise ValueError(f"a triangle asks for vertex {index.max()}, there are {count}")
        return index

    def array(self, index: int, kind: str | None, *, whole: bool = False) -> np.ndarray:
        """An accessor's values, [n, columns]: float64, or as stored where whole numbers are wanted."""
        accessor = self.item("accessors", index)
        if "sparse" in accessor or "bufferView" not in accessor:
            raise ValueError(f"accessor {index} is sparse, which is not supported")
        if kind is not None and accessor["type"] != kind:
            raise ValueError(f"accessor {index} is {accessor['type']}, expected {kind}")
        dtype, columns = np.dtype(_TYPES[accessor["componentType"]]), _COLUMNS[accessor["type"]]
        if whole and dtype.kind != "u":
            raise ValueError(f"accessor {index} holds no vertex numbers")
        view = self.item("bufferViews", accessor["bufferView"])
        data = self.bytes_of(view)
        count, offset, size = accessor["count"], accessor.get("byteOffset", 0), columns * dtype.itemsize
        stride = view.get("byteStride", size)
        if min(count, offset) < 0 or stride < size or count > _VERTICES:
            raise ValueError(f"accessor {index} has count {count}, offset {offset} and stride {stride}")
        if offset + max(count - 1, 0) * stride + size > len(data):
            raise ValueError(f"accessor {index} reaches beyond its {len(data)} bytes")
        values = np.ndarray((count, columns), dtype, data, offset, (stride, dtype.itemsize))
        if whole:
            return values
        result = values.astype(np.float64)
        if accessor.get("normalized", False) and dtype.kind in "ui":
            result = np.maximum(result / np.iinfo(dtype).max, -1.0)
        if not np.isfinite(result).all():
            raise ValueError(f"accessor {index} holds values that are no numbers")
        return result

    def bytes_of(self, view: dict[str, Any]) -> bytes:
        """The bytes of a buffer view."""
        if "EXT_meshopt_compression" in view.get("extensions", {}):
            raise ValueError("it is compressed by EXT_meshopt_compression; export it without")
        index = view["buffer"]
        if index not in self.buffers:
            buffer = self.item("buffers", index)
            self.buffers[index] = self.fetch(buffer["uri"]) if "uri" in buffer else self.binary
        data, start, length = self.buffers[index], view.get("byteOffset", 0), view["byteLength"]
        if min(start, length) < 0 or start + length > len(data):
            raise ValueError(f"a buffer view reaches from {start} over {length} bytes, its buffer has {len(data)}")
        return data[start : start + length]

    def fetch(self, uri: str) -> bytes:
        """What a URI names: data in itself, or a file of the same folder."""
        if uri.startswith("data:"):
            head, _, body = uri.partition(",")
            if not head.endswith(";base64"):
                raise ValueError("a data URI is not base64")
            try:
                return base64.b64decode(body, validate=True)
            except binascii.Error as error:
                raise ValueError(f"a data URI is damaged: {error}") from error
        path = (self.folder / unquote(uri)).resolve()
        if not path.is_relative_to(self.folder):
            raise ValueError(f"it names {uri!r}, which lies outside its folder")
        if not path.is_file():
            raise FileNotFoundError(f"{uri!r}, which the model names, is not in {self.folder}")
        return _load(path)

    def look(self, index: int | None) -> _Look:
        """A material."""
        key = -1 if index is None else index
        if key in self.looks:
            return self.looks[key]
        material = {} if index is None else self.item("materials", index)
        base = material.get("pbrMetallicRoughness", {})
        color = np.array(base.get("baseColorFactor", (1, 1, 1, 1)), float)
        if color.shape != (4,) or not (np.isfinite(color).all() and color.min() >= 0):
            raise ValueError(f"material {index} has the colour {color.tolist()}")
        roughness = float(base.get("roughnessFactor", 1.0))
        texture, place = self.white, np.eye(3)[:2]
        if "baseColorTexture" in base:
            info = base["baseColorTexture"]
            moved = info.get("extensions", {}).get("KHR_texture_transform", {})
            if info.get("texCoord", 0) or moved.get("texCoord", 0):
                raise ValueError(f"material {index} uses TEXCOORD_{info.get('texCoord', 0)}, only 0 is supported")
            place = _texture_place(moved)
            texture = self.image(self.item("textures", info["index"])["source"])
        strong = material.get("extensions", {}).get("KHR_materials_emissive_strength", {}).get("emissiveStrength", 1.0)
        glow = max(material.get("emissiveFactor", [0.0])) * float(strong)
        look = _Look(texture, color, place, 0.4 * max(1.0 - roughness, 0.0) ** 2, min(max(glow, 0.0), 4.0))
        self.looks[key] = look
        return look

    def image(self, index: int) -> np.ndarray:
        """A picture, [H, W, 3] uint8, at most `_TEXTURE_PX` a side."""
        if index not in self.images:
            image = self.item("images", index)
            data = (
                self.fetch(image["uri"])
                if "uri" in image
                else self.bytes_of(self.item("bufferViews", image["bufferView"]))
            )
            try:
                with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as picture:
                    if max(picture.size) > _IMAGE_PX:
                        raise ValueError(f"picture {index} is {picture.size} pixels, the most is {_IMAGE_PX} a side")
                    picture.draft("RGB", (_TEXTURE_PX, _TEXTURE_PX))
                    small = picture.convert("RGB")
            except UNREADABLE as error:
                raise ValueError(f"picture {index} is no PNG or JPEG: {error}") from error
            small.thumbnail((_TEXTURE_PX, _TEXTURE_PX))
            self.images[index] = np.asarray(small)
            if sum(texture.nbytes for texture in self.images.values()) > _TEXTURE_BYTES:
                raise ValueError(f"its pictures take more than {_TEXTURE_BYTES} bytes; make them smaller")
        return self.images[index]


def _chunks(data: bytes) -> tuple[bytes, bytes]:
    """JSON and binary chunk of a GLB."""
    _, version, length = struct.unpack_from("<4sII", data)
    if version != 2 or length > len(data):
        raise ValueError(f"it is a GLB of version {version} with {len(data)} of {length} bytes")
    found: dict[bytes, bytes] = {}
    at = 12
    while at + 8 <= length:
        size, kind = struct.unpack_from("<I4s", data, at)
        if at + 8 + size > length:
            raise ValueError(f"a chunk of {size} bytes reaches beyond the file")
        found.setdefault(kind, data[at + 8 : at + 8 + size])
        at += 8 + size
    return found[b"JSON"], found.get(b"BIN\0", b"")


def _refuse(constant: str) -> None:
    raise ValueError(f"{constant} is no number")


def _said(thing: dict[str, Any]) -> Any:
    """What the extras of a node or scene say to this reader."""
    extras = thing.get("extras")
    return extras.get("unrealperson") if isinstance(extras, dict) else None


def _local(node: dict[str, Any]) -> np.ndarray:
    """A node's place in its parent, [4, 4]."""
    if "matrix" in node:
        return np.array(node["matrix"], float).reshape(4, 4).T
    x, y, z, w = np.array(node.get("rotation", (0, 0, 0, 1)), float)
    cross = np.array([[0, -z, y], [z, 0, -x], [-y, x, 0]])
    matrix = np.eye(4)
    matrix[:3, :3] = (np.eye(3) + 2 * w * cross + 2 * cross @ cross) * np.array(node.get("scale", (1, 1, 1)), float)
    matrix[:3, 3] = node.get("translation", (0, 0, 0))
    return matrix


def _moved(points: np.ndarray, matrix: np.ndarray) -> np.ndarray:
    return points @ matrix[:3, :3].T + matrix[:3, 3]


def _kind(name: str) -> str:
    """What the name of a node says it is: `brick wall.003` is a BrickWall; never taken for a person."""
    kind = "".join(word[0].upper() + word[1:] for word in re.findall("[A-Za-z]+", name))
    return f"Thing{kind}" if kind.startswith(("MH", "Person")) or not kind else kind


def _texture_place(transform: dict[str, Any]) -> np.ndarray:
    """[2, 3] matrix of KHR_texture_transform."""
    turn, (wide, high) = float(transform.get("rotation", 0.0)), transform.get("scale", (1.0, 1.0))
    cos, sin = math.cos(turn), math.sin(turn)
    x, y = transform.get("offset", (0.0, 0.0))
    return np.array([[cos * wide, sin * high, x], [-sin * wide, cos * high, y]])


def _scaled(lights: list[tuple[dict[str, Any], np.ndarray]]) -> tuple[Lamp, ...]:
    """Point and spot lights as lamps: the middle one shines as a street lamp, the others in relation to it."""
    shining = [(light, place) for light, place in lights if light["type"] in ("point", "spot")]
    power = [max(float(light.get("intensity", 1.0)), 0.0) for light, _ in shining]
    middle = float(np.median(power)) if power else 1.0
    lamps = []
    for (light, place), candela in zip(shining, power, strict=True):
        factor = float(np.clip(candela / middle if middle > 0 else 1.0, 0.05, 4.0))
        red, green, blue = (factor * max(_LAMP_COLOR) * float(value) for value in light.get("color", (1, 1, 1)))
        reach_m = min(float(light.get("range", _LAMP_REACH_M)), 40.0)
        lamps.append(Lamp((float(place[0]), float(place[1]), float(place[2])), (red, green, blue), max(reach_m, 0.5)))
    return tuple(lamps)
