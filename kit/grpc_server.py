"""Serve gRPC as a process of the lab: grpc.aio inside, the node's life and policies around it.

Interceptors, outermost first: in flight > context and recorder > deadline > admission > faults >
station > the handler. So a delay that a fault adds spends the request's budget and holds its place
in the limiter, and the station is what the limiter protects. The standard health service passes all
of them. Errors become statuses, and bugs become INTERNAL without their text, in
``resilience.rpc.server``.
Not handled: streams (they pass unguarded); TLS.
"""

import asyncio
from collections.abc import Callable
from typing import Any

import grpc
import grpc.aio
from grpc_health.v1 import health, health_pb2, health_pb2_grpc

from faults.grpc import FaultInterceptor
from kit.admission import admit_by
from kit.errors import LabEnvironmentError
from kit.grpc_station import StationInterceptor
from kit.lifecycle import Lifecycle
from kit.listen import bind
from kit.node import Node
from kit.summaries import record_to
from resilience.rpc.server import ContextInterceptor, DeadlineInterceptor, LimiterInterceptor
from resilience.rpc.wrap import ServicerContext, Unary, UnaryInterceptor

GRPC_PORT = 9090
MAX_MESSAGE_BYTES = 1_048_576  # issue 2: bodies over 1 MiB are refused; nothing inside is larger
MAX_METADATA_BYTES = 16_384  # gRPC core's own default hard limit
KEEPALIVE_MS = 20_000  # notices a peer that vanished without a word
KEEPALIVE_TIMEOUT_MS = 5_000
MIN_PING_MS = 5_000  # clients may ping every 10 s without being called abusive

OPTIONS: tuple[tuple[str, int], ...] = (
    ("grpc.so_reuseport", 0),
    ("grpc.max_receive_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_send_message_length", MAX_MESSAGE_BYTES),
    ("grpc.max_metadata_size", MAX_METADATA_BYTES),
    ("grpc.keepalive_time_ms", KEEPALIVE_MS),
    ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
    ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_MS),
    ("grpc.keepalive_permit_without_calls", 1),
)


async def serve_grpc(
    node: Node,
    add_servicers: Callable[[grpc.aio.Server], None],
    port: int = GRPC_PORT,
) -> None:
    """Serve until the node is told to stop, then drain.

    Args:
        node: Started.
        add_servicers: Registers the service's servicers with the server.
        port: Where to listen, on the node's address.

    Raises:
        LabEnvironmentError: When the port is taken.
    """
    server = grpc.aio.server(interceptors=interceptors(node), options=OPTIONS)
    health_service = health.aio.HealthServicer()  # type: ignore[attr-defined]
    health_pb2_grpc.add_HealthServicer_to_server(health_service, server)
    add_servicers(server)
    _listen(server, node.settings.bind_host, port)
    await server.start()
    node.port = port
    reporting = _Health(health_service)
    reporting.on_ready(False)
    node.lifecycle.on_ready_change(reporting.on_ready)

    async def close(limit_s: float) -> None:
        """Refuse new calls, let those in flight finish."""
        await server.stop(limit_s or None)
        await reporting.close()

    try:
        await node.lifecycle.serve(close)
    finally:
        await server.stop(None)


def interceptors(node: Node) -> list["grpc.aio.ServerInterceptor[Any, Any]"]:
    """Return what guards the calls of a process, outermost first."""
    limiter = LimiterInterceptor(
        admit_by(node).gate, switches=node, scope=node.instance, observer=node.events
    )
    context = ContextInterceptor(switches=node, on_finish=record_to(node.recorder, node.instance))
    node.register_gate("abandoned", context.detached)
    return [
        InFlightInterceptor(node.lifecycle),
        context,
        DeadlineInterceptor(switches=node),
        limiter,
        FaultInterceptor(node.faults),
        StationInterceptor(node.station),
    ]


class InFlightInterceptor(UnaryInterceptor):
    """Count the calls being served, so that a drain knows when it is done."""

    def __init__(self, lifecycle: Lifecycle) -> None:
        super().__init__()
        self._lifecycle = lifecycle

    async def handle(
        self, method: str, inner: Unary, request: Any, servicer: ServicerContext
    ) -> Any:
        """Count the call in and out."""
        self._lifecycle.begin_request()
        try:
            return await inner(request, servicer)
        finally:
            self._lifecycle.end_request()


class _Health:
    """Keep the standard health service in step with readiness."""

    def __init__(self, servicer: Any) -> None:
        self._servicer = servicer
        self._setting: set[asyncio.Task[None]] = set()

    def on_ready(self, is_ready: bool) -> None:
        statuses = health_pb2.HealthCheckResponse
        status = statuses.SERVING if is_ready else statuses.NOT_SERVING
        task = asyncio.ensure_future(self._servicer.set("", status))
        self._setting.add(task)
        task.add_done_callback(self._setting.discard)

    async def close(self) -> None:
        await asyncio.gather(*self._setting, return_exceptions=True)


def _listen(server: grpc.aio.Server, host: str, port: int) -> None:
    # gRPC core says only "failed to bind"; trying first gives the reason and the advice.
    bind(host, port).close()
    try:
        server.add_insecure_port(f"{host}:{port}")
    except RuntimeError as error:
        raise LabEnvironmentError(f"cannot listen on {host}:{port}: {error}") from error
