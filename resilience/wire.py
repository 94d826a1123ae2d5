"""Wire formats of what crosses a hop: deadlines, trace, baggage, retry-after.

Every ``parse_*`` raises ``ValueError`` saying what came, and what it should have looked like; an
adapter turns it into 400 for a deadline and into a fresh start for a trace. Times are seconds.

Sources: Envoy router_filter.rst (x-envoy-expected-rq-timeout-ms); gRPC PROTOCOL-HTTP2.md
(grpc-timeout); W3C Trace Context, section 3.2; W3C Baggage, section 3; RFC 9110, 10.2.3
(Retry-After) and 5.6.7 (dates).
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from math import ceil
from typing import NamedTuple
from urllib.parse import quote, unquote

TIMEOUT_MS_HEADER = "x-envoy-expected-rq-timeout-ms"
GRPC_TIMEOUT_HEADER = "grpc-timeout"
RETRY_AFTER_HEADER = "retry-after"
STARTED_HEADER = "x-squall-started"  # of an answer; ``false``: nothing was begun
NOT_STARTED = "false"
MAX_TIMEOUT_MS = 600_000  # ten minutes: longer than any request of ours; a typo looks like this
MAX_BAGGAGE_BYTES = 8192  # W3C Baggage, 3.3.2: the least every platform must pass on
MAX_BAGGAGE_MEMBERS = 64  # the same section
MAX_RETRY_AFTER_S = 86_400.0  # a day; beyond that nobody waits

_TIMEOUT_MS = re.compile(r"[0-9]{1,9}", re.ASCII)
_GRPC_TIMEOUT = re.compile(r"([0-9]{1,8})([HMSmun])", re.ASCII)
_GRPC_UNIT_S = {"H": 3600.0, "M": 60.0, "S": 1.0, "m": 1e-3, "u": 1e-6, "n": 1e-9}
_GRPC_MAX_DIGITS = 99_999_999
_TRACEPARENT = re.compile(r"([0-9a-f]{2})-([0-9a-f]{32})-([0-9a-f]{16})-([0-9a-f]{2})(-.*)?")
_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_SECONDS = re.compile(r"[0-9]{1,9}", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_NO_TRACE, _NO_SPAN = "0" * 32, "0" * 16


class TraceParent(NamedTuple):
    """The caller's place in a trace: 32 and 16 hex digits, and whether it records."""

    trace_id: str
    span_id: str
    sampled: bool


def parse_timeout_ms(text: str) -> float:
    """Read x-envoy-expected-rq-timeout-ms: an integer of 1 to 600000."""
    value_ms = int(text) if _TIMEOUT_MS.fullmatch(text) else 0
    if not 1 <= value_ms <= MAX_TIMEOUT_MS:
        raise ValueError(
            f"{TIMEOUT_MS_HEADER}: {_shown(text)} is no integer of 1 to {MAX_TIMEOUT_MS}"
        )
    return value_ms / 1000


def format_timeout_ms(timeout_s: float) -> str:
    """Write x-envoy-expected-rq-timeout-ms, rounded down: never promise time we don't have.

    Less than a millisecond is written as 1; whoever has nothing left must not send.
    """
    return str(min(MAX_TIMEOUT_MS, max(1, int(timeout_s * 1000))))


def parse_grpc_timeout(text: str) -> float:
    """Read grpc-timeout: at most eight digits and one unit, e.g. ``250m`` or ``1S``; 0 is legal."""
    match = _GRPC_TIMEOUT.fullmatch(text)
    if match is None:
        raise ValueError(
            f"{GRPC_TIMEOUT_HEADER}: {_shown(text)} is not 1 to 8 digits and one of H M S m u n"
        )
    return int(match[1]) * _GRPC_UNIT_S[match[2]]


