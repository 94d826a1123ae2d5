"""Adaptive limiter: the gate around a limit, whatever it is learned by."""

import random
from collections.abc import Callable

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from resilience.policy import limit as limits
from resilience.policy.aimd import AimdLimit
from resilience.policy.contract import Gate, Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.envoy_gradient import EnvoyGradientLimit
from resilience.policy.fixed import FixedLimit
from resilience.policy.gradient2 import Gradient2Limit
from resilience.policy.limit import AdaptiveLimiter, Limit
from resilience.policy.vegas import VegasLimit
from resilience.policy.windowed import WindowedLimit
from tests.golden import transcript

LEARNERS: dict[str, Callable[[], Limit]] = {
    "aimd": AimdLimit,
    "envoy_gradient": lambda: EnvoyGradientLimit(random.Random(1)),
    "fixed": lambda: FixedLimit(5),
    "gradient2": Gradient2Limit,
    "vegas": lambda: VegasLimit(random.Random(1)),
    "windowed": lambda: WindowedLimit(Gradient2Limit()),
}


class Recorder:
    """A Limit that notes what it is told."""

    def __init__(self, value: float = 10.0) -> None:
        self.value = value
        self.samples: list[tuple[float, int, bool, float]] = []
        self.resets: list[float] = []

    def on_sample(self, rtt_s: float, in_flight: int, dropped: bool, now_s: float) -> None:
        self.samples.append((rtt_s, in_flight, dropped, now_s))

    def reset(self, now_s: float) -> None:
        self.resets.append(now_s)

    def snapshot(self) -> Snapshot:
        return {"limit": self.value}

    def __repr__(self) -> str:
        return f"<Recorder {self.value:g}>"


def take(limiter: AdaptiveLimiter, now_s: float, deadline_s: float | None = None) -> Permit:
    """Admit one request that must be admitted."""
    permit = limiter.admit(Request(deadline_s=deadline_s), now_s)
    assert isinstance(permit, Permit)
    return permit


def queue_up(limiter: AdaptiveLimiter, rtt_s: float, held: int, seconds: float) -> float:
    """Hold so many in flight, each taking that long, first come first served; return the end."""
    permits = [take(limiter, 0.0) for _ in range(held)]
    gap_s = rtt_s / held
    now_s = 0.0
    for _ in range(round(seconds / gap_s)):
        now_s += gap_s
        oldest = permits.pop(0)
        oldest.issued_s = now_s - rtt_s
        limiter.settle(oldest, Outcome.OK, now_s)
        permits.append(take(limiter, now_s))
    for permit in permits:
        limiter.settle(permit, Outcome.IGNORED, now_s)
    return now_s


def test_defaults() -> None:
    """Called limiter, back in a second, and the deadline cap is on at one half."""
    limiter: Gate = AdaptiveLimiter(FixedLimit(5))

    assert limiter.name == "limiter"
    assert limits.RETRY_AFTER_S == 1.0
    assert "capped" in limiter.snapshot()


def test_it_admits_below_the_limit_rounded_down_and_says_what_it_refused() -> None:
    """A limit of 2.9 lets two in."""
    limiter = AdaptiveLimiter(Recorder(2.9), name="upstream")
    take(limiter, 0.0)
    take(limiter, 0.0)
    rejection = limiter.admit(Request(), 0.0)

    assert isinstance(rejection, Rejection)
    assert repr(rejection) == "<Rejection upstream LIMIT_EXCEEDED 2 against 2>"
    assert rejection.retry_after_s == 1.0
    assert limiter.limit(0.0) == 2
    assert repr(limiter) == "<AdaptiveLimiter 2 in flight, <Recorder 2.9>>"


@pytest.mark.parametrize(
    ("outcome", "told"),
    [
        (Outcome.OK, [(0.25, 2, False, 1.25)]),
        (Outcome.OVERLOADED, [(0.25, 2, True, 1.25)]),
        (Outcome.FAILED, []),
        (Outcome.IGNORED, []),
    ],
)
def test_an_ok_teaches_its_round_trip_an_overload_a_drop_and_the_others_nothing(
    outcome: Outcome, told: list[tuple[float, int, bool, float]]
) -> None:
    """A call that failed at once has a round trip no answer can have; each gives its place back."""
    learner = Recorder()
    limiter = AdaptiveLimiter(learner)
    take(limiter, 0.0)
    limiter.settle(take(limiter, 1.0), outcome, 1.25)

    assert learner.samples == told
    assert limiter.in_flight == 1


def test_a_second_settle_is_an_assertion() -> None:
    """What was given back once is not ours to give back again."""
    limiter = AdaptiveLimiter(FixedLimit(5))
    permit = take(limiter, 0.0)
    limiter.settle(permit, Outcome.OK, 0.1)

    with pytest.raises(AssertionError, match="settled twice"):
        limiter.settle(permit, Outcome.OK, 0.2)
    assert limiter.in_flight == 0


def test_after_a_reset_old_permits_release_and_teach_nothing() -> None:
    """What began before is not evidence for after; the learner forgets too."""
    learner = Recorder()
    limiter = AdaptiveLimiter(learner)
    old = take(limiter, 0.0)
    limiter.reset(1.0)
    limiter.settle(old, Outcome.OK, 2.0)

    assert (learner.samples, learner.resets, limiter.in_flight) == ([], [1.0], 0)
    assert limiter.snapshot() == AdaptiveLimiter(Recorder()).snapshot()


