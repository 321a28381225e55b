"""What every request passes before the application sees it: who may call, how much may be sent, how many at a time.

Plain ASGI, so that a body that is too long, too slow or unasked for is refused before anything has read it.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
import ipaddress
import json
import secrets
import time
from typing import Any
from urllib.parse import urlsplit

from fastapi import HTTPException

from unrealperson.config import ServeConfig
from unrealperson.log import get_logger
from unrealperson.serve.batching import Gate, Overloaded
from unrealperson.serve.metrics import Metrics

logger = get_logger(__name__)

OPEN_PATHS = frozenset(("/", "/health", "/ready", "/docs", "/openapi.json"))
"""Need no token: they tell nothing of the gallery. The page's own files do not either."""
PAGE_FILES = "/page/"
GATED_PATHS = frozenset(("/search", "/add", "/remove"))
_LOOPBACK_NAMES = frozenset(("localhost", "127.0.0.1", "::1"))
_LONGEST_LENGTH = 18
_METHODS = frozenset(("GET", "HEAD", "POST"))
_SAFE_METHODS = frozenset(("GET", "HEAD", "OPTIONS"))
_HEADERS = tuple(
    (name.encode(), value.encode())
    for name, value in {
        "content-security-policy": (
            "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; connect-src 'self'; "
            "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
        ),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cross-origin-resource-policy": "same-origin",
        "cross-origin-opener-policy": "same-origin",
    }.items()
)


class Refusal(Exception):
    """A request that goes no further.

    Attributes:
        status: HTTP status.
        headers: more headers of the answer.
    """

    def __init__(self, status: int, detail: str, **headers: str) -> None:
        super().__init__(detail)
        self.status = status
        self.headers = {name.replace("_", "-"): value for name, value in headers.items()}


