"""One self-contained HTML page about a fitted world: target, default and fitted crops side by side, and distances."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from unrealperson.report.figures import gap_chart, histogram_chart
from unrealperson.report.page import write_page
from unrealperson.report.pictures import Album

_PICTURE_BYTES = 4 * 10**6
_LABELS = {
    "brightness": "brightness, share of white",
    "contrast": "contrast, standard deviation of brightness",
    "blacks": "nearly black share of the crop",
    "whites": "nearly white share of the crop",
    "red cast": "red against green, log2",
    "blue cast": "blue against green, log2",
    "saturation": "saturation",
    "sharpness": "fine against coarse edges, log2",
    "noise": "grain of flat parts, log2 of 255ths",
    "log height": "height, log2 of pixels",
    "aspect": "width / height",
}
_SETS = {"target": "the site", "before": "default world", "after": "fitted world"}


def write_fit_report(folder: str | Path, out: str | Path | None = None) -> Path:
    """Builds one HTML page from what `fit` left beside its configuration.

    Args:
        folder: folder with fit.json.
        out: page to write; None is report.html in the folder.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: there is no finished fit.
    """
    folder = Path(folder)
    path = folder / "fit.json"
    if not path.is_file():
        raise FileNotFoundError(f"{folder} holds no finished fit (fit.json); 'unrealperson fit' makes one")
    summary = json.loads(path.read_text("utf-8"))
    rows = [SimpleNamespace(name=name, **values) for name, values in summary["distances"].items()]
    before, after, floor = (float(np.mean([getattr(row, key) for row in rows])) for key in ("before", "after", "floor"))
    album = Album(_PICTURE_BYTES)
    values = summary["values"]
    return write_page(
        "fit.html",
        folder / "report.html" if out is None else Path(out),
        title=Path(summary["target"]).name,
        rows=rows, before=before, after=after, floor=floor,
        closed=(before - after) / max(before - floor, 1e-9),
        better=sum(row.after < row.before for row in rows), worse=sum(row.after > row.before for row in rows),
        chart=gap_chart("gap", [(row.name, row.before, row.after, row.floor) for row in rows]),
        charts=[_histogram(number, statistic, values) for number, statistic in enumerate(_LABELS)],
        sheets=[
            (name, [album.crop(Path(file).parent, Path(file).name) for file in summary["pictures"][key]])
            for key, name in _SETS.items()
        ],
        colors=[
            (color, [[shares[part][number] for part in (0, 1)] for shares in summary["clothes"].values()])
            for number, color in enumerate(summary["colors"])
        ],
        sets=list(_SETS.values()),
        **{name: summary[name] for name in ("crops", "skipped", "changed", "choices")},
    )  # fmt: skip


def _histogram(number: int, statistic: str, values: dict[str, dict[str, list[float]]]) -> str:
    shown = {name: np.array(values[key][statistic]) for key, name in _SETS.items()}
    return histogram_chart(f"values{number}", shown, label=_LABELS[statistic])
