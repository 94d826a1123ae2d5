"""Cells: what is varied, and what each value of it changes."""

import pytest

from chaos.drill.arms import MAIN, Arm, load_plan, overlay
from chaos.experiment.factors import cells, drill_of, name_of
from chaos.experiment.schema import Level
from kit.entries import check_entry
from loadtests.plan import from_json
from resilience.policy.contract import Mode
from tests.chaos.experiment.build import experiment

pytestmark = pytest.mark.unit


def cell(**levels: Level) -> dict[str, Level]:
    """Name a cell's factors with __ for a dot."""
    return {key.replace("__", "."): level for key, level in levels.items()}


def test_every_combination_is_a_cell_and_the_last_factor_changes_fastest() -> None:
    """Two limiters at two rates are four."""
    assert [name_of(each) for each in cells(experiment())] == [
        "video.limiter=off, load.rate=10",
        "video.limiter=off, load.rate=40",
        "video.limiter=bbr, load.rate=10",
        "video.limiter=bbr, load.rate=40",
    ]


def test_a_switch_takes_a_position_or_a_choice_which_turns_it_on() -> None:
    """And what the rest of the policy says of other targets stays."""
    of = experiment(fix={"policies": {"limiter": "on"}, "capacity": {"of": "video", "rps": 20}})
    off = drill_of(of, cell(video__limiter="off"))
    assert off.policies == {"limiter": {"*": Mode.ON, "video": Mode.OFF}}
    assert off.setup.choices == {}
    vegas = drill_of(of, cell(video__limiter="vegas"))
    assert vegas.policies == {"limiter": {"*": Mode.ON, "video": Mode.ON}}
    assert vegas.setup.choices == {"video": {"limiter": "vegas"}}


def test_numbers_stations_and_the_load_are_set() -> None:
    """A deadline is the budget of every tier and of the load."""
    levels = cell(
        gateway__attempts=2, station__video__mean_ms=50, load__rate=30, load__deadline_ms=400
    )
    stations = {"video": {"workers": 2, "mean_ms": 100}}
    load = {"mix": {"list": 2, "page": 1}, "seconds": 4, "warmup": 1}
    of = experiment(measure=["in_time_share"], fix={"set": {"stations": stations}, "load": load})
    drill = drill_of(of, levels)
    assert drill.setup.settings == {
        "gateway": {"attempts": 2, "budget_ms": 400},
        "l7": {"budget_ms": 400},
    }
    assert drill.setup.stations["video"].mean_ms == 50
    assert drill.load.budget_ms == 400
    assert [(p.name, p.seconds, p.rates) for p in drill.load.phases] == [
        ("warm", 1, {"list": 20, "page": 10}),
        ("fault", 4, {"list": 20, "page": 10}),
    ]


def test_control_and_generator_take_what_a_cell_wants() -> None:
    """The overlay is a checked one, and the plan is one of the generator's."""
    import json

    of = experiment()
    for each in cells(of):
        drill = drill_of(of, each)
        arm = Arm(MAIN, drill.policies, drill.load.phases)
        check_entry("overlay", overlay(drill, arm, holder="test", epoch=1))
        plan = from_json(json.dumps(load_plan(drill, arm, seed=1, run_id="r", parent_pid=1)))
        assert sum(plan.phases[1].rates.values()) == each["load.rate"]
