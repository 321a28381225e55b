"""kill -9 at a random moment: of the process that works, of one that it started, of a server."""

from __future__ import annotations

import threading
from http.client import HTTPException
from pathlib import Path

import numpy as np
import psutil

from trials import client
from trials.running import Hinder, Outcome, Running, outlived, run
from trials.site import Site, Task
from unrealperson.gallery import Gallery


def try_process(site: Site, rng: np.random.Generator, folder: Path, *, name: str) -> Outcome:
    """Kills a verb, looks whether what it started ends too, and gives the same command again.

    Args:
        site: what the verb works on.
        rng: draws the moment.
        folder: for this trial.
        name: of the task.
    """
    task, out, moment_s = begin(site, rng, folder, name)
    with Running(*task.arguments(out), hinder=task.hinder) as running:
        children: list[psutil.Process] = []
        for cpu_s in running.moments():
            children = running.children
            if cpu_s >= moment_s:
                running.kill()
        left = outlived(children)
    what = f"{name} killed after {moment_s:.2f} CPU-s"
    if left:
        return Outcome(what, "wrong", f"it left {left} behind")
    return resume(site, task, out, what)


def try_child(site: Site, rng: np.random.Generator, folder: Path, *, name: str, settings: tuple[str, ...]) -> Outcome:
    """Kills a process that a verb started, which must be said, and gives the same command again.

    Args:
        site: what the verb works on.
        rng: draws the moment and the process.
        folder: for this trial.
        name: of the task.
        settings: flags of the verb besides the task's.
    """
    task, out, moment_s = begin(site, rng, folder, name)
    what = f"a process of {name} killed after {moment_s:.2f} CPU-s"
    killed = False
    with Running(*task.arguments(out), *settings, hinder=task.hinder) as running:
        for cpu_s in running.moments():
            if not killed and cpu_s >= moment_s and (children := running.children):
                children[int(rng.integers(len(children)))].kill()
                killed = True
        end = running.end()
    if killed and end.status != 0 and not end.is_clear_error:
        return Outcome(what, "wrong", end.complaint("a clear error"))
    again = resume(site, task, out, what)
    return Outcome(what, "clear error", end.message) if again.result == "clean resume" and end.message else again


def try_server(site: Site, rng: np.random.Generator, folder: Path) -> Outcome:
    """Kills a server while clients add images and search; what it has acknowledged is there afterwards.

    Args:
        site: whose gallery is served.
        rng: draws the moment.
        folder: for this trial.
    """
    from serving import image_bytes, make_gallery

    gallery = make_gallery(folder)
    acknowledged: list[str] = []
    before = len(Gallery.open(gallery))
    stop_at = int(rng.integers(1, 8))
    arguments = ("serve", "--gallery", gallery, "--serve.port", "0", "--log-json", "--serve.threads", "1")
    with Running(*arguments) as running:
        address = client.address_of(running)
        for number in range(stop_at):
            acknowledged += _added(address, image_bytes(1000 + number))
        last = threading.Thread(target=lambda: acknowledged.extend(_added(address, image_bytes(2000))))
        last.start()
        last.join(float(rng.uniform(0, 0.02)))
        running.kill()
        last.join()
    what = f"serve killed after {stop_at} additions"
    opened = Gallery.open(gallery)
    opened.verify()
    lost = [path for path in acknowledged if path not in opened.manifest.path]
    gone = [path for path in opened.manifest.path if not (opened.root / path).is_file()]
    if lost or gone or not before + len(acknowledged) <= len(opened) <= before + len(acknowledged) + 1:
        return Outcome(what, "wrong", f"acknowledged but lost {lost}, without an image {gone}, {len(opened)} rows")
    with Running(*arguments) as running:
        address = client.address_of(running)
        if _added(address, image_bytes(1000)) or len(_added(address, image_bytes(3000))) != 1:
            return Outcome(what, "wrong", "the next server takes what is there for new, or does not add")
    return Outcome(what, "clean resume")


def begin(site: Site, rng: np.random.Generator, folder: Path, name: str) -> tuple[Task, Path, float]:
    """A task, the folder where it is to write, and the CPU second in which it is to be killed.

    Args:
        site: what the verb works on.
        rng: draws the moment.
        folder: for this trial.
        name: of the task.
    """
    task, (_, _, cpu_s) = site.tasks[name], site.wanted(name)
    out = folder / "out"
    task.prepare(out)
    return task, out, float(rng.uniform(0, 0.95) * cpu_s)


def resume(site: Site, task: Task, out: Path, what: str, *, hinder: Hinder | None = None) -> Outcome:
    """Gives the same command again, which must end as if nothing had happened.

    Args:
        site: what the verb works on.
        task: verb and inputs.
        out: what the first command left.
        what: was done to it.
        hinder: called in the verb's process before it; None: the task's own.
    """
    finished = task.finished(out)
    end = run(*task.arguments(out), hinder=hinder or task.hinder)
    if task.name == "index" and end.is_clear_error and "holds a gallery already" in end.message:
        end = run("gallery", "check", "--gallery", out)  # it was done before it was killed
    if end.status != 0:
        return Outcome(what, "wrong", end.complaint("a clean resume"))
    if lost := finished - task.finished(out):
        return Outcome(what, "wrong", f"what was finished is gone: {sorted(map(str, lost))[:3]}")
    wanted = site.wanted(task.name)[1]
    if (made := task.result(out)) != wanted:
        return Outcome(what, "wrong", f"another result: {_difference(made, wanted)}")
    return Outcome(what, "clean resume", f"{len(finished)} things were finished")


def _difference(made: object, wanted: object) -> str:
    if isinstance(made, dict) and isinstance(wanted, dict):
        return ", ".join(sorted(key for key in made.keys() | wanted.keys() if made.get(key) != wanted.get(key)))[:500]
    if isinstance(made, tuple) and isinstance(wanted, tuple):
        return "; ".join(_difference(*pair) for pair in zip(made, wanted, strict=True) if pair[0] != pair[1])
    return f"{made!r} instead of {wanted!r}"[:500]


def _added(address: str, image: bytes) -> list[str]:
    """Path of an image that the server says it has added now; none where it no longer answers."""
    try:
        return [client.path_of(address, entry) for entry in client.add(address, image)]
    except (OSError, ValueError, HTTPException):  # killed meanwhile
        return []
