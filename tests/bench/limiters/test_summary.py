"""The summary: medians, and the issue's four aims against them."""

from math import isclose

import pytest

from bench.limiters import summary as module
from bench.limiters.contenders import contender
from bench.limiters.records import UNSENT, Record
from bench.limiters.report import HEAD, as_json, rows, run_line, verdict_lines
from bench.limiters.run import LEAST_SENT_RATIO, MOST_LAG_S, MOST_TRIES, Run
from bench.limiters.summary import aims, dominates, summaries
from tests.bench.limiters.made import CRITICAL, answered, even, refused, run

pytestmark = pytest.mark.unit


def at(share: float, contender: str = "default") -> Run:
    """Make a run with this goodput at 10 C."""
    return run(contender, records=tuple(even(0.0, 20.0, 50.0 * share)))


def verdicts(*runs: Run) -> list[str]:
    """Return the verdicts of the four aims."""
    return [one.verdict.value for one in aims(summaries(runs), 1.0)]


def test_the_documented_aims_hold() -> None:
    """0.95 of the capacity, Envoy minus 0.02; a run with 50 ms of lag is run again, twice."""
    assert (module.AIM_GOODPUT, module.ENVOY_MARGIN) == (0.95, 0.02)
    assert (MOST_LAG_S, LEAST_SENT_RATIO, MOST_TRIES) == (0.05, 0.99, 3)


def test_a_summary_is_of_medians() -> None:
    """One run of three that goes wrong moves nothing but the range."""
    (found,) = summaries([at(1.0), at(0.98), at(0.2)])

    assert isclose(found.goodput, 0.98, abs_tol=0.003)
    assert isclose(found.goodput_range[0], 0.2, abs_tol=0.003)
    assert found.runs == 3


def test_each_cv_has_its_own_summary() -> None:
    """In the order of their first runs."""
    found = summaries([run(cv=1.0), run(cv=0.25), run("none", 1.0), run(cv=1.0)])

    assert [(one.contender, one.cv, one.runs) for one in found] == [
        *(("default", 1.0, 2), ("default", 0.25, 1), ("none", 1.0, 1)),
    ]


def test_inversions_are_summed_not_halved() -> None:
    """A promise that holds in most runs is none."""
    broken = run(records=(refused(5.0, CRITICAL), answered(5.01)))
    (found,) = summaries([run(), run(), broken])

    assert found.inversions == 1
    assert verdicts(run(), run(), broken)[1] == "missed"


def test_cpu_is_per_request_of_the_trace() -> None:
    """2 s for a thousand requests are 2,000 µs each, Envoy's beside them."""
    (found,) = summaries([run("envoy", proxy_cpu_s=0.5)])

    assert (found.cpu_us, found.proxy_cpu_us) == (2000.0, 500.0)


def test_the_aims_are_held_by_who_is_as_good_as_envoy() -> None:
    """The same figures are not dominated, and 0.95 itself is enough."""
    assert verdicts(at(1.0), at(1.0, "envoy")) == ["held"] * 4
    assert verdicts(at(0.955), at(0.97, "envoy"))[0] == "held"


def test_the_aims_are_missed_by_who_is_worse() -> None:
    """Below 0.95, dominated, and more than 0.02 behind."""
    assert verdicts(at(0.9), at(1.0, "envoy")) == ["missed", "held", "missed", "missed"]


def test_without_envoy_two_aims_are_unknown() -> None:
    """Never held; and without the default there is nothing to judge."""
    assert verdicts(at(1.0)) == ["held", "held", "unknown", "unknown"]
    assert verdicts(at(1.0, "envoy")) == []
    assert aims(summaries([run(cv=0.25)]), 1.0) == []


def test_to_dominate_is_to_be_nowhere_worse_and_somewhere_better() -> None:
    """A tie dominates nobody; never settling is the longest time there is."""
    (one,) = summaries([at(1.0)])

    assert not dominates(one, one)
    assert dominates(one, one._replace(recover_s=None))
    assert not dominates(one._replace(goodput=1.1, react_s=None), one)
    assert dominates(one._replace(p99_s=-1.0), one)


def test_a_median_of_mostly_never_is_never() -> None:
    """Two of three runs that did not settle."""
    never = run(records=tuple(answered(at_s, 0.0) for at_s in (4.55, 8.55) for _ in range(100)))
    settled = run()
    found = [module.summary([never, settled, never]), module.summary([never, settled, settled])]

    assert [one.react_s for one in found] == [None, 0.0]


def test_the_table_leaves_nobody_out() -> None:
    """Who is not installed keeps a row that says why; marks say what was repeated."""
    again = run("envoy", tries=2, proxy_cpu_s=0.5)
    found = summaries([run(), again])
    table = rows(found, 1.0, {"none": "not installed: pip install it"})

    assert {len(row) for row in table} == {len(HEAD)}
    assert [row[0].split(" ")[0] for row in table] == ["default", "envoy", "none"]
    assert table[1][-2:] == ("2000 + 500", "1 repeated")
    assert table[2][-1] == "not installed: pip install it"
    assert rows(found, 0.25, {}) == []


def test_a_spoiled_run_is_marked_everywhere() -> None:
    """The client left a tenth of the trace unsent."""
    records = tuple(Record(at_s=one / 50, criticality=0, tenant="a", status=UNSENT)
                    for one in range(100)) + tuple(even(2.0, 20.0, 50.0))  # fmt: skip
    spoiled = run(records=records, tries=3)

    assert not spoiled.is_sound
    assert "run 3 times, SPOILED" in run_line(1, 2, spoiled)
    assert rows(summaries([spoiled]), 1.0, {})[0][-1] == "1 repeated, 1 spoiled"


def test_a_late_client_spoils_a_run() -> None:
    """A lag p99 above 50 ms; without records nothing is sound."""
    late = tuple(Record(at_s, 0, "a", at_s + 0.051, at_s + 0.1, 200) for at_s in (1.0, 2.0))

    assert not run(records=late).is_sound
    assert not run(records=()).is_sound
    assert run().is_sound


def test_the_json_has_every_run_and_every_aim() -> None:
    """The machine, the trace with its seed, medians, runs, verdicts."""
    data = as_json([run(), run()], [contender("default")], (1.0,), {"envoy": "why"})

    assert data["absent"] == {"envoy": "why"}
    assert data["trace"]["seed"] == 20_261_123  # type: ignore[index]
    assert data["trace"]["files"] == ["bench/traces/step10-cv1.csv"]  # type: ignore[index]
    assert len(data["runs"]) == 2  # type: ignore[arg-type]
    assert [one["verdict"] for one in data["aims"]] == [  # type: ignore[attr-defined]
        *("held", "held", "unknown", "unknown"),
    ]


def test_a_verdict_line_says_what_was_found() -> None:
    """With the aim and the figure."""
    lines = verdict_lines(summaries([at(1.0)]), 1.0)

    assert lines[0] == "cv 1: held: goodput at 10 C >= 0.95 (1.000)"
    assert lines[3] == "cv 1: unknown: goodput >= Envoy's - 0.02 (Envoy was not measured)"
