"""Products of 8-bit integers in an ONNX graph, their ranges taken from crops. Needs no torch."""

from __future__ import annotations

import logging
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import onnx

_INTEGER_OPERATORS = ["Conv", "MatMul", "Gemm"]


def to_int8(network: onnx.ModelProto, batches: Iterator[dict[str, np.ndarray]]) -> onnx.ModelProto:
    """The same network with convolutions and products of 8-bit integers.

    Weights have a scale per output channel; the ranges of what flows between the layers are all that the batches show
    (static quantisation): leaving out even the rarest numbers costs more than it gains. The first and the depthwise
    convolutions, which are few products and lose most, stay float32.

    Args:
        network: in float32.
        batches: its inputs, by name.
    """
    from onnxruntime.quantization import (
        CalibrationDataReader,
        CalibrationMethod,
        QuantFormat,
        QuantType,
        quantize_static,
    )

    class Batches(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(batches, None)

    for number, node in enumerate(network.graph.node):
        node.name = node.name or f"{node.op_type}_{number}"
    with tempfile.TemporaryDirectory() as folder, _without_advice():
        onnx.save(network, Path(folder, "float32.onnx"))
        quantize_static(
            Path(folder, "float32.onnx"),
            Path(folder, "int8.onnx"),
            Batches(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_INTEGER_OPERATORS,
            nodes_to_exclude=list(_delicate(network)),
            calibrate_method=CalibrationMethod.MinMax,
        )
        return onnx.load(Path(folder, "int8.onnx"))


def _delicate(network: onnx.ModelProto) -> Iterator[str]:
    """Names of the convolutions of the image itself and of single channels."""
    shapes = {tensor.name: tensor.dims for tensor in network.graph.initializer}
    for node in network.graph.node:
        if node.op_type == "Conv":
            group = next((entry.i for entry in node.attribute if entry.name == "group"), 1)
            if group > 1 or shapes.get(node.input[1], [0, 0])[1] == 3:
                yield node.name


@contextmanager
def _without_advice() -> Iterator[None]:
    """Keeps the tools' hints about pre-processing away, which they give through the root logger."""
    root = logging.getLogger()
    level = root.level
    root.setLevel(logging.ERROR)
    try:
        yield
    finally:
        root.setLevel(level)
