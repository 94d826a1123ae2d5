"""Several drills, one exit code, JUnit XML; one drill many times."""

import re
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from chaos.drill.engine import Options
from chaos.drill.judge import Verdict, examine, examine_control, judge
from chaos.drill.junit import to_xml, write_junit
from chaos.drill.metrics import Arrivals
from chaos.drill.report import DrillRun, unreached
from chaos.drill.schema import Drill
from chaos.drill.soak import soak
from chaos.drill.soundness import Doubt
from chaos.drill.suite import Entry, Item, all_items, as_json, line, row, run_suite, sentence, worst
from kit.errors import ConfigError, LabEnvironmentError
from tests.chaos.drill.build import arrivals, drill, record

pytestmark = pytest.mark.unit

SMALL = drill()


def good() -> Arrivals:
    """All in time, 20 a second under the fault."""
    return arrivals([record(n, 0.05 * n, 0.1) for n in range(200)])


def bad() -> Arrivals:
    """Nobody in time under the fault."""
    return arrivals([record(n, 0.05 * n, 0.1 if n < 60 else 2.0) for n in range(200)])


def verdict(main: Arrivals, control: Arrivals | None, *doubts: Doubt) -> Verdict:
    """Judge two arms."""
    refuted = None if control is None else examine_control(SMALL, control)
    return judge(SMALL, examine(SMALL, main), refuted, doubts)


HELD = verdict(good(), bad())
REFUTED = verdict(bad(), bad())
CONTROL_HELD = verdict(good(), good())
DOUBTED = verdict(good(), bad(), Doubt("cpu", "main arm: 1.9 cores were used"))
ALONE = verdict(good(), None)


def entry(of: Verdict, folder: str = "runs/tiny/1", **changes: Any) -> Entry:
    """Make a drill that was run."""
    run = DrillRun(SMALL, "processes", 17, (), Path(folder), verdict=of, **changes)
    return Entry(SMALL, run, None, 80.5, 1_800_000_000.0)


def failed(error: str = "no supervisor answers") -> Entry:
    """Make a drill that couldn't be run."""
    return Entry(SMALL, None, LabEnvironmentError(error), 0.5, 1_800_000_000.0)


@pytest.mark.parametrize(
    ("codes", "code"),
    [((0, 0), 0), ((0, 4), 4), ((4, 1), 1), ((1, 3, 4, 0), 3), ((), 0)],
)
def test_exit_code_is_the_worst(codes: tuple[int, ...], code: int) -> None:
    """In the order 3, 1, 4, 0."""
    assert worst(codes) == code


@given(st.lists(st.sampled_from([0, 1, 3, 4]), min_size=1))
def test_exit_code_never_hides_a_bad_one(codes: list[int]) -> None:
    """0 only when all are."""
    assert (worst(codes) == 0) == (set(codes) == {0})


def test_a_drill_that_cant_be_run_doesnt_stop_the_others() -> None:
    """Whatever kind of error it is, it is 3: it can't be run here."""
    seen: list[str] = []

    def run(lab: Any, small: Drill, text: str, options: Options) -> DrillRun:
        seen.append(options.place)
        if len(seen) == 1:
            raise ConfigError("the lab has no vide.2")
        return DrillRun(small, "processes", 17, (), Path(text), verdict=HELD)

    items = [Item(SMALL, "one"), Item(SMALL, "two")]
    entries = list(run_suite(None, items, Options(), run))  # type: ignore[arg-type]

    assert seen == ["1 of 2", "2 of 2"]
    assert [(e.verdict, e.exit_code) for e in entries] == [("not run", 3), ("held", 0)]
    assert as_json(entries)["exit_code"] == 3
    assert "the lab has no vide.2" in line(entries[0])
    assert row(entries[1])[-1] == "two/report.html"
    assert sentence(entries).endswith("1 not run, 1 held")


def test_smoke_set_is_the_designs() -> None:
    """drills.md: overload, slow-dependency, rolling-restart."""
    smoke = {item.drill.drill for item in all_items("smoke")}

    assert smoke == {"overload", "slow-dependency", "rolling-restart"}
    assert smoke < {item.drill.drill for item in all_items()}
    with pytest.raises(ConfigError, match="no drill has the tag smoek: did you mean smoke"):
        all_items("smoek")


ATTRIBUTES = {
    "testsuites": {"name", "time", "tests", "failures", "errors"},
    "testsuite": {
        "name", "tests", "failures", "errors", "time", "skipped", "timestamp", "hostname",
    },
    "testcase": {"name", "time", "classname"},
    "properties": set(),
    "property": {"name", "value"},
    **{kind: {"type", "message"} for kind in ("failure", "error", "skipped")},
}  # fmt: skip
CHILDREN = {
    "testsuites": {"testsuite"},
    "testsuite": {"properties", "testcase"},
    "testcase": {"failure", "error", "skipped"},
    "properties": {"property"},
}
REQUIRED = {"testsuite": {"name", "tests", "failures", "errors"}, "testcase": {"name"}}


