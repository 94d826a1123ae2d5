"""Arms: what the control plane and the generator are told."""

import json

import pytest

from chaos.drill.arms import ablation_arms, control_arm, fault_windows, load_plan, main_arm, overlay
from chaos.drill.catalogue import find_drill
from chaos.drill.loading import load_drill
from kit.entries import OVERLAY_FIELD, check_entry
from loadtests.plan import from_json

pytestmark = pytest.mark.unit

SLOW = load_drill(find_drill("slow-dependency"))


def test_control_plane_takes_every_arms_overlay() -> None:
    """Its own check accepts what we write, faults included."""
    for arm in (main_arm(SLOW), control_arm(SLOW), *ablation_arms(SLOW)):
        check_entry(
            OVERLAY_FIELD,
            overlay(SLOW, arm, holder="test", epoch=1, faults=fault_windows(SLOW, arm)),
        )


def test_generator_takes_every_arms_plan() -> None:
    """What we write is what loadtests reads; both arms have the same arrivals."""
    plans = [
        from_json(json.dumps(load_plan(SLOW, arm, seed=3, run_id="r", parent_pid=1)))
        for arm in (main_arm(SLOW), control_arm(SLOW))
    ]

    assert plans[0] == plans[1]
    assert plans[0].seed == 3
    assert plans[0].arrivals() == plans[1].arrivals()


def test_faults_lie_in_their_phase() -> None:
    """The fault phase begins after warm and steady."""
    (window,) = fault_windows(SLOW, main_arm(SLOW))

    assert (window.window.from_s, window.window.to_s) == (8, 23)
    assert window.rule["params"] == {"ms": 2000}
    assert window.rule["ttl_s"] == pytest.approx(17.0)


def test_ablations_are_short_and_have_one_policy_off() -> None:
    """Each of the control's policies alone, two seconds of warm-up, six of fault."""
    arms = ablation_arms(SLOW)

    assert [arm.name for arm in arms] == ["without deadline", "without bulkhead"]
    assert [arm.seconds for arm in arms] == [8, 8]
    (window,) = fault_windows(SLOW, arms[0])
    assert (window.window.from_s, window.window.to_s) == (2, 8)
    assert not ablation_arms(load_drill(find_drill("overload")))


def test_phases_are_found_by_time() -> None:
    """Included is the begin, excluded the end."""
    arm = main_arm(SLOW)

    assert [arm.phase_at(s) for s in (0, 2.9, 3, 8, 23, 29.9, 30)] == [
        "warm", "warm", "steady", "fault", "recover", "recover", "",
    ]  # fmt: skip
