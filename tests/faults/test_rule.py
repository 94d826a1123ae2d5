"""Fault rules: what is taken, and what a wrong one says."""

from typing import Any

import pytest

from faults import kinds
from faults import rule as module
from faults.kinds import LINK_KINDS, SERVICE_KINDS
from faults.rule import KINDS, FaultRule, LinkTarget, check_rule, parse_rule
from kit.errors import ConfigError
from resilience.errors import Code

GOOD: dict[str, Any] = {"id": "f1", "kind": "latency", "target": "video", "params": {"ms": 5}}


def test_the_kinds_are_the_issues() -> None:
    """Six for services; Toxiproxy's eight and three that know a protocol for links."""
    assert tuple(SERVICE_KINDS) == (
        *("latency", "error", "abort", "block", "burn", "slow", "unhealthy"),
    )
    assert tuple(LINK_KINDS) == (
        *("latency", "bandwidth", "slow_close", "timeout", "reset_peer", "slicer", "limit_data"),
        *("down", "loading", "reset_stream", "slow_headers"),
    )
    assert set(KINDS) == {*SERVICE_KINDS, *LINK_KINDS}


def test_the_documented_limits() -> None:
    """A rule lives a minute when nothing is said, and nothing lasts longer than a minute or day."""
    assert (module.DEFAULT_TTL_S, module.MAX_TTL_S) == (60.0, 86_400.0)
    assert (kinds.MAX_MS, kinds.MAX_FACTOR, kinds.MAX_US) == (60_000.0, 1_000.0, 1e6)
    assert (kinds.MAX_KBPS, kinds.MAX_BYTES) == (1e7, 1e9)
    assert kinds.DEFAULT_ERROR_CODE is Code.UNAVAILABLE


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"target": "*"},
        {"target": "video.2"},
        {"params": {"ms": 500, "jitter_ms": 50}},
        {"kind": "error", "params": {"code": "UNAVAILABLE"}},
        {"kind": "error", "params": {"code": 503}},
        {"kind": "error", "params": {}},
        {"kind": "abort", "params": {}},
        {"kind": "block", "params": {"ms": 2000, "every_ms": 3000}},
        {"kind": "burn", "params": {"ms": 20}},
        {"kind": "slow", "params": {"factor": 20}},
        {"share": 0.5, "route": "GET /v1/videos/{id}", "tenant": "a", "ttl_s": 1},
    ],
)
def test_right_rules_are_taken(change: dict[str, Any]) -> None:
    """Every kind with its params."""
    rule = parse_rule({**GOOD, **change})
    assert isinstance(rule, FaultRule)
    assert parse_rule(rule) is rule


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"kind": "latncy"}, "did you mean latency"),
        ({"kind": "zzz"}, "abort, bandwidth, block, burn, down, error, latency"),
        ({"id": "a b"}, "fault id is 'a b'"),
        ({"target": "video.0"}, "fault target is 'video.0'"),
        ({"target": ""}, "fault target"),
        ({"share": 0}, "fault share is 0"),
        ({"share": 1.5}, "fault share is 1.5"),
        ({"ttl_s": 0}, "fault ttl_s is 0"),
        ({"ttl_s": 1e9}, "86400"),
        ({"params": {"mss": 5}}, "did you mean ms"),
        ({"params": {}}, "say how long"),
        ({"params": {"ms": -1}}, "fault ms is -1"),
        ({"params": {"ms": "soon"}}, "fault ms is 'soon'"),
        ({"kind": "abort", "params": {"ms": 1}}, "it takes none"),
        ({"kind": "error", "params": {"code": "UNAVAILABL"}}, "did you mean UNAVAILABLE"),
        ({"kind": "error", "params": {"code": 299}}, "299"),
        ({"kind": "burn", "params": {}}, "say how much CPU"),
        ({"kind": "slow", "params": {}}, "say how many times as long"),
        ({"kind": "slow", "params": {"factor": 0.5}}, "give times from 1 to 1000"),
        ({"params": {"ms": 5, "stream": "upstream"}}, "no param 'stream'"),
        ({"kind": "down", "params": {}}, "fault down is one of links, and its target is 'video'"),
        ({"colour": "red"}, "colour"),
        ({"share": "half"}, "share"),
    ],
)
def test_wrong_rules_name_field_value_and_advice(change: dict[str, Any], says: str) -> None:
    """The message is for the person who typed it."""
    with pytest.raises(ConfigError) as caught:
        parse_rule({**GOOD, **change})
    assert says in str(caught.value)


