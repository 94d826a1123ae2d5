"""BBR limiter: what it learns, when it binds, and the overload it is there for."""

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from resilience.policy import bbr
from resilience.policy.bbr import BbrLimiter
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from tests.golden import transcript
from tests.resilience.policy.overload_model import OverloadModel

REQUEST = Request()


def calm() -> float:
    """No pressure."""
    return 0.0


def busy() -> float:
    """Full pressure."""
    return 1.0


def take(limiter: BbrLimiter, now_s: float) -> Permit:
    """Admit one request that must be admitted."""
    permit = limiter.admit(REQUEST, now_s)
    assert isinstance(permit, Permit)
    return permit


def feed(limiter: BbrLimiter, rate: int, rtt_s: float, from_s: int, to_s: int) -> None:
    """Pass ``rate`` requests a second, one after the other, each taking ``rtt_s``."""
    for second in range(from_s, to_s):
        for number in range(rate):
            start_s = second + number / (rate + 1)
            limiter.settle(take(limiter, start_s), Outcome.OK, start_s + rtt_s)


def test_defaults_are_those_of_aegis_and_ours_where_it_has_none() -> None:
    """Window 10 s of 100 buckets, CPU 800 of 1000, cold 1 s; coarse below 200 a second."""
    assert (bbr.WINDOW_S, bbr.FINE_BUCKETS, bbr.COARSE_BUCKETS) == (10.0, 100, 10)
    assert (bbr.PRESSURE_THRESHOLD, bbr.COLD_S, bbr.MIN_RTT_S) == (0.8, 1.0, 0.001)
    assert (bbr.COARSE_BELOW_RPS, bbr.RETRY_AFTER_S) == (200.0, 1.0)
    assert bbr.STRETCH_PASSES == 100
    assert BbrLimiter(calm).threshold == 0.8


@pytest.mark.paper
def test_limit_is_best_throughput_times_shortest_round_trip() -> None:
    """aegis bbr.go maxInFlight: 60 passes a second x 0.1 s is 6."""
    limiter = BbrLimiter(calm)
    feed(limiter, 30, 0.15, 0, 4)
    feed(limiter, 60, 0.10, 4, 6)

    assert limiter.limit(6.5) == 6


def test_one_lucky_second_of_few_passes_is_not_the_shortest_round_trip() -> None:
    """A hundred passes in a row are: of 60 at 0.12 s and 60 at 0.06 s the mean is 0.09 s."""
    limiter = BbrLimiter(calm)
    feed(limiter, 60, 0.12, 0, 1)
    feed(limiter, 60, 0.06, 2, 3)

    assert limiter.limit(4.5) == 5  # 56 x 0.09 + 0.5; by its best second alone it was 3
    assert limiter.snapshot()["min_rtt_ms"] == pytest.approx(90.0, abs=1.0)


def test_a_window_of_fewer_than_a_hundred_goes_by_its_buckets() -> None:
    """Ninety-nine passes: the second of 0.06 s counts; with one more they all do."""
    few, enough = BbrLimiter(calm), BbrLimiter(calm)
    for limiter, passes in ((few, 49), (enough, 50)):
        feed(limiter, 50, 0.12, 0, 1)
        feed(limiter, passes, 0.06, 2, 3)
        limiter.limit(4.5)

    assert few.snapshot()["min_rtt_ms"] == 60.0
    assert enough.snapshot()["min_rtt_ms"] == pytest.approx(90.0, abs=1.0)


def test_the_bucket_being_filled_does_not_speak() -> None:
    """A second that is not over yet changes no maximum and no minimum."""
    limiter = BbrLimiter(calm)
    feed(limiter, 20, 0.1, 0, 2)
    learned = limiter.limit(2.0)
    feed(limiter, 90, 0.001, 2, 3)

    assert limiter.limit(2.99) == learned == 2


def test_above_200_a_second_the_buckets_are_a_tenth_as_long() -> None:
    """A burst of 100 ms shows at a high rate, and is averaged over its second at a low one."""
    fast = BbrLimiter(calm)
    feed(fast, 400, 0.01, 0, 10)
    for number in range(100):  # 100 more within one bucket of 100 ms
        start_s = 10.02 + number / 2000
        fast.settle(take(fast, start_s), Outcome.OK, start_s + 0.01)

    assert fast.limit(10.2) == 10  # 100 in 100 ms x 10 ms; by the second it would be 4


def test_without_pressure_nothing_is_refused() -> None:
    """Any number in flight is fine while the machine is at ease."""
    limiter = BbrLimiter(calm)
    for _ in range(500):
        take(limiter, 0.0)

    assert limiter.in_flight == 500


