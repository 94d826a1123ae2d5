"""What commands print."""

import json

import pytest

from squall.output import emit, nearest, table

pytestmark = pytest.mark.unit


def test_json_output_is_one_object_that_names_its_schema_first(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """With --json stdout holds exactly one JSON object, schema first."""
    emit("squall.thing/1", {"a": 1}, as_json=True, text="never")

    printed = capsys.readouterr()
    assert list(json.loads(printed.out).items()) == [("schema", "squall.thing/1"), ("a", 1)]
    assert printed.err == ""


def test_text_output_is_the_text(capsys: pytest.CaptureFixture[str]) -> None:
    """Without --json stdout holds the text for people."""
    emit("squall.thing/1", {"a": 1}, as_json=False, text="one a")

    assert capsys.readouterr().out == "one a\n"


def test_table_puts_numbers_right_and_words_left() -> None:
    """A column of numbers is flush right, one of words flush left."""
    assert table(["who", "ms"], [["video.1", 5], ["l7", 12.5]]) == (
        "who        ms\nvideo.1     5\nl7       12.5"
    )


def test_nearest_names_what_was_probably_meant() -> None:
    """A misspelt name is answered with the closest known one first."""
    assert nearest("latncy", ["error", "latency", "abort"]).startswith("did you mean latency")


def test_nearest_names_everything_when_nothing_is_close() -> None:
    """A name like nothing known is answered with what there is."""
    assert nearest("zzzz", ["error", "abort"]) == "did you mean abort, error?"
