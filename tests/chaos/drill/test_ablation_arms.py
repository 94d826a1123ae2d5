"""Short arms: which protection is off in each, and which phases they keep."""

from typing import Any

import pytest

from chaos.drill.arms import Arm, ablation_arms, full_ablation_arms
from chaos.drill.engine import Options, arms_of
from tests.chaos.drill.build import MINIMAL, drill

pytestmark = pytest.mark.unit


def phases(arm: Arm) -> dict[str, float]:
    """Return an arm's phases with their lengths."""
    return {str(phase.name): phase.seconds for phase in arm.phases}


def claim(metric: str, **more: Any) -> dict[str, Any]:
    """Make a hypothesis that replaces the drill's own."""
    return {"name": "goodput", "metric": metric, "bound": ">= 0.85", **more}


def test_every_protection_is_off_alone_and_all_of_them_once() -> None:
    """What is in shadow or off protects nothing, so nothing is to be seen without it."""
    small = drill(policies={**MINIMAL["policies"], "breaker": "shadow", "retry": "off"})

    arms = full_ablation_arms(small)

    assert [(arm.name, list(arm.off)) for arm in arms] == [
        ("without deadline", ["deadline"]),
        ("without limiter", ["limiter"]),
        ("without any of them", ["deadline", "limiter"]),
    ]
    assert [phases(arm) for arm in arms] == [{"warm": 1.0, "fault": 4.0}] * 3


def test_one_protection_alone_is_one_arm() -> None:
    """All off would be the same again."""
    assert [a.name for a in full_ablation_arms(drill(policies={"limiter": "on"}))] == [
        "without limiter"
    ]


@pytest.mark.parametrize(
    ("one", "kept"),
    [
        (claim("goodput_of_steady"), {"warm": 1.0, "steady": 2.0, "fault": 4.0}),
        (
            claim("goodput_of_offered", phase="recover", last_s=2),
            {"warm": 1.0, "fault": 4.0, "recover": 3.0},
        ),
        (claim("seconds_to_recover", phase="recover"), {"warm": 1.0, "fault": 4.0}),
        (claim("failed_count", phase="recover"), {"warm": 1.0, "fault": 4.0, "recover": 3.0}),
    ],
)
def test_phases_that_hypotheses_need_are_kept(one: dict[str, Any], kept: dict[str, float]) -> None:
    """A rate needs the steady state; what comes long after needs the whole time."""
    (arm, *_) = full_ablation_arms(drill(hypotheses=[one]))

    assert phases(arm) == kept


def test_long_phases_are_cut() -> None:
    """Two seconds to warm up, six under the fault."""
    long = drill()
    long_phases = [{**phase, "seconds": 30} for phase in MINIMAL["load"]["phases"]]
    long = drill(load={"phases": long_phases})

    assert phases(full_ablation_arms(long)[0]) == {"warm": 2.0, "fault": 6.0}


@pytest.mark.parametrize(
    ("options", "names"),
    [
        (Options(), ["main", "control", "without limiter"]),
        (Options(with_ablation=False), ["main", "control"]),
        (Options(with_control=False), ["main"]),
        (
            Options(ablate=True),
            ["main", "control", "without deadline", "without limiter", "without any of them"],
        ),
    ],
)
def test_options_choose_the_arms(options: Options, names: list[str]) -> None:
    """``--ablate`` replaces the short arms that the drill asks for."""
    small = drill(control={**MINIMAL["control"], "ablation": {}})

    assert [arm.name for arm in arms_of(small, options)] == names
    assert [arm.name for arm in ablation_arms(drill())] == []
