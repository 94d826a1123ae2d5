"""What a head means is held for the next one only where that says the same."""

import random

import pytest

from lb.l7.errors import Problem
from lb.l7.headers import Headers, Ids
from lb.l7.outline import Outline
from lb.l7.request import HeadReader, RequestHead

PLAIN: Headers = [(b"Host", b"lab"), (b"Accept", b"*/*")]


def read(
    headers: Headers,
    last: Outline | None = None,
    *,
    method: bytes = b"GET",
    version: str = "1.1",
    target: bytes = b"/",
) -> RequestHead:
    """Read one head as a connection does."""
    return HeadReader(Ids(random.Random(7))).read(
        method,
        target,
        version,
        list(headers),
        peer=b"10.0.0.1",
        keep_alive=True,
        arrived_s=0.0,
        last=last,
    )


def test_the_same_head_again_is_not_read_again() -> None:
    """Its target and its ids are its own."""
    reader = HeadReader(Ids(random.Random(7)))
    first, second = (
        reader.read(
            b"GET", target, "1.1", list(PLAIN), peer=b"1.2.3.4", keep_alive=True, arrived_s=0.0,
            last=last,
        )
        for target, last in ((b"/a", None), (b"/b", read(PLAIN).outline))
    )  # fmt: skip
    assert (first.target, second.target) == (b"/a", b"/b")
    assert first.request_id != second.request_id
    assert first.trace_id != second.trace_id
    assert b"GET /b HTTP/1.1\r\n" in second.prefix
    assert second.request_id.encode() in second.prefix


def test_a_head_that_is_the_last_one_shares_what_it_means() -> None:
    """The outline is the same object, so nothing was read."""
    first = read(PLAIN)
    assert read(PLAIN, first.outline).outline is first.outline


@pytest.mark.parametrize(
    ("headers", "method", "version"),
    [
        ([*PLAIN, (b"X-More", b"1")], b"GET", "1.1"),
        ([(b"Host", b"other"), (b"Accept", b"*/*")], b"GET", "1.1"),
        (list(reversed(PLAIN)), b"GET", "1.1"),
        (PLAIN[:1], b"GET", "1.1"),
        (PLAIN, b"HEAD", "1.1"),
        (PLAIN, b"GET", "1.0"),
    ],
)
def test_any_difference_is_read(headers: Headers, method: bytes, version: str) -> None:
    """A header more, less, changed or elsewhere; another method; another version."""
    last = read(PLAIN).outline
    head = read(headers, last, method=method, version=version)
    assert head.outline is not last
    assert head.outline.headers == headers
    assert head.is_head is (method == b"HEAD")


def test_what_was_refused_is_refused_again() -> None:
    """A problem belongs to one request: it is never shared."""
    late = [*PLAIN, (b"grpc-timeout", b"soon")]
    first = read(late)
    second = read(late, first.outline)
    assert isinstance(second.problem, Problem)
    assert second.problem is not first.problem


def test_ids_that_came_are_kept_each_time() -> None:
    """The same ids in the same head, with a span of this hop's own."""
    trace = b"00-" + b"a" * 32 + b"-" + b"b" * 16 + b"-00"
    known = [*PLAIN, (b"X-Request-Id", b"mine"), (b"traceparent", trace)]
    first = read(known)
    second = read(known, first.outline)
    assert second.outline is first.outline
    assert (second.request_id, second.trace_id) == ("mine", "a" * 32)
    assert b"traceparent: 00-" + b"a" * 32 in second.prefix
    assert b"b" * 16 not in second.prefix
    assert second.prefix.count(b"x-request-id: mine\r\n") == 1


def test_a_host_that_the_target_denies_is_found_each_time() -> None:
    """The target isn't part of what is held."""
    last = read(PLAIN).outline
    assert read(PLAIN, last, target=b"http://lab/a").target == b"/a"
    with pytest.raises(Problem, match="another host"):
        read(PLAIN, last, target=b"http://other/a")
