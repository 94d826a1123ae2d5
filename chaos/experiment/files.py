"""What an experiment keeps: its page, every run as CSV, the findings as JSON, and its file.

The record that ``show`` and ``--resume`` read is another file: ``chaos.experiment.record``.
"""

import csv
import json
from contextlib import suppress

from chaos.experiment.factors import word
from chaos.experiment.findings import as_json, find
from chaos.experiment.page import render
from chaos.experiment.results import ExperimentRun

PAGE_FILE = "experiment.html"
CSV_FILE = "cells.csv"
JSON_FILE = "experiment.json"


def write_files(run: ExperimentRun, text: str) -> None:
    """Write them into the run's folder; a disk that is full loses them, and not the answer."""
    findings = find(run)
    with suppress(OSError):
        (run.folder / "experiment.yaml").write_text(text, encoding="utf-8")
        (run.folder / JSON_FILE).write_text(json.dumps(as_json(run, findings), indent=1))
        _write_csv(run)
        (run.folder / PAGE_FILE).write_text(render(run, findings), encoding="utf-8")


def _write_csv(run: ExperimentRun) -> None:
    titles = [measure.title for measure in run.experiment.measures]
    with (run.folder / CSV_FILE).open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow([*run.experiment.vary, "repeat", "seed", *titles, "sound", "doubts"])
        for one in run.counted:
            values = [seen.value for seen in one.observed] or [None] * len(titles)
            writer.writerow(
                [
                    *map(word, run.cells[one.index].values()), one.repeat, one.seed, *values,
                    int(one.is_sound), "; ".join(one.doubts),
                ]
            )  # fmt: skip
