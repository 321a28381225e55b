"""Native operations on numpy, torch or cupy arrays; each returns the kind it was given. Needs no torch itself."""

from unrealperson.ops._native import build_info
from unrealperson.ops.cbn import (
    CameraNorm,
    Statistics,
    camera_batch_norm,
    camera_batch_norm_backward,
    normalise_by_camera,
    normalise_by_tables,
)
from unrealperson.ops.distance import TopK, pairwise_distance, topk
from unrealperson.ops.metrics import CmcMap, MultiQuery, cmc_map, cmc_map_of_matrix, multi_query
from unrealperson.ops.products import Metric
from unrealperson.ops.rerank import (
    JaccardGraph,
    Neighbors,
    RerankGallery,
    Rule,
    find_neighbors,
    jaccard_graph,
    k_reciprocal,
)
from unrealperson.ops.shortlist import Precision, PreparedGallery, prepare
from unrealperson.ops.skin import Skinned, skin
from unrealperson.ops.temporal import TemporalModel, joint_similarity, joint_topk

__all__ = [
    "CameraNorm",
    "CmcMap",
    "JaccardGraph",
    "Metric",
    "MultiQuery",
    "Neighbors",
    "Precision",
    "PreparedGallery",
    "RerankGallery",
    "Rule",
    "Skinned",
    "Statistics",
    "TemporalModel",
    "TopK",
    "build_info",
    "camera_batch_norm",
    "camera_batch_norm_backward",
    "cmc_map",
    "cmc_map_of_matrix",
    "find_neighbors",
    "jaccard_graph",
    "joint_similarity",
    "joint_topk",
    "k_reciprocal",
    "multi_query",
    "normalise_by_camera",
    "normalise_by_tables",
    "pairwise_distance",
    "prepare",
    "skin",
    "topk",
]
