"""Framing, sessions and the palette, met over raw sockets."""

from __future__ import annotations

import io
import socket
import stat
import struct
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from unrealperson.synth.protocol import (
    MAGIC,
    MAX_REQUEST_BYTES,
    CommandError,
    Dispatcher,
    ProtocolError,
    Server,
    encode_image,
    palette,
    receive_message,
    send_message,
    unix_socket_path,
)


@pytest.fixture
def serve() -> Iterator[Callable[..., Server]]:
    """Starts servers that run in threads of their own and end with the test."""
    running = []

    def start(run: Callable[[str], bytes] = lambda command: command.encode(), **options: object) -> Server:
        server = Server(run, **options)  # type: ignore[arg-type]
        thread = threading.Thread(target=server.serve)
        thread.start()
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join(10)
        server.close()
        assert not thread.is_alive()


def connect(server: Server) -> socket.socket:
    sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
    assert receive_message(sock) == b"connected to unrealperson"
    return sock


def test_palette_is_unrealcvs() -> None:
    colors = palette()
    first = [(0, 0, 0), (0, 0, 255), (0, 255, 0), (0, 255, 255), (255, 0, 0), (255, 0, 255), (255, 255, 0)]
    first += [(255, 255, 255), (0, 0, 127), (0, 255, 127), (255, 0, 127), (255, 255, 127)]
    assert list(colors[:12]) == first
    assert len(colors) == len(set(colors)) == 32768


@pytest.mark.parametrize(("count", "gap"), [(4913, 15), (32768, 7)])
def test_palette_colours_never_lie_within_the_croppers_tolerance(count: int, gap: int) -> None:
    values = np.array(sorted({channel for color in palette()[:count] for channel in color}))
    assert np.diff(values).min() >= gap


def test_a_message_may_arrive_byte_by_byte() -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(10)
        raw = b"\xc1\x83\x2b\x9e" + struct.pack("<I", 3) + b"abc"
        threading.Thread(target=lambda: [theirs.sendall(raw[i : i + 1]) for i in range(len(raw))]).start()
        assert receive_message(ours) == b"abc"
        theirs.shutdown(socket.SHUT_WR)
        assert receive_message(ours) is None


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"HTTP/1.1", "must start with 0x9E2B83C1, got 0x50545448"),
        (struct.pack("<II", MAGIC, 0), "must hold 1 ... 1048576 bytes, got 0"),
        (struct.pack("<II", MAGIC, 0xFFFFFFFF), "bytes, got 4294967295"),
        (struct.pack("<II", MAGIC, MAX_REQUEST_BYTES + 1), "bytes, got 1048577"),
        (struct.pack("<I", MAGIC), "closed 4 bytes before the end"),
        (struct.pack("<II", MAGIC, 5), "closed before a message of 5 bytes"),
        (struct.pack("<II", MAGIC, 5) + b"abc", "closed 2 bytes before the end"),
    ],
)
def test_malformed_messages_are_refused(raw: bytes, message: str) -> None:
    ours, theirs = socket.socketpair()
    with ours, theirs:
        theirs.sendall(raw)
        theirs.close()
        with pytest.raises(ProtocolError, match=message):
            receive_message(ours)


@pytest.mark.parametrize(
    "raw",
    [b"HTTP/1.1", struct.pack("<II", MAGIC, 0), struct.pack("<II", MAGIC, 1 << 31), b"\xc1\x83\x2b\x9e\2\0\0\0hi"],
)
def test_a_malformed_client_is_dropped_and_the_next_is_served(serve: Callable[..., Server], raw: bytes) -> None:
    server = serve()
    with connect(server) as bad:
        bad.sendall(raw)
        assert bad.recv(1) == b""
    with connect(server) as good:
        send_message(good, b"0:hello")
        assert receive_message(good) == b"0:hello"


