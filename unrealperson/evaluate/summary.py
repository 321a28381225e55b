"""The results of an evaluation in lines for people."""

from __future__ import annotations

from typing import Any

from unrealperson.evaluate.metrics import SKIPPED
from unrealperson.evaluate.open_set import explain_point

_MOST_CAMERAS = 12


def format_metrics(metrics: dict[str, Any]) -> str:
    """Scores, and what else there is: other rankings, statistics, camera pairs, open set, factors, curve.

    Args:
        metrics: what `evaluate` or `evaluate_manifest` returns.
    """
    lines = _scores(metrics)
    for name, title in (("reranked", "re-ranked by k-reciprocal neighbours"), ("joint", "looks and times together")):
        if name in metrics:
            again = metrics[name]
            lines.append(f"  {title}: rank-1 {100 * again['cmc'].get('1', 0):.1f} %, mAP {100 * again['map']:.1f} %")
    lines += _stand_ins(metrics.get("statistics", []))
    lines += _camera_pairs(metrics.get("camera_pairs", []))
    lines += _open_set(metrics.get("open_set", {}))
    for factor in metrics.get("factors", []):
        lines += _factor(factor)
    if "curve" in metrics:
        lines += _curve(metrics["curve"])
    return "\n".join(lines)


def mean_curve(curve: dict[str, Any]) -> list[dict[str, Any]]:
    """The points of a curve, draws of one number of images averaged.

    Args:
        curve: what `score_curve` returns.

    Returns:
        One entry for each number of images: images, statistics, draws, and mean, low and high of rank1 and map.
    """
    groups: dict[tuple[int, str], list[dict[str, Any]]] = {}
    for point in curve["points"]:
        groups.setdefault((point["images"], point["statistics"]), []).append(point)
    rows = []
    for (images, statistics), points in groups.items():
        row: dict[str, Any] = {"images": images, "statistics": statistics, "draws": len(points)}
        for name in ("rank1", "map"):
            values = [point[name] for point in points]
            row |= {name: sum(values) / len(values), f"{name}_low": min(values), f"{name}_high": max(values)}
        rows.append(row)
    return rows


def _scores(metrics: dict[str, Any]) -> list[str]:
    named = [(f"rank-{rank}", f"cmc@{rank}", share) for rank, share in metrics["cmc"].items()]
    named += [("mAP", "map", metrics["map"]), ("mINP", "minp", metrics["minp"])]
    lines = []
    for label, key, share in named:
        interval = metrics["interval"].get(key)
        spread = f"  ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
        lines.append(f"  {label:<8}{100 * share:5.1f} %{spread}")
    lines.append(
        f"  {metrics['queries']} queries of {metrics['identities']} identities, {metrics['gallery']} gallery images, "
        f"{metrics['cameras']} cameras"
    )
    if not metrics.get("cameras_known", True):
        lines.append("  no camera is known: images of the query's own camera count as well, which is easier")
    for reason, count in metrics["skipped"].items():
        example = metrics["skipped_examples"][reason][0]
        queries = "query" if count == 1 else "queries"
        lines.append(f"  {count} {queries} left out, {reason}: {SKIPPED[reason]} (such as {example})")
    return lines


def _stand_ins(statistics: list[dict[str, Any]]) -> list[str]:
    others = [entry for entry in statistics if entry["source"] != "own"]
    if not others or (len(others) == len(statistics) and len({entry["source"] for entry in others}) == 1):
        return []
    shown = ", ".join(f"{entry['camera']} ({entry['images']} images): {entry['source']}" for entry in others[:8])
    return [f"  cameras without statistics of their own: {shown}{', ...' if len(others) > 8 else ''}"]


def _camera_pairs(pairs: list[dict[str, Any]]) -> list[str]:
    queries = sorted({pair["query_camera"] for pair in pairs})
    galleries = sorted({pair["gallery_camera"] for pair in pairs})
    if len(pairs) < 2:
        return []
    if max(len(queries), len(galleries)) > _MOST_CAMERAS:
        worst = min(pairs, key=lambda pair: pair["map"])
        return [
            f"  worst of {len(pairs)} camera pairs: query {worst['query_camera']}, gallery {worst['gallery_camera']}: "
            f"mAP {100 * worst['map']:.1f} %"
        ]
    share = {(pair["query_camera"], pair["gallery_camera"]): pair["rank1"] for pair in pairs}
    width = max(6, *(len(str(camera)) + 1 for camera in galleries))
    lines = ["  rank-1, % of each camera's queries (rows) in each other camera's gallery (columns):"]
    lines.append("  " + " " * 8 + "".join(f"{camera:>{width}}" for camera in galleries))
    for camera in queries:
        cells = (share.get((camera, other)) for other in galleries)
        row = "".join(f"{'-' if cell is None else format(100 * cell, '.1f'):>{width}}" for cell in cells)
        lines.append(f"  {camera:>8}{row}")
    return lines


def _open_set(found: dict[str, Any]) -> list[str]:
    if not found.get("points"):
        return []
    head = f"  open set, {found['absent']} searches for absent and {found['present']} for present people:"
    return [head, *(f"    {explain_point(point)}" for point in found["points"])]


def _factor(factor: dict[str, Any]) -> list[str]:
    lines = [f"  {factor['factor']} ({factor['meaning']}):"]
    for group in factor["groups"]:
        interval = group["interval"].get("rank1")
        spread = f"  ({100 * interval[0]:.1f} to {100 * interval[1]:.1f})" if interval else ""
        lines.append(
            f"    {group['label']:<22}rank-1 {100 * group['rank1']:5.1f} %{spread:<18}  mAP "
            f"{100 * group['map']:5.1f} %  {group['queries']} queries of {group['identities']}"
        )
    return lines


def _curve(curve: dict[str, Any]) -> list[str]:
    lines = ["  images of each camera for its statistics:"]
    for row in mean_curve(curve):
        label = f"{row['images']} images" if row["images"] else f"none: {row['statistics']}"
        spread = f" ({100 * row['map_low']:.1f} to {100 * row['map_high']:.1f})" if row["draws"] > 1 else ""
        lines.append(f"    {label:<22}rank-1 {100 * row['rank1']:5.1f} %  mAP {100 * row['map']:5.1f} %{spread}")
    return lines
