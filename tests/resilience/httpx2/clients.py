"""Clients over the resilient transport, and the plainest server script; shared by its tests."""

import random
import ssl
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import httpx2

from resilience.httpx2.transport import ResilientTransport
from resilience.pipeline import ClientPipeline
from resilience.policy.contract import Outcome
from resilience.policy.retry import RetrySettings
from resilience.switches import FixedSwitches
from tests.resilience.fakes import FakePicker
from tests.resilience.httpx2.server import Exchange, Script

SOON = RetrySettings(base_s=0.001)
LIMIT_S = 10.0
NO_TLS = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)  # empty: loading the system's takes a while


def pipeline_of(picker: FakePicker, **guards: Any) -> ClientPipeline:
    """Make a pipeline that retries soon."""
    return ClientPipeline(
        "prices", picker, FixedSwitches(), retry=SOON, rng=random.Random(1), **guards
    )


@asynccontextmanager
async def client_of(
    *endpoints: str, options: dict[str, Any] | None = None, **guards: Any
) -> AsyncIterator[tuple[httpx2.AsyncClient, FakePicker]]:
    """Make a client of those endpoints, whose URLs name another host."""
    picker = FakePicker(*endpoints)
    inner = httpx2.AsyncHTTPTransport(verify=NO_TLS)
    transport = ResilientTransport(pipeline_of(picker, **guards), inner, **(options or {}))
    async with httpx2.AsyncClient(
        transport=transport, base_url="http://prices.test", timeout=LIMIT_S
    ) as client:
        yield client, picker


def outcomes(picker: FakePicker) -> Sequence[Outcome]:
    """Return how the attempts ended."""
    assert not any(picker.active.values())
    return [outcome for _, outcome in picker.finished]


def say(text: bytes) -> Script:
    """Answer everything with that."""

    def script(exchange: Exchange, number: int) -> None:
        exchange.answer(200, text)

    return script
