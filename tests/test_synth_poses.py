"""Camera poses: the original's pickles read without running anything, JSON there and back, recording."""

from __future__ import annotations

import io
import json
import pickle
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from synth_fakes import VIEWS, running_simulator

from unrealperson.cli import main
from unrealperson.config import SynthConfig
from unrealperson.synth import capture as capturing
from unrealperson.synth.capture import Shard, capture
from unrealperson.synth.poses import read_poses, record_poses, write_poses
from unrealperson.synth.unreal import Level
from unrealperson.synth.view import View

ROWS = [("-100.000 250.500 300.000", "-15.000 90.000 0.000"), ("0.000 0.000 170.000", "0.000 -45.000 0.000")]
SEEN = [View((-1.0, -2.505, 3.0), -90.0, -15.0), View((0.0, -0.0, 1.7), 45.0, 0.0)]


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_the_originals_pickles_are_read(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "caminfo_1.pkl"
    path.write_bytes(pickle.dumps(ROWS, protocol))
    assert read_poses(path) == SEEN


class Bomb:
    def __reduce__(self) -> tuple[Any, ...]:
        return (open, ("owned", "w"))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (pickle.dumps([(Bomb(), "0 0 0")]), r"asks for (_?io)\.open, which is refused"),
        (pickle.dumps({"a": 1}), "expected a list of .* got dict"),
        (pickle.dumps([("1 2", "0 0 0")]), "expected three numbers, got '1 2'"),
        (pickle.dumps([("1 2 nan", "0 0 0")]), "finite"),
        (pickle.dumps([("1 2 3",)]), "holds no camera poses: not enough values"),
        (pickle.dumps([]), r"must hold 1 ... 999 cameras, got 0"),
        (pickle.dumps(ROWS)[:-5], "holds no camera poses"),
        (b"hello", "holds no camera poses"),
        (b"", "holds no camera poses"),
        (bytes(2_000_000), "is larger than 1048576 bytes"),
    ],
)
def test_what_is_no_list_of_poses_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "caminfo_1.pkl"
    path.write_bytes(content)
    with pytest.raises(ValueError, match=message):
        read_poses(path)
    assert not (tmp_path / "owned").exists()


def test_json_goes_there_and_back(tmp_path: Path) -> None:
    path = tmp_path / "cameras.json"
    write_poses(path, VIEWS)
    assert read_poses(path) == VIEWS
    first = json.loads(path.read_text())["cameras"][0]
    assert first == {"location_cm": [0.0, 0.0, 150.0], "pitch_yaw_roll_deg": [0.0, 0.0, 0.0], "fov_deg": 90.0}
    path.write_text("[]")
    with pytest.raises(ValueError, match="holds no camera poses"):
        read_poses(path)


def test_poses_are_recorded_and_converted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("unrealcv", reason="needs unrealcv: pip install 'unrealperson[synth]'")
    out = tmp_path / "cameras.json"
    with running_simulator() as running:
        address = f"127.0.0.1:{running.server.port}"
        for recorded in (2, 4):
            monkeypatch.setattr("sys.stdin", io.StringIO("\n\n"))
            assert main(["poses", "--endpoint", address, "--out", str(out)]) == 0
            assert read_poses(out) == [VIEWS[0]] * recorded
    (tmp_path / "caminfo_1.pkl").write_bytes(pickle.dumps(ROWS))
    assert main(["poses", "--caminfo", str(tmp_path / "caminfo_1.pkl"), "--out", str(out)]) == 0
    assert read_poses(out) == SEEN


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "give --endpoint HOST:PORT to record in a running level, or --caminfo FILE to convert"),
        (["--endpoint", "a:1", "--caminfo", "b.pkl"], "give --endpoint HOST:PORT to record"),
        (["--endpoint", "nowhere"], "an endpoint is host:port or the path of a Unix socket, got 'nowhere'"),
        (["--caminfo", "absent.pkl"], "absent.pkl cannot be used: No such file or directory"),
    ],
)
def test_mistakes_about_poses_get_one_line(
    arguments: list[str], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(["poses", *arguments, "--out", "cameras.json"]) == 2
    assert message in capsys.readouterr().err and not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("replies", "message"),
    [
        (["nonsense", "0 0 0", "90"], "the endpoint does not tell where camera 0 is: expected three numbers"),
        (["0 0 0", "0 0 0", "wide"], "the endpoint does not tell where camera 0 is: could not convert"),
    ],
)
def test_an_endpoint_that_tells_no_pose_is_refused(tmp_path: Path, replies: list[str], message: str) -> None:
    endpoint: Any = SimpleNamespace(attempt=lambda *commands: replies)
    with pytest.raises(RuntimeError, match=message):
        record_poses(endpoint, tmp_path / "cameras.json", ["\n"])
    with pytest.raises(ValueError, match="no pose was recorded; press Enter"):
        record_poses(endpoint, tmp_path / "cameras.json", [])
    assert not list(tmp_path.iterdir())


def test_capture_looks_from_recorded_poses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("unrealcv", reason="needs unrealcv: pip install 'unrealperson[synth]'")
    write_poses(tmp_path / "cameras.json", VIEWS)
    monkeypatch.setattr(capturing, "Level", lambda endpoint: Level(endpoint, settle_s=0.0))
    with running_simulator() as running:
        config = SynthConfig(
            endpoint=f"127.0.0.1:{running.server.port}", camera_poses=str(tmp_path / "cameras.json"),
            instants=1, lights=1, interval_s=0.01, sensor=False, width=160, height=120,
        )  # fmt: skip
        frames = list(capture(config, Shard(scene=1, version=1, batch=0, first=0, count=3)))
    assert [frame.view for frame in frames] == VIEWS
