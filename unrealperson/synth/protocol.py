"""The UnrealCV server side: framing, sessions, command templates, mask palette and image formats.

One reader thread a session queues requests; whoever calls `Server.serve` runs them in order and
writes the replies, so that handlers may touch an OpenGL context that belongs to one thread.

Source: wire format and replies of unrealcv/unrealcv (C++ branches 4.24 and 5.2) and of its Python client 1.3.2.
"""

from __future__ import annotations

import contextlib
import functools
import io
import itertools
import os
import queue
import re
import select
import socket
import stat
import struct
import tempfile
import threading
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from unrealperson.log import get_logger

MAGIC = 0x9E2B83C1
"""First four bytes of every message, little-endian."""

MAX_REQUEST_BYTES = 1 << 20
"""Longest request; each command of a batch is a message of its own."""

PALETTE_SIZE = 32768
"""Distinct object-mask colours."""

MAX_QUEUED_REQUESTS = 65536
SEND_TIMEOUT_S = 60

Handler = Callable[..., str | bytes | None]

_logger = get_logger(__name__)
_header = struct.Struct("<II")
_request = re.compile(rb"(\d+):(.*)", re.DOTALL)
_placeholders = {
    "str": (r"([^ ]*)", str),
    "uint": (r"(\d*)", int),
    # No two ways to read one text: a megabyte of digits must not take a search of its square.
    "float": (r"([-+]?(?:\d*[.]\d+|\d+))", float),
}


class ProtocolError(ValueError):
    """The other side sent bytes that are no UnrealCV message."""


class CommandError(ValueError):
    """A command that cannot be carried out; its text is sent as `error <text>`."""


def send_message(sock: socket.socket, payload: bytes) -> None:
    """Sends one framed message with a single call, as clients 1.0 need it.

    Args:
        sock: connected stream socket.
        payload: the message, not empty.
    """
    sock.sendall(_header.pack(MAGIC, len(payload)) + payload)


def receive_message(sock: socket.socket, *, max_bytes: int = MAX_REQUEST_BYTES) -> bytes | None:
    """Reads one framed message.

    Args:
        sock: connected stream socket.
        max_bytes: longest payload that is accepted.

    Returns:
        The payload, or None where the other side closed between two messages.

    Raises:
        ProtocolError: wrong magic number, size 0 or above `max_bytes`, or closed inside a message.
    """
    header = _receive_exactly(sock, _header.size)
    if header is None:
        return None
    magic, size = _header.unpack(header)
    if magic != MAGIC:
        raise ProtocolError(f"a message must start with 0x{MAGIC:08X}, got 0x{magic:08X}; is the peer an UnrealCV one?")
    if not 0 < size <= max_bytes:
        raise ProtocolError(f"a message must hold 1 ... {max_bytes} bytes, got {size}")
    payload = _receive_exactly(sock, size)
    if payload is None:
        raise ProtocolError(f"the connection was closed before a message of {size} bytes")
    return payload


def _receive_exactly(sock: socket.socket, size: int) -> bytes | None:
    parts: list[bytes] = []
    missing = size
    while missing:
        part = sock.recv(min(missing, 1 << 16))
        if not part:
            if parts:
                raise ProtocolError(f"the connection was closed {missing} bytes before the end of a message")
            return None
        parts.append(part)
        missing -= len(part)
    return b"".join(parts)


@functools.cache
def palette() -> tuple[tuple[int, int, int], ...]:
    """The fixed object-mask colours in annotation order; the first is black, all differ.

    Returns:
        32768 colours (r, g, b).

    Source: UnrealCV's colour generator: each round adds one channel value and every colour that
    needs it, grouped by the channels that hold it in the order B, G, GB, R, RB, RG, RGB.
    """
    ladder = [0, 255]
    for step in (128, 64, 32, 16, 8):
        ladder += range(step - 1, 255, 2 * step)
    ladder = ladder[:32]
    colors = []
    for newest in range(len(ladder)):
        for fixed in range(1, 8):
            choices = [[newest] if fixed & bit else range(newest) for bit in (4, 2, 1)]
            colors += [(ladder[r], ladder[g], ladder[b]) for r, g, b in itertools.product(*choices)]
    return tuple(colors)


def encode_image(image: np.ndarray, form: str) -> bytes:
    """Encodes an image as UnrealCV sends it.

    Args:
        image: [H, W, 3] uint8 RGB, or [H, W] float32 for npy.
        form: `png` (RGBA, alpha 255), `bmp` (32 bits, BGRA, negative height so that it never decodes as text) or
            `npy` (RGBA uint8, or the float32 values).

    Raises:
        ValueError: unknown form, or a float image that is not npy.
    """
    if image.dtype == np.uint8:
        opaque = np.full((*image.shape[:2], 4), 255, np.uint8)
        opaque[..., :3] = image[..., ::-1] if form == "bmp" else image
        image = opaque
    elif form != "npy":
        raise ValueError(f"only npy holds {image.dtype} values, got {form}")
    stream = io.BytesIO()
    if form == "png":
        Image.fromarray(image).save(stream, "png", compress_level=1)
    elif form == "npy":
        np.save(stream, image, allow_pickle=False)
    elif form == "bmp":
        height, width = image.shape[:2]
        size = 4 * width * height
        stream.write(struct.pack("<2sIHHI", b"BM", 54 + size, 0, 0, 54))
        stream.write(struct.pack("<IiiHHIIiiII", 40, width, -height, 1, 32, 0, size, 0, 0, 0, 0))
        stream.write(image.data)
    else:
        raise ValueError(f"form must be png, bmp or npy, got {form!r}")
    return stream.getvalue()


