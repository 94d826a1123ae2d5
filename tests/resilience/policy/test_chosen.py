"""A limiter chosen by name, and exchanged while requests are under way."""

import pytest

from resilience.policy.chosen import ChosenLimiter, ChosenPermit
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from tests.resilience.policy.admission_model import Slots


class Rig:
    """Two limiters, of one slot and of three, and what is chosen."""

    def __init__(self, choice: str = "one") -> None:
        self.choice = choice
        self.made: list[Slots] = []
        self.gate = ChosenLimiter(
            {"one": lambda: self.make(1), "three": lambda: self.make(3)}, lambda: self.choice
        )

    def make(self, slots: int) -> Slots:
        self.made.append(Slots(slots))
        return self.made[-1]

    def take(self, now_s: float = 0.0) -> Permit:
        permit = self.gate.admit(Request(), now_s)
        assert isinstance(permit, Permit)
        return permit


def test_who_was_let_in_by_an_earlier_limiter_goes_back_to_it() -> None:
    """Nothing drifts, and the new one learns nothing from it."""
    rig = Rig()
    old = rig.take()
    assert isinstance(rig.gate.admit(Request(), 0.0), Rejection)
    rig.choice = "three"
    new = [rig.take() for _ in range(3)]
    assert (rig.gate.by, rig.gate.in_flight, rig.gate.limit(0.0)) == ("three", 4, 3)

    rig.gate.settle(old, Outcome.OK, 1.0)
    assert [each.in_flight for each in rig.made] == [0, 3]
    assert (rig.made[0].taught, rig.made[1].taught) == ([Outcome.OK], [])
    for permit in new:
        rig.gate.settle(permit, Outcome.FAILED, 2.0)
    assert (rig.gate.in_flight, rig.made[1].in_flight) == (0, 0)
    with pytest.raises(AssertionError, match="settled twice"):
        rig.gate.settle(old, Outcome.OK, 3.0)


def test_each_is_made_when_it_is_chosen_and_anew_each_time() -> None:
    """What it knew of another time would be wrong now."""
    rig = Rig()
    assert len(rig.made) == 1
    for choice in ("three", "one"):
        rig.choice = choice
        rig.gate.settle(rig.take(), Outcome.OK, 0.0)
    assert [each.slots for each in rig.made] == [1, 3, 1]


def test_an_unknown_choice_changes_nothing() -> None:
    """A newer command line may know a limiter that this process doesn't."""
    rig = Rig("three")
    rig.choice = "four"
    rig.take()
    assert (rig.gate.by, len(rig.made)) == ("three", 1)
    with pytest.raises(ValueError, match="choice='two' must be one of one, three"):
        Rig("two")
    with pytest.raises(ValueError, match="one of nothing"):
        ChosenLimiter({}, lambda: "")


def test_its_figures_are_the_limiter_s_and_who_it_is() -> None:
    """A reset reaches the one in use; the permit keeps what the inner one says."""
    rig = Rig()
    permit = rig.take(5.0)
    assert isinstance(permit, ChosenPermit)
    assert (permit.issued_s, permit.cost, permit.inner.settled) == (5.0, 1.0, False)
    rig.gate.reset(6.0)
    assert rig.made[0].resets == 1
    figures = rig.gate.snapshot()
    assert (figures["by"], figures["in_flight"], figures["limit"]) == ("one", 1, 1)
    assert repr(rig.gate) == "<ChosenLimiter one 1 in flight>"
