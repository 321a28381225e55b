"""The search server: what it answers, and what it promises about images that come and go."""

from __future__ import annotations

import contextlib
import io
import socket
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from encoders import make_model, model_weights
from PIL import Image
from serving import PEOPLE, Client, Server, client, detail, image_bytes, make_gallery, server, until

from unrealperson.config import ServeConfig
from unrealperson.data.sources import read_images
from unrealperson.gallery import Gallery
from unrealperson.serve import messages
from unrealperson.serve.catalogue import entry_id
from unrealperson.serve.keeper import Keeper

TOKEN = "a-token-of-some-length"


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_gallery(tmp_path_factory.mktemp("source"))


@pytest.fixture(scope="module")
def api(source: Path) -> Iterator[Client]:
    """A server that no test changes."""
    with client(source) as own:
        yield own


@pytest.fixture
def fresh(tmp_path: Path) -> Path:
    return make_gallery(tmp_path)


# ---------------------------------------------------------------- searching


def test_an_uploaded_image_finds_what_the_gallery_finds(api: Client, source: Path) -> None:
    gallery = Gallery.open(source)
    answer = api.search(image_bytes(7), k=5, camera="2")
    assert answer.status_code == 200
    found = messages.SearchAnswer.model_validate(answer.json())
    expected = gallery.search_image(gallery.root / "0001_c2_1.png", k=5, camid=2)
    assert [hit.path for hit in found.hits] == [hit.path for hit in expected]
    assert found.hits[0].path == "0001_c2_1.png" and found.hits[0].similarity == pytest.approx(1, abs=1e-5)
    best = found.hits[0]
    assert (best.person, best.camera, best.frame, best.time_s, best.same) == (1, 2, 70, 14.0, None)
    assert api.search(image_bytes(7), k=1).json()["hits"][0]["similarity"] < 0.999  # the camera matters


@pytest.mark.parametrize("kind", ["PNG", "BMP", "WEBP", "JPEG"])
def test_formats_that_are_accepted(api: Client, kind: str) -> None:
    assert api.search(image_bytes(3, kind)).status_code == 200


def test_searching_on_from_an_entry(api: Client) -> None:
    answer = api.get("/search", params={"id": entry_id("0002_c1_0.png"), "k": 3})
    assert answer.json()["hits"][0]["path"] == "0002_c1_0.png"
    assert answer.json() == api.get("/search", params={"id": answer.json()["hits"][0]["id"], "k": 3}).json()


@pytest.mark.parametrize(
    ("asked", "fits"),
    [
        ({"only_camera": "2"}, lambda hit: hit["camera"] == 2),
        ({"not_camera": ["1", "1004"]}, lambda hit: hit["camera"] == 2),
        ({"from_s": 10, "to_s": 20.5}, lambda hit: 10 <= hit["time_s"] < 20.5),
        ({"from_frame": 50, "to_frame": 90}, lambda hit: 50 <= hit["frame"] < 90),
        ({"attribute": ["gender=male", "hat=none"]}, lambda hit: hit["person"] % 2 == 0),
        ({"source": "nowhere"}, lambda hit: False),
    ],
)
def test_filters(api: Client, asked: dict[str, Any], fits: Any) -> None:
    everything = api.search(image_bytes(0), k=200).json()["hits"]
    some = api.search(image_bytes(0), k=200, **asked).json()["hits"]
    assert some == [hit for hit in everything if fits(hit)]
    assert len(everything) == 4 * PEOPLE and len(some) < len(everything)