def test_under_pressure_the_limit_binds_and_says_so() -> None:
    """Limit 2 lets a third in (in flight 2 is not above 2) and refuses the fourth."""
    limiter = BbrLimiter(busy)
    feed(limiter, 20, 0.1, 0, 2)
    for _ in range(3):
        take(limiter, 2.5)
    rejection = limiter.admit(REQUEST, 2.5)

    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.value, rejection.limit) == ("LIMIT_EXCEEDED", 3, 2)
    assert rejection.retry_after_s == 1.0


def test_an_untaught_limiter_under_pressure_lets_two_in() -> None:
    """aegis: one in flight is never refused over, so work always goes on."""
    limiter = BbrLimiter(busy)
    take(limiter, 0.0)
    take(limiter, 0.0)

    assert isinstance(limiter.admit(REQUEST, 0.0), Rejection)


def test_after_a_refusal_the_limit_binds_a_second_longer() -> None:
    """Pressure that falls because we refused must not open the gate at once (aegis: 1 s)."""
    pressure = [1.0]
    limiter = BbrLimiter(lambda: pressure[0])
    for _ in range(2):
        take(limiter, 10.0)
    assert isinstance(limiter.admit(REQUEST, 10.0), Rejection)
    pressure[0] = 0.0

    assert isinstance(limiter.admit(REQUEST, 11.0), Rejection)
    assert isinstance(limiter.admit(REQUEST, 11.01), Permit)
    assert limiter.snapshot()["dropping"] is False


@pytest.mark.parametrize("outcome", [Outcome.IGNORED, Outcome.OVERLOADED, Outcome.FAILED])
def test_only_an_ok_teaches(outcome: Outcome) -> None:
    """A call cut, left or failed gives its place back and no round trip."""
    limiter = BbrLimiter(calm)
    feed(limiter, 20, 0.1, 0, 2)
    before = limiter.limit(2.0)
    for number in range(100):
        limiter.settle(take(limiter, 2.0 + number / 200), outcome, 2.001 + number / 200)

    assert limiter.limit(3.5) == before
    assert limiter.in_flight == 0


def test_after_a_reset_old_permits_release_and_teach_nothing() -> None:
    """What began before the reset is not evidence for after."""
    limiter = BbrLimiter(calm)
    old = take(limiter, 0.0)
    limiter.reset(0.0)
    limiter.settle(old, Outcome.OK, 0.5)

    assert limiter.in_flight == 0
    assert limiter.snapshot() == BbrLimiter(calm).snapshot()
    assert limiter.limit(1.5) == 0
    assert repr(limiter) == "<BbrLimiter 0 in flight, rejected 0>"


def queued(deadline_share: float | None) -> tuple[BbrLimiter, float]:
    """Return a limiter at ease whose service ends 20 a second with 16 waiting, and its clock."""
    limiter = BbrLimiter(calm, deadline_share=deadline_share)
    for second in range(30):
        limiter.settle(take(limiter, float(second)), Outcome.OK, second + 0.1)
    held = [take(limiter, 30.0) for _ in range(16)]
    now_s = 30.0
    for _ in range(100):
        now_s += 0.05
        limiter.settle(held.pop(0), Outcome.OK, now_s)
        held.append(take(limiter, now_s))
    for permit in held[10:]:
        limiter.settle(permit, Outcome.IGNORED, now_s)
    return limiter, now_s


def test_with_a_deadline_share_the_deadline_binds_without_pressure_too() -> None:
    """20 a second and a second left: ten in flight, though the machine is at ease."""
    limiter, now_s = queued(0.5)
    rejection = limiter.admit(Request(deadline_s=now_s + 1.0), now_s)

    assert isinstance(rejection, Rejection)
    assert (rejection.reason, rejection.value, rejection.limit) == ("LIMIT_EXCEEDED", 10, 10)
    assert limiter.snapshot()["rejected"] == 1
    assert limiter.in_flight == 10
    take(limiter, now_s)  # without a deadline nothing can be late


def test_by_default_the_deadline_is_left_out() -> None:
    """As aegis has it, and as the lab runs it."""
    limiter, now_s = queued(None)

    assert isinstance(limiter.admit(Request(deadline_s=now_s + 0.1), now_s), Permit)


def test_a_reset_forgets_the_deadline_cap_and_old_permits_teach_it_nothing() -> None:
    """What was begun before is not evidence for after."""
    limiter, now_s = queued(0.5)
    old = take(limiter, now_s)
    limiter.reset(now_s)
    limiter.settle(old, Outcome.OK, now_s + 9.0)

    assert isinstance(limiter.admit(Request(deadline_s=now_s + 0.1), now_s), Permit)


