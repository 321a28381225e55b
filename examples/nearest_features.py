"""Distances and top-k on numpy and torch arrays: the same kind comes back, nothing is copied."""

import numpy as np
import torch

from unrealperson.ops import build_info, pairwise_distance, topk


def main() -> None:
    generator = np.random.default_rng(0)
    gallery = generator.standard_normal((10_000, 512), dtype=np.float32)
    queries = gallery[:5] + 0.1 * generator.standard_normal((5, 512), dtype=np.float32)

    nearest = topk(queries, gallery, k=3, metric="cosine")
    print(nearest.indices[:, 0], nearest.values[:, 0].round(4))

    same = topk(torch.from_numpy(queries), torch.from_numpy(gallery), k=3, metric="cosine")
    print(type(same.indices).__name__, bool((same.indices.numpy() == nearest.indices).all()))

    print(pairwise_distance(queries, gallery[:3]).shape, build_info())


if __name__ == "__main__":
    main()
