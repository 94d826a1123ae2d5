"""The page: whole, self-contained, and readable without eyes, scripts or a network."""

import json
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from chaos.report.write import write_report
from tests.chaos.report.build import verdict, write_run

pytestmark = pytest.mark.unit

MAX_BYTES = 400_000
VOID = {"meta"}


class Outline(HTMLParser):
    """Collects ids, headings and what is open."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.ids: list[str] = []
        self.tags: list[str] = []
        self.references: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(str(value))
            if name == "aria-labelledby":
                self.references += str(value).split()
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def page(folder: Path) -> str:
    """Write and read a report."""
    return write_report(folder).read_text(encoding="utf-8")


def test_a_whole_run_has_every_section(tmp_path: Path) -> None:
    """The issue's list, in order."""
    html = page(write_run(tmp_path / "tiny" / "20260101T000000Z"))

    assert re.findall(r"<h2>(.*?)</h2>", html) == [
        "Hypotheses",
        "Second by second",
        "Latency by percentile",
        "Policies of each arm",
        "One request, hop by hop",
        "Machine and versions",
        "Replay",
    ]
    assert html.count('class="band"') == 4  # arrivals and latency of both arms
    assert '<section id="request"><h2>One request' in html  # a drill's last line leads there
    assert "./squall drill run tiny --seed 17" in html
    assert "≥ 0.85 (must show ≤ 0.3)" in html


def test_it_is_well_formed_and_its_labels_exist(tmp_path: Path) -> None:
    """Every element is closed, every id is there once, every reference has one."""
    outline = Outline()
    outline.feed(page(write_run(tmp_path / "run")))

    assert outline.open == []
    assert len(outline.ids) == len(set(outline.ids))
    assert set(outline.references) <= set(outline.ids)


def test_it_needs_no_network_and_no_script(tmp_path: Path) -> None:
    """Nothing is loaded from anywhere, and it is small."""
    path = write_report(write_run(tmp_path / "run"))
    html = path.read_text(encoding="utf-8")

    assert not re.search(r"https?://|<script|<link|<img|src=|url\(", html)
    assert path.stat().st_size < MAX_BYTES


def test_every_chart_has_a_table_as_its_twin(tmp_path: Path) -> None:
    """Each figure is followed, in itself, by the same as a table."""
    html = page(write_run(tmp_path / "run"))

    figures = re.findall(r"<figure>.*?</figure>", html, re.DOTALL)
    assert len(figures) == 6
    assert all("<table>" in figure for figure in figures)


def test_texts_of_a_drill_are_escaped(tmp_path: Path) -> None:
    """A lesson with markup stays text."""
    html = page(write_run(tmp_path / "run", lesson="<b>never</b>"))

    assert "&lt;b&gt;never&lt;/b&gt;" in html
    assert "<b>never" not in html


def test_a_run_that_ended_before_its_first_arm_still_has_a_page(tmp_path: Path) -> None:
    """Only a verdict with its reason."""
    reasons = [{"check": "interrupted", "message": "interrupted; everything is restored"}]
    data = verdict(verdict="inconclusive", reasons=reasons, hypotheses=[], evidence=[])
    data["control"] = None
    (tmp_path / "verdict.json").write_text(json.dumps(data))

    html = page(tmp_path)

    assert "proves nothing" in html
    assert "interrupted; everything is restored." in html
    assert "<svg" not in html


def test_arms_without_a_verdict_have_a_page(tmp_path: Path) -> None:
    """The engine was killed."""
    folder = write_run(tmp_path / "run")
    (folder / "verdict.json").unlink()

    assert "left no verdict" in page(folder)


def test_the_machine_is_recorded_once(tmp_path: Path) -> None:
    """Writing the report anew elsewhere keeps the machine of the run."""
    folder = write_run(tmp_path / "run")
    write_report(folder, at_end_of_run=True)
    machine = json.loads((folder / "machine.json").read_text())
    assert machine["cores"] >= 1
    assert machine["packages"]["grpcio"]

    (folder / "machine.json").write_text(json.dumps({**machine, "cpu": "Analytical Engine"}))
    write_report(folder, at_end_of_run=True)

    assert "Analytical Engine" in (folder / "report.html").read_text()


def test_policies_that_are_off_in_both_arms_are_left_out(tmp_path: Path) -> None:
    """The limiter is on for video in the main arm alone; deadline in both."""
    html = page(write_run(tmp_path / "run"))
    policies = html[html.index("Policies of each arm") : html.index("One request")]

    rows = re.findall(
        r"<tr><th scope=\"row\">(\w+)</th><td>(.*?)</td><td>(.*?)</td><td>(.*?)<", policies
    )
    assert rows == [("deadline", "everywhere", "on", "on"), ("limiter", "video", "on", "off")]


GONE = {
    "id": "tiny-1", "kind": "pause", "target": "video.2", "words": "pause on video.2",
    "from_s": 3.0, "to_s": 7.0,
    "proof": {"hits": 1, "seconds": 4.0, "instances": ["video.2"], "detail": "state T"},
}  # fmt: skip


@pytest.mark.parametrize(("began_s", "is_said"), [(5.0, True), (9.0, False)])
def test_who_was_gone_when_the_request_ran_is_named(
    tmp_path: Path, began_s: float, is_said: bool
) -> None:
    """Its hops are missing, and the page says why; only while the fault acted."""
    data = verdict()
    control = {**data["control"], "faults": [GONE]}
    folder = write_run(tmp_path / "run", control=control)
    load = json.loads((folder / "control/load.json").read_text())
    (folder / "control/load.json").write_text(json.dumps({**load, "t0_unix_s": 1000.0 - began_s}))

    html = write_report(folder).read_text()

    said = "video.2 could not be asked what became of it: pause on video.2."
    assert (said in html) is is_said
    assert "hits 1, seconds 4, instances video.2, detail state T" in html
    assert "3 to 7 s" in html


def test_commands_and_ablations_have_tables(tmp_path: Path) -> None:
    """Each run of a command with its exit code; each short arm in one row."""
    one = {"name": "goodput", "observed": 0.05, "held": False}
    folder = write_run(
        tmp_path / "run",
        commands=[
            {"arm": "main", "command": "status", "seconds": 0.512, "exit_code": 3},
            {"arm": "main", "command": "down", "seconds": 1, "exit_code": 0, "cpu_wait_s": 0.333},
        ],
        ablation=[{"off": "without limiter", "hypotheses": [one]}],
    )

    html = write_report(folder).read_text()

    assert "squall status" in html
    assert ">0.33</td>" in html  # of its second it had no CPU so long
    assert "0.05 not held" in html
    assert len(html) < 400_000
