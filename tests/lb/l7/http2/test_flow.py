"""Who waits for whom, who gives up, and how an HTTP/2 connection ends."""

import asyncio
import time

import pytest

from lb.l7.http2.options import Http2Options
from lb.l7.http2.session import ALL_STREAMS
from lb.l7.timeouts import TimeoutOptions
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.http2.client import connected, is_settled, request
from tests.lb.l7.rig import Backend, Rig, answering, ok, rig, swallowing, until

pytestmark = pytest.mark.integration

MEBIBYTE = 1024 * 1024
LARGE = 16 * MEBIBYTE  # more than sockets and buffers hold
SHORT_S = 0.15
NO_DEADLINE = FixedSwitches({"deadline": Mode.OFF})
REFUSED, CANCEL, CALM = 7, 8, 11


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    """Look at clients fifty times a second in place of once."""
    monkeypatch.setattr("lb.l7.server.SWEEP_S", 0.02)
    monkeypatch.setattr("lb.l7.http2.stream.LINGER_S", 0.05)


class Sending:
    """A backend whose answer is large; ``sent`` says how much of it has left the program."""

    def __init__(self) -> None:
        self.sent = 0

    async def handle(
        self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Answer ``/large`` piece by piece, everything else shortly."""
        while True:
            if b" /large " not in await backend.read_head(reader):
                writer.write(ok())
                continue
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n" % LARGE)
            self.sent = 0
            while self.sent < LARGE:
                writer.write(b"x" * 65_536)
                await writer.drain()
                self.sent += 65_536


class Held:
    """A backend that answers when it is told to."""

    def __init__(self) -> None:
        self.release = asyncio.Event()

    async def handle(
        self, backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        """Wait, then answer."""
        while True:
            await backend.read_head(reader)
            await self.release.wait()
            writer.write(ok())


async def test_a_client_that_takes_nothing_stops_its_backend_only() -> None:
    """Its window stays closed: the backend waits, other streams don't, and it goes on later."""
    sending = Sending()
    lab_of = rig(sending.handle, switches=NO_DEADLINE)
    async with lab_of as lab, connected(lab, refunds=False) as client:
        large = client.open(request("GET", "/large"))
        seen = client.streams[large]
        await client.until(lambda: len(seen.body) == 65_535)  # the window it began with
        client.h2.increment_flow_control_window(MEBIBYTE)  # the connection's, not the stream's
        client.flush()
        assert (await client.ask()).body == b"hello"
        stream = lab.proxy.snapshot()
        assert stream["gateway.1.connections"] == 2  # the first one waits
        assert sending.sent < LARGE
        client.h2.increment_flow_control_window(LARGE)
        client.h2.increment_flow_control_window(LARGE, large)
        client.flush()
        await client.answer(large)
        assert (len(seen.body), seen.is_ended) == (LARGE, True)


async def test_a_backend_that_takes_nothing_stops_the_client() -> None:
    """The stream's window isn't given back; what the client could send is bounded."""

    async def deaf(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        writer.transport.pause_reading()  # type: ignore[attr-defined]
        await release.wait()
        writer.transport.resume_reading()  # type: ignore[attr-defined]
        got = 0
        while got < LARGE:
            got += len(await reader.read(MEBIBYTE))
        writer.write(ok())

    release = asyncio.Event()
    async with rig(deaf, switches=NO_DEADLINE) as lab, connected(lab) as client:
        head = request("POST", "/", ("content-length", str(LARGE)))
        number = client.open(head, ends=False)
        sending = asyncio.create_task(client.send_body(number, b"x" * LARGE))
        await until(lambda: client.h2.local_flow_control_window(number) == 0)
        await until(lambda: not lab.server._clients or is_waiting(lab))
        assert not sending.done()
        release.set()
        await sending
        assert (await client.answer(number)).body == b"hello"


def is_waiting(lab: Rig) -> bool:
    """Whether the only connection has a stream whose backend takes nothing."""
    (client,) = lab.server._clients
    return not next(iter(client._streams._streams.values()))._takes_body  # type: ignore[attr-defined]


async def test_a_reset_cancels_the_exchange() -> None:
    """The backend's connection is closed; the client's serves the next request."""
    async with rig(swallowing, switches=NO_DEADLINE) as lab, connected(lab) as client:
        number = client.open()
        await until(lambda: bool(lab.backends[0].received))
        client.h2.reset_stream(number, CANCEL)
        client.flush()
        await until(lambda: lab.backends[0].open_connections == 0 and is_settled(lab))
        assert [(one.code, one.status) for one in lab.summaries] == [(499, "CLIENT_GONE")]
        client.h2.ping(b"12345678")
        client.flush()
        await client.until(lambda: client.pongs == [b"12345678"])


async def test_a_client_that_goes_cancels_all_of_its_streams() -> None:
    """Closing the connection ends every exchange on it."""
    async with rig(swallowing, switches=NO_DEADLINE) as lab, connected(lab) as client:
        for _ in range(5):
            client.open()
        await until(lambda: lab.backends[0].open_connections == 5)
        await client.close()
        await until(lambda: lab.backends[0].open_connections == 0 and is_settled(lab))
        assert [one.code for one in lab.summaries] == [499] * 5
        await until(lambda: lab.server.connections == 0)


async def test_one_stream_too_many_is_refused_unprocessed() -> None:
    """REFUSED_STREAM, which says that it may be sent again; the others are answered."""
    held = Held()
    async with rig(held.handle, switches=NO_DEADLINE) as lab:
        lab.proxy.http2.options = Http2Options(max_streams=2)
        async with connected(lab) as client:
            first, second = client.open(), client.open()
            await client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 2)
            client.h2.remote_settings[3] = 100  # whatever the proxy says
            client.h2.remote_settings.acknowledge()
            third = client.open()
            assert (await client.answer(third)).reset == REFUSED
            held.release.set()
            assert (await client.answer(first)).status == 200
            assert (await client.answer(second)).status == 200
            assert lab.backends[0].requests == 2
            assert lab.server.snapshot()["http2.refused_streams"] == 1


async def test_a_drain_serves_what_is_under_way_then_says_which_was_the_last() -> None:
    """GOAWAY twice, the second with the last stream's number; then the connection closes."""
    held = Held()
    async with rig(held.handle, switches=NO_DEADLINE) as lab, connected(lab) as client:
        number = client.open()
        await until(lambda: lab.backends[0].requests == 1)
        draining = asyncio.create_task(lab.server.drain(10.0))
        await client.until(lambda: len(client.goaways) == 2)
        assert [(one.last, one.code) for one in client.goaways] == [(ALL_STREAMS, 0), (number, 0)]
        late = client.open()
        assert (await client.answer(late)).reset == REFUSED
        held.release.set()
        assert (await client.answer(number)).body == b"hello"
        await client.until_closed()
        await client.close()
        assert await draining
        assert [one.code for one in lab.summaries] == [200]


async def test_who_comes_during_a_drain_is_served_once() -> None:
    """Not ready, still accepting: a new connection waits for its first request, then ends."""
    async with rig(answering(ok())) as lab:
        lab.server.begin_drain()
        async with connected(lab) as client:
            await client.until(lambda: client.h2.remote_settings.max_concurrent_streams == 100)
            for one in lab.server._clients:
                one.sweep(time.monotonic())
            client.h2.ping(b"12345678")  # what the sweep said would come before the answer
            client.flush()
            await client.until(lambda: bool(client.pongs))
            assert not client.goaways
            assert (await client.ask()).body == b"hello"
            await client.until_closed()
            assert [one.last for one in client.goaways][:2] == [ALL_STREAMS, 1]


async def test_a_drain_closes_who_is_idle() -> None:
    """GOAWAY with the last stream it served, then the end."""
    async with rig(answering(ok())) as lab, connected(lab) as client:
        await client.ask()
        draining = asyncio.create_task(lab.server.drain(10.0))
        await client.until_closed()
        assert [(one.last, one.code) for one in client.goaways] == [(1, 0)]
        await client.close()
        assert await draining


async def test_a_client_that_says_goaway_gets_its_answers() -> None:
    """It opens no more streams; those it has are served, then the connection closes."""
    held = Held()
    async with rig(held.handle, switches=NO_DEADLINE) as lab, connected(lab) as client:
        number = client.open()
        client.send(b"\0\0\x08\7\0\0\0\0\0" + bytes(8))
        await until(lambda: lab.backends[0].requests == 1)
        held.release.set()
        assert (await client.answer(number)).body == b"hello"
        await client.until_closed()


async def test_a_connection_without_requests_is_closed() -> None:
    """After as long as over HTTP/1.1; pings don't keep it."""
    async with rig(answering(ok())) as lab:
        lab.proxy.timeouts = TimeoutOptions(idle_s=SHORT_S)
        async with connected(lab) as client:
            await client.until_closed()
            assert [one.code for one in client.goaways] == [0]


async def test_an_answer_that_nobody_takes_is_reset() -> None:
    """The stream ends, the connection stays."""
    sending = Sending()
    async with rig(sending.handle, switches=NO_DEADLINE) as lab:
        lab.proxy.timeouts = TimeoutOptions(write_s=SHORT_S)
        async with connected(lab, refunds=False) as client:
            seen = await client.ask(request("GET", "/large"))
            assert (seen.status, seen.reset) == (200, CANCEL)
            assert lab.proxy.slow_clients.closed["write"] == 1
            await until(lambda: is_settled(lab))
            client.h2.increment_flow_control_window(MEBIBYTE)
            assert (await client.ask()).body == b"hello"


async def test_a_body_that_stands_still_is_answered_408() -> None:
    """Then its stream is reset without an error, and the connection stays."""
    async with rig(swallowing, switches=NO_DEADLINE) as lab:
        lab.proxy.timeouts = TimeoutOptions(body_s=SHORT_S)
        async with connected(lab) as client:
            number = client.open(request("POST"), ends=False)
            seen = await client.answer(number)
            await client.until(lambda: seen.reset is not None)
            assert (seen.status, seen.reset) == (408, 0)
            assert b"REQUEST_TIMEOUT" in seen.body
            assert not client.is_closed


@pytest.mark.parametrize(
    "begun",
    [
        pytest.param(b"\0\0\1\1\0\0\0\0\1\x82", id="HEADERS without its CONTINUATION"),
        pytest.param(b"\0\0\x40\1\5\0\0\0\1\x82", id="half a HEADERS frame"),
    ],
)
async def test_a_head_that_does_not_end_closes_the_connection(begun: bytes) -> None:
    """However it is cut, it has one limit."""
    async with rig(answering(ok())) as lab:
        lab.proxy.timeouts = TimeoutOptions(header_s=SHORT_S)
        async with connected(lab) as client:
            await client.ask()  # its acknowledgement of our settings has gone
            client.send(begun)
            await client.until_closed()
            assert [one.code for one in client.goaways] == [CALM]
            assert lab.proxy.slow_clients.closed["header"] == 1
