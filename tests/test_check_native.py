"""The native module under sanitizers, and its kernels under a strict compiler."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from checkout import ROOT, copy_checkout

pytestmark = pytest.mark.check

KERNEL_FILES = [path for path in sorted((ROOT / "csrc").glob("*_cuda.cu")) if path.stem != "device_cuda"]
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
@pytest.mark.parametrize("file", KERNEL_FILES, ids=lambda file: file.name)
def test_kernels_compile_without_warnings_and_spill_nothing(file: Path, arch: int, tmp_path: Path) -> None:
    nvcc = os.environ.get("CUDACXX") or shutil.which("nvcc")
    if nvcc is None:
        pytest.skip("no nvcc on PATH or in CUDACXX")
    result = subprocess.run(
        [nvcc, "-std=c++17", f"-gencode=arch=compute_{arch},code=sm_{arch}", "-Werror=all-warnings",
         "-Xcompiler=-Wall,-Wextra,-Werror", "-Xptxas=-v,--warn-on-spills,--warn-on-local-memory-usage",
         "-c", "-o", str(tmp_path / "kernels.o"), str(file)],
        capture_output=True, text=True,
    )  # fmt: skip
    output = result.stdout + result.stderr
    assert result.returncode == 0, output
    functions = output.split("Compiling entry function")[1:]
    kernels = file.with_name(file.name.replace("_cuda.cu", ".cuh")).read_text().count("__global__")
    assert len(functions) >= kernels > 0, output  # a template makes several
    for function in functions:
        assert f"sm_{arch}" in function and "0 bytes stack frame, 0 bytes spill stores, 0 bytes spill loads" in function
        registers = re.search(r"Used (\d+) registers", function)
        assert registers is not None, function
        # Two blocks have to fit on a multiprocessor, or nothing hides the latency of a barrier.
        assert 2 * BLOCK_THREADS * int(registers[1]) <= SM_REGISTERS, function
