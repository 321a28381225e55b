"""The whole pipeline in small: every stage once, from nothing to a report.

The folder of a demo:

    data/             synthesised crops, manifest.parquet, one sample frame per camera
    before/ after/    scores of the ImageNet backbone and of the trained network
    run/              checkpoint, metrics.jsonl
    model.onnx        exported network and its parity report
    gallery/          the held-out crops, indexed
    real/             the same for the user's own crops, where they are given
    timings.json      seconds and memory of each stage
    report.html
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson import __version__
from unrealperson.config import Config, load_config, save_config
from unrealperson.data.manifest import Manifest
from unrealperson.data.sources import read_images
from unrealperson.files import write_json
from unrealperson.log import get_logger

logger = get_logger(__name__)

QUERIES = 8
"""Queries of unlabelled crops shown in the report."""


def run_demo(config: Config, out: Path, *, real: Path | None = None) -> Path:
    """Runs synth, train, evaluate, export, index, search and report; finished stages are kept.

    Args:
        config: all sections.
        out: folder of the demo.
        real: folder of the user's own crops, or None.

    Returns:
        Path of the report.

    Raises:
        ValueError: `out` holds a demo of another configuration, or `real` has no usable images.
    """
    from unrealperson.evaluate import evaluate_run, format_metrics
    from unrealperson.export.convert import export
    from unrealperson.gallery import Gallery, index_images
    from unrealperson.report.demo import write_report
    from unrealperson.synth.shards import synthesize
    from unrealperson.train import train

    # Bad input of the last stage must not cost the minutes of the ones before.
    crops = None if real is None else read_images(real, skip_unreadable=True)
    if crops is not None and not len(crops):
        raise ValueError(f"the manifest of {real} lists no crop")
    _claim(out, config)
    stages = _Stages(out / "timings.json")
    data, run, model = out / "data", out / "run", out / "model.onnx"

    with stages.stage("synth", done=(data / "manifest.parquet").is_file(), resumes=True) as needed:
        manifest = synthesize(config, data) if needed else Manifest.read(data)
    with stages.stage("evaluate before", done=(out / "before" / "metrics.json").is_file()) as needed:
        if needed:
            evaluate_run(None, data, out / "before", config)
    with stages.stage("train", done=_is_trained(run, config.train.epochs), resumes=True) as needed:
        if needed:
            train(manifest, config, run)
    with stages.stage("evaluate after", done=(out / "after" / "metrics.json").is_file()) as needed:
        if needed:
            evaluate_run(run, data, out / "after", config)
    with stages.stage("export", done=model.is_file()) as needed:
        if needed:
            export(run, model, config, manifest)
    held_out = manifest.select(manifest.split == "test")
    with stages.stage("index", done=(out / "gallery" / "gallery.json").is_file()) as needed:
        if needed:
            index_images(model, held_out, out / "gallery", config.search)
    with stages.stage("search"):
        query = held_out.image_path(0)
        hits = Gallery.open(out / "gallery").search_image(query, k=config.search.k + 1, camid=int(held_out.camid[0]))
    if crops is not None:
        with stages.stage("real"):
            _score_real(config, crops, run, out / "real")
    with stages.stage("report"):
        write_json(out / "versions.json", _versions(config))
        stages.save()
        report = write_report(out, out / "report.html")

    for name in ("before", "after"):
        logger.info("%s training:\n%s", name, format_metrics(json.loads((out / name / "metrics.json").read_text())))
    logger.info("search with %s, the most similar others first:", query.name)
    for hit in [hit for hit in hits if hit.path != held_out.path[0]][:3]:
        logger.info("  %.4f  %s", hit.similarity, hit.path)
    logger.info("\nthe report is at %s", report.resolve())
    logger.info("next:\n%s", "\n".join(f"  {line}" for line in _next_commands(out, real, query)))
    return report


def _next_commands(out: Path, real: Path | None, query: Path) -> list[str]:
    own = real or "DIR_OF_CROPS"
    commands: tuple[tuple[object, ...], ...] = (
        ("search", "--gallery", out / "gallery", query),
        ("serve", "--gallery", out / "gallery"),
        ("evaluate", "--run", out / "run", "--data", own) if real else ("demo", "--out", out, "--real", own),
        ("index", "--model", out / "model.onnx", "--data", own, "--out", "my_gallery"),
    )
    return [shlex.join(("unrealperson", *map(str, command))) for command in commands]


def _is_trained(run: Path, epochs: int) -> bool:
    from unrealperson.checkpoint import MODEL_FILE, load_state

    return (run / MODEL_FILE).is_file() and load_state(run).epoch >= epochs


def _score_real(config: Config, crops: Manifest, run: Path, out: Path) -> None:
    """Scores, indexes and searches the user's own crops; says why where they cannot be scored."""
    from unrealperson.evaluate import evaluate_manifest, format_metrics
    from unrealperson.export.convert import export
    from unrealperson.gallery import Gallery, index_images

    partial = out.with_name(out.name + ".partial")
    shutil.rmtree(partial, ignore_errors=True)
    (partial / "before").mkdir(parents=True)
    scored = True
    try:
        for name, source in (("before", None), ("after", run)):
            folder = partial / "before" if name == "before" else partial
            metrics = evaluate_manifest(source, crops, folder, config)
            logger.info("your crops, %s training:\n%s", name, format_metrics(metrics))
    except ValueError as reason:
        scored = False
        logger.warning("your crops cannot be scored: %s", reason)
        (partial / "evaluation.txt").write_text(f"{reason}\n", encoding="utf-8")
    model = partial / "model.onnx"
    export(run, model, config, crops)
    index_images(model, crops, partial / "gallery", config.search)
    if not scored:
        _search_samples(Gallery.open(partial / "gallery"), crops, config, partial)
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)


