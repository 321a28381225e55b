"""glTF models made on the spot."""

from __future__ import annotations

import io
import json
import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
from PIL import Image

UNIT_BOX = np.array(
    [[x, y, z] for x, y, z in ((0, 0, 0), (1, 0, 0), (1, 1, 0), (0, 1, 0), (0, 0, 1), (1, 0, 1), (1, 1, 1), (0, 1, 1))]
)
BOX_FACES = np.array(
    [[0, 2, 1], [0, 3, 2], [4, 5, 6], [4, 6, 7], [0, 1, 5], [0, 5, 4],
     [1, 2, 6], [1, 6, 5], [2, 3, 7], [2, 7, 6], [3, 0, 4], [3, 4, 7]]
)  # fmt: skip


class ModelFile:
    """A glTF file in the making; callers think in metres with Z up, as the scenes do."""

    def __init__(self) -> None:
        self.binary = bytearray()
        self.json: dict[str, Any] = {
            "asset": {"version": "2.0"},
            "scene": 0,
            "scenes": [{"nodes": []}],
            **{kind: [] for kind in ("nodes", "meshes", "accessors", "bufferViews", "materials", "textures", "images")},
        }

    def add_node(self, name: str, *, role: str = "", parent: int | None = None, **keys: Any) -> int:
        node = {"name": name, **keys} | ({"extras": {"unrealperson": role}} if role else {})
        self.json["nodes"].append(node)
        number = len(self.json["nodes"]) - 1
        above = self.json["scenes"][0]["nodes"] if parent is None else self._children(parent)
        above.append(number)
        return number

    def _children(self, parent: int) -> list[int]:
        return self.json["nodes"][parent].setdefault("children", [])

    def add_view(self, data: bytes) -> int:
        self.binary += bytes(-len(self.binary) % 4)
        self.json["bufferViews"].append({"buffer": 0, "byteOffset": len(self.binary), "byteLength": len(data)})
        self.binary += data
        return len(self.json["bufferViews"]) - 1

    def add_array(self, values: np.ndarray) -> int:
        kind = {1: "SCALAR", 2: "VEC2", 3: "VEC3", 4: "VEC4"}[values.shape[1]]
        component = {"float32": 5126, "uint16": 5123, "uint8": 5121}[str(values.dtype)]
        view = self.add_view(np.ascontiguousarray(values).tobytes())
        self.json["accessors"].append(
            {"bufferView": view, "componentType": component, "count": len(values), "type": kind}
        )
        return len(self.json["accessors"]) - 1

    def add_mesh(
        self, positions: np.ndarray, faces: np.ndarray, *, material: int | None = None, **more: np.ndarray
    ) -> int:
        """A mesh of [V, 3] positions, Z up; `more` are attributes such as TEXCOORD_0."""
        upright = np.asarray(positions, np.float32)[:, [0, 2, 1]] * np.array([1, 1, -1], np.float32)
        attributes = {"POSITION": self.add_array(upright)}
        attributes |= {key: self.add_array(np.asarray(values, np.float32)) for key, values in more.items()}
        primitive: dict[str, Any] = {"attributes": attributes}
        primitive["indices"] = self.add_array(np.asarray(faces, np.uint16).reshape(-1, 1))
        self.json["meshes"].append({"primitives": [primitive | ({} if material is None else {"material": material})]})
        return len(self.json["meshes"]) - 1

    def add_box(
        self, name: str, low: Sequence[float], high: Sequence[float], *, material: int | None = None, role: str = ""
    ) -> int:
        size = np.subtract(high, low)
        return self.add_node(
            name, role=role, mesh=self.add_mesh(np.asarray(low) + UNIT_BOX * size, BOX_FACES, material=material)
        )

    def add_material(self, color: Sequence[float], *, picture: np.ndarray | None = None, **keys: Any) -> int:
        surface: dict[str, Any] = {"baseColorFactor": [*color, 1.0]}
        if picture is not None:
            stream = io.BytesIO()
            Image.fromarray(picture).save(stream, "PNG")
            self.json["images"].append({"bufferView": self.add_view(stream.getvalue()), "mimeType": "image/png"})
            self.json["textures"].append({"source": len(self.json["images"]) - 1})
            surface["baseColorTexture"] = {"index": len(self.json["textures"]) - 1}
        self.json["materials"].append({"pbrMetallicRoughness": surface, **keys})
        return len(self.json["materials"]) - 1

    def glb(self) -> bytes:
        text = json.dumps(self.json | {"buffers": [{"byteLength": len(self.binary)}]}).encode()
        text += b" " * (-len(text) % 4)
        binary = bytes(self.binary) + bytes(-len(self.binary) % 4)
        chunks = struct.pack("<I4s", len(text), b"JSON") + text + struct.pack("<I4s", len(binary), b"BIN\0") + binary
        return struct.pack("<4sII", b"glTF", 2, 12 + len(chunks)) + chunks


def tiles(size: int = 64) -> np.ndarray:
    """A tiled floor."""
    picture = np.full((size, size, 3), (150, 140, 125), np.uint8)
    picture[: size // 2, : size // 2] = picture[size // 2 :, size // 2 :] = (128, 116, 104)
    picture[::8] -= 12
    return picture


def hall(*, wide_m: float = 16.0, deep_m: float = 12.0, high_m: float = 3.6, ceiling: bool = True) -> ModelFile:
    """A hall with tiles, walls, shelves and a pillar, without any extras."""
    model = ModelFile()
    floor = model.add_material((0.9, 0.9, 0.9), picture=tiles())
    plaster, shelf = model.add_material((0.7, 0.68, 0.6)), model.add_material((0.25, 0.32, 0.4))
    corners = np.array([[0, 0, 0], [wide_m, 0, 0], [wide_m, deep_m, 0], [0, deep_m, 0]])
    ground = model.add_mesh(corners, [[0, 1, 2], [0, 2, 3]], material=floor, TEXCOORD_0=corners[:, :2])
    model.add_node("tiled floor", mesh=ground)
    for name, low, high in (
        ("wall.001", (-0.2, -0.2, 0), (wide_m + 0.2, 0, high_m)),
        ("wall.002", (-0.2, deep_m, 0), (wide_m + 0.2, deep_m + 0.2, high_m)),
        ("wall.003", (-0.2, 0, 0), (0, deep_m, high_m)),
        ("wall.004", (wide_m, 0, 0), (wide_m + 0.2, deep_m, high_m)),
    ):
        model.add_box(name, low, high, material=plaster)
    for number in range(2):
        x = wide_m * (0.35 + 0.3 * number)
        model.add_box(f"Shelf.{number:03d}", (x - 0.3, 3.6, 0), (x + 0.3, 8.4, 1.6), material=shelf)
    model.add_box("pillar", (7.8, 1.9, 0), (8.2, 2.3, high_m), material=plaster)
    if ceiling:
        model.add_box("Ceiling", (0, 0, high_m), (wide_m, deep_m, high_m + 0.2), material=plaster)
    return model
