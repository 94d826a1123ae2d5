"""A rate for each tenant, or each client, at the door of an HTTP server."""

import json
from collections.abc import Callable

import pytest

from resilience.asgi.context import ContextMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.asgi.types import Scope, header
from resilience.policy.gcra import Gcra
from resilience.policy.keyed import KeyedRate, RateGate
from resilience.policy.pools import by_key
from resilience.policy.sliding_window import SlidingLog, SlidingWindow
from resilience.policy.token_bucket import TokenBucket
from resilience.summary import Finished
from resilience.switches import FixedSwitches
from tests.resilience.asgi.client import Client, ok

MAKERS: list[Callable[[], RateGate]] = [
    lambda: TokenBucket(0.5, 2.0),
    lambda: Gcra(0.5, 2.0),
    lambda: SlidingWindow(2.0, 4.0),
    lambda: SlidingLog(2.0, 4.0),
]


class Shop:
    """A server with a rate at its door, and a clock of its own."""

    def __init__(self, gate: KeyedRate, key_of: Callable[[Scope], str] | None = None) -> None:
        self.now_s = 64.0
        self.finished: list[Finished] = []
        limiter = LimiterMiddleware(
            ok,
            gate,
            switches=FixedSwitches(),
            scope_name="shop.1",
            clock=lambda: self.now_s,
            key_of=key_of,
        )
        self.app = ContextMiddleware(
            limiter,
            instance="shop.1",
            switches=FixedSwitches(),
            on_finish=self.finished.append,
            clock=lambda: self.now_s,
        )

    async def ask(self, **headers: str) -> Client:
        """Send one request."""
        return await Client(self.app, headers=headers).run()


@pytest.mark.parametrize("make", MAKERS)
async def test_each_tenant_has_its_own_rate(make: Callable[[], RateGate]) -> None:
    """Who is over his gets 429, by name and with a time; the others notice nothing."""
    shop = Shop(KeyedRate(make))
    noisy = [await shop.ask(baggage="squall.tenant=noisy") for _ in range(3)]
    quiet = await shop.ask(baggage="squall.tenant=quiet")

    assert [client.status for client in noisy] == [200, 200, 429]
    assert quiet.status == 200
    refused = noisy[-1]
    assert refused.answer["x-squall-decision"] == "rate; shop.1/noisy; 3/2"
    assert json.loads(refused.content)["reason"] == "RATE_EXCEEDED"
    detail = shop.finished[2].context.notes[0].detail
    assert (detail["scope"], detail["key"]) == ("shop.1", "noisy")

    shop.now_s += int(refused.answer["retry-after"])
    assert (await shop.ask(baggage="squall.tenant=noisy")).status == 200


async def test_each_client_has_its_own_rate() -> None:
    """By what the server knows of it; here a header that a proxy in front has set."""
    shop = Shop(
        KeyedRate(lambda: TokenBucket(0.5, 1.0), key_of=by_key),
        key_of=lambda scope: header(scope, b"x-real-ip") or "",
    )
    first = [await shop.ask(**{"x-real-ip": "192.0.2.1"}) for _ in range(2)]
    other = await shop.ask(**{"x-real-ip": "192.0.2.2"})

    assert [client.status for client in (*first, other)] == [200, 429, 200]
    assert first[1].answer["x-squall-decision"] == "rate; shop.1/192.0.2.1; 2/1"
    assert first[1].answer["retry-after"] == "2"


async def test_a_flood_of_invented_tenants_takes_nobody_s_rate() -> None:
    """They share one; the table stays small."""
    gate = KeyedRate(lambda: TokenBucket(0.5, 2.0), max_keys=1)
    shop = Shop(gate)
    assert (await shop.ask(baggage="squall.tenant=blue")).status == 200
    flood = [await shop.ask(baggage=f"squall.tenant=x{each}") for each in range(50)]

    assert sum(client.status == 200 for client in flood) == 2
    assert (await shop.ask(baggage="squall.tenant=blue")).status == 200
    assert gate.snapshot()["keys"] == 1
