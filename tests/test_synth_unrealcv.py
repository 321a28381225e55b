"""UnrealCV's protocol line by line: the official client over TCP and Unix socket, and an old client by hand."""

from __future__ import annotations

import io
import logging
import re
import socket
import tempfile
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from PIL import Image
from synth_fakes import VIEWS, running_simulator

from unrealperson.config import SynthConfig
from unrealperson.synth import simulator as module
from unrealperson.synth.poses import write_poses
from unrealperson.synth.protocol import palette, receive_message, send_message

unrealcv = pytest.importorskip("unrealcv", reason="needs unrealcv: pip install 'unrealperson[synth]'")


class OldClient:
    """What clients before 1.0 do: no probe for commands, one request at a time, ids from 0."""

    def __init__(self, address: tuple[str, int]) -> None:
        self.sock = socket.create_connection(address, timeout=10)
        greeting = receive_message(self.sock)
        assert greeting is not None and greeting.startswith(b"connected")
        self.number = 0

    def request(self, command: str) -> Any:
        send_message(self.sock, f"{self.number}:{command}".encode())
        reply = receive_message(self.sock, max_bytes=1 << 28)
        assert reply is not None
        number, _, body = reply.partition(b":")
        assert int(number) == self.number
        self.number += 1
        try:
            return body.decode()
        except UnicodeDecodeError:
            return body

    def disconnect(self) -> None:
        self.sock.close()


