"""One self-contained HTML page about a demo folder: what was made, and how good it is."""

from __future__ import annotations

import json
import math
import shlex
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from unrealperson.data.manifest import Manifest
from unrealperson.log import get_logger
from unrealperson.report.figures import Score, accuracy_chart, loss_chart, score_chart
from unrealperson.report.page import MAX_PAGE_BYTES, write_page
from unrealperson.report.pictures import Album, FrameView, Picture, view_frame

T = TypeVar("T")

logger = get_logger(__name__)

MAX_FILE_BYTES = 32 * 2**20
"""A larger text file is not read."""
_TEXT_BYTES = 10**6  # of the page's bytes, what is left to text and charts
_SHEET_ROWS, _SHEET_COLUMNS, _SAMPLES, _HITS = 12, 8, 8, 10
_MADE = ("data", "before", "after", "run", "model.onnx", "gallery", "real", "timings.json")
_PEOPLE_SIZE = (1536, 512)
_REASONS = {
    "few_pixels": "too small: too few pixels of the person",
    "border": "cut off: too near the edge of the frame",
    "small_area": "too small: the box has too few pixels",
    "low_visibility": "hidden: too little of the person is seen",
    "few_keypoints": "hidden: too few key points are seen",
    "low_fill": "hidden: the person fills too little of the box",
}


@dataclass(frozen=True)
class Metrics:
    """A metrics.json, checked.

    Attributes:
        scores: rank-k shares, mAP and mINP with their intervals.
        counts: identities, cameras, queries and gallery images.
        skipped: queries left out, by reason.
        model: what was scored.
        data: root of the scored images, or "".
    """

    scores: tuple[Score, ...]
    counts: dict[str, int]
    skipped: dict[str, int]
    model: str
    data: str


@dataclass(frozen=True)
class Gain:
    """A score after training beside the one before."""

    after: Score
    before: Score | None

    @property
    def points(self) -> float | None:
        """Percentage points gained."""
        return None if self.before is None else 100 * (self.after.value - self.before.value)

    @property
    def trend(self) -> str:
        """ "up" or "down" where the two 95 % intervals do not touch, else "unsure"."""
        if self.before is None or None in (self.before.low, self.before.high, self.after.low, self.after.high):
            return "unsure"
        ends = np.array([self.before.low, self.before.high, self.after.low, self.after.high], dtype=float)
        return "up" if ends[2] > ends[1] else "down" if ends[3] < ends[0] else "unsure"


@dataclass(frozen=True)
class Hit:
    """One result of a search; `correct` is None where the truth is not known."""

    picture: Picture | None
    correct: bool | None
    distance: float | None
    note: str


@dataclass(frozen=True)
class Search:
    """One query and its nearest gallery images."""

    kind: str
    query: str
    picture: Picture | None
    note: str
    rows: tuple[tuple[str, tuple[Hit, ...]], ...]
    verdict: str


@dataclass
class _Page:
    """What the template shows; a part that is absent has a line in `missing` instead."""

    parts: dict[str, Any] = field(default_factory=dict)
    missing: dict[str, tuple[str, str]] = field(default_factory=dict)

    def add(self, name: str, build: Callable[[], T], command: str) -> T | None:
        """Builds one part; a file that is absent or not as expected leaves it out with a line that says why."""
        try:
            self.parts[name] = value = build()
            return value
        except FileNotFoundError:
            self.missing[name] = ("not made yet", command)
        except (ValueError, TypeError, LookupError, ArithmeticError, AttributeError, OSError) as error:
            reason = " ".join(str(error).split())[:300] or type(error).__name__
            if isinstance(error, KeyError):
                reason = f"the entry {reason} is missing"
            logger.warning("report: %s is left out: %s", name, reason)
            self.missing[name] = (f"left out, {reason}", command)
        return None


def write_report(folder: Path, out: Path) -> Path:
    """Builds one HTML page, without scripts or outside requests, from what a demo folder holds.

    A part that the folder lacks is left out with one line that names the command which makes it.

    Args:
        folder: folder of `unrealperson demo`.
        out: page to write; it appears complete or not at all.

    Returns:
        The path of the page.

    Raises:
        ValueError: `folder` is not a folder, or has nothing of a demo in it.
    """
    folder, out = Path(folder), Path(out)
    if not folder.is_dir():
        raise ValueError(f"there is no folder {folder}; 'unrealperson demo --out {folder}' makes one")
    if not any((folder / name).exists() for name in _MADE):
        raise ValueError(f"{folder} holds nothing that 'unrealperson demo' makes; give the folder of a demo")
    page = _gather(folder)
    return write_page("demo.html", out, title=folder.resolve().name, missing=page.missing, **page.parts)


