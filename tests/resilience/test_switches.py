"""Switches that stand as they were given."""

from resilience.policy.contract import Mode
from resilience.switches import FixedSwitches


def test_fixed_switches_stand_as_given_until_moved() -> None:
    """Named ones as named, the others at the default."""
    switches = FixedSwitches({"limiter": Mode.SHADOW}, default=Mode.OFF)
    assert (switches.mode("limiter"), switches.mode("retry")) == (Mode.SHADOW, Mode.OFF)
    switches.set("retry", Mode.ON)

    assert switches.mode("retry") is Mode.ON
    assert repr(switches) == "<FixedSwitches limiter=shadow retry=on default=off>"
    assert FixedSwitches().mode("any") is Mode.ON
