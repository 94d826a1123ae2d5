"""Deadline middleware: cut at the deadline, cut when the client leaves, bodies untouched."""

import asyncio
import json
from typing import Any

import pytest

from resilience.asgi.context import ContextMiddleware
from resilience.asgi.deadline import DeadlineMiddleware
from resilience.asgi.types import ASGIApp
from resilience.context import Cut, current
from resilience.policy.contract import Mode
from resilience.summary import Finished
from resilience.switches import FixedSwitches
from tests.resilience.asgi.client import Client, echo, hang, ok, turns


class Hop:
    """Context and deadline around an app."""

    def __init__(self, app: ASGIApp, budget_s: float = 5.0, **modes: Mode) -> None:
        self.finished: list[Finished] = []
        switches = FixedSwitches(modes)
        self.app = ContextMiddleware(
            DeadlineMiddleware(app, switches=switches),
            instance="gateway.1",
            switches=switches,
            budget=lambda scope: budget_s,
            on_finish=self.finished.append,
        )


async def test_work_beyond_the_deadline_is_cancelled_and_answered_504() -> None:
    """The work hears of it, the Context says why, the client gets a reason."""
    cuts: list[Cut | None] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        context = current()
        assert context is not None
        try:
            await hang(scope, receive, send)
        finally:
            cuts.append(context.cut)

    hop = Hop(app, budget_s=0.02)
    client = await Client(hop.app).run()

    assert (client.status, json.loads(client.content)["reason"]) == (504, "DEADLINE_EXCEEDED")
    assert client.answer["x-squall-decision"].startswith("deadline; gateway.1; 0.0")
    assert client.answer["x-squall-decision"].endswith("/0.02")
    assert cuts == [Cut.DEADLINE]
    assert [note.what for note in hop.finished[0].context.notes] == ["cut"]


async def test_a_client_who_leaves_ends_the_work() -> None:
    """The application is busy and doesn't ask; it is cancelled, counted as 499."""
    hop = Hop(hang)
    client = Client(hop.app)
    serving = asyncio.ensure_future(client.run())
    await turns()
    client.gone.set()
    await serving

    assert (hop.finished[0].status, hop.finished[0].code) == ("CLIENT_CLOSED", 499)
    assert hop.finished[0].context.cut is Cut.CALLER


async def test_a_body_in_pieces_arrives_whole() -> None:
    """Whatever its number of pieces, and read no further ahead than one."""
    pieces = [b"a", b"b", b"c", b"d"]
    client = await Client(Hop(echo).app, body=pieces, method="POST").run()

    assert (client.status, client.content) == (200, b"abcd")


async def test_a_body_nobody_reads_is_read_ahead_by_one() -> None:
    """Back-pressure holds: the rest stays with the server."""
    client = Client(Hop(hang, budget_s=0.02).app, body=[b"x"] * 100, method="POST")
    await client.run()

    assert (client.status, client.received) == (504, 1)


async def test_a_client_who_leaves_after_its_body_is_heard_though_nobody_reads() -> None:
    """One piece, not taken by the application, and then the disconnect."""
    hop = Hop(hang)
    client = Client(hop.app, body=[b"all of it"], method="POST")
    serving = asyncio.ensure_future(client.run())
    await turns()
    client.gone.set()
    await serving

    assert hop.finished[0].code == 499


async def test_an_application_that_asks_hears_of_the_disconnect_itself() -> None:
    """As often as it asks, after its body."""
    heard: list[str] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            for _ in range(3):
                heard.append((await receive())["type"])
        except asyncio.CancelledError:
            heard.append((await receive())["type"])
            raise

    client = Client(Hop(app).app)
    serving = asyncio.ensure_future(client.run())
    await turns()
    client.gone.set()
    await serving

    assert heard[0] == "http.request"
    assert heard[-1] == "http.disconnect"


async def test_work_after_the_answer_is_not_cut() -> None:
    """Background work is the application's own affair; the server's disconnect comes then too."""
    done: list[bool] = []

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await ok(scope, receive, send)
        await asyncio.sleep(0.04)
        done.append(True)

    client = await Client(Hop(app, budget_s=0.02).app).run()

    assert (client.status, done) == (200, [True])


async def test_an_answer_begun_is_broken_off_at_the_deadline() -> None:
    """There is no second status; the server closes what has no end."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await hang(scope, receive, send)

    hop = Hop(app, budget_s=0.02)
    client = await Client(hop.app).run()

    assert len(client.sent) == 1
    assert hop.finished[0].status == "DEADLINE_EXCEEDED"


async def test_work_that_turns_its_cancelling_into_an_error_is_still_504() -> None:
    """A child's last words are not the reason."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        try:
            await hang(scope, receive, send)
        except asyncio.CancelledError:
            raise RuntimeError("interrupted") from None

    client = await Client(Hop(app, budget_s=0.02).app).run()

    assert client.status == 504


async def test_a_server_that_cancels_is_obeyed() -> None:
    """Shutting down is neither a deadline nor a client's leaving."""
    hop = Hop(hang)
    serving = asyncio.ensure_future(Client(hop.app).run())
    await turns()
    serving.cancel()
    with pytest.raises(asyncio.CancelledError):
        await serving

    assert hop.finished[0].context.cut is None


async def test_a_failing_receive_is_raised_where_the_application_reads() -> None:
    """Not in a task nobody looks at."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        with pytest.raises(OSError, match="broken"):
            await receive()
        await ok(scope, receive, send)

    async def broken() -> Any:
        raise OSError("broken")

    client = Client(Hop(app).app)
    await client.app(client.scope(), broken, client.send)

    assert client.status == 200


@pytest.mark.parametrize("mode", [Mode.OFF, Mode.SHADOW])
async def test_not_on_nothing_is_watched(mode: Mode) -> None:
    """The control arm: the work goes on after the client has left."""
    hop = Hop(hang, budget_s=0.01, deadline=mode, cancellation=mode)
    client = Client(hop.app)
    serving = asyncio.ensure_future(client.run())
    client.gone.set()
    await asyncio.sleep(0.03)

    assert not serving.done()
    serving.cancel()
    await asyncio.gather(serving, return_exceptions=True)


async def test_a_client_who_leaves_is_heard_without_a_deadline_too() -> None:
    """The two switches are independent: no time ends this work, and its client's leaving does."""
    hop = Hop(hang, budget_s=0.01, deadline=Mode.OFF)
    client = Client(hop.app)
    client.gone.set()
    await asyncio.wait_for(client.run(), 5)

    assert (hop.finished[0].status, hop.finished[0].context.cut) == ("CLIENT_CLOSED", Cut.CALLER)


async def test_a_deadline_holds_without_cancellation_too() -> None:
    """The client's leaving changes nothing; the time ends the work."""
    hop = Hop(hang, budget_s=0.02, cancellation=Mode.OFF)
    client = Client(hop.app)
    client.gone.set()
    await asyncio.wait_for(client.run(), 5)

    assert hop.finished[0].status == "DEADLINE_EXCEEDED"


async def test_health_paths_and_requests_without_context_pass_by() -> None:
    """Neither is ever cut."""
    client = await Client(Hop(ok).app, path="/livez").run()
    assert client.status == 200
    client = await Client(DeadlineMiddleware(ok, switches=FixedSwitches())).run()
    assert client.status == 200
