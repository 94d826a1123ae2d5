"""What is counted of each backend, and that it stays bounded."""

import pytest

from kit.metrics import BUCKETS_S
from lb.l7.picks import DEFAULT_KEPT
from lb.policy.attempts import Failure
from lb.tallies import FAILURES, KEPT_LATENCIES, KINDS, MAX_BACKENDS, Tallies, Tally

pytestmark = pytest.mark.unit


def test_bounds_are_those_of_the_documents() -> None:
    """512 latencies and names; as many picks as `explain` keeps requests."""
    assert (KEPT_LATENCIES, MAX_BACKENDS, DEFAULT_KEPT) == (512, 512, 2_000)


def test_every_failure_of_an_attempt_has_a_kind() -> None:
    """But for those that end none: answers are counted as such, slowness goes on, no room is
    before it."""
    ends = {one.value for one in Failure}
    ends -= {"error answer", "not started", "too slow", "no room"}
    assert ends | {"deadline"} == set(FAILURES)
    assert KINDS == ("not_connected", "stale_connection", "reset", "bad_answer", "deadline", "5xx")


def test_failures_are_counted_by_kind_and_others_not() -> None:
    """500 and above are one kind; 4xx, who was outrun and whose client left haven't failed."""
    tally = Tally()
    for what in ("500", "503", "reset", "404", "200", "outrun", "client gone", "given up"):
        tally.on_end(what, 0.01)
    assert tally.failures() == {"reset": 1, "5xx": 2}


def test_only_answers_have_a_latency() -> None:
    """A connection refused at once isn't a quick answer."""
    tally = Tally()
    assert tally.p99_s() is None
    tally.on_end("not connected", 0.0001)
    tally.on_end("outrun", 3.0)
    assert tally.p99_s() is None
    tally.on_end("200", 0.02)
    assert (tally.p99_s(), tally.sum_s, sum(tally.buckets)) == (0.02, 0.02, 1)


def test_an_answer_falls_into_the_bucket_whose_bound_it_does_not_exceed() -> None:
    """As in the histogram of all requests: the bound itself is inside, beyond the last is +Inf."""
    tally = Tally()
    for took_s in (BUCKETS_S[0], BUCKETS_S[0] + 1e-6, BUCKETS_S[-1] + 1.0):
        tally.on_end("200", took_s)
    assert (tally.buckets[0], tally.buckets[1], tally.buckets[-1]) == (1, 1, 1)


def test_p99_is_of_the_newest_answers() -> None:
    """One in a hundred lies above it, and what is older than 512 answers is forgotten."""
    tally = Tally()
    for number in range(1, 101):
        tally.on_end("200", number / 1000)
    assert tally.p99_s() == 0.1
    for _ in range(KEPT_LATENCIES):
        tally.on_end("200", 0.001)
    assert tally.p99_s() == 0.001


def test_names_that_left_are_forgotten_when_there_are_many() -> None:
    """A fleet whose names never return doesn't grow; a small one keeps what a drained one did."""
    tallies = Tallies()
    for number in range(MAX_BACKENDS):
        tallies.on_pick(f"b.{number}")
    tallies.keep(["b.0"])
    assert tallies.of("b.1").picks == 1
    tallies.on_pick("one.more")
    tallies.keep(["b.0"])
    assert (tallies.of("b.0").picks, tallies.of("b.1").picks) == (1, 0)


def test_a_reset_counts_anew() -> None:
    """Between two arms of a drill."""
    tallies = Tallies()
    tallies.on_pick("a")
    tallies.on_end("a", "200", 0.01)
    tallies.reset()
    assert (tallies.of("a").picks, tallies.of("a").p99_s()) == (0, None)
