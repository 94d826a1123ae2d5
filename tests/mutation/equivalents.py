"""Equivalents: mutants that no test can notice, each with the reason why.

An entry names the module, where in it, and the expression before and after; not a line, which
moves. It is stale when the module has no such mutant any more, or when a test does notice it.
"""

import tomllib
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

from tests.mutation.mutants import Mutant, mutants_of
from tests.mutation.run import Fate, Trial
from tests.mutation.suites import ROOT

DATA = Path(__file__).with_name("equivalents.toml")


class Equivalent(NamedTuple):
    """A mutant that behaves as the original does."""

    path: str
    where: str
    before: str
    after: str
    reason: str

    def is_of(self, path: str, mutant: Mutant) -> bool:
        """Whether it is this mutant."""
        return (path, mutant.where, mutant.before, mutant.after) == self[:4]


def read_equivalents(data: Path = DATA) -> list[Equivalent]:
    """Read the list.

    Raises:
        TypeError: An entry lacks a key or has one too many.
    """
    with data.open("rb") as file:
        return [Equivalent(**entry) for entry in tomllib.load(file).get("equivalent", [])]


def survivors(trials: Iterable[Trial], known: Iterable[Equivalent]) -> list[Trial]:
    """Return the mutants that nobody noticed and that the list does not excuse."""
    listed = list(known)
    return [
        trial
        for trial in trials
        if trial.fate is Fate.SURVIVED
        and not any(entry.is_of(trial.suite.path, trial.mutant) for entry in listed)
    ]


def gone(known: Iterable[Equivalent]) -> list[Equivalent]:
    """Return the entries whose module has no such mutant any more."""
    return [
        entry
        for entry in known
        if not (ROOT / entry.path).exists()
        or not any(
            entry.is_of(entry.path, mutant)
            for mutant in mutants_of((ROOT / entry.path).read_text(encoding="utf-8"))
        )
    ]


def noticed(trials: Iterable[Trial], known: Iterable[Equivalent]) -> list[Equivalent]:
    """Return the entries whose mutant a test has noticed: they are not equivalent."""
    seen = [trial for trial in trials if trial.fate is not Fate.SURVIVED]
    return [
        entry
        for entry in known
        if any(entry.is_of(trial.suite.path, trial.mutant) for trial in seen)
    ]
