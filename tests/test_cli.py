from __future__ import annotations

import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest

from unrealperson import __version__, log
from unrealperson.cli import VERBS, main


@pytest.fixture(autouse=True)
def restored_logging():
    logger = logging.getLogger(log.ROOT)
    handlers, propagate, level = logger.handlers[:], logger.propagate, logger.level
    yield
    logger.handlers[:], logger.propagate = handlers, propagate
    logger.setLevel(level)


@pytest.mark.parametrize("arguments", [[], ["--help"], ["-h"], ["help"]])
def test_overview_names_every_verb(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    text = capsys.readouterr().out
    assert all(f"  {name} " in text for name in VERBS)


@pytest.mark.parametrize("arguments", [["--version"], ["train", "--version"]])
def test_version(arguments: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(arguments) == 0
    assert capsys.readouterr().out.strip() == f"unrealperson {__version__}"


@pytest.mark.parametrize("verb", VERBS)
def test_help_teaches(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    assert main([verb, "--help"]) == 0
    text = capsys.readouterr().out
    assert f"usage: unrealperson {verb}" in text
    assert "--log-json" in text and "--config PATH" in text
    assert "{None}" not in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["trian"], "there is no verb 'trian'; did you mean 'train'?"),
        (["zzz"], "'unrealperson --help' lists the verbs"),
        (["train", "--config", "absent.toml", "--data", "x", "--out", "y"], "no such configuration file: absent.toml"),
        (["evaluate", "--data", "absent"], "absent"),
        (["search", "--gallery", "absent", "image.jpg"], "absent"),
        (["synth", "--out", "x", "--synth.people", "0"], "synth.people must be at least 1, got 0"),
        (["synth", "--out", "x", "--synth.peple", "3"], "--synth.people"),
        (["synth"], "--out"),
    ],
)
def test_mistakes_end_with_a_message_and_status_2(
    arguments: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    captured = capsys.readouterr()
    assert message in " ".join((captured.err + captured.out).split())
    assert "Traceback" not in captured.err


def test_command_line_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(VERBS["synth"], "execute", lambda verb: seen.append(verb.resolved()))
    path = tmp_path / "c.toml"
    path.write_text("[synth]\npeople = 30\nseed = 7\n[train]\nepochs = 2\n")
    assert main(["synth", "--config", str(path), "--out", "x", "--synth.people", "31"]) == 0
    assert (seen[0].synth.people, seen[0].synth.seed, seen[0].train.epochs) == (31, 7, 2)


def test_json_log_lines(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure_logging(as_json=True)
    log.get_logger("unrealperson.x").info("made %d", 3)
    line = json.loads(capsys.readouterr().err)
    assert (line["message"], line["level"], line["logger"]) == ("made 3", "info", "unrealperson.x")


def test_quiet_hides_information_and_keeps_warnings(capsys: pytest.CaptureFixture[str]) -> None:
    log.configure_logging(quiet=True)
    log.get_logger("unrealperson.x").info("hidden")
    log.get_logger("unrealperson.x").warning("shown")
    assert capsys.readouterr().err == "warning: shown\n"


def test_track_yields_everything_and_tells_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.configure_logging()
    clock = iter(range(0, 1000, 6))
    monkeypatch.setattr(log.time, "monotonic", lambda: next(clock))
    assert list(log.track([1, 2, 3, 4], label="frames", unit="frame")) == [1, 2, 3, 4]
    assert "frames: 2 of 4 frame, 12 s gone, 12 s left" in capsys.readouterr().err


def test_importing_the_command_line_does_not_import_torch() -> None:
    heavy = ("torch", "panda3d", "unrealcv", "numba")
    code = f"import sys, unrealperson.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
