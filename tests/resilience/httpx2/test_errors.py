"""Errors: answers and failures of httpx2, as a pipeline understands them."""

import httpx2
import pytest

from resilience.errors import Code, UpstreamReset, UpstreamTimeout
from resilience.httpx2 import errors
from resilience.httpx2.errors import from_response, from_transport, retry_after_s

PROBLEM = {"content-type": "application/problem+json"}


def test_defaults() -> None:
    """What can't be read asks for the least that the header can say."""
    assert errors.UNREADABLE_RETRY_AFTER_S == 1.0
    assert errors.PROBLEM_TYPE == "application/problem+json"


@pytest.mark.parametrize(
    ("status", "code"),
    [
        (400, Code.INVALID_ARGUMENT),
        (404, Code.NOT_FOUND),
        (418, Code.INVALID_ARGUMENT),
        (429, Code.RESOURCE_EXHAUSTED),
        (499, Code.CANCELLED),
        (500, Code.INTERNAL),
        (503, Code.UNAVAILABLE),
        (504, Code.DEADLINE_EXCEEDED),
        (507, Code.BAD_GATEWAY),
    ],
)
def test_a_status_has_its_code_or_that_of_its_class(status: int, code: Code) -> None:
    """Without a problem the code is the reason too."""
    error = from_response(httpx2.Response(status, content=b"<html>"))
    assert (error.code, error.reason) == (code, code.name)
    assert str(error) == f"the service answered {status}"
    assert (error.metadata, error.retry_after_s, error.started) == ({}, None, True)


@pytest.mark.parametrize(("said", "started"), [("false", False), ("true", True), ("", True)])
def test_an_answer_may_say_that_nothing_was_begun(said: str, started: bool) -> None:
    """Then another try elsewhere is safe, whatever the method."""
    error = from_response(httpx2.Response(503, headers={"x-squall-started": said}))
    assert error.started is started


@pytest.mark.parametrize(
    "body", [b"", b"not json", b"[1]", b'{"reason": 5, "detail": null, "metadata": [1]}']
)
def test_a_problem_that_is_none_is_only_its_status(body: bytes) -> None:
    """Whatever the other side sends, an error comes of it."""
    error = from_response(httpx2.Response(503, headers=PROBLEM, content=body))
    assert (error.reason, error.metadata) == ("UNAVAILABLE", {})


def test_a_problem_is_known_by_its_media_type() -> None:
    """Parameters and case don't matter; JSON of another type is somebody else's."""
    body = b'{"reason": "SOLD_OUT", "metadata": {"left": 0}}'
    for content_type, reason in (
        ("Application/Problem+JSON; charset=utf-8", "SOLD_OUT"),
        ("application/json", "UNAVAILABLE"),
    ):
        answer = httpx2.Response(503, headers={"content-type": content_type}, content=body)
        assert from_response(answer).reason == reason
    answer = httpx2.Response(503, headers=PROBLEM, content=body)
    assert from_response(answer).metadata == {"left": "0"}


@pytest.mark.parametrize(
    ("headers", "expected"),
    [
        ({}, None),
        ({"retry-after": "7"}, 7.0),
        ({"retry-after": "soon"}, 1.0),
        ({"retry-after": "-3"}, 1.0),
        (
            {
                "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT",
                "date": "Wed, 21 Oct 2015 07:28:00 GMT",
            },
            30.0,
        ),
        (
            {
                "retry-after": "Wed, 21 Oct 2015 07:28:30 GMT",
                "date": "Wed, 21 Oct 2015 07:28:00 -0000",
            },
            30.0,
        ),
        (
            {
                "retry-after": "Wed, 21 Oct 2015 07:28:00 GMT",
                "date": "Wed, 21 Oct 2015 07:28:30 GMT",
            },
            0.0,
        ),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT"}, 0.0),
        ({"retry-after": "Wed, 21 Oct 2015 07:28:30 GMT", "date": "then"}, 0.0),
    ],
)
def test_push_back_in_seconds_or_by_a_date(headers: dict[str, str], expected: float | None) -> None:
    """A date counts from the answer's own; without one from our clock, by which 2015 is past."""
    assert retry_after_s(httpx2.Headers(headers)) == expected


@pytest.mark.parametrize(
    ("error", "kind", "has_started"),
    [
        (httpx2.ConnectError("no"), UpstreamReset, False),
        (httpx2.ConnectTimeout("no"), UpstreamReset, False),
        (httpx2.PoolTimeout("no"), UpstreamReset, False),
        (httpx2.ReadTimeout("no"), UpstreamTimeout, True),
        (httpx2.WriteTimeout("no"), UpstreamTimeout, True),
        (httpx2.ReadError("no"), UpstreamReset, True),
        (httpx2.WriteError("no"), UpstreamReset, True),
        (httpx2.RemoteProtocolError("no"), UpstreamReset, True),
        (httpx2.ProxyError("no"), UpstreamReset, True),
    ],
    ids=lambda value: type(value).__name__,
)
def test_failures_before_an_answer(
    error: httpx2.TransportError, kind: type[UpstreamReset | UpstreamTimeout], has_started: bool
) -> None:
    """What was never sent may be sent elsewhere; what timed out or broke may have been done."""
    named = from_transport(error)
    assert isinstance(named, kind)
    assert named.started is has_started


@pytest.mark.parametrize("kind", [httpx2.LocalProtocolError, httpx2.UnsupportedProtocol])
def test_bugs_of_ours_stay_what_they_are(kind: type[httpx2.TransportError]) -> None:
    """A URL of another scheme is no failure of the other side."""
    error = kind("ours")
    assert from_transport(error) is error
