"""Connections whose requests must arrive in time: a client that sends headers byte by byte holds no place for long."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


def timed(seconds: float) -> type[H11Protocol]:
    """A protocol for uvicorn that closes a connection whose request line and headers are not whole in time.

    The body has its own limit, which `guard` holds, and uvicorn's keep-alive ends connections that say nothing.

    Args:
        seconds: from the connection, or from the first byte of a later request, to the end of the headers.
    """

    class Timed(H11Protocol):
        _end: asyncio.TimerHandle | None = None

        def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
            super().connection_made(transport)
            self._await_headers()

        def connection_lost(self, exc: Exception | None) -> None:
            self._forget()
            super().connection_lost(exc)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            if self.conn.their_state is not h11.IDLE:
                self._forget()
            elif self._end is None and self.conn.trailing_data[0]:
                self._await_headers()

        def _await_headers(self) -> None:
            self._end = asyncio.get_running_loop().call_later(seconds, self.transport.close)

        def _forget(self) -> None:
            if self._end is not None:
                self._end.cancel()
                self._end = None

    return Timed
