"""ONNX export: pixels and camera in, feature out, checked against torch before the file exists."""

from __future__ import annotations

import contextlib
import io
import json
import logging
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from unrealperson.cards import CARD_FILE, weights_origin, with_scores
from unrealperson.checkpoint import load_checkpoint
from unrealperson.config import Config, ExportConfig, format_config
from unrealperson.data.loader import Images, training_rows
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.data.transforms import MEAN, STD, normalise
from unrealperson.evaluate.statistics import camera_index, estimate_statistics
from unrealperson.export.encoder import FORMAT_VERSION, PREFIX, OnnxEncoder
from unrealperson.export.entrance import FEATURES, NORMALISED, ROWS, add_entrance, resize_as_graph
from unrealperson.export.parity import compare, crops_of, require_parity
from unrealperson.export.quantise import to_int8
from unrealperson.export.seal import save_sealed
from unrealperson.files import replacing, write_json, write_text
from unrealperson.log import get_logger
from unrealperson.models.cbn import FrozenCameraNorm, fold_statistics, freeze_statistics
from unrealperson.models.reid import ReidModel

logger = get_logger(__name__)

GATES = {"float32": (0.9999, 0.98), "float16": (0.99, 0.95), "int8": (0.9, 0.9)}
"""Smallest cosine and smallest rank-1 agreement that pass, where the configuration names none."""
_CALIBRATION_BATCH = 8


class FeatureGraph(nn.Module):
    """The network with what follows it: the mirrored image's feature added, the sum to length 1.

    Args:
        model: the network, its statistics final, in float32 or float16.
        mirror: add the feature of the mirrored image.
    """

    def __init__(self, model: ReidModel, *, mirror: bool) -> None:
        super().__init__()
        self.model = model.eval()
        self.dimension = model.dimension
        self.mirror = mirror

    def forward(self, normalised: Tensor, rows: Tensor | None = None) -> Tensor:
        """[n, 3, h, w] float32 and [n] int64 table rows, where there are tables, to [n, d] float32 of length 1."""
        if rows is None:
            rows = torch.zeros(1, dtype=torch.int64)
        x = normalised.to(next(self.model.parameters()).dtype)
        if not self.mirror:
            return F.normalize(self.model(x, rows).float())
        both = self.model(torch.cat([x, x.flip(3)]), torch.cat([rows, rows])).float()
        return F.normalize(both.reshape(2, -1, self.dimension).sum(0))


@dataclass(frozen=True)
class _Statistics:
    """Which statistics a file holds.

    Attributes:
        cameras: global camera of each row of its tables; empty where one row was folded.
        row: the folded row, -1 that of all cameras; None where the file has tables.
    """

    cameras: tuple[int, ...]
    row: int | None


