"""The error behind each result that isn't acknowledged."""

import pytest

from resilience.errors import (
    LimitExceeded,
    Rejected,
    ServiceError,
    UpstreamReset,
    UpstreamStatus,
    UpstreamTimeout,
)
from shard.policy.durability import WriteStatus
from shard.result import UNAVAILABLE_RETRY_AFTER_S, WriteResult

REFUSED, UNKNOWN = WriteStatus.REFUSED, WriteStatus.UNKNOWN


def test_documented_default() -> None:
    """Nobody comes back before a failover can have happened."""
    assert UNAVAILABLE_RETRY_AFTER_S == 1.0


def test_an_acknowledged_write_gives_its_reply() -> None:
    """The reply itself, None included."""
    assert WriteResult(WriteStatus.ACKNOWLEDGED, b"OK").raise_for_status() == b"OK"
    assert WriteResult(WriteStatus.ACKNOWLEDGED).raise_for_status() is None


@pytest.mark.parametrize(
    ("status", "reason", "error", "http"),
    [
        (REFUSED, "NOT_REPLICATED", Rejected, 503),
        (UNKNOWN, "NOT_REPLICATED", ServiceError, 503),
        (REFUSED, "STORE_UNAVAILABLE", Rejected, 503),
        (UNKNOWN, "STORE_UNAVAILABLE", UpstreamReset, 503),
        (REFUSED, "STORE_OVERLOADED", LimitExceeded, 503),
        (REFUSED, "STORE_FULL", Rejected, 503),
        (REFUSED, "STORE_TIMEOUT", UpstreamTimeout, 504),
        (UNKNOWN, "STORE_TIMEOUT", UpstreamTimeout, 504),
        (REFUSED, "STORE_ERROR", UpstreamStatus, 500),
    ],
)
def test_errors_of_an_edge(
    status: WriteStatus, reason: str, error: type[ServiceError], http: int
) -> None:
    """Kind, HTTP status, and ``started``: false exactly when the write was not executed."""
    with pytest.raises(error) as caught:
        WriteResult(status, None, reason, "why").raise_for_status()

    assert caught.value.code.http_status == http
    assert caught.value.reason == reason
    assert caught.value.started == (status is UNKNOWN)
    assert caught.value.metadata == ({"write": "unknown"} if status is UNKNOWN else {})
    assert str(caught.value) == "store: why"
