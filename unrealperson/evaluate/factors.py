"""What makes people hard to find: rank-1 by view, light, occlusion, distance, accessories, look-alikes and person.

Every synthetic crop comes with the truth about itself, so each crop is asked once and the answers are counted by what
is true of the crop, or of the crop and what it has to be matched with. Shapes: n images, s scored queries.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from unrealperson.cards import PEOPLE
from unrealperson.config import EvaluateConfig
from unrealperson.data.manifest import Manifest
from unrealperson.evaluate.bootstrap import intervals
from unrealperson.evaluate.metrics import score
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN, Features

logger = get_logger(__name__)

_GARMENTS = ("top", "outer", "bottom", "shoes")
_BLOCK = 256


class Factor(NamedTuple):
    """One property and the class that each scored query falls into.

    Attributes:
        name: such as "view".
        meaning: what is measured, in words.
        labels: names of the classes, in order.
        of: [s] int64 class of each query; -1 where it is not known.
    """

    name: str
    meaning: str
    labels: tuple[str, ...]
    of: np.ndarray


def score_factors(
    features: Features, manifest: Manifest, gallery: np.ndarray, config: EvaluateConfig
) -> list[dict[str, Any]]:
    """Rank-1 and mAP of all crops, by what is known of them.

    Other than for the plain scores, every image of known identity and camera is a query: classes need many.

    Args:
        features: of all images, of length 1.
        manifest: the same images, in the same order, with truth columns.
        gallery: [g] int64 rows of the gallery.
        config: section [evaluate]: bootstrap, seed.

    Returns:
        One entry for each factor that is known and has at least two classes: factor, meaning, and groups of label,
        queries, identities, rank1, map, interval ("rank1", "map").

    Raises:
        ValueError: the manifest knows nothing of its crops, or nothing can be scored.
    """
    known = np.flatnonzero((features.pid != UNKNOWN) & (features.camid != UNKNOWN))
    scores = score(features, known, gallery)
    result = []
    for factor in find_factors(manifest, scores.query, gallery):
        groups = []
        for number, label in enumerate(factor.labels):
            own = factor.of == number
            if not own.any():
                continue
            values = {"rank1": (scores.first[own] == 1).astype(np.float64), "map": scores.precision[own]}
            pid = features.pid[scores.query[own]]
            groups.append(
                {"label": label, "queries": int(own.sum()), "identities": len(np.unique(pid))}
                | {name: float(value.mean()) for name, value in values.items()}
                | {"interval": intervals(values, pid, config)}
            )
        if len(groups) > 1:
            result.append({"factor": factor.name, "meaning": factor.meaning, "groups": groups})
        elif groups:
            logger.info("all crops are alike in %s (%s), so it is left out", factor.name, groups[0]["label"])
    if not result:
        raise ValueError(
            f"the manifest of {manifest.root} does not tell view, light, occlusion, distance or looks, so there are no "
            "factors; they need a data set of 'unrealperson synth'"
        )
    return result


def find_factors(manifest: Manifest, query: np.ndarray, gallery: np.ndarray) -> list[Factor]:
    """Which factors are known, and the class of each query.

    Args:
        manifest: images with truth columns.
        query: [s] int64 rows that are sought.
        gallery: [g] int64 rows that they are sought among.
    """
    found = (
        _view(manifest, query),
        _view_change(manifest, query, gallery),
        _light(manifest, query),
        _bands(
            "occlusion", "share of the person that is hidden", "%", (0, 2, 10, 30, 100),
            100 * (1 - manifest.column("visibility")[query]),
        ),
        _bands("distance", "from the camera", "m", (0, 8, 11, 14, np.inf), manifest.column("distance_m")[query]),
        _accessories(manifest, query),
        _likeness(manifest, query, gallery),
        *(_words(manifest, query, name, attribute) for name, attribute in PEOPLE.items()),
    )  # fmt: skip
    return [factor for factor in found if factor is not None]


def _words(manifest: Manifest, query: np.ndarray, name: str, attribute: str) -> Factor | None:
    """Classes by a word of the person's description."""
    words = manifest.attribute(attribute)[query]
    labels = sorted(set(words.tolist()) - {""})
    if not labels:
        return None
    of = np.array([labels.index(word) if word else -1 for word in words.tolist()])
    return Factor(name, "of the person", tuple(labels), of)


def _bands(name: str, meaning: str, unit: str, edges: Sequence[float], value: np.ndarray) -> Factor | None:
    """Classes from edges[0] up to edges[1] and so on, each without its upper edge but the last."""
    if not np.isfinite(value).any():
        return None
    labels = [
        f"from {low:g} {unit}" if high == edges[-1] else f"{low:g} to {high:g} {unit}"
        for low, high in itertools.pairwise(edges)
    ]
    with np.errstate(invalid="ignore"):
        of = np.searchsorted(np.array(edges[1:-1]), value, side="right")
    return Factor(name, meaning, tuple(labels), np.where(np.isfinite(value), of, -1))


