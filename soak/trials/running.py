"""Verbs of the command line, each in a process of its own, watched, killed, hindered, and judged by how they end."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import re
import signal
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from multiprocessing import connection, forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import psutil

from unrealperson import cli

LIMIT_S = 300.0
"""Longest that a verb may take before it counts as hanging, on a machine that has much else to do."""
LONGEST_MESSAGE = 700
ROOT = Path(__file__).resolve().parents[2]
PRELOADED = (
    "trials.running", "onnxruntime", "unrealperson.train", "unrealperson.adapt.training", "unrealperson.crop",
    "unrealperson.report.adaptation", "unrealperson.synth.shards", "unrealperson.evaluate",
)  # fmt: skip

Result = Literal["clear error", "clean resume", "as if nothing were", "left out, and said so", "cannot know", "wrong"]
Hinder = Callable[[], None]
"""Called in the verb's process before the verb; it and its arguments can be pickled."""

_processes = multiprocessing.get_context("forkserver")


@dataclass(frozen=True)
class Outcome:
    """What came of one trial.

    Attributes:
        what: was done, to what and when.
        result: how it ended.
        words: that the user was told, or what is wrong.
    """

    what: str
    result: Result
    words: str = ""


@dataclass(frozen=True)
class End:
    """How a process ended.

    Attributes:
        status: exit status, negative for a signal; None: it had to be stopped after LIMIT_S.
        words: all that it wrote.
        cpu_s: CPU seconds of the process itself.
    """

    status: int | None
    words: str
    cpu_s: float

    @property
    def message(self) -> str:
        """The line that names the error, empty where there is none."""
        return next((line for line in self.words.splitlines() if line.startswith("unrealperson: error: ")), "")

    @property
    def is_clear_error(self) -> bool:
        """Whether it ended by itself, with one line that is short enough to be read."""
        short = 0 < len(self.message) <= LONGEST_MESSAGE
        return self.status == 2 and short and "Traceback" not in self.words

    def complaint(self, expected: str) -> str:
        """What is wrong, for the record.

        Args:
            expected: what should have been.
        """
        return f"expected {expected}, got status {self.status}: {self.words[-1500:]}"


def ensure_processes() -> None:
    """Starts the process from which verbs are forked, with all loaded that they need."""
    _processes.set_forkserver_preload(list(PRELOADED))
    before = os.environ.get("PYTHONPATH")
    own = (ROOT, ROOT / "soak", ROOT / "tests")
    os.environ["PYTHONPATH"] = os.pathsep.join([*map(str, own), *([before] if before else [])])
    os.environ["OMP_NUM_THREADS"] = "1"
    try:
        forkserver.ensure_running()
    finally:
        os.environ.pop("PYTHONPATH") if before is None else os.environ.update(PYTHONPATH=before)


class Running:
    """A verb that runs. As a context it ends with the block, and so do the processes that it started.

    Args:
        arguments: of the command line.
        hinder: called in the process before the verb.
    """

    def __init__(self, *arguments: str | Path, hinder: Hinder | None = None) -> None:
        ensure_processes()
        self._reader, writer = _processes.Pipe(duplex=False)
        self._process = _processes.Process(target=_run, args=([*map(str, arguments)], hinder, writer))
        self._process.start()
        writer.close()
        self._told = bytearray()
        self._seen = psutil.Process(self._process.pid)
        self.cpu_s = 0.0

    def __enter__(self) -> Running:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self._seen.pid, signal.SIGKILL)
        self._process.kill()
        self._process.join()
        self._reader.close()

    @property
    def words(self) -> str:
        """All that it wrote so far."""
        return self._told.decode(errors="replace")

    @property
    def pid(self) -> int:
        """Process id."""
        return self._seen.pid

    @property
    def children(self) -> list[psutil.Process]:
        """Processes that it started and that still run."""
        with contextlib.suppress(psutil.NoSuchProcess):
            return self._seen.children(recursive=True)
        return []

    def moments(self, every_s: float = 0.004, limit_s: float = LIMIT_S) -> Iterator[float]:
        """Yields its CPU seconds again and again, until it has ended or the limit is over."""
        deadline_s = time.monotonic() + limit_s
        while time.monotonic() < deadline_s:
            ready = connection.wait([self._process.sentinel, self._reader], every_s)
            if self._reader in ready and not self._read():
                self._process.join(max(deadline_s - time.monotonic(), 0))
            if self._process.exitcode is not None:
                while self._reader.poll() and self._read():
                    pass
                return
            with contextlib.suppress(psutil.Error):
                times = self._seen.cpu_times()
                self.cpu_s = times.user + times.system
            yield self.cpu_s

    def until(self, condition: Callable[[], Any], limit_s: float = LIMIT_S) -> bool:
        """Waits for something; returns whether it came about before the process ended.

        Args:
            condition: asked again and again.
            limit_s: longest wait.
        """
        return any(condition() for _ in self.moments(limit_s=limit_s))

    def kill(self) -> None:
        """Kills it without warning; what it started goes on."""
        self._process.kill()

    def terminate(self) -> None:
        """Asks it to end."""
        self._process.terminate()

    def end(self, limit_s: float = LIMIT_S) -> End:
        """Waits for its end.

        Args:
            limit_s: longest wait.
        """
        for _ in self.moments(0.05, limit_s):
            pass
        return End(self._process.exitcode, self.words, self.cpu_s)

    def _read(self) -> bool:
        try:
            part = os.read(self._reader.fileno(), 1 << 16)
        except OSError:
            part = b""
        self._told += part
        return bool(part)


def run(*arguments: str | Path, hinder: Hinder | None = None) -> End:
    """Runs a verb to its end.

    Args:
        arguments: of the command line.
        hinder: called in the process before the verb.
    """
    with Running(*arguments, hinder=hinder) as running:
        return running.end()


def _run(arguments: list[str], hinder: Hinder | None, writer: Connection) -> None:
    os.setsid()
    for descriptor in (1, 2):
        os.dup2(writer.fileno(), descriptor)
    import torch

    torch.set_num_threads(1)
    if hinder is not None:
        hinder()
    status = cli.main(arguments)
    sys.stdout.flush()
    sys.exit(status)


def outlived(children: list[psutil.Process], patience_s: float = 20.0) -> list[psutil.Process]:
    """Which processes still run after a while, though nobody needs them; they are killed.

    Args:
        children: to look at.
        patience_s: how long they may take.
    """
    deadline_s = time.monotonic() + patience_s
    left = children
    while left and time.monotonic() < deadline_s:
        left = [child for child in left if _lives(child)]
        time.sleep(0.02 if left else 0)
    for child in left:
        with contextlib.suppress(psutil.Error):
            child.kill()
    return left


def _lives(process: psutil.Process) -> bool:
    with contextlib.suppress(psutil.NoSuchProcess):
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    return False


def shortened(text: str, limit: int = 200) -> str:
    """One line, without what differs between runs.

    Args:
        text: any.
        limit: longest result.
    """
    line = re.sub(r"(/[\w.~-]+)+/", ".../", " ".join(text.split()))
    return line if len(line) <= limit else line[: limit - 3] + "..."
