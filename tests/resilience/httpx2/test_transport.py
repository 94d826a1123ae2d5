"""Transport: what goes over the wire, what comes back, and what is tried again."""

import asyncio
import gzip
import json
from collections.abc import AsyncIterator

import httpx2
import pytest

from resilience import context as request_context
from resilience.errors import BreakerOpen, Code, UpstreamReset
from resilience.httpx2.errors import AnsweredError
from resilience.httpx2.transport import ResilientTransport, may_repeat
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Criticality, Outcome
from resilience.propagation import extract
from resilience.wire import TIMEOUT_MS_HEADER
from tests.ports import free_port
from tests.resilience.fakes import FakeGate, FakePicker, make_context
from tests.resilience.httpx2.clients import LIMIT_S, client_of, outcomes, pipeline_of, say
from tests.resilience.httpx2.server import Exchange, running

pytestmark = pytest.mark.integration


async def test_a_request_goes_to_the_picked_endpoint_with_the_context() -> None:
    """Host, path and body as asked; trace, tenant, criticality and remaining time as known."""
    context = make_context(remaining_s=LIMIT_S)
    context.tenant, context.criticality = "ann", Criticality.SHEDDABLE
    async with running(say(b"3.50")) as server, client_of(server.endpoint) as (client, picker):
        token = request_context.enter(context)
        answer = await client.post("/v1/tea?size=2", content=b"please")
        request_context.leave(token)

    assert (answer.status_code, answer.text) == (200, "3.50")
    assert answer.elapsed.total_seconds() > 0
    seen = server.seen[0]
    assert (seen.method, seen.path, seen.body) == ("POST", "/v1/tea?size=2", b"please")
    assert seen.headers["host"] == "prices.test"
    assert 0 < int(seen.headers[TIMEOUT_MS_HEADER]) <= LIMIT_S * 1000
    hop = extract(seen.headers.get, 0.0)
    assert (hop.request_id, hop.trace_id) == (context.request_id, context.trace_id)
    assert (hop.parent_span_id, hop.tenant, hop.criticality) == (
        context.span_id,
        "ann",
        Criticality.SHEDDABLE,
    )
    assert outcomes(picker) == [Outcome.OK]


async def test_without_a_context_nothing_is_added() -> None:
    """No deadline, no trace: a plain request."""
    async with running(say(b"")) as server, client_of(server.endpoint) as (client, _):
        await client.get("/")
    assert not {TIMEOUT_MS_HEADER, "traceparent", "baggage"} & server.seen[0].headers.keys()


async def test_problem_json_becomes_an_error_with_its_reason() -> None:
    """Reason, message, metadata, push-back; the answer itself is at hand."""
    problem = {"detail": "sold out", "reason": "SOLD_OUT", "metadata": {"item": "tea"}}

    def script(exchange: Exchange, number: int) -> None:
        body = json.dumps(problem).encode()
        exchange.answer(503, body, content_type="application/problem+json", retry_after="7")

    async with running(script) as server, client_of(server.endpoint) as (client, picker):
        with pytest.raises(AnsweredError) as caught:
            await client.get("/")
    error = caught.value
    assert (error.code, error.reason, error.message) == (Code.UNAVAILABLE, "SOLD_OUT", "sold out")
    assert error.metadata == {"item": "tea", "upstream": "prices"}
    assert (error.retry_after_s, error.response.status_code) == (7.0, 503)
    assert outcomes(picker) == [Outcome.OVERLOADED]
    assert len(server.seen) == 1


async def test_a_failure_is_tried_elsewhere() -> None:
    """500 here, 200 there: the client sees one answer, on warm connections the next time too."""

    def broken(exchange: Exchange, number: int) -> None:
        exchange.answer(500, b"oops")

    async with (
        running(broken) as bad,
        running(say(b"fine")) as good,
        client_of(bad.endpoint, good.endpoint) as (client, picker),
    ):
        for _ in range(2):
            assert (await client.get("/")).text == "fine"
    assert outcomes(picker) == [Outcome.FAILED, Outcome.OK] * 2
    assert (bad.connections, good.connections) == (1, 1)


