"""Variables of the compose file."""

import pytest

from chaos.interpolation import interpolate


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("plain", "plain"),
        ("${name:-default}:6379", "value:6379"),
        ("${absent:-default}:6379", "default:6379"),
        ("${absent:-}", ""),
        ("${absent}", ""),
        ("${empty:-default}", "default"),
        ("${name}${name}", "valuevalue"),
        ("$${name}", "${name}"),
    ],
)
def test_variables_are_filled_in_as_compose_does(text: str, expected: str) -> None:
    """An absent or empty variable takes its default, and two dollars are one."""
    assert interpolate(text, {"name": "value", "empty": ""}) == expected


@pytest.mark.parametrize("text", ["$name", "${name-x}", "${name:?x}", "${a:-${b}}", "${}", "a$"])
def test_grammar_outside_of_the_subset_is_refused(text: str) -> None:
    """What this reader doesn't know is an error that shows the text."""
    with pytest.raises(ValueError, match="cannot read the variable"):
        interpolate(text, {})
