"""The drill `metastable` simulated over the real policies: the gap its verdict rests on."""

import functools

import pytest

from resilience.policy.contract import Mode
from tests.drills import metastable_model as model
from tests.drills.metastable_model import MetastableModel, Run

SEEDS = range(24)
FEW_SEEDS = range(8)  # where the setting is not the drill's own


@functools.cache
def runs(mode: Mode, **how: bool) -> list[Run]:
    """Play every seed once, and fewer where something isn't as in the drill."""
    seeds = FEW_SEEDS if how else SEEDS
    return [MetastableModel(seed, retry_budget=mode, **how).run() for seed in seeds]


def test_with_the_budget_the_outage_ends_with_its_cause() -> None:
    """Goodput of the last 15 s at least 0.80 of what is offered, normal again within 5 s."""
    assert min(run.goodput_of_offered for run in runs(Mode.ON)) >= 0.80
    assert max(run.recovery_s for run in runs(Mode.ON)) <= 5.0


def test_without_the_budget_the_outage_outlives_its_cause() -> None:
    """Half a minute after anything was wrong hardly anybody is answered, whatever the seed."""
    assert max(run.goodput_of_offered for run in runs(Mode.OFF)) <= 0.30
    assert min(run.attempts / len(run.offered_s) for run in runs(Mode.OFF)) >= 2.5


def test_the_gap_does_not_rest_on_the_even_pace() -> None:
    """Arrivals by chance queue now and then by themselves, and the arms are as far apart."""
    assert min(run.goodput_of_offered for run in runs(Mode.ON, poisson=True)) >= 0.80
    assert max(run.goodput_of_offered for run in runs(Mode.OFF, poisson=True)) <= 0.30


def test_before_the_fault_both_arms_are_well() -> None:
    """At 0.8 of its capacity the station answers nearly everybody at the first try."""
    assert min(run.steady_share for mode in (Mode.ON, Mode.OFF) for run in runs(mode)) >= 0.95


def test_work_that_is_not_cancelled_makes_it_worse() -> None:
    """What gave up and is served all the same costs the control what little it had."""
    left = [run.goodput_of_offered for run in runs(Mode.OFF, cancellation=False)]
    freed = [run.goodput_of_offered for run in runs(Mode.OFF)]
    assert sum(left) / len(left) < sum(freed) / len(freed)
    assert max(left) <= 0.30


@pytest.mark.parametrize("mode", [Mode.ON, Mode.OFF])
def test_shadow_is_as_the_budget_off(mode: Mode) -> None:
    """A budget that only counts protects nobody: the same run as without it."""
    shadow = MetastableModel(1, retry_budget=Mode.SHADOW).run()
    same = shadow.answered_s == MetastableModel(1, retry_budget=mode).run().answered_s
    assert same is (mode is Mode.OFF)


def test_the_model_is_the_drill() -> None:
    """Figures of the model are those that the drill's file sets."""
    assert (model.STATION.workers * 1.0 / model.STATION.mean_s, model.RATE_RPS) == (40.0, 32.0)
    assert (model.SLOW_FACTOR, model.SLOW_S, model.AFTER_S) == (20.0, 5.0, 30.0)
    assert (model.ATTEMPTS.max_attempts, model.PER_TRY_S, model.BUDGET_S) == (4, 0.5, 2.5)
