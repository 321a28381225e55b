"""An exported model in ONNX Runtime: images and their cameras to feature vectors. Needs no torch."""

from __future__ import annotations

import ctypes
import importlib.metadata
import json
import os
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from unrealperson.data.sources import load_image
from unrealperson.export.seal import require_whole
from unrealperson.log import get_logger
from unrealperson.schema import UNKNOWN

logger = get_logger(__name__)

FORMAT_VERSION = "2"
PREFIX = "unrealperson."
"""Of the metadata's keys."""
_MOST_THREADS = 16
_MOST_PX, _MOST_NUMBERS = 4096, 1 << 16
_GPU_PROVIDERS = ("TensorrtExecutionProvider", "CUDAExecutionProvider")


class OnnxEncoder:
    """A model of 'unrealperson export' in ONNX Runtime, on the GPU where one answers.

    Attributes:
        path: the ONNX file.
        height: input height in pixels.
        width: input width in pixels.
        dimension: numbers in a feature vector.
        cameras: global cameras whose batch-norm statistics the model holds; none where it was folded.
        camera_names: what people call them.
        any_size: whether the graph resizes images itself.
    """

    def __init__(self, path: str | Path, *, threads: int = 0) -> None:
        """Opens the model.

        Args:
            path: the ONNX file.
            threads: CPU threads; 0 is one per core of this process, 16 at most.

        Raises:
            FileNotFoundError: no such file.
            RuntimeError: ONNX Runtime is not installed.
            ValueError: not a model of 'unrealperson export', a damaged one, or one of another format version.
        """
        self.path = Path(path)
        if self.path.is_dir():
            raise ValueError(f"{path} is a folder; give the .onnx file that 'unrealperson export' wrote")
        if not self.path.is_file():
            raise FileNotFoundError(f"there is no model {self.path}; make one with 'unrealperson export'")
        require_whole(self.path)
        self._session = open_session(self.path, threads=threads)
        try:
            stored = self._session.get_modelmeta().custom_metadata_map
            inputs = {port.name: port for port in self._session.get_inputs()}
            names = {*inputs, *(port.name for port in self._session.get_outputs())}
        except UnicodeDecodeError as error:
            raise ValueError(f"{self.path} is damaged: a name in it is no text ({error})") from error
        version = stored.get(f"{PREFIX}format_version")
        if version is None or names not in ({"images", "features"}, {"images", "camera", "features"}):
            raise ValueError(f"{self.path} is no model of 'unrealperson export': it lacks its metadata or its inputs")
        if version != FORMAT_VERSION:
            raise ValueError(
                f"{self.path} has format version {version}; this release reads version {FORMAT_VERSION}: "
                "export it again"
            )
        try:
            self.height, self.width, self.dimension = (
                int(stored[PREFIX + key]) for key in ("height", "width", "dimension")
            )
            self.cameras = tuple(int(camera) for camera in json.loads(stored[PREFIX + "cameras"]))
            self.camera_names = tuple(map(str, json.loads(stored[PREFIX + "camera_names"])))
            preprocessing = json.loads(stored[PREFIX + "preprocessing"])
            self._pixels, self.any_size = bool(preprocessing["pixels"]), bool(preprocessing["resize"])
            self._mean, self._std = float(preprocessing["mean"]), float(preprocessing["std"])
            if not (1 <= min(self.height, self.width) and max(self.height, self.width) <= _MOST_PX):
                raise ValueError(f"its input is {self.height} x {self.width} pixels")
            if not 1 <= self.dimension <= _MOST_NUMBERS:
                raise ValueError(f"it gives {self.dimension} numbers")
        except (KeyError, TypeError, ValueError, OverflowError, RecursionError) as error:
            raise ValueError(f"{self.path} has damaged metadata ({error}); export it again") from error
        self._has_tables = "camera" in inputs

    @property
    def providers(self) -> tuple[str, ...]:
        """Execution providers of ONNX Runtime that run it, preferred first."""
        return tuple(self._session.get_providers())

    def camera_id(self, name: str) -> int:
        """The global camera that a name or number means.

        Args:
            name: of the camera, or its number.

        Raises:
            ValueError: neither a name that the model knows nor a number.
        """
        if name in self.camera_names:
            return self.cameras[self.camera_names.index(name)]
        try:
            return int(name)
        except ValueError as error:
            known = ", ".join(self.camera_names) or "none"
            raise ValueError(f"{self.path} knows no camera {name!r}; it knows {known}") from error

    def camera_index(self, camid: np.ndarray) -> np.ndarray:
        """Row of each camera in the model's tables of statistics.

        Args:
            camid: [n] int64 global cameras.

        Returns:
            [n] int64; a camera that the model does not know gets the row of the statistics of all cameras.
        """
        row = {camera: index for index, camera in enumerate(self.cameras)}
        return np.array([row.get(int(camera), len(self.cameras)) for camera in camid], dtype=np.int64)

    def encode(self, images: np.ndarray, camid: np.ndarray) -> np.ndarray:
        """Feature vectors of one batch.

        Args:
            images: [n, height, width, 3] uint8 RGB; of any one size where the graph resizes them.
            camid: [n] int64 global camera of each image, -1 where unknown.

        Returns:
            [n, dimension] float32 of length 1.

        Raises:
            ValueError: wrong shape or type.
            RuntimeError: the model gave something else than finite vectors.
        """
        fits = images.ndim == 4 and images.shape[3] == 3 and min(images.shape[1:]) > 0
        if not self.any_size:
            fits = fits and images.shape[1:3] == (self.height, self.width)
        if not fits or images.dtype != np.uint8:
            raise ValueError(
                f"images must be uint8 [n, {self.height}, {self.width}, 3], got {images.dtype} {list(images.shape)}"
            )
        if camid.shape != (len(images),):
            raise ValueError(f"camid must be int64 [{len(images)}], got {camid.dtype} {list(camid.shape)}")
        if not len(images):
            return np.empty((0, self.dimension), np.float32)
        return self.encode_rows(images, self.camera_index(camid))

    def encode_rows(self, images: np.ndarray, rows: np.ndarray) -> np.ndarray:
        """Feature vectors of one batch whose rows in the tables are known.

        Args:
            images: as for `encode`.
            rows: [n] int64 rows of the tables; any other number is the row of all cameras.

        Raises:
            RuntimeError: the model gave something else than finite vectors.
        """
        (vectors,) = self._session.run(["features"], self.inputs(images, rows))
        if vectors.shape != (len(images), self.dimension) or not np.isfinite(vectors).all():
            raise RuntimeError(
                f"{self.path} must give {len(images)} x {self.dimension} finite numbers, got {list(vectors.shape)} "
                f"with {np.count_nonzero(~np.isfinite(vectors))} that are not finite; export it again"
            )
        return vectors.astype(np.float32, copy=False)

    def inputs(self, images: np.ndarray, rows: np.ndarray) -> dict[str, np.ndarray]:
        """What the graph is given for a batch.

        Args:
            images: as for `encode`.
            rows: as for `encode_rows`.
        """
        if not self._pixels:
            planes = images.transpose(0, 3, 1, 2).astype(np.float32)
            images = np.ascontiguousarray((planes - np.float32(self._mean)) / np.float32(self._std))
        return {"images": images, "camera": rows} if self._has_tables else {"images": images}

    def encode_file(self, path: str | Path, *, camid: int = UNKNOWN) -> np.ndarray:
        """Feature vector of one image file.

        Args:
            path: image of one person.
            camid: global camera, -1 where unknown.

        Returns:
            [dimension] float32 of length 1.

        Raises:
            ValueError: unreadable image.
        """
        image = load_image(path, size=(self.height, self.width))
        return self.encode(image[None], np.array([camid], dtype=np.int64))[0]


