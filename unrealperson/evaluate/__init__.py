"""Evaluation: features of a data set, and how well they find people across cameras."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.cards import CARD_FILE, with_scores
from unrealperson.checkpoint import CONFIG_FILE, load_checkpoint
from unrealperson.config import Config, EvaluateConfig, load_config, save_config
from unrealperson.data.loader import Images
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.data.subsets import where
from unrealperson.distributed import compute_device
from unrealperson.evaluate.camera_pairs import score_camera_pairs
from unrealperson.evaluate.curve import score_curve
from unrealperson.evaluate.factors import score_factors
from unrealperson.evaluate.features import extract
from unrealperson.evaluate.metrics import cameras_known, evaluate, ranking, score, split_rows, summarise
from unrealperson.evaluate.open_set import score_open_set
from unrealperson.evaluate.rerank import score_reranked
from unrealperson.evaluate.statistics import Tables, estimate_statistics
from unrealperson.evaluate.stored import extract_to
from unrealperson.evaluate.summary import format_metrics
from unrealperson.evaluate.temporal import score_joint
from unrealperson.executor import Executor, in_turn
from unrealperson.files import write_json, write_text
from unrealperson.log import get_logger
from unrealperson.models.cbn import convert_camera_batch_norm
from unrealperson.models.reid import ReidModel, build_model
from unrealperson.schema import UNKNOWN, Features

logger = get_logger(__name__)

__all__ = [
    "estimate_statistics",
    "evaluate",
    "evaluate_manifest",
    "evaluate_run",
    "extract",
    "extract_run",
    "extract_run_to",
    "format_metrics",
]


def evaluate_run(
    run: str | Path | None,
    data: str | Path,
    out: str | Path | None,
    config: Config,
    *,
    query: str | Path | None = None,
    factors: bool = False,
    curve: bool = False,
) -> dict[str, Any]:
    """Scores a network on a folder of crops.

    Args:
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        data: data set, or folder of crops whose names tell identity and camera.
        out: folder for metrics.json, metrics.txt, features.npz, ranking.json and the model's card; None writes nothing.
        config: section [evaluate]; [train] where `run` is None.
        query: image or folder of the queries, whose gallery the data are; None takes both from the data.
        factors: also score by view, light, occlusion, distance, accessories and look-alikes.
        curve: also score with statistics from few images of each camera.

    Returns:
        What `evaluate_manifest` returns.

    Raises:
        ValueError: nothing to score; the message says what the data lack.
        FileNotFoundError: no such run or data.
    """
    manifest = read_images(data, skip_unreadable=True)
    if query is not None:
        manifest = _with_queries(manifest, Path(query))
    return evaluate_manifest(run, manifest, out, config, factors=factors, curve=curve)


def evaluate_manifest(
    run: str | Path | None,
    manifest: Manifest,
    out: str | Path | None,
    config: Config,
    *,
    factors: bool = False,
    curve: bool = False,
) -> dict[str, Any]:
    """Scores a network on crops; see `evaluate_run`.

    Rows with split "query" and "gallery" are scored as such; otherwise rows with split "test", or all rows
    where none has a split, and the first image of each identity and camera is a query.

    Args:
        run: folder of a training run, or None.
        manifest: the crops.
        out: folder for the results, or None.
        config: section [evaluate]; [train] where `run` is None.
        factors: also score by what is known of the crops.
        curve: also score with statistics from few images of each camera.

    Returns:
        What `evaluate` returns, and model, data, statistics (camera, images, source), camera_pairs, open_set, and where
        they are asked for reranked, joint, factors and curve.

    Raises:
        ValueError: nothing to score; the message says what the data lack.
    """
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)  # what cannot be written must not cost the minutes before
    settings = config.evaluate
    manifest, divided = _scored_rows(manifest, settings)
    if divided:
        query, gallery = np.flatnonzero(manifest.split == "query"), np.flatnonzero(manifest.split == "gallery")
    else:
        query, gallery = split_rows(_labels(manifest))
    images, model = _images_and_model(run, manifest, config)
    features, tables = extract(model, images, settings, query=query)
    scores = score(features, query, gallery)
    metrics = summarise(features, scores, settings, gallery=len(gallery))
    metrics |= {
        "model": _model_name(run, config),
        "data": str(manifest.root.absolute()),
        "cameras_known": cameras_known(features),
        "statistics": _describe(tables, images.manifest, settings),
        "camera_pairs": score_camera_pairs(features, query, gallery),
        "open_set": score_open_set(features, query, gallery, settings),
    }
    if settings.rerank:
        again = score_reranked(features, query, gallery, settings)
        metrics["reranked"] = summarise(features, again, settings, gallery=len(gallery))
    if settings.joint:
        again = score_joint(features, query, gallery, settings)
        metrics["joint"] = summarise(features, again, settings, gallery=len(gallery))
    if factors:
        metrics["factors"] = score_factors(features, manifest, gallery, settings)
    if curve:
        untouched, _ = load_model(run, config)
        path = None if out is None else Path(out) / "curve.json"
        metrics["curve"] = score_curve(untouched, images, query, gallery, settings, path)
    if out is not None:
        out = Path(out)
        save_config(config, out / "config.toml")
        features.save(out / "features.npz")
        write_json(out / "ranking.json", ranking(features, scores))
        write_text(out / "metrics.txt", format_metrics(metrics) + "\n")
        write_json(out / "metrics.json", metrics)
        if run is not None and (card := Path(run) / CARD_FILE).is_file():
            write_text(out / CARD_FILE, with_scores(card.read_text("utf-8"), metrics))
    return metrics


def extract_run(
    run: str | Path | None, manifest: Manifest, config: Config, *, executor: Executor | None = None
) -> Features:
    """Gives each crop its feature, with batch-norm statistics of the crops' own cameras.

    Args:
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        manifest: the crops.
        config: section [evaluate]; [train] where `run` is None.
        executor: who takes the features, once the statistics are known; None is this process.

    Raises:
        ValueError: no image, or an unreadable one.
        FileNotFoundError: no such run.
    """
    images, model = _images_and_model(run, manifest, config)
    return extract(model, images, config.evaluate, query=_queries(manifest), executor=executor)[0]


def extract_run_to(
    url: str, run: str | Path | None, manifest: Manifest, config: Config, *, executor: Executor | None = None
) -> int:
    """Puts each crop's feature below a URL, in parts, or finishes what was begun there; see `stored.extract_to`.

    Args:
        url: folder to fill, such as s3://bucket/features.
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        manifest: the crops.
        config: section [evaluate]; [train] where `run` is None.
        executor: who takes the features, once the statistics are known; None is this process.

    Returns:
        How many parts there are.

    Raises:
        ValueError: no image, an unreadable one, or a folder that was begun with something else.
        FileNotFoundError: no such run.
    """
    images, model = _images_and_model(run, manifest, config)
    return extract_to(url, model, images, config.evaluate, query=_queries(manifest), executor=executor or in_turn)


def _queries(manifest: Manifest) -> np.ndarray | None:
    return np.flatnonzero(manifest.split == "query") if (manifest.split == "query").any() else None


def load_model(run: str | Path | None, config: Config) -> tuple[ReidModel, Config]:
    """The network of a run, on the device that computes here, and the configuration that it was trained with.

    Args:
        run: folder of a training run; None is the backbone with ImageNet weights, untrained.
        config: section [evaluate]: norm; [train] where `run` is None.
    """
    if run is None:
        model, stored = build_model(config.train, classes=1, cameras=0).eval(), config
    else:
        model, stored, _ = load_checkpoint(run)
    if config.evaluate.norm == "cbn" and model.context is None:
        model.context = convert_camera_batch_norm(model, cameras=0)
    return model.to(compute_device()), stored


def _images_and_model(run: str | Path | None, manifest: Manifest, config: Config) -> tuple[Images, ReidModel]:
    if len(manifest) == 0:
        raise ValueError(f"there is no image to take features of below {manifest.root}")
    model, config_of_run = load_model(run, config)
    return Images(manifest, height=config_of_run.train.height, width=config_of_run.train.width), model


def _scored_rows(manifest: Manifest, config: EvaluateConfig) -> tuple[Manifest, bool]:
    """The rows to score, and whether they are divided into query and gallery."""
    split = manifest.split
    divided = {"query", "gallery"} <= set(split)
    if divided:
        chosen = manifest.select(np.isin(split, ("query", "gallery")))
    elif (split == "test").any():
        chosen = manifest.select(split == "test")
    elif (split != "").any():
        raise ValueError(
            f"{manifest.root} has no test images (its splits are {', '.join(sorted(set(split) - {''}))}); "
            "set synth.test_people above 0, or give a data set with query and gallery"
        )
    else:
        chosen = manifest
    kept = where(chosen, config.where)
    if len(chosen) and not len(kept):
        raise ValueError(f"none of {len(chosen)} rows meets evaluate.where = {list(config.where)}")
    return kept, divided


def _labels(manifest: Manifest) -> Features:
    """What is known of the crops before there are features."""
    return Features(
        np.empty((len(manifest), 0), np.float32), manifest.pid, manifest.camid, manifest.frame, manifest.path
    )


def _with_queries(gallery: Manifest, path: Path) -> Manifest:
    """The gallery, less the queries where they are in it, and the queries beside it."""
    if not path.exists():
        raise FileNotFoundError(f"there is no image or folder {path} to look for")
    files = [gallery.image_path(row).resolve() for row in range(len(gallery))]
    if path.resolve() in files:
        query = gallery.select([files.index(path.resolve())])
    elif path.is_file():
        query = read_images(path.parent, keep_unreadable=True)
        query = query.select([row for row in range(len(query)) if query.image_path(row).samefile(path)])
    else:
        query = read_images(path, skip_unreadable=True)
    if not len(query) or (query.pid == UNKNOWN).all():
        raise ValueError(
            f"{path}: a query needs a name that tells who it shows, such as 0002_c1s1_000451_03.jpg (identity 2, "
            "camera 1); to look for somebody unknown take 'unrealperson search'"
        )
    asked = {query.image_path(row).resolve() for row in range(len(query))}
    rest = gallery.select([row for row, file in enumerate(files) if file not in asked])
    return Manifest.concatenate(
        [query.replaced("split", ["query"] * len(query)), rest.replaced("split", ["gallery"] * len(rest))]
    )


def _describe(tables: Tables, manifest: Manifest, config: EvaluateConfig) -> list[dict[str, Any]]:
    """Which statistics each camera was scored with."""
    entries: list[dict[str, Any]] = []
    for key, images, source in zip(tables.keys.tolist(), tables.images.tolist(), tables.source, strict=True):
        entry = {"camera": key, "images": images, "source": source}
        if config.statistics == "split":
            entry |= {"camera": key // 2, "part": "gallery" if key % 2 else "query"}
        if entry["camera"] not in manifest.cameras:
            entry["part"] = "pseudo-camera"
        entries.append(entry)
    return entries


def _model_name(run: str | Path | None, config: Config) -> str:
    if run is None:
        return f"{config.train.backbone}, ImageNet weights, untrained"
    trained = load_config(Path(run) / CONFIG_FILE).train
    return f"{trained.backbone} + {trained.norm.upper()}, trained"
