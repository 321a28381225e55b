"""New cameras in an exported file, from unlabelled crops. Needs onnx, onnxruntime and numpy, and no torch.

A file with tables holds for each batch-norm layer, besides the rows of its cameras, the layer's own weight and bias.
So the network can be run as in training, each layer normalised by the statistics of the batch, and these statistics
become the row of a further camera.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from unrealperson.config import EvaluateConfig
from unrealperson.data.manifest import Manifest
from unrealperson.export.encoder import PREFIX, OnnxEncoder, open_session
from unrealperson.export.entrance import KNOWN_CAMERAS
from unrealperson.export.parity import Crops, crops_of
from unrealperson.export.seal import save_sealed
from unrealperson.files import replacing
from unrealperson.log import get_logger, track

logger = get_logger(__name__)

_COMPARED = 4


@dataclass(frozen=True)
class _Norm:
    """One batch-norm layer of a graph.

    Attributes:
        scale: name of its table of factors.
        shift: name of its table of summands.
        eps: added to the variance.
    """

    scale: str
    shift: str
    eps: float


def calibrate(
    model: str | Path, camera: str, data: Manifest, config: EvaluateConfig, *, out: str | Path | None = None
) -> dict[str, Any]:
    """Gives an exported file the batch-norm statistics of one more camera, or new ones of a camera that it knows.

    Args:
        model: ONNX file of 'unrealperson export' with tables of cameras.
        camera: a camera's number as the names of its crops give it, or any other name, which gets the next free number.
        data: unlabelled crops of that camera alone; of the rows only the images are used.
        config: section [evaluate]: statistics_images, min_statistics_images, batch_size, seed.
        out: file to write; None replaces `model`.

    Returns:
        camera, name, row, images, cameras (how many the file knows now), max_change (of the other cameras' features).

    Raises:
        FileNotFoundError: no such model.
        ValueError: a file without tables, too few crops, or a name that is empty.
        RuntimeError: the other cameras' features would change; nothing is written.
    """
    encoder = OnnxEncoder(model)
    proto = onnx.load(model)
    stored = {entry.key: entry.value for entry in proto.metadata_props}
    norms = [_Norm(**norm) for norm in json.loads(stored.get(PREFIX + "norms", "[]"))]
    if not norms:
        raise ValueError(
            f"{model} holds no tables of cameras: it was exported with export.statistics "
            f"{stored.get(PREFIX + 'statistics', 'unknown')!r}; export it with 'cameras', from a run with camera "
            "batch norm"
        )
    if len(data) < config.min_statistics_images:
        raise ValueError(
            f"{len(data)} crops are too few for a camera's statistics, {config.min_statistics_images} are needed; "
            "give more of them, or lower evaluate.min_statistics_images"
        )
    key, name = _identify(camera, encoder)
    images = crops_of(data)
    statistics = _estimate(proto, norms, encoder, images, len(data), config, stored)
    row = encoder.cameras.index(key) if key in encoder.cameras else len(encoder.cameras)
    for norm, (mean, var) in zip(norms, statistics, strict=True):
        _write_row(proto, norm, row, mean, var, replaces=row < len(encoder.cameras))
    cameras, names = [*encoder.cameras], [*encoder.camera_names]
    if row == len(cameras):
        cameras.append(key)
        names.append(name)
        _initializer(proto, f"entrance/{KNOWN_CAMERAS}").CopyFrom(
            numpy_helper.from_array(np.array([len(cameras)], np.int64), f"entrance/{KNOWN_CAMERAS}")
        )
    stored |= {PREFIX + "cameras": json.dumps(cameras), PREFIX + "camera_names": json.dumps(names)}
    helper.set_model_props(proto, stored)
    out = Path(model if out is None else out)
    with replacing(out) as partial:
        save_sealed(proto, partial)
        change = _change_of_others(encoder, OnnxEncoder(partial), images, len(data), row)
    logger.info("%s: camera %s is row %d, from %d crops", out, name, row, min(len(data), config.statistics_images))
    return {
        "camera": key,
        "name": name,
        "row": row,
        "images": min(len(data), config.statistics_images),
        "cameras": len(cameras),
        "max_change": change,
    }


def statistics_batches(rows: np.ndarray, config: EvaluateConfig, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """A camera's sample of images, cut into batches of nearly equal size.

    Args:
        rows: [n] int64 images of the camera.
        config: section [evaluate]: statistics_images, batch_size.
        rng: draws the sample.
    """
    chosen = rng.permutation(rows)[: config.statistics_images]
    yield from np.array_split(chosen, -(-len(chosen) // config.batch_size))


def _identify(camera: str, encoder: OnnxEncoder) -> tuple[int, str]:
    camera = camera.strip()
    if not camera:
        raise ValueError("the camera must have a number or a name, got an empty one")
    if camera in encoder.camera_names:
        return encoder.cameras[encoder.camera_names.index(camera)], camera
    if camera.isdecimal():
        return int(camera), camera
    return max((-1, *encoder.cameras)) + 1, camera


def _estimate(
    proto: onnx.ModelProto,
    norms: list[_Norm],
    encoder: OnnxEncoder,
    images: Crops,
    count: int,
    config: EvaluateConfig,
    stored: dict[str, str],
) -> list[tuple[np.ndarray, np.ndarray]]:
    """Mean and variance of each layer's input [c], averaged over batches as in `evaluate.features`."""
    mirrors = json.loads(stored[PREFIX + "preprocessing"])["mirror"]
    batches = list(statistics_batches(np.arange(count), config, np.random.default_rng(config.seed)))
    session = open_session(_statistics_graph(proto, norms).SerializeToString())
    sums: list[list[np.ndarray]] = [[np.zeros(1), np.zeros(1)] for _ in norms]
    seen = 0
    for batch in track(batches, label="statistics", unit="batches"):
        pixels = images(batch, (encoder.height, encoder.width))
        if not mirrors:  # a graph that mirrors sees both sides of every image
            pixels[1::2] = pixels[1::2, :, ::-1]
        given = encoder.inputs(pixels, np.full(len(batch), -1))
        found = session.run([f"{kind}/{norm.scale}" for norm in norms for kind in ("mean", "var", "shape")], given)
        for total, mean, var, shape in zip(sums, found[::3], found[1::3], found[2::3], strict=True):
            values = np.prod(shape) / shape[1]
            total[0] = total[0] + len(batch) * mean.astype(np.float64)
            total[1] = total[1] + len(batch) * var.astype(np.float64) * values / max(values - 1, 1)
        seen += len(batch)
    return [(total[0].ravel() / seen, total[1].ravel() / seen) for total in sums]


def _statistics_graph(proto: onnx.ModelProto, norms: list[_Norm]) -> onnx.ModelProto:
    """The graph as in training: each layer normalises by its batch, and tells the batch's mean and variance."""
    graph = onnx.ModelProto()
    graph.CopyFrom(proto)
    nodes = {output: node for node in graph.graph.node for output in node.output}
    readers: dict[str, list[onnx.NodeProto]] = {}
    for node in graph.graph.node:
        for name in node.input:
            readers.setdefault(name, []).append(node)
    replaced: dict[str, list[onnx.NodeProto]] = {}
    del graph.graph.output[:]
    for norm in norms:
        (factor,), (summand,) = readers[norm.scale], readers[norm.shift]
        (multiply,) = readers[factor.output[0]]
        (add,) = readers[summand.output[0]]
        (source,) = (name for name in multiply.input if name != factor.output[0])
        if multiply.output[0] not in add.input or nodes.get(source) is None:
            raise ValueError(f"the layer {norm.scale} is not written as a factor and a summand; export the file again")
        table = _initializer(graph, norm.scale)
        axes = [0, *range(2, max(2, len(table.dims)))]
        replaced[add.output[0]] = _batch_norm_nodes(graph, norm, source, add.output[0], axes, table.data_type)
        graph.graph.output.extend(
            helper.make_empty_tensor_value_info(f"{kind}/{norm.scale}") for kind in ("mean", "var", "shape")
        )
    ordered = [node for old in graph.graph.node for node in replaced.get(old.output[0], [old])]
    del graph.graph.node[:]
    graph.graph.node.extend(ordered)
    del graph.graph.value_info[:]
    return graph


def _batch_norm_nodes(
    graph: onnx.ModelProto, norm: _Norm, source: str, result: str, axes: list[int], kind: int
) -> list[onnx.NodeProto]:
    own = [
        numpy_helper.to_array(_initializer(graph, name))[-1:].astype(np.float32) for name in (norm.scale, norm.shift)
    ]
    at = f"{norm.scale}/"
    for name, value in (
        ("weight", own[0]),
        ("bias", own[1]),
        ("eps", np.array(norm.eps, np.float32)),
        ("axes", np.array(axes, np.int64)),
    ):
        graph.graph.initializer.append(numpy_helper.from_array(value, at + name))
    steps: tuple[tuple[str, list[str], str, dict[str, Any]], ...] = (
        ("Cast", [source], at + "x", {"to": TensorProto.FLOAT}),
        ("Shape", [at + "x"], f"shape/{norm.scale}", {}),
        ("ReduceMean", [at + "x", at + "axes"], f"mean/{norm.scale}", {"keepdims": 1}),
        ("Sub", [at + "x", f"mean/{norm.scale}"], at + "centred", {}),
        ("Mul", [at + "centred", at + "centred"], at + "squared", {}),
        ("ReduceMean", [at + "squared", at + "axes"], f"var/{norm.scale}", {"keepdims": 1}),
        ("Add", [f"var/{norm.scale}", at + "eps"], at + "positive", {}),
        ("Sqrt", [at + "positive"], at + "deviation", {}),
        ("Div", [at + "centred", at + "deviation"], at + "unit", {}),
        ("Mul", [at + "unit", at + "weight"], at + "weighted", {}),
        ("Add", [at + "weighted", at + "bias"], at + "result", {}),
        ("Cast", [at + "result"], result, {"to": kind}),
    )
    return [helper.make_node(kind_, inputs, [output], **more) for kind_, inputs, output, more in steps]


def _write_row(
    proto: onnx.ModelProto, norm: _Norm, row: int, mean: np.ndarray, var: np.ndarray, *, replaces: bool
) -> None:
    scale, shift = (_initializer(proto, name) for name in (norm.scale, norm.shift))
    factors, summands = (numpy_helper.to_array(table) for table in (scale, shift))
    weight, bias = (table[-1].ravel().astype(np.float64) for table in (factors, summands))
    factor = weight / np.sqrt(var + norm.eps)
    for table, old, new in ((scale, factors, factor), (shift, summands, bias - mean * factor)):
        line = new.reshape(old.shape[1:]).astype(old.dtype)[None]
        rows = np.concatenate([old[:row], line, old[row + replaces :]])
        table.CopyFrom(numpy_helper.from_array(rows, table.name))


def _initializer(proto: onnx.ModelProto, name: str) -> onnx.TensorProto:
    for tensor in proto.graph.initializer:
        if tensor.name == name:
            return tensor
    raise ValueError(f"the file lacks its table {name}; export it again")


def _change_of_others(before: OnnxEncoder, after: OnnxEncoder, images: Crops, count: int, row: int) -> float:
    """Greatest change of a feature under the other cameras and the unknown one."""
    pixels = images(np.arange(min(_COMPARED, count)), (before.height, before.width))
    worst = 0.0
    for camera in range(-1, len(before.cameras)):
        if camera != row:
            rows = np.full(len(pixels), camera)
            worst = max(worst, float(np.abs(before.encode_rows(pixels, rows) - after.encode_rows(pixels, rows)).max()))
    if not worst <= 1e-5:
        raise RuntimeError(f"the features of the other cameras would change by {worst}; the file stays as it is")
    if not np.isfinite(after.encode_rows(pixels, np.full(len(pixels), row))).all():
        raise RuntimeError("the features of the new camera are not finite; the file stays as it is")
    return worst