class Guard:
    """The outermost part of the server.

    Attributes:
        gate: counts the requests that take work.
    """

    def __init__(self, app: Any, config: ServeConfig, *, token: str, metrics: Metrics) -> None:
        """Wraps an application.

        Args:
            app: ASGI application.
            config: limits.
            token: that requests must bring; "" is none.
            metrics: what requests are counted with.
        """
        self.gate = Gate(config.queue)
        self._app = app
        self._config = config
        self._token = token.encode()
        self._metrics = metrics
        self._most_bytes = int(config.max_upload_mb * 1e6)
        self._hosts = None if token else _LOOPBACK_NAMES | {name.lower() for name in config.hosts}

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        """Answers a request, or passes the start and end of the server on."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send, most_bytes=self._most_bytes, seconds=self._config.upload_timeout_s)
        try:
            self._check(scope, exchange.headers)
            if scope["path"] in GATED_PATHS and scope["method"] not in ("OPTIONS", "HEAD"):
                with self.gate.entered():
                    self._metrics.inside.set(self.gate.inside)
                    await self._app(scope, exchange.receive, exchange.send)
                self._metrics.inside.set(self.gate.inside)
            else:
                await self._app(scope, exchange.receive, exchange.send)
        except Refusal as refusal:
            await exchange.refuse(refusal)
        except Overloaded as overload:
            await exchange.drain()
            await exchange.refuse(Refusal(429, str(overload), retry_after=str(overload.retry_after_s)))
        except Exception:
            # Starlette has answered with 500 and raised the error again for the log.
            logger.exception("an error of the server", extra={"fields": {"request": exchange.id}})
            if not exchange.status:
                await exchange.refuse(Refusal(500, "an error of the server; its log tells more"))
        finally:
            self._record(scope, exchange)

    def _check(self, scope: dict[str, Any], headers: dict[bytes, bytes]) -> None:
        host = headers.get(b"host", b"").decode("latin-1")
        if self._hosts is not None:
            # Without a token only the browser's rules keep other sites out: a name that is made to point here is not
            # one of ours, and neither is a page that sends a form to us.
            if _host_name(host) not in self._hosts:
                raise Refusal(
                    403, f"this server does not answer to the name {host[:100]!r}; --serve.hosts gives it more names"
                )
            origin = headers.get(b"origin")
            if scope["method"] not in _SAFE_METHODS and origin is not None:
                if origin.partition(b"://")[2].lower() != headers[b"host"].lower():
                    raise Refusal(403, "pages of other sites may not call this server")
        elif scope["path"] not in OPEN_PATHS and not scope["path"].startswith(PAGE_FILES):
            scheme, _, given = headers.get(b"authorization", b"").partition(b" ")
            if scheme.lower() != b"bearer" or not hmac.compare_digest(given.strip(), self._token):
                raise Refusal(401, "a valid 'Authorization: Bearer TOKEN' is needed", www_authenticate="Bearer")
        length = headers.get(b"content-length", b"0")
        if length.isdigit() and (len(length) > _LONGEST_LENGTH or int(length) > self._most_bytes):
            raise too_large(self._most_bytes)

    def _record(self, scope: dict[str, Any], exchange: _Exchange) -> None:
        seconds = time.monotonic() - exchange.start
        method = scope["method"] if scope["method"] in _METHODS else "other"
        route = getattr(scope.get("route"), "path", "other")
        self._metrics.answered(method, route, exchange.status, seconds=seconds, received=exchange.received)
        client = scope.get("client") or ("unknown", 0)
        fields = {
            "request": exchange.id,
            "client": client[0],
            "method": scope["method"],
            "path": scope["path"],
            "status": exchange.status,
            "ms": round(1e3 * seconds, 1),
            "received_bytes": exchange.received,
        }
        level = 20 if route not in ("/health", "/ready", "/metrics", "/thumbnails/{entry}") else 10
        logger.log(
            level, "%s %s %d, %.1f ms", method, scope["path"], exchange.status, 1e3 * seconds, extra={"fields": fields}
        )


class _Exchange:
    """One request and its answer: bounds what is received, completes what is sent."""

    def __init__(self, scope: dict[str, Any], receive: Any, send: Any, *, most_bytes: int, seconds: float) -> None:
        self.id = secrets.token_hex(8)
        self.start = time.monotonic()
        self.status = 0
        self.received = 0
        self.headers: dict[bytes, bytes] = dict(scope["headers"])
        self._receive, self._send = receive, send
        self._most_bytes = most_bytes
        self._deadline = self.start + seconds
        self._whole = False

    async def receive(self) -> Any:
        if self._whole:
            return await self._receive()
        try:
            async with asyncio.timeout(self._deadline - time.monotonic()):
                message = await self._receive()
        except TimeoutError:
            raise HTTPException(408, "the request took too long to arrive", {"connection": "close"}) from None
        if message["type"] == "http.request":
            self.received += len(message.get("body", b""))
            self._whole = not message.get("more_body", False)
            if self.received > self._most_bytes:
                refusal = too_large(self._most_bytes)
                raise HTTPException(refusal.status, str(refusal), refusal.headers)
        return message

    async def send(self, message: Any) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            message["headers"] = [*message.get("headers", ()), *_HEADERS, (b"x-request-id", self.id.encode())]
        await self._send(message)

    async def drain(self) -> None:
        """Reads the body away, for a client that can only hear the answer when it has sent all."""
        with contextlib.suppress(HTTPException):
            while not self._whole and (await self.receive())["type"] == "http.request":
                pass

    async def refuse(self, refusal: Refusal) -> None:
        body = json.dumps({"detail": str(refusal)}).encode()
        headers = {"content-type": "application/json", "content-length": str(len(body)), **refusal.headers}
        pairs = [(name.encode(), value.encode()) for name, value in headers.items()]
        await self.send({"type": "http.response.start", "status": refusal.status, "headers": pairs})
        await self._send({"type": "http.response.body", "body": body})


def too_large(most_bytes: int) -> Refusal:
    """The refusal of a body.

    Args:
        most_bytes: that are accepted.
    """
    return Refusal(413, f"the request is larger than {most_bytes} bytes (serve.max_upload_mb)", connection="close")


def is_loopback(host: str) -> bool:
    """Whether an address is reached from this machine alone.

    Args:
        host: numeric address.
    """
    return ipaddress.ip_address(host.partition("%")[0]).is_loopback


def _host_name(host: str) -> str:
    try:
        return urlsplit(f"//{host}").hostname or ""
    except ValueError:
        return ""