async def test_an_error_of_the_caller_s_own_is_not_tried_again() -> None:
    """404 is the answer, and says nothing against the endpoint."""

    def missing(exchange: Exchange, number: int) -> None:
        exchange.answer(404)

    async with running(missing) as server, client_of(server.endpoint) as (client, picker):
        with pytest.raises(AnsweredError) as caught:
            await client.get("/")
    assert (caught.value.code, caught.value.reason) == (Code.NOT_FOUND, "NOT_FOUND")
    assert (outcomes(picker), len(server.seen)) == ([Outcome.OK], 1)


async def test_errors_begin_at_400() -> None:
    """A redirect that nobody follows is an answer, 400 is an error."""

    def script(exchange: Exchange, number: int) -> None:
        exchange.answer(304 if number == 0 else 400)

    async with running(script) as server, client_of(server.endpoint) as (client, _):
        assert (await client.get("/")).status_code == 304
        with pytest.raises(AnsweredError):
            await client.get("/")


async def test_answers_are_handed_back_where_nobody_wants_errors() -> None:
    """With ``raises=False`` 404 and the last 500 are answers, after the same retries."""

    def script(exchange: Exchange, number: int) -> None:
        exchange.answer(404 if number == 0 else 500, b"no")

    async with (
        running(script) as server,
        client_of(server.endpoint, options={"raises": False}) as (client, _),
    ):
        assert (await client.get("/")).status_code == 404
        answer = await client.get("/")
    assert (answer.status_code, answer.text) == (500, "no")
    assert answer.elapsed.total_seconds() > 0
    assert len(server.seen) == 4


async def test_what_is_not_idempotent_is_sent_once() -> None:
    """A POST that failed may have done its work; with an Idempotency-Key it may go again."""

    def script(exchange: Exchange, number: int) -> None:
        exchange.answer(500)

    async with running(script) as server, client_of(server.endpoint) as (client, _):
        with pytest.raises(AnsweredError):
            await client.post("/", content=b"buy")
        assert len(server.seen) == 1
        with pytest.raises(AnsweredError):
            await client.post("/", content=b"buy", headers={"Idempotency-Key": "1"})
        assert [each.body for each in server.seen[1:]] == [b"buy"] * 3


async def test_a_refused_connection_is_tried_elsewhere_whatever_the_method() -> None:
    """Nothing was sent, so a POST goes on to the next endpoint."""
    nowhere = f"127.0.0.1:{free_port()}"
    async with (
        running(say(b"fine")) as server,
        client_of(nowhere, server.endpoint) as (client, picker),
    ):
        assert (await client.post("/", content=b"buy")).text == "fine"
    assert outcomes(picker) == [Outcome.FAILED, Outcome.OK]

    async with client_of(nowhere) as (client, _):
        with pytest.raises(UpstreamReset) as caught:
            await client.post("/")
    assert (caught.value.reason, caught.value.started) == ("UPSTREAM_UNREACHABLE", False)


async def test_a_connection_that_breaks_amid_the_body_is_a_failure() -> None:
    """The body is read within the attempt, so half an answer is tried again, not handed on."""

    def script(exchange: Exchange, number: int) -> None:
        if number == 0:
            exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 10\r\n\r\nhalf")
            exchange.writer.close()
        else:
            exchange.answer(200, b"whole")

    async with running(script) as server, client_of(server.endpoint) as (client, picker):
        assert (await client.get("/")).text == "whole"
    assert outcomes(picker) == [Outcome.FAILED, Outcome.OK]


async def test_a_connection_that_breaks_is_a_reset() -> None:
    """With nobody else to ask the caller hears so."""

    def script(exchange: Exchange, number: int) -> None:
        exchange.writer.close()

    async with running(script) as server, client_of(server.endpoint) as (client, _):
        with pytest.raises(UpstreamReset) as caught:
            await client.post("/")
    assert (caught.value.reason, caught.value.started) == ("UPSTREAM_RESET", True)


async def test_compressed_bodies_are_read_once() -> None:
    """The client decodes what the transport has read."""

    def script(exchange: Exchange, number: int) -> None:
        exchange.answer(200, gzip.compress(b"tea " * 100), content_encoding="gzip")

    async with running(script) as server, client_of(server.endpoint) as (client, _):
        assert (await client.get("/")).text == "tea " * 100