@pytest.fixture
def running(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with running_simulator(unix=True) as simulator:
        yield simulator


@pytest.fixture(params=["tcp", "unix", "old"])
def client(request: pytest.FixtureRequest, running: SimpleNamespace) -> Iterator[Any]:
    if request.param == "old":
        client: Any = OldClient(running.address)
    else:
        client = unrealcv.Client(running.address)
        if request.param == "unix":
            client = unrealcv.Client(str(running.server.unix_path), "unix")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert client.connect() is True
    yield client
    client.disconnect()


P0, P1 = "MHMainClass_C_0", "MHMainClass_C_1"
THREE = r"-?\d+\.\d{3} -?\d+\.\d{3} -?\d+\.\d{3}"
TABLE = [
    ("vget /unrealcv/status", r"Is Listening\nClient Connected\n\d+\nConfiguration\nConfig file: \S+\nPort: \d+\n"
     r"Width: 160\nHeight: 120\nFOV: 90\.0\nEnableInput: true\nEnableRightEye: false"),
    ("vget /unrealcv/version", r"\d+\.\d+\.\d+"),
    ("vget /unrealcv/help", r"(?s)vget /unrealcv/commands\n.*vget /camera/\[uint\]/lit \[str\]\n.*"),
    ("vget /unrealcv/commands", r"(?s).*\nvget /unrealcv/echo \[str\]\n.*"),
    ("vget /unrealcv/echo nonce:1", r"nonce:1"),
    ("vget /scene/name", "unrealperson"),
    ("vget /level/name", "box_street"),
    ("vget /objects", "Sky Ground "),
    ("vrun ce AddActor", "ok"),
    ("vget /objects", "Sky Ground MHMainClass_C_0 MHMainClass_C_1 MHMainClass_C_2 "),
    ("vget /object/Sky/color", r"\(R=0,G=0,B=0,A=255\)"),
    (f"vget /object/{P0}/color", r"\(R=0,G=255,B=0,A=255\)"),
    (f"vset /object/{P0}/color 12 34 56", "ok"),
    (f"vget /object/{P0}/color", r"\(R=12,G=34,B=56,A=255\)"),
    (f"vget /object/{P0}/location", THREE),
    (f"vset /object/{P0}/location 500 -10.5 0", "ok"),
    (f"vget /object/{P0}/location", "500.000 -10.500 0.000"),
    (f"vset /object/{P0}/rotation 0 45 0", "ok"),
    (f"vget /object/{P0}/rotation", "0.000 45.000 0.000"),
    (f"vget /object/{P0}/scale", "1.000 1.000 1.000"),
    (f"vset /object/{P0}/scale 1 1 .5", "ok"),
    (f"vget /object/{P0}/scale", "1.000 1.000 0.500"),
    (f"vget /object/{P0}/bounds", r"480\.00 -40\.50 0\.00 520\.00 19\.50 90\.00"),
    (f"vget /object/{P0}/uclass_name", "MHMainClass_C"),
    (f"vget /object/{P0}/mobility", "Movable"),
    (f"vset /object/{P0}/hide", "ok"),
    (f"vset /object/{P0}/show", "ok"),
    (f"vset /object/{P0}/name Guest", "ok"),
    (f"vget /object/{P0}/location", "error Can not find object"),
    ("vget /object/Guest/location", "500.000 -10.500 0.000"),
    ("vget /object/Guest/color", r"\(R=12,G=34,B=56,A=255\)"),
    (f"vset /object/Guest/name {P1}", f"error There is an object {P1} already"),
    ("vset /object/Guest/destroy", "ok"),
    ("vget /object/Guest/color", "error Can not find object"),
    ("vset /objects/spawn MHMainClass", "MHMainClass_C_3"),
    ("vset /objects/spawn MHMainClass_C Someone", "Someone"),
    ("vset /objects/spawn MHMainClass_C Someone", "error There is an object Someone already"),
    ("vget /object/Someone/uclass_name", "MHMainClass_C"),
    ("vset /objects/spawn_cube", "Cube_0"),
    ("vset /objects/spawn_cube Box", "Box"),
    ("vset /objects/spawn_cube Box", "error There is an object Box already"),
    ("vget /object/Box/uclass_name", "CubeActor"),
    ("vget /object/Box/color", r"\(R=\d+,G=\d+,B=\d+,A=255\)"),
    ("vset /object/Box/location 100 200 50", "ok"),
    ("vget /object/Box/location", "100.000 200.000 50.000"),
    ("vset /object/Box/hide", "ok"),
    ("vset /object/Box/show", "ok"),
    ("vset /object/Box/name Crate", "ok"),
    ("vget /person/Crate/attributes", "error Object Crate is no person"),
    ("vset /object/Crate/destroy", "ok"),
    ("vset /object/Cube_0/destroy", "ok"),
    ("vget /cameras", "PlayerCamera FusionCameraActor_1 FusionCameraActor_2 "),
    ("vset /cameras/spawn", "FusionCameraActor_3"),
    ("vset /camera/0/location 1 -2 3.5", "ok"),
    ("vset /camera/0/rotation -10 20.25 3", "ok"),
    ("vget /camera/0/location", "1.000 -2.000 3.500"),
    ("vget /camera/0/rotation", "-10.000 20.250 3.000"),
    ("vset /camera/0/pose 6 5 4 3 2 1", "ok"),
    ("vget /camera/0/pose", "6.000 5.000 4.000 3.000 2.000 1.000"),
    ("vset /camera/0/fov 60.5", "ok"),
    ("vget /camera/0/fov", "60.500000"),
    ("vset /camera/0/size 128 96", "ok"),
    ("vget /camera/0/size", "128 96"),
    ("vset /viewmode object_mask", "ok"),
    ("vget /viewmode", "object_mask"),
    ("vset /action/game/pause", "ok"),
    ("vget /action/game/is_paused", "true"),
    ("vset /action/game/resume", "ok"),
    ("vget /action/game/is_paused", "false"),
    ("vset /action/input/enable", "ok"),
    ("vset /action/input/disable", "ok"),
    ("vset /action/keyboard W 0.5", "ok"),
    *((f"vrun ce {event}", "ok") for event in ("Pause", "Resume", "LC", "LCreset", "AddActor 20 1", "NoSuchEvent")),
    ("vrun setres 640x480", "ok"),
    ("vrun r.SetRes 640x480w", "ok"),
    ("vrun a b c d e f", "ok"),
    ("vrun a b c d e f g", "error No handler found for URI 'vrun a b c d e f g'"),
    ("vcmd anything", "ok"),
    ("vbatch 2", "ok"),
    ("vexec box_street LCreset", "ok"),
    ("vexec box_street Fly 1 2", "error The level has no function Fly"),
    (f"vexec {P1} Fly", f"error Object {P1} has no function Fly"),
    ("vexec Nobody Fly", "error Can not find object"),
    ("vbp box_street Pause", r"\{\}"),
    ("vbp box_street Fly", "error The level has no function Fly"),
    ("vget /camera/7/lit png", "error Invalid sensor id"),
    ("vget /camera/0/lit x.png", "error Invalid filename type, filename x.png.*"),
    ("vget /camera/0/lit ../x.bmp", "error Invalid filename type, filename .*"),
    ("vget /nonsense", "error No handler found for URI 'vget /nonsense'"),
    ("vset /camera/0/fov 1e2", "error No handler found for URI .*"),
    ("vset /camera//fov 1", "error Argument Invalid"),
    (f"vset /object/{P1}/scale 0 1 1", "error A scale must lie in .*"),
    ("vrun ce DelActor", "ok"),
    ("vget /objects", "Sky Ground "),
]  # fmt: skip


def test_every_command_has_its_reply(client: Any) -> None:
    wrong = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        for command, pattern in TABLE:
            reply = client.request(command)
            if not re.fullmatch(pattern, reply):
                wrong.append((command, reply))
    assert wrong == []


def test_images_are_binary_whatever_they_show(client: Any) -> None:
    client.request("vrun ce AddActor")
    lit, mask, bmp, npy, depth = (
        client.request(f"vget /camera/1/{what}")
        for what in ("lit png", "object_mask png", "object_mask bmp", "normal npy", "depth npy")
    )
    for reply in (lit, mask):
        image = Image.open(io.BytesIO(reply))
        assert image.mode == "RGBA" and image.size == (160, 120) and (np.asarray(image)[..., 3] == 255).all()
    shown = {tuple(color) for color in np.asarray(Image.open(io.BytesIO(mask)))[..., :3].reshape(-1, 3).tolist()}
    assert shown == {palette()[index] for index in (0, 2, 3, 4)}
    assert isinstance(bmp, bytes) and np.load(io.BytesIO(npy)).shape == (120, 160, 4)
    values = np.load(io.BytesIO(depth))
    assert values.dtype == np.float32 and values.shape == (120, 160) and (values == 250.0).all()


@pytest.fixture
def simulated(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What simulators are made of, in place of making them."""
    seen: list[dict[str, Any]] = []
    monkeypatch.setattr(module, "Simulator", lambda world, renderer, **options: seen.append(options))
    for heavy in ("renderer.Renderer", "world.World", "scenes.make_scene", "scenes.clutter.add_clutter"):
        monkeypatch.setattr(f"unrealperson.synth.{heavy}", lambda *parts, **options: SimpleNamespace(indoor=True))
    return seen


def test_a_hundred_people_are_a_hundred_unless_compatible(
    simulated: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "views_of", lambda config, scene: [])
    for compat in (False, True):
        module.make_simulator(SynthConfig(people_per_batch=100, compat=compat))
    assert [options["people"] for options in simulated] == [100, 101]


def test_the_simulators_cameras_stand_at_recorded_poses(simulated: list[dict[str, Any]], tmp_path: Path) -> None:
    write_poses(tmp_path / "cameras.json", VIEWS)
    module.make_simulator(SynthConfig(camera_poses=str(tmp_path / "cameras.json"), cameras=6))
    assert simulated[0]["views"] == VIEWS


def test_second_client_is_refused_on_either_transport(running: SimpleNamespace, monkeypatch: Any) -> None:
    monkeypatch.setattr(logging.getLogger("unrealcv"), "disabled", True)
    first = unrealcv.Client(running.address)
    assert first.connect() is True
    assert unrealcv.Client(running.address).connect() is False
    assert unrealcv.Client(str(running.server.unix_path), "unix").connect() is False
    first.disconnect()
    second = unrealcv.Client(str(running.server.unix_path), "unix")
    assert second.connect() is True
    assert second.request("vget /unrealcv/echo a") == "a"
    second.disconnect()


def test_the_originals_capture_sequence(client: Any, running: SimpleNamespace) -> None:
    """The requests of toolkit/generate_datasets.py in its order, with its schedule of lights, for a scene of 12."""
    images, lights = 2, 12
    poses = [(" 0.0 0.0 150.0\n", "0.0 0.0 0.0 "), ("0.000 0.000 160.000", "-5.000 10.000 0.000")]
    assert client.request("vget /unrealcv/status").startswith("Is Listening")
    for batch in range(2):
        assert client.request("vrun ce DelActor") == client.request("vrun ce AddActor") == "ok"
        names = [name for name in client.request("vget /objects").split(" ") if name.startswith("MH")]
        assert names == [f"MHMainClass_C_{3 * batch + number}" for number in range(3)]
        colors = [client.request(f"vget /object/{name}/color") for name in names]
        assert len(set(colors)) == 3 and all(re.fullmatch(r"\(R=\d+,G=\d+,B=\d+,A=255\)", color) for color in colors)
        for location, rotation in poses:
            asked = ["vrun ce LCreset", f"vset /camera/0/location {location.strip()}"]
            asked.append(f"vset /camera/0/rotation {rotation.strip()}")
            for image in range(images):
                asked += ["vrun ce LC"] * (image % images // lights == 0)
                asked.append("vrun ce Pause")
                assert [client.request(command) for command in asked] == ["ok"] * len(asked)
                lit, mask = (client.request(f"vget /camera/0/{mode} png") for mode in ("lit", "object_mask"))
                assert lit[:4] == mask[:4] == b"\x89PNG"
                asked = ["vrun ce Resume"]
            assert client.request("vrun ce Resume") == "ok"
            assert running.world.light == images - 1
    assert running.world.time_s == 14.0


def test_two_hundred_small_requests_a_second(client: Any) -> None:
    spent_s = []
    for _ in range(3):
        start_s = time.perf_counter()
        for _ in range(200):
            client.request("vget /camera/0/location")
        spent_s.append(time.perf_counter() - start_s)
    assert 200 / min(spent_s) >= 200


def test_what_the_server_must_pass_is_documented_with_its_tests() -> None:
    root = Path(__file__).parent.parent
    text = (root / "docs" / "unreal.md").read_text(encoding="utf-8")
    rows = text.split("| what a client may expect | tests |")[1].split("\n\n")[0].splitlines()[2:]
    assert len(rows) >= 14
    for row in rows:
        _, _, tests, _ = row.split("|")
        named = re.findall(r"`test_synth_(\w+)::(\w+)`", tests)
        assert named, row
        for module_name, test in named:
            source = (root / "tests" / f"test_synth_{module_name}.py").read_text(encoding="utf-8")
            assert f"def {test}(" in source, f"{row}: there is no {test}"


@pytest.mark.parametrize("unix", [False, True], ids=["tcp", "unix"])
def test_batches_async_and_continued_ids(running: SimpleNamespace, unix: bool) -> None:
    client = unrealcv.Client(running.address)
    if unix:
        client = unrealcv.Client(str(running.server.unix_path), "unix")
    assert client.connect() is True
    mixed = ["vget /cameras", "vget /camera/0/lit png", "vget /camera/0/depth npy", "vbatch 2", "vget /camera/0/fov"]
    cameras, lit, depth, batch, fov = client.request(mixed)
    assert cameras.endswith("_2 ") and lit[:4] == b"\x89PNG" and depth[:6] == b"\x93NUMPY"
    assert (batch, fov) == ("ok", "90.000000")
    assert client.request("vset /camera/0/fov 50", -1) is True
    assert client.request(["vset /camera/0/fov 60", "vget /camera/0/lit bmp"], -1) is not None
    assert client.request("vget /camera/0/fov") == "60.000000"
    sent = client.send_message_id
    client.disconnect()
    assert client.connect() is True
    assert client.request("vget /camera/0/fov") == "60.000000"
    assert client.send_message_id == sent + 1
    client.disconnect()