def _gather(folder: Path) -> _Page:
    page, album, place = _Page(), Album(MAX_PAGE_BYTES - _TEXT_BYTES), shlex.quote(str(folder))
    # A demo goes on at the stage where it stopped, with the settings of its folder.
    demo = f"unrealperson demo --out {place}"
    real = f"{demo} --real YOUR_CROPS"

    before = page.add("before", lambda: read_metrics(folder / "before/metrics.json"), demo)
    after = page.add("after", lambda: read_metrics(folder / "after/metrics.json"), demo)
    page.parts["gains"] = compare(before, after)
    page.parts["score_chart"] = _scores_svg("scores", before, after)
    page.add("crops", lambda: _crop_counts(folder / "data/report.json"), demo)
    crops = page.add("manifest", lambda: Manifest.read(folder / "data"), demo)
    page.add("frames", lambda: _frames(folder / "data", crops, album), demo)
    page.add("people", lambda: _people(folder / "data/people.jpg", album), demo)
    page.add("sheet", lambda: _contact_sheet(crops, album), demo)
    page.add("training", lambda: _training(folder / "run/metrics.jsonl"), demo)
    root = _data_root(folder, after.data if after else "", "data")
    page.add("rankings", lambda: _rankings(folder, root, album), demo)
    page.add("real", lambda: _real(folder, album), real)
    page.add("timings", lambda: _timings(folder / "timings.json"), demo)
    page.add("parity", lambda: _facts(folder / "model.onnx.parity.json"), demo)
    page.add("gallery", lambda: _facts(folder / "gallery/gallery.json"), demo)
    versions = dict(page.add("versions", lambda: _facts(folder / "versions.json"), demo) or ())
    made_with = [f"{key} {versions[key]}" for key in ("seed", "unrealperson") if key in versions]
    page.parts["made_with"] = f"Made with {', '.join(made_with)}." if made_with else ""
    page.parts["configs"] = _configs(folder)
    page.parts["next"] = [
        ("Score it on your own labelled crops", f"unrealperson evaluate --run {place}/run --data YOUR_CROPS"),
        ("Find a person among the crops of the gallery", f"unrealperson search --gallery {place}/gallery QUERY.jpg"),
        (
            "Make more people and more cameras",
            f"unrealperson synth --config {place}/config.toml --out more_people --synth.people 600 --synth.cameras 12",
        ),
        ("Run all of it and end on your own crops", real),
    ]
    for name in ("before", "after", "crops", "frames", "people", "sheet", "training", "rankings", "real"):
        page.parts.setdefault(name, None)
    for name in ("timings", "parity", "gallery", "versions"):
        page.parts.setdefault(name, None)
    return page


def read_metrics(path: Path) -> Metrics:
    """Reads and checks the metrics.json of `unrealperson evaluate`.

    Args:
        path: the file.

    Raises:
        FileNotFoundError: no such file.
        ValueError: not such a file.
    """
    stored = _object(_read_json(path), path.name)
    intervals = _object(stored.get("interval", {}), "interval")
    named = {f"cmc@{rank}": (f"Rank-{rank}", share) for rank, share in _object(stored["cmc"], "cmc").items()}
    named |= {key: (label, stored[key]) for key, label in (("map", "mAP"), ("minp", "mINP")) if key in stored}
    scores = []
    for key, (label, share) in named.items():
        value = _share(share, key)
        low, high = (_share(end, f"interval {key}") for end in intervals[key]) if key in intervals else (None, None)
        scores.append(Score(label, value, low, high))
    return Metrics(
        scores=tuple(scores),
        counts={key: int(stored[key]) for key in ("identities", "cameras", "queries", "gallery") if key in stored},
        skipped={str(k): int(v) for k, v in _object(stored.get("skipped", {}), "skipped").items() if int(v)},
        model=str(stored.get("model", "")),
        data=str(stored.get("data", "")),
    )


def compare(before: Metrics | None, after: Metrics | None) -> list[Gain]:
    """Puts each score after training beside the same one before.

    Args:
        before: metrics of the untrained network, or None.
        after: metrics of the trained network, or None.
    """
    old = {score.name: score for score in before.scores} if before else {}
    return [Gain(score, old.get(score.name)) for score in after.scores] if after else []


