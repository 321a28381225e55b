"""A gallery served over HTTP: search page, API, metrics. Needs no torch.

Parts: `connection` (headers in time), `guard` (who may call, and how much), `app` (endpoints), `messages` (what they
take and give), `batching` (work for several requests at once), `keeper` (the gallery's one writer), `catalogue` (one
state of it, to read), `page`.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import socket
from pathlib import Path

import uvicorn

from unrealperson.config import ServeConfig
from unrealperson.log import get_logger
from unrealperson.serve.app import Service
from unrealperson.serve.connection import timed
from unrealperson.serve.guard import is_loopback
from unrealperson.serve.keeper import Keeper

__all__ = ["Keeper", "Service", "serve"]

logger = get_logger(__name__)

TOKEN_VARIABLE = "UNREALPERSON_TOKEN"
MOST_CONNECTIONS = 1000
_LEAST_TOKEN = 16


def serve(gallery: str | Path, config: ServeConfig, *, model: str | Path | None = None) -> None:
    """Serves a gallery until the process is told to stop (SIGINT, SIGTERM); requests that are inside are answered.

    Args:
        gallery: folder of the gallery.
        config: section [serve].
        model: another file of the gallery's network; None takes its own.

    Raises:
        FileNotFoundError: no such gallery, model or token file.
        OSError: the address cannot be listened on.
        ValueError: a damaged gallery, another network, an unfit token, or an address that needs one.
    """
    token = read_token(config)
    with _listen(config, token=token) as listener:
        keeper = Keeper(gallery, model=model, threads=config.threads, device=config.device)
        service = Service(keeper, config, token=token)
        server = uvicorn.Server(
            uvicorn.Config(
                service.guard,
                http=timed(config.upload_timeout_s),
                lifespan="on",
                log_config=None,
                access_log=False,
                proxy_headers=False,
                server_header=False,
                limit_concurrency=MOST_CONNECTIONS,
                timeout_graceful_shutdown=max(1, round(config.shutdown_s)),
            )
        )
        _log_errors_of_uvicorn()
        host, port = listener.getsockname()[:2]
        address, images = f"http://{f'[{host}]' if ':' in host else host}:{port}", len(keeper.catalogue)
        logger.info(
            "%s serves %d images of %s%s; Ctrl-C stops", address, images, gallery, ", with a token" if token else "",
            extra={"fields": {"address": address, "images": images}},
        )  # fmt: skip
        # uvicorn ends what is inside at the first signal and raises it again afterwards: a clean end, not an error.
        before = {number: signal.signal(number, lambda *_: None) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            asyncio.run(server.serve(sockets=[listener]))
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def read_token(config: ServeConfig) -> str:
    """The token that requests must bring; "" is none.

    Args:
        config: section [serve].

    Raises:
        FileNotFoundError: the token file is missing.
        ValueError: a token that is too short, or holds other than printable ASCII characters.
    """
    source, token = TOKEN_VARIABLE, os.environ.get(TOKEN_VARIABLE, "")
    if config.token_file:
        source = config.token_file
        token = Path(config.token_file).read_text(encoding="utf-8", errors="replace").partition("\n")[0].strip()
    elif not token:
        return ""
    if len(token) < _LEAST_TOKEN or not token.isascii() or not token.isprintable() or " " in token:
        raise ValueError(
            f"the token of {source} must be {_LEAST_TOKEN} or more ASCII characters without spaces; "
            "make one: python3 -c 'import secrets; print(secrets.token_urlsafe())'"
        )
    return token


def _listen(config: ServeConfig, *, token: str) -> socket.socket:
    """A listening socket, before the model costs time."""
    try:
        family, _, _, _, address = socket.getaddrinfo(config.host, config.port, type=socket.SOCK_STREAM)[0]
    except socket.gaierror as error:
        raise ValueError(f"serve.host {config.host!r} is no address of this machine: {error}") from error
    if not token and not is_loopback(str(address[0])):
        raise ValueError(
            f"serve.host {config.host} can be reached from other machines, so a token is needed: set {TOKEN_VARIABLE} "
            "or serve.token_file, or keep 127.0.0.1"
        )
    try:
        return socket.create_server(address[:2], family=family, backlog=256)
    except OSError as error:
        raise OSError(
            f"{config.host}:{config.port} cannot be listened on ({os.strerror(error.errno or 0)}); --serve.port takes "
            "another port"
        ) from error


def _log_errors_of_uvicorn() -> None:
    own = logging.getLogger("unrealperson")
    theirs = logging.getLogger("uvicorn")
    theirs.handlers[:] = own.handlers
    theirs.propagate = not own.handlers
    theirs.setLevel(logging.WARNING)
