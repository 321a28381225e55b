"""One self-contained HTML page about a gallery: what it holds, what it finds, when to believe a hit."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.data.manifest import Manifest
from unrealperson.gallery import Filter, Gallery, Hit
from unrealperson.gallery.threshold import Pairs, Threshold
from unrealperson.ops import build_info
from unrealperson.report.figures import errors_chart, presence_chart
from unrealperson.report.page import MAX_PAGE_BYTES, write_page
from unrealperson.report.pictures import Album
from unrealperson.schema import UNKNOWN

_TEXT_BYTES = 2 * 10**6  # of the page's bytes, what is left to text and charts
_MOST_CAMERAS, _MOST_BINS = 30, 60
_QUERIES, _HITS, _TIMED = 6, 10, 15
_RATES = (0.1, 0.01, 0.001, 0.0001)


def write_gallery_report(folder: Path, out: Path, *, seed: int = 0) -> Path:
    """Builds one HTML page, without scripts or outside requests, about a gallery.

    Args:
        folder: what `index` wrote.
        out: page to write; it appears complete or not at all.
        seed: draws the example queries.

    Returns:
        The path of the page.

    Raises:
        FileNotFoundError: no such folder, or a file of it is missing.
        ValueError: not a gallery, or a damaged one.
    """
    gallery = Gallery.open(folder)
    rows, vectors = gallery.manifest, gallery.features
    album = Album(MAX_PAGE_BYTES - _TEXT_BYTES)
    queries = _choose_queries(rows, np.random.default_rng(seed))
    return write_page(
        "gallery.html",
        Path(out),
        title=Path(folder).resolve().name,
        root=str(gallery.root),
        images=len(gallery),
        identities=len(rows.identities),
        unnamed=int(np.count_nonzero(rows.pid == UNKNOWN)),
        facts=gallery.facts,
        bytes=sum(path.stat().st_size for path in Path(folder).rglob("*") if path.is_file()),
        cameras=_cameras(rows, gallery),
        presence=_presence(rows, gallery),
        errors=_errors(gallery.pairs(), gallery.threshold),
        searches=[_search(gallery, rows, vectors[row], row, album) for row in queries],
        latency=_latency(gallery, vectors[queries]),
    )


def _camera_name(gallery: Gallery, camid: int) -> str:
    names = dict(zip(gallery.encoder.cameras, gallery.encoder.camera_names, strict=True))
    return "unknown" if camid == UNKNOWN else names.get(camid, str(camid))


def _cameras(rows: Manifest, gallery: Gallery) -> list[dict[str, Any]]:
    found = []
    for camid in np.unique(rows.camid):
        own = rows.camid == camid
        pid = rows.pid[own]
        found.append(
            {
                "name": _camera_name(gallery, int(camid)),
                "images": int(own.sum()),
                "people": len(np.unique(pid[pid != UNKNOWN])),
                "known": int(camid) in gallery.encoder.cameras,
            }
        )
    return found


def _presence(rows: Manifest, gallery: Gallery) -> dict[str, Any] | None:
    """When each camera saw somebody; None where neither times nor frame numbers are known."""
    time_s = rows.column("time_s").astype(float)
    timed = np.isfinite(time_s)
    when, known, label = (time_s / 60, timed, "time, minutes") if timed.any() else (
        rows.frame.astype(float), rows.frame != UNKNOWN, "frame number")  # fmt: skip
    cameras = np.unique(rows.camid)
    if not known.any() or len(cameras) > _MOST_CAMERAS:
        return None
    seen = np.unique(when[known])
    bins = int(np.clip(len(seen) // 2, 1, _MOST_BINS))  # more than there are moments would leave gaps
    edges = np.linspace(seen[0], max(seen[-1], seen[0] + 1e-3), bins + 1)
    counts = {
        _camera_name(gallery, int(camid)): np.histogram(when[known & (rows.camid == camid)], edges)[0]
        for camid in cameras
    }
    most = max(int(count.max()) for count in counts.values())
    return {"chart": presence_chart("presence", edges, counts, label=label), "most": most, "label": label}


def _errors(pairs: Pairs, kept: Threshold | None) -> dict[str, Any] | None:
    """What each threshold lets pass; None where too few images have labels."""
    points = [pairs.threshold(rate) for rate in _RATES if len(pairs.different) * rate >= 10]
    if not points or not len(pairs.same):
        return None
    chart = errors_chart(
        "errors", pairs.errors(), [point.similarity for point in points[:3]], of="two images", what="pairs"
    )
    return {"chart": chart, "points": points, "kept": kept}


def _choose_queries(rows: Manifest, rng: np.random.Generator) -> list[int]:
    """Images of different people, of those whom two cameras have seen where there are any."""
    chosen: dict[int, int] = {}
    order = rng.permutation(len(rows))
    cameras = {int(pid): len(np.unique(rows.camid[rows.pid == pid])) for pid in np.unique(rows.pid[order[:2000]])}
    for row in sorted(order[:2000], key=lambda row: cameras[int(rows.pid[row])] < 2 or rows.pid[row] == UNKNOWN):
        person = int(rows.pid[row])
        chosen.setdefault(person if person != UNKNOWN else -2 - int(row), int(row))
        if len(chosen) == _QUERIES:
            break
    return list(chosen.values())


def _search(gallery: Gallery, rows: Manifest, vector: np.ndarray, row: int, album: Album) -> dict[str, Any]:
    """One image of the gallery as a query; images of its own camera do not count where cameras are known."""
    camid, pid, path = int(rows.camid[row]), int(rows.pid[row]), rows.path[row]
    others = len(np.unique(rows.camid)) > 1
    where = Filter(not_cameras=(camid,)) if others else None
    (hits,) = gallery.search(np.asarray(vector, np.float32)[None], k=_HITS + 1, where=where)
    return {
        "picture": album.crop(gallery.root, path),
        "path": path,
        "pid": pid,
        "camera": _camera_name(gallery, camid),
        "hits": [_hit(gallery, hit, pid, album) for hit in hits if hit.path != path][:_HITS],
        "others": others,
    }


def _hit(gallery: Gallery, hit: Hit, pid: int, album: Album) -> dict[str, Any]:
    return {
        "picture": album.crop(gallery.root, hit.path),
        "path": hit.path,
        "camera": _camera_name(gallery, hit.camid),
        "similarity": hit.similarity,
        "same": hit.same,
        "correct": None if UNKNOWN in (pid, hit.pid) else hit.pid == pid,
    }


def _latency(gallery: Gallery, vectors: np.ndarray) -> dict[str, Any]:
    """How long one query takes, its vector known, on this machine while the page is made."""
    took = []
    for turn in range(_TIMED + 1):
        start = time.perf_counter()
        gallery.search(np.asarray(vectors[turn % len(vectors)], np.float32)[None], k=_HITS)
        took.append(1e3 * (time.perf_counter() - start))
    return {"median_ms": float(np.median(took[1:])), "best_ms": min(took[1:]), "threads": build_info()["threads"]}
