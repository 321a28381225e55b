"""Capture: the official client, wrapped, against good and bad servers, and child processes that misbehave."""

from __future__ import annotations

import contextlib
import os
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from synth_fakes import VIEWS, FakeRenderer, running_simulator

from unrealperson.config import SynthConfig
from unrealperson.synth import capture as module
from unrealperson.synth.capture import (
    Endpoint,
    Shard,
    capture,
    decode_array,
    decode_image,
    launch_simulator,
    parse_endpoint,
)
from unrealperson.synth.protocol import encode_image, palette, receive_message, send_message
from unrealperson.synth.sensors import Sensor

pytest.importorskip("unrealcv", reason="needs unrealcv: pip install 'unrealperson[synth]'")

SHARD = Shard(scene=1, version=1, batch=2, first=10, count=4)


def small(**changes: object) -> SynthConfig:
    values = {"people": 20, "test_people": 4, "cameras": 2, "instants": 4, "lights": 2, "width": 160, "height": 120}
    return SynthConfig(**(values | {"timeout_s": 20.0} | changes))  # type: ignore[arg-type]


@pytest.fixture
def boxes(monkeypatch: pytest.MonkeyPatch) -> Iterator[SimpleNamespace]:
    """The simulator over boxes in place of the child process, at the fakes' two views."""
    with running_simulator() as running:
        monkeypatch.setattr(module, "launch_simulator", lambda config, people: contextlib.nullcontext(running))
        monkeypatch.setattr(module, "views_of", lambda config, scene: VIEWS[: config.cameras])
        monkeypatch.setattr(module, "camera_sensors", lambda scene, count, *_: [Sensor(noise=3.0)] * count)
        yield running


class Script:
    """A server that handles each connection with the next function of a list."""

    def __init__(self, *handlers: Callable[[socket.socket], None]) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.listener.settimeout(5)
        self.address = ("127.0.0.1", self.listener.getsockname()[1])
        self.thread = threading.Thread(target=self.serve, args=(handlers,), daemon=True)
        self.thread.start()

    def serve(self, handlers: tuple[Callable[[socket.socket], None], ...]) -> None:
        for handler in handlers:
            try:
                sock, _ = self.listener.accept()
            except OSError:
                return
            sock.settimeout(5)
            with sock, contextlib.suppress(OSError, ValueError):
                handler(sock)

    def __enter__(self) -> Script:
        return self

    def __exit__(self, *exception: object) -> None:
        self.thread.join(10)
        self.listener.close()
        assert not self.thread.is_alive()


def answering(*, silent_on: str = "", delay_s: float = 0.0, error_on: str = "") -> Callable[[socket.socket], None]:
    def handle(sock: socket.socket) -> None:
        send_message(sock, b"connected to script")
        while (request := receive_message(sock)) is not None:
            number, command = request.decode().split(":", 1)
            if silent_on and silent_on in command:
                time.sleep(delay_s)
                continue
            body = "error broken" if error_on and error_on in command else command.split(" ")[-1]
            send_message(sock, f"{number}:{body}".encode())

    return handle


def test_a_late_reply_replaces_the_client_and_the_command_is_sent_again() -> None:
    with Script(answering(silent_on="slow"), answering()) as script:
        with Endpoint(script.address, timeout_s=0.5) as endpoint:
            assert endpoint.request("vget a", "vget b") == ["a", "b"]
            first = endpoint._client
            assert endpoint.request("vget one", "vget slow", "vget three") == ["one", "slow", "three"]
            assert endpoint._client is not first
            assert endpoint.request("vset d") == ["d"]


def test_a_late_reply_is_never_taken_for_another() -> None:
    def late(sock: socket.socket) -> None:
        send_message(sock, b"connected to script")
        echo = receive_message(sock)
        assert echo is not None
        send_message(sock, echo.split(b":")[0] + b":" + echo.split(b" ")[-1])
        receive_message(sock)
        assert receive_message(sock) is None, "the client hangs up after its limit"
        send_message(sock, b"1:stale")

    with Script(late, answering()) as script, Endpoint(script.address, timeout_s=1.0) as endpoint:
        assert endpoint.request("vget slow") == ["slow"]
        assert endpoint.request("vget next") == ["next"]


