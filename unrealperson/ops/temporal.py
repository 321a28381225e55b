"""JVTC's joint visual-temporal distance: how alike two crops look, and how probable the time between their cameras is.

A block of similarities (given, or the product of features by BLAS) becomes distances in one pass, or gives each query
its nearest rows, so the whole matrix never exists for `joint_topk`. Shapes: q queries, g gallery rows, d dimensions.
"""

from __future__ import annotations

import math
import sys
from typing import Any, NamedTuple

import numpy as np

from unrealperson.ops import _native, arrays, products
from unrealperson.ops.distance import TopK
from unrealperson.schema import UNKNOWN

_POOL_BYTES = 64 << 20
_CPU_BLOCK, _GPU_BLOCK = (4096, 2048), (4096, 16384)  # queries, gallery rows
_MAX_INT32 = 2**31 - 1
_MAX_PARAMETER = 1e6


class TemporalModel(NamedTuple):
    """Probability of the time that people take between cameras.

    Attributes:
        probability: [cameras, cameras, bins] float, indexed [later camera, earlier camera, gap // bin_frames]; each
            pair of cameras sums to 1, or is 0 throughout where nothing is known of it.
        bin_frames: frames a bin.
    """

    probability: np.ndarray
    bin_frames: int = 100


def joint_similarity(
    visual: Any,  # [q, g] float, or ([q, d], [g, d]) float
    model: TemporalModel,
    *,
    query_camera: Any,  # [q] int
    query_frame: Any,  # [q] int
    gallery_camera: Any,  # [g] int
    gallery_frame: Any,  # [g] int
    visual_weight: float = 1.0,
    visual_rate: float = 5.0,
    temporal_weight: float = 2.0,
    temporal_rate: float = 5.0,
    out: Any = None,  # [q, g] float32
    num_threads: int = 0,
) -> Any:
    """Compute JVTC's joint distance d = 1 - 1 / (1 + a exp(-b s)) * 1 / (1 + c exp(-f p)) of every pair.

    s is the visual similarity and p the model's probability, which is looked up by the pair's cameras, the bin of its
    gap of frames, and which of the two is the later (the gallery row, where frames are equal). A gap beyond the last
    bin has p = 0. A pair with an unknown camera or frame has p = 1 / bins, as if all gaps were equally probable. p
    enters as it is: JVTC's smoothed p stays below 0.01, so its factor spans 0.333 to 0.342 only.

    Args:
        visual: Similarities [q, g], or the pair (q [q, d], g [g, d]) of features whose products they are, which should
            be of unit length; float32 (other floats are converted); numpy, torch or cupy. No gradient flows through.
        model: The temporal model, whose cameras are numbered from 0.
        query_camera: [q] integers below the model's cameras; -1 is unknown. Of any kind, on any device.
        query_frame: [q] integers of 0 or more on one clock of all cameras; -1 is unknown.
        gallery_camera: [g] likewise.
        gallery_frame: [g] likewise.
        visual_weight: a, above 0.
        visual_rate: b, above 0; e^(-b s) saturates where |b s - ln a| exceeds 59.
        temporal_weight: c, above 0.
        temporal_rate: f, above 0.
        out: [q, g] float32 to write to, of the kind of `visual`; it may be the similarities themselves.
        num_threads: OpenMP threads of the part after the product; 0 lets OpenMP choose.

    Returns:
        [q, g] float32 within [0, 1], smaller is more alike; `out` where it is given. Within 3e-7 of the exact value
        and the same bits on every instruction path.

    Raises:
        ValueError: Wrong kind, dtype or shape, a camera beyond the model, a negative frame, NaN or Inf.

    Source:
        Li and Zhang, "Joint visual and temporal consistency for unsupervised domain adaptive person
        re-identification", ECCV 2020; UnrealPerson, section 4.3. The authors' MSMT17 look-up forgets the bins' width.
    """
    pairs = _Visual(visual)
    fusion = _Fusion(
        pairs, model, (query_camera, query_frame), (gallery_camera, gallery_frame),
        (visual_weight, visual_rate, temporal_weight, temporal_rate), num_threads,
    )  # fmt: skip
    out = pairs.empty(pairs.shape, "float32") if out is None else _checked_out(out, pairs)
    for rows in arrays.blocks(pairs.shape[0], pairs.block[0]):
        for columns in arrays.blocks(pairs.shape[1], pairs.block[1]):
            block = out[rows, columns]
            fusion.fuse(pairs.similarity(rows, columns, block), rows, columns, False, block)
    fusion.require_usable()
    return out


