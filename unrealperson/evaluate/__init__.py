"""Evaluation: features of a data set, and how well they find people across cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.checkpoint import CONFIG_FILE, load_checkpoint
from unrealperson.config import Config, load_config, save_config
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.evaluate.features import extract
from unrealperson.evaluate.statistics import estimate_statistics
from unrealperson.evaluate.metrics import evaluate, format_metrics, ranking, score, split_rows, summarise
from unrealperson.files import write_json
from unrealperson.log import get_logger
from unrealperson.models.reid import ReidModel, build_model
from unrealperson.schema import Features

logger = get_logger(__name__)

__all__ = [
    "estimate_statistics",
    "evaluate",
    "evaluate_manifest",
    "evaluate_run",
    "extract",
    "extract_run",
    "format_metrics",
]


def evaluate_run(run: str | Path | None, data: str | Path, out: str | Path | None, config: Config) -> dict[str, Any]:
    """Scores a network on a folder of crops.

    Args:
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        data: data set, or folder of crops whose names tell identity and camera.
        out: folder for metrics.json, features.npz and ranking.json; None writes nothing.
        config: section [evaluate]; [train] where `run` is None.

    Returns:
        What `evaluate` returns, and "model" and "data".

    Raises:
        ValueError: nothing to score; the message says what the data lack.
        FileNotFoundError: no such run or data.
    """
    return evaluate_manifest(run, read_images(data, skip_unreadable=True), out, config)


def evaluate_manifest(
    run: str | Path | None, manifest: Manifest, out: str | Path | None, config: Config
) -> dict[str, Any]:
    """Scores a network on crops; see `evaluate_run`.

    Rows with split "query" and "gallery" are scored as such; otherwise rows with split "test", or all rows
    where none has a split, and the first image of each identity and camera is a query.

    Args:
        run: folder of a training run, or None.
        manifest: the crops.
        out: folder for the results, or None.
        config: section [evaluate]; [train] where `run` is None.

    Raises:
        ValueError: nothing to score; the message says what the data lack.
    """
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)  # what cannot be written must not cost the minutes before
    split = manifest.split
    divided = {"query", "gallery"} <= set(split)
    if divided:
        manifest = manifest.select(np.isin(split, ("query", "gallery")))
    elif (split == "test").any():
        manifest = manifest.select(split == "test")
    elif (split != "").any():
        raise ValueError(
            f"{manifest.root} has no test images (its splits are {', '.join(sorted(set(split) - {''}))}); "
            "set synth.test_people above 0, or give a data set with query and gallery"
        )
    features = extract_run(run, manifest, config)
    if divided:
        query, gallery = np.flatnonzero(manifest.split == "query"), np.flatnonzero(manifest.split == "gallery")
    else:
        query, gallery = split_rows(features)
    scores = score(features, query, gallery)
    metrics = summarise(features, scores, config.evaluate, gallery=len(gallery))
    metrics |= {
        "model": _model_name(run, config),
        "data": str(manifest.root.absolute()),
    }
    if out is not None:
        out = Path(out)
        save_config(config, out / "config.toml")
        features.save(out / "features.npz")
        write_json(out / "ranking.json", ranking(features, scores))
        write_json(out / "metrics.json", metrics)
    return metrics


def extract_run(run: str | Path | None, manifest: Manifest, config: Config) -> Features:
    """Gives each crop its feature, with batch-norm statistics of the crops' own cameras.

    Args:
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        manifest: the crops.
        config: section [evaluate]; [train] where `run` is None.

    Raises:
        ValueError: no image, or an unreadable one.
        FileNotFoundError: no such run.
    """
    if len(manifest) == 0:
        raise ValueError(f"there is no image to take features of below {manifest.root}")
    model, config_of_run = load_model(run, config)
    images = Images(manifest, height=config_of_run.train.height, width=config_of_run.train.width)
    return extract(model, images, config.evaluate)


def load_model(run: str | Path | None, config: Config) -> tuple[ReidModel, Config]:
    """The network of a run and the configuration that it was trained with.

    Args:
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        config: used where `run` is None.
    """
    if run is None:
        return build_model(config.train, classes=1, cameras=0).eval(), config
    model, stored, _ = load_checkpoint(run)
    return model, stored


def _model_name(run: str | Path | None, config: Config) -> str:
    if run is None:
        return f"{config.train.backbone}, ImageNet weights, untrained"
    trained = load_config(Path(run) / CONFIG_FILE).train
    return f"{trained.backbone} + {trained.norm.upper()}, trained"
