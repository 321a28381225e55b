"""How long people take from camera to camera, learnt from crops that are one person's, or look as if."""

from __future__ import annotations

import numpy as np

from unrealperson.ops import TemporalModel, jaccard_graph

_K1, _K2, _CLOSEST = 20, 6, 1.6e-3


def temporal_distribution(
    cluster: np.ndarray,  # [n] int
    camera: np.ndarray,  # [n] int
    frame: np.ndarray,  # [n] int
    *,
    cameras: int,
    bin_frames: int = 100,
    bins: int = 3000,
    sigma: float = 50,
) -> TemporalModel:
    """Estimate the probability of each gap of frames between each pair of cameras.

    A cluster's crops under one camera make one visit at their mean frame. Two visits of a cluster count once, in the
    bin of their gap, for [later camera, earlier camera]; of equal frames the higher camera's is the later. Within one
    camera, every crop of a visit of n > 1 counts n times, in the bin of its gap to the visit's first frame. Histograms
    are smoothed by a Gaussian cut at 3 sigma and each is divided by its sum; one without any gap stays 0. Gaps of
    `bins * bin_frames` frames or more do not count: `joint_similarity` gives them the probability 0.

    Args:
        cluster: [n] integers, one a presumed person; crops of -1 are left out.
        camera: [n] integers below `cameras`; crops of -1 are left out.
        frame: [n] integers of 0 or more on one clock of all cameras; crops of -1 are left out.
        cameras: number of cameras, 1 or more.
        bin_frames: frames a bin, 1 or more; the model keeps it for the look-up.
        bins: number of bins, 1 or more.
        sigma: of the smoothing, in bins; 0 leaves it out.

    Returns:
        The model, with [cameras, cameras, bins] float32 probabilities.

    Raises:
        ValueError: Arrays of unequal length or of no integers, a camera out of range, parameters out of range.

    Source:
        Li and Zhang, "Joint visual and temporal consistency for unsupervised domain adaptive person
        re-identification", ECCV 2020, and the authors' code, which fails at gaps beyond the table.
    """
    if min(cameras, bin_frames, bins) < 1 or not 0 <= sigma < np.inf:
        raise ValueError(
            "cameras, bin_frames and bins must be 1 or more and sigma 0 or more, "
            f"got {cameras}, {bin_frames}, {bins} and {sigma}"
        )
    columns = [np.asarray(x) for x in (cluster, camera, frame)]
    if any(x.dtype.kind not in "iu" or x.ndim != 1 or len(x) != len(columns[0]) for x in columns):
        raise ValueError(
            "cluster, camera and frame must be integers of one length, "
            f"got {', '.join(f'{x.dtype} {list(x.shape)}' for x in columns)}"
        )
    known = np.logical_and.reduce([x >= 0 for x in columns])
    cluster, camera, frame = (x[known].astype(np.int64) for x in columns)
    if len(camera) == 0:
        return TemporalModel(np.zeros((cameras, cameras, bins), np.float32), bin_frames)
    if camera.max() >= cameras:
        raise ValueError(f"camera must be below {cameras}, got {camera.max()}")

    _, cluster = np.unique(cluster, return_inverse=True)
    visit, of_visit, count = np.unique(cluster * cameras + camera, return_inverse=True, return_counts=True)
    frame = frame - frame.min()
    first = np.full(len(visit), frame.max())
    np.minimum.at(first, of_visit, frame)
    mean_after_first = np.bincount(of_visit, frame - first[of_visit]) / count
    visit_cluster, visit_camera = np.divmod(visit, cameras)

    repeated = count[of_visit] > 1
    found = [(camera, camera, (frame - first[of_visit]) // bin_frames, count[of_visit] * repeated)]
    for step in range(1, min(cameras, len(visit))):  # visits are sorted by cluster, then by camera
        together = np.flatnonzero(visit_cluster[:-step] == visit_cluster[step:])
        gap = mean_after_first[together] - mean_after_first[together + step]
        # Rounded, so that means that differ by whole bins do not fall below their edge.
        gap = np.round(first[together] - first[together + step] + gap, 6)
        lower, higher = visit_camera[together], visit_camera[together + step]
        later, earlier = np.where(gap > 0, (lower, higher), (higher, lower))
        found.append((later, earlier, (np.abs(gap) // bin_frames).astype(np.int64), np.ones_like(later)))
    later, earlier, bin_, weight = (np.concatenate(part) for part in zip(*found, strict=True))
    inside = bin_ < bins
    place = ((later * cameras + earlier) * bins + bin_)[inside]
    histogram = np.bincount(place, weight[inside], minlength=cameras * cameras * bins).reshape(-1, bins)

    reach = int(3 * sigma)
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2) if reach else np.ones(1)
    for pair in np.flatnonzero(histogram.any(axis=1)):
        smooth = np.convolve(histogram[pair], kernel)[reach : reach + bins]
        histogram[pair] = smooth / smooth.sum()
    return TemporalModel(histogram.reshape(cameras, cameras, bins).astype(np.float32), bin_frames)


def cluster_crops(vectors: np.ndarray) -> np.ndarray:  # [n, d] float32
    """Groups crops that look like one person's, without labels: JVTC's clusters.

    Crops whose Jaccard distance is at most eps belong together, and so does whatever hangs together by such pairs
    (DBSCAN with one sample). eps is the mean of the smallest 0.16 % of all distances.

    Args:
        vectors: features of length 1.

    Returns:
        [n] int64 cluster of each crop, from 0.

    Source: JVTC's code (rho 1.6e-3, k1 20, k2 6).
    """
    from scipy.sparse import csr_matrix
    from scipy.sparse.csgraph import connected_components

    n = len(vectors)
    graph = jaccard_graph(vectors, k1=_K1, k2=_K2, rule="zhong")
    owner = np.repeat(np.arange(n), np.diff(graph.indptr))
    distance = np.sort(graph.data[owner < graph.indices])
    smallest = distance[: max(1, round(_CLOSEST * n * (n - 1) / 2))]
    near = graph.data <= (smallest.mean() if len(smallest) else 0)
    links = csr_matrix((np.ones(near.sum(), np.int8), (owner[near], graph.indices[near])), shape=(n, n))
    return connected_components(links, directed=False)[1].astype(np.int64)
