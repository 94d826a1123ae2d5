"""Plans: from arguments and files, and what is refused."""

from pathlib import Path

import pytest

from loadtests import plan as plans
from loadtests.plan import LoadClass, Plan, PlanError
from loadtests.routes import ROUTES
from loadtests.schedule import Phase

pytestmark = pytest.mark.unit


def test_defaults_are_the_documented_ones() -> None:
    """A plan that says nothing else is poisson, seed 17, 1 s budget, gives up at 5 s."""
    plan = Plan((Phase("run", 1, {"home": 1}),))

    assert (plan.gaps, plan.seed, plan.budget_s, plan.give_up_s) == ("poisson", 17, 1.0, 5.0)
    assert (plan.max_in_flight, plan.zipf, plan.videos) == (1024, 1.0, 200)
    assert (plans.DEFAULT_RATE_RPS, plans.DEFAULT_SECONDS) == (20.0, 60.0)
    assert (plans.STEPS, plans.SPIKE_FACTOR) == (4, 5.0)


def test_plan_survives_its_file(tmp_path: Path) -> None:
    """What is written is read again unchanged."""
    classes = {"buyer": LoadClass("list", "critical", "b", 7)}
    phases = (Phase("run", 2.5, {"home": 3.0, "buyer": 1.0}),)
    plan = Plan(phases, seed=9, tenant="a", deadline_ms=250, classes=classes)
    path = tmp_path / "plan.json"
    path.write_text(plan.to_json())

    assert plans.read_plan(path) == plan


@pytest.mark.parametrize(
    "text",
    ["nonsense", "[]", '{"phases": []}', '{"phases": [{"name": "a"}]}', '{"speed": 3}'],
)
def test_file_that_is_no_plan_is_refused(text: str) -> None:
    """Neither JSON nor fields that don't exist pass."""
    with pytest.raises(PlanError):
        plans.from_json(text)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("gaps", "odd"),
        ("zipf", -1),
        ("give_up_s", 0),
        ("max_in_flight", 0),
        ("deadline_ms", 0),
        ("deadline_ms", 600_001),
        ("criticality", "vital"),
        ("budget_s", 0),
        ("tenant", "a b"),
    ],
)
def test_value_out_of_range_is_named(field: str, value: object) -> None:
    """The message names the field and its value."""
    with pytest.raises(PlanError, match=field):
        Plan((Phase("run", 1, {"home": 1}),), **{field: value})  # type: ignore[arg-type]


def test_mix_splits_the_rate_by_weight() -> None:
    """Weights 1 and 3 of 20 a second are 5 and 15."""
    (phase,) = plans.shape_phases("poisson", 20, 10, {"home": 1, "page": 3})

    assert phase.rates == {"home": 5, "page": 15}


def test_step_has_four_equal_quarters() -> None:
    """Rates go up by a quarter each time."""
    phases = plans.shape_phases("step", 40, 8, {"home": 1})

    assert [(p.seconds, p.rates["home"]) for p in phases] == [(2, 10), (2, 20), (2, 30), (2, 40)]


def test_spike_is_the_middle_fifth() -> None:
    """Five times the rate in the middle, and a warm-up in front."""
    phases = plans.shape_phases("spike", 10, 10, {"home": 1}, warmup_s=2)

    assert [(p.name, p.seconds, p.rates["home"]) for p in phases] == [
        ("warmup", 2, 10),
        ("before", 4, 10),
        ("spike", 2, 50),
        ("after", 4, 10),
    ]


@pytest.mark.parametrize(
    ("text", "seconds"), [("60s", 60), ("5m", 300), ("500ms", 0.5), ("2", 2), ("1h", 3600)]
)
def test_durations_are_read(text: str, seconds: float) -> None:
    """Number and unit; a bare number is seconds."""
    assert plans.parse_seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "fast", "3 days", "-1s"])
def test_what_is_no_duration_is_refused(text: str) -> None:
    """The message shows how to write one."""
    with pytest.raises(PlanError, match="60s"):
        plans.parse_seconds(text)


def test_mix_names_only_known_routes() -> None:
    """An unknown route is refused with the known ones."""
    assert plans.parse_mix("home=30, page", ROUTES) == {"home": 30, "page": 1}
    with pytest.raises(PlanError, match="home, list"):
        plans.parse_mix("hme=1", ROUTES)
    with pytest.raises(PlanError, match="must be a number"):
        plans.parse_mix("home=x", ROUTES)


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        (LoadClass("list", criticality="vital"), "criticality of buyer is vital"),
        (LoadClass("list", tenant="a,b"), "tenant of buyer is a,b"),
        (LoadClass("list", video=0), "video of buyer is 0"),
    ],
)
def test_a_class_out_of_range_is_named(wrong: LoadClass, said: str) -> None:
    """What would break the baggage header, or ask for no video."""
    with pytest.raises(PlanError, match=said):
        Plan((Phase("run", 1, {"buyer": 1}),), classes={"buyer": wrong})


def test_routes_are_those_of_the_classes_too() -> None:
    """A class that nothing is sent of needs no session."""
    classes = {"fan": LoadClass("like"), "idle": LoadClass("comment")}
    plan = Plan((Phase("run", 1, {"fan": 1, "home": 2, "idle": 0}),), classes=classes)
    assert plan.routes() == {"like", "home"}
