"""Limiter middleware: refusals, outcomes by cause, health."""

import asyncio
import json
from typing import Any

import pytest

from resilience.asgi.context import ContextMiddleware
from resilience.asgi.deadline import DeadlineMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.asgi.types import ASGIApp
from resilience.errors import Code, ServiceError
from resilience.policy.contract import Mode, Outcome
from resilience.summary import Finished
from resilience.switches import FixedSwitches
from tests.resilience.asgi.client import Client, hang, ok, turns
from tests.resilience.fakes import FakeGate


class Hop:
    """Context, deadline and limiter around an app."""

    def __init__(self, app: ASGIApp, budget_s: float = 5.0, **modes: Mode) -> None:
        self.gate = FakeGate()
        self.finished: list[Finished] = []
        switches = FixedSwitches(modes)
        self.limiter = LimiterMiddleware(app, self.gate, switches=switches, scope_name="gateway.1")
        self.app = ContextMiddleware(
            DeadlineMiddleware(self.limiter, switches=switches),
            instance="gateway.1",
            switches=switches,
            budget=lambda scope: budget_s,
            on_finish=self.finished.append,
        )


def answering(status: int) -> ASGIApp:
    """Make an app that answers with a status."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": status, "headers": []})
        await send({"type": "http.response.body"})

    return app


def raising(error: Exception) -> ASGIApp:
    """Make an app that raises."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        raise error

    return app


async def test_a_refusal_is_503_with_its_decision() -> None:
    """Header, reason, retry-after, and a note for explain."""
    hop = Hop(ok)
    hop.gate.refuse = True
    client = await Client(hop.app).run()

    assert (client.status, json.loads(client.content)["reason"]) == (503, "LIMIT_EXCEEDED")
    assert client.answer["x-squall-decision"] == "limiter; gateway.1; 6/5"
    assert client.answer["retry-after"] == "1"
    note = hop.finished[0].context.notes[0]
    assert (note.policy, note.what, note.detail["limit"]) == ("limiter", "rejected", 5)


@pytest.mark.parametrize(
    ("app", "outcome"),
    [
        (ok, Outcome.OK),
        (answering(404), Outcome.OK),
        (answering(500), Outcome.FAILED),
        (answering(504), Outcome.OVERLOADED),
        (raising(ServiceError(Code.NOT_FOUND, "X", "x")), Outcome.OK),
        (raising(ServiceError(Code.INTERNAL, "X", "x")), Outcome.FAILED),
        (raising(RuntimeError()), Outcome.FAILED),
    ],
)
async def test_the_gate_learns_how_the_work_ended(app: ASGIApp, outcome: Outcome) -> None:
    """From the status an app rendered, or the error it raised."""
    hop = Hop(app)
    await Client(hop.app).run()

    assert (hop.gate.outcomes, hop.gate.in_flight) == ([outcome], 0)


async def test_work_cut_at_the_deadline_is_overload() -> None:
    """It must not teach how short it was."""
    hop = Hop(hang, budget_s=0.02)
    await Client(hop.app).run()

    assert hop.gate.outcomes == [Outcome.OVERLOADED]


async def test_work_cut_by_a_leaving_client_teaches_nothing() -> None:
    """Nor does it say anything about us."""
    hop = Hop(hang)
    client = Client(hop.app)
    serving = asyncio.ensure_future(client.run())
    await turns()
    client.gone.set()
    await serving

    assert hop.gate.outcomes == [Outcome.IGNORED]


async def test_in_shadow_all_are_served_and_the_refusal_noted() -> None:
    """Off, not even that."""
    for mode, notes in ((Mode.SHADOW, ["shadow-rejected"]), (Mode.OFF, [])):
        hop = Hop(ok, limiter=mode)
        hop.gate.refuse = True
        client = await Client(hop.app).run()
        assert client.status == 200
        assert [note.what for note in hop.finished[0].context.notes] == notes


async def test_health_and_other_protocols_bypass_it() -> None:
    """Overload never turns a process unready."""
    hop = Hop(ok)
    hop.gate.refuse = True
    for path in ("/livez", "/readyz"):
        assert (await Client(hop.app, path=path).run()).status == 200
    client = Client(hop.limiter)
    await hop.limiter({"type": "websocket"}, client.receive, client.send)
    assert hop.gate.outcomes == []


async def test_without_a_context_it_works_alone() -> None:
    """Standing alone it raises, and something outside renders."""
    gate = FakeGate()
    limiter = LimiterMiddleware(ok, gate, switches=FixedSwitches(), scope_name="x")
    assert (await Client(limiter).run()).status == 200
    gate.refuse = True
    with pytest.raises(ServiceError, match="limiter; x; 6/5"):
        await Client(limiter).run()
