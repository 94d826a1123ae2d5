"""Which runs are still to be made, from those that there are."""

import random
from dataclasses import replace
from pathlib import Path

import pytest

from chaos.experiment import results
from chaos.experiment.results import CellRun, Due, ExperimentRun, next_due, order
from tests.chaos.experiment.build import experiment

pytestmark = pytest.mark.unit

LATE = "the generator sent 90 ms late"


def make_all(run: ExperimentRun, doubtful: frozenset[Due] = frozenset()) -> list[Due]:
    """Make every run that is due, the doubtful ones always in doubt."""
    made = []
    while (due := next_due(run)) is not None:
        made.append(due)
        doubts = (LATE,) if due in doubtful else ()
        run.runs.append(CellRun(due.cell, due.repeat, 17, (), doubts))
    return made


def test_each_repeat_has_all_cells_in_its_own_order() -> None:
    """Nothing twice, nothing left out, and the second repeat after the first."""
    of = experiment()
    made = make_all(ExperimentRun(of, "processes", Path("x")))
    assert made == [Due(cell, repeat) for repeat in (1, 2) for cell in order(of, repeat)]


def test_what_is_in_doubt_is_made_once_more_at_the_end_of_its_repeat() -> None:
    """In doubt again, it is left as it is: a machine that is too slow ends too."""
    assert results.MAX_TRIES == 2
    of = experiment()
    doubtful = Due(order(of, 1)[1], 1)
    made = make_all(ExperimentRun(of, "processes", Path("x")), frozenset({doubtful}))
    assert made[4] == doubtful
    assert made.count(doubtful) == 2
    assert len(made) == 9


@pytest.mark.parametrize("seed", range(5))
def test_an_interrupted_run_goes_on_as_one_that_never_was(seed: int) -> None:
    """Cut after any run: what follows is the same, doubts included."""
    of = experiment()
    doubtful = frozenset({Due(random.Random(seed).randrange(4), 1), Due(2, 2)})
    whole = ExperimentRun(of, "processes", Path("x"))
    made = make_all(whole, doubtful)
    for kept in range(len(made) + 1):
        cut = replace(whole, runs=whole.runs[:kept])
        assert cut.is_interrupted is (kept < len(made))
        assert make_all(cut, doubtful) == made[kept:]
