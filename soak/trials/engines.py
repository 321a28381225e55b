"""An UnrealCV endpoint that hangs, lies or dies: a relay before the boxes, which spoils one reply or all from it on."""

from __future__ import annotations

import contextlib
import io
import re
import socket
import struct
import threading
import time
from pathlib import Path

import numpy as np
from PIL import Image

from trials.running import Outcome, run
from trials.site import CROP, SIZE, Site, flags
from unrealperson.data.check import check
from unrealperson.data.manifest import Manifest

TIMEOUT_S = 3.0
HEADER = struct.Struct("<II")
SPOILS = (
    "goes silent", "is late once", "dies", "hangs up once", "sends garbage", "sends a wrong number",
    "tells a wrong size", "tells a huge size", "has a wrong magic number", "cuts an image",
    "sends an image of another size", "names others", "sends nothing in a reply", "refuses",
)  # fmt: skip


def try_engine(site: Site, rng: np.random.Generator, folder: Path, *, spoils: tuple[str, ...] = SPOILS) -> Outcome:
    """Captures from an endpoint that misbehaves at a random reply, and again from one that behaves.

    Args:
        site: not needed but for its settings.
        rng: draws what is spoilt and when.
        folder: for this trial.
        spoils: what may be.
    """
    from synth_fakes import running_simulator

    spoil = spoils[int(rng.integers(len(spoils)))]
    settings = {**SIZE, "timeout-s": TIMEOUT_S}
    out = folder / "out"
    command = ["synth", "--out", str(out), *flags("synth", settings), *flags("crop", CROP)]
    with running_simulator(people=3) as boxes:
        with Relay(boxes.address, spoil, int(rng.integers(2, 90)), rng) as relay:
            end = run(*command, "--synth.endpoint", f"127.0.0.1:{relay.port}")
        what = f"an endpoint that {spoil} at reply {relay.at}"
        if end.status != 0 and not end.is_clear_error:
            return Outcome(what, "wrong", end.complaint("a clear error"))
        finished = site.tasks["synth"].finished(out)
        with Relay(boxes.address, "", 0, rng) as honest:
            again = run(*command, "--synth.endpoint", f"127.0.0.1:{honest.port}")
    if again.status != 0 and not (again.is_clear_error and "was begun with synth.endpoint" in again.message):
        return Outcome(what, "wrong", again.complaint("that an endpoint which behaves is enough to go on"))
    if again.status == 0:
        manifest = Manifest.read(out)
        if not check(manifest).healthy or finished - site.tasks["synth"].finished(out):
            return Outcome(what, "wrong", "crops are lost or are not what their rows say")
        if manifest.column("person").max() > 50:
            return Outcome(what, "wrong", f"people whom nobody sent: {manifest.column('person')}")
    return Outcome(what, "clear error", end.message) if end.status else Outcome(what, "clean resume")


class Relay:
    """Hands on what a client and a server say, but for one reply.

    Attributes:
        port: where it listens.
        at: number of the reply that was spoilt; -1 while none was.

    Args:
        server: host and port.
        spoil: one of SPOILS, or nothing.
        first: number of the first reply that may be spoilt.
        rng: draws garbage.
    """

    def __init__(self, server: tuple[str, int], spoil: str, first: int, rng: np.random.Generator) -> None:
        self._server, self._spoil, self._first, self._rng = server, spoil, first, rng
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self.at, self._count = -1, 0
        self._open: list[socket.socket] = []
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def __enter__(self) -> Relay:
        return self

    def __exit__(self, *_: object) -> None:
        for each in (self._listener, *self._open):
            _close(each)
        self._thread.join(10)

    def _serve(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                server = socket.create_connection(self._server)
                self._open += [client, server]
                there = threading.Thread(target=_copy, args=(client, server), daemon=True)
                there.start()
                with contextlib.suppress(OSError):
                    while self._reply(server, client):
                        pass
                _close(client)
                _close(server)
                there.join(10)

    def _reply(self, server: socket.socket, client: socket.socket) -> bool:
        """Hands one reply on; returns whether the connection goes on."""
        head = server.recv(HEADER.size, socket.MSG_WAITALL)
        if len(head) < HEADER.size:
            return False
        magic, size = HEADER.unpack(head)
        payload = server.recv(size, socket.MSG_WAITALL)
        number, colon, body = payload.partition(b":")
        self._count += 1
        is_image = body[:2] == b"BM" or body[:4] == b"\x89PNG"
        names = b"_C_" in body
        fits = {"cuts an image": is_image, "sends an image of another size": is_image, "names others": names}
        if self._spoil and self.at < 0 and self._count >= self._first and fits.get(self._spoil, colon == b":"):
            self.at = self._count
        if self.at >= 0 and self._spoil == "goes silent":
            return True
        if self.at != self._count:
            client.sendall(head + payload)
            return True
        spoil = self._spoil
        if spoil == "dies":
            _close(self._listener)
        if spoil in ("dies", "hangs up once"):
            return False
        if spoil == "is late once":
            time.sleep(1.5 * TIMEOUT_S)
        elif spoil == "sends garbage":
            body = self._rng.bytes(len(body))
        elif spoil == "sends a wrong number":
            number = str(int(number) + 1).encode()
        elif spoil == "tells a wrong size":
            size += 1000
        elif spoil == "tells a huge size":
            size = 2**31 - 1
        elif spoil == "has a wrong magic number":
            magic ^= 1
        elif spoil == "cuts an image":
            body = body[: len(body) // 2]
        elif spoil == "sends an image of another size":
            out = io.BytesIO()
            Image.new("RGB", (80, 200), (255, 0, 0)).save(out, "BMP")
            body = out.getvalue()
        elif spoil == "names others":
            body = re.sub(rb"_C_\d+", b"_C_77", body)
        elif spoil == "sends nothing in a reply":
            body = b""
        elif spoil == "refuses":
            body = b"error Argument Invalid"
        payload = number + colon + body
        if spoil not in ("tells a wrong size", "tells a huge size"):
            size = len(payload)
        client.sendall(HEADER.pack(magic, size) + payload)
        return True


def _copy(source: socket.socket, target: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while part := source.recv(1 << 16):
            target.sendall(part)
        target.shutdown(socket.SHUT_WR)


def _close(sock: socket.socket) -> None:
    with contextlib.suppress(OSError):
        sock.shutdown(socket.SHUT_RDWR)
    sock.close()
