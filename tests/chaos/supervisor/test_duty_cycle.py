"""How long a process may run so that it keeps to a share of the cores."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.supervisor.duty_cycle import SHORTEST_RUN_S, SLICE_S, DutyCycle

pytestmark = pytest.mark.unit


def simulate(
    cores: float, appetite: float, seconds: float, late_s: float = 0.0
) -> tuple[float, float]:
    """Play a process that wants `appetite` cores whenever it may; returns cores used and held."""
    cycle = DutyCycle(cores, used_s=0.0, looked_s=0.0)
    now_s = used_s = held_s = 0.0
    is_held = False
    while now_s < seconds:
        cycle.charge(used_s, now_s, ran=not is_held)
        run_s = cycle.run_s()
        is_held = run_s == 0.0
        passed_s = (cycle.wait_s() if is_held else run_s) + late_s
        used_s += 0.0 if is_held else passed_s * appetite
        held_s += passed_s if is_held else 0.0
        now_s += passed_s
    return used_s / now_s, held_s / now_s


@pytest.mark.parametrize("cores", [0.01, 0.1, 0.25, 0.5, 0.9, 1.5])
@pytest.mark.parametrize("late_s", [0.0, 0.001, 0.004])
def test_a_busy_process_gets_its_share(cores: float, late_s: float) -> None:
    """Within a tenth, however late the timers are: what was too much is paid back."""
    used, held = simulate(cores, appetite=2.0, seconds=60.0, late_s=late_s)
    assert used == pytest.approx(cores, rel=0.1, abs=0.002)
    assert held > 0.1


@pytest.mark.parametrize("appetite", [0.0, 0.05, 0.09])
def test_a_process_that_wants_less_is_never_held(appetite: float) -> None:
    """A limit of 0.1 doesn't disturb who uses 0.09, once its appetite is known."""
    used, held = simulate(0.1, appetite, seconds=60.0)
    assert used == pytest.approx(appetite, abs=0.001)
    assert held < 0.02


def test_a_slice_is_short() -> None:
    """At 0.1 of a core one thread runs for some 5 ms and then stands still for some 50."""
    cycle = DutyCycle(0.1, used_s=0.0, looked_s=0.0)
    cycle.charge(0.0, 10.0, ran=False)
    assert cycle.balance_s == pytest.approx(0.1 * SLICE_S)
    assert cycle.run_s() == pytest.approx(0.00556, abs=0.0001)
    cycle.charge(0.00556, 10.00556, ran=True)
    assert cycle.run_s() == pytest.approx(SHORTEST_RUN_S) or cycle.run_s() == 0.0
    assert (SLICE_S, SHORTEST_RUN_S) == (0.05, 0.001)


@settings(max_examples=50, deadline=None)
@given(st.floats(0.01, 4.0), st.floats(0.0, 8.0), st.floats(0.0, 0.02))
def test_nobody_gets_more_than_its_share_and_nobody_starves(
    cores: float, appetite: float, late_s: float
) -> None:
    """On average over a long run, with any appetite and any lateness of timers."""
    used, _ = simulate(cores, appetite, seconds=60.0, late_s=late_s)
    assert used <= cores * 1.1 + 0.01
    assert used >= 0.5 * min(cores, appetite) - 0.01


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.2), st.floats(0, 0.4), st.booleans()), max_size=50))
def test_the_account_never_holds_more_than_a_slice(steps: list[tuple[float, float, bool]]) -> None:
    """So an idle process can't save up for a burst."""
    cycle = DutyCycle(0.3, used_s=0.0, looked_s=0.0)
    used_s = now_s = 0.0
    for passed_s, spent_s, ran in steps:
        used_s, now_s = used_s + spent_s, now_s + passed_s
        cycle.charge(used_s, now_s, ran=ran)
        assert cycle.balance_s <= 0.3 * SLICE_S
        assert 0.0 <= cycle.run_s() <= SLICE_S
        assert cycle.wait_s() > 0.0