def test_replies_that_come_together_with_the_limit_leave_no_dead_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    with Script(answering(), answering()) as script, Endpoint(script.address, timeout_s=1.0) as endpoint:
        first = endpoint._client
        request = first.request

        def past_the_limit(commands: list[str]) -> list[str]:
            replies = request(commands)
            time.sleep(1.5)
            return replies

        monkeypatch.setattr(first, "request", past_the_limit)
        assert endpoint.request("vget slow") == ["slow"]
        assert endpoint._client is not first
        assert endpoint.request("vget next") == ["next"]


def test_an_event_is_not_fired_twice() -> None:
    with Script(answering(silent_on="AddActor"), answering()) as script:
        with Endpoint(script.address, timeout_s=0.4) as endpoint:
            with pytest.raises(RuntimeError, match=r"sent no reply to 'vrun ce AddActor' in 0.4 s; it may or may not"):
                endpoint.request("vrun ce AddActor")
            assert endpoint.request("vget a") == ["a"]


def test_a_server_that_stays_late_is_given_up() -> None:
    with Script(answering(silent_on="slow"), answering(silent_on="slow")) as script:
        with Endpoint(script.address, timeout_s=0.4) as endpoint:
            with pytest.raises(
                RuntimeError, match=r"sent no reply to 'vget slow' in 0.4 s, twice; raise synth.timeout_s"
            ):
                endpoint.request("vget slow")


def test_error_replies_name_the_command() -> None:
    with Script(answering(error_on="bad")) as script, Endpoint(script.address, timeout_s=5) as endpoint:
        with pytest.raises(RuntimeError, match="the endpoint refused 'vget bad': error broken"):
            endpoint.request("vget good", "vget bad")
        assert endpoint.request("vget after") == ["after"]


def test_a_server_that_dies_is_noticed_at_once() -> None:
    def die(sock: socket.socket) -> None:
        send_message(sock, b"connected to script")
        echo = receive_message(sock)
        assert echo is not None
        send_message(sock, echo.split(b":")[0] + b":" + echo.split(b" ")[-1])
        receive_message(sock)

    with Script(die) as script, Endpoint(script.address, timeout_s=30) as endpoint:
        start = time.monotonic()
        with pytest.raises(RuntimeError, match="closed the connection during 'vget a'"):
            endpoint.request("vget a")
        assert time.monotonic() - start < 5.0


@pytest.mark.parametrize(
    ("handler", "message"),
    [
        (lambda sock: receive_message(sock), "without a greeting|no greeting"),
        (lambda sock: sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), "without a greeting|no greeting"),
        (answering(error_on="echo"), "it does not echo|without a greeting|no greeting"),
    ],
)
def test_what_is_no_server_is_refused_in_time(handler: Callable[[socket.socket], None], message: str) -> None:
    with Script(handler) as script:
        start = time.monotonic()
        with pytest.raises(RuntimeError, match=rf"cannot use the UnrealCV server at 127.0.0.1:\d+: ({message})"):
            Endpoint(script.address, timeout_s=0.6)
        assert time.monotonic() - start < 5.0


def test_nobody_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with pytest.raises(RuntimeError, match=f"at 127.0.0.1:{port}: nothing listens there; is the game running"):
        Endpoint(("127.0.0.1", port), timeout_s=0.3)


@pytest.mark.parametrize(
    ("text", "expected"), [("localhost:9000", ("localhost", 9000)), ("/tmp/a.socket", "/tmp/a.socket")]
)
def test_endpoints_are_parsed(text: str, expected: object) -> None:
    assert parse_endpoint(text) == expected


@pytest.mark.parametrize("text", ["localhost", ":9000", "host:0", "host:99999", "host:port"])
def test_bad_endpoints_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"an endpoint is host:port or the path of a Unix socket"):
        parse_endpoint(text)


def test_images_decode_without_alpha() -> None:
    image = np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)
    for form in ("png", "bmp"):
        assert np.array_equal(decode_image(encode_image(image, form)), image)
    with pytest.raises(RuntimeError, match="sent text instead of an image: 'ok'"):
        decode_image("ok")
    with pytest.raises(RuntimeError, match="5 bytes that are no PNG or BMP"):
        decode_image(b"\x89PNG\xff")


