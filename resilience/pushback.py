"""Push-back on the wire: the three ways in which a server says when to come back.

| where | form | meaning |
|---|---|---|
| HTTP ``retry-after`` | whole seconds, or an HTTP date | in n seconds; at that time |
| gRPC ``grpc-retry-pushback-ms`` | a signed 32-bit integer | in n ms; negative: don't retry |
| gRPC status details | ``RetryInfo`` | in n seconds (read in ``resilience.rpc.status``) |

All become ``retry_after_s``, seconds from now; ``DONT_RETRY_S`` stands for "not at all". The first
is read in ``resilience.wire``, the other two in ``resilience.rpc.status``, the second by what
stands here.

Source: RFC 9110, 10.2.3 (Retry-After); gRFC A6, "Pushback".
Not handled: ``x-ratelimit-reset`` (three meanings in the field, and no standard).
"""

import re

GRPC_PUSHBACK_KEY = "grpc-retry-pushback-ms"
DONT_RETRY_S = -1.0  # any negative wait means it; see ``RetryPlan``

_PUSHBACK_MS = re.compile(r"-?(0|[1-9][0-9]{0,9})", re.ASCII)
_INT32_MAX = 2**31 - 1


def parse_grpc_pushback(text: str) -> float:
    """Read grpc-retry-pushback-ms, seconds; what can't be read says "don't retry", as A6 has it."""
    if not _PUSHBACK_MS.fullmatch(text):
        return DONT_RETRY_S
    wait_ms = int(text)
    if not 0 <= wait_ms <= _INT32_MAX or text.startswith("-"):
        return DONT_RETRY_S
    return wait_ms / 1000


def format_grpc_pushback(wait_s: float) -> str:
    """Write grpc-retry-pushback-ms, rounded up, so that nobody comes back too early."""
    if wait_s < 0:
        return "-1"
    return str(min(_INT32_MAX, -int(-wait_s * 1000 // 1)))
