"""CUDA kernels without a GPU: the native module built against csrc/host_sim, and a `cupy` over host memory."""

from __future__ import annotations

import fcntl
import importlib.util
import os
import subprocess
import sys
import weakref
from functools import cache
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any, Literal

import numpy as np

ROOT = Path(__file__).resolve().parent.parent
BUILD = ROOT / "build" / "host_sim"
SCHEDULES = ("forward", "reverse", "random")
_ALIGNMENT = 256


@cache
def module(kind: Literal["plain", "checked"]) -> ModuleType:
    """The native module with simulated kernels, built where sources are newer; "checked" finds races and the like."""
    _build()
    path = BUILD / kind / "_C.so"
    spec = importlib.util.spec_from_file_location(f"simulated_{kind}._C", path)
    if spec is None or spec.loader is None:
        raise RuntimeError(f"{path} is no module")
    loaded = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(loaded)
    return loaded


@cache
def _build() -> None:
    import pybind11

    BUILD.mkdir(parents=True, exist_ok=True)
    with (BUILD / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        tools = os.environ | {"PATH": f"{Path(sys.executable).parent}{os.pathsep}{os.environ.get('PATH', '')}"}
        for command in (
            ["cmake", "-S", str(ROOT), "-B", str(BUILD), "-G", "Ninja", "-DUP_HOST_SIM=ON", "-DUP_CUDA=off",
             f"-DPython_EXECUTABLE={sys.executable}", f"-Dpybind11_DIR={pybind11.get_cmake_dir()}"],
            ["cmake", "--build", str(BUILD)],
        ):  # fmt: skip
            done = subprocess.run(command, env=tools, capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(f"{' '.join(command)} failed:\n{done.stdout}\n{done.stderr}")


class Device:
    """The one device; a context, as in cupy."""

    id = 0

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *error: object) -> None:
        pass

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Device)

    def __hash__(self) -> int:
        return 0


class ndarray(np.lib.mixins.NDArrayOperatorsMixin):
    """Memory for kernels: numpy reaches it neither by a buffer nor by __array__, only by `get`, as in cupy."""

    def __init__(self, host: np.ndarray) -> None:
        self._host = host

    @property
    def __cuda_array_interface__(self) -> dict[str, Any]:
        interface = self._host.__array_interface__
        return {name: interface[name] for name in ("shape", "typestr", "data", "strides")} | {"version": 3}

    device = property(lambda self: Device())
    shape = property(lambda self: self._host.shape)
    strides = property(lambda self: self._host.strides)
    dtype = property(lambda self: self._host.dtype)
    ndim = property(lambda self: self._host.ndim)
    size = property(lambda self: self._host.size)
    nbytes = property(lambda self: self._host.nbytes)
    itemsize = property(lambda self: self._host.itemsize)
    flags = property(lambda self: self._host.flags)
    data = property(lambda self: SimpleNamespace(ptr=self._host.ctypes.data))
    T = property(lambda self: ndarray(self._host.T))

    def get(self) -> np.ndarray:
        return self._host.copy()

    def item(self) -> Any:
        return self._host.item()

    def __array__(self, *_: Any, **__: Any) -> np.ndarray:
        raise TypeError("a GPU array does not become a numpy array by itself; use get()")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **options: Any) -> Any:
        if any(isinstance(x, np.ndarray) for x in inputs):
            raise TypeError(f"{ufunc.__name__}: numpy and GPU arrays do not mix")
        return _to_gpu(getattr(ufunc, method)(*_to_host(inputs), **_to_host(options)))

    def __len__(self) -> int:
        return len(self._host)

    def __bool__(self) -> bool:
        return bool(self._host)

    def __int__(self) -> int:
        return int(self._host)

    __index__ = __int__

    def __float__(self) -> float:
        return float(self._host)

    def __getitem__(self, key: Any) -> ndarray:
        return ndarray(np.asarray(self._host[_to_host(key)]))

    written = staticmethod(lambda address, size, defined: None)

    def __setitem__(self, key: Any, value: Any) -> None:
        key = _to_host(key) if isinstance(key, tuple) else (_to_host(key),)
        self._host[key] = _to_host(value)
        view = self._host[key if any(part is ... for part in key) else (*key, ...)]
        if np.may_share_memory(view, self._host):
            self._mark(view)

    def _mark(self, view: np.ndarray) -> None:
        """Tell the checker that memory is defined now, run by run."""
        if view.flags.c_contiguous:
            self.written(view.ctypes.data, view.nbytes, True)
        else:
            for i in range(len(view)):
                self._mark(view[i, ...])


