"""From a drill file to a checked drill: every mistake with its line, column and nearest key.

Why: a scenario that is wrong must say so before the lab is touched. Types are msgspec's business;
what only makes sense together is ``chaos.drill.mistakes``'.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from chaos.drill.mistakes import mistakes
from chaos.drill.schema import Drill
from kit.nearest import nearest
from kit.source import Source, SourceError, parse_value, read_source
from kit.source_types import convert_source


def load_drill(path: Path, overrides: Sequence[str] = ()) -> Drill:
    """Read a drill file.

    Args:
        path: The file.
        overrides: ``path=value``, e.g. ``load.phases.fault.seconds=10``.

    Raises:
        SourceError: Names line and column, or the override.
    """
    return check_source(override(read_source(path), overrides))


def check_source(source: Source) -> Drill:
    """Turn a parsed file into a drill; raises SourceError."""
    drill = convert_source(source, Drill)
    for path, message in mistakes(drill):
        raise source.error(path, message)
    return drill


def override(source: Source, overrides: Iterable[str]) -> Source:
    """Change values of a parsed file.

    Args:
        source: Changed in place and returned.
        overrides: ``path=value``; a list item is named by its position or its ``name``.

    Raises:
        SourceError: No ``=``, or the path leads nowhere.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise SourceError(f"--set {text}: write it as path=value")
        keys = path.split(".")
        holder = source.data
        for key in keys[:-1]:
            holder = _step(holder, key, text)
        _assign(holder, keys[-1], parse_value(value), text)
    return source


def _step(holder: Any, key: str, text: str) -> Any:
    if isinstance(holder, list):
        return holder[_position(holder, key, text)]
    if isinstance(holder, dict) and key in holder:
        return holder[key]
    known = list(holder) if isinstance(holder, dict) else []
    raise SourceError(f"--set {text}: there is no {key}; {nearest(key, known)}")


def _assign(holder: Any, key: str, value: Any, text: str) -> None:
    if isinstance(holder, list):
        holder[_position(holder, key, text)] = value
    elif isinstance(holder, dict):
        holder[key] = value
    else:
        raise SourceError(f"--set {text}: {key} would lie inside a plain value")


def _position(items: list[Any], key: str, text: str) -> int:
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    names = [str(item.get("name", "")) for item in items if isinstance(item, dict)]
    if key in names:
        return names.index(key)
    raise SourceError(f"--set {text}: there is no {key}; {nearest(key, names)}")
