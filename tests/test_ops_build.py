"""Loading the native module: without torch, in forked children, when it is broken; and what it says of itself."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import unrealperson
from unrealperson import ops
from unrealperson.ops import _native


def python(code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-c", code],
        env=os.environ | environment, capture_output=True, text=True, timeout=60,
    )  # fmt: skip


def test_build_info_is_complete():
    info = ops.build_info()
    assert info["version"] == unrealperson.__version__
    assert info["isa"] in info["isa_supported"] and "scalar" in info["isa_compiled"]
    assert set(info["isa_supported"]) <= set(info["isa_compiled"])
    assert info["compiler"] and info["threads"] >= 1 and isinstance(info["openmp"], bool)
    assert bool(info["cuda_archs"]) == bool(info["cuda_version"]) == info["cuda"]
    if info["cuda"]:
        assert "80" in info["cuda_archs"] and "90" in info["cuda_archs"]
    else:
        assert info["cuda_devices"] == 0


def test_import_and_use_without_torch():
    code = """
import sys
sys.modules["torch"] = None
import numpy as np
from unrealperson import ops
x = np.eye(4, dtype=np.float32)
assert ops.topk(x, x, k=1).indices.ravel().tolist() == [0, 1, 2, 3]
assert ops.pairwise_distance(x, x).trace() == 0
"""
    result = python(code)
    assert result.returncode == 0, result.stderr


def test_importing_ops_loads_neither_torch_nor_the_native_module():
    code = "import sys, unrealperson.ops; print([m for m in ('torch', 'unrealperson.ops._C') if m in sys.modules])"
    result = python(code)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize("isa", ops.build_info()["isa_supported"])
def test_environment_chooses_the_instruction_set(isa):
    result = python("from unrealperson import ops; print(ops.build_info()['isa'])", UP_ISA=isa)
    assert result.stdout.strip() == isa, result.stderr


def test_unknown_instruction_set_is_an_error():
    result = python("from unrealperson import ops; ops.build_info()", UP_ISA="mmx")
    assert "RuntimeError: UP_ISA=mmx cannot be used" in result.stderr


def test_failed_load_tells_the_cause_and_the_remedy(monkeypatch):
    calls = []

    def broken(name):
        calls.append(name)
        raise ImportError("libgomp.so.1: cannot open shared object file")

    monkeypatch.setattr(_native, "_module", None)
    monkeypatch.setattr(_native, "_failure", None)
    monkeypatch.setattr(importlib, "import_module", broken)
    for _ in range(2):
        with pytest.raises(RuntimeError, match=r"libgomp.so.1: cannot open.*pip install --no-build-isolation -e \."):
            ops.build_info()
    assert calls == ["unrealperson.ops._C"]


def test_forked_child_does_not_hang():
    code = """
import os, numpy as np
from unrealperson import ops
x = np.random.default_rng(0).normal(size=(400, 64)).astype(np.float32)
expected = ops.topk(x, x, k=5, num_threads=2).indices
child = os.fork()
if child == 0:
    os._exit(0 if (ops.topk(x, x, k=5, num_threads=2).indices == expected).all() else 1)
raise SystemExit(os.waitpid(child, 0)[1])
"""
    assert python(code).returncode == 0


def test_the_gil_is_released():
    gallery = np.ones((60_000, 512), np.float32)
    query = gallery[:1]
    progress = []
    stop = threading.Event()

    def tick():
        while not stop.is_set():
            progress.append(time.perf_counter())
            time.sleep(0.001)

    thread = threading.Thread(target=tick)
    thread.start()
    native = _native.load()
    start = time.perf_counter()
    while time.perf_counter() - start < 0.1:
        native.Nearest(1, 1).add_rows(query, gallery, "cosine", 0, 1)
    end = time.perf_counter()
    stop.set()
    thread.join()
    # Held, the interpreter would let the other thread in only between calls of about 10 ms.
    assert sum(start < moment < end for moment in progress) > 20


def test_native_entries_check_shapes_themselves():
    native = _native.load()
    x, norm2 = np.ones((3, 4), np.float32), np.empty(3, np.float32)
    with pytest.raises(ValueError, match="norm2 must have 3 elements, got 2"):
        native.row_norms(x, norm2[:2], 0)
    with pytest.raises(ValueError, match="x must have elements of kind f4, got f8"):
        native.row_norms(x.astype(float), norm2, 0)
    with pytest.raises(ValueError, match="x must have adjacent elements along its last axis"):
        native.row_norms(x[:, ::2], norm2, 0)
    with pytest.raises(ValueError, match="x must be an array with"):
        native.row_norms(None, norm2, 0)
    nearest = native.Nearest(3, 2)
    with pytest.raises(ValueError, match="finish needs at least k columns"):
        nearest.finish(norm2, "cosine", np.empty((3, 2), np.float32), np.empty((3, 2), np.int64), 0)
