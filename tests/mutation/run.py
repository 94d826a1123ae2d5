"""Run a module's tests against each of its mutants, and name those that nobody noticed."""

import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from tests.mutation import plugin
from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.suites import ROOT, Suite

# What tests of policies use. Others come with installed packages, and cost two thirds of a run.
PLUGINS = ("pytest_asyncio.plugin", "pytest_timeout", "_hypothesis_pytestplugin")
PATIENCE = 5.0  # a mutant may take that many times as long as the module itself
EXIT_ENDLESS = 124  # as timeout(1) says it
PATIENCE_FLOOR_S = 20.0  # pytest's start alone varies by seconds on a busy machine


class Fate(Enum):
    """What became of a mutant."""

    NOTICED = "noticed"  # a test failed
    ENDLESS = "endless"  # the tests did not end in time, which is noticed too, if less surely
    SURVIVED = "survived"


@dataclass(frozen=True, slots=True)
class Trial:
    """One mutant and its fate."""

    suite: Suite
    mutant: Mutant
    fate: Fate

    def __str__(self) -> str:
        mutant = self.mutant
        place = f"{self.suite.path}:{mutant.line}"
        return f"{place}  {mutant.where}: {mutant.before}  ->  {mutant.after}"


class BadSuiteError(Exception):
    """The tests cannot judge mutants: there are none, or they fail without any."""


def try_suite(suite: Suite, on_trial: Callable[[Trial], None] = lambda trial: None) -> list[Trial]:
    """Try every mutant of a module.

    Raises:
        BadSuiteError: There are no tests, or they fail as they are, or never import the module.
    """
    source = suite.source()
    mutants = mutants_of(source)
    if not mutants:
        return []
    if not suite.tests:
        raise BadSuiteError(f"{suite.path} has no tests")
    with tempfile.TemporaryDirectory(prefix="squall-mutants-") as folder:
        copy = Path(folder) / Path(suite.path).name
        copy.write_text(source, encoding="utf-8")
        limit_s = _check_sound(suite, copy)
        trials = []
        for trial in _trials(suite, mutants, copy, limit_s):
            on_trial(trial)
            trials.append(trial)
        return trials


def _check_sound(suite: Suite, copy: Path) -> float:
    """Run the tests on the module as it is; return how long a mutant may take, seconds."""
    start_s = time.monotonic()
    code, said = run_tests(suite, copy, index=-1, limit_s=None)
    if code == plugin.EXIT_NOT_IMPORTED:
        raise BadSuiteError(f"{', '.join(suite.tests)} never import {suite.module}")
    if code:
        raise BadSuiteError(f"the tests of {suite.path} fail without a mutant:\n{said}")
    return PATIENCE_FLOOR_S + PATIENCE * (time.monotonic() - start_s)


def _trials(suite: Suite, mutants: list[Mutant], copy: Path, limit_s: float) -> Iterator[Trial]:
    for mutant in mutants:
        code, _ = run_tests(suite, copy, mutant.index, limit_s)
        ends = {0: Fate.SURVIVED, EXIT_ENDLESS: Fate.ENDLESS}
        yield Trial(suite, mutant, ends.get(code, Fate.NOTICED))


def run_tests(suite: Suite, copy: Path, index: int, limit_s: float | None) -> tuple[int, str]:
    """Run once; return the exit code and the last words."""
    command = [sys.executable, "-m", "pytest", "-x", "-q", "--no-header", "--tb=line"]
    command += ["-c", "pyproject.toml", "--rootdir", "."]  # also for tests that lie elsewhere
    command += ["-p", "tests.mutation.plugin", "-p", "no:cacheprovider", "--hypothesis-seed=0"]
    command += [part for name in PLUGINS for part in ("-p", name)]
    environment = {
        **os.environ,
        plugin.MODULE: suite.module,
        plugin.INDEX: str(index),
        plugin.SOURCE: str(copy),
        "HYPOTHESIS_STORAGE_DIRECTORY": str(copy.parent / "hypothesis"),
        "PYTHONDONTWRITEBYTECODE": "1",
        "PYTEST_DISABLE_PLUGIN_AUTOLOAD": "1",
    }
    try:
        done = subprocess.run(
            [*command, *suite.tests],
            cwd=ROOT,
            env=environment,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return EXIT_ENDLESS, "it did not end"
    return done.returncode, done.stdout[-2000:] + done.stderr[-2000:]
