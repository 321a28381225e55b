"""ONNX export: pixels and camera in, feature out, checked against torch before the file exists."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrealperson.checkpoint import load_checkpoint
from unrealperson.config import Config, format_config
from unrealperson.data.loader import Images, training_rows
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.data.transforms import MEAN, STD
from unrealperson.evaluate.statistics import estimate_statistics
from unrealperson.files import replacing, write_json
from unrealperson.log import get_logger
from unrealperson.models.cbn import freeze_statistics
from unrealperson.models.reid import ReidModel

logger = get_logger(__name__)

FORMAT_VERSION = "1"
WEIGHTS_LICENCES = {
    "efficientnet_lite0": "EfficientNet-Lite0 ImageNet weights (Apache-2.0)",
    "resnet50": "torchvision's ResNet-50 ImageNet weights (BSD-3-Clause)",
    "resnet50_ibn_a": "IBN-Net's ResNet-50-IBN-a ImageNet weights (MIT)",
    "osnet_x0_25": "torchreid's OSNet ImageNet weights (MIT)",
    "osnet_x1_0": "torchreid's OSNet ImageNet weights (MIT)",
}
PARITY_BATCHES = (1, 7, 64)


class FeatureGraph(nn.Module):
    """What is exported: the network with everything around it that a caller could get wrong.

    Args:
        model: the network, its tables filled.
        mirror: add the feature of the mirrored image.
    """

    def __init__(self, model: ReidModel, *, mirror: bool) -> None:
        super().__init__()
        self.model = model.eval()
        self.dimension = model.dimension
        self.mirror = mirror

    def forward(self, images: Tensor, camera: Tensor) -> Tensor:
        """[n, h, w, 3] uint8 RGB and [n] int64 table rows to [n, d] float32 of length 1."""
        x = ((images.to(torch.float32) - MEAN) / STD).permute(0, 3, 1, 2)
        if not self.mirror:
            return F.normalize(self.model(x, camera))
        both = self.model(torch.cat([x, x.flip(3)]), torch.cat([camera, camera]))
        return F.normalize(both.reshape(2, -1, self.dimension).sum(0))


def export(run: str | Path, out: str | Path, config: Config, data: Manifest | None = None) -> dict[str, Any]:
    """Writes the network of a run as ONNX, if ONNX Runtime computes what torch computes.

    The graph takes `images` uint8 [n, height, width, 3] RGB and `camera` int64 [n], the row of the
    camera in the metadata's list (any other number: unknown camera), and gives `features`
    float32 [n, d] of length 1. Normalisation, mirror and the statistics of each camera are inside.

    Args:
        run: folder of a training run.
        out: file to write; OUT.parity.json goes beside it.
        config: sections [evaluate] for the statistics and [export].
        data: crops of the cameras that the model will see, no labels needed; None is the run's training crops.

    Returns:
        The parity report: batches, min_cosine, max_abs_error, cameras, dimension.

    Raises:
        ValueError: no crops.
        FileNotFoundError: no such run, or its training crops are gone.
        RuntimeError: the ONNX file disagrees with torch, and is not written.
    """
    model, trained, state = load_checkpoint(run)
    if data is None:
        data = training_rows(read_images(state.data_root, skip_unreadable=True))
    if len(data) == 0:
        raise ValueError("there is no crop to take camera statistics from; give a data set with images")
    images = Images(data, height=trained.train.height, width=trained.train.width)
    keys = estimate_statistics(model, images, config.evaluate, with_unknown=True)
    graph = FeatureGraph(model, mirror=config.evaluate.mirror).eval()
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as partial:
        logger.info("writing the ONNX graph")
        frozen = FeatureGraph(freeze_statistics(model), mirror=config.evaluate.mirror)
        _write_onnx(frozen, partial, config, _metadata(images, keys, model.dimension, trained))
        report = _parity(graph, partial, images, len(keys))
        if not report["min_cosine"] >= config.export.min_cosine:
            raise RuntimeError(
                f"ONNX Runtime's features differ from torch's: smallest cosine {report['min_cosine']:.6f}, "
                f"needed {config.export.min_cosine}; {out} is not written"
            )
        report |= {"cameras": len(keys), "dimension": model.dimension, "opset": config.export.opset}
        write_json(out.with_name(out.name + ".parity.json"), report)
    logger.info(
        "ONNX Runtime agrees with torch: smallest cosine %.7f over %s images", report["min_cosine"], report["images"]
    )
    return report


def _write_onnx(graph: FeatureGraph, path: Path, config: Config, metadata: dict[str, str]) -> None:
    height, width = int(metadata["unrealperson.height"]), int(metadata["unrealperson.width"])
    example = (torch.zeros(2, height, width, 3, dtype=torch.uint8), torch.zeros(2, dtype=torch.int64))
    n = torch.export.Dim("n", min=1)
    with _quiet():
        program = torch.onnx.export(
            graph,
            example,
            dynamo=True,
            opset_version=config.export.opset,
            input_names=["images", "camera"],
            output_names=["features"],
            dynamic_shapes=({0: n}, {0: n}),
            verbose=False,
        )
        if program is None:
            raise RuntimeError("torch.onnx.export gave no graph")
        program.model.metadata_props.update(metadata)
        program.save(path, external_data=False)


def _metadata(images: Images, keys: np.ndarray, dimension: int, trained: Config) -> dict[str, str]:
    return {
        "unrealperson.format_version": FORMAT_VERSION,
        "unrealperson.cameras": json.dumps(keys.tolist()),
        "unrealperson.height": str(images.height),
        "unrealperson.width": str(images.width),
        "unrealperson.dimension": str(dimension),
        "unrealperson.config": format_config(trained),
        "unrealperson.data_sha256": images.manifest.sha256(),
        "unrealperson.licence": _licence(trained),
    }


def _licence(trained: Config) -> str:
    start = WEIGHTS_LICENCES[trained.train.backbone]
    if trained.train.weights == "none":
        start = "random numbers"
    elif trained.train.weights:
        start = f"weights of the user's own ({Path(trained.train.weights).name})"
    if trained.train.from_run:
        start = f"the weights of another run ({Path(trained.train.from_run).name})"
    return (
        f"unrealperson: Apache-2.0. Backbone initialised with {start}. "
        "The licence of the training images applies in addition."
    )


def _parity(graph: FeatureGraph, path: Path, images: Images, cameras: int) -> dict[str, Any]:
    """Compares torch and ONNX Runtime on noise and on crops, under known and unknown cameras."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    rng = np.random.default_rng(0)
    cosine, error, count = 1.0, 0.0, 0
    for n in PARITY_BATCHES:
        pixels = rng.integers(0, 256, (n, images.height, images.width, 3), dtype=np.uint8)
        crops = rng.permutation(len(images))[: (n + 1) // 2]
        pixels[: len(crops)] = images[crops]
        camera = rng.integers(-1, cameras + 2, n)
        (found,) = session.run(["features"], {"images": pixels, "camera": camera})
        with torch.inference_mode():
            expected = graph(torch.from_numpy(pixels), torch.from_numpy(camera)).numpy()
        if found.shape != expected.shape or not np.isfinite(found).all():
            raise RuntimeError(f"ONNX Runtime gave {list(found.shape)} for {n} images, torch {list(expected.shape)}")
        length = np.linalg.norm(found, axis=1) * np.linalg.norm(expected, axis=1)
        cosine = min(cosine, float(((found * expected).sum(1) / np.maximum(length, 1e-12)).min()))
        error = max(error, float(np.abs(found - expected).max()))
        count += n
    return {
        "batches": list(PARITY_BATCHES),
        "images": count,
        "min_cosine": cosine,
        "max_abs_error": error,
        "onnxruntime": onnxruntime.__version__,
        "torch": torch.__version__,
    }


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keeps the exporter's progress, its warnings about itself and its loggers' lines away."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "torch.export", "onnxscript", "onnx_ir")]
    levels = [each.level for each in loggers]
    try:
        for each in loggers:
            each.setLevel(logging.ERROR)
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        for each, level in zip(loggers, levels, strict=True):
            each.setLevel(level)
