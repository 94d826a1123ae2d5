"""A drill on a terminal: a dozen lines, or one."""

import io
import sys
from collections.abc import Sequence
from typing import Any

import pytest

from chaos.drill.arms import FaultWindow, fault_windows, main_arm
from chaos.drill.brief_view import BriefView
from chaos.drill.catalogue import drill_files
from chaos.drill.loading import load_drill
from chaos.drill.metrics import Arrivals
from chaos.drill.probes import Protection
from chaos.drill.schema import Drill
from chaos.drill.view import MAX_LINES, View, fault_line, fit
from tests.chaos.drill.build import drill

pytestmark = pytest.mark.unit

DRILLS = [load_drill(path) for path in drill_files()]


class FakeLoad:
    """A generator in the middle of its run."""

    at_s = 9.0

    def progress(self) -> dict[str, Any]:
        return {"kinds": {"in_time": 90, "failed": 10}, "in_flight": 4, "lag_p99_ms": 6.0}


def broken() -> Drill:
    """A drill whose faults are of three depths."""
    return drill(
        faults=[
            {"kind": "pause", "on": "video.1", "for": 3},
            {"kind": "cut", "on": "link:gateway>video", "for": 2},
            {"kind": "latency", "on": "video", "at": 2, "for": 2, "ms": 5},
        ]
    )


def faults_of(of: Drill) -> Sequence[FaultWindow]:
    """Return a drill's faults as if all had begun."""
    return fault_windows(of, main_arm(of))


def test_faults_that_act_are_told_in_words() -> None:
    """Of host and link as of processes; those that are over or yet to come aren't."""
    assert fault_line(faults_of(broken()), 4.0) == [
        "fault     pause on video.1 for 1 s · cut on link:gateway>video for 1 s"
    ]
    assert fault_line(faults_of(broken()), 6.5) == ["fault     latency (ms 5) on video for 2 s"]
    assert fault_line(faults_of(broken()), 1.0) == []


def test_middle_gives_way_and_the_last_line_stays() -> None:
    """Headline, arm and generator are always there."""
    kept, lines = ["head", "main done"], [f"line {n}" for n in range(14)]

    shown = fit(kept, lines)

    assert MAX_LINES == 12
    assert len(shown) == 12
    assert shown[:3] == ["head", "main done", "line 0"]
    assert shown[-1] == "line 13"
    assert fit(kept, lines[:10]) == [*kept, *lines[:10]]


@pytest.mark.parametrize("of", DRILLS, ids=lambda one: one.drill)
def test_every_drill_fits_on_a_terminal(of: Drill, monkeypatch: pytest.MonkeyPatch) -> None:
    """With every fault acting, both arms' summaries kept and every protection busy."""
    drawn: list[list[str]] = []
    monkeypatch.setattr(View, "_draw", lambda self, lines: drawn.append(
        fit([self._headline, *self._kept], lines)))  # fmt: skip
    shown = View(of, 80.0, ["main", "control"], live=True)
    shown._live = object()  # type: ignore[assignment]  # it draws, on nothing
    shown.tell("arm main done")
    shown.tell("arm control done")
    windows = main_arm(of).windows
    protections = [Protection(name, "gateway.1", 1, 2, 3) for name in of.control.off]

    shown.watch(
        main_arm(of), FakeLoad(), Arrivals([], windows, 1.0), protections, faults_of(of)  # type: ignore[arg-type]
    )  # fmt: skip

    assert len(drawn[-1]) <= MAX_LINES
    assert drawn[-1][0].startswith(of.drill)
    assert "generator: sent 100 %" in drawn[-1][-1].replace("%", " %").replace("  ", " ")


def test_one_of_several_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """Rewritten on a terminal; when piped it is said once that it began."""
    for live, lines in ((True, 0), (False, 1)):
        out = io.StringIO()
        monkeypatch.setattr(sys, "stderr", out)
        with BriefView(broken(), 80.0, "2 of 8", live=live) as shown:
            shown.tell("arm main done")
            shown.watch(
                main_arm(broken()), FakeLoad(), Arrivals([], {}, 1.0), [], faults_of(broken())  # type: ignore[arg-type]
            )  # fmt: skip
        assert out.getvalue().count("\n") == lines
        assert "2 of 8  tiny: tiny, about 80 s" in out.getvalue()
        assert ("arm main" in out.getvalue()) is live


def test_view_asks_the_terminal_when_nothing_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    """A pipe gets plain lines."""
    out = io.StringIO()
    monkeypatch.setattr(sys, "stderr", out)

    with View(broken(), 80.0, ["main"]):
        pass

    assert out.getvalue().startswith("tiny · 0 · tiny · main · about 80 s")