def _view(manifest: Manifest, query: np.ndarray) -> Factor | None:
    yaw = manifest.column("yaw_deg")[query]
    if not np.isfinite(yaw).any():
        return None
    away = np.abs((yaw + 180) % 360 - 180)  # 0: the person faces away from the camera
    of = np.where(np.isfinite(away), np.searchsorted((45.0, 135.0), away), -1)
    return Factor("view", "side of the person that the camera sees", ("back", "side", "front"), of)


def _view_change(manifest: Manifest, query: np.ndarray, gallery: np.ndarray) -> Factor | None:
    yaw = manifest.column("yaw_deg")

    def least(row: int, matches: np.ndarray) -> float:
        turn = np.abs((yaw[matches] - yaw[row] + 180) % 360 - 180)
        return float(np.nanmin(turn)) if np.isfinite(turn).any() else np.nan

    change = _over_matches(manifest, query, gallery, least)
    return _bands("view change", "least turn to an image that it can be found by", "°", (0, 15, 45, 180), change)


def _light(manifest: Manifest, query: np.ndarray) -> Factor | None:
    hours = manifest.column("hours")[query]
    step = manifest.column("light")[query]
    if not (step != UNKNOWN).any():
        return None
    order = ("day", "overcast", "dusk", "night")
    names = [name if name in order else "" for name in hours.tolist()]
    if len(set(names)) > 1:
        of = np.array([order.index(name) if name else -1 for name in names])
        return Factor("light", "part of the day", order, of)
    labels = tuple(f"{names[0]} step {number}".strip() for number in range(int(step.max()) + 1))
    return Factor("light", "light step of the capture", labels, step.astype(np.int64))


def _accessories(manifest: Manifest, query: np.ndarray) -> Factor | None:
    worn = manifest.attribute("accessories")[query]
    if not (worn != "").any():
        return None
    count = np.array([0 if text == "none" else 1 + text.count(",") for text in worn.tolist()])
    return Factor(
        "accessories", "bags, hats, glasses and the like", ("none", "one", "two or more"),
        np.where(worn == "", -1, np.minimum(count, 2)),
    )  # fmt: skip


def _likeness(manifest: Manifest, query: np.ndarray, gallery: np.ndarray) -> Factor | None:
    """Of the garments' kinds and colours that either of two people wears, the share that both do."""
    words = [manifest.attribute(f"{garment}_{part}") for garment in _GARMENTS for part in ("category", "color")]
    if not any((word != "").any() for word in words):
        return None
    codes = np.stack([np.unique(word, return_inverse=True)[1] for word in words], axis=1)
    worn = np.stack([~np.isin(word, ("", "none")) for word in words], axis=1)
    people, row = np.unique(manifest.pid[gallery], return_index=True)
    row = gallery[row[people != UNKNOWN]]
    people = people[people != UNKNOWN]
    share = np.empty(len(query))
    for start in range(0, len(query), _BLOCK):
        part = query[start : start + _BLOCK]
        either = worn[part, None] | worn[row]
        both = (codes[part, None] == codes[row]) & worn[part, None] & worn[row]
        alike = both.sum(2) / np.maximum(either.sum(2), 1)
        alike[manifest.pid[part, None] == people] = 0
        share[start : start + len(part)] = alike.max(1, initial=0)
    share[~worn[query].any(1)] = np.nan
    return _bands(
        "look-alikes", "share of garments and colours that the most alike other person wears too", "%",
        (0, 40, 60, 80, 100), 100 * share,
    )  # fmt: skip


def _over_matches(
    manifest: Manifest, query: np.ndarray, gallery: np.ndarray, measure: Callable[[int, np.ndarray], float]
) -> np.ndarray:
    """[s] float64 what `measure` says of each query and the gallery rows of its person under other cameras."""
    pid, camid = manifest.pid, manifest.camid
    order = gallery[np.argsort(pid[gallery], kind="stable")]
    starts, ends = (np.searchsorted(pid[order], pid[query], side) for side in ("left", "right"))
    result = np.full(len(query), np.nan)
    for number, (row, start, end) in enumerate(zip(query.tolist(), starts, ends, strict=True)):
        mine = order[start:end]
        mine = mine[(camid[mine] != camid[row]) & (camid[mine] != UNKNOWN)]
        if len(mine):
            result[number] = measure(row, mine)
    return result
