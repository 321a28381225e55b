"""Float64 statements of the operations, for tests: short, slow and in no way shared with the native code."""

from __future__ import annotations

from fractions import Fraction

import numpy as np


def pairwise_distance(q: np.ndarray, g: np.ndarray, *, metric: str) -> np.ndarray:
    """Distances in float64, each from its definition.

    Args:
        q: [q, d].
        g: [g, d].
        metric: "sqeuclidean", "cosine" or "inner_product".

    Returns:
        [q, g] float64.
    """
    q, g = np.asarray(q, np.float64), np.asarray(g, np.float64)
    if metric == "sqeuclidean":
        return ((q[:, None] - g[None]) ** 2).sum(2)
    products = (q[:, None] * g[None]).sum(2)
    if metric == "inner_product":
        return products
    lengths = np.sqrt((q**2).sum(1))[:, None] * np.sqrt((g**2).sum(1))[None]
    return 1 - np.divide(products, lengths, out=np.zeros_like(products), where=lengths > 0)


def topk(q: np.ndarray, g: np.ndarray, *, k: int, metric: str) -> tuple[np.ndarray, np.ndarray]:
    """Nearest k by a stable sort of the float64 distances.

    Args:
        q: [q, d].
        g: [g, d].
        k: How many, clamped to g.
        metric: "sqeuclidean", "cosine" or "inner_product", of which the largest come first.

    Returns:
        values [q, k] float64 and indices [q, k] int64.
    """
    distance = pairwise_distance(q, g, metric=metric)
    order = np.argsort(-distance if metric == "inner_product" else distance, axis=1, kind="stable")[:, :k]
    return np.take_along_axis(distance, order, axis=1), order


def k_reciprocal(q: np.ndarray, g: np.ndarray, *, k1: int, k2: int, lambda_: float) -> np.ndarray:
    """Dense re-ranking as the paper states it, by a stable sort of the float64 distances.

    Args:
        q: [q, d].
        g: [g, d].
        k1: Forward lists hold k1 + 1 rows.
        k2: Rows of the query expansion.
        lambda_: Share of the original distance.

    Returns:
        [q, g] float64.
    """
    x = np.concatenate([q, g])
    original = pairwise_distance(x, x, metric="sqeuclidean")
    largest = original.max(1, keepdims=True)
    original = np.divide(original, largest, out=np.zeros_like(original), where=largest > 0)
    blended = (1 - lambda_) * _jaccard(original, k1 + 1, int(np.around(k1 / 2)) + 1, k2) + lambda_ * original
    return blended[: len(q), len(q) :]


def jaccard_distance(x: np.ndarray, *, k1: int, k2: int, rule: str) -> np.ndarray:
    """Dense Jaccard distances of all rows, by a stable sort of the float64 distances.

    Args:
        x: [n, d].
        k1: Size of the lists, by the rule.
        k2: Rows of the query expansion.
        rule: "spcl" or "zhong".

    Returns:
        [n, n] float64; the diagonal is 0.
    """
    distance = pairwise_distance(x, x, metric="sqeuclidean")
    forward = k1 if rule == "spcl" else k1 + 1
    if rule == "zhong":
        largest = distance.max(1, keepdims=True)
        distance = np.divide(distance, largest, out=np.zeros_like(distance), where=largest > 0)
    result = np.maximum(0, _jaccard(distance, forward, min(forward, int(np.around(k1 / 2)) + 1), k2))
    np.fill_diagonal(result, 0)
    return result


def _jaccard(distance: np.ndarray, forward: int, half: int, k2: int) -> np.ndarray:
    """Equations 4 to 10 of the paper on matrices."""
    rank = np.argsort(distance, axis=1, kind="stable")
    among = np.argsort(rank, axis=1)  # among[i, j]: the place of j in row i's list
    mutual = (among < forward) & (among < forward).T
    mutual_half = (among < half) & (among < half).T
    expanded = mutual.copy()
    for row, members in enumerate(mutual):
        for candidate in np.flatnonzero(members):
            theirs = mutual_half[candidate]
            if 3 * (theirs & members).sum() > 2 * theirs.sum():
                expanded[row] |= theirs
    lowest = np.where(expanded, distance, np.inf).min(1, keepdims=True, initial=1e300)
    weight = np.where(expanded, np.exp(np.minimum(0, lowest - distance)), 0)
    total = weight.sum(1, keepdims=True)
    weight = np.divide(weight, total, out=np.zeros_like(weight), where=total > 0)
    if k2 != 1:
        weight = weight[rank[:, :k2]].mean(1)
    shared = np.stack([np.minimum(row, weight).sum(1) for row in weight]) if len(weight) else np.zeros_like(distance)
    return 1 - shared / (2 - shared)


