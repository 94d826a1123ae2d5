"""Run one drill many times, each with the next seed."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

from chaos.drill.engine import Options
from chaos.drill.report import as_json
from chaos.drill.suite import Item, line, run_suite
from chaos.lab import Lab


def soak(
    lab: Lab,
    item: Item,
    options: Options,
    runs: int,
    tell: Callable[[str], None],
    run: Callable[..., Any] = run_suite,
) -> tuple[list[dict[str, Any]], int]:
    """Run a drill with the seeds from ``options.seed`` on.

    Args:
        lab: A lab that answers.
        item: The drill.
        options: How, and the first seed.
        runs: How often.
        tell: Told how each run ended.
        run: Runs a list of drills.

    Returns:
        What verdict.json says of each run, and how many couldn't be run.
    """
    verdicts: list[dict[str, Any]] = []
    not_run = 0
    for number in range(runs):
        seed = options.seed + number
        place = f"run {number + 1} of {runs}, seed {seed}"
        for entry in run(lab, [item], replace(options, seed=seed), places=[place]):
            tell(f"seed {seed}: {line(entry)}")
            if entry.run is None:
                not_run += 1
            else:
                verdicts.append(as_json(entry.run))
    return verdicts, not_run
