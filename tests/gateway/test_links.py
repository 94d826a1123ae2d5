"""Another way to the same replica: calls and checks take it, and switching fails no request."""

import asyncio
from collections import Counter

import httpx2
import pytest

from kit.directory import Endpoint
from resilience.policy.contract import Mode
from tests.gateway.lab import SmallLab, small_lab, until
from tests.relay import Relay, relay_to

pytestmark = pytest.mark.integration


def lead(lab: SmallLab, instance: str, relay: Relay) -> Endpoint:
    """Lead the gateway to a replica through a relay; return the direct way."""
    direct = lab.services.endpoints[instance]
    lab.services.endpoints[instance] = Endpoint(instance, *relay.address)
    lab.announce()
    return direct


async def test_switching_ways_fails_no_request() -> None:
    """Six callers at once, calls of 20 ms, the way turned six times.

    Without deadlines: on a busy machine they would fail what switching doesn't.
    """
    async with small_lab() as lab:
        lab.node.modes["deadline"] = Mode.OFF
        lab.services.trouble["video.1"].delay_s = 0.02
        direct = lab.services.endpoints["video.1"]
        codes: Counter[int] = Counter()
        is_over = False

        async def keep_asking() -> None:
            """Ask for the list, again and again."""
            async with httpx2.AsyncClient(base_url=lab.base_url, timeout=30.0) as client:
                while not is_over:
                    codes[(await client.get("/v1/videos")).status_code] += 1

        async with relay_to(direct.host, direct.port) as relay, asyncio.TaskGroup() as group:
            asking = [group.create_task(keep_asking()) for _ in range(6)]
            for turn in range(6):
                before = codes.total()
                if turn % 2:
                    lab.services.endpoints["video.1"] = direct
                    lab.announce()
                else:
                    lead(lab, "video.1", relay)
                await until(lambda before=before: codes.total() > before + 18, 30.0)  # type: ignore[misc]
            is_over = True
            await asyncio.wait(asking)
            assert relay.byte_count > 0
            await until(lambda: relay.open_count == 0)
        assert set(codes) == {200}


async def test_checks_go_the_way_of_the_calls() -> None:
    """A way that is cut takes the replica out for this client, under its own name; then it is back.

    The replica itself is well, and answers whoever goes the direct way.
    """
    async with small_lab(2) as lab, httpx2.AsyncClient(base_url=lab.base_url) as client:
        balancer = lab.node.gates["video.balancer"]
        direct = lab.services.endpoints["video.1"]
        async with relay_to(direct.host, direct.port) as relay:
            lead(lab, "video.1", relay)
            await until(lambda: relay.open_count > 0)
        await until(lambda: not balancer.snapshot()["video.1.usable"])
        assert {(await client.get("/v1/videos")).status_code for _ in range(20)} == {200}

        lab.services.endpoints["video.1"] = direct
        lab.announce()
        assert not balancer.snapshot()["video.1.usable"]  # the name is known, and what it did
        await until(lambda: bool(balancer.snapshot()["video.1.usable"]))
        assert {(await client.get("/v1/videos")).status_code for _ in range(20)} == {200}