@dataclass(frozen=True)
class _Command:
    template: str
    pattern: re.Pattern[str]
    kinds: tuple[type, ...]
    handler: Handler
    help: str


class Dispatcher:
    """Finds and runs the handler of a command text.

    A template is literal text with `[str]`, `[uint]` and `[float]`; the handler gets one argument for
    each. Where several templates fit, the one added last wins.
    """

    def __init__(self) -> None:
        self._commands: list[_Command] = []
        self.add("vget /unrealcv/commands", self._list_commands, "Templates of all commands, one a line")
        self.add("vget /unrealcv/help", self._list_help, "Templates of all commands with their help lines")

    def add(self, template: str, handler: Handler, help_text: str) -> None:
        """Adds a command.

        Args:
            template: such as `vset /camera/[uint]/fov [float]`.
            handler: gets str, int or float for each placeholder; returns text, bytes, or None for `ok`.
                A `ValueError` becomes an `error` reply.
            help_text: one line.
        """
        pattern, kinds = "", []
        for part in re.split(r"(\[\w+\])", template):
            if part.startswith("["):
                expression, kind = _placeholders[part[1:-1]]
                pattern += expression
                kinds.append(kind)
            else:
                pattern += re.escape(part)
        self._commands.append(_Command(template, re.compile(pattern + " *"), tuple(kinds), handler, help_text))

    def run(self, command: str) -> bytes:
        """Runs one command; whatever goes wrong becomes an `error` reply.

        Args:
            command: text without the request's number.

        Returns:
            The reply's body, never empty.
        """
        for known in reversed(self._commands):
            found = known.pattern.fullmatch(command)
            if found:
                return self._call(known, found.groups())
        return f"error No handler found for URI '{command}'".encode()

    def _call(self, command: _Command, texts: tuple[str, ...]) -> bytes:
        try:
            values = [kind(text) for kind, text in zip(command.kinds, texts, strict=True)]
        except ValueError:
            return b"error Argument Invalid"
        try:
            reply = command.handler(*values)
        except ValueError as error:
            return f"error {error}".encode()
        except Exception as error:
            _logger.exception("command '%s' failed", command.template)
            return f"error {type(error).__name__}: {error}".encode()
        if reply is None:
            return b"ok"
        return (reply.encode() if isinstance(reply, str) else reply) or b" "

    def _list_commands(self) -> str:
        return "\n".join(command.template for command in self._commands)

    def _list_help(self) -> str:
        return "\n".join(f"{command.template}\n{command.help}" for command in self._commands)