def _scores_svg(name: str, before: Metrics | None, after: Metrics | None) -> str:
    if not before and not after:
        return ""
    return score_chart(name, before.scores if before else (), after.scores if after else ())


def _crop_counts(path: Path) -> dict[str, Any]:
    stored = _object(_read_json(path), path.name)
    rejected = Counter({str(k): int(v) for k, v in _object(stored.get("rejected", {}), "rejected").items()})
    hidden = rejected.pop("not_visible", 0)
    accepted = int(stored["accepted"])
    seen = accepted + sum(rejected.values())
    return {
        "accepted": accepted,
        "seen": seen,
        "hidden": hidden,
        "frames": int(stored.get("frames", 0)),
        "seconds": float(stored.get("seconds", 0.0)),
        "rejected": [
            (_REASONS.get(reason, reason.replace("_", " ")), n, n / seen) for reason, n in rejected.most_common() if n
        ],
    }


def _frames(data: Path, crops: Manifest | None, album: Album) -> list[FrameView]:
    lit_paths = sorted((data / "samples").rglob("*_lit.png"))[:_SAMPLES]
    if not lit_paths:
        raise FileNotFoundError(data / "samples")
    views = [view_frame(path, crops, album, large=False) for path in lit_paths]
    best = max(range(len(views)), key=lambda i: len(views[i].people))
    return [view_frame(lit_paths[best], crops, album, large=True), *(v for i, v in enumerate(views) if i != best)]


def _people(path: Path, album: Album) -> Picture:
    picture = album.copy(path, _PEOPLE_SIZE)
    if picture is None:
        raise FileNotFoundError(path)
    return picture


def _contact_sheet(crops: Manifest | None, album: Album) -> dict[str, Any]:
    if crops is None or not len(crops.identities) or not len(crops.cameras):
        raise FileNotFoundError("no labelled crops")
    cameras = crops.cameras[:_SHEET_COLUMNS].tolist()
    best: dict[tuple[int, int], int] = {}
    pixels = crops.column("pixels")
    for row in np.argsort(-pixels, kind="stable").tolist():
        best.setdefault((int(crops.pid[row]), int(crops.camid[row])), row)
    seen_by = {person: sum((person, camera) in best for camera in cameras) for person in crops.identities.tolist()}
    people = sorted(seen_by, key=lambda person: (-seen_by[person], person))
    # Spread over all of those that the most cameras saw, not only the first numbers.
    full = [person for person in people if seen_by[person] == seen_by[people[0]]]
    if len(full) > _SHEET_ROWS:
        people = [full[i] for i in np.linspace(0, len(full) - 1, _SHEET_ROWS).astype(int)]
    rows = [
        (
            _person_name(person),
            [
                album.crop(crops.root, crops.path[best[person, camera]]) if (person, camera) in best else None
                for camera in cameras
            ],
        )
        for person in sorted(people[:_SHEET_ROWS])
    ]
    half = (len(rows) + 1) // 2
    return {
        "cameras": [_camera_name(camera) for camera in cameras],
        "blocks": [block for block in (rows[:half], rows[half:]) if block],
        "shown": len(rows),
        "identities": len(crops.identities),
        "all_cameras": len(crops.cameras),
    }


def _training(path: Path) -> dict[str, Any]:
    records = []
    for line in _read_text(path).splitlines():
        try:
            record = json.loads(line)
        except (json.JSONDecodeError, RecursionError):
            continue  # the last line of a run that was cut off
        if isinstance(record, dict) and isinstance(record.get("step"), int | float):
            records.append(record)
    if not records:
        raise ValueError(f"{path.name} holds no records yet")
    step, loss, accuracy, rate, speed, seconds = (
        np.array([_number(record.get(key)) for record in records])
        for key in ("step", "loss", "accuracy", "lr", "images_per_s", "seconds")
    )
    with np.errstate(invalid="ignore"):
        drops = step[1:][rate[1:] < 0.5 * rate[:-1]]
    last = records[-1]
    return {
        "loss": loss_chart("loss", step, loss, drops.tolist()) if np.isfinite(loss).any() else "",
        "accuracy": accuracy_chart("accuracy", step, accuracy, drops.tolist()) if np.isfinite(accuracy).any() else "",
        "epochs": int(_number(last.get("epoch"), default=0)),
        "steps": int(step[-1]),
        "speed": float(np.nanmedian(speed)) if np.isfinite(speed).any() else None,
        "seconds": float(np.nanmax(seconds)) if np.isfinite(seconds).any() else None,
        "table": [
            (int(step[i]), loss[i], accuracy[i])
            for i in sorted({int(i) for i in np.linspace(0, len(step) - 1, min(16, len(step)))})
        ],
    }


