"""Targets that listen or are answered: the simulator's port and commands, an endpoint's replies, the HTTP service."""

from __future__ import annotations

import asyncio
import json
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

Attack = Callable[[bytes], object]
Prepared = tuple[list[bytes], Attack]

TEXTS = (
    "vget /unrealcv/status", "vget /unrealcv/echo a b", "vget /unrealcv/help", "vget /objects",
    "vget /object/MHMainClass_C_0/color", "vset /object/MHMainClass_C_0/color 1 2 3",
    "vset /object/MHMainClass_C_0/location 1 2.5 -3", "vset /object/MHMainClass_C_0/rotation 0 90 0",
    "vset /object/MHMainClass_C_0/scale 1 1 2", "vset /object/MHMainClass_C_0/name a_1",
    "vset /object/MHMainClass_C_1/hide", "vset /object/MHMainClass_C_1/show", "vset /object/MHMainClass_C_1/destroy",
    "vset /objects/spawn MHMainClass_C a", "vset /objects/spawn_cube box", "vget /cameras", "vset /cameras/spawn",
    "vset /camera/0/location 1 2 3", "vset /camera/0/pose 1 2 3 4 5 6", "vset /camera/1/fov 60", "vget /classes",
    "vset /camera/0/size 32 24", "vget /camera/0/lit png", "vget /camera/1/object_mask bmp",
    "vget /camera/0/depth npy", "vset /viewmode lit", "vget /camera/0/annotations", "vget /camera/0/class_mask png",
    "vrun ce AddActor 3", "vrun ce Pause 1", "vrun ce Resume 1", "vexec MHMainClass_C_0 Walk 1", "vbp a b",
    "vbatch 2", "vget /person/MHMainClass_C_0/attributes", "vset /action/game/pause",
)  # fmt: skip


def commands(folder: Path) -> Prepared:
    """Lines of commands, each batch to a simulator of its own."""
    from synth_fakes import VIEWS, FakeRenderer, FakeWorld

    from unrealperson.synth.simulator import Simulator

    def attack(data: bytes) -> None:
        simulator = Simulator(
            FakeWorld(), FakeRenderer(32, 24), views=VIEWS, width=32, height=24, people=3, interval_s=2.0
        )  # type: ignore[arg-type]
        simulator.run("vrun ce AddActor 3")
        for line in data.decode("utf-8", "replace").split("\n")[:20]:
            reply = simulator.run(line)
            if not reply or b"Error:" in reply[:60]:  # an exception's name: the handler did not expect it
                raise AssertionError(f"{line!r} is answered with {reply[:200]!r}")

    return ["\n".join(TEXTS[i : i + 4]).encode() for i in range(0, len(TEXTS), 2)], attack


def port(folder: Path) -> Prepared:
    """Raw bytes to the simulator's port; afterwards it answers somebody else."""
    from synth_fakes import running_simulator

    from unrealperson.synth.protocol import MAGIC, receive_message, send_message

    context = running_simulator(width=32, height=24)
    server = context.__enter__().server

    def connect() -> socket.socket:
        while True:
            sock = socket.create_connection(("127.0.0.1", server.port), timeout=10)
            try:
                if receive_message(sock) is not None:
                    return sock
            except OSError:
                pass  # the client before has not left yet
            sock.close()

    def attack(data: bytes) -> None:
        with connect() as sock:
            try:
                sock.sendall(data)
                sock.shutdown(socket.SHUT_WR)
                while sock.recv(65536):
                    pass
            except TimeoutError:
                raise
            except OSError:
                pass  # it hung up
        with connect() as sock:
            send_message(sock, b"5:vget /unrealcv/echo alive")
            if receive_message(sock) != b"5:alive":
                raise AssertionError("the server no longer answers")

    def framed(text: str, number: int) -> bytes:
        body = f"{number}:{text}".encode()
        return struct.pack("<II", MAGIC, len(body)) + body

    attack.context = context  # type: ignore[attr-defined]  # as long as the attack
    return [framed(text, 1) + framed("vget /unrealcv/echo b", 2) for text in TEXTS], attack


def reply(folder: Path) -> Prepared:
    """What an endpoint, perhaps a foreign Unreal Engine, sends as image and as depth."""
    from unrealperson.synth.endpoint import decode_array, decode_image
    from unrealperson.synth.protocol import encode_image

    def attack(data: bytes) -> None:
        for decode in (decode_image, decode_array):
            try:
                decode(data)
            except RuntimeError as error:
                if type(error) is not RuntimeError:
                    raise

    pixels = np.arange(6 * 5 * 3, dtype=np.uint8).reshape(6, 5, 3)
    depth = np.ones((6, 5), np.float32)
    return [encode_image(pixels, "png"), encode_image(pixels, "bmp"), encode_image(depth, "npy")], attack


