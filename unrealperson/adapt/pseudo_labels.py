"""Identities for images without labels: clusters of a sparse graph of distances, and how good they seem to be.

Shapes: n images, d dimensions, c clusters.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np

from unrealperson.distributed import Team
from unrealperson.log import get_logger
from unrealperson.ops import JaccardGraph, topk

logger = get_logger(__name__)

OUTLIER = -1
_SILHOUETTE_ROWS = 4096


@dataclass(frozen=True)
class Clusters:
    """Presumed identities.

    Attributes:
        label: [n] int64 cluster of each image, 0 ... c - 1 by first image; -1 where it is in none.
        eps: distance up to which images were joined; the largest where parts were clustered apart.
    """

    label: np.ndarray
    eps: float

    @property
    def count(self) -> int:
        """Number of clusters, those of a single image included."""
        return int(self.label.max(initial=-1)) + 1

    @property
    def groups(self) -> int:
        """Clusters of two images or more."""
        return int((np.bincount(self.label[self.label != OUTLIER]) > 1).sum())

    @property
    def outliers(self) -> int:
        """Images in no cluster."""
        return int((self.label == OUTLIER).sum())

    @property
    def alone(self) -> np.ndarray:
        """The labels with a cluster of its own for each outlier, [n] int64."""
        label = self.label.copy()
        lost = label == OUTLIER
        label[lost] = self.count + np.arange(lost.sum())
        return label


def nearest_graph(x: np.ndarray, *, share: float) -> JaccardGraph:
    """Squared Euclidean distances of each row to its nearest, without re-ranking.

    Each row holds four times as many as the smallest `share` of all pairs has for a row on average.

    Args:
        x: [n, d] float32.
        share: of all pairs that `smallest_mean` will take.
    """
    n = len(x)
    k = min(n, 20 + int(4 * share * n))
    found = topk(x, x, k=k)
    return JaccardGraph(np.arange(0, n * k + 1, k), found.indices.ravel().astype(np.int32), found.values.ravel())


def smallest_mean(graph: JaccardGraph, share: float) -> float:
    """Mean of the smallest distances above 0 of all pairs i < j, taken from row i: the eps of JVTC's DBSCAN.

    Where the graph stores fewer pairs than that share, all that it stores are taken.

    Args:
        graph: sparse rows; pairs that are not stored are farther than those that are.
        share: of all pairs with a distance above 0; at least one is taken.

    Source: the authors' code of JVTC, 0.16 % (rho).
    """
    n = len(graph.indptr) - 1
    rows = np.repeat(np.arange(n), np.diff(graph.indptr))
    above = graph.data[graph.indices > rows]
    zeros = int((above == 0).sum())
    above = above[above > 0]
    if len(above) == 0:
        return 0.0
    wanted = max(1, round(share * (n * (n - 1) // 2 - zeros)))
    if wanted < len(above):
        above = np.partition(above, wanted - 1)[:wanted]
    return float(np.sort(above).mean(dtype=np.float64))


def cluster(graph: JaccardGraph, *, eps: float, min_samples: int) -> Clusters:
    """DBSCAN of a sparse graph.

    Args:
        graph: sparse rows of distances; pairs that are not stored are no neighbours.
        eps: greatest distance of neighbours.
        min_samples: neighbours, itself included, that make an image the core of a cluster; 1 makes each image one.

    Source: Ester et al., KDD 1996.
    """
    from sklearn.cluster import DBSCAN
    from sklearn.neighbors import sort_graph_by_row_values

    rows = _kept(graph, graph.data <= eps)
    rows = sort_graph_by_row_values(rows, copy=True, warn_when_not_sorted=False)
    found = DBSCAN(eps=max(eps, np.finfo(float).tiny), min_samples=min_samples, metric="precomputed").fit(rows)
    return Clusters(found.labels_.astype(np.int64), eps)


def infomap(graph: JaccardGraph, *, eps: float, min_samples: int, rng: np.random.Generator) -> Clusters:
    """Groups in which a random walk between neighbours stays longest; unlike DBSCAN's they do not chain.

    Args:
        graph: sparse rows of distances 0 ... 1; pairs that are not stored are no neighbours.
        eps: greatest distance of neighbours; an edge weighs 1 - distance.
        min_samples: images that make a cluster; those of smaller groups are in none.
        rng: the order of the search.

    Source: Rosvall and Bergstrom, PNAS 2008 (`communities`).
    """
    from unrealperson.adapt.communities import communities

    rows = _kept(graph, (graph.data <= eps) & (graph.data < 1))
    rows.data = 1 - rows.data
    group = communities(rows.maximum(rows.T), rng)
    large = np.bincount(group) >= min_samples
    number = np.where(large, np.cumsum(large) - 1, OUTLIER)
    return Clusters(number[group].astype(np.int64), eps)


def _kept(graph: JaccardGraph, keep: np.ndarray) -> Any:
    """The entries of a graph that are kept, as a scipy CSR matrix [n, n]."""
    from scipy import sparse

    n = len(graph.indptr) - 1
    before = np.concatenate([[0], np.cumsum(keep)])
    return sparse.csr_matrix((graph.data[keep], graph.indices[keep], before[graph.indptr]), (n, n))


def shared_clusters(team: Team, make: Callable[[], Clusters]) -> Clusters:
    """Clusters that the first process makes and all get.

    Args:
        team: the processes.
        make: makes them.
    """
    label, eps = team.share(dataclasses.astuple(make()) if team.first else (np.zeros(0, np.int64), 0.0))
    return Clusters(label, eps)


def trouble(found: Clusters) -> str:
    """Why clusters teach nothing, or "" where they may.

    Args:
        found: the clusters.
    """
    n = len(found.label)
    if found.groups == 0:
        return f"none of the {n} images found another of its identity"
    if found.count == 1 and found.outliers < n / 2:
        return f"all but {found.outliers} of the {n} images fell into one cluster"
    largest = int(np.bincount(found.label[found.label != OUTLIER]).max())
    if largest > n / 2 and n > 20:
        return f"{largest} of the {n} images fell into one cluster"
    return ""


def silhouette(x: np.ndarray, label: np.ndarray, rng: np.random.Generator) -> float | None:
    """Mean simplified silhouette: own and next center in place of the means over all members.

    Args:
        x: [n, d] unit vectors.
        label: [n] int64 clusters, -1 is left out.
        rng: draws 4,096 images where there are more.

    Returns:
        -1 ... 1, larger is better; None where there are fewer than two clusters of two images or more.

    Source: Rousseeuw 1987; simplified by Vendramin et al., 2010.
    """
    size = np.bincount(label[label != OUTLIER])
    members = np.flatnonzero((label != OUTLIER) & (size[label] > 1)) if len(size) else np.array([], int)
    if len(np.unique(label[members])) < 2:
        return None
    keys, own = np.unique(label[members], return_inverse=True)
    centers = cluster_means(x[members], own, len(keys))
    centers /= np.linalg.norm(centers, axis=1, keepdims=True).clip(1e-12)
    drawn = np.arange(len(members))
    if len(drawn) > _SILHOUETTE_ROWS:
        drawn = np.sort(rng.choice(len(drawn), _SILHOUETTE_ROWS, replace=False))
    nearest = topk(x[members[drawn]], centers, k=2, metric="cosine")
    mine = 1 - np.einsum("nd,nd->n", x[members[drawn]], centers[own[drawn]])
    other = np.where(nearest.indices[:, 0] == own[drawn], nearest.values[:, 1], nearest.values[:, 0])
    return float(((other - mine) / np.maximum(np.maximum(other, mine), 1e-12)).mean())


def cluster_means(x: np.ndarray, label: np.ndarray, count: int) -> np.ndarray:
    """Mean of each cluster's rows.

    Args:
        x: [n, d] float32.
        label: [n] int64, 0 ... count - 1; -1 is left out.
        count: clusters; one without a member has the mean 0.

    Returns:
        [count, d] float32.
    """
    from scipy import sparse

    kept = label != OUTLIER
    size = np.bincount(label[kept], minlength=count)
    share = sparse.csr_matrix(
        ((1 / size[label[kept]]).astype(x.dtype), (label[kept], np.flatnonzero(kept))), (count, len(x))
    )
    return np.asarray(share @ x)


def agreement(label: np.ndarray, pid: np.ndarray) -> float | None:
    """Adjusted Rand index of clusters and true identities, 0 by chance and 1 where they are the same.

    Args:
        label: [n] int64 clusters.
        pid: [n] int64 identities, -1 unknown.

    Returns:
        None where no identity is known.
    """
    from sklearn.metrics import adjusted_rand_score

    known = pid >= 0
    return float(adjusted_rand_score(pid[known], label[known])) if known.any() else None