def open_session(model: str | Path | bytes, *, threads: int = 0) -> Any:
    """An ONNX Runtime session on what this machine has, named in the log.

    Args:
        model: ONNX file, or its content.
        threads: CPU threads; 0 is one per core of this process, 16 at most.

    Raises:
        RuntimeError: ONNX Runtime is not installed, or its CPU and GPU packages lie in one place.
        ValueError: a file that it cannot run.
    """
    try:
        import onnxruntime
        from onnxruntime.capi import onnxruntime_pybind11_state as states
    except ImportError as error:
        raise RuntimeError("an exported model needs ONNX Runtime: pip install 'unrealperson[cpu]'") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads or min(len(os.sched_getaffinity(0)), _MOST_THREADS)
    options.inter_op_num_threads = 1
    providers = choose_providers(tuple(onnxruntime.get_available_providers()), gpu=_gpu_answers())
    try:
        source = model if isinstance(model, bytes) else str(model)
        session = onnxruntime.InferenceSession(source, options, providers=list(providers))
    except (
        states.InvalidProtobuf,
        states.InvalidGraph,
        states.Fail,
        states.NotImplemented,
        states.InvalidArgument,
        states.RuntimeException,
        UnicodeDecodeError,
    ) as error:
        named = "the graph" if isinstance(model, bytes) else model
        raise ValueError(f"{named} is not an ONNX model that ONNX Runtime can run: {error}") from error
    _announce(onnxruntime.__version__, tuple(session.get_providers()))
    return session


def choose_providers(available: tuple[str, ...], *, gpu: bool) -> tuple[str, ...]:
    """Execution providers worth asking for, preferred first.

    Args:
        available: what the installed ONNX Runtime was built with.
        gpu: whether a CUDA device answers; without one the GPU providers would fail one by one, in silence.

    Raises:
        RuntimeError: the CPU and the GPU package of ONNX Runtime are both installed, and overwrite each other.
    """
    _require_one_runtime()
    wanted = (*(_GPU_PROVIDERS if gpu else ()), "CPUExecutionProvider")
    return tuple(name for name in wanted if name in available)


@cache
def _announce(version: str, providers: tuple[str, ...]) -> None:
    logger.info("ONNX Runtime %s on %s", version, ", ".join(providers))


def _require_one_runtime() -> None:
    try:
        for name in ("onnxruntime", "onnxruntime-gpu"):
            importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return
    raise RuntimeError(
        "onnxruntime and onnxruntime-gpu are both installed and overwrite each other's files: pip uninstall both, "
        "then install the one that this machine needs"
    )


@cache
def _gpu_answers() -> bool:
    """Whether NVIDIA's driver is there and finds a device."""
    try:
        driver = ctypes.CDLL("libcuda.so.1")
    except OSError:
        return False
    count = ctypes.c_int(0)
    return driver.cuInit(0) == 0 and driver.cuDeviceGetCount(ctypes.byref(count)) == 0 and count.value > 0
