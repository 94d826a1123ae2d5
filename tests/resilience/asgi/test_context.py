"""Context middleware: ids, deadlines, Server-Timing, errors, summaries."""

import asyncio
import json
import logging
from typing import Any

import pytest

from resilience.asgi.context import ROUTE_KEY, ContextMiddleware, default_budget
from resilience.asgi.types import ASGIApp
from resilience.context import Context, current
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode
from resilience.summary import Finished, ignore
from resilience.switches import FixedSwitches
from tests.resilience.asgi.client import Client, ok


class Hop:
    """A ContextMiddleware around an app, with what it reported."""

    def __init__(self, app: ASGIApp = ok, budget_s: float = 1.0, **modes: Mode) -> None:
        self.finished: list[Finished] = []
        self.seen: list[Context] = []

        async def inner(scope: Any, receive: Any, send: Any) -> None:
            context = current()
            assert context is not None
            self.seen.append(context)
            await app(scope, receive, send)

        self.app = ContextMiddleware(
            inner,
            instance="gateway.1",
            switches=FixedSwitches(modes),
            budget=lambda scope: budget_s,
            on_finish=self.finished.append,
        )

    async def get(self, **headers: str) -> Client:
        named = {key.replace("_", "-"): value for key, value in headers.items()}
        return await Client(self.app, headers=named).run()


async def test_an_answer_carries_request_id_and_server_timing() -> None:
    """The client's own id is kept; one entry for this hop."""
    client = await Hop().get(x_request_id="mine.1")

    assert client.status == 200
    assert client.answer["x-request-id"] == "mine.1"
    assert client.answer["server-timing"].startswith('gateway;desc="gateway.1";dur=')
    assert current() is None


async def test_attempts_show_in_server_timing() -> None:
    """One entry for each hop below, with the instance that answered."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        context = current()
        assert context is not None
        context.note("attempt", "ok", 0.0, upstream="video", endpoint="video.2", ms=1.5)
        context.note("retry", "retries", 0.0)
        await ok(scope, receive, send)

    client = await Hop(app).get()

    assert client.answer["server-timing"].endswith(', video;desc="video.2";dur=1.500')


@pytest.mark.parametrize(
    ("headers", "remaining_s"),
    [
        ({}, 1.0),
        ({"x-envoy-expected-rq-timeout-ms": "250"}, 0.25),
        ({"x-envoy-expected-rq-timeout-ms": "60000"}, 1.0),
        ({"grpc-timeout": "100m", "x-envoy-expected-rq-timeout-ms": "250"}, 0.1),
    ],
)
async def test_a_caller_may_shorten_the_route_s_budget(
    headers: dict[str, str], remaining_s: float
) -> None:
    """Of two headers the smaller, never above the budget."""
    hop = Hop()
    await Client(hop.app, headers=headers).run()

    context = hop.seen[0]
    assert context.deadline_s is not None
    assert context.deadline_s - context.arrived_s == pytest.approx(remaining_s)
    assert hop.finished[0].remaining_in_s == pytest.approx(remaining_s)
    assert hop.finished[0].remaining_out_s is not None


@pytest.mark.parametrize("mode", list(Mode))
async def test_a_malformed_deadline_is_400_whatever_the_switch(mode: Mode) -> None:
    """Bad input is bad input; the detail says what was expected."""
    hop = Hop(deadline=mode)
    client = await hop.get(x_envoy_expected_rq_timeout_ms="soon")

    problem = json.loads(client.content)
    assert (client.status, problem["reason"]) == (400, "DEADLINE_INVALID")
    assert "integer of 1 to 600000" in problem["detail"]
    assert problem["request_id"] == client.answer["x-request-id"]
    assert hop.seen == []


async def test_a_deadline_header_sent_twice_is_malformed() -> None:
    """Two values of one header are one value with a comma, which is no number."""
    hop = Hop()
    client = Client(hop.app)
    scope = client.scope()
    scope["headers"] = [(b"x-envoy-expected-rq-timeout-ms", b"100")] * 2
    await hop.app(scope, client.receive, client.send)

    assert client.status == 400


async def test_a_spent_deadline_is_504_and_starts_nothing() -> None:
    """grpc-timeout may say zero."""
    hop = Hop()
    client = await hop.get(grpc_timeout="0m")

    assert (client.status, hop.seen) == (504, [])
    assert json.loads(client.content)["reason"] == "DEADLINE_EXCEEDED"
    assert hop.finished[0].context.notes[0].what == "rejected"


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
async def test_with_the_deadline_not_on_the_context_has_none(mode: Mode) -> None:
    """So nothing below enforces one or passes one on."""
    hop = Hop(deadline=mode)
    client = await hop.get(grpc_timeout="0m")

    assert client.status == 200
    assert hop.seen[0].deadline_s is None


async def test_in_shadow_a_request_that_took_too_long_is_noted() -> None:
    """Shadow says what it would have cut."""
    hop = Hop(deadline=Mode.SHADOW, budget_s=0.0)
    await hop.get()

    assert [note.what for note in hop.finished[0].context.notes] == ["shadow-rejected"]


async def test_a_service_error_becomes_problem_json() -> None:
    """Status, reason, retry-after and decision; the cause stays inside."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ServiceError(
            Code.UNAVAILABLE,
            "LIMIT_EXCEEDED",
            "too much",
            metadata={"decision": "limiter; video.2; 6/5", "upstream": "video"},
            retry_after_s=1.2,
        ) from RuntimeError("secret")

    hop = Hop(app)
    client = await hop.get()

    problem = json.loads(client.content)
    assert problem == {
        "type": "about:blank",
        "title": "Service Unavailable",
        "status": 503,
        "detail": "too much",
        "reason": "LIMIT_EXCEEDED",
        "request_id": client.answer["x-request-id"],
        "metadata": {"upstream": "video"},
    }
    assert client.answer["content-type"] == "application/problem+json"
    assert client.answer["content-length"] == str(len(client.content))
    assert client.answer["retry-after"] == "2"
    assert client.answer["x-squall-decision"] == "limiter; video.2; 6/5"
    assert (hop.finished[0].status, hop.finished[0].code) == ("LIMIT_EXCEEDED", 503)


