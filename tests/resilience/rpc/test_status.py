"""Status: every code and field over the wire and back; statuses that others made."""

import grpc
import grpc.aio
import pytest
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from resilience.errors import Code, ServiceError, UpstreamReset, UpstreamStatus, UpstreamTimeout
from resilience.pushback import GRPC_PUSHBACK_KEY
from resilience.rpc.client import unary
from resilience.rpc.status import DETAILS_KEY, UNREACHABLE, from_rpc_error, to_status
from tests.ports import free_port
from tests.resilience.rpc.lab import get_video


def over_the_wire(error: ServiceError) -> ServiceError:
    """Send an error through a status and back."""
    code, details, trailing = to_status(error)
    return from_rpc_error(
        grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details, None)
    )


def foreign(
    code: grpc.StatusCode, details: str = "", *trailing: tuple[str, bytes | str]
) -> ServiceError:
    """Read the error of a server that isn't ours."""
    return from_rpc_error(
        grpc.aio.AioRpcError(code, grpc.aio.Metadata(), grpc.aio.Metadata(*trailing), details, None)
    )


@given(
    st.sampled_from(list(Code)),
    st.from_regex(r"[A-Z_]{1,20}", fullmatch=True),
    st.text(max_size=50),
    st.dictionaries(st.from_regex(r"[a-z]{2,8}x", fullmatch=True), st.text(max_size=20)),
    st.one_of(st.none(), st.integers(0, 10**6).map(lambda ms: ms / 1000)),
    st.booleans(),
)
def test_no_field_is_lost(
    code: Code,
    reason: str,
    message: str,
    metadata: dict[str, str],
    retry_after_s: float | None,
    started: bool,
) -> None:
    """Also the HTTP-only codes that share a gRPC code."""
    error = ServiceError(
        code, reason, message, metadata=metadata, retry_after_s=retry_after_s, started=started
    )
    read = over_the_wire(error)

    assert isinstance(read, UpstreamStatus)
    assert (read.code, read.reason, read.message) == (code, reason, message)
    assert (read.metadata, read.started) == (metadata, started)
    assert read.retry_after_s == (
        None if retry_after_s is None else pytest.approx(retry_after_s, abs=1e-8)
    )


def test_the_status_says_the_same_to_any_grpc_client() -> None:
    """Code and message agree with those inside, as grpc_status demands."""
    code, details, trailing = to_status(ServiceError(Code.NOT_FOUND, "VIDEO_NOT_FOUND", "no 7"))
    status = Status.FromString(dict(trailing)[DETAILS_KEY])

    assert (code, details) == (grpc.StatusCode.NOT_FOUND, "no 7")
    assert (status.code, status.message) == (5, "no 7")


@pytest.mark.parametrize(
    ("code", "details", "kind", "expected", "started"),
    [
        (grpc.StatusCode.DEADLINE_EXCEEDED, "", UpstreamTimeout, Code.DEADLINE_EXCEEDED, True),
        (grpc.StatusCode.UNAVAILABLE, "Socket closed", UpstreamReset, Code.BAD_GATEWAY, True),
        (
            grpc.StatusCode.UNAVAILABLE,
            "failed to connect to all addresses; last error: Connection refused",
            UpstreamReset,
            Code.UNAVAILABLE,
            False,
        ),
        (grpc.StatusCode.UNKNOWN, "boom", UpstreamStatus, Code.BAD_GATEWAY, True),
        (grpc.StatusCode.INTERNAL, "boom", UpstreamStatus, Code.BAD_GATEWAY, True),
        (grpc.StatusCode.NOT_FOUND, "x", UpstreamStatus, Code.NOT_FOUND, True),
        (grpc.StatusCode.ABORTED, "x", UpstreamStatus, Code.ALREADY_EXISTS, True),
    ],
)
def test_a_status_without_details_is_named_by_what_it_is(
    code: grpc.StatusCode, details: str, kind: type, expected: Code, started: bool
) -> None:
    """Made by the transport or by a server that knows no details; foreign text doesn't leak."""
    error = foreign(code, details)

    assert isinstance(error, kind)
    assert (error.code, error.started) == (expected, started)
    assert "boom" not in error.message


@pytest.mark.parametrize("value", [b"\xff\xff", Status(code=5).SerializeToString(), "text"])
def test_broken_or_empty_details_are_ignored(value: bytes | str) -> None:
    """What cannot be read is treated as not there."""
    error = foreign(grpc.StatusCode.NOT_FOUND, "x", (DETAILS_KEY, value))

    assert (error.code, error.reason) == (Code.NOT_FOUND, "NOT_FOUND")


async def test_a_port_where_nobody_listens_is_unreachable_and_not_started() -> None:
    """What gRPC really says when a connection is refused."""
    async with grpc.aio.insecure_channel(f"127.0.0.1:{free_port()}") as channel:
        method = channel.unary_unary(
            "/x/y",
            request_serializer=lambda message: message.SerializeToString(),
            response_deserializer=None,
        )
        with pytest.raises(UpstreamReset) as caught:
            await unary(method, get_video(), 2.0)

    assert (caught.value.reason, caught.value.started) == (UNREACHABLE, False)


@pytest.mark.paper
@pytest.mark.parametrize(("text", "wait_s"), [("250", 0.25), ("0", 0.0), ("-1", -1.0), ("x", -1.0)])
def test_pushback_of_a_server_that_is_not_ours_is_read(text: str, wait_s: float) -> None:
    """gRFC A6: milliseconds to wait; negative or unreadable means don't retry."""
    read = foreign(grpc.StatusCode.UNAVAILABLE, "busy", (GRPC_PUSHBACK_KEY, text))

    assert (read.code, read.retry_after_s) == (Code.BAD_GATEWAY, wait_s)


def test_pushback_counts_before_what_the_details_say() -> None:
    """It is said of this call, RetryInfo of the error."""
    error = ServiceError(Code.UNAVAILABLE, "BUSY", "busy", retry_after_s=3.0)
    code, details, trailing = to_status(error)

    read = foreign(code, details, *trailing, (GRPC_PUSHBACK_KEY, "500"))
    assert (read.reason, read.retry_after_s) == ("BUSY", 0.5)
    assert over_the_wire(error).retry_after_s == 3.0
