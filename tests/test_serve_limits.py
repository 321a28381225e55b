"""The search server: what it refuses, and what it does when there is more to do than it can."""

from __future__ import annotations

import hmac
import pickle
import socket
import struct
import sys
import threading
import time
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import ImageFile
from prometheus_client.parser import text_string_to_metric_families
from serving import Client, client, detail, image_bytes, make_gallery

from unrealperson.cli import main
from unrealperson.config import ServeConfig
from unrealperson.serve import read_token
from unrealperson.serve.catalogue import entry_id
from unrealperson.serve.guard import OPEN_PATHS, is_loopback

TEXT_FIELD = b'--x\r\nContent-Disposition: form-data; name="image"\r\n\r\ntext\r\n--x--\r\n'
TOKEN = "a-token-of-some-length"
opened: list[str] = []
watching = threading.Event()


def _audit(event: str, arguments: tuple[Any, ...]) -> None:
    if watching.is_set() and event in ("open", "pickle.find_class", "os.listdir", "os.scandir"):
        opened.append(f"{event} {arguments[0]}")


sys.addaudithook(_audit)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def api(source: Path) -> Iterator[Client]:
    """A server that no test changes."""
    with client(source) as own:
        yield own


# ---------------------------------------------------------------- what is refused


def png_head(width: int, height: int) -> bytes:
    head = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + head + struct.pack(">I", zlib.crc32(head))


class Pickled:
    def __reduce__(self) -> Any:
        return (open, ("/tmp/opened-by-a-pickle", "w"))


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"words",
        image_bytes(0)[:60],
        image_bytes(0, "JPEG")[:200],
        image_bytes(0, "GIF"),
        image_bytes(0, "TIFF"),
        b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n",
        pickle.dumps(Pickled()),
        png_head(1, 1),
        png_head(0, 0),
    ],
    ids=["empty", "words", "half a PNG", "half a JPEG", "GIF", "TIFF", "EPS", "pickle", "only a head", "no pixels"],
)
def test_uploads_that_are_no_images(api: Client, content: bytes) -> None:
    assert "the upload is not a readable image" in detail(api.search(content), 422)


@pytest.mark.parametrize("size", [(50_000, 50_000), (2**31 - 1, 2**31 - 1), (5_000, 4_001)])
def test_a_decompression_bomb_is_refused_before_it_is_decoded(
    api: Client, monkeypatch: pytest.MonkeyPatch, size: tuple[int, int]
) -> None:
    decoded = []
    monkeypatch.setattr(ImageFile.ImageFile, "load", lambda self: decoded.append(self))
    pixels = zlib.compress(bytes(10_000_000))
    bomb = png_head(*size) + struct.pack(">I", len(pixels)) + b"IDAT" + pixels + bytes(4)
    assert "pixels" in detail(api.search(bomb), 422)
    assert not decoded


def test_more_pixels_where_the_server_says_so(source: Path) -> None:
    with client(source, ServeConfig(max_megapixels=0.0005)) as small:
        assert "16 x 32 pixels; at most 500 are read" in detail(small.search(image_bytes(0)), 422)


def test_bodies_that_are_too_large(source: Path) -> None:
    with client(source, ServeConfig(max_upload_mb=0.01)) as small:
        whole = detail(small.search(bytes(20_000)), 413)
        assert whole == "the request is larger than 10000 bytes (serve.max_upload_mb)"

        async def pieces() -> Any:
            yield b'--frontier\r\nContent-Disposition: form-data; name="image"; filename="q.png"\r\n\r\n'
            for _ in range(20):
                yield bytes(1_000)

        kind = {"content-type": "multipart/form-data; boundary=frontier"}
        assert detail(small.post("/search", content=pieces(), headers=kind), 413) == whole
        digits = {**kind, "content-length": "9" * 30}
        assert detail(small.post("/search", content=b"", headers=digits), 413) == whole


@pytest.mark.parametrize(
    ("body", "kind", "status"),
    [
        (b"", "multipart/form-data; boundary=x", 400),
        (b"--x\r\nbroken", "multipart/form-data; boundary=x", 400),
        (b"--x--", "multipart/form-data", 400),
        (b"{}", "application/json", 422),
        (b"image=text", "application/x-www-form-urlencoded", 422),
        (TEXT_FIELD, "multipart/form-data; boundary=x", 422),
    ],
)  # fmt: skip
def test_bodies_that_are_no_forms(api: Client, body: bytes, kind: str, status: int) -> None:
    answer = api.post("/search", content=body, headers={"content-type": kind})
    assert answer.status_code in (status, 422), answer.text
    assert isinstance(answer.json()["detail"], str)