def test_a_reset_lifts_the_deadline_cap() -> None:
    """The rate was learned before, and may be another now."""
    limiter = AdaptiveLimiter(FixedLimit(1000))
    queue_up(limiter, 0.8, 16, 5.0)
    assert limiter.snapshot()["drain_rps"] == 20.0
    limiter.reset(5.0)

    assert limiter.snapshot()["drain_rps"] == 0.0


def test_no_limit_times_its_service_time_exceeds_the_deadline() -> None:
    """A limit of 1000 before 20 a second: ten for a second left, four for 400 ms, any without."""
    limiter = AdaptiveLimiter(FixedLimit(1000))
    limiter.settle(take(limiter, -9.0), Outcome.OK, -8.9)
    for number in range(30):  # alone, 100 ms each: the shortest round trip
        limiter.settle(take(limiter, number - 40.0), Outcome.OK, number - 39.9)
    now_s = queue_up(limiter, 0.8, 16, 5.0)  # 16 in flight for 800 ms is 20 a second
    for _ in range(4):
        take(limiter, now_s, now_s + 1.0)

    hurried = limiter.admit(Request(deadline_s=now_s + 0.4), now_s)
    assert isinstance(hurried, Rejection)
    assert (hurried.value, hurried.limit) == (4, 4)
    for _ in range(6):
        take(limiter, now_s, now_s + 1.0)
    late = limiter.admit(Request(deadline_s=now_s + 1.0), now_s)
    assert isinstance(late, Rejection)
    assert (late.value, late.limit) == (10, 10)
    take(limiter, now_s)
    assert limiter.snapshot()["capped"] is True
    assert limiter.snapshot()["rejected"] == 2


def test_without_a_share_the_deadline_is_left_out() -> None:
    """The same history lets in as many as the limit says."""
    limiter = AdaptiveLimiter(FixedLimit(1000), deadline_share=None)
    now_s = queue_up(limiter, 0.8, 16, 5.0)
    for _ in range(100):
        take(limiter, now_s, now_s + 0.01)

    assert limiter.in_flight == 100
    assert limiter.snapshot() == {"in_flight": 100, "rejected": 0, "limit": 1000}


@pytest.mark.golden
def test_the_story_of_a_limiter() -> None:
    """Two in, one refused, one answered, one cut, a reset between."""
    limiter = AdaptiveLimiter(FixedLimit(2))
    lines: list[str] = []
    held: list[Permit] = []

    def admit(now_s: float) -> None:
        decision = limiter.admit(Request(), now_s)
        if isinstance(decision, Permit):
            held.append(decision)
        answer = "permit" if isinstance(decision, Permit) else repr(decision)
        lines.append(f"{now_s:4.1f} s  admit -> {answer}")

    def settle(outcome: Outcome, now_s: float) -> None:
        limiter.settle(held.pop(0), outcome, now_s)
        lines.append(f"{now_s:4.1f} s  settle {outcome.name} -> {limiter!r}")

    admit(0.0)
    admit(0.1)
    admit(0.2)
    settle(Outcome.OK, 0.3)
    admit(0.4)
    settle(Outcome.OVERLOADED, 1.1)
    limiter.reset(1.2)
    lines.append(f" 1.2 s  reset -> {limiter!r}")
    settle(Outcome.OK, 1.3)
    lines.append(f" 1.3 s  snapshot -> {dict(limiter.snapshot())}")
    transcript.check("limiter", lines)


class AnyLimitMachine(RuleBasedStateMachine):
    """Any order of everything, around any limit: in flight is what is out, within its bounds."""

    def __init__(self) -> None:
        super().__init__()
        self.now_s = 0.0
        self.permits: list[Permit] = []

    @initialize(name=st.sampled_from(sorted(LEARNERS)))
    def begin(self, name: str) -> None:
        self.limiter = AdaptiveLimiter(LEARNERS[name]())

    @rule(gap_s=st.sampled_from([0.0, 0.001, 0.05, 0.3, 2.0, 70.0]))
    def wait(self, gap_s: float) -> None:
        self.now_s += gap_s

    @rule(count=st.integers(1, 30), left_s=st.sampled_from([None, -0.1, 0.0, 0.2, 1.0]))
    def admit(self, count: int, left_s: float | None) -> None:
        deadline_s = None if left_s is None else self.now_s + left_s
        for _ in range(count):
            before = self.limiter.in_flight
            decision = self.limiter.admit(Request(deadline_s=deadline_s), self.now_s)
            if isinstance(decision, Permit):
                self.permits.append(decision)
                assert before < self.limiter.limit(self.now_s)
            else:
                assert before > 0

    @rule(count=st.integers(1, 30), outcome=st.sampled_from(list(Outcome)))
    def settle(self, count: int, outcome: Outcome) -> None:
        for permit in self.permits[:count]:
            self.limiter.settle(permit, outcome, self.now_s)
        del self.permits[:count]

    @rule()
    def reset(self) -> None:
        self.limiter.reset(self.now_s)

    @invariant()
    def nothing_leaks(self) -> None:
        if hasattr(self, "limiter"):
            assert self.limiter.in_flight == len(self.permits)
            assert 1 <= self.limiter.limit(self.now_s) <= 1000
            assert self.limiter.snapshot()["in_flight"] == len(self.permits)


TestAnyLimitMachine = AnyLimitMachine.TestCase
TestAnyLimitMachine.settings = settings(max_examples=25, deadline=None)
