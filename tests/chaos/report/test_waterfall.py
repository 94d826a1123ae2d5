"""One request's hops."""

import pytest

from chaos.report.waterfall import choose, notes_of, waterfall
from tests.chaos.report.build import HOPS, verdict

pytestmark = pytest.mark.unit


def test_the_control_arms_worst_kind_is_shown() -> None:
    """Expired before late, control before main."""
    chosen = choose(verdict()["evidence"])

    assert chosen is not None
    assert chosen["request_id"] == "r-1"


def test_the_main_arms_is_shown_without_a_control() -> None:
    """What the protection did."""
    chosen = choose([one for one in verdict()["evidence"] if one["arm"] == "main"])

    assert chosen is not None
    assert chosen["request_id"] == "r-9"


def test_no_evidence_is_no_request() -> None:
    """Also when nobody remembered its hops."""
    assert choose([]) is None
    assert choose([{"request_id": "r", "arm": "main", "kind": "late", "hops": []}]) is None


def test_a_hop_that_went_wrong_and_a_wait_are_marked() -> None:
    """Two bars, one wrong, one wait; both hops in the table."""
    drawn = waterfall(HOPS)

    assert drawn.count('class="hop') == 2
    assert drawn.count('class="hop wrong"') == 1
    assert drawn.count('class="wait"') == 1
    assert "2 hops in 1000 ms; the longest is gateway.1" in drawn
    assert "video.1 ListVideos" in drawn


def test_notes_are_told_with_their_details() -> None:
    """One line a hop."""
    assert notes_of(HOPS[1]) == "concurrency waited (ms 400.0)"
