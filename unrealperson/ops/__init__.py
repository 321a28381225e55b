"""Native operations on numpy, torch or cupy arrays; each returns the kind it was given. Needs no torch itself."""

from unrealperson.ops._native import build_info
from unrealperson.ops.distance import Metric, TopK, pairwise_distance, topk
from unrealperson.ops.skin import Skinned, skin

__all__ = ["Metric", "Skinned", "TopK", "build_info", "pairwise_distance", "skin", "topk"]
