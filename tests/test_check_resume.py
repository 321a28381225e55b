"""Killed without warning and started again, a run ends as if nothing had happened."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest
import torch
from learning import make_figures
from safetensors.torch import load_file

from unrealperson.checkpoint import load_state
from unrealperson.data.manifest import Manifest

pytestmark = pytest.mark.check

SYNTH = {
    "people": 12, "test-people": 4, "people-per-batch": 4, "cameras": 2, "instants": 3, "lights": 2,
    "width": 320, "height": 240, "workers": 1,
}  # fmt: skip
CROP = {"min-pixels": 60, "border": 1, "min-area": 60}
TRAIN = {
    "height": 64, "width": 32, "epochs": 3, "decay-epoch": 2, "pad": 2,
    "cameras-per-batch": 3, "identities-per-camera": 2, "images-per-identity": 2,
}  # fmt: skip


def command(verb: str, out: Path, *words: str, **sections: dict[str, int]) -> list[str]:
    settings = [
        word
        for section, keys in sections.items()
        for key, value in keys.items()
        for word in (f"--{section}.{key}", str(value))
    ]
    return [sys.executable, "-m", "unrealperson.cli", verb, "--out", str(out), *words, *settings]


def finish(arguments: list[str]) -> None:
    result = subprocess.run(arguments, capture_output=True, text=True, timeout=200)
    assert result.returncode == 0, result.stderr


def wait_for(happened: Callable[[], bool], what: str, *, timeout_s: float = 120.0) -> None:
    deadline_s = time.monotonic() + timeout_s
    while not happened():
        assert time.monotonic() < deadline_s, f"{what} did not happen within {timeout_s:g} s"
        time.sleep(0.005)


@contextlib.contextmanager
def started(arguments: list[str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    """Starts a command as the leader of a process group, which is killed in the end."""
    with log.open("wb") as stream:
        process = subprocess.Popen(arguments, stdout=stream, stderr=stream, start_new_session=True)
    try:
        yield process
        assert process.poll() is None, f"it ended before it could be killed: {log.read_text()}"
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def simulators(process: subprocess.Popen[bytes]) -> list[psutil.Process]:
    children = psutil.Process(process.pid).children(recursive=True)
    return [child for child in children if "unrealperson.synth.simulator" in child.cmdline()]


def gone(process: psutil.Process) -> bool:
    # Nobody may collect an orphan's status: then it stays as a zombie, which holds nothing.
    with contextlib.suppress(psutil.NoSuchProcess):
        return not process.is_running() or process.status() == psutil.STATUS_ZOMBIE
    return True


def names(folder: Path) -> set[str]:
    return {path.relative_to(folder).as_posix() for path in folder.rglob("*")}


def record(run: Path) -> list[dict[str, float]]:
    path = run / "metrics.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []


def test_synthesis_that_was_killed_goes_on(tmp_path: Path) -> None:
    pytest.importorskip("panda3d", reason="synthesis needs panda3d: pip install 'unrealperson[synth]'")
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    again = command("synth", killed, synth=SYNTH, crop=CROP)
    for batch in (0, 1):
        with started(again, tmp_path / f"log-{batch}") as process:
            wait_for((killed / "shards" / f"v1.1_{batch:05d}").is_dir, f"shard {batch}")
            wait_for(lambda process=process: bool(simulators(process)), "the next simulator")
            children = simulators(process)
            if batch == 0:
                wait_for(lambda: any((killed / ".partial-v1.1_00001").rglob("*.jpg")), "a crop of the next shard")
            else:
                for child in children:
                    child.kill()
        # A simulator leads a session of its own: the first one outlives the group and has to notice.
        try:
            wait_for(lambda children=children: all(map(gone, children)), "the simulators' end", timeout_s=10)
        finally:
            for child in children:
                with contextlib.suppress(psutil.NoSuchProcess):
                    child.kill()
        assert not (killed / "manifest.parquet").exists() and list(killed.glob(".partial-*"))
    finish(again)
    finish(command("synth", whole, synth=SYNTH, crop=CROP))
    expected, manifest = Manifest.read(whole), Manifest.read(killed)
    assert len(expected) > 10 and len(expected.identities) > 4
    assert list(manifest.column("sha256")) == list(expected.column("sha256"))
    assert manifest.sha256() == expected.sha256()
    assert names(killed) == names(whole)
    assert not [name for name in names(killed) if "partial" in name or "shards" in name]


def test_training_that_was_killed_goes_on(tmp_path: Path) -> None:
    make_figures(tmp_path / "figures", identities=5, images=12).write()
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    words = ("--data", str(tmp_path / "figures"))
    again = command("train", killed, *words, train=TRAIN)
    with started(again, tmp_path / "log"):
        # Lines come every ten steps and at an epoch's end, here step 15: the third is of an unfinished epoch.
        wait_for(lambda: len(record(killed)) >= 3, "the second epoch's first line")
    assert load_state(killed).epoch == 1 and record(killed)[2]["epoch"] == 2
    finish(again)
    finish(command("train", whole, *words, train=TRAIN))
    ours, theirs = record(killed), record(whole)
    assert [(line["epoch"], line["step"]) for line in ours] == [(1, 10), (1, 15), (2, 25), (2, 30), (3, 40), (3, 45)]
    assert [line["loss"] for line in ours] == [line["loss"] for line in theirs]
    weights = load_file(killed / "model.safetensors")
    for name, value in load_file(whole / "model.safetensors").items():
        torch.testing.assert_close(weights[name], value, rtol=0, atol=0, msg=name)
    assert names(killed) == names(whole) == {"card.md", "config.toml", "metrics.jsonl", "model.safetensors"}
