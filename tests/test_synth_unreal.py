"""The Unreal side against a server that misbehaves in every way that plug-ins are known to."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from synth_fakes import VIEWS, running_simulator

from unrealperson.cli import main
from unrealperson.config import SynthConfig
from unrealperson.doctor import diagnose_endpoint
from unrealperson.synth import capture as capturing
from unrealperson.synth import endpoint as connecting
from unrealperson.synth import examine as examining
from unrealperson.synth import unreal
from unrealperson.synth.capture import Shard, capture
from unrealperson.synth.endpoint import Endpoint, decode_image
from unrealperson.synth.protocol import encode_image, palette, receive_message, send_message, unix_socket_path
from unrealperson.synth.simulator import Simulator
from unrealperson.synth.unreal import Level, Transfer

pytest.importorskip("unrealcv", reason="needs unrealcv: pip install 'unrealperson[synth]'")

SRGB = np.array([round(unreal._srgb(value)) for value in range(256)], np.uint8)
OFF_BY_ONE = np.array([0 if value < 20 else value - (value % 3 == 2) for value in range(256)], np.uint8)
GREY = np.full(256, 128, np.uint8)
LEVELS = sorted({color[2] for color in palette()})


class Plugin:
    """A server's faults, put between the simulator and its client."""

    def __init__(
        self,
        *,
        curve: np.ndarray | None = None,
        annotates: bool = True,
        paints: bool = True,
        drift_cm: float = 0.0,
        replies: dict[str, str] | None = None,
        late: str = "",
        late_s: float = 1.0,
        drops: str = "",
    ) -> None:
        self.curve, self.annotates, self.paints, self.drift_cm = curve, annotates, paints, drift_cm
        self.replies = replies or {}
        self.late, self.late_s, self.drops = late, late_s, drops
        self.known: set[str] = set()
        self.setting: list[str] = []

    def __call__(self, simulator: Simulator, command: str) -> bytes:
        for pattern, reply in self.replies.items():
            if re.fullmatch(pattern, command):
                return reply.encode()
        if self.late and command.startswith(self.late):
            self.late = ""
            time.sleep(self.late_s)
        if self.drops and command.startswith(self.drops):
            server = simulator.game.server
            assert server is not None and server._session is not None
            server._drop(server._session)
        if command.startswith("vrun ce AddActor"):
            self.known.clear()
        named = re.fullmatch(r"v[gs]et /object/(MH[^ ]*)/color.*", command)
        if named and not self.annotates:
            if command.startswith("vset") and self.paints:
                self.known.add(named[1])
            elif named[1] not in self.known:
                return b"(R=205,G=205,B=205,A=205)" if command.startswith("vget") else b"ok"
        body = simulator.run(command)
        if self.drift_cm and command == "vget /camera/0/location":
            x, y, z = map(float, body.split())
            return f"{x:.3f} {y:.3f} {z + self.drift_cm:.3f}".encode()
        if "/object_mask " in command and not body.startswith(b"error"):
            mask = decode_image(body).copy()
            if not self.annotates:
                for name, color in simulator.objects.colors.items():
                    if name.startswith("MH") and name not in self.known:
                        mask[(mask == color).all(-1)] = 0
            return encode_image(mask if self.curve is None else self.curve[mask], command.split()[-1])
        return body


@contextlib.contextmanager
def level_of(plugin: Plugin, *, timeout_s: float = 20.0) -> Iterator[SimpleNamespace]:
    with running_simulator(twist=plugin) as running, Endpoint(running.address, timeout_s=timeout_s) as endpoint:
        running.endpoint = endpoint
        running.level = Level(endpoint, settle_s=0.0, spawn_s=0.3)
        yield running


@pytest.mark.parametrize(
    ("plugin", "kind", "painted"),
    [
        (Plugin(), "exact", False),
        (Plugin(annotates=False), "exact", True),
        (Plugin(curve=OFF_BY_ONE), "off by one", True),
        (Plugin(curve=SRGB), "sRGB", True),
        (Plugin(curve=SRGB, annotates=False), "sRGB", True),
    ],
    ids=["good", "not annotated", "off by one", "gamma", "gamma, not annotated"],
)
def test_the_mask_tells_people_apart_whatever_the_plugin_does(plugin: Plugin, kind: str, painted: bool) -> None:
    with level_of(plugin) as running:
        colors = running.level.populate(3)
        assert running.level.transfer.kind == kind and running.level.painted == painted
        assert list(colors) == [0, 1, 2] and len(set(colors.values())) == 3 and (0, 0, 0) not in colors.values()
        _, mask = running.level.look(VIEWS[0])
        named = {f"MHMainClass_C_{person}": color for person, color in colors.items()}
        assert np.array_equal(mask, running.renderer.render(running.world, VIEWS[0], "object_mask", named))
        assert all((mask == color).all(-1).any() for color in colors.values())


