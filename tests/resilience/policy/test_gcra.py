"""GCRA: the published table, and that it admits what the token bucket admits."""

from typing import NamedTuple

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.gcra import Gcra
from resilience.policy.token_bucket import TokenBucket
from tests.golden import transcript

REQUEST = Request()


class Case(NamedTuple):
    """A row of the published table; ``retry_s`` is -1 where the table has none."""

    now_s: float
    volume: int
    remaining: int
    retry_s: float
    limited: bool


PUBLISHED = [
    Case(0.0, 6, 5, -1, True),
    Case(0.0, 1, 4, -1, False),
    Case(0.0, 1, 3, -1, False),
    Case(0.0, 1, 2, -1, False),
    Case(0.0, 1, 1, -1, False),
    Case(0.0, 1, 0, -1, False),
    Case(0.0, 1, 0, 1, True),
    Case(3.0, 1, 2, -1, False),
    Case(3.1, 1, 1, -1, False),
    Case(4.0, 1, 1, -1, False),
    Case(8.0, 1, 4, -1, False),
    Case(9.5, 1, 4, -1, False),
    Case(9.5, 2, 2, -1, False),
    Case(9.5, 5, 2, 3, True),
]


@pytest.mark.paper
def test_the_published_table_holds() -> None:
    """throttled/throttled:rate_test.go, TestRateLimit: one a second, five at once."""
    gate = Gcra(1.0, 5)
    for number, case in enumerate(PUBLISHED):
        decision = gate.admit(Request(cost=case.volume), case.now_s)
        assert isinstance(decision, Rejection) == case.limited, number
        assert int(gate.tokens(case.now_s) + 1e-9) == case.remaining, number
        if isinstance(decision, Rejection):
            retry_s = -1 if decision.retry_after_s is None else decision.retry_after_s
            assert retry_s == pytest.approx(case.retry_s), number


def test_defaults_are_those_of_the_token_bucket() -> None:
    """A second's worth of burst, at least one."""
    assert (Gcra(50).burst, Gcra(0.2).burst, Gcra(1).name) == (50, 1.0, "rate")


def test_a_refusal_says_what_was_measured() -> None:
    """Four of three, and the eighth of a second after which it passes."""
    gate = Gcra(2.0, 3)
    gate.admit(Request(cost=3.0), 0.0)
    refusal = gate.admit(REQUEST, 0.375)

    assert isinstance(refusal, Rejection)
    assert (refusal.policy, refusal.reason) == ("rate", "RATE_EXCEEDED")
    assert (refusal.value, refusal.limit, refusal.retry_after_s) == (3.25, 3, 0.125)
    assert gate.tokens(0.375) == 0.75
    assert gate.snapshot() == {"tokens": 0.0, "burst": 3, "rate_rps": 2.0, "rejected": 1}
    assert repr(gate) == "<Gcra 0 of 3, 2/s>"


def test_who_keeps_to_the_rate_is_never_refused() -> None:
    """Ten thousand requests 1/30 s apart at 30 a second, one at a time."""
    gate = Gcra(30.0, 1)
    times = (1e6 + number / 30.0 for number in range(10_000))

    assert all(isinstance(gate.admit(REQUEST, now_s), Permit) for now_s in times)


def test_a_whole_burst_of_odd_intervals_passes() -> None:
    """Forty-nine times 1/49 isn't 1 in binary; all forty-nine pass at once all the same."""
    gate = Gcra(49.0, 49)
    decisions = [gate.admit(REQUEST, 0.3) for _ in range(50)]

    assert [isinstance(each, Permit) for each in decisions] == [True] * 49 + [False]


@pytest.mark.parametrize("outcome", list(Outcome))
def test_only_an_ignored_request_hands_its_time_back(outcome: Outcome) -> None:
    """Whoever started has had his turn, however it ended."""
    gate = Gcra(1.0, 2)
    permit = gate.admit(Request(cost=2.0), 0.0)
    assert isinstance(permit, Permit)
    gate.settle(permit, outcome, 0.0)

    assert gate.tokens(0.0) == (2.0 if outcome is Outcome.IGNORED else 0.0)