def joint_topk(
    visual: Any,  # [q, g] float, or ([q, d], [g, d]) float
    model: TemporalModel,
    *,
    k: int,
    query_camera: Any,  # [q] int
    query_frame: Any,  # [q] int
    gallery_camera: Any,  # [g] int
    gallery_frame: Any,  # [g] int
    visual_weight: float = 1.0,
    visual_rate: float = 5.0,
    temporal_weight: float = 2.0,
    temporal_rate: float = 5.0,
    num_threads: int = 0,
) -> TopK:
    """Find the k gallery rows of least joint distance to each query, without making the matrix.

    Rows are ordered by the float32 key that csrc/temporal.h states, which has fewer ties than the distance; equal keys
    go to the lower gallery index.

    Args:
        visual: As for `joint_similarity`, and so for every argument but `k`.
        model: The temporal model.
        k: How many, 1 or more; no more than g come back.
        query_camera: [q] integers; -1 is unknown.
        query_frame: [q] integers; -1 is unknown.
        gallery_camera: [g] integers; -1 is unknown.
        gallery_frame: [g] integers; -1 is unknown.
        visual_weight: a, above 0.
        visual_rate: b, above 0.
        temporal_weight: c, above 0.
        temporal_rate: f, above 0.
        num_threads: OpenMP threads of the part after the product; 0 lets OpenMP choose.

    Returns:
        values, the joint distances, and indices, [q, min(k, g)] of the kind of `visual`.

    Raises:
        ValueError: As `joint_similarity`, or k below 1.
    """
    k = arrays.count(k, "k")
    pairs = _Visual(visual)
    fusion = _Fusion(
        pairs, model, (query_camera, query_frame), (gallery_camera, gallery_frame),
        (visual_weight, visual_rate, temporal_weight, temporal_rate), num_threads,
    )  # fmt: skip
    queries, gallery = pairs.shape
    k = min(k, gallery)
    keys, indices = pairs.empty((queries, k), "float32"), pairs.empty((queries, k), "int64")
    if k and queries:
        if not pairs.gpu:
            _topk_on_cpu(pairs, fusion, k, keys, indices)
        elif k <= fusion.native.cuda_joint_topk_limit:
            _topk_on_gpu(pairs, fusion, keys, indices)
        else:
            _topk_by_sorting(pairs, fusion, k, keys, indices)
    fusion.require_usable()
    return TopK(fusion.values(keys), indices)


