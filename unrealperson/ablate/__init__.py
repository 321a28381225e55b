"""Ablation: synthesise -> train -> direct transfer, over a grid of changes and seeds, in one command that goes on."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import json
import os
import re
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson import __version__
from unrealperson.ablate.grid import Cell, Grid, PoolConfig
from unrealperson.ablate.results import write_results
from unrealperson.config import Config, EvaluateConfig
from unrealperson.data.manifest import FILE_NAME, Manifest
from unrealperson.data.recipe import FREE_KEYS
from unrealperson.data.sources import read_images
from unrealperson.data.subsets import draw, merge, where
from unrealperson.distributed import compute_device
from unrealperson.evaluate import evaluate_manifest
from unrealperson.log import get_logger
from unrealperson.synth.shards import synthesize
from unrealperson.train import train

logger = get_logger(__name__)

CELLS_FILE = "cells.jsonl"
MODES: dict[str, dict[str, Any]] = {
    "plain": {"norm": "trained", "statistics": "training"},
    "per camera": {"norm": "cbn", "statistics": "pooled"},
}
"""Whose batch-norm statistics a network is scored with: those of its training, or each target camera's own."""
_FREE_TRAIN_KEYS = ("workers", "loader", "checkpoint_minutes", "tensorboard", "seed")


def run_grid(grid: Grid, out: str | Path, *, only: Sequence[str] = (), seeds: Sequence[int] = ()) -> Path:
    """Trains and scores the cells that are not done yet, then writes the results of all that are.

    A cell that is finished is appended to OUT/cells.jsonl at once and never done again, even if OUT/runs is deleted;
    a set that is new in the grid is scored with the cell's network. Pools lie in OUT/pools, one for each way to
    synthesise. Several processes may work in one folder if `only` or `seeds` gives each cells of its own.

    Args:
        grid: what to do.
        out: folder of the ablation.
        only: names of cells, in which * stands for any text; none: all cells.
        seeds: none: those of the grid.

    Returns:
        OUT/results.md.

    Raises:
        ValueError: no such cell, or a pool that has less than a cell draws from it.
        RuntimeError: synthesis or training failed.
    """
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    pools = _Pools(out / "pools")
    read = functools.cache(functools.partial(read_images, skip_unreadable=True))
    work = [(cell, seed) for seed in seeds or grid.settings.seeds for cell in grid.chosen(only)]
    start_s, done = time.monotonic(), 0
    missing = [(cell, seed) for cell, seed in work if _unscored(grid, pools, out, cell, seed)]
    logger.info("%d of %d cells are there already", len(work) - len(missing), len(work))
    for cell, seed in missing:
        names = _unscored(grid, pools, out, cell, seed)
        if names:
            line = _run_cell(grid, cell, seed, {name: read(grid.sets[name]) for name in names}, pools, out)
            _append(out / CELLS_FILE, line)
            write_results(grid, _lines(out, grid, pools), out)
        done += 1
        gone_s = time.monotonic() - start_s
        logger.info(
            "ablate: %d of %d cells, %.0f s gone, %.0f s left",
            done, len(missing), gone_s, gone_s / done * (len(missing) - done),
        )  # fmt: skip
    return write_results(grid, _lines(out, grid, pools), out)


def _unscored(grid: Grid, pools: _Pools, out: Path, cell: Cell, seed: int) -> list[str]:
    """The sets that a cell has no scores on."""
    key = _key(grid, pools, cell)
    scored = {
        name for line in _read_lines(out / CELLS_FILE) if (line["key"], line["seed"]) == (key, seed)
        for name in line["scores"]
    }  # fmt: skip
    return [name for name in grid.sets if name not in scored]


def _run_cell(grid: Grid, cell: Cell, seed: int, sets: dict[str, Manifest], pools: _Pools, out: Path) -> dict[str, Any]:
    wall_s, cpu_s = time.monotonic(), time.process_time()
    key = _key(grid, pools, cell)
    logger.info("cell %s, seed %d", cell.name, seed)
    data = draw_pool(pools.manifest(cell), cell.pool, seed)
    config = dataclasses.replace(cell.config, train=dataclasses.replace(cell.config.train, seed=seed))
    if grid.settings.images and not config.train.epoch_images:
        each = max(1, round(grid.settings.images / config.train.epochs))
        config = dataclasses.replace(config, train=dataclasses.replace(config.train, epoch_images=each))
    folder = re.sub(r"[^\w=.,-]", "_", cell.name)[:80]
    run = train(data, config, out / "runs" / f"{folder}-{seed}-{key[:8]}")
    scores = {
        name: {mode: score(run, manifest, config.evaluate, mode) for mode in MODES} for name, manifest in sets.items()
    }
    seen = (config.train.epoch_images or len(data)) * config.train.epochs
    return {
        "cell": cell.name, "values": dict(cell.values), "seed": seed, "key": key, "scores": scores,
        "images": len(data), "identities": len(data.identities), "cameras": len(data.cameras), "images_seen": seen,
        "seconds": round(time.monotonic() - wall_s, 1), "cpu_s": round(time.process_time() - cpu_s, 1),
        "device": compute_device().type, "version": __version__,
    }  # fmt: skip


