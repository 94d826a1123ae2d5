"""Problem: errors as answers where no Context is."""

import json
from typing import Any

import pytest

from resilience.asgi.problem import ProblemMiddleware, problem, send_problem
from resilience.errors import Code, LimitExceeded, ServiceError, UpstreamStatus
from tests.resilience.asgi.client import Client, ok


def raising(error: Exception, *, begun: bool = False) -> Any:
    """Make an app that raises, before or after its answer has begun."""

    async def app(scope: Any, receive: Any, send: Any) -> None:
        if begun:
            await send({"type": "http.response.start", "status": 200, "headers": []})
        raise error

    return app


async def test_errors_of_an_app_become_answers() -> None:
    """A ServiceError as it says, anything else as 500."""
    not_found = ServiceError(Code.NOT_FOUND, "VIDEO_NOT_FOUND", "no video 7")
    client = await Client(ProblemMiddleware(raising(not_found))).run()
    assert (client.status, json.loads(client.content)["reason"]) == (404, "VIDEO_NOT_FOUND")
    assert "request_id" not in json.loads(client.content)

    client = await Client(ProblemMiddleware(raising(ValueError("secret")))).run()
    assert client.status == 500
    assert b"secret" not in client.content


async def test_an_answer_begun_is_not_answered_again() -> None:
    """The error goes on to the server, which closes the connection."""
    with pytest.raises(ValueError, match="late"):
        await Client(ProblemMiddleware(raising(ValueError("late"), begun=True))).run()


async def test_good_answers_and_other_protocols_pass() -> None:
    """Nothing is changed on the way."""
    assert (await Client(ProblemMiddleware(ok)).run()).content == b"ok"
    client = Client(ok)
    await ProblemMiddleware(ok)({"type": "websocket"}, client.receive, client.send)
    assert len(client.sent) == 2


def test_a_code_without_a_registered_title_has_one() -> None:
    """499 is nginx's."""
    body = json.loads(problem(ServiceError(Code.CANCELLED, "CLIENT_CLOSED", "left"))[2])

    assert (body["title"], body["status"]) == ("Client Closed Request", 499)


def test_a_decision_from_below_cannot_split_the_header() -> None:
    """Line ends and anything but ASCII are replaced."""
    error = ServiceError(Code.UNAVAILABLE, "X", "x", metadata={"decision": "a\r\nset-cookie: é"})

    assert dict(problem(error)[1])[b"x-squall-decision"] == b"a??set-cookie: ?"


def test_what_was_refused_here_says_that_nothing_was_begun_and_what_was_below_does_not() -> None:
    """The hop above may try elsewhere; what failed further down was tried again there already."""
    here = LimitExceeded(Code.UNAVAILABLE, "FULL", "full")
    below = UpstreamStatus(Code.UNAVAILABLE, "FULL", "full", started=False)
    begun = ServiceError(Code.INTERNAL, "BROKEN", "broken")
    said = [dict(problem(error)[1]).get(b"x-squall-started") for error in (here, below, begun)]
    assert said == [b"false", None, None]


async def test_a_client_who_left_is_not_told_and_others_must_be() -> None:
    """Only for 499 is a broken connection no error."""

    async def broken(message: Any) -> None:
        raise ConnectionResetError

    await send_problem(broken, ServiceError(Code.CANCELLED, "CLIENT_CLOSED", "left"))
    with pytest.raises(ConnectionResetError):
        await send_problem(broken, ServiceError(Code.INTERNAL, "X", "x"))