def test_groups_and_reranking(api: Client) -> None:
    hits = api.search(image_bytes(0), k=50, group="identity").json()["hits"]
    assert sorted(hit["person"] for hit in hits) == list(range(PEOPLE))
    plain, ranked = (api.search(image_bytes(0), k=24, rerank=rerank).json()["hits"] for rerank in (False, True))
    assert sorted(hit["id"] for hit in plain) == sorted(hit["id"] for hit in ranked) and plain != ranked


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"k": 0}, "k: Input should be greater than or equal to 1"),
        ({"k": 201}, r"k must be at most 200 \(serve.max_hits\), got 201"),
        ({"from_s": "nan"}, "from_s: Input should be a finite number"),
        ({"from_frame": -1}, "from_frame: "),
        ({"group": "people"}, "group: Input should be 'none', 'identity' or 'tracklet'"),
        ({"attribute": "male"}, "attribute 0: String should match pattern"),
        ({"only_camera": "entrance"}, "there is no camera 'entrance'"),
        ({"only_camera": "9" * 30}, "camera must lie in 0"),
        ({"camera": "-7"}, "camera must lie in 0"),
        ({"limit": 3}, "limit: Extra inputs are not permitted"),
    ],
)
def test_wrong_settings_are_named(api: Client, asked: dict[str, Any], message: str) -> None:
    import re

    assert re.search(message, detail(api.search(image_bytes(0), **asked), 422))


def test_what_is_known_of_entries_and_people(api: Client) -> None:
    entry = api.get(f"/entries/{entry_id('0003_c2_0.png')}").json()
    assert (entry["person"], entry["camera"], entry["attributes"]) == (3, 2, {"gender": "female", "hat": "none"})
    people = messages.People.model_validate(api.get("/identities", params={"offset": 4, "limit": 9}).json())
    assert people.total == PEOPLE and [person.person for person in people.people] == [4, 5]
    assert (people.people[0].images, people.people[0].cameras, people.people[0].from_s) == (4, [1, 2], 32.0)
    assert api.get("/identities", params={"camera": "1004"}).json() == {"total": 0, "people": []}
    facts = messages.GalleryFacts.model_validate(api.get("/gallery").json())
    assert (facts.images, facts.people, facts.from_s, facts.to_frame) == (24, 6, 0.0, 230)
    assert [camera.images for camera in facts.cameras] == [12, 12] and facts.attributes == {
        "gender": ["female", "male"]
    }


def test_thumbnails(api: Client) -> None:
    answer = api.get(f"/thumbnails/{entry_id('0000_c1_0.png')}", params={"height_px": 16})
    assert answer.headers["content-type"] == "image/jpeg" and "private" in answer.headers["cache-control"]
    with Image.open(io.BytesIO(answer.content)) as image:
        assert image.size == (8, 16)
    assert detail(api.get(f"/thumbnails/{'0' * 16}"), 404) == "there is no entry 0000000000000000"
    assert "height_px" in detail(api.get(f"/thumbnails/{'0' * 16}", params={"height_px": 5000}), 422)


# ---------------------------------------------------------------- models


def test_only_the_network_of_the_gallery_serves_it(source: Path, tmp_path: Path) -> None:
    _, table = model_weights()
    more = np.concatenate([table[:3], table[:1], table[3:]])
    cameras = {"cameras": "[1, 2, 1004, 9]", "camera_names": '["1", "2", "1004", "door"]'}
    calibrated = make_model(tmp_path / "calibrated.onnx", table=more, **cameras)
    keeper = Keeper(source, model=calibrated, threads=1)
    assert keeper.encoder.camera_id("door") == 9 and keeper.catalogue.gallery.encoder is keeper.encoder
    other = make_model(tmp_path / "other.onnx", table=np.roll(table, 1, axis=1))
    with pytest.raises(ValueError, match=r"other.onnx is not the network that made this gallery.* leave --model out"):
        Keeper(source, model=other)


# ---------------------------------------------------------------- images that come and go


