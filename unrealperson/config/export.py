"""Configuration section [export]: the ONNX file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from unrealperson.config.check import require


@dataclass(frozen=True, kw_only=True)
class ExportConfig:
    """ONNX export and its parity gate."""

    statistics: Literal["cameras", "folded", "global"] = "cameras"
    """Batch norm as tables of all cameras with a camera input; or folded into the convolutions for one camera; or for
    the statistics of all cameras."""
    camera: int = -1
    """The camera that "folded" folds."""
    pixels: bool = True
    """Take 8-bit RGB images and normalise them in the graph; off: float32 [n, 3, height, width], normalised."""
    resize: bool = True
    """Take images of any size and resize them in the graph as Pillow would; off: of the network's size only."""
    precision: Literal["float32", "float16", "int8"] = "float32"
    """Of weights and products; int8 is calibrated on the crops."""
    calibration_images: int = 128
    """Crops that give the ranges of int8."""
    opset: int = 18
    """ONNX operator set, 18 or newer."""
    min_cosine: float = 0.0
    """Smallest cosine between the torch and the ONNX feature of one image; below it no file is written. 0: what suits
    the precision, 0.9999 for float32, 0.99 for float16, 0.9 for int8."""
    min_rank1_agreement: float = 0.0
    """Share of crops whose nearest other crop must be the same by both; 0: 0.98 for float32, 0.95 for float16, 0.9 for
    int8."""

    def __post_init__(self) -> None:
        require(self.opset >= 18, f"export.opset must be at least 18, got {self.opset}")
        require(
            self.calibration_images >= 1, f"export.calibration_images must be at least 1, got {self.calibration_images}"
        )
        for name in ("min_cosine", "min_rank1_agreement"):
            require(0 <= getattr(self, name) <= 1, f"export.{name} must lie in 0 ... 1, got {getattr(self, name)}")
        require(
            (self.statistics == "folded") == (self.camera != -1),
            f'export.camera names the camera that export.statistics "folded" folds, and goes with it alone; got '
            f"camera {self.camera} with {self.statistics!r}",
        )