def _rankings(folder: Path, root: Path, album: Album) -> list[Search]:
    after = _queries(folder / "after/ranking.json")
    try:
        before = {entry["query"]: entry for entry in _queries(folder / "before/ranking.json")}
    except (OSError, ValueError):
        before = {}
    return [
        _search(kind, entry, root, album, before=before.get(entry["query"])) for kind, entry in choose_queries(after)
    ]


def choose_queries(entries: Sequence[dict[str, Any]], each: int = 2) -> list[tuple[str, dict[str, Any]]]:
    """Picks typical queries, not only flattering ones: the worst, the median and the best.

    Queries are ordered by the rank of the first correct hit, then by the number of correct hits.

    Args:
        entries: queries of a ranking.json.
        each: how many of each kind, where there are enough.

    Returns:
        Pairs of kind ("worst", "median", "best") and query, each query once.
    """

    def quality(entry: dict[str, Any]) -> tuple[int, int, str]:
        ranks = _correct_ranks(entry)
        return (-(ranks[0] if ranks else 10**6), len(ranks), str(entry["query"]))

    ordered = sorted(entries, key=quality)
    middle = max(0, (len(ordered) - each) // 2)
    places = {"worst": range(each), "median": range(middle, middle + each)}
    places["best"] = range(max(0, len(ordered) - each), len(ordered))
    chosen, taken = [], set()
    for kind, indices in places.items():
        for i in indices:
            if i < len(ordered) and i not in taken:
                taken.add(i)
                chosen.append((kind, ordered[i]))
    return chosen


def _queries(path: Path) -> list[dict[str, Any]]:
    stored = _read_json(path)
    if not isinstance(stored, list):
        raise ValueError(f"{path.name} must be a list of queries")
    for entry in stored:
        if not isinstance(entry, dict) or not {"query", "hits"} <= entry.keys() or not isinstance(entry["hits"], list):
            raise ValueError(f"{path.name}: each entry needs 'query' and a list of 'hits'")
        if not all(isinstance(hit, dict) and "path" in hit for hit in entry["hits"]):
            raise ValueError(f"{path.name}: each hit needs a 'path'")
    return stored


def _correct_ranks(entry: dict[str, Any]) -> list[int]:
    return [rank for rank, hit in enumerate(entry["hits"][:_HITS], 1) if hit.get("correct")]


def _search(
    kind: str, entry: dict[str, Any], root: Path, album: Album, *, before: dict[str, Any] | None = None
) -> Search:
    rows = [("after" if before else "", _hits(entry, root, album))]
    if before:
        rows.append(("before", _hits(before, root, album)))
    ranks, count = _correct_ranks(entry), min(_HITS, len(entry["hits"]))
    verdict = ""
    if _labelled(entry):
        verdict = f"{len(ranks)} of {count} correct, the first at rank {ranks[0]}" if ranks else f"0 of {count} correct"
    return Search(
        kind=kind,
        query=str(entry["query"]),
        picture=album.crop(root, str(entry["query"])),
        note=_identity(entry),
        rows=tuple(rows),
        verdict=verdict,
    )


def _labelled(entry: dict[str, Any]) -> bool:
    return any(hit.get("correct") is not None for hit in entry["hits"])


def _hits(entry: dict[str, Any], root: Path, album: Album) -> tuple[Hit, ...]:
    return tuple(
        Hit(
            picture=album.crop(root, str(hit["path"])),
            correct=bool(hit["correct"]) if hit.get("correct") is not None else None,
            distance=_finite(hit.get("distance")),
            note=_identity(hit),
        )
        for hit in entry["hits"][:_HITS]
    )


def _identity(entry: dict[str, Any]) -> str:
    known = [(name, entry.get(key)) for key, name in (("pid", _person_name), ("camid", _camera_name))]
    return ", ".join(name(value) for name, value in known if isinstance(value, int) and value >= 0)


def _person_name(pid: int) -> str:
    version, person = divmod(pid, 1_000_000)
    if version == 0:
        return f"identity {pid}"
    return f"P {person}" if version == 1 else f"P {person} of version {version}"


def _camera_name(camid: int) -> str:
    scene, camera = divmod(camid, 1_000)
    return f"camera {camera}" if scene <= 1 else f"camera {camera} of scene {scene}"


def _real(folder: Path, album: Album) -> dict[str, Any]:
    real = folder / "real"
    if not any((real / name).is_file() for name in ("metrics.json", "evaluation.txt", "ranking.json")):
        raise FileNotFoundError(real)
    after, before, data, reason = None, None, "", ""
    if (real / "metrics.json").is_file():
        after = read_metrics(real / "metrics.json")
        data = after.data
        if (real / "before/metrics.json").is_file():
            before = read_metrics(real / "before/metrics.json")
    elif (real / "evaluation.txt").is_file():
        reason = _read_text(real / "evaluation.txt").strip()[:500]
    if (real / "search.json").is_file():
        data = str(_object(_read_json(real / "search.json"), "search.json").get("data", data))
    entries = _queries(real / "ranking.json") if (real / "ranking.json").is_file() else []
    chosen = choose_queries(entries) if any(map(_labelled, entries)) else [("", entry) for entry in entries[:6]]
    root = _data_root(folder, data, "real/data")
    return {
        "reason": reason,
        "after": after,
        "before": before,
        "gains": compare(before, after),
        "chart": _scores_svg("real", before, after),
        "data": data,
        "searches": [_search(kind, entry, root, album) for kind, entry in chosen],
    }


def _data_root(folder: Path, named: str, default: str) -> Path:
    for root in (Path(named), folder / named):
        if named and root.is_dir():
            return root
    return folder / default


def _timings(path: Path) -> dict[str, Any]:
    stored = _object(_read_json(path), path.name)
    keys = ("wall_s", "cpu_s", "peak_pss_mb", "budget_s")
    rows: list[dict[str, Any]] = [
        {"stage": str(name)} | {key: _finite(stage.get(key)) for key in keys}
        for name, stage in stored.items()
        if isinstance(stage, dict)
    ]
    return {
        "rows": rows,
        "wall_s": sum(row["wall_s"] or 0.0 for row in rows),
        "cpu_s": sum(row["cpu_s"] or 0.0 for row in rows),
        "budget_s": _finite(stored.get("budget_s")),
        "budgets": any(row["budget_s"] for row in rows),
        "longest": max((row[key] or 0.0 for row in rows for key in ("wall_s", "budget_s")), default=0.0) or 1.0,
    }


def _facts(path: Path) -> list[tuple[str, str]]:
    facts = []
    for key, value in _object(_read_json(path), path.name).items():
        if isinstance(value, dict):
            facts += [(f"{key}: {inner}", _plain(each)) for inner, each in value.items()]
        else:
            facts.append((str(key), _plain(value)))
    return [(key.replace("_", " "), text) for key, text in facts[:60]]


def _plain(value: Any) -> str:
    if isinstance(value, bool) or value is None:
        return {True: "yes", False: "no", None: "not known"}[value]
    if isinstance(value, float):
        return f"{value:.7g}"
    if isinstance(value, list | dict):
        text = json.dumps(value, ensure_ascii=False)
        return text if len(text) <= 80 else f"{len(value)} entries"
    return str(value)[:200]


def _configs(folder: Path) -> list[tuple[str, str]]:
    files = [name for name in ("data/config.toml", "run/config.toml") if (folder / name).is_file()]
    return [(name, _read_text(folder / name)[:20_000]) for name in files]


def _read_text(path: Path) -> str:
    if not path.is_file():
        raise FileNotFoundError(path)
    if path.stat().st_size > MAX_FILE_BYTES:
        raise ValueError(f"{path.name} is larger than {MAX_FILE_BYTES // 2**20} MiB")
    return path.read_text(encoding="utf-8", errors="replace")


def _read_json(path: Path) -> Any:
    try:
        return json.loads(_read_text(path))
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path.name} is not valid JSON: {error}") from error


def _object(value: Any, name: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise ValueError(f"{name} must be a JSON object, got {type(value).__name__}")
    return value


def _share(value: Any, name: str) -> float:
    number = _finite(value)
    if number is None or not 0 <= number <= 1:
        raise ValueError(f"{name} must be a share in 0 ... 1, got {value!r}")
    return number


def _number(value: Any, default: float = math.nan) -> float:
    return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else default


def _finite(value: Any) -> float | None:
    number = _number(value)
    return number if math.isfinite(number) else None
