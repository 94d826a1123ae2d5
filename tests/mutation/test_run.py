"""The mutation run: good tests notice, empty ones do not, foreign ones are not believed."""

from pathlib import Path

import pytest

from tests.mutation import run
from tests.mutation.equivalents import Equivalent, gone, noticed, read_equivalents, survivors
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.run import BadSuiteError, Fate, Trial, try_suite
from tests.mutation.suites import ROOT, Suite, own_tests, suites

pytestmark = pytest.mark.unit

SLOTS = "hashing/slots.py"  # two comparisons and more
BLIND = '''\
"""Sees one brace and never two."""

from hashing.slots import hashed_part


def test_a_brace_that_is_never_closed_begins_no_tag() -> None:
    """The whole key decides."""
    assert hashed_part(b"a{b") == b"a{b"
'''


def trials_of(fate: Fate) -> list[Trial]:
    """Return two mutants of the slots with one fate."""
    suite = Suite(SLOTS, ())
    return [Trial(suite, mutant, fate) for mutant in mutants_of(suite.source())[:2]]


def entry_of(trial: Trial) -> Equivalent:
    """Excuse a mutant."""
    mutant = trial.mutant
    return Equivalent(SLOTS, mutant.where, mutant.before, mutant.after, "for the test")


def test_a_mutant_survives_tests_that_do_not_look(monkeypatch: pytest.MonkeyPatch) -> None:
    """What passes with a mutant in place is a survivor, named with its line."""
    extra = Mutant(2, 1, "", "a", "b")
    ends = {-1: 0, 0: 0, 1: run.EXIT_ENDLESS, 2: 1}
    monkeypatch.setattr(run, "mutants_of", lambda source: [*mutants_of(source)[:2], extra])
    monkeypatch.setattr(run, "run_tests", lambda suite, copy, index, limit_s: (ends[index], ""))
    told: list[Trial] = []
    found = try_suite(Suite(SLOTS, ("test_slots.py",)), told.append)

    assert [trial.fate for trial in found] == [Fate.SURVIVED, Fate.ENDLESS, Fate.NOTICED]
    assert told == found
    assert (
        str(found[0]) == f"{SLOTS}:{found[0].mutant.line}  hashed_part: start < 0  ->  start >= 0"
    )


def test_tests_run_on_the_mutant_and_the_file_stays_as_it_is(tmp_path: Path) -> None:
    """A test that the module passes fails on a mutant, in a process of its own."""
    blind = tmp_path / "test_blind.py"
    blind.write_text(BLIND, encoding="utf-8")
    source = (ROOT / SLOTS).read_text(encoding="utf-8")
    copy = tmp_path / "slots.py"
    copy.write_text(source, encoding="utf-8")
    code, said = run.run_tests(Suite(SLOTS, (str(blind),)), copy, 1, limit_s=None)

    assert (code, "1 failed" in said) == (1, True)
    assert (ROOT / SLOTS).read_text(encoding="utf-8") == source


def test_tests_that_never_import_the_module_cannot_judge(tmp_path: Path) -> None:
    """They would call every mutant a survivor."""
    foreign = tmp_path / "test_foreign.py"
    foreign.write_text("def test_nothing() -> None:\n    pass\n", encoding="utf-8")

    with pytest.raises(BadSuiteError, match=r"never import hashing\.slots"):
        try_suite(Suite(SLOTS, (str(foreign),)))


def test_tests_that_fail_by_themselves_cannot_judge(monkeypatch: pytest.MonkeyPatch) -> None:
    """They would call every mutant noticed."""
    monkeypatch.setattr(run, "run_tests", lambda *_, **__: (1, "1 failed"))

    with pytest.raises(BadSuiteError, match="fail without a mutant:\n1 failed"):
        try_suite(Suite(SLOTS, ("test_failing.py",)))


def test_a_module_without_tests_cannot_be_judged() -> None:
    """Unless it compares nothing."""
    with pytest.raises(BadSuiteError, match="has no tests"):
        try_suite(Suite(SLOTS, ()))
    assert try_suite(Suite("hashing/__init__.py", ())) == []


def test_survivors_are_those_that_no_entry_excuses() -> None:
    """One of two is excused, the other is left; none is left that was noticed."""
    first, second = trials_of(Fate.SURVIVED)

    assert survivors([first, second], [entry_of(first)]) == [second]
    assert survivors(trials_of(Fate.NOTICED), []) == []


def test_an_entry_is_stale_when_its_mutant_is_gone_or_noticed() -> None:
    """Each way by itself; a live one is neither."""
    survived, seen = trials_of(Fate.SURVIVED)[0], trials_of(Fate.NOTICED)[0]
    entry = entry_of(survived)

    assert gone([entry]) == []
    assert noticed([survived], [entry]) == []
    assert noticed([seen], [entry]) == [entry]
    changed = entry._replace(before="start < 1")
    moved = entry._replace(path="hashing/no_such.py")
    assert gone([changed, moved, entry]) == [changed, moved]


def test_no_entry_of_the_list_is_stale_or_without_a_reason() -> None:
    """Every entry names a mutant that there is, once, and says why nobody can notice it."""
    entries = read_equivalents()

    assert gone(entries) == []
    assert len({entry[:4] for entry in entries}) == len(entries)
    assert [entry for entry in entries if len(entry.reason) < 20] == []


def test_a_module_s_tests_are_its_mirror_or_those_that_import_it() -> None:
    """Files that continue the mirror belong to it; a module without one borrows."""
    assert own_tests("resilience/policy/single.py") == ("tests/resilience/policy/test_single.py",)
    assert own_tests("hashing/registry.py") == ("tests/hashing/test_algorithm.py",)
    through = own_tests("resilience/pipeline_plan.py")
    assert {"tests/resilience/test_hedging.py", "tests/resilience/test_pipeline.py"} <= {*through}


def test_every_deciding_module_is_in_the_run() -> None:
    """Policies, algorithms and some adapters; the contract decides nothing."""
    every = suites()
    names = {suite.name for suite in every}

    assert len({suite.path for suite in every}) == len(every)
    shared = {name for name in names if sum(suite.name == name for suite in every) > 1}
    assert shared == {"fallback"}  # ``--policy`` takes a policy and its adapter of one name
    assert all(suite.tests for suite in every)
    assert {
        "bbr",
        "bulkhead",
        "budget",
        "retry",
        "sre_breaker",
        "window",
        "ketama",
        "sweep",
    } <= names
    assert not {"contract", "__init__"} & names
