"""Fill in a compose file's variables, as the subset of compose's own grammar that we use.

Why: the same file runs in containers, where Docker fills in the defaults, and on the host, where
each replica gets values of its own. Refusing what we don't read keeps the two from drifting apart.
Source: the Compose specification, "Interpolation".
Not handled: ``$NAME`` without braces, ``${NAME-…}``, ``${NAME:?…}``, ``${NAME:+…}``, nesting; each
is an error.
"""

import re
from collections.abc import Mapping

_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)(?::-(?P<default>[^${}]*))?\})"
)


def interpolate(text: str, variables: Mapping[str, str]) -> str:
    """Replace ``${NAME}`` and ``${NAME:-default}``; ``$$`` is a dollar.

    Args:
        text: A scalar of the file, as written.
        variables: Values by name; an empty one counts as missing, as with compose's ``:-``.

    Raises:
        ValueError: A dollar that begins nothing of the above.
    """
    pieces: list[str] = []
    position = 0
    for match in _VARIABLE.finditer(text):
        pieces += [_plain(text[position : match.start()]), _value(match, variables)]
        position = match.end()
    pieces.append(_plain(text[position:]))
    return "".join(pieces)


def _value(match: re.Match[str], variables: Mapping[str, str]) -> str:
    if match["escaped"]:
        return "$"
    return variables.get(match["name"], "") or match["default"] or ""


def _plain(text: str) -> str:
    if "$" in text:
        raise ValueError(
            f"cannot read the variable in {text!r}: write ${{NAME}}, ${{NAME:-default}} or $$"
        )
    return text