async def test_a_bug_is_500_without_its_cause_and_goes_to_the_log(
    caplog: pytest.LogCaptureFixture,
) -> None:
    """Internals never leak; the log has them."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise ZeroDivisionError("secret")

    with caplog.at_level(logging.ERROR):
        client = await Hop(app).get()

    assert client.status == 500
    assert b"secret" not in client.content
    assert caplog.records[0].exc_info is not None


async def test_an_error_after_the_answer_began_breaks_it_off() -> None:
    """No second answer is sent into the first."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        raise ServiceError(Code.INTERNAL, "LATE", "x")

    hop = Hop(app)
    client = await hop.get()

    assert len(client.sent) == 1
    assert (hop.finished[0].status, hop.finished[0].code) == ("LATE", 500)


async def test_a_summary_names_route_status_and_times() -> None:
    """The framework's route template, or the one the app set, or none."""

    class Route:
        path = "/v1/videos/{id}"

    async def routed(scope: Any, receive: Any, send: Any) -> None:
        scope["route"] = Route()
        await ok(scope, receive, send)

    async def named(scope: Any, receive: Any, send: Any) -> None:
        scope[ROUTE_KEY] = "/named"
        await send({"type": "http.response.start", "status": 404, "headers": []})
        await send({"type": "http.response.body"})

    for app, route, status in (
        (routed, "/v1/videos/{id}", "OK"),
        (named, "/named", "HTTP_404"),
        (ok, "unmatched", "OK"),
    ):
        hop = Hop(app)
        await hop.get()
        finished = hop.finished[0]
        assert (finished.route, finished.status) == (route, status)
        assert 0 <= finished.duration_s < 5
        assert finished.started_unix_s > 1.7e9


async def test_a_cancelled_request_is_reported_as_499() -> None:
    """A server that shuts down cancels; the summary says nobody was answered."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise asyncio.CancelledError

    hop = Hop(app)
    with pytest.raises(asyncio.CancelledError):
        await hop.get()

    assert (hop.finished[0].status, hop.finished[0].code) == ("CANCELLED", 499)


async def test_other_protocols_pass_by() -> None:
    """Lifespan and WebSocket have no such request."""
    seen: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        seen.append(scope["type"])

    middleware = ContextMiddleware(app, instance="g", switches=FixedSwitches())
    client = Client(middleware)
    await middleware({"type": "lifespan"}, client.receive, client.send)

    assert seen == ["lifespan"]
    assert default_budget({}) == 1.0
    ignore(Finished(Context("a", "b", "c", 0.0), "r", "OK", 200, 0.0, 0.0, None, None))
