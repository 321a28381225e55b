from __future__ import annotations

import errno
import json
import logging
import subprocess
import sys
from pathlib import Path

import pytest
from PIL import Image

from unrealperson import __version__, log
from unrealperson.cli import DEMO_CONFIG, VERBS, _one_line, main
from unrealperson.config import Config, load_config, save_config


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


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["synth", "--out", "words.txt/x"], "words.txt/x cannot be made: a file is where a folder is needed"),
        (["synth", "--out", "words.txt"], "words.txt cannot be made: a file is where a folder is needed"),
        (["evaluate", "--data", "crops", "--out", "words.txt"], "words.txt cannot be made: a file is where"),
        (["evaluate", "--data", "crops", "--run", "words.txt"], "words.txt is a file; give the folder of the run"),
        (["extract", "--data", "crops", "--out", "crops"], "crops is a folder; give the file to write, such as"),
        (["export", "--run", "run", "--out", "crops"], "crops is a folder; give the file to write, such as"),
        (["report", "--data", "crops", "--out", "crops"], "crops is a folder; give the file to write, such as crops/r"),
        (["index", "--model", "crops", "--data", "crops", "--out", "g"], "crops is a folder; give the .onnx file"),
        (["search", "--gallery", "crops", "a.jpg"], "crops is no gallery: it holds no gallery.json; make one with"),
        (["simulate", "--port", "99999"], "a port lies in 0 ... 65535 (0: a free one), got 99999"),
    ],
)
def test_a_file_for_a_folder_or_the_other_way_round_gets_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "words.txt").write_text("words")
    (tmp_path / "crops").mkdir()
    Image.new("RGB", (32, 64)).save(tmp_path / "crops" / "0001_c1_1.png")
    assert main(arguments) == 2
    text = capsys.readouterr().err
    (line,) = [line for line in text.splitlines() if line.startswith("unrealperson: error: ")]
    assert message in line and "Traceback" not in text
    assert not list(tmp_path.rglob("*.partial"))


@pytest.mark.parametrize(("verb", "resumes"), [("simulate", False), ("evaluate", False), ("train", True)])
def test_ctrl_c_promises_to_go_on_only_where_it_does(
    verb: str, resumes: bool, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stopped(self: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(VERBS[verb], "execute", stopped)
    needed = {"simulate": [], "evaluate": ["--data", "x"], "train": ["--data", "x", "--out", "y"]}
    assert main([verb, *needed[verb]]) == 130
    assert ("goes on where it was" in capsys.readouterr().err) is resumes


def test_paths_in_messages_are_the_final_ones() -> None:
    error = OSError(errno.ENOSPC, "No space left on device", "out/.gallery.partial/features.npy")
    assert _one_line(error) == "out/gallery/features.npy cannot be used: No space left on device"
    error = OSError(errno.EFBIG, "File too large")  # as a write to an open file fails
    assert _one_line(error, written=Path("out")) == "out cannot be written: File too large; make room for it"


def test_command_line_wins_over_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []
    monkeypatch.setattr(VERBS["synth"], "execute", lambda verb: seen.append(verb.resolved()))
    path = tmp_path / "c.toml"
    path.write_text("[synth]\npeople = 30\nseed = 7\n[train]\nepochs = 2\n")
    assert main(["synth", "--config", str(path), "--out", "x", "--synth.people", "31"]) == 0
    assert (seen[0].synth.people, seen[0].synth.seed, seen[0].train.epochs) == (31, 7, 2)


def test_demo_begins_with_its_own_settings_and_keeps_those_of_its_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = []
    monkeypatch.setattr(VERBS["demo"], "execute", lambda verb: seen.append(verb.resolved()))
    other = tmp_path / "other.toml"
    other.write_text("[synth]\npeople = 30\n")
    assert main(["demo", "--out", str(tmp_path / "demo")]) == 0
    assert seen[-1] == load_config(DEMO_CONFIG) != Config()
    assert main(["demo", "--out", str(tmp_path / "demo"), "--config", str(other), "--train.epochs", "2"]) == 0
    assert (seen[-1].synth.people, seen[-1].train.epochs) == (30, 2)
    (tmp_path / "demo").mkdir()
    save_config(seen[-1], tmp_path / "demo" / "config.toml")
    for out in (["--out", str(tmp_path / "demo")], [f"--out={tmp_path / 'demo'}"]):
        assert main(["demo", *out, "--real", "crops"]) == 0
        assert seen[-1] == seen[1]


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
    assert "frames: 2 of 4 frame, 0.2/s, 12 s gone, 12 s left" in capsys.readouterr().err


def test_importing_the_command_line_does_not_import_torch() -> None:
    heavy = ("torch", "panda3d", "unrealcv", "numba")
    code = f"import sys, unrealperson.cli; print([name for name in {heavy} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
