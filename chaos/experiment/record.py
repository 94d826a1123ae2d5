"""The record of a run: what it began with and every figure so far, kept whole after each cell.

Why: an experiment takes many minutes, and a laptop that is closed must not cost them. The record
is enough to print a result again and to go on with it: nothing else in the folder is read.
It is written to another name and moved into place, so that a reader and a command that was killed
never meet half of it. It names its version, and another version is refused rather than guessed at.
Not handled: a change of the lab's own code between the two halves of a run.
"""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import msgspec

from chaos.experiment.factors import cells
from chaos.experiment.results import CellRun, ExperimentRun
from chaos.experiment.schema import Experiment
from kit.errors import ConfigError
from kit.source_types import Part

RECORD_FILE = "record.json"
SCHEMA = "squall.experiment-record/1"
ABSENT = "absent"


class Record(Part, frozen=True):
    """What is kept.

    Args:
        schema: Name and version of this form.
        mode: ``processes`` or ``containers``.
        overrides: ``--set`` as given.
        is_quick: Whether ``--quick`` made it short.
        experiment: As it was run, overrides and all.
        runs: In the order in which they ended.
    """

    schema: str
    mode: str
    overrides: tuple[str, ...]
    is_quick: bool
    experiment: Experiment
    runs: tuple[CellRun, ...]


def write_record(run: ExperimentRun) -> None:
    """Put a run's record into its folder, whole or not at all.

    Raises:
        OSError: The disk is full, or the folder is gone.
    """
    record = Record(
        schema=SCHEMA,
        mode=run.mode,
        overrides=tuple(run.overrides),
        is_quick=run.is_quick,
        experiment=run.experiment,
        runs=tuple(run.runs),
    )
    path = run.folder / RECORD_FILE
    partial = path.with_name(f".{RECORD_FILE}.{os.getpid()}")
    partial.write_bytes(msgspec.json.format(msgspec.json.encode(record), indent=1) + b"\n")
    os.replace(partial, path)


def read_record(folder: Path) -> ExperimentRun:
    """Return a run as its record has it.

    Raises:
        ConfigError: There is no record, it can't be read, or another version wrote it.
    """
    path = folder / RECORD_FILE
    try:
        text = path.read_bytes()
    except OSError as error:
        raise ConfigError(f"can't read {path}: {error.strerror}") from error
    _check_version(path, text)
    try:
        record = msgspec.json.decode(text, type=Record)
    except (msgspec.ValidationError, UnicodeDecodeError) as error:
        raise _damaged(path, str(error)) from error
    for message in _mistakes(record):
        raise _damaged(path, message)
    return ExperimentRun(
        record.experiment, record.mode, folder, record.overrides, record.is_quick,
        list(record.runs),
    )  # fmt: skip


def changes(before: Experiment, now: Experiment) -> list[str]:
    """Say what differs between two experiments, a sentence for each value."""
    return list(_changes("", msgspec.to_builtins(before), msgspec.to_builtins(now)))


def _check_version(path: Path, text: bytes) -> None:
    try:
        found = json.loads(text)
    except ValueError as error:
        raise _damaged(path, f"it is no JSON: {error}") from error
    schema = found.get("schema") if isinstance(found, dict) else None
    if schema != SCHEMA:
        raise ConfigError(
            f"{path} is {schema or 'of no schema'}; this version reads {SCHEMA}: run the "
            "experiment anew, or read the record with the version that wrote it"
        )


def _mistakes(record: Record) -> Iterator[str]:
    """Yield what only makes sense together: a cell or a figure that the experiment hasn't."""
    if not record.experiment.vary or not record.experiment.measure:
        yield "nothing is varied or measured"
        return
    count, measures = len(cells(record.experiment)), len(record.experiment.measure)
    for number, run in enumerate(record.runs, start=1):
        if not (0 <= run.index < count and 1 <= run.repeat <= record.experiment.repeat):
            yield f"run {number} is of cell {run.index}, repeat {run.repeat}, which there is not"
        if len(run.observed) != measures and (run.observed or run.is_sound):
            yield f"run {number} has {len(run.observed)} figures; the experiment has {measures}"


def _damaged(path: Path, why: str) -> ConfigError:
    return ConfigError(f"{path} is damaged ({why}): remove its folder and run the experiment anew")


def _changes(path: str, before: Any, now: Any) -> Iterator[str]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in dict.fromkeys((*before, *now)):
            inner = f"{path}.{key}" if path else str(key)
            yield from _changes(inner, before.get(key, ABSENT), now.get(key, ABSENT))
    elif before != now:
        yield f"{path} was {_shown(before)} and is {_shown(now)}"


def _shown(value: Any) -> str:
    return ABSENT if value == ABSENT else json.dumps(value)