def export(run: str | Path, out: str | Path, config: Config, data: Manifest | None = None) -> dict[str, Any]:
    """Writes the network of a run as ONNX, if ONNX Runtime computes what torch computes.

    The graph takes `images` uint8 [n, height, width, 3] RGB of any size and `camera` int64 [n], the row of the
    camera in the metadata's list (any other number: unknown camera), and gives `features`
    float32 [n, d] of length 1. Resizing, normalisation, mirror and the statistics of each camera are inside;
    section [export] leaves each out.

    Args:
        run: folder of a training run.
        out: file to write; OUT.parity.json and OUT.card.md go beside it.
        config: sections [evaluate] for the statistics and the mirror, and [export].
        data: crops of the cameras that the model will see, no labels needed; None is the run's training crops.

    Returns:
        The parity report: what `parity.compare` gives, and precision, statistics, cameras, dimension, opset, bytes.

    Raises:
        ValueError: no crops, or a camera to fold that they do not show.
        FileNotFoundError: no such run, or its training crops are gone.
        RuntimeError: the ONNX file disagrees with torch, and is not written.
    """
    model, trained, state = load_checkpoint(run)
    settings = config.export
    if data is None:
        data = training_rows(read_images(state.data_root, skip_unreadable=True))
    if len(data) == 0:
        raise ValueError("there is no crop to take camera statistics from; give a data set with images")
    if settings.statistics == "folded" and settings.camera not in data.camid:
        known = ", ".join(map(str, data.cameras[:20])) or "none"
        raise ValueError(f"the crops show no camera {settings.camera}; they show {known}")
    images = Images(data, height=trained.train.height, width=trained.train.width)
    keys = estimate_statistics(model, images, config.evaluate, with_unknown=True)
    statistics = _chosen_statistics(model, keys, settings)
    out = Path(out)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as partial:
        logger.info("writing the ONNX graph")
        final = _final(model, statistics)
        network = _torch_to_onnx(final, (images.height, images.width), statistics, config)
        if settings.precision == "int8":
            network = to_int8(network, _calibration_batches(images, statistics, settings.calibration_images))
        whole = add_entrance(
            network,
            height=images.height,
            width=images.width,
            mean=MEAN,
            std=STD,
            pixels=settings.pixels,
            resize=settings.pixels and settings.resize,
            cameras=len(statistics.cameras) if statistics.row is None else None,
        )
        onnx.helper.set_model_props(whole, _metadata(images, final, statistics, trained, config, Path(run)))
        save_sealed(whole, partial)
        onnx.checker.check_model(str(partial), full_check=True)
        report = _parity(model, partial, images, statistics, config)
        report |= {
            "precision": settings.precision,
            "statistics": settings.statistics,
            "cameras": len(statistics.cameras),
            "dimension": model.dimension,
            "opset": settings.opset,
            "bytes": partial.stat().st_size,
            "onnxruntime": onnxruntime.__version__,
            "torch": torch.__version__,
        }
        gates = zip((settings.min_cosine, settings.min_rank1_agreement), GATES[settings.precision], strict=True)
        cosine, agreement = (given or usual for given, usual in gates)
        require_parity(report, min_cosine=cosine, min_rank1_agreement=agreement, what=str(out))
        write_json(out.with_name(out.name + ".parity.json"), report)
        _write_card(Path(run), out, report)
    logger.info(
        "ONNX Runtime agrees with torch: smallest cosine %.7f over %d images, same rank-1 for %.1f %% of %d crops",
        report["min_cosine"], report["images"], 100 * report["rank1_agreement"], report["rank1_images"],
    )  # fmt: skip
    return report


def _chosen_statistics(model: ReidModel, keys: np.ndarray, settings: ExportConfig) -> _Statistics:
    if model.context is None:
        if settings.statistics == "folded":
            raise ValueError("the run has plain batch norm, the same for all cameras; leave out export.statistics")
        return _Statistics((), -1)
    if settings.statistics == "cameras":
        return _Statistics(tuple(int(key) for key in keys), None)
    return _Statistics((), int(np.flatnonzero(keys == settings.camera)[0]) if settings.statistics == "folded" else -1)


def _final(model: ReidModel, statistics: _Statistics) -> ReidModel:
    if statistics.row is None or model.context is None:
        return freeze_statistics(model)
    folded = fold_statistics(model, statistics.row)
    folded.context = None
    return folded


def _torch_to_onnx(model: ReidModel, size: tuple[int, int], statistics: _Statistics, config: Config) -> onnx.ModelProto:
    if config.export.precision == "float16":
        model = model.half()
    example: tuple[Tensor, ...] = (torch.zeros(2, 3, *size), torch.zeros(2, dtype=torch.int64))
    if statistics.row is not None:
        example = example[:1]
    n = torch.export.Dim("n", min=1)
    with _quiet():
        program = torch.onnx.export(
            FeatureGraph(model, mirror=config.evaluate.mirror).eval(),
            example,
            dynamo=True,
            opset_version=config.export.opset,
            input_names=[NORMALISED, ROWS][: len(example)],
            output_names=[FEATURES],
            dynamic_shapes=[{0: n} for _ in example] if len(example) > 1 else ({0: n},),
            verbose=False,
        )
        if program is None:
            raise RuntimeError("torch.onnx.export gave no graph")
        return _without_traces(program.model_proto)


