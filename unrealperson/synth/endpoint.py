"""A connection to an UnrealCV server that never hangs and never mixes up replies."""

from __future__ import annotations

import contextlib
import functools
import io
import logging
import os
import stat
import threading
import time
import uuid
from collections.abc import Iterable
from typing import Any

import numpy as np

from unrealperson.data import sources
from unrealperson.log import get_logger
from unrealperson.synth.protocol import unix_socket_path

GREETING_S = 5.0
"""Longest wait for one greeting; a server that is busy with another client never greets."""
FIRST_CONTACT_S = 15.0
"""Longest wait for the first greeting of an endpoint: a wrong address must not cost a whole `timeout_s`."""

_logger = get_logger(__name__)


class Endpoint:
    """An UnrealCV server reached through `unrealcv.Client`, with time limits and checked replies.

    After a missed reply the official client hands every late reply to the next request, so a client that
    timed out is replaced, and an echo proves that replies are in step again.

    A Linux build of plug-in 1.0.1 serves only its Unix socket once a first TCP client has left: on this machine
    the socket of the port is tried first where there is one.

    Attributes:
        replaced: how many clients had to be replaced so far.
        reached: the address that answers: the one asked for, or the Unix socket of its port.
    """

    def __init__(self, address: tuple[str, int] | str, *, timeout_s: float) -> None:
        """Connects.

        Args:
            address: (host, port), or the path of a Unix socket.
            timeout_s: longest wait for a connection and for the replies of one `request`, in seconds.

        Raises:
            RuntimeError: nobody answers there, or another client is connected.
        """
        self._address = address
        self._timeout_s = timeout_s
        self._client: Any = None
        self.replaced = 0
        self.reached = address
        self._replace_client(min(timeout_s, FIRST_CONTACT_S))

    def __enter__(self) -> Endpoint:
        return self

    def __exit__(self, *exception: object) -> None:
        self.close()

    def close(self) -> None:
        """Disconnects."""
        if self._client is not None:
            self._client.disconnect()
            self._client = None

    def request(self, *commands: str) -> list[str | bytes]:
        """Sends commands together and waits for all replies.

        Commands that only read or set (vget, vset) are sent once more where a reply is late.

        Args:
            commands: command texts.

        Returns:
            One reply for each command: text, or bytes where it is no text.

        Raises:
            RuntimeError: an `error` reply, no reply in time, or a lost connection.
        """
        replies = self.attempt(*commands)
        for command, reply in zip(commands, replies, strict=True):
            if isinstance(reply, str) and reply.startswith("error"):
                raise RuntimeError(f"the endpoint refused '{command}': {reply}")
        return replies

    def attempt(self, *commands: str) -> list[str | bytes]:
        """The same, but an `error` reply is a reply as any other.

        Args:
            commands: command texts.

        Returns:
            One reply for each command.

        Raises:
            RuntimeError: no reply in time, or a lost connection.
        """
        try:
            replies = self._ask(list(commands))
        except TimeoutError as error:
            _logger.warning("%s; connecting again", error)
            self.replaced += 1
            self._replace_client(self._timeout_s)
            if not all(command.startswith(("vget", "vset")) for command in commands):
                raise RuntimeError(f"{error}; it may or may not have been carried out") from error
            try:
                replies = self._ask(list(commands))
            except TimeoutError as again:
                raise RuntimeError(f"{again}, twice; raise synth.timeout_s or look at the server") from again
        return replies

    def _ask(self, commands: list[str]) -> list[str | bytes]:
        client = self._client
        if client is None:
            raise RuntimeError(f"the connection to {self._where} is closed")
        late = threading.Event()

        def give_up() -> None:
            late.set()
            _hang_up(client)

        timer = threading.Timer(self._timeout_s, give_up)
        timer.daemon = True
        timer.start()
        try:
            replies = client.request(commands)
        except ConnectionError as error:
            if late.is_set():
                raise TimeoutError(
                    f"{self._where} sent no reply to '{commands[0]}' in {self._timeout_s:g} s"
                ) from error
            raise RuntimeError(f"{self._where} closed the connection during '{commands[0]}'") from error
        finally:
            timer.cancel()
            timer.join()
        # The last reply and the limit may come together: the client has its replies then, and a dead connection.
        if late.is_set():
            raise TimeoutError(f"{self._where} sent its replies to '{commands[0]}' only after {self._timeout_s:g} s")
        if None in replies:
            raise RuntimeError(f"{self._where} closed the connection during '{commands[0]}'")
        return replies

    def _replace_client(self, timeout_s: float) -> None:
        """Connects a new client and checks that it gets its own replies."""
        deadline_s = time.monotonic() + timeout_s
        self.close()
        while True:
            for address in self._addresses():
                problem = self._connect(address, min(max(deadline_s - time.monotonic(), 0.1), GREETING_S))
                if not problem:
                    break
            if not problem:
                nonce = uuid.uuid4().hex
                try:
                    if self._ask([f"vget /unrealcv/echo {nonce}"]) == [nonce]:
                        return
                    problem = "it does not echo what it is sent"
                except TimeoutError:
                    problem = f"it answered nothing for {self._timeout_s:g} s; is the game still loading, or frozen?"
                except RuntimeError as error:
                    problem = str(error)
            self.close()
            if time.monotonic() + 0.1 >= deadline_s:
                raise RuntimeError(f"cannot use the UnrealCV server at {self._where}: {problem}")
            time.sleep(0.1)

    def _addresses(self) -> list[tuple[str, int] | str]:
        """Where to try, the likeliest first."""
        if isinstance(self._address, str) or self._address[0] not in ("127.0.0.1", "localhost"):
            return [self._address]
        path = unix_socket_path(self._address[1])
        with contextlib.suppress(OSError):
            status = path.lstat()
            if stat.S_ISSOCK(status.st_mode) and status.st_uid == os.getuid():
                return [str(path), self._address]
        return [self._address]

    def _connect(self, address: tuple[str, int] | str, timeout_s: float) -> str:
        """Connects in a thread of its own, since the official client waits for a greeting without limit."""
        kind = "unix" if isinstance(address, str) else "inet"
        client = _client_class()(address, kind)
        connected: list[bool] = []
        thread = threading.Thread(target=lambda: connected.append(client.connect()), daemon=True)
        thread.start()
        thread.join(timeout_s)
        if thread.is_alive():
            _hang_up(client)
            return f"no greeting within {timeout_s:.1f} s; is it an UnrealCV server that no other client uses?"
        if connected != [True] and client.reached:
            return "it hung up without a greeting; is another client connected, or is that another program?"
        if connected != [True]:
            return "nothing listens there; is the game running, and is that its port?"
        self._client, self.reached = client, address
        return ""

    @property
    def _where(self) -> str:
        return self._address if isinstance(self._address, str) else "{}:{}".format(*self._address)


