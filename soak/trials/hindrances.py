"""A disk that fills up, and a clock that is set back."""

from __future__ import annotations

import contextlib
import itertools
import os
import resource
import subprocess
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import numpy as np

from trials.kills import begin, resume
from trials.running import Hinder, Outcome, Running, run
from trials.site import Site


def try_full_disk(site: Site, rng: np.random.Generator, folder: Path, *, name: str) -> Outcome:
    """Lets the disk fill up while a verb writes, which must be said; with room again the same command goes on.

    A file system in memory that is too small is mounted where that is allowed; every other trial, and where it is
    not, the size of each file is limited (RLIMIT_FSIZE) instead.

    Args:
        site: what the verb works on.
        rng: draws the size.
        folder: for this trial.
        name: of the task.
    """
    task, (wanted, _, _) = site.tasks[name], site.wanted(name)
    files = [path.stat().st_size for path in ([wanted] if wanted.is_file() else wanted.rglob("*")) if path.is_file()]
    pages = sum(-(-size // 4096) * 4096 for size in files)
    mounted = rng.random() < 0.5 and _mount(folder, size=1 << 26)
    out = folder / "out"
    try:
        task.prepare(out)
        before = task.finished(out) if out.is_dir() else set()
        if mounted:
            room = int(rng.uniform(0.02, 0.9) * pages) + sum(1 << 12 for _ in folder.rglob("*"))
            _resize(folder, used=_used(folder), room=room)
            what, hinder = f"{name} on a disk with {room} bytes left", task.hinder
        else:
            most = int(rng.uniform(0.02, 0.95) * max(files))
            what, hinder = f"{name} with files of {most} bytes at most", partial(_limited, most, task.hinder)
        end = run(*task.arguments(out), hinder=hinder)
        if end.status != 0 and not end.is_clear_error:
            return Outcome(what, "wrong", end.complaint("a clear error"))
        if out.is_dir() and not before <= task.finished(out):
            return Outcome(what, "wrong", "what was there before is gone")
        if mounted:
            _resize(folder, used=_used(folder), room=1 << 26)
        again = resume(site, task, out, what)
        if again.result == "clean resume" and end.status != 0:
            return Outcome(what, "clear error", end.message)
        return again
    finally:
        if mounted:
            subprocess.run(["umount", str(folder)], check=False)


def try_clock(site: Site, rng: np.random.Generator, folder: Path, *, name: str) -> Outcome:
    """Kills a verb, sets the clock back, so that its files come from the future, and again while it goes on.

    Args:
        site: what the verb works on.
        rng: draws the moment and how far the clock is set back.
        folder: for this trial.
        name: of the task.
    """
    task, out, moment_s = begin(site, rng, folder, name)
    ahead_s, back_s = (float(10 ** rng.uniform(0, 7)) for _ in range(2))
    with Running(*task.arguments(out), hinder=task.hinder) as running:
        for cpu_s in running.moments():
            if cpu_s >= moment_s:
                running.kill()
    for path in folder.rglob("*"):
        now_s = path.stat().st_mtime
        os.utime(path, (now_s + ahead_s, now_s + ahead_s))
    set_back = partial(_set_back, int(rng.integers(0, 200)), back_s, task.hinder)
    what = f"{name} with files from {ahead_s:.0f} s ahead and a clock that goes back by {back_s:.0f} s"
    again = resume(site, task, out, what, hinder=set_back)
    record = out / "metrics.jsonl"
    if again.result == "clean resume" and record.is_file() and '"seconds": -' in record.read_text():
        return Outcome(what, "wrong", "the record tells of a negative time")
    return again


def _limited(most: int, hinder: Hinder | None) -> None:
    """Python ignores SIGXFSZ: a write beyond the limit is an error as one to a full disk."""
    if hinder is not None:
        hinder()
    resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


def _set_back(after: int, by_s: float, hinder: Hinder | None) -> None:
    """Lets time.time and time.time_ns jump back after so many calls."""
    if hinder is not None:
        hinder()
    now, now_ns, calls = time.time, time.time_ns, itertools.count()

    def shift_s() -> float:
        return by_s if next(calls) >= after else 0.0

    time.time = lambda: now() - shift_s()
    time.time_ns = lambda: now_ns() - int(shift_s() * 1e9)


def _mount(folder: Path, *, size: int) -> bool:
    if os.geteuid() != 0:
        return False
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "soak", str(folder)]
    return subprocess.run(command, capture_output=True).returncode == 0


def _used(folder: Path) -> int:
    found = os.statvfs(folder)
    return (found.f_blocks - found.f_bfree) * found.f_frsize


def _resize(folder: Path, *, used: int, room: int) -> None:
    with contextlib.suppress(subprocess.CalledProcessError):
        subprocess.run(["mount", "-o", f"remount,size={used + room}", str(folder)], check=True, capture_output=True)


def mounts_below(root: Path) -> Iterator[str]:
    """File systems that a trial which was cut off left mounted below a folder.

    Args:
        root: the folder.
    """
    for line in Path("/proc/mounts").read_text(encoding="utf-8").splitlines():
        if Path(line.split()[1]).is_relative_to(root.resolve()):
            yield line.split()[1]