def test_replies_come_in_order_with_the_ids_that_were_sent(serve: Callable[..., Server]) -> None:
    seen_in: set[int | None] = set()

    def run(command: str) -> bytes:
        seen_in.add(threading.get_ident())
        return b"\x89" + command.encode() if command.startswith("image") else command.encode()

    server = serve(run)
    with connect(server) as sock:
        ids = [7, 8, 3, 123456789012345678901234567890]
        for number in ids:
            send_message(sock, b"%d:%s %d" % (number, b"image" if number == 8 else b"text: a", number))
        assert receive_message(sock) == b"7:text: a 7"
        assert receive_message(sock) == b"8:\x89image 8"
        assert receive_message(sock) == b"3:text: a 3"
        assert receive_message(sock) == b"%d:text: a %d" % (ids[3], ids[3])
    assert len(seen_in) == 1


def test_a_batch_is_sent_whole_before_any_reply_is_read(serve: Callable[..., Server]) -> None:
    server = serve(lambda command: b"x" * 200_000)
    with connect(server) as sock:
        for number in range(100):
            send_message(sock, b"%d:%s" % (number, b"y" * 20_000))
        for number in range(100):
            reply = receive_message(sock, max_bytes=1 << 20)
            assert reply is not None and reply.startswith(b"%d:x" % number) and len(reply) > 200_000


def test_second_client_is_closed_at_once_and_the_place_is_free_again_after_the_first(
    serve: Callable[..., Server],
) -> None:
    server = serve()
    first = connect(server)
    assert server.connected
    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as second:
        start = time.monotonic()
        assert second.recv(100) == b""
        assert time.monotonic() - start < 1.0
    send_message(first, b"5:still here")
    assert receive_message(first) == b"5:still here"
    for _ in range(20):
        first.close()
        first = connect(server)
    first.close()


def test_commands_sent_before_leaving_are_carried_out_but_not_read_ones_are_skipped(
    serve: Callable[..., Server],
) -> None:
    ran, gate = [], threading.Event()

    def run(command: str) -> bytes:
        gate.wait(10)
        ran.append(command)
        return b"ok"

    server = serve(run)
    with connect(server) as sock:
        for number, command in enumerate((b"vset a", b"vget b", b"vset c")):
            send_message(sock, b"%d:%s" % (number, command))
    with connect(server) as sock:
        gate.set()
        send_message(sock, b"0:last")
        assert receive_message(sock) == b"0:ok"
    assert ran == ["vset a", "vset c", "last"]


