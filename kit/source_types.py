"""From a parsed file to a typed value: what is wrong is told with line, column and nearest key.

Why: msgspec says what is wrong and where in the data; whoever wrote the file wants to know where in
the file, and what the key was probably meant to be.
"""

import re
from typing import Any, TypeVar

import msgspec
import msgspec.inspect

from kit.nearest import nearest
from kit.source import DataPath, Source, SourceError

PartT = TypeVar("PartT", bound="Part")

_MSGSPEC_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_PATH_PART = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_INVALID_WORD = re.compile(r"Invalid enum value '(?P<word>.*)'")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`")


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """A mapping of a file people write: fixed, strict, named; an unknown key is an error."""


def convert_source(source: Source, kind: type[PartT]) -> PartT:
    """Turn a parsed file into a value of a type; raises SourceError where a type is wrong."""
    try:
        return msgspec.convert(source.data, kind)
    except msgspec.ValidationError as error:
        raise _located(source, str(error), kind) from error


def _located(source: Source, message: str, kind: type[Part]) -> SourceError:
    found = _MSGSPEC_PATH.search(message)
    path = _data_path(source.data, found["path"]) if found else ()
    text = message[: found.start()] if found else message
    unknown = _UNKNOWN_FIELD.search(text)
    if unknown is None:
        name = ".".join(str(part) for part in path)
        wrong = _INVALID_WORD.fullmatch(text)
        if wrong is not None and (words := _words_at(path, kind)):
            text = f"there is no {wrong['word']}; {nearest(wrong['word'], words)}"
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


def _words_at(path: DataPath, top: type[Part]) -> list[str]:
    kind: Any = msgspec.inspect.type_info(top)
    for part in path:
        kind = _inner(kind, part)
    kind = getattr(kind, "value_type", kind)  # of a mapping, whose key msgspec doesn't tell
    for option in kind.types if isinstance(kind, msgspec.inspect.UnionType) else (kind,):
        if isinstance(option, msgspec.inspect.LiteralType):
            return [str(value) for value in option.values]
        if isinstance(option, msgspec.inspect.EnumType):
            return [str(member.value) for member in option.cls]
    return []


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