def score(run: Path, manifest: Manifest, config: EvaluateConfig, mode: str) -> dict[str, float]:
    """Direct transfer: rank-1 and mAP of a run on crops that it was not trained on, as shares.

    Args:
        run: folder of the run.
        manifest: labelled crops; their labels serve the score alone.
        config: section [evaluate]: batch_size, statistics_images and the like.
        mode: key of `MODES`.
    """
    settings = dataclasses.replace(config, bootstrap=0, **MODES[mode])
    found = evaluate_manifest(run, manifest, None, Config(evaluate=settings))
    return {"rank1": found["cmc"]["1"], "map": found["map"]}


def draw_pool(pool: Manifest, config: PoolConfig, seed: int) -> Manifest:
    """The crops of a pool that a cell trains on: cameras are drawn first, then identities, then images.

    Args:
        pool: rows with split "train", or all where no row has a split, are drawn from.
        config: section [pool].
        seed: of the draws.

    Raises:
        ValueError: the pool has less than that, or a condition that cannot be read.
    """
    split = pool.split
    chosen = pool.select(split == "train") if (split != "").any() else pool
    if config.where:
        chosen = where(chosen, config.where)
    rng = np.random.default_rng([seed, 103])
    if config.cameras:
        _require_enough(len(chosen.cameras), config.cameras, "cameras", pool)
        chosen = chosen.select(np.isin(chosen.camid, rng.permutation(chosen.cameras)[: config.cameras]))
    chosen = draw(chosen, identities=config.identities, per_identity=config.per_identity, seed=seed)
    if config.images:
        _require_enough(len(chosen), config.images, "images", pool)
        chosen = chosen.select(np.sort(rng.permutation(len(chosen))[: config.images]))
    return chosen


def _require_enough(there: int, wanted: int, what: str, pool: Manifest) -> None:
    if there < wanted:
        raise ValueError(f"[pool] {what} = {wanted}, but {pool.root} leaves {there} to draw from")


class _Pools:
    """The crops that cells draw from, each made or read once.

    Args:
        folder: where synthesised ones lie.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._read: dict[str, Manifest] = {}
        self._digests: dict[tuple[str, ...], str] = {}

    def key(self, cell: Cell) -> str:
        """What the crops are a function of: the configuration, or the content of folders that were there."""
        if not cell.pool.folders:
            return _digest({"synth": _changed(cell.config.synth, FREE_KEYS), "crop": _changed(cell.config.crop)})
        if cell.pool.folders not in self._digests:
            parts = [_content(Path(folder)) for folder in cell.pool.folders]
            self._digests[cell.pool.folders] = _digest(parts)
        return self._digests[cell.pool.folders]

    def manifest(self, cell: Cell) -> Manifest:
        """The whole pool of a cell."""
        key = self.key(cell)
        if key not in self._read:
            folders = cell.pool.folders
            if folders:
                self._read[key] = merge([read_images(folder) for folder in folders])
            else:
                made = Config(synth=cell.config.synth, crop=cell.config.crop)
                self._read[key] = synthesize(made, self._folder / key[:12])
        return self._read[key]


def _content(folder: Path) -> str:
    """Tells one content of a data set from another: its manifest, or the names of its images."""
    table = folder / FILE_NAME
    return hashlib.sha256(table.read_bytes()).hexdigest() if table.is_file() else read_images(folder).sha256()


def _key(grid: Grid, pools: _Pools, cell: Cell) -> str:
    """What a cell's scores are a function of, but for its seed and the sets."""
    drawn = _changed(cell.pool, ("folders",))
    settings = _changed(cell.config.train, _FREE_TRAIN_KEYS)
    return _digest({"train": settings, "pool": pools.key(cell), "drawn": drawn, "images": grid.settings.images})


def _changed(section: Any, left_out: Sequence[str] = ()) -> dict[str, Any]:
    """The keys of a section that are not at their default, so that a key of a later release changes nothing."""
    return {
        key.name: value
        for key in dataclasses.fields(section)
        if (value := getattr(section, key.name)) != key.default and key.name not in left_out
    }


def _digest(value: Any) -> str:
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()[:16]


def _lines(out: Path, grid: Grid, pools: _Pools) -> list[dict[str, Any]]:
    """What is known of the grid's cells, under their present names."""
    names = {_key(grid, pools, cell): cell.name for cell in grid.cells}
    return [line | {"cell": names[line["key"]]} for line in _read_lines(out / CELLS_FILE) if line["key"] in names]


def _read_lines(path: Path) -> list[dict[str, Any]]:
    lines = []
    for number, text in enumerate(path.read_text("utf-8").splitlines() if path.is_file() else (), 1):
        try:
            lines.append(json.loads(text))
        except json.JSONDecodeError:  # the machine went while it was written
            logger.warning("%s, line %d is cut off; its cell is done again", path, number)
    return lines


def _append(path: Path, line: dict[str, Any]) -> None:
    whole = not path.is_file() or path.read_bytes()[-1:] in (b"", b"\n")
    with path.open("a", encoding="utf-8") as stream:
        stream.write(("" if whole else "\n") + json.dumps(line) + "\n")
        stream.flush()
        os.fsync(stream.fileno())