def test_adding_and_removing(fresh: Path) -> None:
    with client(fresh) as api:
        new, old = image_bytes(100, "JPEG"), image_bytes(5)
        known = {"camera": "2", "person": "77", "time_s": "3.5", "frame": "9"}
        assert detail(api.post("/add", files=[("images", new), ("images", b"words")], data=known), 422)
        assert len(Gallery.open(fresh)) == 24  # all of them, or none

        answer = api.post("/add", files=[("images", new), ("images", image_bytes(101)), ("images", new)], data=known)
        added = messages.AddAnswer.model_validate(answer.json())
        assert added.images == 26 and [entry.added for entry in added.entries] == [True, True, True]
        assert api.post("/add", files={"images": new}, data=known).json()["entries"][0]["added"] is False
        entry = api.get(f"/entries/{added.entries[0].id}").json()
        assert (entry["person"], entry["camera"], entry["time_s"], entry["frame"]) == (77, 2, 3.5, 9)
        stored = fresh.parent / "crops" / entry["path"]
        assert stored.read_bytes() == new and stored.parent.name == "added" and stored.suffix == ".jpg"
        assert api.search(new, k=1, camera="2").json()["hits"][0]["id"] == entry["id"]
        assert api.get("/gallery").json()["images"] == 26
        assert api.get(f"/thumbnails/{entry['id']}").status_code == 200

        ids = [entry["id"], entry_id("0000_c1_0.png"), "0" * 16]
        assert api.post("/remove", json={"ids": ids}).json() == {"removed": 2, "images": 24}
        assert api.post("/remove", json={"ids": ids}).json() == {"removed": 0, "images": 24}
        assert not stored.exists() and (fresh.parent / "crops" / "0000_c1_0.png").exists()
        assert api.search(new, k=1, camera="2").json()["hits"][0]["id"] != entry["id"]
        for url in (f"/thumbnails/{entry['id']}", f"/entries/{entry['id']}", f"/search?id={entry['id']}"):
            assert api.get(url).status_code == 404
        assert api.search(old, k=1, camera="2").json()["hits"][0]["path"] == "0001_c2_0.png"
    assert len(Gallery.open(fresh)) == 24
    assert detail_of_config_without_changes(fresh) == "this server does not change its gallery"


def detail_of_config_without_changes(gallery: Path) -> str:
    with client(gallery, ServeConfig(changes=False)) as api:
        assert api.get("/gallery").json()["changes"] is False
        assert api.post("/remove", json={"ids": ["0" * 16]}).status_code == 403
        return detail(api.post("/add", files={"images": image_bytes(1)}), 403)


def test_additions_at_the_same_time_are_written_together(fresh: Path) -> None:
    with client(fresh) as api:
        adds = [("POST", "/add", {"files": {"images": image_bytes(200 + number % 9)}}) for number in range(18)]
        answers = api.together(*adds)
        assert [answer.status_code for answer in answers] == [200] * 18
        assert len(api.keeper.catalogue) == 24 + 9
        assert api.keeper.catalogue.gallery.revision < 1 + 9


def test_what_another_process_writes_is_taken_up(fresh: Path) -> None:
    with client(fresh) as api:
        other = Gallery.open(fresh)
        (fresh.parent / "crops" / "0009_c1_0.png").write_bytes(image_bytes(300))
        other.add(read_images(fresh.parent / "crops"))
        until(lambda: api.get("/gallery").json()["images"] == 25)
        other.save()
        until(lambda: api.keeper.catalogue.gallery.revision == other.revision)
        assert api.get(f"/entries/{entry_id('0009_c1_0.png')}").status_code == 200  # ids outlive the files
        from unrealperson.files import only_process

        with only_process(fresh):
            refused = api.post("/add", files={"images": image_bytes(301)})
        assert "cannot be changed at the moment" in detail(refused, 503) and refused.headers["retry-after"] == "5"
        assert api.post("/add", files={"images": image_bytes(301)}).json()["images"] == 26


def test_a_missing_image_is_not_the_end(fresh: Path) -> None:
    (fresh.parent / "crops" / "0000_c1_0.png").unlink()
    with client(fresh) as api:
        assert "missing or damaged" in detail(api.get(f"/thumbnails/{entry_id('0000_c1_0.png')}"), 404)
        assert api.get("/search", params={"id": entry_id("0000_c1_0.png")}).status_code == 200


# ---------------------------------------------------------------- the process


@pytest.fixture(scope="module")
def running(source: Path) -> Iterator[Server]:
    with server(source, "--serve.upload-timeout-s", "0.5") as own:
        yield own


def test_a_request_that_does_not_come_is_not_waited_for(running: Server) -> None:
    host, _, port = running.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        head = f"POST /search HTTP/1.1\r\nHost: {host}\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        line.sendall(head.encode() + b"Content-Length: 99\r\n\r\n--x\r\n")
        assert b" 408 " in line.recv(4096).partition(b"\r\n")[0]


