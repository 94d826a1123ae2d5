"""Figures and readiness over HTTP: /metrics in Prometheus' text format, /livez, /readyz.

By hand, since ``shard`` stands on nothing but its parser: one request a connection, GET only.
Source: Prometheus exposition format 0.0.4.
Not handled: keep-alive, HEAD, content negotiation; a request larger than ``MAX_HEAD_BYTES``.
"""

import asyncio
from collections.abc import Callable, Mapping

PREFIX = "squall_shard_proxy_"
MAX_HEAD_BYTES = 8192
READ_TIMEOUT_S = 5.0

_REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 503: "Service Unavailable"}


def metrics_text(figures: Mapping[str, float]) -> str:
    """Write figures as Prometheus reads them: those named ``_total`` are counters."""
    lines = []
    for name, value in figures.items():
        kind = "counter" if name.endswith("_total") else "gauge"
        lines += [f"# TYPE {PREFIX}{name} {kind}", f"{PREFIX}{name} {value:.17g}"]
    return "\n".join([*lines, ""])


class Admin:
    """The admin port.

    Args:
        figures: Returns what /metrics tells.
        is_ready: Whether clients are served.
    """

    def __init__(
        self, figures: Callable[[], Mapping[str, float]], is_ready: Callable[[], bool]
    ) -> None:
        self._figures = figures
        self._is_ready = is_ready
        self._server: asyncio.Server | None = None

    async def listen(self, host: str, port: int) -> int:
        """Answer there; return the port.

        Raises:
            OSError: The port is taken, or the host isn't this machine's.
        """
        self._server = await asyncio.start_server(self._serve, host, port, limit=MAX_HEAD_BYTES)
        listening = self._server.sockets[0].getsockname()
        return int(listening[1])

    def close(self) -> None:
        """Answer no more."""
        if self._server is not None:
            self._server.close()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            async with asyncio.timeout(READ_TIMEOUT_S):
                head = await reader.readuntil(b"\r\n\r\n")
                writer.write(self._answer(head.split(b"\r\n", 1)[0]))
                await writer.drain()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            pass  # no request, too slow, or too large: nothing is owed
        finally:
            writer.close()

    def _answer(self, line: bytes) -> bytes:
        words = line.split(b" ")
        if len(words) != 3 or words[0] != b"GET":
            return _response(400, "only GET is answered\n")
        path = words[1].split(b"?", 1)[0]
        if path == b"/metrics":
            return _response(200, metrics_text(self._figures()))
        if path == b"/livez":
            return _response(200, "ok\n")
        if path == b"/readyz":
            ready = self._is_ready()
            return _response(200 if ready else 503, "ok\n" if ready else "not ready\n")
        return _response(404, "there are /metrics, /livez and /readyz\n")


def _response(status: int, text: str) -> bytes:
    body = text.encode()
    return (
        f"HTTP/1.1 {status} {_REASONS[status]}\r\nContent-Type: text/plain; version=0.0.4\r\n"
        f"Content-Length: {len(body)}\r\nConnection: close\r\n\r\n"
    ).encode() + body
