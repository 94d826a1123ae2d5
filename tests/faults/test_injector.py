"""Which faults hit a request, and the proof."""

import random

import pytest

from faults.actions import Abort, Block, Burn, Delay, Fail, Slow
from faults.injector import Injector
from faults.rule import FaultRule, Param
from resilience.errors import Code


def rule(kind: str = "latency", fault: str = "f", share: float = 1.0, **rest: Param) -> FaultRule:
    """Make a rule; route and tenant are fields, the rest are params."""
    route, tenant = str(rest.pop("route", "")), str(rest.pop("tenant", ""))
    return FaultRule(fault, kind, "*", dict(rest), route, tenant, share)


def injector(*rules: FaultRule) -> Injector:
    """Make an injector of fixed rules and chance."""
    return Injector(lambda: rules, random.Random(3))


def test_without_rules_nothing_is_made() -> None:
    """The usual case costs one call."""
    assert injector().decide("GET /", "", 0.0) == ()


def test_each_kind_has_its_action() -> None:
    """Milliseconds of a rule are seconds of an action."""
    assert injector(rule(ms=500)).decide("", "", 0.0) == [Delay("f", 0.5)]
    assert injector(rule("error", code="NOT_FOUND")).decide("", "", 0.0) == [
        Fail("f", Code.NOT_FOUND)
    ]
    assert injector(rule("abort")).decide("", "", 0.0) == [Abort("f")]
    assert injector(rule("block", ms=20)).decide("", "", 0.0) == [Block("f", 0.02)]
    assert injector(rule("burn", ms=20)).decide("", "", 0.0) == [Burn("f", 0.02)]
    assert injector(rule("slow", factor=3)).decide("", "", 0.0) == [Slow("f", 3.0)]


def test_rules_add_up_until_one_ends_the_request() -> None:
    """Two delays, then the error; the abort behind it never bites."""
    under_test = injector(
        rule(fault="a", ms=10), rule(fault="b", ms=20), rule("error", "c"), rule("abort", "d")
    )
    assert [action.fault for action in under_test.decide("", "", 0.0)] == ["a", "b", "c"]
    assert "d" not in under_test.proofs()


@pytest.mark.parametrize(
    ("one", "route", "tenant", "hits"),
    [
        (rule(ms=1, route="/v1/videos/{id}"), "GET /v1/videos/7", "", True),
        (rule(ms=1, route="/v1/videos/{id}"), "GET /v1/home", "", False),
        (rule(ms=1, tenant="a"), "GET /v1/home", "a", True),
        (rule(ms=1, tenant="a"), "GET /v1/home", "", False),
    ],
)
def test_route_and_tenant_must_both_match(
    one: FaultRule, route: str, tenant: str, hits: bool
) -> None:
    """An empty field means all."""
    assert bool(injector(one).decide(route, tenant, 0.0)) is hits


def test_a_share_hits_that_share() -> None:
    """A quarter of 4,000, within 3 standard deviations (82)."""
    under_test = injector(rule(ms=1, share=0.25))
    for _ in range(4_000):
        under_test.decide("", "", 0.0)
    assert abs(under_test.proofs()["f"]["hits"] - 1_000) < 82


def test_jitter_goes_both_ways_and_never_below_nothing() -> None:
    """Uniform around the delay."""
    under_test = injector(rule(ms=10, jitter_ms=20))
    delays = [
        action.seconds
        for _ in range(500)
        for action in under_test.decide("", "", 0.0)
        if isinstance(action, Delay)
    ]
    assert min(delays) == 0.0
    assert 0.025 < max(delays) <= 0.03


def test_a_block_comes_at_most_once_in_its_time() -> None:
    """2 s of every 3: the next one is due 3 s after the last."""
    under_test = injector(rule("block", ms=2000, every_ms=3000))
    hits = [bool(under_test.decide("", "", at)) for at in (0.0, 2.0, 2.9, 3.0, 5.9, 6.0)]
    assert hits == [True, False, False, True, False, True]


def test_proof_counts_hits_and_milliseconds_until_a_reset() -> None:
    """What a drill asks for."""
    under_test = injector(rule(ms=500))
    under_test.decide("", "", 0.0)
    under_test.decide("", "", 0.0)
    assert under_test.proofs() == {"f": {"kind": "latency", "hits": 2, "delayed_ms": 1000.0}}
    assert repr(under_test) == "<Injector 1 rules, 1 have bitten>"
    under_test.reset()
    assert under_test.proofs() == {}


def test_burnt_cpu_is_proven_by_what_was_measured() -> None:
    """A hit when it was decided, milliseconds as they were burnt."""
    under_test = injector(rule("burn", ms=20))
    under_test.decide("", "", 0.0)
    under_test.on_burnt("f", 0.004)
    under_test.on_burnt("f", 0.0041)
    assert under_test.proofs() == {"f": {"kind": "burn", "hits": 1, "burnt_ms": 8.1}}


def test_a_fault_that_ended_makes_nothing_slower() -> None:
    """Only rules that still live count for the factor."""
    under_test = injector(rule("slow", "a", factor=3), rule("slow", "b", factor=2))
    assert under_test.factor(["a", "b"]) == 6.0
    assert under_test.factor(["a", "gone"]) == 3.0
    assert under_test.factor(["gone"]) == 1.0


def test_unhealthy_fails_checks_and_no_request() -> None:
    """The check is answered no and counted; requests pass as if nothing were."""
    under_test = injector(rule("unhealthy", "u"), rule("latency", "l", ms=5))
    assert under_test.fails_check(2.0)
    assert under_test.decide("GET /", "", 2.0) == [Delay("l", 0.005)]
    assert under_test.proofs()["u"]["hits"] == 1


def test_nothing_else_fails_checks() -> None:
    """The other kinds leave probes alone, and so does a share that isn't drawn."""
    assert not injector(rule("error"), rule("abort")).fails_check(0.0)
    assert not injector(rule("unhealthy", share=0.0)).fails_check(0.0)
