"""The table, the answer in words, the page and the files, from runs without a lab."""

import csv
import json
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos.experiment.files import CSV_FILE, JSON_FILE, PAGE_FILE, write_files
from chaos.experiment.findings import as_json, find
from chaos.experiment.page import render
from chaos.experiment.results import CellRun, ExperimentRun, order
from tests.chaos.experiment.build import experiment, ran

pytestmark = pytest.mark.unit

GOOD: dict[tuple[int, int], tuple[float, ...]] = {
    (0, 1): (0.50, 200.0), (0, 2): (0.51, 210.0),  # off at 10/s
    (1, 1): (0.10, 990.0), (1, 2): (0.11, 980.0),  # off at 40/s
    (2, 1): (0.50, 201.0), (2, 2): (0.51, 208.0),  # bbr at 10/s
    (3, 1): (0.98, 400.0), (3, 2): (0.97, 410.0),  # bbr at 40/s
}  # fmt: skip


def test_what_differs_from_the_first_value_is_marked() -> None:
    """bbr and off are alike at 10/s, and not at 40/s; both rates differ for either."""
    findings = find(ran(experiment(), GOOD))
    marks = [[list(each.differs_from) for each in row] for row in findings.table]
    assert marks == [
        [[], []],
        [["load.rate"], ["load.rate"]],
        [[], []],
        [["video.limiter", "load.rate"], ["video.limiter", "load.rate"]],
    ]
    assert findings.head == ["video.limiter", "load.rate", "goodput_of_capacity", "p99_ms", "runs"]
    rows = findings.rows()
    assert rows[0][:2] == ["off", "10"]
    assert rows[3][2].startswith("0.975 ±")
    assert rows[3][2].endswith("*")
    assert rows[3][4] == "2"


def test_the_answer_names_the_best_within_noise() -> None:
    """One sentence a rate; where nothing differs, both are named."""
    low, high = find(ran(experiment(), GOOD)).answer()
    assert low.startswith("load.rate 10: goodput_of_capacity off 0.505")
    assert low.endswith("best within noise: off, bbr")
    assert high.endswith("best within noise: bbr")


def test_less_is_better_where_the_measure_says_so() -> None:
    """Milliseconds by their name; anything else when told."""
    of = experiment(measure=["p99_ms"])
    figures = {key: values[1:] for key, values in GOOD.items()}
    assert find(ran(of, figures)).answer()[1].endswith("best within noise: bbr")
    told = experiment(measure=[{"metric": "in_time_share", "better": "lower"}])
    figures = {key: values[:1] for key, values in GOOD.items()}
    assert find(ran(told, figures)).answer()[1].endswith("best within noise: off")


def test_a_run_in_doubt_is_shown_and_not_counted() -> None:
    """The last run of a cell and repeat counts; without any the cell has a question mark."""
    run = ran(experiment(), GOOD)
    run.runs[2:4] = [
        replace(one, doubts=("the generator sent 90 ms late",)) for one in run.runs[2:4]
    ]
    findings = find(run)
    assert findings.rows()[1][2:] == ["?", "?", "0"]
    assert run.unsound_share == 0.25
    assert as_json(run, findings)["cells"][1]["doubts"] == ["the generator sent 90 ms late"]
    run.runs.append(CellRun(1, 1, 17, ran(experiment(), GOOD).runs[2].observed))
    assert find(run).rows()[1][4] == "1"


def test_an_experiment_that_ended_early_says_what_it_has() -> None:
    """Nothing ran: no figure, and no crash."""
    of = experiment()
    findings = find(ExperimentRun(of, "processes", Path("x")))
    assert {cell for row in findings.rows() for cell in row[2:4]} == {"?"}
    assert findings.answer()[0] == "load.rate 10: nothing could be judged"


class Tags(HTMLParser):
    """Every opening tag and the ids."""

    def __init__(self) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.ids: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.ids += [value or "" for name, value in attrs if name == "id"]


def test_the_page_has_a_chart_a_measure_and_needs_nothing_else() -> None:
    """Two measures of two factors: two charts; three factors: one for each value between."""
    run = ran(experiment(), GOOD)
    page = render(run, find(run))
    tags = Tags()
    tags.feed(page)
    assert tags.tags.count("figure") == 2
    assert len(set(tags.ids)) == len(tags.ids)
    assert "http" not in page.replace("http-equiv", "")
    assert len(page) < 200_000
    wide = experiment(
        vary={"video.limiter": ["off"], "gateway.cap": [8, 16], "load.rate": [10, 20]}
    )
    empty = ExperimentRun(wide, "processes", Path("x"))
    tags = Tags()
    tags.feed(render(empty, find(empty)))
    assert tags.tags.count("figure") == 4


def test_files_hold_every_run_and_the_findings(tmp_path: Path) -> None:
    """A line a run, with its factors; the JSON is what the command prints."""
    run = replace_folder(ran(experiment(), GOOD), tmp_path)
    findings = find(run)
    write_files(run, "the text")
    with (tmp_path / CSV_FILE).open() as file:
        rows = list(csv.DictReader(file))
    assert len(rows) == 8
    assert rows[7]["video.limiter"] == "bbr"
    assert (rows[7]["load.rate"], rows[7]["repeat"], rows[7]["sound"]) == ("40", "2", "1")
    assert float(rows[7]["goodput_of_capacity"]) == 0.97
    assert json.loads((tmp_path / JSON_FILE).read_text()) == as_json(run, findings)
    assert (tmp_path / PAGE_FILE).read_text().startswith("<!doctype html>")
    assert (tmp_path / "experiment.yaml").read_text() == "the text"


def replace_folder(run: ExperimentRun, folder: Path) -> ExperimentRun:
    """Put a run's files elsewhere."""
    run.folder = folder
    return run


def test_each_repeat_has_an_order_of_its_own() -> None:
    """All cells once; another order each time, the same for the same seed."""
    of = experiment(vary={"load.rate": list(range(1, 9))})
    orders = [order(of, repeat) for repeat in (1, 2, 3)]
    assert [sorted(each) for each in orders] == [list(range(8))] * 3
    assert len({tuple(each) for each in orders}) == 3
    assert order(of, 1) == orders[0]
