"""The results of an ablation as a table and a figure, with the spread over seeds."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson import __version__
from unrealperson.ablate.grid import BASE, Grid
from unrealperson.files import write_text
from unrealperson.report.figures import spread_chart, standalone

TABLE_FILE, FIGURE_FILE = "results.md", "results.svg"


def write_results(grid: Grid, lines: Sequence[dict[str, Any]], out: Path) -> Path:
    """Writes OUT/results.md and OUT/results.svg.

    Args:
        grid: gives the order of cells and sets.
        lines: of cells.jsonl that belong to the grid's cells.
        out: folder.

    Returns:
        The path of the table.
    """
    scores = _by_cell(grid, lines)
    columns = [(name, mode) for name in grid.sets for mode in _modes(lines)]
    write_text(out / TABLE_FILE, format_table(scores, columns, lines))
    if scores:
        seeds = sorted({line["seed"] for line in lines})
        drawn = {name: {mode: _values(scores, name, mode) for mode in _modes(lines)} for name in grid.sets}
        caption = f"dots: seeds {', '.join(map(str, seeds))}; bar: their mean; unrealperson {__version__}"
        chart = spread_chart("ablation", drawn, label="mAP, %", caption=caption)
        write_text(out / FIGURE_FILE, standalone(chart))
    return out / TABLE_FILE


Found = dict[tuple[str, str], dict[int, dict[str, float]]]
"""By set and mode, by seed: rank1 and map."""


def format_table(scores: dict[str, Found], columns: Sequence[tuple[str, str]], lines: Iterable[dict[str, Any]]) -> str:
    """A Markdown table, one row a cell: mean (lowest to highest) over the seeds, and the gain on the base.

    Args:
        scores: by cell.
        columns: set and mode of each column.
        lines: of cells.jsonl, for the number of images.
    """
    size = {line["cell"]: (line["images"], line["identities"], line["cameras"]) for line in lines}
    head = [f"{name}, {mode}" for name, mode in columns]
    rows = [
        "| cell | images / people / cameras | seeds | " + " | ".join(head) + " | mAP against base |",
        "|---|---|---|" + "---|" * len(head) + "---|",
    ]
    for cell, found in scores.items():
        seeds = {seed for each in found.values() for seed in each}
        cells = [_spread(found.get(column, {})) for column in columns]
        counts = " / ".join(f"{count:,}" for count in size[cell])
        rows.append(f"| {cell} | {counts} | {len(seeds)} | " + " | ".join(cells) + f" | {_gain(scores, cell)} |")
    rows += [
        "",
        "Rank-1 / mAP, %: mean over the seeds (lowest to highest). plain: batch-norm statistics of the training; per "
        "camera: of each target camera's own images, without labels. The last column is the mean over sets, modes and "
        "those seeds that both cells have, in points (lowest to highest seed).",
    ]
    return "\n".join(rows) + "\n"


def _by_cell(grid: Grid, lines: Iterable[dict[str, Any]]) -> dict[str, Found]:
    scores: dict[str, Found] = {}
    for cell in grid.cells:
        found: Found = {}
        for line in lines:
            if line["cell"] == cell.name:
                for name, modes in line["scores"].items():
                    for mode, value in modes.items():
                        found.setdefault((name, mode), {})[line["seed"]] = value
        if found:
            scores[cell.name] = found
    return scores


def _modes(lines: Iterable[dict[str, Any]]) -> list[str]:
    return list(dict.fromkeys(mode for line in lines for modes in line["scores"].values() for mode in modes))


def _values(scores: dict[str, Found], name: str, mode: str) -> dict[str, Sequence[float]]:
    """mAP of each cell's seeds, %."""
    return {
        cell: [100 * each["map"] for each in found[name, mode].values()]
        for cell, found in scores.items()
        if (name, mode) in found
    }


def _spread(by_seed: dict[int, dict[str, float]]) -> str:
    if not by_seed:
        return "-"
    rank1, precision = (100 * np.array([each[name] for each in by_seed.values()]) for name in ("rank1", "map"))
    text = f"{rank1.mean():.1f} / {precision.mean():.1f}"
    if len(by_seed) > 1:
        text += f" ({rank1.min():.1f} to {rank1.max():.1f} / {precision.min():.1f} to {precision.max():.1f})"
    return text


def _gain(scores: dict[str, Found], cell: str) -> str:
    base = scores.get(BASE)
    if base is None or cell == BASE:
        return "-"
    gains: dict[int, list[float]] = {}
    for column, by_seed in scores[cell].items():
        for seed, value in by_seed.items():
            if seed in base.get(column, {}):
                gains.setdefault(seed, []).append(100 * (value["map"] - base[column][seed]["map"]))
    means = np.array([np.mean(each) for each in gains.values()])
    if not len(means):
        return "-"
    return f"{means.mean():+.1f}" + (f" ({means.min():+.1f} to {means.max():+.1f})" if len(means) > 1 else "")