def _search_samples(gallery: Any, crops: Manifest, config: Config, out: Path) -> None:
    """Top hits of a few crops spread over the set, in the form of an evaluation's ranking."""
    chosen = np.unique(np.linspace(0, len(crops) - 1, min(QUERIES, len(crops))).round().astype(int))
    ranking = []
    for row in chosen:
        path = crops.path[row]
        hits = gallery.search_image(crops.image_path(int(row)), k=config.search.k + 1, camid=int(crops.camid[row]))
        shown = [hit for hit in hits if hit.path != path][: config.search.k]
        ranking.append(
            {
                "query": path,
                "pid": int(crops.pid[row]),
                "camid": int(crops.camid[row]),
                "hits": [
                    {"path": h.path, "pid": h.pid, "camid": h.camid, "distance": 1 - h.similarity, "correct": None}
                    for h in shown
                ],
            }
        )
    write_json(out / "ranking.json", ranking)
    write_json(out / "search.json", {"data": str(crops.root.absolute()), "images": len(crops)})


def _claim(out: Path, config: Config) -> None:
    """Takes the folder for this configuration; a folder of another one is left as it is."""
    saved = out / "config.toml"
    if saved.is_file():
        if load_config(saved) != config:
            raise ValueError(
                f"{out} was made with another configuration ({saved}); choose another --out or delete the folder"
            )
    elif out.is_dir() and any(out.iterdir()):
        raise ValueError(f"{out} is not empty and holds no demo; choose another --out")
    out.mkdir(parents=True, exist_ok=True)
    save_config(config, saved)


class _Stages:
    """Measures each stage and remembers what earlier starts measured."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._timings: dict[str, dict[str, float]] = json.loads(path.read_text()) if path.is_file() else {}

    @contextmanager
    def stage(self, name: str, *, done: bool = False, resumes: bool = False) -> Iterator[bool]:
        """Yields whether the stage has to run.

        Args:
            name: key of the timing.
            done: an earlier start finished it.
            resumes: it goes on where an earlier start was stopped, so that the times add up.
        """
        if done:
            yield False
            return
        logger.info("== %s", name)
        earlier = self._timings.get(name, {}) if resumes else {}
        meter = _Meter()
        try:
            with meter:
                yield True
        finally:
            self._timings[name] = {
                "wall_s": round(meter.wall_s + earlier.get("wall_s", 0.0), 2),
                "cpu_s": round(meter.cpu_s + earlier.get("cpu_s", 0.0), 2),
                "peak_pss_mb": round(max(meter.peak_pss_mb, earlier.get("peak_pss_mb", 0.0)), 1),
            }
            self.save()

    def save(self) -> None:
        write_json(self._path, self._timings)


class _Meter:
    """Wall seconds, CPU seconds and peak proportional memory of this process and its children."""

    def __enter__(self) -> _Meter:
        self.peak_pss_mb = 0.0
        self._stop = threading.Event()
        self._cpu_of: dict[int, float] = {}
        self._start = time.monotonic()
        self._before = time.process_time()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()
        self.wall_s = time.monotonic() - self._start
        self.cpu_s = time.process_time() - self._before + sum(self._cpu_of.values())

    def _sample(self) -> None:
        while True:
            children = _descendants()
            self.peak_pss_mb = max(self.peak_pss_mb, _pss_mb("self") + sum(_pss_mb(child) for child in children))
            for child in children:
                self._cpu_of[child] = max(self._cpu_of.get(child, 0.0), _cpu_s(child))
            if self._stop.wait(0.5):
                return


def _descendants() -> list[int]:
    found, queue = [], ["self"]
    while queue:
        process = queue.pop()
        for listing in Path(f"/proc/{process}/task").glob("*/children"):
            for child in _read(listing).split():
                found.append(int(child))
                queue.append(child)
    return found


def _pss_mb(process: int | str) -> float:
    for line in _read(Path(f"/proc/{process}/smaps_rollup")).splitlines():
        if line.startswith("Pss:"):
            return int(line.split()[1]) / 1024
    return 0.0


def _cpu_s(process: int) -> float:
    fields = _read(Path(f"/proc/{process}/stat")).rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK") if len(fields) > 12 else 0.0


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:  # the process has ended, or this is not Linux
        return ""


def _versions(config: Config) -> dict[str, str | int]:
    packages = ("torch", "numpy", "numba", "pillow", "pyarrow", "panda3d", "unrealcv", "onnx", "onnxruntime", "anny")
    found: dict[str, str | int] = {
        "unrealperson": __version__,
        "seed": config.synth.seed,
        "python": platform.python_version(),
        "platform": platform.platform(),
    }
    for package in packages:
        try:
            found[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            found[package] = "not installed"
    return found