async def test_a_refusal_sends_nothing() -> None:
    """An open breaker answers at once."""
    async with (
        running(say(b"")) as server,
        client_of(server.endpoint, breaker=FakeGate("breaker", refuse=True)) as (client, _),
    ):
        with pytest.raises(BreakerOpen):
            await client.get("/")
    assert server.connections == 0


async def test_the_place_is_held_until_the_body_has_come() -> None:
    """Half an answer still occupies the dependency; a stream holds its place for its head only."""
    halfway, go_on = asyncio.Event(), asyncio.Event()

    async def script(exchange: Exchange, number: int) -> None:
        exchange.writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 8\r\n\r\nhalf")
        halfway.set()
        await go_on.wait()
        exchange.writer.write(b"half")

    bulkhead = Bulkhead(1)
    async with (
        running(script) as server,
        client_of(server.endpoint, bulkhead=bulkhead) as (client, _),
    ):
        call = asyncio.create_task(client.get("/"))
        await asyncio.wait_for(halfway.wait(), LIMIT_S)
        assert bulkhead.in_flight == 1
        go_on.set()
        assert (await asyncio.wait_for(call, LIMIT_S)).text == "halfhalf"

    go_on.clear()
    options = {"buffers": False}
    async with (
        running(script) as server,
        client_of(server.endpoint, options=options, bulkhead=bulkhead) as (client, _),
        client.stream("GET", "/") as answer,
    ):
        assert bulkhead.in_flight == 0
        go_on.set()
        assert await answer.aread() == b"halfhalf"


async def test_a_picker_may_only_name_things() -> None:
    """With ``follows_picker=False`` the URL's own host is asked."""
    async with (
        running(say(b"fine")) as server,
        client_of("a label", options={"follows_picker": False}) as (client, _),
    ):
        assert (await client.get(f"http://{server.endpoint}/")).text == "fine"


async def test_the_tls_name_stays_the_url_s() -> None:
    """The certificate is that of the name asked for, wherever the connection goes."""
    sent: list[httpx2.Request] = []

    def answer(request: httpx2.Request) -> httpx2.Response:
        sent.append(request)
        return httpx2.Response(200, content=b"")

    transport = ResilientTransport(
        pipeline_of(FakePicker("[::1]:8443")), httpx2.MockTransport(answer)
    )
    async with httpx2.AsyncClient(transport=transport) as client:
        await client.get("https://prices.test/")
        await client.get("https://prices.test/", extensions={"sni_hostname": "other.test"})
    assert [str(each.url) for each in sent] == ["https://[::1]:8443/"] * 2
    assert [each.extensions["sni_hostname"] for each in sent] == ["prices.test", "other.test"]
    assert [each.headers["host"] for each in sent] == ["prices.test"] * 2


def test_what_may_be_sent_twice() -> None:
    """Idempotent methods and keyed requests, as long as the body can be read again."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"part"

    key = {"idempotency-key": "1"}
    assert may_repeat(httpx2.Request("GET", "http://a"))
    assert may_repeat(httpx2.Request("PUT", "http://a", content=b"all"))
    assert not may_repeat(httpx2.Request("PUT", "http://a", content=parts()))
    assert not may_repeat(httpx2.Request("POST", "http://a", content=b"all"))
    assert may_repeat(httpx2.Request("POST", "http://a", content=b"all", headers=key))


async def test_a_body_that_can_be_read_once_is_sent_once() -> None:
    """A PUT of a stream fails for good."""

    async def parts() -> AsyncIterator[bytes]:
        yield b"part"

    def script(exchange: Exchange, number: int) -> None:
        exchange.answer(500)

    async with running(script) as server, client_of(server.endpoint) as (client, _):
        with pytest.raises(AnsweredError):
            await client.put("/", content=parts())
    assert len(server.seen) == 1


def test_repr_names_the_pipeline() -> None:
    """For assertions and logs."""
    shown = repr(ResilientTransport(pipeline_of(FakePicker("a:1"))))
    assert shown.startswith("<ResilientTransport <ClientPipeline prices")