def _to_host(x: Any) -> Any:
    if isinstance(x, ndarray):
        return x._host
    if isinstance(x, (tuple, list)):
        return type(x)(_to_host(item) for item in x)
    if isinstance(x, dict):
        return {name: _to_host(item) for name, item in x.items()}
    return x


def _to_gpu(x: Any) -> Any:
    if isinstance(x, tuple):
        return tuple(_to_gpu(item) for item in x)
    return ndarray(x if isinstance(x, np.ndarray) and x.base is not None else _aligned(np.asarray(x)))


def _allocate(shape: Any, dtype: Any) -> np.ndarray:
    """Memory as cupy's pool hands it out: aligned, and full of what reads as NaN or -1."""
    dtype = np.dtype(dtype)
    raw = np.full(int(np.prod(shape)) * dtype.itemsize + _ALIGNMENT, 0xFF, np.uint8)
    start = -raw.ctypes.data % _ALIGNMENT
    return raw[start : len(raw) - _ALIGNMENT + start].view(dtype).reshape(shape)


def _aligned(host: np.ndarray) -> np.ndarray:
    made = _allocate(host.shape, host.dtype)
    made[...] = host
    return made


def _delegate(function: Any) -> Any:
    def call(*arguments: Any, **options: Any) -> Any:
        found = _to_gpu(function(*_to_host(arguments), **_to_host(options)))
        if isinstance(out := options.get("out"), ndarray):
            out._mark(out._host)
        return found

    return call


def _delegate_method(name: str) -> Any:
    def method(self: ndarray, *arguments: Any, **options: Any) -> Any:
        return _to_gpu(getattr(self._host, name)(*_to_host(arguments), **_to_host(options)))

    return method


for _name in (
    "all any argmax argmin argsort astype clip copy cumsum dot fill flatten max mean min nonzero prod ravel repeat "
    "reshape searchsorted squeeze sum swapaxes take transpose view"
).split():
    setattr(ndarray, _name, _delegate_method(_name))

_FUNCTIONS = (
    "abs add all amax any arange argmax argmin argpartition argsort ascontiguousarray atleast_2d bincount broadcast_to "
    "clip concatenate copyto count_nonzero cumsum diff dot einsum empty_like eye exp expand_dims expm1 flatnonzero "
    "full full_like hstack isfinite isinf isnan logical_and logical_not logical_or matmul max maximum mean min minimum "
    "moveaxis multiply nonzero ones ones_like prod repeat searchsorted sort split sqrt square squeeze stack subtract "
    "sum swapaxes take take_along_axis tensordot tile transpose triu unique vstack where zeros zeros_like"
)
_TYPES = "bool_ float16 float32 float64 int8 int16 int32 int64 uint8 uint16 uint32 uint64 dtype integer floating"


def cupy(native: ModuleType) -> ModuleType:
    """A module that stands for cupy; memory of its `empty` is undefined to the checker of `native`."""
    made = ModuleType("cupy")
    ndarray.written = staticmethod(native.set_defined)

    def empty(shape: Any, dtype: Any = np.float64) -> ndarray:
        array = ndarray(_allocate(shape, dtype))
        native.set_defined(array.data.ptr, array.nbytes, False)
        weakref.finalize(array._host.base, native.set_defined, array.data.ptr, array.nbytes, True)
        return array

    def asarray(x: Any, dtype: Any = None) -> ndarray:
        if isinstance(x, ndarray):
            return x if dtype is None or x.dtype == dtype else x.astype(dtype)
        return ndarray(_aligned(np.asarray(x, dtype)))

    made.__dict__.update({name: _delegate(getattr(np, name)) for name in _FUNCTIONS.split()})
    made.__dict__.update({name: getattr(np, name) for name in _TYPES.split()})
    made.__dict__.update(ndarray=ndarray, empty=empty, asarray=asarray, array=asarray, asnumpy=lambda x: x.get())
    stream = SimpleNamespace(ptr=0, synchronize=lambda: None)
    made.cuda = SimpleNamespace(  # type: ignore[attr-defined]
        Device=lambda *_: Device(),
        get_current_stream=lambda *_: stream,
        runtime=SimpleNamespace(getDeviceCount=lambda: 1),
    )
    return made


class SimulatedGpu:
    """What the fixtures hand out: arrays in and out of simulated GPU memory, and the native module in use."""

    def __init__(self, native: ModuleType) -> None:
        self.native = native
        self.cupy = cupy(native)

    def array(self, host: Any) -> ndarray:
        return self.cupy.asarray(host)

    def numpy(self, array: ndarray) -> np.ndarray:
        return array.get()