def test_overload_keeps_goodput_and_answers_early_over_20_seeds() -> None:
    """At ten times capacity >= 0.90 of it is served, each within 700 ms; calm is untouched."""
    runs = [OverloadModel(BbrLimiter, seed).run() for seed in range(20)]
    refused = sum(run.calm_refused for run in runs) / sum(run.calm_offered for run in runs)

    assert min(run.goodput for run in runs) > 0.90
    assert max(max(run.latencies_s) for run in runs) <= 0.7
    assert refused < 0.03


def test_overload_needs_both_the_average_and_the_queue() -> None:
    """Busy right now refuses a sixth in the calm; a second's average lets late answers by."""
    hasty = [OverloadModel(BbrLimiter, seed, signal="busy").run() for seed in range(20)]
    late = [OverloadModel(BbrLimiter, seed, signal="second").run() for seed in range(20)]

    assert sum(run.calm_refused for run in hasty) > sum(run.calm_offered for run in hasty) / 6
    assert max(run.within(0.7) for run in late) < 1.0


def test_overload_without_a_limiter_serves_nearly_nobody_in_time() -> None:
    """The control: the queue is as long as the deadline, and every answer is late."""
    runs = [OverloadModel(None, seed).run() for seed in range(5)]

    assert max(run.goodput for run in runs) < 0.10


class LimiterMachine(RuleBasedStateMachine):
    """Any order of admitting, settling, resetting and waiting: in flight is what is out."""

    def __init__(self) -> None:
        super().__init__()
        self.pressure = 0.0
        self.limiter = BbrLimiter(lambda: self.pressure)
        self.now_s = 0.0
        self.permits: list[Permit] = []

    @rule(gap_s=st.floats(0, 3), pressure=st.sampled_from([0.0, 0.79, 0.8, 1.0]))
    def wait(self, gap_s: float, pressure: float) -> None:
        self.now_s += gap_s
        self.pressure = pressure

    @rule()
    def admit(self) -> None:
        decision = self.limiter.admit(REQUEST, self.now_s)
        if isinstance(decision, Permit):
            self.permits.append(decision)
        else:
            assert self.limiter.in_flight > 1

    @rule(outcome=st.sampled_from(list(Outcome)))
    def settle(self, outcome: Outcome) -> None:
        if self.permits:
            self.limiter.settle(self.permits.pop(0), outcome, self.now_s)

    @rule()
    def reset(self) -> None:
        self.limiter.reset(self.now_s)

    @invariant()
    def nothing_leaks(self) -> None:
        assert self.limiter.in_flight == len(self.permits)
        assert self.limiter.limit(self.now_s) >= 0


TestLimiterMachine = LimiterMachine.TestCase
TestLimiterMachine.settings = settings(max_examples=40, deadline=None)


@pytest.mark.golden
def test_the_story_of_a_limiter_that_feels_pressure() -> None:
    """It learns in the calm, refuses while there is pressure, and for a second after."""
    pressure = [0.0]
    limiter = BbrLimiter(lambda: pressure[0])
    lines = ["50 a second, 100 ms each, for ten seconds; then a burst.", ""]
    held: list[Permit] = []

    def burst(now_s: float, count: int) -> None:
        refusal = None
        for _ in range(count):
            decision = limiter.admit(REQUEST, now_s)
            if isinstance(decision, Permit):
                held.append(decision)
            else:
                refusal = decision
        lines.append(f"{now_s:4.1f} s  {count:2} ask: {len(held):2} in flight, {refusal!r}")

    def leave(now_s: float, outcome: Outcome) -> None:
        for permit in held:
            limiter.settle(permit, outcome, now_s)
        lines.append(f"{now_s:4.1f} s  all leave, {outcome.name}")
        held.clear()

    def feel(now_s: float, share: float) -> None:
        pressure[0] = share
        lines.append(f"{now_s:4.1f} s  pressure {share:g}")

    feed(limiter, 50, 0.1, 0, 10)
    lines.append(f"10.0 s  {limiter.snapshot()}")
    burst(10.0, 12)
    leave(10.1, Outcome.OK)
    feel(10.1, 1.0)
    burst(10.1, 12)
    leave(10.2, Outcome.IGNORED)
    feel(10.2, 0.0)
    burst(10.2, 12)
    leave(11.5, Outcome.OK)
    burst(11.5, 12)
    leave(11.6, Outcome.OK)
    lines += ["", f"{limiter.snapshot()}"]

    transcript.check("bbr", lines)