def test_no_path_of_a_client_is_opened_and_no_pickle_loaded(source: Path) -> None:
    names = ("../../etc/passwd", "/etc/passwd", "..%2f..%2fetc%2fpasswd", "\\\\host\\share\\etc-passwd")
    with client(source, ServeConfig(refresh_s=60)) as api:
        api.search(image_bytes(1))
        opened.clear()
        watching.set()
        try:
            for name in names:
                api.post("/search", files={"image": (name, image_bytes(1))}, params={"source": name, "camera": name})
                api.post("/search", files={"image": (name, pickle.dumps(Pickled()))})
                api.post("/add", files={"images": (name, b"words")}, data={"camera": name})
                for url in (f"/thumbnails/{name}", f"/entries/{name}", f"/page/{name}", f"/{name}"):
                    assert api.get(url).status_code in (404, 422)
            api.get(f"/thumbnails/{entry_id('0000_c2_1.png')}", params={"height_px": 48})
        finally:
            watching.clear()
    suspicious = ("passwd", "pickle", str(source.parent))
    mine = [event for event in opened if any(word in event for word in suspicious) and "gallery.json" not in event]
    assert mine == [f"open {source.parent / 'crops' / '0000_c2_1.png'}"]
    assert not Path("/tmp/opened-by-a-pickle").exists()


# ---------------------------------------------------------------- who may call


def test_a_token_is_needed_where_there_is_one(source: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compared = []
    compare = hmac.compare_digest
    monkeypatch.setattr(hmac, "compare_digest", lambda a, b: compared.append((a, b)) or compare(a, b))
    with client(source, token=TOKEN) as api:
        closed = ("/gallery", "/identities", "/metrics", f"/thumbnails/{entry_id('0000_c1_0.png')}", "/search?id=x")
        for given in (None, "Bearer", "Bearer wrong", f"Basic {TOKEN}", f"Bearer {TOKEN}x", "Bearer \xe9"):
            headers = {} if given is None else {"authorization": given.encode("latin-1")}
            for url in closed:
                answer = api.get(url, headers=headers)
                assert "Bearer TOKEN" in detail(answer, 401) and answer.headers["www-authenticate"] == "Bearer"
        assert compared and all(b == TOKEN.encode() for _, b in compared)
        for url in OPEN_PATHS | {"/page/page.js"}:
            assert api.get(url).status_code == 200
        right = {"authorization": f"Bearer {TOKEN}", "host": "search.example.org"}
        assert api.get("/gallery", headers=right).status_code == 200


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1"}, 200),
        ({"host": "localhost:8000", "origin": "http://localhost:8000"}, 200),
        ({"host": "[::1]:8000"}, 200),
        ({"host": "evil.example"}, 403),
        ({"host": "[::1"}, 403),
        ({"host": ""}, 403),
        ({"origin": "http://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:1"}, 403),
    ],
)
def test_without_a_token_only_own_pages_may_call(api: Client, headers: dict[str, str], status: int) -> None:
    answer = api.post("/search", files={"image": image_bytes(0)}, headers=headers)
    assert answer.status_code == status, answer.text


def test_more_names_where_the_server_says_so(source: Path) -> None:
    with client(source, ServeConfig(hosts=("Search.example",))) as api:
        assert api.get("/gallery", headers={"host": "search.EXAMPLE"}).status_code == 200


