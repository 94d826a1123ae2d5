"""Which requests may be sent twice: by what the backend said, by method, by path, by size."""

import asyncio
import time

import pytest

from kit.errors import ConfigError
from lb.l7.config import parse_config
from lb.l7.headers import Headers, says_not_started
from lb.l7.settings import BUFFER_BYTES, ProxySettings
from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches
from tests.lb.l7.rig import Backend, Handler, Rig, answering, ok, rig, until
from tests.lb.l7.test_tries import POST, first_to, outcomes

REFUSED = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 2\r\n%b\r\nno"
NOT_STARTED = REFUSED % b"x-squall-started: false\r\n"
PUSHED_BACK = REFUSED % b"x-squall-started: false\r\nretry-after: 1\r\n"


def reading(size: int, answer: bytes | None) -> Handler:
    """Read heads and bodies of this size, and answer, or hang up when there is no answer."""

    async def handle(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        while True:
            await backend.read_head(reader)
            backend.received += await reader.readexactly(size)
            if answer is None:
                writer.transport.abort()
                return
            writer.write(answer)

    return handle


def put(body: bytes) -> bytes:
    """Return a PUT with this body."""
    return b"PUT /files/1 HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)


def allow(lab: Rig, *methods: bytes, paths: tuple[bytes, ...] = (b"/",)) -> None:
    """Let requests of these methods and paths be sent twice."""
    lab.proxy.settings = ProxySettings(retry_methods=frozenset(methods), retry_paths=paths)


@pytest.mark.unit
@pytest.mark.parametrize(
    ("headers", "says"),
    [
        ([(b"X-Squall-Started", b"false")], True),
        ([(b"x-squall-started", b"true")], False),
        ([(b"x-squall-started", b"false"), (b"Retry-After", b"1")], False),
        ([(b"Retry-After", b"1"), (b"x-squall-started", b"false")], False),
        ([], False),
    ],
)
def test_an_answer_says_that_nothing_was_begun(headers: Headers, says: bool) -> None:
    """In any case of letters; with push-back it says more than that."""
    assert says_not_started(headers) is says


@pytest.mark.integration
async def test_what_was_not_begun_is_tried_elsewhere_body_and_all() -> None:
    """A POST too: the first backend says that it has done nothing."""
    async with rig(reading(3, NOT_STARTED), reading(3, ok(b"done"))) as lab:
        first_to(lab, "gateway.1")
        client = await lab.client()
        client.send(POST)
        answer = await client.answer()
        assert (answer.status, answer.body) == (200, b"done")
        assert outcomes(lab) == [("gateway.1", "503"), ("gateway.2", "200")]
        assert lab.backends[1].received.endswith(b"\r\n\r\nabc")


@pytest.mark.integration
async def test_push_back_goes_up() -> None:
    """Whoever says when to come back is believed, and nobody else is asked."""
    async with rig(answering(PUSHED_BACK), answering(ok())) as lab:
        first_to(lab, "gateway.1")
        answer = await lab.ask()
        assert (answer.status, answer.headers["retry-after"]) == (503, "1")
        assert lab.backends[1].requests == 0


@pytest.mark.integration
async def test_when_all_have_begun_nothing_the_last_answer_is_passed_on() -> None:
    """Each is asked once."""
    async with rig(answering(NOT_STARTED), answering(NOT_STARTED)) as lab:
        answer = await lab.ask(method="POST")
        assert (answer.status, answer.headers["x-squall-started"]) == (503, "false")
        assert [one.requests for one in lab.backends] == [1, 1]


@pytest.mark.integration
async def test_it_costs_of_the_budget() -> None:
    """Backends that all refuse must not get three times the requests."""
    async with rig(answering(NOT_STARTED), answering(ok())) as lab:
        while lab.proxy.budget.try_start_retry():
            pass
        first_to(lab, "gateway.1")
        assert (await lab.ask()).status == 503


@pytest.mark.integration
@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
async def test_the_switch_stands_above_it(mode: Mode) -> None:
    """Off and in shadow there is one attempt."""
    async with rig(answering(NOT_STARTED), switches=FixedSwitches({"retry": mode})) as lab:
        assert (await lab.ask()).status == 503
        assert lab.backends[0].requests == 1


@pytest.mark.integration
async def test_a_method_that_is_allowed_is_tried_again_with_its_body() -> None:
    """PUT isn't at first; once it is, a reset after the body costs the client nothing."""
    async with rig(reading(5, None), reading(5, ok(b"stored"))) as lab:
        first_to(lab, "gateway.1")
        client = await lab.client()
        client.send(put(b"hello"))
        assert (await client.answer()).status == 502

        lab.proxy.reset(time.monotonic())
        allow(lab, b"PUT")
        first_to(lab, "gateway.1")
        client = await lab.client()
        client.send(put(b"hello"))
        assert (await client.answer()).body == b"stored"
        assert lab.backends[1].received.endswith(b"\r\n\r\nhello")


@pytest.mark.integration
async def test_a_body_that_comes_in_pieces_is_whole_at_the_second_backend() -> None:
    """The first dies between two pieces; what comes meanwhile is held, what was sent is kept."""
    whole = b"a" * 10 + b"b" * 10 + b"c" * 10
    async with rig(reading(10, None), reading(30, ok(b"stored"))) as lab:
        allow(lab, b"PUT")
        first_to(lab, "gateway.1")
        client = await lab.client()
        client.send(put(whole)[:-20])
        await until(lambda: lab.backends[1].requests == 1)
        client.send(whole[10:20])
        client.send(whole[20:])
        assert (await client.answer()).body == b"stored"
        assert lab.backends[1].received.endswith(b"\r\n\r\n" + whole)


@pytest.mark.integration
async def test_a_body_that_is_too_large_to_keep_is_not_sent_twice() -> None:
    """502, as for what may not be repeated."""
    size = 4 * BUFFER_BYTES
    async with rig(reading(size, None), reading(size, ok())) as lab:
        allow(lab, b"PUT")
        first_to(lab, "gateway.1")
        client = await lab.client()
        client.send(put(b"x" * size))
        assert (await client.answer()).status == 502
        assert lab.backends[1].requests == 0


@pytest.mark.integration
async def test_a_body_never_runs_twice_at_once() -> None:
    """A slow PUT has no second try beside it, though it may be sent twice."""

    async def slow(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        await backend.read_head(reader)
        await asyncio.sleep(0.3)  # beyond half of the budget
        writer.write(ok(b"late"))
        await reader.read()

    async with rig(slow, slow, route_budget_s=0.5) as lab:
        allow(lab, b"PUT")
        client = await lab.client()
        client.send(put(b"hello"))
        assert (await client.answer()).body == b"late"
        assert lab.backends[0].requests + lab.backends[1].requests == 1


@pytest.mark.integration
async def test_paths_that_are_not_named_are_not_tried_again() -> None:
    """A GET of /a may be sent twice, one of /b may not."""
    async with rig(reading(0, None), answering(ok())) as lab:
        allow(lab, b"GET", paths=(b"/a",))
        for path, status in (("/b/1", 502), ("/a/1", 200)):
            lab.proxy.reset(time.monotonic())
            first_to(lab, "gateway.1")
            assert (await lab.ask(path)).status == status


@pytest.mark.integration
async def test_a_refusal_of_our_own_says_whether_a_backend_may_have_begun() -> None:
    """Nobody there: not started. Reset after the request was sent, then nobody: unknown."""
    async with rig(reading(0, None)) as lab:
        assert "x-squall-started" not in (await lab.ask()).headers
        await lab.backends[0].stop()
        assert (await lab.ask()).headers["x-squall-started"] == "false"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("requests: {retry_methods: [GET, POST]}", "POST may not be sent twice; of DELETE, GET"),
        ("requests: {retry_paths: [videos]}", "'videos' begins no path; begin with /"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, told: str) -> None:
    """Line and column."""
    with pytest.raises(ConfigError, match=r"^l7\.yaml:1:") as caught:
        parse_config(text)
    assert told in str(caught.value)