def _without_traces(model: onnx.ModelProto) -> onnx.ModelProto:
    """The graph without what torch notes about each node, which holds paths of the machine that exported it."""
    graph = model.graph
    for part in (graph, *graph.node, *graph.value_info, *graph.input, *graph.output, *graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    for function in model.functions:
        for part in (function, *function.node, *function.value_info):
            del part.metadata_props[:]
            part.doc_string = ""
    return model


def _metadata(
    images: Images, model: ReidModel, statistics: _Statistics, trained: Config, config: Config, run: Path
) -> dict[str, str]:
    settings = config.export
    norms = [
        {"scale": f"model.{name}.scale", "shift": f"model.{name}.shift", "eps": layer.eps}
        for name, layer in model.named_modules()
        if isinstance(layer, FrozenCameraNorm)
    ]
    preprocessing = {
        "pixels": settings.pixels,
        "resize": settings.pixels and settings.resize,
        "mean": MEAN,
        "std": STD,
        "mirror": config.evaluate.mirror,
    }
    return {
        PREFIX + key: value if isinstance(value, str) else json.dumps(value)
        for key, value in {
            "format_version": FORMAT_VERSION,
            "cameras": statistics.cameras,
            "camera_names": [str(camera) for camera in statistics.cameras],
            "statistics": settings.statistics if statistics.row is None or model.context else "global",
            "folded_camera": settings.camera,
            "norms": norms,
            "precision": settings.precision,
            "preprocessing": preprocessing,
            "height": images.height,
            "width": images.width,
            "dimension": model.dimension,
            "config": format_config(trained),
            "data_sha256": images.manifest.sha256(),
            "licence": _licence(trained),
            "metrics": _metrics(run),
        }.items()
    }


def _metrics(run: Path) -> dict[str, Any]:
    """The last of what training recorded, and the scores of an evaluation whose --out was the run's folder."""
    found: dict[str, Any] = {}
    lines = (
        (run / "metrics.jsonl").read_text(encoding="utf-8").splitlines() if (run / "metrics.jsonl").is_file() else []
    )
    if lines:
        found["training"] = json.loads(lines[-1])
    if (run / "metrics.json").is_file():
        found["evaluation"] = json.loads((run / "metrics.json").read_text(encoding="utf-8"))
    return found


def _write_card(run: Path, out: Path, report: dict[str, Any]) -> None:
    """The run's card, with the scores of an evaluation whose --out was the run's folder, and what the file is."""
    if not (run / CARD_FILE).is_file():
        return
    card = (run / CARD_FILE).read_text("utf-8")
    metrics = _metrics(run).get("evaluation", {})
    if "cmc" in metrics:
        card = with_scores(card, metrics)
    card += (
        f"\n## This file\n\n`{out.name}`: ONNX, {report['precision']}, statistics {report['statistics']} of "
        f"{report['cameras']} cameras, {report['dimension']} numbers a vector. Scores above are of the network in "
        f"torch; the file's vectors have a cosine of at least {report['min_cosine']:.5f} with its own.\n"
    )
    write_text(out.with_name(f"{out.name}.{CARD_FILE}"), card)


def _licence(trained: Config) -> str:
    return (
        f"unrealperson: Apache-2.0. Backbone initialised with {weights_origin(trained)}. "
        "The licence of the training images applies in addition."
    )


def _calibration_batches(images: Images, statistics: _Statistics, most: int) -> Iterator[dict[str, np.ndarray]]:
    """Inputs of the network alone, drawn from the crops: every other one under statistics that are not its camera's."""
    rng = np.random.default_rng(0)
    chosen = rng.permutation(len(images))[:most]
    whole = max(1, len(chosen) // _CALIBRATION_BATCH)  # the tool wants batches of one size
    for part in chosen[: whole * _CALIBRATION_BATCH].reshape(whole, -1):
        given = {NORMALISED: normalise(images[part]).numpy()}
        if statistics.row is None:
            own = camera_index(images.manifest.camid[part], np.array(statistics.cameras, np.int64))
            other = rng.integers(0, len(statistics.cameras) + 1, len(own))
            given[ROWS] = np.where(np.arange(len(own)) % 2, own, other)
        yield given


def _parity(model: ReidModel, path: Path, images: Images, statistics: _Statistics, config: Config) -> dict[str, Any]:
    """Compares the file with the network as it was evaluated, not with the copy that was written."""
    graph = FeatureGraph(model, mirror=config.evaluate.mirror).eval()
    encoder = OnnxEncoder(path)

    def expected(pixels: np.ndarray, rows: np.ndarray) -> np.ndarray:
        fitting = resize_as_graph(pixels, height=images.height, width=images.width)
        chosen = rows if statistics.row is None else np.full(len(rows), statistics.row)
        with torch.inference_mode():
            return graph(normalise(fitting), torch.from_numpy(chosen)).numpy()

    return compare(
        expected,
        encoder.encode_rows,
        crops=crops_of(images.manifest),
        count=len(images),
        size=(images.height, images.width),
        cameras=len(statistics.cameras),
        any_size=encoder.any_size,
        noise=config.export.precision != "int8",  # whose ranges are those of crops
    )


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
