"""What the lab costs."""

import os
import time
from pathlib import Path

import pytest

from chaos.footprint import busy_cores, process_seconds

pytestmark = pytest.mark.unit


def test_cores_are_seconds_of_those_who_were_there_all_the_time() -> None:
    """Who came or went in between would count from zero."""
    before = {"a": 1.0, "gone": 5.0, "b": 2.0}
    after = {"a": 2.0, "new": 9.0, "b": 2.5}
    assert busy_cores(before, after, 10.0) == pytest.approx(0.15)


def test_a_process_s_time_is_what_it_says_itself() -> None:
    """To the clock tick, and None for a process that is gone."""
    own_s = process_seconds(os.getpid())
    assert own_s == pytest.approx(time.process_time(), abs=0.5)
    assert process_seconds(2**22 + 1) is None


def test_a_name_with_brackets_and_blanks_is_no_hindrance(tmp_path: Path) -> None:
    """The fields are counted from behind it."""
    (tmp_path / "7").mkdir()
    rest = "S " + "0 " * 10 + "150 50 " + "0 " * 30
    (tmp_path / "7" / "stat").write_text(f"7 (odd) name) {rest}")
    assert process_seconds(7, tmp_path) == pytest.approx(200 / os.sysconf("SC_CLK_TCK"))
