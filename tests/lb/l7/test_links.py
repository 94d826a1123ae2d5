"""Another way to the same backend: requests and checks take it, and switching fails none."""

import asyncio
from collections import Counter

import pytest

from lb.l7.checks import CheckOptions, Checks
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, Where, answering, ok, rig, until
from tests.relay import relay_to

pytestmark = pytest.mark.integration

# Retries off: what switching breaks is to be seen.
ALONE = FixedSwitches({"retry": Mode.OFF, "checks": Mode.ON})


async def test_switching_ways_fails_no_request() -> None:
    """Eight clients with open connections, ten turns, retries off: every answer is a 200."""

    async def slowly(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer each request after 2 ms, so that some are always under way."""
        while True:
            await backend.read_head(reader)
            await asyncio.sleep(0.002)
            writer.write(ok())

    async with rig(slowly, switches=ALONE) as lab:
        codes: Counter[int] = Counter()
        is_over = False

        async def keep_asking() -> None:
            """Ask on one connection, again and again."""
            client = await lab.client()
            while not is_over:
                client.get()
                codes[(await client.answer()).status] += 1

        direct = lab.backends[0].where
        async with relay_to(direct.host, direct.port) as relay, asyncio.TaskGroup() as group:
            asking = [group.create_task(keep_asking()) for _ in range(8)]
            for turn in range(10):
                before = codes.total()
                way = direct if turn % 2 else Where(direct.instance, *relay.address)
                lab.proxy.set_endpoints([way])
                await until(lambda before=before: codes.total() > before + 80)  # type: ignore[misc]
            is_over = True
            await asyncio.wait(asking)
            assert relay.connection_count > 0
            await until(lambda: relay.open_count == 0)
        assert set(codes) == {200}
        snapshot = lab.proxy.snapshot()
        assert snapshot["gateway.1.connections"] == snapshot["gateway.1.idle"]


async def test_a_cut_way_fails_the_checks_of_this_client_only() -> None:
    """The backend is left under its own name while its way is cut, and is back with the way."""
    async with rig(answering(ok()), answering(ok()), switches=ALONE) as lab:
        balancer = lab.proxy.balancer
        checks = Checks(balancer, ALONE.mode, options=CheckOptions(interval_s=0.02))
        wheres = [backend.where for backend in lab.backends]
        cut = [Where("gateway.1", "127.0.0.1", 1), wheres[1]]
        for ways, usable in ((wheres, True), (cut, False), (wheres, True)):
            lab.proxy.set_endpoints(ways)
            checks.set_endpoints(ways)
            await until(lambda usable=usable: ("gateway.1" in balancer.candidates) is usable)  # type: ignore[misc]
            assert {(await lab.ask()).status for _ in range(6)} == {200}
        await checks.close()
