"""The kinds of faults: which there are at each depth, and what each may be told.

Why: writers (command, drill files, Toxiproxy's API) and readers (injector, links) must mean the
same by a kind, so all that can be said stands in one table.

- ``SERVICE_KINDS`` bite inside a process, before its handler: ``faults.injector``.
- ``LINK_KINDS`` bite on the bytes between a client and a server: ``faults.wire``.
- ``latency`` is both; which one it is, its target says (``faults.rule``).

Source: Toxiproxy's toxics (Shopify/toxiproxy: toxics/*.go) for latency, bandwidth, slow_close,
timeout, reset_peer, slicer, limit_data and their attributes (``rate``, ``average_size``,
``size_variation`` and ``delay`` are named with their units here); the others are ours. Codes of
``reset_stream``: RFC 9113, section 7.
Not handled: faults of hosts (kill, pause, limits); they belong to drivers and are no rules.
"""

from collections.abc import Mapping
from typing import NamedTuple, TypeAlias

from resilience.errors import Code

MAX_MS = 60_000.0  # a minute: longer than any deadline, so longer shows nothing more
MAX_FACTOR = 1_000.0
MAX_KBPS = 10_000_000.0  # 10 GB/s: no limit on any machine
MAX_BYTES = 1e9
MAX_US = 1e6  # a second between slices
STREAMS = ("upstream", "downstream")  # towards the server, towards the client
DEFAULT_STREAM = "downstream"  # Toxiproxy's
DEFAULT_ERROR_CODE = Code.UNAVAILABLE  # what a dying dependency answers
DEFAULT_RESET_CODE = "INTERNAL_ERROR"  # of a server that broke; gRPC calls it INTERNAL

HTTP2_CODES: Mapping[str, int] = {
    name: number
    for number, name in enumerate(
        (
            *("NO_ERROR", "PROTOCOL_ERROR", "INTERNAL_ERROR", "FLOW_CONTROL_ERROR"),
            *("SETTINGS_TIMEOUT", "STREAM_CLOSED", "FRAME_SIZE_ERROR", "REFUSED_STREAM"),
            *("CANCEL", "COMPRESSION_ERROR", "CONNECT_ERROR", "ENHANCE_YOUR_CALM"),
            *("INADEQUATE_SECURITY", "HTTP_1_1_REQUIRED"),
        )
    )
}
"""Why a stream was reset, by name: RFC 9113, section 7."""

SHARE_OF: Mapping[str, str] = {"loading": "commands", "reset_stream": "streams"}
"""What a link's share is drawn for, by kind, each time anew; of other kinds it is connections."""


class Figure(NamedTuple):
    """A param that is a number.

    Args:
        unit: In words, for messages.
        most: The largest value allowed.
        least: The smallest value allowed.
        needed: What to do when it is left out or 0; "" when it may be.
    """

    unit: str
    most: float
    least: float = 0.0
    needed: str = ""


class Choice(NamedTuple):
    """A param that is one of a few words."""

    words: tuple[str, ...]


class CodeName(NamedTuple):
    """A param that is a canonical error code or an HTTP status."""


class Http2CodeName(NamedTuple):
    """A param that is an HTTP/2 error code, by its name or number."""


Spec: TypeAlias = Figure | Choice | CodeName | Http2CodeName
Specs: TypeAlias = Mapping[str, Spec]

_MS = Figure("milliseconds", MAX_MS)
_HOW_LONG = Figure("milliseconds", MAX_MS, needed="say how long, in milliseconds")
_STREAM = Choice(STREAMS)

SERVICE_KINDS: Mapping[str, Specs] = {
    "latency": {"ms": _HOW_LONG, "jitter_ms": _MS},
    "error": {"code": CodeName()},
    "abort": {},
    "block": {"ms": _HOW_LONG, "every_ms": _MS},
    "burn": {"ms": Figure("milliseconds of CPU", MAX_MS, needed="say how much CPU, in ms")},
    "slow": {
        "factor": Figure("times", MAX_FACTOR, 1.0, "say how many times as long a request takes")
    },
    "unhealthy": {},
}
LINK_KINDS: Mapping[str, Specs] = {
    "latency": {"ms": _HOW_LONG, "jitter_ms": _MS, "stream": _STREAM},
    "bandwidth": {
        "kbps": Figure("kilobytes/s", MAX_KBPS, needed="say how many kilobytes a second"),
        "stream": _STREAM,
    },
    "slow_close": {"ms": _HOW_LONG, "stream": _STREAM},
    "timeout": {"ms": _MS, "stream": _STREAM},
    "reset_peer": {"ms": _MS, "stream": _STREAM},
    "slicer": {
        "bytes": Figure("bytes", MAX_BYTES, needed="say how large a slice is, in bytes"),
        "variation": Figure("bytes", MAX_BYTES),
        "us": Figure("microseconds", MAX_US),
        "stream": _STREAM,
    },
    "limit_data": {
        "bytes": Figure("bytes", MAX_BYTES, needed="say after how many bytes"),
        "stream": _STREAM,
    },
    "down": {},
    "loading": {},
    "reset_stream": {"code": Http2CodeName()},
    "slow_headers": {
        "ms": Figure("milliseconds a byte", MAX_MS, needed="say how long a byte takes")
    },
}
KINDS = tuple(dict.fromkeys((*SERVICE_KINDS, *LINK_KINDS)))