def test_all_cameras_look_at_one_instant(boxes: SimpleNamespace) -> None:
    frames = list(capture(small(), SHARD))
    assert [(frame.camera, frame.number) for frame in frames] == [(d, f) for f in range(8, 12) for d in (1, 2)]
    assert [frame.light for frame in frames] == [0, 0, 0, 0, 1, 1, 1, 1]
    assert [frame.time_s for frame in frames[::2]] == [16.0, 18.0, 20.0, 22.0]
    assert boxes.world.time_s == 8.0 and list(boxes.world.actors) == [f"MHMainClass_C_{p}" for p in range(10, 14)]
    for frame in frames:
        assert (frame.scene, frame.version) == (1, 1) and frame.image.shape == frame.mask.shape == (120, 160, 3)
        assert frame.colors == {10 + i: palette()[2 + i] for i in range(4)}
        assert frame.view == VIEWS[frame.camera - 1]
        seen = {person for person, color in frame.colors.items() if (frame.mask == color).all(-1).any()}
        assert seen == {person for person, truth in frame.people.items() if truth["pixels"]} != set()


def test_frames_are_a_function_of_config_and_shard(boxes: SimpleNamespace) -> None:
    first, again = list(capture(small(), SHARD)), list(capture(small(), SHARD))
    for one, two in zip(first, again, strict=True):
        assert np.array_equal(one.mask[..., :] > 0, two.mask > 0) and one.colors == two.colors
    plain = list(capture(small(sensor=False), SHARD))
    assert not np.array_equal(first[0].image, plain[0].image)


def test_one_frame_alone_is_the_same(boxes: SimpleNamespace) -> None:
    whole = {(frame.number, frame.camera): frame for frame in capture(small(hours="dusk"), SHARD)}
    (alone,) = capture(small(hours="dusk"), SHARD, only=(10, 2))
    assert (alone.number, alone.camera, alone.hours) == (10, 2, "dusk")
    other = whole[10, 2]
    assert np.array_equal(alone.image, other.image) and alone.people == other.people and alone.time_s == other.time_s


def test_frames_tell_looks_camera_and_objects(boxes: SimpleNamespace) -> None:
    frame = next(capture(small(keep_frames=True), SHARD))
    assert frame.attributes == {number: {"top": "shirt", "height_m": 1.8} for number in range(10, 14)}
    assert frame.camera_pose is not None
    assert frame.camera_pose["fov_deg"] == frame.view.fov_deg and frame.camera_pose["principal_px"] == [80, 60]
    assert 0 <= frame.camera_pose["distortion"] <= 0.2
    assert all(not name.startswith("MH") and color != (0, 0, 0) for name, color in frame.objects.items())
    plain = next(capture(small(), SHARD))
    assert plain.objects == {} and plain.depth is None


def test_kept_frames_have_depth_that_bends_with_the_mask(
    boxes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch
) -> None:
    def slope(self: FakeRenderer, *_: object) -> np.ndarray:
        depth_m = np.linspace(1, 90, self.width * self.height, dtype=np.float32).reshape(self.height, self.width)
        depth_m[:5] = np.inf
        return depth_m

    render = FakeRenderer.render
    monkeypatch.setattr(FakeRenderer, "render", lambda *a: slope(*a) if a[3] == "depth" else render(*a))
    straight = next(capture(small(keep_frames=True, sensor=False), SHARD))
    assert straight.depth is not None and straight.depth.shape == straight.mask.shape[:2]
    assert not straight.depth[:5].any() and straight.depth[-1, -1] == 90 * 256
    monkeypatch.setattr(module, "camera_sensors", lambda scene, count, *_: [Sensor(distortion=0.08)] * count)
    bent = next(capture(small(keep_frames=True), SHARD))
    both = Sensor(distortion=0.08).bend(np.repeat((straight.depth >> 8).astype(np.uint8)[..., None], 3, 2), flat=True)
    assert bent.depth is not None and np.array_equal(bent.depth >> 8, both[..., 0])
    assert not np.array_equal(bent.depth, straight.depth)


