"""One self-contained HTML page about an evaluation: how good, between which cameras, and when to believe a hit."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from unrealperson.evaluate.metrics import SKIPPED
from unrealperson.evaluate.open_set import explain_point
from unrealperson.evaluate.summary import mean_curve
from unrealperson.report.demo import choose_queries, read_metrics
from unrealperson.report.figures import Score, errors_chart, images_chart, score_chart
from unrealperson.report.page import MAX_PAGE_BYTES, write_page
from unrealperson.report.pictures import Album

_TEXT_BYTES = 2 * 10**6  # of the page's bytes, what is left to text and charts
_MOST_CAMERAS = 40
_SECOND = (("reranked", "re-ranked"), ("joint", "looks and times"))


def write_evaluation(folder: Path, out: Path) -> Path:
    """Builds one HTML page, without scripts or outside requests, from what `evaluate` wrote to a folder.

    Args:
        folder: folder with metrics.json, ranking.json and config.toml.
        out: page to write; it appears complete or not at all.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: no evaluation there.
        ValueError: a metrics.json that is not one.
    """
    folder = Path(folder)
    checked = read_metrics(folder / "metrics.json")
    metrics: dict[str, Any] = json.loads((folder / "metrics.json").read_text("utf-8"))
    ranking = json.loads((folder / "ranking.json").read_text("utf-8"))
    album = Album(MAX_PAGE_BYTES - _TEXT_BYTES)
    return write_page(
        "evaluation.html",
        Path(out),
        title=folder.resolve().name,
        model=checked.model,
        data=checked.data,
        counts=checked.counts,
        cameras_known=metrics.get("cameras_known", True),
        scores=checked.scores,
        chart=score_chart("scores", (), checked.scores),
        second=_second(metrics),
        open_set=_open_set(metrics.get("open_set", {})),
        pairs=_pairs(metrics.get("camera_pairs", [])),
        statistics=metrics.get("statistics", []),
        curve=_curve(metrics.get("curve")),
        factors=[_factor(number, factor) for number, factor in enumerate(metrics.get("factors", []))],
        searches=[
            (kind, _shown(entry, Path(checked.data), album), [_shown(hit, Path(checked.data), album) for hit in hits])
            for kind, entry in choose_queries(ranking)
            if (hits := entry["hits"])
        ],
        skipped=[
            (count, reason, SKIPPED.get(reason, ""), metrics["skipped_examples"].get(reason, []))
            for reason, count in checked.skipped.items()
        ],
        settings=(folder / "config.toml").read_text("utf-8"),
    )


def _second(metrics: dict[str, Any]) -> list[tuple[str, dict[str, float]]]:
    """Values of the other rankings by the names of the plain ones."""
    found = []
    for name, title in _SECOND:
        if name in metrics:
            again = metrics[name]
            values = {f"Rank-{rank}": share for rank, share in again["cmc"].items()}
            found.append((title, values | {"mAP": again["map"], "mINP": again["minp"]}))
    return found


def _open_set(found: dict[str, Any]) -> dict[str, Any] | None:
    if not found.get("points"):
        return None
    told = [point for point in found["points"] if point["threshold"] is not None]
    return {
        "chart": errors_chart("open-set", found["curve"], [point["threshold"] for point in told]),
        "points": told,
        "sentences": [explain_point(point) for point in found["points"]],
        "absent": found["absent"],
        "present": found["present"],
    }


def _pairs(pairs: list[dict[str, Any]]) -> dict[str, Any] | None:
    queries = sorted({pair["query_camera"] for pair in pairs})
    galleries = sorted({pair["gallery_camera"] for pair in pairs})
    if not pairs or max(len(queries), len(galleries)) > _MOST_CAMERAS:
        return None
    cells = {(pair["query_camera"], pair["gallery_camera"]): pair for pair in pairs}
    rows = [(camera, [cells.get((camera, other)) for other in galleries]) for camera in queries]
    return {"galleries": galleries, "rows": rows}


def _curve(curve: dict[str, Any] | None) -> dict[str, Any] | None:
    if curve is None:
        return None
    rows = mean_curve(curve)
    return {"chart": images_chart("images", rows), "rows": rows, "largest": curve["largest"]}


def _factor(number: int, factor: dict[str, Any]) -> dict[str, Any]:
    scores = [
        Score(group["label"], group["rank1"], *group["interval"].get("rank1", (None, None)))
        for group in factor["groups"]
    ]
    return factor | {"chart": score_chart(f"factor{number}", (), scores, what="rank-1")}


def _shown(entry: dict[str, Any], root: Path, album: Album) -> dict[str, Any]:
    path = str(entry.get("query", entry.get("path")))
    return {"picture": album.crop(root, path), "path": path} | {
        key: entry[key] for key in ("pid", "camid", "distance", "correct") if key in entry
    }