def test_transfer_curves_are_named_and_undone() -> None:
    for curve, kind in ((np.arange(256), "exact"), (OFF_BY_ONE, "off by one"), (SRGB, "sRGB"), (GREY, "broken")):
        transfer = Transfer.classify({value: int(curve[value]) for value in LEVELS})
        assert transfer.kind == kind
        usable = transfer.usable()
        if kind == "broken":
            assert usable == [0]
            continue
        assert usable[0] == 0 and len(usable) >= 16
        mask = np.random.default_rng(0).choice(usable, (20, 30, 3)).astype(np.uint8)
        assert np.array_equal(transfer.restore(np.asarray(curve, np.uint8)[mask]), mask)
    srgb = Transfer.classify({value: int(SRGB[value]) for value in LEVELS})
    strange = next(v for v in range(256) if all(abs(v - srgb.shown[value]) > 3 for value in srgb.usable()))
    assert srgb.restore(np.array([[[255, strange, 255]]], np.uint8)).tolist() == [[[0, 0, 0]]]


def test_camera_drift_is_corrected() -> None:
    with level_of(Plugin(drift_cm=64.0)) as running:
        running.level.place(VIEWS[1])
        assert running.endpoint.request("vget /camera/0/location") == ["0.000 0.000 150.000"]
        for _ in range(3):
            running.level.place(VIEWS[1])
        assert running.endpoint.request("vget /camera/0/location") == ["0.000 0.000 150.000"]


def test_pngs_are_taken_where_bitmaps_are_unknown() -> None:
    with level_of(Plugin(replies={r"vget /camera/0/\w+ bmp": "error Argument Invalid"})) as running:
        lit, mask = running.level.images("lit", "object_mask")
        assert lit.shape == mask.shape == (120, 160, 3)


@contextlib.contextmanager
def listening(greet: Callable[[socket.socket], object]) -> Iterator[str]:
    """Something that accepts connections and is no UnrealCV server."""

    def serve() -> None:
        with contextlib.suppress(OSError):
            while True:
                kept.append(listener.accept()[0])
                greet(kept[-1])

    kept: list[socket.socket] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        yield "127.0.0.1:{}".format(*listener.getsockname()[1:])
        listener.shutdown(socket.SHUT_RDWR)
        thread.join(10)
        for sock in kept:
            sock.close()


@contextlib.contextmanager
def nobody() -> Iterator[str]:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    yield f"127.0.0.1:{port}"


@contextlib.contextmanager
def plugin(*, taken: bool = False, unix: bool = False, width: int = 160, **faults: Any) -> Iterator[str]:
    with contextlib.ExitStack() as stack:
        running = stack.enter_context(running_simulator(twist=Plugin(**faults), unix=unix, width=width))
        if taken:
            stack.enter_context(Endpoint(running.address, timeout_s=5.0))
        yield "{}:{}".format(*running.address)


