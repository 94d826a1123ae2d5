"""The kinds of checks: one object for each endpoint, which is asked again and again.

A check is missed when the answer isn't the good one, or doesn't come in time. One that can't be
answered at all (refused, reset) counts as missed too: only requests mark a backend at once.
Source: Envoy's health checkers (http, tcp, grpc) and the gRPC Health Checking Protocol
(grpc.health.v1), whose only good answer is SERVING.
Not handled: TLS to backends; bytes to send and to expect over TCP.
"""

import asyncio
from typing import TYPE_CHECKING, Protocol

import httptools

from lb.endpoints import Endpoint
from lb.l7.settings import CHECK_PATH, CHECK_TIMEOUT_S
from lb.probe import probe

if TYPE_CHECKING:
    import grpc


class Checker(Protocol):
    """Whoever checks one endpoint."""

    async def check(self) -> bool:
        """Ask once; whether the answer was good."""

    async def close(self) -> None:
        """Drop the connection."""


# What a check may end with; TimeoutError is an OSError, and a 101 is an exception of its own.
_NO_ANSWER = (OSError, httptools.HttpParserError, httptools.HttpParserUpgrade)


class _Answer:
    """Parse one answer to a check."""

    def __init__(self) -> None:
        self._parser = httptools.HttpResponseParser(self)
        self.is_complete = False
        self._is_ok = False
        self._keeps_alive = False

    def on_headers_complete(self) -> None:
        self._is_ok = 200 <= self._parser.get_status_code() < 300
        self._keeps_alive = self._parser.should_keep_alive()

    def on_message_complete(self) -> None:
        self.is_complete = True

    async def read(self, reader: asyncio.StreamReader) -> tuple[bool, bool]:
        """Return whether the answer was 2xx, and whether the connection may be kept."""
        while not self.is_complete:
            data = await reader.read(16 * 1024)
            if not data:
                raise ConnectionResetError("closed before the answer was complete")
            self._parser.feed_data(data)
        return self._is_ok, self._keeps_alive


class HttpChecker:
    """Ask one endpoint by HTTP, on a connection kept for that; an answer 2xx is good.

    Args:
        endpoint: Whom.
        path: What to ask for.
        timeout_s: A check without an answer by then is missed.
    """

    def __init__(
        self, endpoint: Endpoint, *, path: str = CHECK_PATH, timeout_s: float = CHECK_TIMEOUT_S
    ) -> None:
        self.endpoint = endpoint
        self._timeout_s = timeout_s
        self._request = (
            f"GET {path} HTTP/1.1\r\nhost: {endpoint.host}:{endpoint.port}\r\n"
            "user-agent: squall-l7-check\r\n\r\n"
        ).encode()
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def check(self) -> bool:
        """Ask once."""
        was_kept = self._streams is not None
        try:
            async with asyncio.timeout(self._timeout_s):
                try:
                    return await self._ask()
                except _NO_ANSWER:
                    self._drop()
                    if not was_kept:
                        return False
                    return await self._ask()  # a kept connection may have been closed as idle
        except _NO_ANSWER:
            self._drop()
            return False

    async def close(self) -> None:
        """Drop the connection."""
        self._drop()

    def _drop(self) -> None:
        if self._streams is not None:
            self._streams[1].transport.abort()
            self._streams = None

    async def _ask(self) -> bool:
        if self._streams is not None and self._streams[1].is_closing():
            self._drop()  # reset while it was idle; uvloop would raise a RuntimeError at writing
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.endpoint.host, self.endpoint.port)
        reader, writer = self._streams
        writer.write(self._request)
        ok, keeps_alive = await _Answer().read(reader)
        if not keeps_alive:
            self._drop()
        return ok


class TcpChecker:
    """Connect to one endpoint; whoever accepts is well.

    Args:
        endpoint: Whom.
        timeout_s: One that takes longer is missed.
    """

    def __init__(self, endpoint: Endpoint, *, timeout_s: float = CHECK_TIMEOUT_S) -> None:
        self._endpoint = endpoint
        self._timeout_s = timeout_s

    async def check(self) -> bool:
        """Connect once."""
        return (await probe(self._endpoint.host, self._endpoint.port, self._timeout_s)).ok

    async def close(self) -> None:
        """Nothing is kept."""


class GrpcChecker:
    """Ask one endpoint's health service; SERVING is good.

    Args:
        endpoint: Whom.
        service: Whose health is asked for; "" is the server's as a whole.
        timeout_s: An answer that takes longer is missed.
    """

    def __init__(
        self, endpoint: Endpoint, *, service: str = "", timeout_s: float = CHECK_TIMEOUT_S
    ) -> None:
        self._endpoint = endpoint
        self._service = service
        self._timeout_s = timeout_s
        self._channel: grpc.aio.Channel | None = None

    async def check(self) -> bool:
        """Ask once."""
        import grpc  # here: half a second of imports that no other kind needs
        from grpc_health.v1 import health_pb2, health_pb2_grpc

        if self._channel is None:
            self._channel = grpc.aio.insecure_channel(
                f"{self._endpoint.host}:{self._endpoint.port}"
            )
        stub = health_pb2_grpc.HealthStub(self._channel)
        try:
            answer = await stub.Check(
                health_pb2.HealthCheckRequest(service=self._service), timeout=self._timeout_s
            )
        except grpc.RpcError:
            return False
        return bool(answer.status == health_pb2.HealthCheckResponse.SERVING)

    async def close(self) -> None:
        """Close the channel."""
        if self._channel is not None:
            await self._channel.close(None)
            self._channel = None
