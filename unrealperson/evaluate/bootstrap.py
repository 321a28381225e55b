"""How sure a mean over queries is: 95 % intervals by drawing people again and again."""

from __future__ import annotations

import numpy as np

from unrealperson.config import EvaluateConfig


def intervals(values: dict[str, np.ndarray], pid: np.ndarray, config: EvaluateConfig) -> dict[str, list[float]]:
    """95 % intervals of means over queries.

    People are drawn with replacement, each with all of its queries, as often as there are people. Drawing queries
    instead would take ten queries of one person for ten pieces of evidence, though they succeed and fail together.

    Args:
        values: name -> [q] float64, one value a query.
        pid: [q] int64 identity of each query.
        config: section [evaluate]: bootstrap, seed.

    Returns:
        Name -> low and high end; empty without bootstrap, and for fewer than two people, who tell nothing of others.

    Source: cluster bootstrap (Davison and Hinkley, Bootstrap Methods and their Application, section 3.8), percentiles.
    """
    identities, owner = np.unique(pid, return_inverse=True)
    if not config.bootstrap or len(identities) < 2:
        return {}
    rng = np.random.default_rng(config.seed)
    draws = rng.multinomial(len(identities), np.full(len(identities), 1 / len(identities)), size=config.bootstrap)
    queries = draws @ np.bincount(owner)
    ends = {}
    for name, value in values.items():
        means = draws @ np.bincount(owner, weights=value) / queries
        ends[name] = [float(end) for end in np.quantile(means, [0.025, 0.975])]
    return ends
