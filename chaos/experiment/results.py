"""What an experiment has shown so far: its runs, and which are still to be made. Pure.

The last run of a cell and repeat counts. One in doubt is made once more, at the end of its repeat;
what is to be made next follows from what there is, so that a command which was interrupted and one
that never was make the same runs in the same order.
"""

import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from chaos.drill.observation import Observation
from chaos.experiment.factors import cells
from chaos.experiment.schema import Cell, Experiment

MAX_TRIES = 2  # drills.md R6: in doubt once, made again; in doubt twice, said


@dataclass(frozen=True, slots=True)
class CellRun:
    """One run of one cell.

    Args:
        index: Which cell.
        repeat: Which repeat, from 1.
        seed: Of its arrivals.
        observed: By measure, in the experiment's order.
        doubts: Why it can't be judged; none when it can.
    """

    index: int
    repeat: int
    seed: int
    observed: tuple[Observation, ...]
    doubts: tuple[str, ...] = ()

    @property
    def is_sound(self) -> bool:
        """Whether it counts."""
        return not self.doubts


class Due(NamedTuple):
    """A run that is to be made.

    Args:
        cell: Of which cell, by its place.
        repeat: In which repeat, from 1.
    """

    cell: int
    repeat: int


@dataclass(slots=True)
class ExperimentRun:
    """An experiment, run.

    Args:
        experiment: What was run.
        mode: ``processes`` or ``containers``.
        folder: Where its files lie.
        overrides: ``--set`` as given.
        is_quick: Whether ``--quick`` made it short.
        runs: In the order in which they ended.
    """

    experiment: Experiment
    mode: str
    folder: Path
    overrides: Sequence[str] = ()
    is_quick: bool = False
    runs: list[CellRun] = field(default_factory=list)

    @property
    def cells(self) -> Sequence[Cell]:
        """Every combination."""
        return cells(self.experiment)

    @property
    def counted(self) -> Sequence[CellRun]:
        """The last run of each cell and repeat."""
        return list({(run.index, run.repeat): run for run in self.runs}.values())

    def of(self, index: int) -> Sequence[CellRun]:
        """Return the sound runs of a cell."""
        return [run for run in self.counted if run.index == index and run.is_sound]

    @property
    def unsound_share(self) -> float:
        """How many runs could not be judged, as a share of all."""
        counted = self.counted
        return sum(not run.is_sound for run in counted) / max(1, len(counted))

    @property
    def is_interrupted(self) -> bool:
        """Whether it ended before all had run."""
        return next_due(self) is not None


def order(experiment: Experiment, repeat: int) -> list[int]:
    """Return the cells in the order of one repeat; another one each time."""
    indices = list(range(len(cells(experiment))))
    random.Random(f"{experiment.seed}/{repeat}").shuffle(indices)
    return indices


def next_due(run: ExperimentRun) -> Due | None:
    """Return which run comes next; None when all have been made."""
    return next(_due(run), None)


def _due(run: ExperimentRun) -> Iterator[Due]:
    """Yield what is missing: in each repeat first what never ran, then what is in doubt."""
    tries: dict[tuple[int, int], int] = {}
    for one in run.runs:
        tries[one.index, one.repeat] = tries.get((one.index, one.repeat), 0) + 1
    in_doubt = {(one.index, one.repeat) for one in run.counted if not one.is_sound}
    for repeat in range(1, run.experiment.repeat + 1):
        due = [Due(index, repeat) for index in order(run.experiment, repeat)]
        yield from (one for one in due if one not in tries)
        yield from (one for one in due if one in in_doubt and tries[one] < MAX_TRIES)