def format_grpc_timeout(timeout_s: float) -> str:
    """Write grpc-timeout in the finest unit that fits eight digits, rounded down."""
    for unit in "num":
        count = int(timeout_s / _GRPC_UNIT_S[unit])
        if count <= _GRPC_MAX_DIGITS:
            return f"{max(0, count)}{unit}"
    return f"{min(_GRPC_MAX_DIGITS, int(timeout_s))}S"


def parse_deadline(timeout_ms: str | None, grpc_timeout: str | None) -> float | None:
    """Read both deadline headers; of two the smaller counts. None when neither was sent."""
    asked = []
    if timeout_ms is not None:
        asked.append(parse_timeout_ms(timeout_ms))
    if grpc_timeout is not None:
        asked.append(parse_grpc_timeout(grpc_timeout))
    return min(asked) if asked else None


def parse_traceparent(text: str) -> TraceParent:
    """Read traceparent; a version after 00 may carry more fields, which are ignored."""
    match = _TRACEPARENT.fullmatch(text)
    if match is None or match[1] == "ff" or (match[1] == "00" and match[5]):
        raise ValueError(f"traceparent: {_shown(text)} is not 00-<32 hex>-<16 hex>-<2 hex>")
    if match[2] == _NO_TRACE or match[3] == _NO_SPAN:
        raise ValueError(f"traceparent: {_shown(text)} has an id of zeros only")
    return TraceParent(match[2], match[3], bool(int(match[4], 16) & 1))


def format_traceparent(trace_id: str, span_id: str, *, sampled: bool = True) -> str:
    """Write traceparent, version 00."""
    return f"00-{trace_id}-{span_id}-{'01' if sampled else '00'}"


def parse_baggage(text: str) -> dict[str, str]:
    """Read baggage into key to value; properties of a member are dropped."""
    if len(text.encode()) > MAX_BAGGAGE_BYTES:
        raise ValueError(f"baggage: more than {MAX_BAGGAGE_BYTES} bytes")
    members = [member for member in text.split(",") if member.strip()]
    if len(members) > MAX_BAGGAGE_MEMBERS:
        raise ValueError(f"baggage: {len(members)} members, more than {MAX_BAGGAGE_MEMBERS}")
    read = {}
    for member in members:
        key, equals, value = member.partition(";")[0].partition("=")
        if not equals or not _TOKEN.fullmatch(key.strip()):
            raise ValueError(f"baggage: {_shown(member)} is not key=value")
        read[key.strip()] = unquote(value.strip())
    return read


def format_baggage(members: Mapping[str, str]) -> str:
    """Write baggage; values are percent-encoded."""
    return ",".join(f"{key}={quote(value, safe='')}" for key, value in members.items())


def parse_retry_after(text: str, now_unix_s: float) -> float:
    """Read Retry-After in either form, whole seconds or a date; as seconds from now, 0 to a day.

    Args:
        text: The header's value.
        now_unix_s: The wall clock's seconds since 1970, to which a date is compared; best the
            answer's own ``date``, since clocks are not shared. A date that has passed means now.

    Raises:
        ValueError: It is neither.
    """
    if _SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER_S)
    try:
        at = parsedate_to_datetime("" if text[:1].isdigit() else text)
    except ValueError:
        raise ValueError(
            f"{RETRY_AFTER_HEADER}: {_shown(text)} is neither whole seconds nor an HTTP date"
        ) from None
    at = at if at.tzinfo is not None else at.replace(tzinfo=UTC)  # "-0000" comes without a zone
    return min(max(0.0, (at - _EPOCH).total_seconds() - now_unix_s), MAX_RETRY_AFTER_S)


def format_retry_after(retry_after_s: float) -> str:
    """Write Retry-After: whole seconds, rounded up, so that nobody comes back too early."""
    return str(max(1, ceil(min(retry_after_s, MAX_RETRY_AFTER_S))))


def _shown(text: str) -> str:
    """Quote what came, cut short: a header may be long and is the sender's."""
    return repr(text if len(text) <= 40 else text[:37] + "...")
