"""Active checks: ask every endpoint each 300 ms whether it serves, and tell the balancer.

A check that fails or takes longer than 300 ms is a miss; the balancer leaves an endpoint after
three. Checks pass by limiter and station over there, so a busy endpoint answers them.
Source: design.md, "Control plane"; gRPC Health Checking Protocol (grpc.health.v1).
"""

import asyncio
import time
from typing import Protocol

import grpc
from grpc_health.v1 import health_pb2

from gateway.channels import Channels, Connection, StubT
from resilience.policy.contract import Mode
from resilience.switches import Switches

CHECK_EVERY_S = 0.3  # design.md: three missed checks (300 ms each, every 300 ms)
CHECK_TIMEOUT_S = 0.3


class Checked(Protocol):
    """Who hears of a check's answer."""

    def on_check(self, endpoint: str, ok: bool, now_s: float) -> None:
        """Take one answer; False for a missed check."""


async def run_checks(channels: Channels[StubT], listener: Checked, switches: Switches) -> None:
    """Check all endpoints again and again until cancelled; none while ``checks`` is off."""
    while True:
        began_s = time.monotonic()
        if switches.mode("checks") is not Mode.OFF:
            await asyncio.gather(
                *(_check(each, listener) for each in channels.connections()),
            )
        await asyncio.sleep(max(0.0, began_s + CHECK_EVERY_S - time.monotonic()))


async def _check(connection: Connection[StubT], listener: Checked) -> None:
    try:
        answer = await connection.health.Check(
            health_pb2.HealthCheckRequest(), timeout=CHECK_TIMEOUT_S
        )
        ok = answer.status == health_pb2.HealthCheckResponse.SERVING
    except grpc.RpcError:
        ok = False
    listener.on_check(connection.endpoint.instance, ok, time.monotonic())