@pytest.mark.parametrize(
    ("reply", "message"),
    [("error", "text instead of an array: 'error'"), (b"PNG", "3 bytes that are no .npy"), (b"", "0 bytes")],
)
def test_what_is_no_array_is_named(reply: str | bytes, message: str) -> None:
    with pytest.raises(RuntimeError, match=message):
        decode_array(reply)


def test_light_steps_are_spread_over_the_instants(boxes: SimpleNamespace) -> None:
    for instants, lights in ((4, 4), (4, 1), (3, 2), (2, 5), (5, 3)):
        frames = list(capture(small(instants=instants, lights=lights, cameras=1), SHARD))
        expected = [i * lights // instants for i in range(instants)]
        assert [frame.light for frame in frames] == expected
        assert boxes.world.light == (expected[-1] if lights > 1 else boxes.world.light)


def test_a_live_endpoint_is_driven_by_the_same_code(boxes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr(module.time, "sleep", waits.append)
    config = small(endpoint=f"127.0.0.1:{boxes.server.port}", instants=2, interval_s=1.5)
    frames = list(capture(config, SHARD))
    assert len(frames) == 4 and waits.count(1.5) == 2
    assert all(frame.people == {} for frame in frames)
    assert set(frames[0].colors) == {0, 1, 2}


def test_colours_that_cannot_work_are_refused(boxes: SimpleNamespace, monkeypatch: pytest.MonkeyPatch) -> None:
    objects = boxes.simulator.objects
    monkeypatch.setattr(objects, "_annotate", lambda name: objects.colors.update({name: (9, 9, 9)}))
    with pytest.raises(RuntimeError, match=r"shard v1.1_00002: mask colours of people must differ and not be black"):
        list(capture(small(), SHARD))
    monkeypatch.setattr(boxes.simulator.game, "_add_people", lambda arguments: None)
    with pytest.raises(RuntimeError, match="AddActor made no object whose name starts with MH"):
        list(capture(small(), SHARD))


def script(text: str) -> list[str]:
    return [sys.executable, "-c", text]


def test_child_processes_get_their_environment_and_end_with_the_context() -> None:
    text = """
import json, os, sys
names = ["LP_NUM_THREADS", "LP_NATIVE_VECTOR_WIDTH", "OMP_NUM_THREADS"]
print("some library's greeting", flush=True)
print(json.dumps({"port": int("".join(os.environ[name] for name in names))}), flush=True)
sys.stdin.read()
"""
    with launch_simulator(small(), command=script(text)) as child:
        assert child.address == ("127.0.0.1", 12561)
        assert Path(f"/proc/{child.pid}").exists()
    assert not Path(f"/proc/{child.pid}").exists()


@pytest.mark.parametrize(
    ("text", "timeout_s", "message"),
    [
        (
            "import sys; sys.exit('no EGL here')",
            20.0,
            "did not start: it ended with status 1; its last words: no EGL here",
        ),
        ("import sys, time; sys.stdin.read()", 0.4, "was not ready within 0.4 s: it still runs; its last words: none"),
    ],
)
def test_a_child_that_fails_or_is_late_is_explained(text: str, timeout_s: float, message: str) -> None:
    with pytest.raises(RuntimeError, match=message), launch_simulator(small(timeout_s=timeout_s), command=script(text)):
        pass


def test_a_child_dies_with_its_parent() -> None:
    parent = f"""
import subprocess, sys, os
sys.path[:0] = {sys.path!r}
from unrealperson.config import SynthConfig
from unrealperson.synth import capture
child = "import os, sys; print('{{\\"port\\": 1}}', flush=True); sys.stdin.read()"
with capture.launch_simulator(SynthConfig(), command=[sys.executable, "-c", child]) as process:
    print(process.pid, flush=True)
    os._exit(9)
"""
    import subprocess

    done = subprocess.run(script(parent), capture_output=True, text=True, timeout=60)
    assert done.returncode == 9, done.stderr
    deadline_s = time.monotonic() + 10
    while os.path.exists(f"/proc/{int(done.stdout)}") and time.monotonic() < deadline_s:
        if Path(f"/proc/{int(done.stdout)}/stat").read_text().split()[2] == "Z":
            break
        time.sleep(0.05)
    else:
        assert not os.path.exists(f"/proc/{int(done.stdout)}")
