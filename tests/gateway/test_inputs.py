"""Reading what clients send, without a socket."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.asgi.body import MAX_BODY_BYTES
from gateway.asgi.origin import check_origin, is_local_host
from gateway.inputs import (
    MAX_LIMIT,
    MAX_QUERY_FIELDS,
    fingerprint,
    parse_id,
    parse_limit,
    parse_query,
    parse_token,
    wants_html,
)
from gateway.models import LikeRequest
from resilience.errors import ServiceError

pytestmark = pytest.mark.unit


def test_defaults_are_the_documented_ones() -> None:
    """Bodies end at 1 MiB, pages at 100 entries, queries at 16 fields."""
    assert (MAX_BODY_BYTES, MAX_LIMIT, MAX_QUERY_FIELDS) == (1_048_576, 100, 16)


def test_fingerprint_is_of_the_meaning() -> None:
    """Two requests that mean the same have one fingerprint; another path or field has another."""
    player = fingerprint("POST", "/v1/videos/7/likes", LikeRequest("player"))
    assert player == fingerprint("POST", "/v1/videos/7/likes", LikeRequest(source="player"))
    assert player != fingerprint("POST", "/v1/videos/8/likes", LikeRequest("player"))
    assert player != fingerprint("POST", "/v1/videos/7/likes", LikeRequest("list"))


@given(st.text())
def test_an_id_is_read_or_refused_and_nothing_else(text: str) -> None:
    """Whatever stands in a path is a whole number from 1 on or is refused as ID_INVALID."""
    try:
        assert parse_id(text, "video") >= 1
    except ServiceError as error:
        reason = error.reason
        assert reason == "ID_INVALID"


@given(st.binary())
def test_a_query_is_read_or_refused_and_nothing_else(query: bytes) -> None:
    """Whatever follows the question mark is read or refused with a reason."""
    try:
        assert 0 <= parse_limit(parse_query(query)) <= 100
    except ServiceError as error:
        reason = error.reason
        assert reason in ("QUERY_INVALID", "LIMIT_INVALID")


def test_a_repeated_field_counts_last() -> None:
    """Of a field given twice the last one counts."""
    assert parse_limit(parse_query(b"limit=5&limit=7")) == 7


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_the_bearer_scheme_ignores_case(scheme: str) -> None:
    """A scheme is case-insensitive (RFC 9110, 11.1), and so are hex digits."""
    assert parse_token(f"{scheme}  {'AB' * 16}") == "ab" * 16


@pytest.mark.parametrize(
    ("accept", "is_page"),
    [
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", True),
        ("TEXT/HTML", True),
        ("text/html;q=0.5, application/json;q=0.5", True),
        ("text/html ; charset=utf-8 ; q=0.3", True),
        ("", False),
        ("*/*", False),
        ("application/json", False),
        ("application/json, text/html;q=0.1", False),
        ("text/html;q=0, */*", False),
        ("text/html;q=9", False),
        ("text/html;q=nan", False),
        (";;q=,,", False),
    ],
)
def test_only_who_prefers_a_page_gets_one(accept: str, is_page: bool) -> None:
    """A browser names text/html before all; a client names JSON, anything or nothing."""
    assert wants_html(accept) is is_page


@pytest.mark.parametrize(
    ("host", "is_local"),
    [
        ("127.0.0.1:8080", True),
        ("127.77.0.9", True),
        ("[::1]:8080", True),
        ("localhost", True),
        ("app.localhost:8080", True),
        ("l4:8080", True),
        ("squall-gateway-1.squall_default", True),
        ("evil.example", False),
        ("127.0.0.1.evil.example", False),
        ("[::1", False),
        ("", False),
    ],
)
def test_local_hosts(host: str, is_local: bool) -> None:
    """An address, a name without a dot, and the lab's own names may be ours; others can't."""
    assert is_local_host(host) is is_local


def test_the_default_port_may_be_left_out_only_on_both_sides() -> None:
    """An origin is ours when host and port are exactly those the request names."""
    check_origin([(b"host", b"localhost:8080"), (b"origin", b"http://localhost:8080")])
    with pytest.raises(ServiceError, match="another origin"):
        check_origin([(b"host", b"localhost:8080"), (b"origin", b"http://localhost")])
