"""docs/first-fifteen-minutes.md goes the whole way, and each step follows from those before."""

import re
from itertools import pairwise

import pytest

from tests.docs.pages import ROOT, blocks_of, headings_of, text_of

pytestmark = pytest.mark.unit

TEXT = text_of(ROOT / "docs/first-fifteen-minutes.md")
LINES = [line for block in blocks_of(TEXT) for line in block]
WAY = (
    "make up",
    "curl -si 127.0.0.1:8080/v1/videos/1",
    "./squall explain",
    "./squall fault add latency --on comment",
    "./squall fault list",
    "./squall fault add down --on 'link:",
    "./squall fault add pause --on video.1",
    "./squall policy set limiter off",
    "./squall compare",
    "./squall drill run overload",
    "./squall drill report",
    "make down",
)


def test_it_goes_the_whole_way() -> None:
    """From up to down: a request, three faults, a switch, a drill, its report."""
    places = [next(n for n, line in enumerate(LINES) if line.startswith(step)) for step in WAY]
    assert places == sorted(places)
    assert (places[0], places[-1]) == (0, len(LINES) - 1)


def test_its_clock_runs_on_for_a_quarter_of_an_hour() -> None:
    """Each step has its minute, later than the one before."""
    titles = [title for level, title in headings_of(TEXT) if level == 2]
    minutes = [int(found[1]) for found in (re.match(r"Minute (\d+): ", t) for t in titles) if found]
    assert len(minutes) >= 8
    assert all(before < after for before, after in pairwise(minutes))
    assert (minutes[0], minutes[-1]) == (0, 14)


def test_requests_are_explained_by_the_names_they_were_given() -> None:
    """No id stands there that a reader doesn't have."""
    named = re.findall(r"x-request-id: (\w+)'", "\n".join(LINES))
    explained = [line.split()[2] for line in LINES if line.startswith("./squall explain")]
    assert set(explained) <= set(named)
    assert len(explained) == len(set(explained)) == 3


def test_what_is_broken_or_switched_off_is_put_back() -> None:
    """The drill begins on a lab as it was."""
    before = LINES[: LINES.index("./squall drill run overload")]
    assert before[-2:] == ["./squall policy reset limiter --on video", "./squall fault clear"]
    assert [line for line in before if "fault add" in line and "--ttl" not in line] == []


def test_runs_that_are_compared_were_written_there() -> None:
    """Both folders of the comparison are those of the two loads."""
    [compared] = [line.split()[2:] for line in LINES if line.startswith("./squall compare")]
    written = re.findall(r"--out (\S+)", "\n".join(LINES))
    assert compared == written
