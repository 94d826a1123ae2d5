"""Places of keys, and laying one document over another."""

import pytest

from chaos.located_yaml import Located, merge, parse_yaml
from kit.errors import ConfigError

pytestmark = pytest.mark.unit


def read(text: str, file: str) -> Located:
    """A document whose top is a mapping."""
    document = parse_yaml(text, file)
    assert isinstance(document, Located)
    return document


def test_each_key_knows_its_file_and_line() -> None:
    """Also after merging: the later file's keys have the later file's places."""
    base = read("a: 1\nb: {c: 2}\n", "one.yml")
    over = read("b: {d: 3}\n", "two.yml")

    merged = merge(base, over)
    assert merged == {"a": 1, "b": {"c": 2, "d": 3}}
    assert merged.places == {"a": "one.yml:1", "b": "two.yml:1"}
    assert merged["b"].places == {"c": "one.yml:2", "d": "two.yml:1"}
    assert base == {"a": 1, "b": {"c": 2}}


def test_lists_are_appended_commands_replaced() -> None:
    """As the Compose specification merges files."""
    base = read("command: [a, b]\nports: [x]\nuser: one\n", "one.yml")
    over = read("command: [c]\nports: [x, y]\nuser: two\n", "two.yml")

    assert merge(base, over) == {"command": ["c"], "ports": ["x", "y"], "user": "two"}


def test_what_is_no_yaml_is_told_with_its_line() -> None:
    """An unknown tag too, such as compose's !reset."""
    with pytest.raises(ConfigError, match=r"one\.yml:2"):
        parse_yaml("a: 1\nb: !reset null\n", "one.yml")
