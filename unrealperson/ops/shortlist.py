"""A gallery rounded to integers, which rule most of its rows out before float32 products decide among the rest.

The bounds hold for any data (csrc/integers.h), so a search finds the nearest of all rows, not most of them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

import numpy as np

from unrealperson.ops import _native, arrays

Precision = Literal["float32", "int8", "int16"]
"""What the products that rule rows out are made of; the result comes from float32 products in any case."""

FEWEST_DIMENSIONS, MOST_DIMENSIONS = 32, 65536
_WIDE = 1024
_MANY_QUERIES = 128
ROWS_PER_NEIGHBOUR = 256
"""With fewer gallery rows for each of the k, too many rows have their keys to be found."""


@dataclass(frozen=True, eq=False)
class PreparedGallery:
    """Rows of a gallery with what their rounding left; made by `prepare`, taken by `topk` in place of the rows.

    Attributes:
        features: [g, d] float32 rows, not copied where they were so already: they must stay as they are.
        precision: "int8" or "int16".
        norm2: [g] float32 squared lengths.
        integers: the rounded rows, of the native module.
    """

    features: Any
    precision: Precision
    norm2: np.ndarray
    integers: Any

    def __len__(self) -> int:
        return len(self.features)


def prepare(
    g: Any,  # [g, d] float
    *,
    precision: Precision | None = None,
    num_threads: int = 0,
) -> PreparedGallery:
    """Round a gallery to integers once, for many searches by `topk`.

    Args:
        g: [g, d] float32 (others are converted) with d to 65,536, in host memory; it must not change afterwards.
        precision: "int8" or "int16". None takes int8 to 1,024 dimensions where the machine multiplies 8-bit integers in
            one instruction, and int16 otherwise: among many dimensions the bounds of 8 bits rule out too little.
        num_threads: OpenMP threads; 0 lets OpenMP choose.

    Returns:
        The gallery for `topk`.

    Raises:
        ValueError: Wrong kind, dtype or shape, NaN or Inf, vectors longer than about 9e18, an array on a GPU.
    """
    threads = _native.thread_count(num_threads)
    features = arrays.float_matrix(g, "g")
    if arrays.on_gpu(features):
        raise ValueError("g must lie in host memory to be prepared; give topk the GPU array itself")
    cols = features.shape[1]
    if not 1 <= cols <= MOST_DIMENSIONS:
        raise ValueError(f"g must have 1 to {MOST_DIMENSIONS} dimensions to be prepared, got {cols}")
    native = _native.load()
    if precision is None:
        precision = "int8" if cols <= _WIDE and native.has_fast_integers() else "int16"
    if precision not in ("int8", "int16"):
        raise ValueError(f'precision must be "int8" or "int16" to prepare a gallery, got {precision!r}')
    norm2 = np.empty(len(features), np.float32)
    integers = native.IntegerRows(len(features), cols, int(precision[3:]))
    if len(features):
        arrays.require_usable("g", integers.set(0, features, norm2, threads))
    return PreparedGallery(features, precision, norm2, integers)


def pays(native: Any, q: Any, g: Any, k: int) -> bool:
    """Tell whether rounding a gallery for one call of `topk` costs less than it saves.

    Args:
        native: The native module.
        q: [q, d] queries.
        g: [g, d] gallery.
        k: How many are wanted of each.
    """
    return bool(
        native.has_fast_integers()
        and FEWEST_DIMENSIONS <= g.shape[1] <= MOST_DIMENSIONS
        and len(q) >= _MANY_QUERIES
        and len(g) >= ROWS_PER_NEIGHBOUR * k
    )


def check_precision(precision: str | None) -> None:
    """Refuse what is no precision.

    Args:
        precision: None or one of `Precision`.

    Raises:
        ValueError: It is neither.
    """
    if precision is not None and precision not in get_args(Precision):
        raise ValueError(f"precision must be one of {', '.join(get_args(Precision))}, got {precision!r}")
