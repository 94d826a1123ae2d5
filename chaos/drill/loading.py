"""From a drill file to a checked drill: every mistake with its line, column and nearest key.

Why: a scenario that is wrong must say so before the lab is touched. Types are msgspec's business;
what only makes sense together is ``chaos.drill.mistakes``'.
"""

import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import msgspec
import msgspec.inspect

from chaos.drill.mistakes import mistakes
from chaos.drill.nearest import nearest
from chaos.drill.part import Part
from chaos.drill.schema import Drill
from chaos.drill.source import DataPath, DrillFileError, Source, parse_value, read_source

PartT = TypeVar("PartT", bound=Part)

_MSGSPEC_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_PATH_PART = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`")


def load_drill(path: Path, overrides: Sequence[str] = ()) -> Drill:
    """Read a drill file.

    Args:
        path: The file.
        overrides: ``path=value``, e.g. ``load.phases.fault.seconds=10``.

    Raises:
        DrillFileError: Names line and column, or the override.
    """
    return check_source(override(read_source(path), overrides))


def check_source(source: Source) -> Drill:
    """Turn a parsed file into a drill; raises DrillFileError."""
    drill = convert_source(source, Drill)
    for path, message in mistakes(drill):
        raise source.error(path, message)
    return drill


def convert_source(source: Source, kind: type[PartT]) -> PartT:
    """Turn a parsed file into a value of a type; raises DrillFileError where a type is wrong."""
    try:
        return msgspec.convert(source.data, kind)
    except msgspec.ValidationError as error:
        raise _located(source, str(error), kind) from error


def override(source: Source, overrides: Iterable[str]) -> Source:
    """Change values of a parsed file.

    Args:
        source: Changed in place and returned.
        overrides: ``path=value``; a list item is named by its position or its ``name``.

    Raises:
        DrillFileError: No ``=``, or the path leads nowhere.
    """
    for text in overrides:
        path, equals, value = text.partition("=")
        if not equals or not path:
            raise DrillFileError(f"--set {text}: write it as path=value")
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
    raise DrillFileError(f"--set {text}: there is no {key}; {nearest(key, known)}")


def _assign(holder: Any, key: str, value: Any, text: str) -> None:
    if isinstance(holder, list):
        holder[_position(holder, key, text)] = value
    elif isinstance(holder, dict):
        holder[key] = value
    else:
        raise DrillFileError(f"--set {text}: {key} would lie inside a plain value")


def _position(items: list[Any], key: str, text: str) -> int:
    if key.isdecimal() and int(key) < len(items):
        return int(key)
    names = [str(item.get("name", "")) for item in items if isinstance(item, dict)]
    if key in names:
        return names.index(key)
    raise DrillFileError(f"--set {text}: there is no {key}; {nearest(key, names)}")


def _located(source: Source, message: str, kind: type[Part]) -> DrillFileError:
    found = _MSGSPEC_PATH.search(message)
    path = _data_path(source.data, found["path"]) if found else ()
    text = message[: found.start()] if found else message
    unknown = _UNKNOWN_FIELD.search(text)
    if unknown is None:
        name = ".".join(str(part) for part in path)
        return source.error(path, f"{name}: {text}" if name else text)
    key = unknown["key"]
    hint = nearest(key, _fields_at(path, kind))
    return source.error((*path, key), f"unknown key {key}; {hint}")


def _data_path(data: Any, text: str) -> DataPath:
    """Read msgspec's path; it writes ``[...]`` for a mapping's value, whose key we must guess."""
    path: list[str | int] = []
    for key, index in _PATH_PART.findall(text):
        if index == "...":
            break
        path.append(int(index) if index else key)
    return tuple(path)


def _fields_at(path: DataPath, top: type[Part]) -> list[str]:
    kind: Any = msgspec.inspect.type_info(top)
    for part in path:
        kind = _inner(kind, part)
    kind = _struct_of(kind)
    return [field.encode_name for field in kind.fields] if kind is not None else []


def _inner(kind: Any, part: str | int) -> Any:
    if isinstance(part, int):
        return getattr(kind, "item_type", None)
    struct = _struct_of(kind)
    if struct is not None:
        return next((f.type for f in struct.fields if f.encode_name == part), None)
    return getattr(kind, "value_type", None)


def _struct_of(kind: Any) -> msgspec.inspect.StructType | None:
    options = kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,)
    return next((o for o in options if isinstance(o, msgspec.inspect.StructType)), None)
