"""``python -m tests.mutation [--policy NAME ...]``: the mutation run.

Exit code 0 when every mutant is noticed or excused, 1 when one survived or an excuse is stale, 2
when a module's tests cannot judge or the command line names none.
"""

import argparse
import os
import sys
from collections.abc import Iterable

from tests.mutation.equivalents import Equivalent, gone, noticed, read_equivalents, survivors
from tests.mutation.run import BadSuiteError, Fate, Trial, try_suite
from tests.mutation.suites import Suite, suites

NICE = 10  # a long run that nobody waits for disturbs nobody


def main() -> int:
    """Run, tell as it goes on stderr, and print the table and the survivors."""
    known = suites()
    parser = argparse.ArgumentParser(prog="python -m tests.mutation", description=__doc__)
    names = sorted({suite.name for suite in known})
    parser.add_argument(
        "--policy",
        action="append",
        choices=names,
        help="only the modules of this name; may be repeated",
    )
    asked = parser.parse_args().policy or names
    os.nice(NICE)
    excuses = read_equivalents()
    trials: list[Trial] = []
    unfit = []
    for suite in (suite for suite in known if suite.name in asked):
        try:
            found = try_suite(suite, _tell)
        except BadSuiteError as error:
            unfit.append(str(error))
            continue
        trials += found
        print(_line(suite, found, excuses), flush=True)
    left = survivors(trials, excuses)
    stale = [*gone(excuses), *noticed(trials, excuses)]
    _print_list("survived", left)
    _print_list("stale in equivalents.toml", stale)
    _print_list("cannot be judged", unfit)
    return 2 if unfit else 1 if left or stale else 0


def _tell(trial: Trial) -> None:
    if trial.fate is Fate.SURVIVED:
        print(f"survived: {trial}", file=sys.stderr, flush=True)


def _line(suite: Suite, trials: list[Trial], excuses: list[Equivalent]) -> str:
    count = {fate: sum(trial.fate is fate for trial in trials) for fate in Fate}
    left = len(survivors(trials, excuses))
    return (
        f"{suite.path:38} {len(trials):3} mutants, {count[Fate.NOTICED]:3} noticed, "
        f"{count[Fate.ENDLESS]} endless, {count[Fate.SURVIVED] - left} equivalent, {left} survived"
    )


def _print_list(title: str, entries: Iterable[object]) -> None:
    for entry in entries:
        print(f"{title}: {entry}")


if __name__ == "__main__":
    sys.exit(main())