def test_unix_socket_is_private_and_removed(
    serve: Callable[..., Server], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    server = serve(unix=True)
    path = server.unix_path
    assert path == unix_socket_path(server.port) == tmp_path / f"unrealcv_{server.port}.socket"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(10)
        sock.connect(str(path))
        assert receive_message(sock) == b"connected to unrealperson"
        send_message(sock, b"0:hi")
        assert receive_message(sock) == b"0:hi"
    server.close()
    assert not path.exists()


def test_unix_socket_takes_only_a_path_that_is_its_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    path = unix_socket_path(port)
    path.write_text("precious")
    with pytest.raises(RuntimeError, match="is not a socket of this user"):
        Server(str.encode, port=port, unix=True)
    assert path.read_text() == "precious"
    path.unlink()
    with socket.socket(socket.AF_UNIX) as stale:
        stale.bind(str(path))
    with Server(str.encode, port=port, unix=True):
        assert path.exists()
        with pytest.raises(RuntimeError, match="is served by another process"):
            Server(str.encode, unix=True)._listen_unix(path)
        path.unlink()
        path.write_text("another's")
    assert path.read_text() == "another's"


def test_a_taken_port_is_named() -> None:
    with Server(str.encode) as server, pytest.raises(RuntimeError, match=f"cannot listen on 127.0.0.1:{server.port}"):
        Server(str.encode, port=server.port)


def test_a_long_false_number_is_refused_at_once() -> None:
    dispatcher = Dispatcher()
    dispatcher.add("vset /camera/[uint]/pose [float] [float]", lambda *arguments: None, "")
    start_s = time.monotonic()
    assert dispatcher.run("vset /camera/0/pose 1 " + "1" * 200_000 + "x").startswith(b"error No handler found")
    assert time.monotonic() - start_s < 2.0


def test_dispatcher_follows_the_templates() -> None:
    dispatcher = Dispatcher()
    calls: list[tuple[object, ...]] = []

    def note(*arguments: object) -> None:
        calls.append(arguments)

    dispatcher.add("vset /camera/[uint]/fov [float]", note, "")
    dispatcher.add("vget /thing/[str]", lambda name: "" if name == "empty" else f"first {name}", "")
    dispatcher.add("vget /thing/[str]", lambda name: "" if name == "empty" else f"last {name}", "what a thing is")
    dispatcher.add("vget /bytes", lambda: b"\x89PNG", "")

    def refuse() -> None:
        raise CommandError("Can not find object")

    def fail() -> None:
        raise ZeroDivisionError("by zero")

    dispatcher.add("vset /refuse", refuse, "")
    dispatcher.add("vset /fail", fail, "")
    cases = {
        "vset /camera/3/fov -1.5": b"ok",
        "vset /camera/12/fov .5   ": b"ok",
        "vset /camera//fov 1": b"error Argument Invalid",
        "vset /camera/0/fov 1e5": b"error No handler found for URI 'vset /camera/0/fov 1e5'",
        "vget /camera/0/fov 1": b"error No handler found for URI 'vget /camera/0/fov 1'",
        "x vset /camera/0/fov 1": b"error No handler found for URI 'x vset /camera/0/fov 1'",
        "vget /thing/a b": b"error No handler found for URI 'vget /thing/a b'",
        "vget /thing/a": b"last a",
        "vget /thing/empty": b" ",
        "vget /bytes": b"\x89PNG",
        "vset /refuse": b"error Can not find object",
        "": b"error No handler found for URI ''",
    }
    assert {command: dispatcher.run(command) for command in cases} == cases
    assert calls == [(3, -1.5), (12, 0.5)]
    assert dispatcher.run("vset /fail") == b"error ZeroDivisionError: by zero"
    templates = dispatcher.run("vget /unrealcv/commands").decode().splitlines()
    assert "vget /unrealcv/commands" in templates and "vset /camera/[uint]/fov [float]" in templates
    assert "vget /thing/[str]\nwhat a thing is" in dispatcher.run("vget /unrealcv/help").decode()


def test_images_are_sent_as_unrealcv_sends_them() -> None:
    image = np.arange(4 * 6 * 3, dtype=np.uint8).reshape(4, 6, 3)
    png, bmp, npy = (encode_image(image, form) for form in ("png", "bmp", "npy"))
    decoded = Image.open(io.BytesIO(png))
    assert decoded.mode == "RGBA" and (np.asarray(decoded)[..., 3] == 255).all()
    assert np.array_equal(np.asarray(decoded)[..., :3], image)
    width, height, _, bits = struct.unpack("<iiHH", bmp[18:30])
    assert (width, height, bits) == (6, -4, 32) and bmp[54:58] == bytes([2, 1, 0, 255])
    assert np.array_equal(np.asarray(Image.open(io.BytesIO(bmp)).convert("RGB")), image)
    assert np.array_equal(np.load(io.BytesIO(npy))[..., :3], image)
    for black in (encode_image(np.zeros((4, 4, 3), np.uint8), form) for form in ("png", "bmp", "npy")):
        with pytest.raises(UnicodeDecodeError):
            black.decode()
    depth = np.ones((2, 3), np.float32)
    assert np.array_equal(np.load(io.BytesIO(encode_image(depth, "npy"))), depth)
    with pytest.raises(ValueError, match="only npy holds float32 values, got png"):
        encode_image(depth, "png")
    with pytest.raises(ValueError, match="form must be png, bmp or npy, got 'jpg'"):
        encode_image(image, "jpg")
