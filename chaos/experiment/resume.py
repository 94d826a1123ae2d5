"""Go on with an experiment that was interrupted, if it is still the same experiment.

Half a table from one file and half from another would look like a whole one. So what the file says
now, with the record's own overrides, is held against what the run began with, value by value; a
comment or another line break is no change.
"""

from pathlib import Path

from chaos.experiment.find import find_result
from chaos.experiment.loading import ROOT, find_experiment, load_experiment
from chaos.experiment.record import changes, read_record
from chaos.experiment.results import ExperimentRun
from chaos.experiment.run import quicker
from kit.errors import ConfigError


def find_interrupted(name: str, root: Path = ROOT) -> ExperimentRun:
    """Return an experiment's newest run, which must have been interrupted.

    Args:
        name: The experiment's name, or its file.
        root: Where ``runs`` lies.

    Raises:
        ConfigError: There is none, it has nothing left to run, or the file has changed since.
    """
    path = find_experiment(name)
    run = read_record(find_result(load_experiment(path).experiment, root))
    if not run.is_interrupted:
        raise ConfigError(
            f"{run.folder} is complete, nothing is left to run: run it anew without --resume, or "
            f"print it with squall experiment show {run.experiment.experiment}"
        )
    now = load_experiment(path, run.overrides)
    found = changes(run.experiment, quicker(now) if run.is_quick else now)
    if found:
        raise ConfigError(
            f"{path} has changed since {run.folder.name} began: {'; '.join(found)}. Put it back, "
            "or run it anew without --resume"
        )
    return run
