"""Experiments as values, and runs of them without a lab."""

from pathlib import Path
from typing import Any

import yaml

from chaos.drill.observation import Observation
from chaos.experiment.loading import check_experiment
from chaos.experiment.results import CellRun, ExperimentRun
from chaos.experiment.schema import Experiment
from kit.source import parse_source

SMALL: dict[str, Any] = {
    "experiment": "small",
    "question": "which one?",
    "vary": {"video.limiter": ["off", "bbr"], "load.rate": [10, 40]},
    "measure": ["goodput_of_capacity", "p99_ms"],
    "repeat": 2,
    "fix": {"capacity": {"of": "video", "rps": 20}},
}


def experiment(**more: object) -> Experiment:
    """Check an experiment as if it came from a file."""
    return check_experiment(
        parse_source(yaml.safe_dump({**SMALL, **more}, sort_keys=False), "small.yaml")
    )


def ran(of: Experiment, figures: dict[tuple[int, int], tuple[float, ...]]) -> ExperimentRun:
    """Return a run in which these cells and repeats showed these figures, one a measure."""
    runs = [
        CellRun(index, repeat, of.seed + repeat - 1, tuple(Observation(v, 0.01, 9) for v in values))
        for (index, repeat), values in figures.items()
    ]
    return ExperimentRun(of, "processes", Path("runs/experiments/small/1"), runs=runs)