def skin(
    positions: np.ndarray, normals: np.ndarray, bone_index: np.ndarray, bone_weight: np.ndarray, bones: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Linear-blend skinning in float64.

    Args:
        positions: [V, 3].
        normals: [V, 3].
        bone_index: [V, 4].
        bone_weight: [V, 4].
        bones: [B, 3, 4].

    Returns:
        Posed positions and unit normals [V, 3] float64; zero normals stay zero.
    """
    blend = np.einsum("vk,vkij->vij", np.asarray(bone_weight, np.float64), np.asarray(bones, np.float64)[bone_index])
    posed = np.einsum("vij,vj->vi", blend[:, :, :3], np.asarray(positions, np.float64)) + blend[:, :, 3]
    turned = np.einsum("vij,vj->vi", blend[:, :, :3], np.asarray(normals, np.float64))
    length = np.linalg.norm(turned, axis=1, keepdims=True)
    return posed, np.divide(turned, length, out=np.zeros_like(turned), where=length > 0)


def joint_similarity(
    similarity: np.ndarray,
    probability: np.ndarray,
    bin_frames: int,
    query: tuple[np.ndarray, np.ndarray],
    gallery: tuple[np.ndarray, np.ndarray],
    parameters: tuple[float, float, float, float] = (1.0, 5.0, 2.0, 5.0),
) -> np.ndarray:
    """Joint visual-temporal distance, a pair at a time.

    Args:
        similarity: [q, g].
        probability: [cameras, cameras, bins], indexed [later, earlier].
        bin_frames: frames a bin.
        query: camera and frame [q], -1 unknown.
        gallery: camera and frame [g], -1 unknown.
        parameters: visual weight and rate, temporal weight and rate.

    Returns:
        [q, g] float64.
    """
    bins = probability.shape[2]
    found = np.empty(similarity.shape)
    for i, (query_camera, query_frame) in enumerate(zip(*query, strict=True)):
        for j, (camera, frame) in enumerate(zip(*gallery, strict=True)):
            gap = abs(int(query_frame) - int(frame)) // bin_frames
            pair = (query_camera, camera) if query_frame > frame else (camera, query_camera)
            if min(query_camera, query_frame, camera, frame) < 0:
                found[i, j] = 1 / bins
            else:
                found[i, j] = probability[pair][gap] if gap < bins else 0
    a, b, c, f = parameters
    looks = 1 + a * np.exp(np.minimum(-b * np.asarray(similarity, np.float64), 700))
    return 1 - 1 / looks / (1 + c * np.exp(-f * found))


def temporal_histogram(
    cluster: np.ndarray, camera: np.ndarray, frame: np.ndarray, *, cameras: int, bin_frames: int, bins: int
) -> np.ndarray:
    """JVTC's histogram of gaps before smoothing, a pair of visits at a time.

    Args:
        cluster: [n].
        camera: [n].
        frame: [n].
        cameras: number of cameras.
        bin_frames: frames a bin.
        bins: number of bins; larger gaps do not count.

    Returns:
        [cameras, cameras, bins] float64 counts, indexed [later, earlier].
    """
    histogram = np.zeros((cameras, cameras, bins))
    for person in set(cluster):
        frames = [frame[(cluster == person) & (camera == c)] for c in range(cameras)]
        for low in range(cameras):
            gaps = frames[low] - frames[low].min() if len(frames[low]) > 1 else []
            for gap in gaps:
                if gap // bin_frames < bins:
                    histogram[low, low, gap // bin_frames] += len(gaps)
            for high in range(low + 1, cameras):
                if len(frames[low]) and len(frames[high]):
                    means = [Fraction(int(frames[c].sum()), len(frames[c])) for c in (low, high)]
                    gap = means[0] - means[1]
                    pair = (low, high) if gap > 0 else (high, low)
                    if abs(gap) < bins * bin_frames:
                        histogram[pair][int(abs(gap) // bin_frames)] += 1
    return histogram


def cmc_map(
    distance: np.ndarray,
    *,
    query_pid: np.ndarray,
    gallery_pid: np.ndarray,
    query_camera: np.ndarray | None = None,
    gallery_camera: np.ndarray | None = None,
    protocol: str = "known",
) -> dict[int, tuple[list[int], list[int]]]:
    """Rankings, one query and one gallery row after the other.

    Args:
        distance: [q, g].
        query_pid: [q].
        gallery_pid: [g].
        query_camera: [q], or None.
        gallery_camera: [g], or None.
        protocol: "known" or "market1501".

    Returns:
        For each query that has a match: the rows that are not ignored, nearest first, and the ranks of its matches.
    """
    found = {}
    for i in range(len(distance)):
        if query_pid[i] == -1 or (protocol == "market1501" and query_pid[i] == 0):
            continue
        if query_camera is not None and query_camera[i] == -1:
            continue
        kept = [j for j in range(len(gallery_pid)) if gallery_pid[j] != -1]
        if query_camera is not None and gallery_camera is not None:
            unseen = (-1, query_camera[i])
            kept = [j for j in kept if gallery_pid[j] != query_pid[i] or gallery_camera[j] not in unseen]
        kept.sort(key=lambda j: (distance[i, j], j))
        ranks = [rank for rank, j in enumerate(kept, 1) if gallery_pid[j] == query_pid[i]]
        if ranks:
            found[i] = kept, ranks
    return found


def camera_batch_norm(
    x: np.ndarray,
    camera: np.ndarray,
    weight: np.ndarray,
    bias: np.ndarray,
    *,
    cameras: int,
    eps: float,
    min_images: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Batch norm per camera in float64, from the definition.

    Args:
        x: [N, C, ...].
        camera: [N] in [0, cameras).
        weight: [C].
        bias: [C].
        cameras: G.
        eps: Added to the variance.
        min_images: A camera with fewer images is normalised by the whole batch.

    Returns:
        y like x; mean and biased variance [G + 1, C], the last row that of the whole batch, zeros without images.
    """
    values = np.asarray(x, np.float64).reshape(*x.shape[:2], -1)
    mean, var = np.zeros((2, cameras + 1, x.shape[1]))
    for e, members in enumerate(_members(camera, cameras)):
        if members.any():
            mean[e], var[e] = values[members].mean((0, 2)), values[members].var((0, 2))
    row = _rows(camera, cameras, min_images)
    scaled = (values - mean[row][:, :, None]) / np.sqrt(var[row] + eps)[:, :, None]
    return (scaled * weight[:, None] + bias[:, None]).reshape(x.shape), mean, var


def camera_batch_norm_gradient(
    grad: np.ndarray,
    x: np.ndarray,
    camera: np.ndarray,
    weight: np.ndarray,
    *,
    cameras: int,
    eps: float,
    min_images: int,
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Gradients of `camera_batch_norm` in float64, by the chain rule through each row's mean and variance.

    Args:
        grad: Gradient of y.
        x: [N, C, ...].
        camera: [N].
        weight: [C].
        cameras: G.
        eps: As in the forward pass.
        min_images: As in the forward pass.

    Returns:
        Gradients of x, weight and bias.
    """
    zeros = np.zeros(x.shape[1])
    _, mean, var = camera_batch_norm(x, camera, weight, zeros, cameras=cameras, eps=eps, min_images=min_images)
    dy = np.asarray(grad, np.float64).reshape(*x.shape[:2], -1)
    values = np.asarray(x, np.float64).reshape(dy.shape)
    row = _rows(camera, cameras, min_images)
    std = np.sqrt(var + eps)
    scaled = (values - mean[row][:, :, None]) / std[row][:, :, None]
    dx = dy * (weight / std[row])[:, :, None]
    for e, members in enumerate(_members(camera, cameras)):
        takers, count = row == e, members.sum() * dy.shape[2]
        if not takers.any():
            continue
        dmean = -(dy[takers].sum((0, 2)) * weight / std[e])
        dvar = -0.5 * (dy[takers] * scaled[takers]).sum((0, 2)) * weight / std[e] ** 2
        dx[members] += (dmean[:, None] + 2 * dvar[:, None] * (values[members] - mean[e][:, None])) / count
    return dx.reshape(x.shape), (dy * scaled).sum((0, 2)), dy.sum((0, 2))


def _members(camera: np.ndarray, cameras: int) -> list[np.ndarray]:
    return [camera == g for g in range(cameras)] + [np.ones(len(camera), bool)]


def _rows(camera: np.ndarray, cameras: int, min_images: int) -> np.ndarray:
    count = np.bincount(camera, minlength=cameras)
    return np.where(count[camera] >= min_images, camera, cameras)
