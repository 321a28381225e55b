"""A gallery's vectors in a GPU's memory, which the same op searches as in host memory."""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from unrealperson import ops
from unrealperson.config.search import Device
from unrealperson.gallery.store import Segment
from unrealperson.log import get_logger
from unrealperson.ops import arrays

logger = get_logger(__name__)

_UPLOAD_ROWS = 1 << 16
_LIBRARIES = ("cupy", "torch")


def placed(segments: Sequence[Segment], device: Device, before: Sequence[Segment] = ()) -> tuple[Segment, ...]:
    """Segments whose vectors lie where they are to be searched, as float32 on a GPU.

    Args:
        segments: of the gallery, mapped from disk.
        device: where to.
        before: what this gave for an earlier state; what of it is still wanted stays where it is.

    Returns:
        The same segments, or ones with vectors of cupy or torch and no int8 directions beside them.

    Raises:
        RuntimeError: "cuda", and no GPU answers, no library reaches it, or its memory is too small.
    """
    if device == "cpu" or not segments:
        return tuple(segments)
    kept = {segment.name: segment for segment in before if not isinstance(segment.features, np.ndarray)}
    try:
        upload = _uploader()
        found = tuple(
            kept.get(segment.name) or dataclasses.replace(segment, features=_whole(segment, upload), coarse=None)
            for segment in segments
        )
    except (RuntimeError, MemoryError) as error:
        if device == "cuda":
            raise RuntimeError(f"the gallery cannot be searched on a GPU: {error}") from error
        logger.info("searching on the CPU: %s", error)
        return tuple(segments)
    gigabytes = sum(segment.features.shape[0] * segment.features.shape[1] for segment in found) * 4 / 1e9
    logger.info("searching on the GPU, %.2f GB of its memory", gigabytes)
    return found


def _whole(segment: Segment, upload: Callable[[np.ndarray], Any]) -> Any:
    """[n, d] float32 on the GPU; the host holds one block at a time."""
    blocks = arrays.blocks(len(segment), _UPLOAD_ROWS)
    first = upload(np.empty((0, segment.features.shape[1]), np.float32))
    whole = arrays.empty(first, segment.features.shape, "float32")
    for rows in blocks:
        whole[rows] = upload(np.asarray(segment.features[rows], np.float32))
    return whole


def _uploader() -> Callable[[np.ndarray], Any]:
    """What brings an array to the GPU: of the library that is loaded, or else installed."""
    info = ops.build_info()
    if not info["cuda"]:
        raise RuntimeError("the native module was built without CUDA; with nvcc in PATH, 'make install' builds it")
    if not info["cuda_devices"]:
        raise RuntimeError("no CUDA device answers; 'unrealperson doctor' tells more")
    for name in sorted(_LIBRARIES, key=lambda name: name not in sys.modules):
        if name in sys.modules or importlib.util.find_spec(name) is not None:
            library = importlib.import_module(name)
            if name == "cupy":
                return library.asarray
            if library.cuda.is_available():
                return lambda x: library.from_numpy(x).to("cuda")
    raise RuntimeError("it needs cupy, or torch for CUDA: pip install 'unrealperson[gpu]'")
