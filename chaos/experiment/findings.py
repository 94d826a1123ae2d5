"""Findings: the table of an experiment and its answer in words. Pure.

Each factor's first value is what its others are held against, all else being equal; what differs
beyond noise is marked. The answer is about the first measure and the first factor: for every
combination of the others, which of its values are the best within noise.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from chaos.drill.observation import Observation
from chaos.experiment.factors import word
from chaos.experiment.noise import CellFigure, differ, pool
from chaos.experiment.results import ExperimentRun
from chaos.experiment.schema import Cell, Measure

MARK = "*"
UNJUDGED = "?"


@dataclass(frozen=True, slots=True)
class Finding:
    """One measure of one cell.

    Args:
        figure: Over its sound runs.
        differs_from: The factors whose first value it differs from, all else being equal.
    """

    figure: CellFigure
    differs_from: Sequence[str]

    @property
    def text(self) -> str:
        """As the table has it: mean, three deviations, a mark for what differs."""
        mean, half = self.figure.mean, self.figure.half_width
        if mean is None:
            return UNJUDGED
        spread = "" if half is None else f" ±{_short(half)}"
        return f"{_short(mean)}{spread}{' ' + MARK if self.differs_from else ''}"


@dataclass(frozen=True, slots=True)
class Findings:
    """All of it.

    Args:
        cells: As the experiment has them.
        measures: The same.
        table: By cell, then by measure.
    """

    cells: Sequence[Cell]
    measures: Sequence[Measure]
    table: Sequence[Sequence[Finding]]

    @property
    def head(self) -> list[str]:
        """The table's first line."""
        return [*self.cells[0], *(measure.title for measure in self.measures), "runs"]

    def rows(self) -> list[list[str]]:
        """Return the table for people, one row a cell."""
        return [
            [
                *(word(level) for level in cell.values()),
                *(finding.text for finding in findings),
                str(len(findings[0].figure.values)),
            ]
            for cell, findings in zip(self.cells, self.table, strict=True)
        ]

    def answer(self) -> list[str]:
        """Say it in words: one sentence for each combination of the other factors."""
        factor, *others = self.cells[0]
        groups: dict[tuple[str, ...], list[int]] = {}
        for index, cell in enumerate(self.cells):
            groups.setdefault(tuple(word(cell[name]) for name in others), []).append(index)
        return [
            self._sentence(factor, dict(zip(others, key, strict=True)), members)
            for key, members in groups.items()
        ]

    def _sentence(self, factor: str, others: Mapping[str, str], members: Sequence[int]) -> str:
        where = ", ".join(f"{name} {level}" for name, level in others.items())
        measure = self.measures[0]
        judged = {i: self.table[i][0].figure for i in members if self.table[i][0].figure.values}
        if not judged:
            return f"{where or 'in all'}: nothing could be judged"
        sign = -1 if measure.is_less_better else 1
        best = max(judged, key=lambda index: sign * (judged[index].mean or 0.0))
        alike = [i for i in judged if not differ(judged[i], judged[best])]
        said = ", ".join(
            f"{word(self.cells[index][factor])} {self.table[index][0].text}" for index in members
        )
        names = ", ".join(word(self.cells[index][factor]) for index in alike)
        return f"{where}{': ' * bool(where)}{measure.title} {said}; best within noise: {names}"


def find(run: ExperimentRun) -> Findings:
    """Return what an experiment found."""
    measures, all_cells = run.experiment.measures, run.cells
    columns = [
        pool([_seen(run, index, column) for index in range(len(all_cells))])
        for column in range(len(measures))
    ]
    table = [
        [Finding(column[index], _differences(run, column, index)) for column in columns]
        for index in range(len(all_cells))
    ]
    return Findings(all_cells, measures, table)


def as_json(run: ExperimentRun, findings: Findings) -> dict[str, Any]:
    """Return the object that ``squall experiment run --json`` prints (without its schema)."""
    return {
        "experiment": run.experiment.experiment,
        "question": run.experiment.question,
        "mode": run.mode,
        "seed": run.experiment.seed,
        "repeat": run.experiment.repeat,
        "interrupted": run.is_interrupted,
        "unsound_share": round(run.unsound_share, 3),
        "answer": findings.answer(),
        "cells": [
            {
                "cell": dict(cell),
                "measures": {
                    measure.title: _figure_json(finding)
                    for measure, finding in zip(findings.measures, row, strict=True)
                },
                "doubts": sorted({d for r in run.counted if r.index == index for d in r.doubts}),
            }
            for index, (cell, row) in enumerate(zip(findings.cells, findings.table, strict=True))
        ],
        "folder": str(run.folder),
    }


def _figure_json(finding: Finding) -> dict[str, Any]:
    figure = finding.figure
    return {
        "mean": None if figure.mean is None else round(figure.mean, 6),
        "sd": None if figure.sd is None else round(figure.sd, 6),
        "values": [round(value, 6) for value in figure.values],
        "differs_from_first_of": list(finding.differs_from),
    }


def _seen(run: ExperimentRun, index: int, column: int) -> Sequence[Observation]:
    return [one.observed[column] for one in run.of(index)]


def _differences(run: ExperimentRun, column: Sequence[CellFigure], index: int) -> list[str]:
    """Name the factors whose first value gives another figure, all else being equal."""
    cell = run.cells[index]
    found = []
    for name, levels in run.experiment.vary.items():
        twin = run.cells.index({**cell, name: levels[0]})
        if twin != index and differ(column[index], column[twin]):
            found.append(name)
    return found


def _short(value: float) -> str:
    return f"{value:.0f}" if abs(value) >= 100 else f"{value:.3g}"