def _hang_up(client: Any) -> None:
    """Wakes whoever waits on the client's socket."""
    sock = client.sock
    if sock is not None:
        with contextlib.suppress(OSError):
            sock.shutdown(2)


@functools.cache
def _client_class() -> type:
    """`unrealcv.Client` that is silent, and gives up a dead connection at once."""
    try:
        import unrealcv
    except ImportError as error:
        raise RuntimeError("synthesis needs the UnrealCV client: pip install 'unrealperson[synth]'") from error
    logging.getLogger("unrealcv").setLevel(logging.CRITICAL)
    unrealcv.print = _logger.debug

    class QuietClient(unrealcv.Client):
        RECONNECT_ATTEMPTS = 0
        reached = False
        """Whether the last connection that ended had come about: a refused one had not."""

        def _load_command_capabilities(self) -> None:
            """Skips the probe: truth commands are known only to the embedded simulator."""

        def disconnect(self) -> None:
            self.reached = self.isconnected()
            super().disconnect()

        def receive_loop_queue(self) -> None:
            try:
                super().receive_loop_queue()
            except AssertionError as error:
                self.recv_data_q.put(TimeoutError(f"a reply is missing: {error}"))
            except OSError as error:
                self.recv_data_q.put(ConnectionError(str(error)))

    return QuietClient


def parse_endpoint(text: str) -> tuple[str, int] | str:
    """Reads `host:port`, or the path of a Unix socket.

    Args:
        text: such as 127.0.0.1:9000 or /tmp/unrealcv_9000.socket.

    Raises:
        ValueError: neither.
    """
    if text.startswith("/"):
        return text
    host, _, port = text.rpartition(":")
    if not host or not port.isdecimal() or not 0 < int(port) < 65536:
        raise ValueError(f"an endpoint is host:port or the path of a Unix socket, got '{text}'")
    return host, int(port)


def decode_image(reply: str | bytes) -> np.ndarray:
    """Decodes an image reply; alpha is dropped, never blended.

    Args:
        reply: PNG or BMP.

    Returns:
        [H, W, 3] uint8 RGB.

    Raises:
        RuntimeError: not such an image.
    """
    if isinstance(reply, str):
        raise RuntimeError(f"the endpoint sent text instead of an image: '{reply[:80]}'")
    try:
        return sources.decode_image(reply, "the reply", formats=("PNG", "BMP"))
    except ValueError as error:
        raise RuntimeError(f"the endpoint sent {len(reply)} bytes that are no PNG or BMP: {error}") from error


def decode_array(reply: str | bytes) -> np.ndarray:
    """Decodes an array reply.

    Args:
        reply: the bytes of an .npy file.

    Returns:
        [H, W] float32.

    Raises:
        RuntimeError: not such an array.
    """
    if isinstance(reply, str):
        raise RuntimeError(f"the endpoint sent text instead of an array: '{reply[:80]}'")
    try:
        array = np.lib.format.read_array(io.BytesIO(reply), allow_pickle=False)
    # What a damaged header raises is open-ended.
    except Exception as error:
        raise RuntimeError(f"the endpoint sent {len(reply)} bytes that are no .npy: {error}") from error
    if array.ndim != 2 or array.dtype.kind not in "fiu":
        raise RuntimeError(
            f"the endpoint sent an array of {array.dtype} {list(array.shape)} instead of numbers [height, width]"
        )
    return np.asarray(array, np.float32)


def as_texts(replies: Iterable[str | bytes]) -> list[str]:
    """Replies as text, bytes that are none replaced.

    Args:
        replies: of `Endpoint.request`.
    """
    return [reply if isinstance(reply, str) else reply.decode(errors="replace") for reply in replies]