def test_a_reset_forgets_and_ends_refunds_of_the_generation_before() -> None:
    """A full burst passes again, and the old permit gives nothing back."""
    gate = Gcra(1.0, 2)
    old = gate.admit(Request(cost=2.0), 5.0)
    assert isinstance(old, Permit)
    gate.reset(5.0)
    assert isinstance(gate.admit(Request(cost=2.0), 5.0), Permit)
    gate.settle(old, Outcome.IGNORED, 5.0)

    assert isinstance(gate.admit(REQUEST, 5.0), Rejection)
    with pytest.raises(AssertionError, match="twice"):
        gate.settle(old, Outcome.OK, 5.0)


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_figures_are_errors(value: float) -> None:
    """Each says which figure was wrong and what it may be."""
    with pytest.raises(ValueError, match=r"rate_rps=.* must be a finite number above 0"):
        Gcra(value)
    with pytest.raises(ValueError, match=r"burst=.* must be a finite number above 0"):
        Gcra(1.0, value)


@pytest.mark.property
@given(st.floats(0.01, 1e5), st.floats(0.5, 50), st.floats(0, 1e7), st.floats(0.01, 40))
def test_who_comes_back_when_told_to_passes(
    rps: float, burst: float, now_s: float, cost: float
) -> None:
    """For any rate, burst, cost and time of day."""
    gate = Gcra(rps, burst)
    request = Request(cost=min(cost, burst))
    decision = gate.admit(request, now_s)
    while isinstance(decision, Permit):
        decision = gate.admit(request, now_s)

    assert decision.retry_after_s is not None
    assert isinstance(gate.admit(request, now_s + decision.retry_after_s), Permit)


# Eighths and sixty-fourths are exact in binary, so the two must agree to the last bit.
EVENTS = st.lists(
    st.tuples(
        st.sampled_from(["admit", "admit", "ignore", "ok", "reset"]),
        st.integers(-32, 128),
        st.integers(1, 48),
    ),
    max_size=60,
)


@pytest.mark.property
@settings(max_examples=100, deadline=None)
@given(EVENTS, st.sampled_from([0.5, 1.0, 4.0, 16.0]), st.integers(1, 8))
def test_it_admits_what_the_token_bucket_admits(
    events: list[tuple[str, int, int]], rps: float, burst: int
) -> None:
    """Whatever comes, also with clocks that jump back, refunds and resets."""
    gate, bucket = Gcra(rps, burst), TokenBucket(rps, burst)
    pairs: list[tuple[Permit, Permit]] = []
    now_s = 0.0
    for what, gap, cost in events:
        now_s += gap / 64
        if what == "reset":
            gate.reset(now_s)
            bucket.reset(now_s)
        elif what == "admit":
            one = gate.admit(Request(cost=cost / 8), now_s)
            other = bucket.admit(Request(cost=cost / 8), now_s)
            assert type(one) is type(other)
            if isinstance(one, Permit) and isinstance(other, Permit):
                pairs.append((one, other))
            elif isinstance(one, Rejection) and isinstance(other, Rejection):
                assert one.retry_after_s == other.retry_after_s
                assert one.value == other.value
        elif pairs:
            one, other = pairs.pop(0)
            outcome = Outcome.IGNORED if what == "ignore" else Outcome.OK
            gate.settle(one, outcome, now_s)
            bucket.settle(other, outcome, now_s)


@pytest.mark.golden
def test_the_story_of_a_cell_rate() -> None:
    """The published table as a story, with what each request leaves."""
    gate = Gcra(1.0, 5)
    lines = ["One a second, five at once.", ""]
    for case in PUBLISHED:
        decision = gate.admit(Request(cost=case.volume), case.now_s)
        said = f"passes, {gate.tokens(case.now_s):g} left"
        if isinstance(decision, Rejection):
            said = f"{decision!r}, back in {decision.retry_after_s}"
        lines.append(f"{case.now_s:>4g} s  cost {case.volume}  {said}")
    transcript.check("gcra", [*lines, "", repr(gate)])
