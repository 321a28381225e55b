"""One self-contained HTML page about an adapted run: scores, clusters as pictures, times between cameras."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.files import read_arrays
from unrealperson.report.figures import epoch_chart, time_chart
from unrealperson.report.page import write_page
from unrealperson.report.pictures import Album

PAGE_FILE = "report.html"
_PICTURE_BYTES = 5 * 10**6
_EACH, _PICTURES, _PAIRS = 10, 12, 12
_WAYS = {"direct": "before", "adapted": "adapted", "joint": "adapted, looks and times (JVTC+)"}


def write_adaptation_report(run: str | Path, out: str | Path | None = None) -> Path:
    """Builds one HTML page from an adapted run's adaptation.json, metrics.jsonl, labels.npz and temporal.npz.

    Args:
        run: folder of 'unrealperson adapt'.
        out: page to write; None is report.html in the run.

    Returns:
        The page's path.

    Raises:
        FileNotFoundError: the run is not finished.
        ValueError: a file is not as expected.
    """
    run = Path(run)
    if not (run / "adaptation.json").is_file():
        raise FileNotFoundError(f"{run} holds no finished adaptation; 'unrealperson adapt --out {run}' makes one")
    summary = json.loads((run / "adaptation.json").read_text(encoding="utf-8"))
    times, pairs = _times(run / "temporal.npz")
    return write_page(
        "adaptation.html",
        run / PAGE_FILE if out is None else Path(out),
        title=run.resolve().name,
        method={"jvtc": "JVTC", "cluster_contrast": "Cluster contrast"}.get(summary["method"], summary["method"]),
        source="with the labelled source" if summary["source"] else "without a source",
        scores=[
            (_WAYS[way], f"{100 * found['rank1']:.1f}", f"{100 * found['map']:.1f}")
            for way, found in summary["scores"].items()
        ],
        charts=_charts(run / "metrics.jsonl", summary),
        clusters=_clusters(run / "labels.npz", Path(summary["data"])),
        times=times,
        pairs=pairs,
        **{name: summary[name] for name in ("images", "cameras", "groups")},
    )


def _charts(path: Path, summary: dict[str, Any]) -> list[tuple[str, str]]:
    lines = [json.loads(text) for text in path.read_text(encoding="utf-8").splitlines()]
    direct = summary["scores"].get("direct")
    if direct:
        lines.insert(0, {"epoch": 0, **direct})

    def curve(name: str, factor: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
        found = [(line["epoch"], factor * line[name]) for line in lines if line.get(name) is not None]
        return np.array(found).reshape(-1, 2).T[0], np.array(found).reshape(-1, 2).T[1]

    wanted = (
        ("accuracy of the labelled target images", "score, %", {"rank-1": ("rank1", 100), "mAP": ("map", 100)}),
        ("training loss", "loss, nats", {"loss": ("loss", 1)}),
        ("clusters of two images or more, and images without one", "count",
         {"clusters": ("groups", 1), "outliers": ("outliers", 1)}),
        ("how far clusters lie apart, and how well they agree with known identities", "silhouette; Rand index",
         {"silhouette": ("silhouette", 1), "agreement": ("agreement", 1)}),
    )  # fmt: skip
    charts = []
    for number, (caption, label, curves) in enumerate(wanted):
        drawn = {name: curve(*what) for name, what in curves.items()}
        drawn = {name: values for name, values in drawn.items() if len(values[0]) and np.any(values[1])}
        if drawn:
            charts.append((caption, epoch_chart(f"epochs{number}", drawn, label=label)))
    return charts


def _clusters(path: Path, root: Path) -> list[tuple[str, list[Any]]]:
    """Large, middle and small clusters, each as a line of pictures by camera."""
    stored = read_arrays(path)
    names, label, camera, pid = (stored[key] for key in ("path", "label", "camera", "pid"))
    sizes = Counter(label[label >= 0].tolist())
    ordered = [number for number, size in sizes.most_common() if size > 1]
    album = Album(_PICTURE_BYTES)
    middle = max(_EACH, len(ordered) // 2 - _EACH // 2)
    parts = (
        ("The largest", ordered[:_EACH]),
        ("Of middle size", ordered[middle : middle + _EACH]),
        ("The smallest", ordered[max(middle + _EACH, len(ordered) - _EACH) :]),
    )
    shown = []
    for heading, chosen in parts:
        rows = []
        for number in chosen:
            members = np.flatnonzero(label == number)
            members = members[np.argsort(camera[members], kind="stable")]
            known = pid[members][pid[members] >= 0]
            most = Counter(known.tolist()).most_common(1)
            seen = len(np.unique(camera[members]))
            note = f"{len(members)} images, {seen} camera{'s' * (seen != 1)}"
            if most:
                note += f", {most[0][1]} of them one person"
            picked = members[np.unique(np.linspace(0, len(members) - 1, _PICTURES).astype(int))]
            pictures = [
                (album.crop(root, str(names[row])), int(camera[row]), bool(most and 0 <= pid[row] != most[0][0]))
                for row in picked
            ]
            rows.append((note, pictures))
        if rows:
            shown.append((heading, rows))
    return shown


def _times(path: Path) -> tuple[list[tuple[str, str]], int]:
    """Charts of the pairs of cameras whose times are the sharpest, and the number of pairs with any."""
    if not path.is_file():
        return [], 0
    stored = read_arrays(path)
    probability, bin_frames, keys = stored["probability"], int(stored["bin_frames"]), stored["camera_keys"]
    frames_per_s = float(stored["frames_per_s"])
    peaks = probability.max(2)
    np.fill_diagonal(peaks, 0)
    order = np.argsort(-peaks, axis=None, kind="stable")[: min(_PAIRS, int((peaks > 0).sum()))]
    charts = []
    for later, earlier in zip(*np.unravel_index(order, peaks.shape), strict=True):
        share = probability[later, earlier]
        stop = min(len(share), int(np.searchsorted(np.cumsum(share), 0.995)) + 2)
        seconds = (np.arange(stop) + 0.5) * bin_frames / frames_per_s
        caption = f"from camera {keys[earlier]} to camera {keys[later]}"
        charts.append((caption, time_chart(f"times{later}-{earlier}", seconds, share[:stop])))
    return charts, int((peaks > 0).sum())
