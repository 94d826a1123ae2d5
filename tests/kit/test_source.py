"""YAML that remembers where everything stands."""

from pathlib import Path

import pytest

from kit.source import SourceError, parse_source, parse_value, read_source

pytestmark = pytest.mark.unit


def test_on_is_a_word_and_a_key() -> None:
    """YAML 1.1 would read both as true."""
    source = parse_source("limiter: on\non: video\nheld: true\n", "x")

    assert source.data == {"limiter": "on", "on": "video", "held": True}


def test_scalars_are_those_of_yaml_1_2() -> None:
    """Numbers, null and booleans; a time of day stays text."""
    data = parse_source("a: [1, -2.5, 1e3, ~, false, 12:30, '7', 0.30]", "x").data

    assert data["a"] == [1, -2.5, 1000.0, None, False, "12:30", "7", 0.3]


def test_marks_say_line_and_column_of_keys_and_items() -> None:
    """Counted from 1, as editors do."""
    source = parse_source("a:\n  b: 1\n  c:\n    - {d: 2}\n", "x")

    assert source.marks[("a", "b")] == (2, 3)
    assert source.marks[("a", "c", 0, "d")] == (4, 8)


def test_error_falls_back_to_the_nearest_parent() -> None:
    """What isn't there has no place of its own."""
    source = parse_source("a:\n  b: 1\n", "f.yaml")

    assert str(source.error(("a", "missing"), "no")) == "f.yaml:1:1: no"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\na: 2\n", "f.yaml:2:1: a stands here twice"),
        ("a: [1,\n", "f.yaml:2:1:"),
        ("- 1\n", "f.yaml:1:1: the file must be a mapping"),
        ("", "f.yaml:1:1: the file must be a mapping"),
        ("? [1]\n: 2\n", "f.yaml:1:3: a key must be text"),
    ],
)
def test_what_is_no_drill_is_located(text: str, message: str) -> None:
    """Every message begins with file, line and column."""
    with pytest.raises(SourceError) as caught:
        parse_source(text, "f.yaml")

    assert str(caught.value).startswith(message)
    assert caught.value.exit_code == 2


def test_absent_file_is_named(tmp_path: Path) -> None:
    """So is why it can't be read."""
    with pytest.raises(SourceError, match="No such file"):
        read_source(tmp_path / "no.yaml")


@pytest.mark.parametrize(
    ("text", "value"), [("10", 10), ("on", "on"), ("true", True), ("[1, 2]", [1, 2]), ("", None)]
)
def test_values_of_a_command_line_are_read_alike(text: str, value: object) -> None:
    """As the file would."""
    assert parse_value(text) == value
