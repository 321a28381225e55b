"""Registers and shared memory of every CUDA kernel, the most of any of its template's forms, from the assembler.

Run: .venv/bin/python bench/kernels.py [80 90]   prints a table for BENCHMARKS.md; needs nvcc, no GPU.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

CSRC = Path(__file__).resolve().parent.parent / "csrc"
LAUNCHERS = tuple(path for path in sorted(CSRC.glob("*_cuda.cu")) if path.with_name(f"{path.stem[:-5]}.cuh").exists())
"""Files that launch kernels; each has its kernels in OP.cuh."""


@dataclass(frozen=True)
class Kernel:
    """One compiled kernel.

    Attributes:
        name: with its template arguments.
        registers: of a thread.
        shared_bytes: static shared memory of a block.
        stack_bytes: of a thread; local memory, that is, memory on the card.
        spill_bytes: registers stored to local memory and loaded again, both together.
    """

    name: str
    registers: int
    shared_bytes: int
    stack_bytes: int
    spill_bytes: int


def find_nvcc() -> str | None:
    """The CUDA compiler, from CUDACXX or PATH."""
    return os.environ.get("CUDACXX") or shutil.which("nvcc")


def compile_kernels(file: Path, arch: int) -> list[Kernel]:
    """Compile one launcher file with every warning an error.

    Args:
        file: of csrc.
        arch: compute capability, 80 for 8.0.

    Raises:
        RuntimeError: it does not compile, or with a warning; the message is the compiler's.
    """
    nvcc = find_nvcc()
    if nvcc is None:
        raise RuntimeError("no nvcc on PATH or in CUDACXX")
    with tempfile.TemporaryDirectory() as folder:
        result = subprocess.run(
            [nvcc, "-std=c++17", f"-gencode=arch=compute_{arch},code=sm_{arch}", "-Werror=all-warnings",
             "-Xcompiler=-Wall,-Wextra,-Werror", "-Xptxas=-v,--warn-on-spills,--warn-on-local-memory-usage",
             "-c", "-o", f"{folder}/kernels.o", str(file)],
            capture_output=True, text=True,
        )  # fmt: skip
    output = result.stdout + result.stderr
    if result.returncode != 0:
        raise RuntimeError(output)
    return [_parse(text) for text in output.split("Compiling entry function")[1:]]


def _parse(text: str) -> Kernel:
    mangled = re.search(r"'(\w+)'", text)
    used = re.search(r"Used (\d+) registers", text)
    frame = re.search(r"(\d+) bytes stack frame, (\d+) bytes spill stores, (\d+) bytes spill loads", text)
    if mangled is None or used is None or frame is None:
        raise RuntimeError(f"the assembler's report is not understood:\n{text}")
    shared = re.search(r"(\d+) bytes smem", text)
    name = subprocess.run(["c++filt", "-p", mangled[1]], capture_output=True, text=True, check=True).stdout.strip()
    name = name.removeprefix("void ").replace("unrealperson::", "")
    stack, stores, loads = map(int, frame.groups())
    return Kernel(name, int(used[1]), int(shared[1]) if shared else 0, stack, stores + loads)


def main() -> None:
    archs = [int(arch) for arch in sys.argv[1:]] or [80, 90]
    print(
        "| kernel | forms | " + " | ".join(f"registers, sm_{arch}" for arch in archs) + " | static shared memory, B |"
    )
    print("|---" * (len(archs) + 3) + "|")
    for file in LAUNCHERS:
        reports = [compile_kernels(file, arch) for arch in archs]
        for name in sorted({kernel.name.split("<")[0] for kernel in reports[0]}):
            forms = [[kernel for kernel in report if kernel.name.split("<")[0] == name] for report in reports]
            cells = [f"`{name}`", len(forms[0]), *(max(kernel.registers for kernel in form) for form in forms)]
            print(f"| {' | '.join(map(str, cells))} | {forms[-1][0].shared_bytes} |")


if __name__ == "__main__":
    main()