INVERTED = (255 - np.arange(256)).astype(np.uint8)
WELL_BEHAVED = "none"
MISBEHAVIOURS: dict[str, Callable[[], contextlib.AbstractContextManager[str]]] = {
    WELL_BEHAVED: plugin,
    "nobody listens": nobody,
    "accepts and never greets, as while it serves another client": partial(listening, lambda sock: None),
    "hangs up at once, as this simulator on a second client": partial(plugin, taken=True),
    "another program listens there": partial(listening, lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")),
    "serves its Unix socket by now": partial(plugin, unix=True),
    "does not list its commands": partial(plugin, replies={"vget /unrealcv/commands": "error Can not find a handler"}),
    "cannot set the image size": partial(
        plugin, width=200, replies={"v[gs]et /camera/0/size.*": "error Can not find a handler"}
    ),
    "a reply is late": partial(plugin, late="vget /camera/0/location", late_s=0.7),
    "answers nothing any more": partial(plugin, late="vget /camera/0/location", late_s=1.4),
    "the reply to an event is late": partial(plugin, late="vrun ce AddActor", late_s=0.7),
    "drops the connection": partial(plugin, drops="vget /camera/0/location"),
    "AddActor makes nobody": partial(plugin, replies={"vrun ce AddActor": "ok"}),
    "fewer people than asked for": plugin,
    "spawned people have no mask colour": partial(plugin, annotates=False),
    "... and can be given none": partial(plugin, annotates=False, paints=False),
    "mask off by one, dark values black": partial(plugin, curve=OFF_BY_ONE),
    "mask with a gamma curve (sRGB)": partial(plugin, curve=SRGB),
    "mask grey all over": partial(plugin, curve=GREY),
    "mask inverted": partial(plugin, curve=INVERTED),
    "camera 0 is above where it is put (the pawn's eyes)": partial(plugin, drift_cm=64.0),
    "camera 0 stays where it is": partial(plugin, replies={"vset /camera/0/location .*": "ok"}),
    "camera 0 cannot be moved": partial(plugin, replies={"vset /camera/0/location .*": "error Invalid sensor id"}),
    "camera 0 tells nonsense": partial(plugin, replies={"vget /camera/0/location": "nowhere"}),
    "the field of view cannot be set": partial(plugin, replies={"vset /camera/0/fov .*": "error Argument Invalid"}),
    "the level has no event Pause": partial(plugin, replies={"vrun ce Pause": "ok"}),
    "the game does not pause": partial(plugin, replies={"vget /action/game/is_paused": "false"}),
    "cannot tell whether it is paused": partial(plugin, replies={"vget /action/game/is_paused": "error"}),
    "knows no BMP": partial(plugin, replies={r"vget /camera/0/\w+ bmp": "error Argument Invalid"}),
    "sends text in place of an image": partial(plugin, replies={"vget /camera/0/lit .*": "error Invalid sensor id"}),
}


NO_CONTACT = list(MISBEHAVIOURS)[1:5]
IN_TIME_S = {"a reply is late": 0.5, "answers nothing any more": 0.5, "the reply to an event is late": 0.5}


def capture_says(address: str, people: int, timeout_s: float) -> str:
    """What the user of a capture reads; where it goes on, its masks show everybody."""
    said: list[str] = []
    handler = logging.Handler(logging.WARNING)
    handler.emit = lambda record: said.append(f"warns: {record.getMessage()}")  # type: ignore[method-assign]
    logger = logging.getLogger("unrealperson")
    logger.addHandler(handler)
    config = SynthConfig(
        endpoint=address, timeout_s=timeout_s,
        cameras=2, instants=2, lights=1, interval_s=0.01, sensor=False, width=160, height=120,
    )  # fmt: skip
    try:
        for frame in capture(config, Shard(scene=1, version=1, batch=0, first=0, count=people)):
            shown = {person for person, color in frame.colors.items() if (frame.mask == color).all(-1).any()}
            assert shown == {0, 1, 2} or shown == {3, 4, 5}
    except RuntimeError as error:
        said.append(f"stops: {error}")
    finally:
        logger.removeHandler(handler)
    return "; ".join(said) or "goes on"


def doctor_says(address: str, people: int, timeout_s: float) -> list[str]:
    findings = diagnose_endpoint(address, people=people, timeout_s=timeout_s)
    return [f"{finding.state}, {finding.name}: {finding.found}" for finding in findings]


def plain(text: str) -> str:
    """Without figures and folders, which differ from run to run."""
    return re.sub(r"\d+(\.\d+)?", "0", re.sub(r"/\S*/unrealcv_", "/tmp/unrealcv_", text))


def documented() -> dict[str, tuple[str, str]]:
    """Rows of the table of misbehaviours: what a capture does and what the doctor says."""
    text = (Path(__file__).parent.parent / "docs" / "unreal.md").read_text(encoding="utf-8")
    table = text.split("| misbehaviour |")[1].split("\n\n")[0]
    rows = [tuple(cell.strip() for cell in line.strip("|").split("|")) for line in table.splitlines()[2:]]
    return {name: (capturing, doctor) for name, capturing, doctor in rows}


def test_every_misbehaviour_that_was_tried_is_documented() -> None:
    assert list(documented()) == list(MISBEHAVIOURS)


@pytest.mark.parametrize("name", MISBEHAVIOURS)
def test_the_user_is_told(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    if name in NO_CONTACT:
        monkeypatch.setattr(connecting, "FIRST_CONTACT_S", 0.3)
        monkeypatch.setattr(connecting, "GREETING_S", 0.2)
    monkeypatch.setattr(capturing, "views_of", lambda config, scene: VIEWS[: config.cameras])
    monkeypatch.setattr(capturing, "Level", partial(Level, settle_s=0.0, spawn_s=0.2))
    monkeypatch.setattr(examining, "examine", partial(examining.examine, settle_s=0.0, spawn_s=0.2))
    people, timeout_s = 101 if name == "fewer people than asked for" else 3, IN_TIME_S.get(name, 10.0)
    with MISBEHAVIOURS[name]() as address:
        by_capture = capture_says(address, people, timeout_s)
    with MISBEHAVIOURS[name]() as address:
        by_doctor = doctor_says(address, people, timeout_s)
    if name != WELL_BEHAVED:
        usual = plain(documented()[WELL_BEHAVED][1]).split("; ")
        by_doctor = [line for line in by_doctor if plain(line) not in usual]
    row = (by_capture, "; ".join(by_doctor) or "nothing amiss")
    assert tuple(map(plain, row)) == tuple(map(plain, documented()[name])), f"| {name} | {row[0]} | {row[1]} |"


def test_the_verb_prints_it(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setattr(connecting, "FIRST_CONTACT_S", 0.4)
    with running_simulator() as running:
        assert main(["doctor", "--endpoint", f"127.0.0.1:{running.server.port}"]) == 0
        out = capsys.readouterr().out
        assert "a capture can run there" in out and "exactly" in out
    with socket.create_server(("127.0.0.1", 0)) as hanging:
        assert main(["doctor", "--endpoint", f"127.0.0.1:{hanging.getsockname()[1]}"]) == 1
        out = " ".join(capsys.readouterr().out.split())
        assert "no greeting within" in out and "no other client uses" in out and "restart the game" in out
    assert main(["doctor", "--endpoint", "nowhere"]) == 2


SHARD = Shard(scene=1, version=1, batch=0, first=0, count=3)


@pytest.mark.parametrize("curve", [None, SRGB], ids=["exact", "gamma"])
def test_capture_drives_a_plugin_that_misbehaves(curve: np.ndarray | None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(capturing, "views_of", lambda config, scene: VIEWS[: config.cameras])
    monkeypatch.setattr(capturing, "Level", lambda endpoint: Level(endpoint, settle_s=0.0))
    plugin = Plugin(curve=curve, annotates=False, drift_cm=64.0, late="vget /camera/0/lit")
    with running_simulator(twist=plugin) as running:
        config = SynthConfig(
            endpoint=f"127.0.0.1:{running.server.port}",
            cameras=2, instants=2, lights=1, interval_s=0.01, timeout_s=0.6, sensor=False, width=160, height=120,
        )  # fmt: skip
        frames = list(capture(config, SHARD))
    assert len(frames) == 4 and not plugin.late
    for frame in frames:
        shown = {person for person, color in frame.colors.items() if (frame.mask == color).all(-1).any()}
        assert shown == {0, 1, 2}


def test_a_linux_build_that_moves_to_its_unix_socket_is_followed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Plug-in 1.0.1: once the first TCP client has left, only the socket file is served; TCP hangs."""
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    monkeypatch.setattr(connecting, "GREETING_S", 0.3)

    def talk(sock: socket.socket) -> None:
        with sock, contextlib.suppress(OSError, ValueError):
            send_message(sock, b"connected to Game")
            while (request := receive_message(sock)) is not None:
                number, command = request.split(b":", 1)
                if command.endswith(b"late") and sock.family == socket.AF_INET:
                    time.sleep(0.8)
                send_message(sock, number + b":" + command.split(b" ")[-1])

    def serve(listener: socket.socket, path: Path) -> None:
        sock, _ = listener.accept()
        talk(sock)
        with socket.socket(socket.AF_UNIX) as unix:
            time.sleep(0.5)
            unix.bind(str(path))
            unix.listen()
            unix.settimeout(10)
            talk(unix.accept()[0])

    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        thread = threading.Thread(target=serve, args=(listener, unix_socket_path(port)), daemon=True)
        thread.start()
        with Endpoint(("127.0.0.1", port), timeout_s=0.5) as endpoint:
            assert endpoint.request("vget a") == ["a"]
            endpoint._timeout_s = 5.0
            endpoint.close()
            endpoint._replace_client(5.0)
            assert endpoint._client.sock.family == socket.AF_UNIX
            assert endpoint.request("vget late") == ["late"]
        thread.join(10)
        assert not thread.is_alive()
        assert os.path.exists(unix_socket_path(port))
