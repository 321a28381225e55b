"""Small ONNX models that stand in for an exported network."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from unrealperson.export.seal import save_sealed

HEIGHT, WIDTH, DIMENSION = 8, 4, 16
CAMERAS = (1, 2, 1_004)


def model_weights() -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    project = rng.standard_normal((HEIGHT * WIDTH * 3, DIMENSION), dtype=np.float32)
    return project, 3000 * rng.standard_normal((len(CAMERAS) + 1, DIMENSION), dtype=np.float32)


def expected_features(images: np.ndarray, camera: list[int]) -> np.ndarray:
    project, table = model_weights()
    raw = images.reshape(len(images), -1).astype(np.float64) @ project + table[camera]
    return raw / np.linalg.norm(raw, axis=1, keepdims=True)


def make_model(path: Path, *, table: np.ndarray | None = None, **metadata: str | None) -> Path:
    """Flattened pixels times a matrix, plus a row for the camera, to length 1."""
    project, rows = model_weights()
    nodes = [
        helper.make_node("Cast", ["images"], ["real"], to=TensorProto.FLOAT),
        helper.make_node("Flatten", ["real"], ["flat"]),
        helper.make_node("MatMul", ["flat", "project"], ["product"]),
        helper.make_node("Gather", ["table", "camera"], ["own"]),
        helper.make_node("Add", ["product", "own"], ["raw"]),
        helper.make_node("LpNormalization", ["raw"], ["features"], axis=1, p=2),
    ]
    graph = helper.make_graph(
        nodes,
        "encoder",
        [
            helper.make_tensor_value_info("images", TensorProto.UINT8, ["n", HEIGHT, WIDTH, 3]),
            helper.make_tensor_value_info("camera", TensorProto.INT64, ["n"]),
        ],
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", DIMENSION])],
        [
            numpy_helper.from_array(project, "project"),
            numpy_helper.from_array(rows if table is None else table, "table"),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    stored: dict[str, str | None] = {
        "format_version": "2",
        "cameras": json.dumps(CAMERAS),
        "camera_names": json.dumps(list(map(str, CAMERAS))),
        "preprocessing": json.dumps({"pixels": True, "resize": False, "mean": 127, "std": 128, "mirror": False}),
        "height": str(HEIGHT),
        "width": str(WIDTH),
        "dimension": str(DIMENSION),
    }
    helper.set_model_props(
        model, {f"unrealperson.{key}": value for key, value in (stored | metadata).items() if value is not None}
    )
    save_sealed(model, path)
    return path
