"""SRE breaker: what a dependency that hangs costs, by when a request counts and for how long.

go-zero #5011 (and #3837) in figures: its breaker, like kratos', counts a call when it has ended. A
call that hangs ends with its timeout, so until then the breaker sees a dependency that is just a
little quiet; and with a window shorter than the timeout it even forgets that there was traffic.
"""

import random
from heapq import heappop, heappush
from itertools import count, pairwise

import pytest

from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.sre_breaker import BOOK, BUCKETS, KRATOS_V1, SreBreaker, SreSettings
from tests.golden import transcript

REQUEST = Request()
RATE = 100  # calls a second
WELL_S, TIMEOUT_S = 0.02, 5.0
HANG_BEGINS_S, HANG_ENDS_S, END_S = 150.0, 240.0, 420.0


class CountsAfter(SreBreaker):
    """The same breaker as others build it: a call counts when it has ended."""

    __slots__ = ()

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        self._window.advance(now_s)
        if self._rng.random() < self.drop_ratio():
            self._window.add_request(now_s)
            return Rejection(self.name, "BREAKER_OPEN")
        self.in_flight += 1
        return Permit(self._generation, now_s)

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        self.in_flight -= 1
        self._window.add_request(now_s)
        if outcome is Outcome.OK:
            self._window.add_accept(now_s)


class Second:
    """What one second of one breaker looked like: refused in it, in flight at its end."""

    def __init__(self) -> None:
        self.refused = 0
        self.in_flight = 0


def watch(breaker: SreBreaker) -> list[Second]:
    """Send calls at a steady rate to a dependency that hangs from 150 to 240 s."""
    seconds = [Second() for _ in range(int(END_S))]
    ends: list[tuple[float, int, Permit, Outcome]] = []
    number = count()
    for call in range(int(END_S) * RATE):
        now_s = call / RATE
        while ends and ends[0][0] <= now_s:
            end_s, _, permit, outcome = heappop(ends)
            breaker.settle(permit, outcome, end_s)
        second = seconds[int(now_s)]
        decision = breaker.admit(REQUEST, now_s)
        if isinstance(decision, Rejection):
            second.refused += 1
        else:
            hangs = HANG_BEGINS_S <= now_s < HANG_ENDS_S
            took_s, outcome = (TIMEOUT_S, Outcome.FAILED) if hangs else (WELL_S, Outcome.OK)
            heappush(ends, (now_s + took_s, next(number), decision, outcome))
        second.in_flight = breaker.in_flight
    return seconds


def first_refusal_s(seconds: list[Second]) -> int:
    """Seconds from the beginning of the hang to the first second with a refusal in it."""
    begin = int(HANG_BEGINS_S)
    return next(number for number, each in enumerate(seconds[begin:]) if each.refused)


def all_pass_s(seconds: list[Second]) -> int:
    """Seconds from the end of the hang to the first after which none is refused any more."""
    after = seconds[int(HANG_ENDS_S) :]
    return 1 + max((number for number, each in enumerate(after) if each.refused), default=-1)


@pytest.mark.golden
def test_the_transcript_of_a_hang() -> None:
    """Before the call with 3 s, after it with 3 s, before it with two minutes: second by second."""
    runs = {
        "before, 3 s": watch(SreBreaker(random.Random(1), KRATOS_V1)),
        "after, 3 s": watch(CountsAfter(random.Random(1), KRATOS_V1)),
        "before, 120 s": watch(SreBreaker(random.Random(1), BOOK)),
    }
    lines = [
        "# 100 calls a second; from second 0 to 90 each hangs until its timeout of 5 s.",
        "# Of each breaker: refused in that second, calls held at its end.",
        "second   " + "".join(f"{name:>18}" for name in runs),
    ]
    for number in (-1, *range(8), 10, 30, 59, 60, 61, 65, 89, 90, 91, 95, 100, 110, 120, 130, 150):
        each = [seconds[int(HANG_BEGINS_S) + number] for seconds in runs.values()]
        lines.append(f"{number:6}   " + "".join(f"{s.refused:11} {s.in_flight:6}" for s in each))
    held = [max(each.in_flight for each in seconds) for seconds in runs.values()]
    lines.append("most held" + "".join(f"{most:18}" for most in held))
    lines.append("all pass again s" + "".join(f"{all_pass_s(each):18}" for each in runs.values()))
    transcript.check("sre_breaker", lines)


def test_counting_after_the_call_is_blind_until_the_first_timeouts() -> None:
    """Counted before, a hang shows in 1 s; after, in the 5 s of the timeout and some more."""
    before = watch(SreBreaker(random.Random(1), KRATOS_V1))
    after = watch(CountsAfter(random.Random(1), KRATOS_V1))

    assert first_refusal_s(before) == 1  # 3 s * (1 - 1/1.5)
    assert first_refusal_s(after) >= TIMEOUT_S
    most_before, most_after = (max(each.in_flight for each in run) for run in (before, after))
    assert most_after > 2 * most_before


def test_a_long_window_notices_a_hang_late() -> None:
    """Two minutes of good answers outweigh a minute of none: 120 s * (1 - 1/2), a bucket less."""
    book = watch(SreBreaker(random.Random(1), BOOK))
    assert 60 - BOOK.window_s / BUCKETS <= first_refusal_s(book) <= 60


@pytest.mark.parametrize(("k", "growth"), [(1.5, 2.4), (2.0, 4.9)])
def test_recovery_is_exponential(k: float, growth: float) -> None:
    """What passes in a window grows about as the docs say, until all of it does."""
    breaker = SreBreaker(random.Random(4), SreSettings(k, 100))
    passed = [0] * 20
    for call in range(20 * 1500):  # 1,500 calls a window of 3 s; those of the first two fail
        now_s = call / 500
        decision = breaker.admit(REQUEST, now_s)
        if isinstance(decision, Permit):
            passed[int(now_s / 3)] += 1
            breaker.settle(decision, Outcome.FAILED if now_s < 6 else Outcome.OK, now_s)

    growths = [late / early for early, late in pairwise(passed[2:]) if early > 30 and late < 1000]
    assert growths == pytest.approx([growth] * len(growths), rel=0.3)
    assert growths
    assert passed[-1] == 1500
