"""Active checks: what counts as missed, and how connections are used for them."""

import asyncio

import pytest

from kit.listen import reset_on_close
from lb.l7.checks import Checker, Checks
from lb.l7.settings import CHECK_INTERVAL_S, CHECK_PATH, CHECK_TIMEOUT_S
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, answering, ok, rig, swallowing, until

pytestmark = pytest.mark.integration


def test_defaults_are_the_documented_ones() -> None:
    """GET /readyz each 300 ms with a timeout of 300 ms."""
    assert (CHECK_PATH, CHECK_INTERVAL_S, CHECK_TIMEOUT_S) == ("/readyz", 0.3, 0.3)


async def test_good_checks_share_one_connection() -> None:
    """Three good checks are three requests on one connection."""
    async with rig(answering(ok())) as lab:
        checker = Checker(lab.backends[0].where)
        assert [await checker.check() for _ in range(3)] == [True] * 3
        assert (lab.backends[0].connections, lab.backends[0].requests) == (1, 3)
        assert lab.backends[0].received.startswith(b"GET /readyz HTTP/1.1\r\n")
        checker.close()


async def test_not_ready_silence_noise_and_refusal_are_missed() -> None:
    """503, silence, what isn't HTTP, an upgrade, a reset and a closed port each miss."""

    async def hang_up(b: Backend, r: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    not_ready = answering(b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n")
    noise = answering(b"noise\r\n")
    upgrade = answering(b"HTTP/1.1 101 Go on\r\nconnection: upgrade\r\nupgrade: x\r\n\r\n")
    async with rig(not_ready, swallowing, noise, upgrade, hang_up, swallowing) as lab:
        await lab.backends[5].stop()
        for backend in lab.backends:
            checker = Checker(backend.where, timeout_s=0.1)
            assert not await checker.check()
            checker.close()


async def test_kept_connection_that_was_closed_is_no_miss() -> None:
    """A backend that closes idle connections is asked again on a new one."""

    async def once(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(ok())
        await writer.drain()

    async with rig(once) as lab:
        checker = Checker(lab.backends[0].where)
        for _ in range(3):
            assert await checker.check()
            await until(lambda: lab.backends[0].open_connections == 0)
        checker.close()


async def test_kept_connection_that_was_reset_is_no_miss() -> None:
    """A kept connection that was reset while it was idle is replaced like a closed one."""

    async def reset_after_one(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(ok())
        await writer.drain()
        reset_on_close(writer.get_extra_info("socket").fileno())

    async with rig(reset_after_one) as lab:
        checker = Checker(lab.backends[0].where)
        for _ in range(3):
            assert await checker.check()
            assert checker._streams is not None
            await until(checker._streams[1].is_closing)
        checker.close()


async def test_missed_checks_leave_and_good_ones_return() -> None:
    """A backend that says 503 on its checks is left, and taken back when it says 200."""
    status = b"503 No"

    async def handle(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await backend.read_head(reader)
            writer.write(b"HTTP/1.1 %b\r\ncontent-length: 0\r\n\r\n" % status)

    async with rig(handle, answering(ok())) as lab:
        checks = Checks(lab.proxy.balancer, lab.switches.mode, interval_s=0.01)
        checks.set_endpoints([backend.where for backend in lab.backends])
        await until(lambda: lab.proxy.balancer.candidates == ("gateway.2",))
        status = b"200 OK"
        await until(lambda: len(lab.proxy.balancer.candidates) == 2)
        await checks.close()


async def test_checks_off_sends_none_and_moves_nobody() -> None:
    """With the switch off backends aren't asked, and a missed check changes nothing."""
    async with rig(answering(ok()), switches=FixedSwitches({"checks": Mode.OFF})) as lab:
        checks = Checks(lab.proxy.balancer, lab.switches.mode, interval_s=0.001)
        checks.set_endpoints([lab.backends[0].where])
        for _ in range(5):
            assert (await lab.ask()).status == 200
        assert lab.backends[0].requests == 5
        checks.set_endpoints([])
        await checks.close()
