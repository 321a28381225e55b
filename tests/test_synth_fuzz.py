"""The server against bytes that nobody would send: it never crashes, never hangs, and keeps no trace."""

from __future__ import annotations

import contextlib
import gc
import logging
import os
import socket
import struct
import threading
import time
import tracemalloc
from collections.abc import Iterator
from types import SimpleNamespace

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from synth_fakes import running_simulator

from unrealperson.synth.protocol import MAGIC, MAX_REQUEST_BYTES, Server, receive_message, send_message

QUICK = settings(
    max_examples=60, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
LONG = settings(QUICK, max_examples=2000)
TEMPLATES = [
    line
    for line in (
        "vget /unrealcv/status", "vget /unrealcv/echo {}", "vget /objects", "vget /object/{}/color",
        "vset /object/{}/color {} {} {}", "vset /object/{}/location {} {} {}", "vset /object/{}/rotation {} {} {}",
        "vset /object/{}/scale {} {} {}", "vset /object/{}/name {}", "vset /object/{}/hide", "vset /object/{}/show",
        "vset /object/{}/destroy", "vset /objects/spawn {}", "vset /objects/spawn MHMainClass_C {}",
        "vset /objects/spawn_cube {}", "vget /cameras",
        "vset /camera/{}/location {} {} {}", "vset /camera/{}/pose {} {} {} {} {} {}", "vset /camera/{}/fov {}",
        "vset /camera/{}/size {} {}", "vget /camera/{}/lit {}", "vget /camera/{}/depth npy", "vset /viewmode {}",
        "vget /camera/0/annotations", "vget /camera/{}/annotations", "vrun ce {} {}", "vrun ce AddActor {} {}",
        "vexec {} {} {}", "vbp {} {}", "vbatch {}", "vget /person/{}/attributes", "vget /camera/{}/class_mask {}",
    )
]  # fmt: skip
WORDS = st.one_of(
    st.sampled_from(
        ["0", "1", "-1", "00", "", ".", "1e9", "nan", "inf", "9" * 40, "-0.0", ".5", "1" * 400 + ".5", "png", "bmp",
         "../x.png", "MHMainClass_C_0", "MHMainClass_C_1", "Sky", "Ground", "Pause", "Resume", "AddActor", "\u0661"]
    ),
    st.integers(-5, 5000).map(str),
    st.text(max_size=8),
)  # fmt: skip
COMMANDS = st.one_of(
    st.tuples(st.sampled_from(TEMPLATES), st.lists(WORDS, min_size=7, max_size=7)).map(
        lambda drawn: drawn[0].format(*drawn[1])
    ),
    st.tuples(st.sampled_from(TEMPLATES), st.integers(0, 30)).map(lambda drawn: drawn[0][: drawn[1]]),
    st.text(max_size=60),
)


@pytest.fixture
def running() -> Iterator[SimpleNamespace]:
    with running_simulator() as simulator:
        yield simulator


def connect(server: Server) -> socket.socket:
    """Connects as soon as the place of the one before is free."""
    deadline_s = time.monotonic() + 60
    while True:
        sock = socket.create_connection(("127.0.0.1", server.port), timeout=60)
        with contextlib.suppress(OSError):
            if receive_message(sock) == b"connected to unrealperson":
                return sock
        sock.close()
        assert time.monotonic() < deadline_s, "the server no longer greets"


def require_alive(server: Server) -> None:
    with connect(server) as sock:
        send_message(sock, b"5:vget /unrealcv/echo alive")
        assert receive_message(sock) == b"5:alive"


def check_bytes(running: SimpleNamespace, raw: bytes) -> None:
    with connect(running.server) as sock:
        with contextlib.suppress(OSError):
            sock.sendall(raw)
            sock.shutdown(socket.SHUT_WR)
            while sock.recv(65536):
                pass


FRAMES = st.one_of(
    st.binary(max_size=200),
    st.binary(max_size=60).map(lambda body: struct.pack("<II", MAGIC, len(body)) + body),
    st.tuples(st.integers(0, 2**32 - 1), st.binary(max_size=20)).map(
        lambda drawn: struct.pack("<II", MAGIC, drawn[0]) + drawn[1]
    ),
    st.tuples(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1)).map(lambda drawn: struct.pack("<II", *drawn)),
    COMMANDS.map(lambda text: b"0:" + text.encode())
    .map(lambda body: struct.pack("<II", MAGIC, len(body)) + body)
    .flatmap(lambda frame: st.integers(0, len(frame)).map(lambda end: frame + frame[:end])),
)


def check_command(running: SimpleNamespace, command: str) -> None:
    """A command by itself: one reply, with its id, never empty, text or an image."""
    with connect(running.server) as sock:
        send_message(sock, b"17:" + command.encode("utf-8", "surrogatepass"))
        send_message(sock, b"18:vget /unrealcv/echo next")
        reply = receive_message(sock, max_bytes=1 << 28)
        assert reply is not None and reply.startswith(b"17:") and len(reply) > 3
        assert b"Error:" not in reply[:60], reply
        assert receive_message(sock) == b"18:next"


@pytest.mark.parametrize("effort", [QUICK, pytest.param(LONG, marks=pytest.mark.check)], ids=["some", "many"])
def test_random_bytes_never_stop_the_server(running: SimpleNamespace, effort: settings) -> None:
    effort(given(raw=FRAMES)(lambda raw: check_bytes(running, raw)))()
    require_alive(running.server)


@pytest.mark.parametrize("size", [0, MAX_REQUEST_BYTES + 1, 2**28, 2**28 + 1, 2**31, 2**32 - 1])
def test_a_size_that_cannot_be_is_refused_without_waiting_for_it(running: SimpleNamespace, size: int) -> None:
    with connect(running.server) as sock:
        sock.sendall(struct.pack("<II", MAGIC, size))
        assert sock.recv(1) == b""
    require_alive(running.server)


@pytest.mark.parametrize("effort", [QUICK, pytest.param(LONG, marks=pytest.mark.check)], ids=["some", "many"])
def test_any_command_gets_one_reply(running: SimpleNamespace, effort: settings) -> None:
    effort(given(command=COMMANDS)(lambda command: check_command(running, command)))()


def cycles(running: SimpleNamespace, count: int) -> None:
    """Clients that leave politely, in the middle of a frame, without reading, and with a reset."""
    for number in range(count):
        with connect(running.server) as sock:
            if number % 4 == 1:
                sock.sendall(struct.pack("<II", MAGIC, 50) + b"half")
            elif number % 4 == 2:
                send_message(sock, b"0:vget /camera/0/lit bmp")
            elif number % 4 == 3:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


def holdings() -> tuple[int, int]:
    return len(os.listdir("/proc/self/fd")), threading.active_count()


def test_a_thousand_connections_that_drop_leak_nothing(running: SimpleNamespace) -> None:
    logging.disable()  # pytest keeps every record, which would count as memory of the server
    cycles(running, 20)
    require_alive(running.server)
    gc.collect()
    tracemalloc.start()
    try:
        before, held = tracemalloc.get_traced_memory()[0], holdings()
        cycles(running, 1000)
        require_alive(running.server)
        deadline_s = time.monotonic() + 5
        while holdings() > held and time.monotonic() < deadline_s:
            time.sleep(0.02)
        gc.collect()
        assert holdings() <= held
        assert tracemalloc.get_traced_memory()[0] - before < 200_000
    finally:
        tracemalloc.stop()
        logging.disable(logging.NOTSET)