def _topk_on_cpu(pairs: _Visual, fusion: _Fusion, k: int, keys: Any, indices: Any) -> None:
    native, threads, (queries, gallery) = fusion.native, fusion.threads, pairs.shape
    terms = products.plain_terms(min(gallery, pairs.block[1]))
    no_norms = np.zeros(queries, np.float32)
    step = max(1, min(pairs.block[0], _POOL_BYTES // (16 * (2 * k + 16))))
    buffer = pairs.empty((step * pairs.block[1],), "float32")
    for rows in arrays.blocks(queries, step):
        nearest = native.Nearest(rows.stop - rows.start, k)
        for columns in arrays.blocks(gallery, pairs.block[1]):
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            block = buffer[: shape[0] * shape[1]].reshape(shape)
            fusion.fuse(pairs.similarity(rows, columns, block), rows, columns, True, block)
            nearest.add(block, terms[:, : shape[1]], columns.start, threads)
        nearest.finish(no_norms[rows], "inner_product", keys[rows], indices[rows], threads)
    keys *= -1  # the "inner product" is the key's negative


def _topk_on_gpu(pairs: _Visual, fusion: _Fusion, keys: Any, indices: Any) -> None:
    for rows in arrays.blocks(pairs.shape[0], pairs.block[0]):
        for columns in arrays.blocks(pairs.shape[1], pairs.block[1]):
            shape = (rows.stop - rows.start, columns.stop - columns.start)
            block = pairs.empty(shape, "float32") if pairs.from_features else None
            fusion.keep_nearest(pairs.similarity(rows, columns, block), rows, columns, keys[rows], indices[rows])


def _topk_by_sorting(pairs: _Visual, fusion: _Fusion, k: int, keys: Any, indices: Any) -> None:
    """Stable sort of whole rows of keys, for a k beyond what the GPU's kernel holds."""
    columns = slice(0, pairs.shape[1])
    for rows in arrays.blocks(pairs.shape[0], max(1, math.prod(pairs.block) // pairs.shape[1])):
        block = pairs.empty((rows.stop - rows.start, pairs.shape[1]), "float32")
        fusion.fuse(pairs.similarity(rows, columns, block), rows, columns, True, block)
        order = arrays.smallest(block, k)
        keys[rows], indices[rows] = arrays.along_rows(block, order), order


class _Visual:
    """Checked similarities, given or to be made from features, by blocks."""

    def __init__(self, visual: Any) -> None:
        self.from_features = isinstance(visual, tuple)
        if not self.from_features:
            self.arrays: tuple[Any, ...] = (arrays.float_matrix(visual, "visual"),)
            self.shape = tuple(self.arrays[0].shape)
        else:
            if len(visual) != 2:
                raise ValueError(f"visual must be similarities or a pair of features (q, g), got {len(visual)} arrays")
            kinds = [arrays.kind_of(x, name) for x, name in zip(visual, "qg", strict=True)]
            if kinds[0] != kinds[1]:
                raise ValueError(f"q and g must be of one kind, got {kinds[0]} and {kinds[1]}")
            q, g = (arrays.float_matrix(x, name) for x, name in zip(visual, "qg", strict=True))
            if q.shape[1] != g.shape[1] or q.shape[1] == 0:
                raise ValueError(
                    f"q and g must have one number of dimensions, got shapes {tuple(q.shape)} and {tuple(g.shape)}"
                )
            if kinds[0] != "numpy" and q.device != g.device:
                raise ValueError(f"q and g must lie on one device, got {q.device} and {g.device}")
            self.arrays, self.shape = (q, g), (len(q), len(g))
        self.like = self.arrays[0]
        self.kind, self.gpu = arrays.kind_of(self.like, "visual"), arrays.on_gpu(self.like)
        self.library = sys.modules[self.kind] if self.gpu else np
        self.block = _GPU_BLOCK if self.gpu else _CPU_BLOCK

    def empty(self, shape: tuple[int, ...], dtype: str) -> Any:
        return arrays.empty(self.like, shape, dtype)

    def beside(self, x: np.ndarray) -> Any:
        return arrays.beside(self.like, x)

    def holds_integers(self, x: Any, count: int) -> bool:
        """Whether `x` is [count] integers beside the similarities on a GPU, which need not pass through the host."""
        return (
            isinstance(x, type(self.like))
            and x.device == self.like.device
            and str(x.dtype).removeprefix("torch.") in ("int64", "int32", "int16", "int8", "uint8")
            and tuple(x.shape) == (count,)
        )

    def copy(self, x: Any, dtype: str) -> Any:
        """An array beside the similarities as a contiguous one of another type."""
        made = self.empty(tuple(x.shape), dtype)
        made[...] = x
        return made

    def similarity(self, rows: slice, columns: slice, out: Any) -> Any:
        """The given block, or the features' products, written to `out`."""
        if not self.from_features:
            return self.arrays[0][rows, columns]
        q, g = self.arrays
        with np.errstate(invalid="ignore", over="ignore"):
            products.multiplier(q)(q[rows], g[columns].T, out)
        return out

    def refuse(self, bad_row: int) -> None:
        """Name the row whose similarities are not finite."""
        if self.from_features:
            for name, x in zip("qg", self.arrays, strict=True):
                finite = arrays.on_host(sys.modules[self.kind].isfinite(x).all(1))
                if not finite.all():
                    raise ValueError(f"{name} must be finite, see row {finite.argmin()}; got NaN or Inf")
        raise ValueError(f"similarities must be finite in float32, see row {bad_row}; got NaN or Inf")


class _Fusion:
    """The model's table, both sides' sightings and the constants, where the kernels can read them."""

    def __init__(
        self,
        pairs: _Visual,
        model: TemporalModel,
        query: tuple[Any, Any],
        gallery: tuple[Any, Any],
        parameters: tuple[float, float, float, float],
        num_threads: int,
    ) -> None:
        self.native, self.threads = _native.load_for(pairs.like, "visual"), _native.thread_count(num_threads)
        self.pairs = pairs
        names = ("visual_weight", "visual_rate", "temporal_weight", "temporal_rate")
        for name, value in zip(names, parameters, strict=True):
            if not 0 < value <= _MAX_PARAMETER:
                raise ValueError(f"{name} must lie above 0, to {_MAX_PARAMETER:g}, got {value!r}")
        visual_weight, visual_rate, temporal_weight, temporal_rate = map(float, parameters)
        self.constants = (-visual_rate * math.log2(math.e), math.log2(visual_weight), temporal_weight)
        self.table = _weight_table(pairs, model, temporal_weight, temporal_rate)
        self.sides = {"query": query, "gallery": gallery}
        self.cameras, self.bin_frames = len(model.probability), int(model.bin_frames)
        if pairs.gpu:
            self.queue = arrays.place(pairs.like)
            self.bad_rows = pairs.empty((1 + len(self.sides),), "int64")  # of the similarities, then of the sides
            self.bad_rows[...] = -1
            self.bad_row = self.bad_rows[:1]
        self.query, self.gallery = (
            self._sightings(side, number, count)
            for number, (side, count) in enumerate(zip(self.sides, pairs.shape, strict=True), 1)
        )

    def _sightings(self, side: str, number: int, count: int) -> tuple[Any, Any]:
        """Slot [n] int64, and rest and camera [2, n] int32, of csrc/temporal.h; unknown means camera `cameras`."""
        pairs = self.pairs
        if not pairs.gpu:
            camera, frame = self._checked(side, count)
            unknown = (camera == UNKNOWN) | (frame == UNKNOWN)
            slot, rest = np.divmod(np.where(unknown, 0, frame), self.bin_frames)
            return slot, np.stack([rest, np.where(unknown, self.cameras, camera)]).astype(np.int32)
        slot, place = pairs.empty((count,), "int64"), pairs.empty((2, count), "int32")
        if count:
            given = self.sides[side]
            if all(pairs.holds_integers(x, count) for x in given):
                seen = [pairs.copy(x, "int64") for x in given]
            else:
                seen = [pairs.beside(x.copy()) for x in self._checked(side, count)]
            self.native.cuda_sightings(
                *seen, self.cameras, self.bin_frames, slot, place, self.bad_rows[number : number + 1], *self.queue
            )
        return slot, place

    def _checked(self, side: str, count: int) -> tuple[np.ndarray, np.ndarray]:
        """A side's cameras and frames in host memory, refused where the model does not know them."""
        camera, frame = (
            _integers(x, f"{side}_{name}", count) for x, name in zip(self.sides[side], ("camera", "frame"), strict=True)
        )
        if count and camera.max() >= self.cameras:
            row = int(camera.argmax())
            raise ValueError(f"{side}_camera must be below the model's {self.cameras}, got {camera[row]} in row {row}")
        return camera, frame

    def _arguments(self, rows: slice, columns: slice) -> tuple[Any, ...]:
        (query_slot, query_place), (slot, place) = self.query, self.gallery
        sides = (query_slot[rows], query_place[:, rows], slot[columns], place[:, columns])
        return (*sides, self.table, *self.constants)

    def fuse(self, similarity: Any, rows: slice, columns: slice, keys: bool, out: Any) -> None:
        """Write a block's distances, or keys, to `out`, which may be the block itself."""
        arguments = (similarity, *self._arguments(rows, columns), keys, out)
        if self.pairs.gpu:
            self.native.cuda_joint_distances(*arguments, self.bad_row, *self.queue)
        elif (bad_row := self.native.joint_distances(*arguments, self.threads)) >= 0:
            self.pairs.refuse(rows.start + bad_row)

    def keep_nearest(self, similarity: Any, rows: slice, columns: slice, keys: Any, indices: Any) -> None:
        """Take a block into each row's nearest on the GPU; blocks come along the gallery."""
        self.native.cuda_joint_topk(
            similarity,
            *self._arguments(rows, columns),
            columns.start,
            columns.start == 0,
            keys,
            indices,
            self.bad_row,
            *self.queue,
        )

    def require_usable(self) -> None:
        """Wait for the GPU, once, and refuse what it found to be unusable."""
        if not self.pairs.gpu:
            return
        bad_row, *bad_sides = (int(row) for row in arrays.on_host(self.bad_rows))
        for side, row, count in zip(self.sides, bad_sides, self.pairs.shape, strict=True):
            if row >= 0:
                self._checked(side, count)
        if bad_row >= 0:
            self.pairs.refuse(bad_row)

    def values(self, keys: Any) -> Any:
        """Distances of keys, by the kernels' own operations."""
        unseen = np.float32(self.constants[2])
        return (keys + float(unseen)) / (keys + float(np.float32(1) + unseen))


def _weight_table(pairs: _Visual, model: TemporalModel, temporal_weight: float, temporal_rate: float) -> Any:
    """[cameras + 1, cameras + 1, bins + 1] of c (exp(-f p) - 1): the unknown camera is last, as is every larger gap."""
    probability = np.asarray(model.probability)
    if probability.ndim != 3 or len(probability) != probability.shape[1] or probability.size == 0:
        raise ValueError(f"model.probability must be [cameras, cameras, bins], got shape {probability.shape}")
    if probability.dtype.kind != "f" or not (probability.min() >= 0 and probability.max() < np.inf):
        raise ValueError("model.probability must be finite floats of 0 or more")
    if not 1 <= model.bin_frames <= _MAX_INT32 or int(model.bin_frames) != model.bin_frames:
        raise ValueError(f"model.bin_frames must be an integer from 1 to {_MAX_INT32}, got {model.bin_frames!r}")
    cameras, _, bins = probability.shape
    if (cameras + 1) ** 2 * (bins + 1) > _MAX_INT32:
        raise ValueError(f"model.probability must have less than 2^31 elements, got {cameras} cameras and {bins} bins")
    unknown = temporal_weight * math.expm1(-temporal_rate / bins)
    shape = (cameras + 1, cameras + 1, bins + 1)
    table = pairs.empty(shape, "float32") if pairs.gpu else np.empty(shape, np.float32)
    table[...] = unknown
    probability = pairs.beside(probability.astype(np.float64))
    table[:cameras, :cameras, :bins] = temporal_weight * pairs.library.expm1(-temporal_rate * probability)
    table[:cameras, :cameras, bins] = 0
    return table


def _integers(x: Any, name: str, count: int) -> np.ndarray:
    x = arrays.labels(x, name, count)
    if count and x.min() < UNKNOWN:
        row = int(x.argmin())
        raise ValueError(f"{name} must be 0 or more, or {UNKNOWN} where unknown, got {x[row]} in row {row}")
    return x


def _checked_out(out: Any, pairs: _Visual) -> Any:
    if arrays.kind_of(out, "out") != pairs.kind or (pairs.kind != "numpy" and out.device != pairs.like.device):
        raise ValueError(f"out must be of the kind and device of visual, {pairs.kind}")
    if tuple(out.shape) != pairs.shape or str(out.dtype).removeprefix("torch.") != "float32":
        raise ValueError(f"out must be float32 {list(pairs.shape)}, got {out.dtype} {list(out.shape)}")
    return out
