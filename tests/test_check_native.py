"""The native module under sanitizers, and its kernels under a strict compiler."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout

pytestmark = pytest.mark.check

_spec = importlib.util.spec_from_file_location("kernels", ROOT / "bench" / "kernels.py")
kernels = importlib.util.module_from_spec(_spec)
sys.modules["kernels"] = kernels
_spec.loader.exec_module(kernels)

BLOCK_THREADS = 256
"""Threads of a block, kThreads in csrc/distance.cuh."""
SM_REGISTERS = 65536


def runtime(name: str) -> str:
    """Path of a sanitizer's shared library."""
    compiler = os.environ.get("CXX", "c++")
    found = subprocess.run([compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True)
    path = found.stdout.strip()
    if not Path(path).is_absolute() or not Path(path).exists():
        pytest.skip(f"{compiler} has no {name}")
    return path


def test_operations_are_clean_under_sanitizers(tmp_path: Path) -> None:
    libraries = [runtime("libasan.so"), runtime("libubsan.so")]
    copy = copy_checkout(tmp_path / "copy")
    build = subprocess.run(
        [sys.executable, "setup.py", "-q", "build_ext", "--inplace"],
        cwd=copy, env=os.environ | {"UP_CUDA": "off", "UP_SANITIZE": "address,undefined"},
        capture_output=True, text=True,
    )  # fmt: skip
    assert build.returncode == 0, build.stdout + build.stderr
    (module,) = copy.glob("unrealperson/ops/_C*.so")
    assert b"__asan_report_load4" in module.read_bytes() and b"__ubsan_handle" in module.read_bytes()

    # Reports go to files: pytest swallows what a passing test writes.
    report = tmp_path / "report"
    tests = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", "-m", "not check",
         *(str(path) for path in sorted((copy / "tests").glob("test_ops_*.py")) if path.stem != "test_ops_build")],
        cwd=copy,
        env=os.environ | {
            "PYTHONPATH": str(copy),
            "LD_PRELOAD": " ".join(libraries),
            "ASAN_OPTIONS": f"detect_leaks=0:log_path={report}",
            "UBSAN_OPTIONS": f"halt_on_error=1:print_stacktrace=1:log_path={report}",
        },
        capture_output=True, text=True,
    )  # fmt: skip
    reports = "\n".join(path.read_text() for path in tmp_path.glob("report.*"))
    assert not reports, reports
    assert tests.returncode == 0, tests.stdout + tests.stderr


@pytest.mark.parametrize("arch", [80, 90])
@pytest.mark.parametrize("file", kernels.LAUNCHERS, ids=lambda file: file.name)
def test_kernels_compile_without_warnings_and_spill_nothing(file: Path, arch: int) -> None:
    if kernels.find_nvcc() is None:
        pytest.skip("no nvcc on PATH or in CUDACXX")
    compiled = kernels.compile_kernels(file, arch)
    written = file.with_name(file.name.replace("_cuda.cu", ".cuh")).read_text().count("__global__")
    assert len(compiled) >= written > 0, compiled  # a template makes several of one
    for kernel in compiled:
        assert kernel.stack_bytes == kernel.spill_bytes == 0, kernel
        # Two blocks have to fit on a multiprocessor, or nothing hides the latency of a barrier.
        assert 2 * BLOCK_THREADS * kernel.registers <= SM_REGISTERS, kernel
