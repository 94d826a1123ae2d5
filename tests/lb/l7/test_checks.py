"""Active checks: what counts as missed, and how connections are used for them."""

import asyncio

import grpc
import msgspec
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_health.v1._async import HealthServicer

from kit.listen import reset_on_close
from kit.source import SourceError
from lb.l7.check_kinds import GrpcChecker, HttpChecker, TcpChecker
from lb.l7.checks import CheckOptions, Checks
from lb.l7.config import L7Config, parse_config
from lb.l7.settings import CHECK_INTERVAL_S, CHECK_PATH, CHECK_TIMEOUT_S
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import WAIT_S, Backend, Where, answering, ok, rig, swallowing, until
from tests.ports import free_port

pytestmark = pytest.mark.integration


def test_defaults_are_the_documented_ones() -> None:
    """GET /readyz each 300 ms with a timeout of 300 ms."""
    assert (CHECK_PATH, CHECK_INTERVAL_S, CHECK_TIMEOUT_S) == ("/readyz", 0.3, 0.3)


async def test_good_checks_share_one_connection() -> None:
    """Three good checks are three requests on one connection."""
    async with rig(answering(ok())) as lab:
        checker = HttpChecker(lab.backends[0].where)
        assert [await checker.check() for _ in range(3)] == [True] * 3
        assert (lab.backends[0].connections, lab.backends[0].requests) == (1, 3)
        assert lab.backends[0].received.startswith(b"GET /readyz HTTP/1.1\r\n")
        await checker.close()


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
            checker = HttpChecker(backend.where, timeout_s=0.1)
            assert not await checker.check()
            await checker.close()


async def test_kept_connection_that_was_closed_is_no_miss() -> None:
    """A backend that closes idle connections is asked again on a new one."""

    async def once(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.write(ok())
        await writer.drain()

    async with rig(once) as lab:
        checker = HttpChecker(lab.backends[0].where)
        for _ in range(3):
            assert await checker.check()
            await until(lambda: lab.backends[0].open_connections == 0)
        await checker.close()


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
        checker = HttpChecker(lab.backends[0].where)
        for _ in range(3):
            assert await checker.check()
            assert checker._streams is not None
            await until(checker._streams[1].is_closing)
        await checker.close()


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
        checks = Checks(
            lab.proxy.balancer, lab.switches.mode, options=CheckOptions(interval_s=0.01)
        )
        checks.set_endpoints([backend.where for backend in lab.backends])
        await until(lambda: lab.proxy.balancer.candidates == ("gateway.2",))
        status = b"200 OK"
        await until(lambda: len(lab.proxy.balancer.candidates) == 2)
        await checks.close()


async def test_checks_off_sends_none_and_moves_nobody() -> None:
    """With the switch off backends aren't asked, and a missed check changes nothing."""
    async with rig(answering(ok()), switches=FixedSwitches({"checks": Mode.OFF})) as lab:
        checks = Checks(
            lab.proxy.balancer, lab.switches.mode, options=CheckOptions(interval_s=0.001)
        )
        checks.set_endpoints([lab.backends[0].where])
        for _ in range(5):
            assert (await lab.ask()).status == 200
        assert lab.backends[0].requests == 5
        checks.set_endpoints([])
        await checks.close()


async def test_whoever_accepts_is_well_by_tcp() -> None:
    """Though it never says a word; a closed port isn't, nor one that never accepts in time."""
    async with rig(swallowing, swallowing) as lab:
        await lab.backends[1].stop()
        checkers = [TcpChecker(backend.where) for backend in lab.backends]
        assert [await checker.check() for checker in checkers] == [True, False]
        for checker in checkers:
            await checker.close()


async def test_by_grpc_only_serving_is_well() -> None:
    """Of the service that is asked for; an unknown one, and what isn't gRPC, are missed."""
    server = grpc.aio.server()
    servicer = HealthServicer()
    health_pb2_grpc.add_HealthServicer_to_server(servicer, server)
    port = free_port()
    server.add_insecure_port(f"127.0.0.1:{port}")
    await server.start()
    serving, not_serving = (
        health_pb2.HealthCheckResponse.SERVING,
        health_pb2.HealthCheckResponse.NOT_SERVING,
    )
    await servicer.set("up", serving)
    await servicer.set("down", not_serving)
    where = Where("one", "127.0.0.1", port)
    checkers = [GrpcChecker(where, service=s, timeout_s=WAIT_S) for s in ("up", "down", "none")]
    try:
        assert [await checker.check() for checker in checkers] == [True, False, False]
        await servicer.set("up", not_serving)
        assert not await checkers[0].check()
        async with rig(swallowing) as lab:
            mute = GrpcChecker(lab.backends[0].where, timeout_s=0.1)
            assert not await mute.check()
            await mute.close()
    finally:
        for checker in checkers:
            await checker.close()
        await server.stop(None)


def test_defaults_of_the_file_are_the_lab_s() -> None:
    """Three misses leave, two good ones return, no jitter."""
    assert L7Config().checks == CheckOptions(
        kind="http",
        path="/readyz",
        service="",
        interval_s=0.3,
        timeout_s=0.3,
        unhealthy_after=3,
        healthy_after=2,
        jitter=0.0,
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{kind: htp}", "there is no htp; did you mean http"),
        ("{interval_s: 0}", "interval_s is 0; give more than 0"),
        ("{timeout_s: -1}", "timeout_s is -1; give more than 0"),
        ("{unhealthy_after: 0}", "unhealthy_after is 0; give 1 or more"),
        ("{jitter: 2}", "jitter is 2; give 0 to 1"),
        ("{path: ready}", "path is 'ready'; give one that begins with /"),
        ("{path: '/a b'}", "path is '/a b'; give one that begins with /, without blanks"),
        ("{kind: tcp, path: /up}", "a check by tcp has no path; take it out"),
        ("{service: a}", "a check by http has no service; take it out"),
    ],
)
def test_a_mistake_is_told(text: str, told: str) -> None:
    """With its place in the file."""
    with pytest.raises(SourceError, match=r"^l7\.yaml:1:\d+: ") as caught:
        parse_config(f"checks: {text}")
    assert told in str(caught.value)


async def test_the_way_of_checking_can_change() -> None:
    """Whoever was left by HTTP is well by TCP, and the other way round."""
    mute_now = CheckOptions(interval_s=0.01, timeout_s=0.05, unhealthy_after=1, healthy_after=1)
    async with rig(swallowing, answering(ok()), answering(ok())) as lab:
        balancer = lab.proxy.balancer
        checks = Checks(balancer, lab.switches.mode, options=mute_now)
        checks.set_endpoints([backend.where for backend in lab.backends])
        try:
            await until(lambda: list(balancer.candidates) == ["gateway.2", "gateway.3"])
            checks.use(msgspec.structs.replace(mute_now, kind="tcp"))
            await until(lambda: len(balancer.candidates) == 3)
            asked = lab.backends[1].requests
            checks.use(mute_now)
            await until(lambda: lab.backends[1].requests > asked)
            await until(lambda: list(balancer.candidates) == ["gateway.2", "gateway.3"])
        finally:
            await checks.close()
