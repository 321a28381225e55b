"""What trials ask of a server: to add an image, to search with it, to remove it."""

from __future__ import annotations

import json
import os
import urllib.request
from typing import Any

from trials.running import Running


def address_of(running: Running) -> str:
    """Where a server that was started with --log-json listens, once it does.

    Args:
        running: the verb serve.
    """
    running.until(lambda: '"address"' in running.words)
    lines = [json.loads(line) for line in running.words.splitlines() if '"address"' in line]
    if not lines:
        raise RuntimeError(f"the server did not start: {running.words}")
    return str(lines[0]["address"])


def add(address: str, image: bytes) -> list[str]:
    """Adds an image; returns its entry, or nothing where the gallery had it.

    Args:
        address: of the server.
        image: content of the file.
    """
    return [entry["id"] for entry in _send(address, "add", "images", image)["entries"] if entry["added"]]


def path_of(address: str, entry: str) -> str:
    """Where an entry's image lies below the gallery's root.

    Args:
        address: of the server.
        entry: its id.
    """
    with urllib.request.urlopen(f"{address}/entries/{entry}", timeout=60) as answer:
        return str(json.load(answer)["path"])


def search(address: str, image: bytes) -> list[str]:
    """Entries that resemble an image, best first.

    Args:
        address: of the server.
        image: content of the file.
    """
    return [hit["id"] for hit in _send(address, "search", "image", image)["hits"]]


def remove(address: str, entries: list[str]) -> int:
    """Removes entries; returns how many.

    Args:
        address: of the server.
        entries: their ids.
    """
    request = urllib.request.Request(f"{address}/remove", json.dumps({"ids": entries}).encode())
    request.add_header("Content-Type", "application/json")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return int(json.load(answer)["removed"])


def _send(address: str, where: str, field: str, image: bytes) -> dict[str, Any]:
    boundary = os.urandom(8).hex()
    start = f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; filename="a.png"\r\n\r\n'
    body = start.encode() + image + f"\r\n--{boundary}--\r\n".encode()
    request = urllib.request.Request(f"{address}/{where}", body)
    request.add_header("Content-Type", f"multipart/form-data; boundary={boundary}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        return dict(json.load(answer))
