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
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synth_fakes import VIEWS, running_simulator

from unrealperson.cli import main
from unrealperson.config import SynthConfig
from unrealperson.synth import capture as capturing
from unrealperson.synth import endpoint as connecting
from unrealperson.synth import unreal
from unrealperson.synth.capture import Shard, capture
from unrealperson.synth.endpoint import Endpoint, decode_image
from unrealperson.synth.examine import examine
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
        drops: str = "",
    ) -> None:
        self.curve, self.annotates, self.paints, self.drift_cm = curve, annotates, paints, drift_cm
        self.replies = replies or {}
        self.late, self.drops = late, drops
        self.known: set[str] = set()
        self.setting: list[str] = []

    def __call__(self, simulator: Simulator, command: str) -> bytes:
        for pattern, reply in self.replies.items():
            if re.fullmatch(pattern, command):
                return reply.encode()
        if self.late and command.startswith(self.late):
            self.late = ""
            time.sleep(1.0)
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


@pytest.mark.parametrize(
    ("plugin", "message"),
    [
        (Plugin(annotates=False, paints=False), "people do not appear in the mask, even after their colours were set"),
        (Plugin(curve=GREY), "people do not appear in the mask"),
        (Plugin(curve=(255 - np.arange(256)).astype(np.uint8)), r"does not show the colours that were set \(set -> sh"),
        (Plugin(replies={"vrun ce AddActor": "ok"}), "AddActor made no object whose name starts with MH within 0.3 s"),
    ],
    ids=["never in the mask", "grey mask", "inverted", "no people"],
)
def test_what_cannot_be_made_up_for_fails_loudly(plugin: Plugin, message: str) -> None:
    with level_of(plugin) as running, pytest.raises(RuntimeError, match=message):
        running.level.populate(3)


def test_fewer_people_than_asked_for_are_reported(caplog: pytest.LogCaptureFixture) -> None:
    with level_of(Plugin()) as running, caplog.at_level(logging.WARNING, "unrealperson.synth.unreal"):
        logging.getLogger("unrealperson").propagate = True
        running.level.populate(101)
    assert "AddActor made 3 people, 101 are expected" in caplog.text


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


def found(plugin: Plugin, **options: float) -> dict[str, tuple[str, str]]:
    with level_of(plugin, timeout_s=options.pop("timeout_s", 20.0)) as running:
        seen = examine(running.endpoint, settle_s=0.0, spawn_s=0.3, **options)  # type: ignore[arg-type]
        return {name: (state, text) for name, state, text in seen}


@pytest.mark.parametrize(
    ("plugin", "name", "state", "text"),
    [
        (Plugin(), "mask colours", "ok", "shows the colours that are set, exactly"),
        (Plugin(), "people", "ok", r"AddActor made 3 people \(MHMainClass_C_0 ... MHMainClass_C_2\)"),
        (Plugin(), "pause", "ok", "the level's events Pause and Resume work"),
        (Plugin(), "camera", "ok", "camera 0 is where it is put"),
        (Plugin(), "images", "ok", "160 x 120, colour image and mask in"),
        (Plugin(replies={"vget /unrealcv/commands": "error Can not find a handler"}), "plug-in", "ok",
         "does not list its commands, as no public plug-in does"),
        (Plugin(curve=SRGB), "mask colours", "ok", r"a gamma curve \(sRGB\); this is undone"),
        (Plugin(curve=OFF_BY_ONE), "mask colours", "ok", "off by one, or black where a colour is dark"),
        (Plugin(curve=GREY), "mask colours", "fail", "people do not appear in the mask"),
        (Plugin(annotates=False), "mask colours", "ok", "have no mask colour of their own and get one here"),
        (Plugin(annotates=False, paints=False), "mask colours", "fail", "people do not appear in the mask"),
        (Plugin(replies={"vrun ce AddActor": "ok"}), "people", "fail", "does this level have the events AddActor"),
        (Plugin(drift_cm=64), "camera", "ok", r"camera 0 is 0, 0, 64 cm \(x, y, z\) from where it is put"),
        (Plugin(replies={"vset /camera/0/location .*": "error no"}), "camera", "fail", "refused 'vset /camera/0/loc"),
        (Plugin(replies={"vset /camera/0/fov .*": "error no"}), "field of view", "warn", "it cannot be set"),
        (Plugin(replies={"vget /camera/0/location": "nonsense"}), "camera", "fail", "expected 3 numbers"),
        (Plugin(replies={"vrun ce Pause": "ok"}), "pause", "ok", "no event Pause; the plug-in's own command works"),
        (Plugin(replies={"vget /action/game/is_paused": "false"}), "pause", "fail", "the game does not pause"),
        (Plugin(replies={"vget /action/game/is_paused": "error"}), "pause", "warn", "cannot tell whether the game"),
        (Plugin(replies={"vget /camera/0/lit .*": "error no"}), "images", "fail", "text instead of an image"),
        (Plugin(drops="vget /unrealcv/version"), "plug-in", "fail", "closed the connection during 'vget /unrealcv/ver"),
    ],
)  # fmt: skip
def test_the_doctor_says_in_plain_words(plugin: Plugin, name: str, state: str, text: str) -> None:
    seen = found(plugin)
    assert seen[name][0] == state and re.search(text, seen[name][1]), seen
    if state == "fail":
        assert name == "pause" or list(seen)[-1] == name
    else:
        assert all(each[0] == "ok" for other, each in seen.items() if other not in (name, "mask colours"))


def test_missing_people_and_late_replies_are_warned_about() -> None:
    seen = found(Plugin(late="vget /camera/0/location"), expected=101, timeout_s=0.5)
    assert seen["people"] == ("warn", "AddActor made 3 people (MHMainClass_C_0 ... MHMainClass_C_2), 101 are expected")
    assert seen["late replies"][0] == "warn" and "1 replies were late" in seen["late replies"][1]


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
            cameras=2, instants=2, lights=1, interval_s=0.01, timeout_s=0.6, sensor=False,
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
