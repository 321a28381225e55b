"""The search server against machines that make up requests: schemathesis from its own document, and broken uploads."""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import shutil
import zlib
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis.errors import Unsatisfiable
from PIL import Image
from serving import Server, image_bytes, make_gallery, server

from unrealperson.gallery import Gallery

pytestmark = pytest.mark.check

UPLOADS, TOGETHER = 10_000, 4
EXAMPLES = 25


@pytest.fixture(scope="module")
def gallery(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("gallery"))


@pytest.fixture(scope="module")
def running(gallery: Path) -> Iterator[Server]:
    with server(gallery) as own:
        yield own


def test_requests_made_up_from_the_document(gallery: Path, tmp_path: Path) -> None:
    """Every endpoint with valid and invalid requests: no 500, and every answer as the document says."""
    import schemathesis  # takes a second, which a run without these checks need not spend
    from schemathesis.checks import not_a_server_error
    from schemathesis.specs.openapi import checks as openapi

    checks = (
        not_a_server_error, openapi.status_code_conformance, openapi.content_type_conformance,
        openapi.response_headers_conformance, openapi.response_schema_conformance,
    )  # fmt: skip
    statuses: Counter[int] = Counter()
    rules = settings(
        max_examples=EXAMPLES, deadline=None, derandomize=True, database=None,
        phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck),
    )  # fmt: skip
    shutil.copytree(gallery.parent, tmp_path / "own")
    with server(tmp_path / "own" / "gallery", "--serve.refresh-s", "60") as own:
        schema = schemathesis.openapi.from_url(f"{own.address}/openapi.json")
        for operation in (result.ok() for result in schema.get_all_operations()):
            for mode in schemathesis.GenerationMode:

                def probe(case: Any) -> None:
                    answer = case.call()
                    statuses[answer.status_code] += 1
                    case.validate_response(answer, checks=checks)

                with contextlib.suppress(Unsatisfiable):  # nothing can be wrong where nothing is asked
                    rules(given(case=operation.as_strategy(generation_mode=mode))(probe))()
        assert own.stop() == 0
    assert statuses[200] > 30 and statuses[422] > 100 and max(statuses) < 500, statuses
    assert not [line for line in own.log if line.get("level") == "error"]
    Gallery.open(tmp_path / "own" / "gallery").verify()


def broken(rng: np.random.Generator, whole: list[bytes]) -> tuple[bytes, str]:
    """A request body for /search and its content type, damaged in one of several ways."""
    content = bytearray(whole[rng.integers(len(whole))])
    way = rng.integers(7)
    if way == 0:
        content = content[: rng.integers(len(content))]
    elif way in (1, 2):
        for place in rng.integers(len(content), size=rng.integers(1, 30)):
            content[place] = rng.integers(256)
    elif way == 3:
        first = rng.integers(len(content))
        content[first : first + rng.integers(1, 200)] = rng.bytes(rng.integers(0, 200))
    elif way == 4:
        content = bytearray(rng.bytes(rng.integers(0, 3000)))
    elif way == 5:
        width, height = (int(size) for size in rng.integers(1, 2**31, 2))
        head = b"IHDR" + width.to_bytes(4, "big") + height.to_bytes(4, "big") + rng.bytes(5)
        content[8:33] = (13).to_bytes(4, "big") + head + zlib.crc32(head).to_bytes(4, "big")
    boundary = b"frontier"
    part = (
        b'--frontier\r\nContent-Disposition: form-data; name="image"; filename="%s"\r\n\r\n'
        % rng.bytes(4).hex().encode()
    )
    body = bytearray(part + bytes(content) + b"\r\n--frontier--\r\n")
    if way == 6:
        for place in rng.integers(len(part), size=3):
            body[place] = rng.integers(256)
    if rng.random() < 0.02:
        boundary = rng.bytes(3).hex().encode()
    return bytes(body), f"multipart/form-data; boundary={boundary.decode()}"


def test_ten_thousand_broken_uploads(running: Server) -> None:
    """Each is answered, none with 500; images between them are found as before."""
    rng = np.random.default_rng(0)
    whole = [image_bytes(seed, kind) for seed in range(3) for kind in ("PNG", "JPEG", "WEBP", "BMP")]
    exif = Image.Exif()
    exif[0x0112] = 6
    out = io.BytesIO()
    Image.open(io.BytesIO(whole[0])).save(out, "JPEG", exif=exif)
    whole.append(out.getvalue())
    statuses: Counter[int] = Counter()
    requests = [broken(rng, whole) for _ in range(UPLOADS)]
    host = running.address.removeprefix("http://")

    def send(part: list[tuple[bytes, str]]) -> None:
        connection = http.client.HTTPConnection(host, timeout=30)
        for body, kind in part:
            connection.request("POST", "/search?k=1", body, {"Content-Type": kind})
            answer = connection.getresponse()
            told = json.loads(answer.read())
            statuses[answer.status] += 1
            assert answer.status == 200 or isinstance(told["detail"], str)
        connection.close()

    def find() -> Any:
        return httpx.post(f"{running.address}/search", files={"image": image_bytes(4)}).json()

    before = find()
    with ThreadPoolExecutor(TOGETHER) as senders:
        for sender in [senders.submit(send, requests[i::TOGETHER]) for i in range(TOGETHER)]:
            sender.result()
    assert find() == before
    assert sum(statuses.values()) == UPLOADS and max(statuses) < 500, statuses
    assert statuses[422] > UPLOADS / 4 and statuses[200] > UPLOADS / 100, statuses
    assert not [line for line in running.log if line.get("level") == "error"]
