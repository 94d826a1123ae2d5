"""What l7 does at an operator's word, with a real control store and a node of its own."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import pytest

from kit.control import ControlClient
from kit.node import Node
from lb.l7.operator import obey
from tests.kit.lab import client_of, settings_for
from tests.lb.l7.rig import Rig, answering, ok, rig, until
from tests.valkey import start_valkey

pytestmark = pytest.mark.integration


@asynccontextmanager
async def operated() -> AsyncIterator[tuple[Rig, Node, ControlClient]]:
    """Run a proxy before two backends that obeys a node of the name l7.1."""
    with start_valkey() as server:
        async with client_of(server) as control, rig(answering(ok()), answering(ok())) as lab:
            await control.read()  # settles the new server at once
            node = Node(settings_for(server, "l7", 1), settle_s=0.0)
            await node.start()
            obey(node, lab.proxy)
            try:
                yield lab, node, control
            finally:
                await node.stop()


async def test_a_drained_l7_ends_each_connection_with_its_answer_until_it_is_let_back() -> None:
    """Else the connections that l4 has tied would bring requests for as long as they last."""
    async with operated() as (lab, _, control):
        assert "connection" not in (await lab.ask()).headers
        await control.write({"drain/l7.1": {"drained": True}})
        await until(lambda: lab.proxy.is_draining)
        client = await lab.client()
        client.get()
        answer = await client.answer()
        assert (answer.status, answer.headers["connection"]) == (200, "close")
        assert await client.rest() == b""
        await control.write({"drain/l7.1": None})
        await until(lambda: not lab.proxy.is_draining)
        assert "connection" not in (await lab.ask()).headers


async def test_a_drain_that_is_taken_back_does_not_stop_a_stop() -> None:
    """An l7 that was asked to stop goes on ending its connections."""
    async with operated() as (lab, node, control):
        await control.write({"drain/l7.1": {"drained": True}})
        await until(lambda: lab.proxy.is_draining)
        node.lifecycle.request_stop()
        version = await control.write({"drain/l7.1": None})
        await until(lambda: node.state.version == version)
        assert lab.proxy.is_draining


async def test_an_ejection_reaches_services_of_ones_own_and_backends_that_come_later() -> None:
    """By their replicas' names; the entry's end brings them back."""
    async with operated() as (lab, _, control):
        own = lab.proxy.sibling("hello")
        own.set_endpoints([lab.backends[0].where._replace(instance="hello.1")])
        await control.write({"eject/hello.1": {"ttl_s": 60}, "eject/gateway.2": {"ttl_s": 60}})
        await until(lambda: own.balancer.candidates == ())
        assert lab.proxy.balancer.candidates == ("gateway.1",)
        lab.proxy.set_endpoints([lab.backends[0].where])
        lab.proxy.set_endpoints([one.where for one in lab.backends])
        assert lab.proxy.balancer.candidates == ("gateway.1",)
        await control.write({"eject/hello.1": None, "eject/gateway.2": {"ttl_s": 0.05}})
        await until(lambda: own.balancer.candidates == ("hello.1",))
        await until(lambda: lab.proxy.balancer.candidates == ("gateway.1", "gateway.2"))


async def test_the_figures_of_each_backend_are_on_the_page_that_prometheus_reads() -> None:
    """From the first answer on, by name."""
    async with operated() as (lab, node, _):
        await lab.ask()
        page = node.metrics.text().decode()
        assert 'squall_backend_up{backend="gateway.2"} 1.0' in page
        picks = [line for line in page.splitlines() if line.startswith("squall_backend_picks_tot")]
        assert sum(float(line.split()[-1]) for line in picks) == 1.0