class _Session:
    """One connected client: its reader thread fills the server's queue."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.closed = False

    def close(self) -> None:
        self.closed = True
        with contextlib.suppress(OSError):
            self.sock.shutdown(socket.SHUT_RDWR)
        self.sock.close()

    def has_left(self) -> bool:
        """Whether the peer has closed its side, even where unread requests wait."""
        poll = select.poll()
        try:
            poll.register(self.sock, select.POLLRDHUP)
        except (OSError, ValueError):
            return True
        return bool(poll.poll(0))


def unix_socket_path(port: int) -> Path:
    """Where UnrealCV servers and clients of this machine expect the Unix socket of a port.

    Args:
        port: the TCP port.
    """
    return Path(tempfile.gettempdir()) / f"unrealcv_{port}.socket"


class Server:
    """An UnrealCV server on a TCP port and perhaps a Unix socket; one client at a time.

    Use it as a context manager: listening starts on construction and ends on exit. `serve` runs the
    commands in the thread that calls it.
    """

    def __init__(
        self,
        run: Callable[[str], bytes],
        *,
        name: str = "unrealperson",
        host: str = "127.0.0.1",
        port: int = 0,
        unix: bool = False,
    ) -> None:
        """Starts to listen.

        Args:
            run: gives the body of the reply to a command text.
            name: project name in the greeting.
            host: address to listen on.
            port: TCP port, 0 for a free one.
            unix: listen on the Unix socket `unix_socket_path(port)` too (mode 0600).

        Raises:
            RuntimeError: the port or the path is taken.
        """
        self.port = port
        self.unix_path: Path | None = None
        self._run = run
        self._greeting = f"connected to {name}".encode()
        self._requests: queue.Queue[tuple[_Session, bytes, bytes] | None] = queue.Queue(MAX_QUEUED_REQUESTS)
        self._session: _Session | None = None
        self._changed = threading.Condition()
        self._stopped = False
        self._unix_inode: int | None = None
        self._listeners: list[socket.socket] = []
        try:
            self._listen_tcp(host, port)
            if unix:
                self._listen_unix(unix_socket_path(self.port))
        except BaseException:
            self.close()
            raise
        for listener in self._listeners:
            threading.Thread(target=self._accept, args=(listener,), daemon=True).start()

    def __enter__(self) -> Server:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    @property
    def connected(self) -> bool:
        """Whether a client is connected."""
        return self._session is not None

    def serve(self, *, idle: Callable[[], bool] = lambda: False) -> None:
        """Runs requests in order and answers them until `stop` is called.

        Args:
            idle: does a piece of work while no request waits; false when there is none left.
        """
        while (request := self._next_request(idle)) is not None:
            session, number, command = request
            if session.closed and command.startswith(b"vget"):
                continue
            try:
                body = self._run(command.decode())
            except UnicodeDecodeError:
                body = b"error Argument Invalid"
            if session.closed:
                continue
            try:
                send_message(session.sock, number + b":" + body)
            except OSError as error:
                _logger.info("the client went away before its reply: %s", error)
                self._drop(session)

    def _next_request(self, idle: Callable[[], bool]) -> tuple[_Session, bytes, bytes] | None:
        while self._requests.empty() and idle():
            pass
        return self._requests.get()

    def stop(self) -> None:
        """Lets `serve` return once what is already queued has run; any thread may call it."""
        self._requests.put(None)

    def close(self) -> None:
        """Closes every socket and removes the Unix socket this server made."""
        self._stopped = True
        for listener in self._listeners:
            with contextlib.suppress(OSError):
                listener.shutdown(socket.SHUT_RDWR)
            listener.close()
        if self._session is not None:
            self._drop(self._session)
        if self._unix_inode is not None and self.unix_path is not None:
            with contextlib.suppress(FileNotFoundError):
                if self.unix_path.lstat().st_ino == self._unix_inode:
                    self.unix_path.unlink()
            self._unix_inode = None

    def _listen_tcp(self, host: str, port: int) -> None:
        listener = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        self._listeners.append(listener)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((host, port))
            listener.listen(8)
        except (OSError, OverflowError) as error:
            raise RuntimeError(f"cannot listen on {host}:{port}: {error}; choose another port, or 0") from error
        self.port = listener.getsockname()[1]

    def _listen_unix(self, path: Path) -> None:
        _remove_stale_socket(path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._listeners.append(listener)
        mask = os.umask(0o177)
        try:
            listener.bind(str(path))
        except OSError as error:
            raise RuntimeError(f"cannot make the Unix socket {path}: {error}") from error
        finally:
            os.umask(mask)
        self.unix_path, self._unix_inode = path, path.lstat().st_ino
        listener.listen(8)

    def _accept(self, listener: socket.socket) -> None:
        while not self._stopped:
            try:
                sock, _ = listener.accept()
            except OSError:
                return
            session = _Session(sock)
            if not self._admit(session):
                _logger.info("a second client was refused")
                session.close()
                continue
            threading.Thread(target=self._read, args=(session,), daemon=True).start()

    def _admit(self, session: _Session) -> bool:
        """Takes the only place, waiting for it where its holder has already hung up."""
        with self._changed:
            current = self._session
            if current is not None and current.has_left():
                self._changed.wait_for(lambda: self._session is not current, timeout=SEND_TIMEOUT_S)
            if self._session is not None or self._stopped:
                return False
            self._session = session
            return True

    def _read(self, session: _Session) -> None:
        try:
            if session.sock.family == socket.AF_INET:
                session.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            session.sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, struct.pack("ll", SEND_TIMEOUT_S, 0))
            send_message(session.sock, self._greeting)
            while (payload := receive_message(session.sock)) is not None:
                found = _request.fullmatch(payload)
                if found is None:
                    raise ProtocolError(f"a request must read '<number>:<command>', got {payload[:40]!r}")
                self._requests.put((session, found[1], found[2]))
        except (OSError, ProtocolError) as error:
            if not session.closed:
                _logger.warning("a client was disconnected: %s", error)
        finally:
            self._drop(session)

    def _drop(self, session: _Session) -> None:
        session.close()
        with self._changed:
            if self._session is session:
                self._session = None
                self._changed.notify_all()


def _remove_stale_socket(path: Path) -> None:
    try:
        status = path.lstat()
    except FileNotFoundError:
        return
    if not stat.S_ISSOCK(status.st_mode) or status.st_uid != os.getuid():
        raise RuntimeError(f"{path} exists and is not a socket of this user; choose another path")
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        try:
            probe.connect(str(path))
        except ConnectionRefusedError:
            path.unlink()
            return
    raise RuntimeError(f"{path} is served by another process; choose another path")