def test_tokens_that_are_no_use(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("UNREALPERSON_TOKEN", raising=False)
    assert read_token(ServeConfig()) == ""
    (tmp_path / "token").write_text(f"{TOKEN}\nmore\n")
    assert read_token(ServeConfig(token_file=str(tmp_path / "token"))) == TOKEN
    monkeypatch.setenv("UNREALPERSON_TOKEN", TOKEN)
    assert read_token(ServeConfig()) == TOKEN
    for bad in ("short", "two words of some length", "ein-geheimes-wört-chen"):
        monkeypatch.setenv("UNREALPERSON_TOKEN", bad)
        with pytest.raises(ValueError, match="the token of UNREALPERSON_TOKEN must be 16 or more ASCII"):
            read_token(ServeConfig())


def test_addresses_of_this_machine() -> None:
    assert all(map(is_loopback, ("127.0.0.1", "127.9.9.9", "::1")))
    assert not any(map(is_loopback, ("0.0.0.0", "192.168.0.1", "fe80::1%eth0")))


def test_starting_where_it_cannot(source: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any, tmp_path: Path) -> None:
    monkeypatch.delenv("UNREALPERSON_TOKEN", raising=False)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        for flags, message in (
            (["--serve.host", "0.0.0.0"], "can be reached from other machines, so a token is needed"),
            (["--serve.host", "no such name"], "is no address of this machine"),
            (["--serve.port", str(port)], f"127.0.0.1:{port} cannot be listened on (Address already in use)"),
            (["--serve.token-file", str(tmp_path / "none")], "none cannot be used: No such file"),
            (["--serve.port", "0", "--gallery", str(tmp_path)], "is no gallery: it holds no gallery.json"),
            (["--serve.port", "0", "--model", str(tmp_path / "m.onnx")], "there is no model"),
        ):
            assert main(["serve", "--gallery", str(source), *flags]) == 2
            assert message in capsys.readouterr().err


# ---------------------------------------------------------------- load


def slow_encoder(api: Client, seconds: float) -> list[int]:
    """Makes the model slow; returns where the sizes of its batches go."""
    sizes: list[int] = []
    encode = api.keeper.encoder.encode

    def slow(images: np.ndarray, camid: np.ndarray) -> np.ndarray:
        sizes.append(len(images))
        time.sleep(seconds)
        return encode(images, camid)

    api.keeper.encoder.encode = slow  # type: ignore[method-assign]
    return sizes


def test_images_that_come_while_the_model_works_go_together(source: Path) -> None:
    with client(source, ServeConfig(max_batch=8, batch_wait_ms=0)) as api:
        alone = [api.search(image_bytes(number)).json() for number in range(20)]
        sizes = slow_encoder(api, 0.05)
        start = time.monotonic()
        answers = api.together(
            *[("POST", "/search", {"files": {"image": image_bytes(number)}}) for number in range(20)]
        )
        assert [answer.json() for answer in answers] == alone  # each gets its own answer
        assert sum(sizes) == 20 and max(sizes) == 8 and len(sizes) <= 6, sizes
        assert time.monotonic() - start < 20 * 0.05


def test_a_lone_image_waits_no_longer_than_it_must(source: Path) -> None:
    with client(source, ServeConfig(batch_wait_ms=1000)) as api:
        start = time.monotonic()
        assert api.search(image_bytes(0)).status_code == 200
        assert time.monotonic() - start < 0.9  # nobody else is inside who could join


def test_too_many_at_once_are_told_when_to_come_back(source: Path) -> None:
    with client(source, ServeConfig(queue=3, max_batch=1)) as api:
        slow_encoder(api, 0.05)
        answers = api.together(
            *[("POST", "/search", {"files": {"image": image_bytes(number)}}) for number in range(12)]
        )
        assert [answer.status_code for answer in answers].count(200) >= 3
        refused = [answer for answer in answers if answer.status_code == 429]
        assert len(refused) == 12 - [answer.status_code for answer in answers].count(200) > 0
        assert all(1 <= int(answer.headers["retry-after"]) <= 60 for answer in refused)
        assert "try again in" in detail(refused[0], 429)
        assert api.search(image_bytes(0)).status_code == 200  # once there is room again
        assert api.get("/health").status_code == 200


def test_metrics(source: Path) -> None:
    with client(source) as api:
        api.search(image_bytes(0))
        api.search(b"words")
        api.get("/nowhere/at/all")
        answer = api.get("/metrics")
        assert answer.headers["content-type"].startswith("text/plain")
        values = {
            (sample.name, *sorted(sample.labels.values())): sample.value
            for family in text_string_to_metric_families(answer.text)
            for sample in family.samples
        }
    assert values["unrealperson_requests_total", "/search", "200", "POST"] == 1
    assert values["unrealperson_requests_total", "/search", "422", "POST"] == 1
    assert values["unrealperson_requests_total", "404", "GET", "other"] == 1
    assert values["unrealperson_request_seconds_count", "/search"] == 2
    assert values["unrealperson_batch_items_sum", "encode"] == values["unrealperson_batch_items_sum", "search"] == 1
    assert values["unrealperson_gallery_images",] == 24 and values["unrealperson_requests_inside",] == 0
    assert values["process_cpu_seconds_total",] > 0
