"""The gateway's breaker and hedges, as switches and choices say, over real sockets."""

import httpx2
import pytest

from gateway.upstreams import STATES
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from resilience.policy.hedge import HEDGE_MIN_SAMPLES
from tests.gateway.lab import SmallLab, small_lab

pytestmark = pytest.mark.integration

DOWN = ServiceError(Code.INTERNAL, "BROKEN", "broken")
LIST = "/v1/videos"


def figure(lab: SmallLab, name: str) -> int:
    """Return a count of the hedges to the video service."""
    return int(str(lab.node.gates["video.hedge"].snapshot()[name]))


def test_the_states_are_judged_as_hystrix_does() -> None:
    """20 calls in 10 s, half of them failed; 5 s open, then three probes."""
    assert (STATES.window_s, STATES.min_calls, STATES.failure_ratio) == (10.0, 20, 0.5)
    assert (STATES.open_s, STATES.half_open_calls) == (5.0, 3)


async def test_the_breaker_with_states_is_chosen_live_and_says_that_it_is_open() -> None:
    """At the 20th failure it opens; the refusal names it, and the service is left alone."""
    async with small_lab() as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        await client.get(LIST)
        assert lab.node.gates["video.breaker"].snapshot()["by"] == "sre"

        lab.node.choices["breaker"] = "states"
        lab.node.modes["breaker"] = Mode.ON
        video = lab.services.trouble["video.1"]
        video.error = DOWN
        for _ in range(STATES.min_calls):
            assert (await client.get(LIST)).json()["reason"] == "BROKEN"
        before = len(video.calls)
        refused = await client.get(LIST)

        assert (refused.status_code, refused.json()["reason"]) == (503, "BREAKER_OPEN")
        assert refused.headers["x-squall-decision"].startswith("breaker; gateway.1>video; ")
        assert len(video.calls) == before
        figures = lab.node.gates["video.breaker"].snapshot()
        assert (figures["by"], figures["state"]) == ("states", "open")


async def test_a_slow_replica_is_outrun_when_hedging_is_on_and_counted_in_shadow() -> None:
    """After a hundred answers; only the replica that is not slow answers then."""
    async with small_lab(2) as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        for _ in range(HEDGE_MIN_SAMPLES):
            assert (await client.get(LIST)).status_code == 200
        slow = lab.services.trouble["video.1"]
        slow.delay_s = 0.6  # three of its calls would fill the budget
        before = figure(lab, "would_send")
        while figure(lab, "would_send") == before:
            assert (await client.get(LIST)).status_code == 200
        assert figure(lab, "sent") == 0

        lab.node.modes["hedge"] = Mode.ON
        slow.delay_s = 30.0  # none of these would answer in time
        while figure(lab, "won") == 0:
            assert (await client.get(LIST)).status_code == 200
        assert figure(lab, "sent") >= 1