@pytest.mark.parametrize("earlier", [b"", b"GET /health HTTP/1.1\r\nHost: localhost\r\n\r\n"], ids=["first", "later"])
def test_headers_that_come_byte_by_byte_are_not_waited_for(running: Server, earlier: bytes) -> None:
    host, _, port = running.address.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=10) as line:
        if earlier:
            line.sendall(earlier)
            assert b" 200 " in line.recv(65536).partition(b"\r\n")[0]
        begun = time.monotonic()
        with pytest.raises((ConnectionError, EOFError)):
            for letter in b"GET /health HTTP/1.1\r\nHost: localhost\r\nX-Slow: " + b"a" * 200:
                line.sendall(bytes([letter]))
                line.settimeout(0.05)
                with contextlib.suppress(TimeoutError):
                    if not line.recv(1):
                        raise EOFError
        assert 0.3 < time.monotonic() - begun < 5


def test_stopping_answers_what_is_inside_and_logs_are_structured(running: Server) -> None:
    import httpx

    statuses: list[int] = []

    def ask(number: int) -> None:
        with httpx.Client(verify=False, timeout=60) as http:
            for turn in range(200):
                try:
                    answer = http.post(
                        f"{running.address}/search", files={"image": image_bytes(number)}, params={"k": 3}
                    )
                except httpx.ConnectError:
                    return  # no longer listening
                statuses.append(answer.status_code)
                if turn == 2:
                    ready.set()

    ready = threading.Event()
    askers = [threading.Thread(target=ask, args=(number,)) for number in range(4)]
    for asker in askers:
        asker.start()
    assert ready.wait(60)
    assert running.stop() == 0
    for asker in askers:
        asker.join()
    assert set(statuses) == {200}
    requests = [line for line in running.log if line.get("path") == "/search" and line["status"] == 200]
    assert len(requests) == len(statuses)
    fields = {"time", "level", "logger", "message", "request", "client", "method", "status", "ms", "received_bytes"}
    assert fields <= set(requests[0])
    assert running.log[-1]["message"] == "stopped; all requests were answered"


# ---------------------------------------------------------------- the page's files


def test_nothing_comes_from_anywhere_else(api: Client) -> None:
    import re

    index = api.get("/").text
    policy = api.get("/").headers["content-security-policy"]
    assert "default-src 'none'" in policy and "unsafe" not in policy and "http" not in policy
    files = re.findall(r'(?:src|href)="([^"#]+)"', index)
    assert {"/page/page.js", "/page/page.css", "/page/look.css", "/docs"} <= set(files)
    texts = {url: api.get(url).text for url in [*files, "/page/view.js", "/page/api.js", "/"]}
    for url, text in texts.items():
        found = [link for link in re.findall(r"https?://[^\s\"'<>)]+", text) if "127.0.0.1" not in link]
        assert set(found) <= {"http://www.w3.org/2000/svg"}, f"{url}: {found}"
        if not url.startswith("/page"):
            assert not re.search(r"<script(?![^>]* src=)|<style| style=| on\w+=", text), f"{url} has inline code"
    for path in re.findall(r'from "([^"]+)"', "".join(texts.values())):
        assert path in texts
    assert api.get("/page/__init__.py").status_code == 404 and api.get("/page/index.html").status_code == 404


def test_the_documentation_tells_of_every_endpoint_and_field(api: Client) -> None:
    document, page = api.get("/openapi.json").json(), api.get("/docs").text
    endpoints = {(method, path) for path, methods in document["paths"].items() for method in methods}
    assert {path for _, path in endpoints} >= {
        "/search", "/add", "/remove", "/identities", "/thumbnails/{entry}", "/health", "/ready", "/metrics"
    }  # fmt: skip
    for method, path in endpoints:
        assert f"{method.upper()} {path}" in page
        assert document["paths"][path][method].get("description"), path
    for name, schema in document["components"]["schemas"].items():
        assert f'id="{name}"' in page
        for field in schema["properties"]:
            assert f"<code>{field}</code>" in page


def test_the_documentation_names_every_setting() -> None:
    text = (Path(__file__).parents[1] / "docs" / "serving.md").read_text(encoding="utf-8")
    for name in ServeConfig.__dataclass_fields__:
        assert f"`{name}`" in text, name
