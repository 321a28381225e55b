"""Native operations on numpy, torch or cupy arrays; each returns the kind it was given. Needs no torch itself."""

from unrealperson.ops._native import build_info
from unrealperson.ops.distance import Metric, TopK, pairwise_distance, topk
from unrealperson.ops.skin import Skinned, skin
from unrealperson.ops.temporal import TemporalModel, joint_similarity, joint_topk

__all__ = [
    "Metric",
    "Skinned",
    "TemporalModel",
    "TopK",
    "build_info",
    "joint_similarity",
    "joint_topk",
    "pairwise_distance",
    "skin",
    "topk",
]
