"""Fixtures and skips shared by all tests."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

# Tests measure what code does, not how it shares cores: few threads keep them quick and repeatable.
os.environ.setdefault("OMP_NUM_THREADS", "2")

import simulated
from op_cases import ISAS

from unrealperson.ops import _native, build_info

ROOT = Path(__file__).resolve().parent.parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    marked = [item for item in items if item.get_closest_marker("gpu")]
    if marked:
        import torch

        if not torch.cuda.is_available():
            for item in marked:
                item.add_marker(pytest.mark.skip(reason="no CUDA device"))


@pytest.fixture(scope="session")
def shared() -> Path:
    """Folder of optional test data, named by UNREALPERSON_SHARED."""
    folder = Path(os.environ.get("UNREALPERSON_SHARED", ROOT.parent / "shared"))
    if not (folder / "real").is_dir():
        pytest.skip(f"optional test data is absent: {folder} (set UNREALPERSON_SHARED)")
    return folder


def _simulate(kind: str, schedule: str, monkeypatch: pytest.MonkeyPatch) -> simulated.SimulatedGpu:
    from unrealperson.ops import _native

    if "libasan" in os.environ.get("LD_PRELOAD", ""):
        pytest.skip("the address sanitizer does not follow a kernel's threads from stack to stack")
    gpu = simulated.SimulatedGpu(simulated.module(kind))
    gpu.native.use_schedule(schedule, 1)
    monkeypatch.setattr(_native, "_module", gpu.native)
    monkeypatch.setitem(sys.modules, "cupy", gpu.cupy)
    return gpu


@pytest.fixture(params=simulated.SCHEDULES)
def simulated_gpu(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> simulated.SimulatedGpu:
    """CUDA kernels run on the CPU, once in each order of threads; `cupy` arrays of it go through the ops."""
    return _simulate("plain", request.param, monkeypatch)


@pytest.fixture
def checked_gpu(monkeypatch: pytest.MonkeyPatch) -> simulated.SimulatedGpu:
    """The same under the checker, which raises RuntimeError for races, bounds and reads of undefined memory."""
    return _simulate("checked", "forward", monkeypatch)


@pytest.fixture(params=ISAS)
def isa(request: pytest.FixtureRequest) -> Iterator[str]:
    """Each instruction set that this machine has, in use while the test runs."""
    before = build_info()["isa"]
    _native.load().use_isa(request.param)
    yield request.param
    _native.load().use_isa(before)