def check_schema(element: ElementTree.Element) -> None:
    """Hold a document to Jenkins' schema (junit-10.xsd): elements, attributes, times."""
    assert set(element.attrib) <= ATTRIBUTES[element.tag], element.tag
    assert REQUIRED.get(element.tag, set()) <= set(element.attrib)
    for name in ("tests", "failures", "errors", "skipped"):
        assert re.fullmatch(r"\d+", element.get(name, "0"))
    assert re.fullmatch(r"\d+(\.\d+)?", element.get("time", "0"))
    for child in element:
        assert child.tag in CHILDREN.get(element.tag, set()), f"{child.tag} in {element.tag}"
        check_schema(child)


@pytest.mark.parametrize(
    "of",
    [HELD, REFUTED, CONTROL_HELD, DOUBTED, ALONE],
    ids=["held", "refuted", "control held", "doubted", "alone"],
)
def test_junit_follows_the_common_schema_and_counts_right(of: Verdict) -> None:
    """Every consumer adds up what the suites say."""
    root = ElementTree.fromstring(to_xml([entry(of), failed()]))  # noqa: S314 - our own

    check_schema(root)
    for suite in root:
        cases = suite.findall("testcase")
        assert suite.get("tests") == str(len(cases)) == "3"
        for name, kind in (("failures", "failure"), ("errors", "error"), ("skipped", "skipped")):
            assert suite.get(name) == str(sum(c.find(kind) is not None for c in cases))
    assert root.get("tests") == "6"
    assert root.get("time") == "81.000"


def outcomes(of: Entry) -> dict[str, str]:
    """Return each testcase with what became of it."""
    root = ElementTree.fromstring(to_xml([of]))  # noqa: S314 - our own
    return {
        f"{case.get('classname')} {case.get('name')}": " ".join(
            f"{child.tag} {child.get('message')}" for child in case
        )
        for case in root.iter("testcase")
    }


GOODPUT = "tiny.main goodput ≥ 0.85"
QUICK = "tiny.main quick ≥ 0.97"
CONTROL = "tiny.control goodput must fail without limiter"


def test_junit_of_a_drill_that_held_has_nothing_to_say() -> None:
    """One testcase per hypothesis, one per refutation."""
    assert outcomes(entry(HELD)) == {GOODPUT: "", QUICK: "", CONTROL: ""}


def test_junit_of_a_refuted_drill_names_the_failures() -> None:
    """In words: what was seen, what must be."""
    found = outcomes(entry(REFUTED))

    assert found[GOODPUT] == "failure goodput was 0.00, must be ≥ 0.85"
    assert found[QUICK].startswith("failure quick was 0.00")
    assert found[CONTROL] == ""


def test_junit_tells_inconclusive_as_an_error() -> None:
    """Of the control that held its own case alone; of a doubt every case."""
    held = outcomes(entry(CONTROL_HELD))
    doubted = outcomes(entry(DOUBTED))

    assert (held[GOODPUT], held[QUICK]) == ("", "")
    assert held[CONTROL] == (
        "error without limiter goodput was 1.00, must show ≤ 0.3: the protection was never needed"
    )
    assert set(doubted.values()) == {"error main arm: 1.9 cores were used"}


def test_junit_of_a_drill_that_couldnt_run_says_why() -> None:
    """Every case is an error; an aborted run is one too."""
    assert set(outcomes(failed()).values()) == {"error no supervisor answers"}
    aborted = entry(unreached("aborted", "sent_share is 0.5"))
    assert set(outcomes(aborted).values()) == {"error sent_share is 0.5"}


def test_junit_skips_the_control_that_nobody_wanted() -> None:
    """``--no-control`` proves nothing, and says so."""
    found = outcomes(entry(ALONE, with_control=False))

    assert found[GOODPUT] == ""
    assert found[CONTROL] == "skipped run without its control arm"


def test_junit_carries_what_is_needed_to_do_it_again(tmp_path: Path) -> None:
    """Seed, machine, replay line, report; and a file is replaced whole."""
    folder = tmp_path / "run"
    folder.mkdir()
    (folder / "machine.json").write_text('{"cpu": "a fast one", "cores": 2, "python": "3.11.7"}')
    path = write_junit(tmp_path / "deep" / "out.xml", [entry(HELD, str(folder))])

    root = ElementTree.fromstring(path.read_text())  # noqa: S314 - our own
    said = {one.get("name"): one.get("value") for one in root.iter("property")}
    assert said["seed"] == "17"
    assert said["replay"] == "squall drill run tiny --seed 17"
    assert said["report"] == f"{folder}/report.html"
    assert said["verdict"] == "held"
    assert (said["machine"], said["python"]) == ("a fast one, 2 cores", "3.11.7")
    assert list(tmp_path.joinpath("deep").iterdir()) == [path]


def test_soak_runs_seed_after_seed_and_counts_what_couldnt_run() -> None:
    """One line each."""
    seeds: list[int] = []
    told: list[str] = []

    def run(lab: Any, items: Any, options: Options, places: list[str]) -> list[Entry]:
        seeds.append(options.seed)
        return [failed() if options.seed == 4 else entry(ALONE)]

    verdicts, not_run = soak(None, Item(SMALL, ""), Options(seed=3), 3, told.append, run)  # type: ignore[arg-type]

    assert seeds == [3, 4, 5]
    assert (len(verdicts), not_run) == (2, 1)
    assert [text.split(":")[0] for text in told] == ["seed 3", "seed 4", "seed 5"]
