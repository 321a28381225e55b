"""Which camera finds people again in which: scores of each pair of cameras."""

from __future__ import annotations

from typing import Any

import numpy as np

from unrealperson import ops
from unrealperson.schema import UNKNOWN, Features


def score_camera_pairs(features: Features, query: np.ndarray, gallery: np.ndarray) -> list[dict[str, Any]]:
    """Scores the queries of each camera in the gallery of each other camera alone.

    A network that is good on the whole can still fail between two cameras; this shows where.

    Args:
        features: of all images.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.

    Returns:
        One entry for each ordered pair with a query that has a match there: query_camera, gallery_camera, queries,
        rank1, map; in increasing order of the cameras.
    """
    table = []
    for camera in np.unique(features.camid[gallery][features.camid[gallery] != UNKNOWN]):
        there = gallery[features.camid[gallery] == camera]
        people = np.unique(features.pid[there])
        asked = query[(features.camid[query] != camera) & np.isin(features.pid[query], people[people != UNKNOWN])]
        asked = asked[features.camid[asked] != UNKNOWN]
        if not len(asked):
            continue
        found = ops.cmc_map(
            features.vectors[asked],
            features.vectors[there],
            query_pid=features.pid[asked],
            gallery_pid=features.pid[there],
            query_camera=features.camid[asked],
            gallery_camera=features.camid[there],
            hits=0,
        )
        source = features.camid[asked[found.query]]
        for other in np.unique(source):
            own = source == other
            table.append(
                {
                    "query_camera": int(other),
                    "gallery_camera": int(camera),
                    "queries": int(own.sum()),
                    "rank1": float((found.first[own] == 1).mean()),
                    "map": float(found.precision[own].mean()),
                }
            )
    return sorted(table, key=lambda entry: (entry["query_camera"], entry["gallery_camera"]))
