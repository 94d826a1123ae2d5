"""Fault rules: what is taken, and what a wrong one says."""

from typing import Any

import pytest

from faults import rule as module
from faults.rule import KINDS, FaultRule, check_rule, parse_rule
from kit.errors import ConfigError
from resilience.errors import Code

GOOD: dict[str, Any] = {"id": "f1", "kind": "latency", "target": "video", "params": {"ms": 5}}


def test_the_kinds_are_the_issues() -> None:
    """Latency, error, abort, blocked loop; a minute when nothing is said."""
    assert KINDS == ("latency", "error", "abort", "block")
    assert (module.DEFAULT_TTL_S, module.MAX_TTL_S, module.MAX_DELAY_MS) == (60.0, 86_400.0, 60_000)


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
        ({"kind": "zzz"}, "abort, block, error, latency"),
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
        ({"colour": "red"}, "colour"),
        ({"share": "half"}, "share"),
    ],
)
def test_wrong_rules_name_field_value_and_advice(change: dict[str, Any], says: str) -> None:
    """The message is for the person who typed it."""
    with pytest.raises(ConfigError) as caught:
        parse_rule({**GOOD, **change})
    assert says in str(caught.value)


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


def test_an_error_without_a_code_is_unavailable() -> None:
    """The error that a dying dependency gives."""
    assert FaultRule("f", "error", "*").code is Code.UNAVAILABLE
