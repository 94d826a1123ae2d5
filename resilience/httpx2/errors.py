"""What an httpx2 call ended with, as the errors that a pipeline understands.

Problem+json (RFC 9457) gives reason, message and metadata, ``Retry-After`` the push-back
(``wire``). Its form with a date is held against the answer's own ``Date``, two times of one
clock, so that a caller's wrong clock does no harm; one that can't be read still asks for a second.

| httpx2 raised                                       | becomes                                    |
|-----------------------------------------------------|--------------------------------------------|
| ConnectError, ConnectTimeout, PoolTimeout           | UpstreamReset; nothing was sent            |
| ReadTimeout, WriteTimeout                           | UpstreamTimeout                            |
| any other error of the network or of their protocol | UpstreamReset                              |
| LocalProtocolError, UnsupportedProtocol             | itself: a bug of ours                      |

Not handled: a problem's ``type`` (ours are ``about:blank``); HTML that a proxy sends as an error
(its status alone is taken).
"""

import json
import time
from datetime import UTC
from email.utils import parsedate_to_datetime

import httpx2

from resilience.errors import Code, UpstreamReset, UpstreamStatus, UpstreamTimeout
from resilience.wire import NOT_STARTED, RETRY_AFTER_HEADER, STARTED_HEADER, parse_retry_after

PROBLEM_TYPE = "application/problem+json"
UNREADABLE_RETRY_AFTER_S = 1.0  # the smallest that HTTP's Retry-After can say
CLIENT_ERROR = 400

_NEVER_SENT = (httpx2.ConnectError, httpx2.ConnectTimeout, httpx2.PoolTimeout)
_OURS = (httpx2.LocalProtocolError, httpx2.UnsupportedProtocol)


class AnsweredError(UpstreamStatus):
    """The other side answered with an error; ``response`` is its answer, read to the end."""

    response: httpx2.Response


def from_response(response: httpx2.Response) -> AnsweredError:
    """Read an answer of status 400 or above; its body must have been read."""
    problem = _problem(response)
    status = response.status_code
    metadata = problem.get("metadata")
    shown = metadata if isinstance(metadata, dict) else {}
    code = _code(status)
    error = AnsweredError(
        code,
        _text(problem, "reason") or code.name,
        _text(problem, "detail") or f"the service answered {status}",
        metadata={str(key): str(value) for key, value in shown.items()},
        retry_after_s=retry_after_s(response.headers),
        started=response.headers.get(STARTED_HEADER) != NOT_STARTED,
    )
    error.response = response
    return error


def from_transport(error: httpx2.TransportError) -> Exception:
    """Name what a call failed with before there was an answer; a bug of ours is returned as is."""
    if isinstance(error, _OURS):
        return error
    if isinstance(error, _NEVER_SENT):
        return UpstreamReset(
            Code.UNAVAILABLE, "UPSTREAM_UNREACHABLE", "the service cannot be reached", started=False
        )
    if isinstance(error, httpx2.TimeoutException):
        return UpstreamTimeout(
            Code.DEADLINE_EXCEEDED, "UPSTREAM_TIMEOUT", "the service did not answer in time"
        )
    return UpstreamReset(Code.BAD_GATEWAY, "UPSTREAM_RESET", "the connection broke")


def retry_after_s(headers: httpx2.Headers) -> float | None:
    """Return the push-back in seconds; None when there is no Retry-After."""
    text = headers.get(RETRY_AFTER_HEADER)
    if text is None:
        return None
    try:
        return parse_retry_after(text, _answered_at_unix_s(headers))
    except ValueError:
        return UNREADABLE_RETRY_AFTER_S


def _answered_at_unix_s(headers: httpx2.Headers) -> float:
    """Return when the other side answered by its own clock; by ours when it doesn't say."""
    try:
        at = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return time.time()
    return at.replace(tzinfo=UTC).timestamp()  # always GMT (RFC 9110, 5.6.7), however written


def _problem(response: httpx2.Response) -> dict[str, object]:
    """Return the members of a problem; none when the body is not one."""
    media_type = response.headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != PROBLEM_TYPE:
        return {}
    try:
        members = json.loads(response.content)
    except ValueError:
        return {}
    return members if isinstance(members, dict) else {}


def _text(problem: dict[str, object], member: str) -> str:
    value = problem.get(member)
    return value if isinstance(value, str) else ""


def _code(status: int) -> Code:
    """Return the status' own code, or that of its class."""
    try:
        return Code(status)
    except ValueError:
        return Code.INVALID_ARGUMENT if status // 100 == 4 else Code.BAD_GATEWAY
