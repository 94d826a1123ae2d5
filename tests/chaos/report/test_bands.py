"""Shaded stretches: which, when, and in which words."""

import pytest

from chaos.drill.records import Window
from chaos.report.bands import Band, caption, draw, planned_bands, seen_bands
from chaos.report.charts import time_frame
from tests.chaos.drill.build import drill

pytestmark = pytest.mark.unit

PAUSE = Band(Window(3.0, 6.0), "pause on video.1")
CUT = Band(Window(3.0, 5.0), "cut on link:gateway>video")
RESTART = Band(Window(6.5, 7.5), "restart on gateway.1")
FRAME = time_frame(10.0, 50.0, "per second")


def test_a_lone_fault_is_named_on_the_chart() -> None:
    """So the caption needn't."""
    drawing = draw(FRAME, [PAUSE])

    assert drawing.count('class="band"') == 1
    assert ">pause on video.1</text>" in drawing
    assert caption([PAUSE]) == ""


def test_several_faults_get_letters_and_a_caption() -> None:
    """Those that begin together share one label; none hides another."""
    drawing = draw(FRAME, [RESTART, CUT, PAUSE])

    assert drawing.count('class="band"') == 3
    assert drawing.index("<title>pause on video.1") < drawing.index("<title>cut on link:gateway")
    assert ">a, b</text>" in drawing
    assert ">c</text>" in drawing
    assert caption([RESTART, CUT, PAUSE]) == (
        "shaded: a cut on link:gateway>video, 3 to 5 s; b pause on video.1, 3 to 6 s; "
        "c restart on gateway.1, 6.5 to 7.5 s"
    )


def test_labels_that_would_overlap_are_one() -> None:
    """Half a second is too little room for a letter on a chart of ten; three seconds are enough."""
    near = Band(Window(3.2, 4.0), "kill on control")

    assert ">a, b</text>" in draw(FRAME, [PAUSE, near])
    assert ">a</text>" in draw(FRAME, [PAUSE, RESTART])


def test_words_are_escaped() -> None:
    """A link's arrow is no tag."""
    assert "link:gateway&gt;video" in draw(FRAME, [CUT])


def test_verdict_tells_when_faults_acted_and_older_ones_dont() -> None:
    """Then the plan is shown."""
    row = {"kind": "pause", "words": "pause on store-4", "from_s": 3.2, "to_s": 6.1}

    assert seen_bands([row, {"kind": "pause"}]) == [Band(Window(3.2, 6.1), "pause on store-4")]
    planned = drill(faults=[{"kind": "pause", "on": "video.1", "for": 2}])
    assert planned_bands(planned, "main", {}) == [Band(Window(3.0, 5.0), "pause on video.1")]
    assert planned_bands(None, "main", {}) == []
