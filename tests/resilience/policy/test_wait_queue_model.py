"""Wait queue in front of a service of known capacity: what a short wait is worth."""

from functools import cache

from resilience.policy.bbr import BbrLimiter
from resilience.policy.bulkhead import Bulkhead
from resilience.policy.contract import Criticality
from resilience.policy.wait_queue import WaitQueue
from tests.resilience.policy.admission_model import AdmissionModel, MakeDoor, Slots, Stream

DOORS: dict[str, MakeDoor] = {
    "limiter": lambda _: Slots(2),
    "queue": lambda _: WaitQueue(Slots(2)),
    "patient queue": lambda _: WaitQueue(Slots(2), target_s=0.02, interval_s=0.4),
    "fifo": lambda _: Bulkhead(2, 100),
    "queue over bbr": lambda pressure: WaitQueue(BbrLimiter(pressure)),
    "bbr": BbrLimiter,
}


@cache
def goodputs(door: str, rps: float) -> list[float]:
    """Offer so much to a capacity of 20 a second for 10 s; return the goodput by seed."""
    phases = [(10.0, [Stream("all", rps)])]
    seeds = 20 if rps < 100 else 5
    return [AdmissionModel(phases, DOORS[door], seed).run().goodput for seed in range(seeds)]


def test_a_short_wait_fills_the_gaps_that_refusing_leaves() -> None:
    """Two slots that refuse lose a third of what just fits; waiting 100 ms gets much of it back."""
    assert max(goodputs("limiter", 25.0)) < 0.75
    assert min(goodputs("queue", 25.0)) > 0.75
    assert min(goodputs("patient queue", 25.0)) > 0.85
    assert sum(goodputs("queue over bbr", 25.0)) > sum(goodputs("bbr", 25.0))


def test_under_ten_times_the_capacity_the_queue_serves_all_of_it_and_fifo_next_to_nothing() -> None:
    """The control: a hundred who wait their turn are all served too late."""
    assert min(goodputs("queue", 200.0)) > 0.95
    assert min(goodputs("queue over bbr", 200.0)) > 0.95
    assert max(goodputs("fifo", 200.0)) < 0.4


def test_under_overload_the_important_wait_less_and_are_served_first() -> None:
    """8 critical and 52 sheddable a second at two slots for 20: the critical get more of them."""
    streams = [Stream("critical", 8.0), Stream("sheddable", 52.0, Criticality.SHEDDABLE)]
    for seed in range(5):
        run = AdmissionModel([(20.0, streams)], DOORS["patient queue"], seed).run()
        assert run.tallies["critical"].in_time > 1.4 * run.tallies["sheddable"].in_time
