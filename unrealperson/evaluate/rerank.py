"""A second look at a ranking: by k-reciprocal neighbours."""

from __future__ import annotations

import numpy as np

from unrealperson import ops
from unrealperson.config import EvaluateConfig
from unrealperson.evaluate.metrics import Scores, score
from unrealperson.schema import Features

MATRIX_BYTES = 8 << 30
"""A larger matrix of distances is refused."""


def score_reranked(features: Features, query: np.ndarray, gallery: np.ndarray, config: EvaluateConfig) -> Scores:
    """Scores the ranking by k-reciprocal neighbours, which looks at all queries and the gallery together.

    Args:
        features: of all images, of length 1.
        query: [q] int64 rows of the queries.
        gallery: [g] int64 rows of the gallery.
        config: section [evaluate]: rerank_k1, rerank_k2, rerank_lambda.

    Raises:
        ValueError: nothing to score, or too large.

    Source: Zhong et al., CVPR 2017.
    """
    matrix = ops.k_reciprocal(
        features.vectors[query],
        features.vectors[gallery],
        k1=config.rerank_k1,
        k2=config.rerank_k2,
        lambda_=config.rerank_lambda,
        max_memory=MATRIX_BYTES,
    )
    return score(features, query, gallery, matrix=matrix)
