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

    Weights have a scale per output channel; the ranges of what flows between the layers are the extremes that the
    batches show (static quantisation).

    Args:
        network: in float32.
        batches: its inputs, by name.
    """
    from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_static

    class Batches(CalibrationDataReader):
        def get_next(self) -> dict[str, np.ndarray] | None:
            return next(batches, None)

    with tempfile.TemporaryDirectory() as folder, _without_advice():
        quantize_static(
            network,
            Path(folder, "int8.onnx"),
            Batches(),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QUInt8,
            weight_type=QuantType.QInt8,
            op_types_to_quantize=_INTEGER_OPERATORS,
        )
        return onnx.load(Path(folder, "int8.onnx"))


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