LINK: dict[str, Any] = {"id": "f1", "kind": "down", "target": "link:gateway>video"}


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"target": "link:gateway>video.1"},
        {"target": "link:video>store-1"},
        {"kind": "latency", "params": {"ms": 100, "jitter_ms": 10, "stream": "upstream"}},
        {"kind": "bandwidth", "params": {"kbps": 10}},
        {"kind": "slow_close", "params": {"ms": 100}},
        {"kind": "timeout", "params": {"ms": 0}},
        {"kind": "reset_peer", "params": {}},
        {"kind": "slicer", "params": {"bytes": 64, "variation": 32, "us": 10}},
        {"kind": "limit_data", "params": {"bytes": 1000}},
        {"kind": "loading", "share": 0.5},
        {"kind": "reset_stream"},
        {"kind": "reset_stream", "params": {"code": "refused_stream"}},
        {"kind": "reset_stream", "params": {"code": 13}},
        {"kind": "slow_headers", "params": {"ms": 5}},
    ],
)
def test_right_rules_for_links_are_taken(change: dict[str, Any]) -> None:
    """Every kind with its params, on every shape of link."""
    assert parse_rule({**LINK, **change}).link is not None


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"target": "link:gateway"}, "give link:CLIENT>SERVER"),
        ({"target": "link:gateway.1>video"}, "give link:CLIENT>SERVER"),
        ({"target": "link:>video"}, "give link:CLIENT>SERVER"),
        ({"kind": "burn", "params": {"ms": 5}}, "fault burn is one of services"),
        ({"kind": "error"}, "bandwidth, slow_close"),
        ({"route": "GET /v1/home"}, "fault route is 'GET /v1/home'"),
        ({"tenant": "a"}, "a link carries bytes"),
        ({"params": {"stream": "upstream"}}, "it takes none"),
        ({"kind": "bandwidth", "params": {"kbs": 5}}, "did you mean kbps"),
        ({"kind": "bandwidth", "params": {}}, "how many kilobytes a second"),
        ({"kind": "timeout", "params": {"stream": "down"}}, "give upstream or downstream"),
        ({"kind": "timeout", "params": {"ms": float("nan")}}, "give milliseconds from 0"),
        ({"kind": "reset_stream", "params": {"code": "CANCELED"}}, "did you mean CANCEL"),
        ({"kind": "reset_stream", "params": {"code": "UNAVAILABLE"}}, "none of HTTP/2"),
        ({"kind": "reset_stream", "params": {"code": 14}}, "give 0 to 13"),
        ({"kind": "reset_stream", "params": {"code": 7.5}}, "fault code 7.5 is none of HTTP/2"),
    ],
)
def test_wrong_rules_for_links_say_what_is_wrong(change: dict[str, Any], says: str) -> None:
    """A kind of services on a link, and the other way round, is told apart from a wrong word."""
    with pytest.raises(ConfigError) as caught:
        parse_rule({**LINK, **change})
    assert says in str(caught.value)


def test_a_link_rule_names_client_server_and_stream() -> None:
    """What the links process reads; a rule about services has no link."""
    rule = FaultRule("f", "timeout", "link:video>store-1", {"stream": "upstream"})
    assert (rule.link, rule.stream) == (LinkTarget("video", "store-1"), "upstream")
    assert FaultRule("f", "timeout", "link:gateway>video.1").stream == "downstream"
    assert FaultRule("f", "latency", "video").link is None


def test_a_missing_field_is_named() -> None:
    """Without a kind there is no fault."""
    with pytest.raises(ConfigError, match="kind"):
        parse_rule({"id": "f", "target": "*"})


@pytest.mark.parametrize(
    ("given", "code"),
    [
        ("not_found", Code.NOT_FOUND),
        (504, Code.DEADLINE_EXCEEDED),
        ("429", Code.RESOURCE_EXHAUSTED),
    ],
)
def test_codes_are_names_or_http_statuses(given: str | int, code: Code) -> None:
    """Both ways of saying it mean the same."""
    rule = FaultRule("f", "error", "*", {"code": given})
    check_rule(rule)
    assert rule.code is code


@pytest.mark.parametrize(
    ("given", "code"),
    [({}, 2), ({"code": "cancel"}, 8), ({"code": "8"}, 8), ({"code": 7}, 7), ({"code": 7.0}, 7)],
)
def test_codes_of_http2_are_names_or_numbers(given: dict[str, Any], code: int) -> None:
    """INTERNAL_ERROR when nothing is said; from a command line a number comes as text."""
    rule = FaultRule("f", "reset_stream", "link:gateway>video", given)
    check_rule(rule)
    assert rule.http2_code == code


def test_http2_codes_are_the_rfcs() -> None:
    """RFC 9113, section 7: fourteen, numbered from 0."""
    known = kinds.HTTP2_CODES
    assert (len(known), known["NO_ERROR"], known["HTTP_1_1_REQUIRED"]) == (14, 0, 13)
    assert (known["REFUSED_STREAM"], known["CANCEL"], known["ENHANCE_YOUR_CALM"]) == (7, 8, 11)
    assert kinds.DEFAULT_RESET_CODE == "INTERNAL_ERROR"


def test_an_error_without_a_code_is_unavailable() -> None:
    """The error that a dying dependency gives."""
    assert FaultRule("f", "error", "*").code is Code.UNAVAILABLE
