"""One JSON object a line, with the ids of the request being served."""

import json
import logging
import sys

import pytest

from kit.log import JsonFormatter, set_up_log
from resilience.context import Context, enter, leave


def record(**extra: object) -> logging.LogRecord:
    """Make a record as a logger would."""
    return logging.getLogger("t").makeRecord(
        "t", logging.WARNING, "f.py", 1, "it %s", ("broke",), None, extra=extra
    )


def test_a_line_has_what_where_and_the_extra_fields() -> None:
    """Anything that JSON doesn't know goes by its repr."""
    line = json.loads(JsonFormatter("video.2").format(record(ms=3, odd={1})))
    assert (line["what"], line["level"], line["instance"]) == ("it broke", "warning", "video.2")
    assert line["ms"] == 3
    assert line["at"].endswith("Z")
    assert "trace_id" not in line


def test_a_request_puts_its_ids_into_the_line() -> None:
    """So a line can be joined with ``squall explain``."""
    token = enter(Context("r1", "ab" * 16, "cd" * 8, 0.0))
    line = json.loads(JsonFormatter("video.2").format(record()))
    leave(token)
    assert (line["request_id"], line["trace_id"]) == ("r1", "ab" * 16)


def test_an_error_stays_one_line() -> None:
    """The traceback is a field."""
    try:
        1 // 0  # noqa: B018
    except ZeroDivisionError:
        found = record()
        found.exc_info = sys.exc_info()
    text = JsonFormatter("video.2").format(found)
    assert "\n" not in text
    assert "ZeroDivisionError" in json.loads(text)["error"]


def test_the_level_cuts(capsys: pytest.CaptureFixture[str]) -> None:
    """Below the level nothing is written; above it one line on stderr."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    try:
        set_up_log("video.1", "warning")
        logging.getLogger("x").info("quiet")
        logging.getLogger("x").warning("loud")
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    out, err = capsys.readouterr()
    assert out == ""
    assert [json.loads(line)["what"] for line in err.splitlines()] == ["loud"]