def service(folder: Path) -> Prepared:
    """HTTP requests as the server's application takes them, in text: a line, headers, an empty line, a body."""
    from serving import image_bytes, make_gallery

    from unrealperson.config import ServeConfig
    from unrealperson.serve import Keeper, Service

    config = ServeConfig(refresh_s=3600, max_megapixels=0.1, max_upload_mb=0.1, max_images=4, batch_wait_ms=0)
    keeper = Keeper(make_gallery(folder), threads=1)
    served = Service(keeper, config)
    loop = asyncio.new_event_loop()
    life = served.api.router.lifespan_context(served.api)
    loop.run_until_complete(life.__aenter__())

    async def answer(scope: dict[str, Any], body: bytes) -> tuple[int, bytes]:
        parts, got = [body[: len(body) // 2], body[len(body) // 2 :]], []

        async def receive() -> dict[str, Any]:
            if not parts:
                return {"type": "http.disconnect"}
            return {"type": "http.request", "body": parts.pop(0), "more_body": bool(parts)}

        async def send(message: dict[str, Any]) -> None:
            got.append(message)

        await asyncio.wait_for(served.guard(scope, receive, send), 20)
        return got[0]["status"] if got else 0, b"".join(message.get("body", b"") for message in got)

    def attack(data: bytes) -> None:
        head, _, body = data.partition(b"\n\n")
        first, *lines = head.split(b"\n")
        method, _, target = first.decode("latin-1").partition(" ")
        path, _, query = target.partition("?")
        headers = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in lines)]
        if b"host" not in dict(headers):
            headers.append((b"host", b"127.0.0.1"))
        scope = {
            "type": "http", "http_version": "1.1", "method": method.upper(), "path": path, "raw_path": path.encode(),
            "query_string": query.encode(), "headers": headers, "client": ("127.0.0.1", 1), "scheme": "http",
            "server": ("127.0.0.1", 80), "root_path": "", "asgi": {"version": "3.0"},
        }  # fmt: skip
        status, told = loop.run_until_complete(answer(scope, body))
        if not 200 <= status < 500 and (status, path) != (503, "/ready"):
            raise AssertionError(f"status {status}: {told[:300]!r}")
        tells = method.upper() != "HEAD" and not path.startswith(("/page/", "/ready"))
        if status >= 400 and tells and not isinstance(json.loads(told)["detail"], str):
            raise AssertionError(f"status {status} explains nothing: {told[:300]!r}")
        if len(keeper.catalogue) > 400:
            ids = [f"{number:016x}" for number in keeper.catalogue._ids.tolist()[100:300]]
            attack(b"POST /remove\ncontent-type: application/json\n\n" + json.dumps({"ids": ids}).encode())

    attack.life = life  # type: ignore[attr-defined]  # as long as the attack
    entry = f"{keeper.catalogue._ids[0]:016x}"
    form = b'--f\r\nContent-Disposition: form-data; name="%s"; filename="q"\r\n\r\n%s\r\n--f--\r\n'
    kind = b"content-type: multipart/form-data; boundary=f\n\n"
    small = [image_bytes(1, kind, (6, 9)) for kind in ("PNG", "JPEG", "WEBP", "BMP")]
    seeds = [b"POST /search?k=2&only_camera=1\n" + kind + form % (b"image", image) for image in small]
    seeds += [b"POST /add\n" + kind + form % (b"images", image) for image in small[:2]]
    seeds.append(b"POST /remove\ncontent-type: application/json\n\n" + json.dumps({"ids": ["0" * 16]}).encode())
    asked = "k=3&group=person&rerank=true&from_s=1.5&to_s=9&attribute=hat=none&source=a&not_camera=1&from_frame=1"
    paths = ("/", "/health", "/ready", "/docs", "/openapi.json", "/metrics", "/gallery", "/page/api.js",
             f"/search?id={entry}&{asked}", "/identities?offset=0&limit=5&camera=1", f"/entries/{entry}",
             f"/thumbnails/{entry}?height_px=32")  # fmt: skip
    return [*seeds, *(f"GET {path}\norigin: http://127.0.0.1\n".encode() for path in paths)], attack
