"""A file people write, as text: YAML that remembers where everything stands.

Why: "line 14, column 7: did you mean `bound`?" is worth more than a correct parser's silence. YAML
1.1 also reads `on` as true, and `on:` is a key of ours; so only `true` and `false` are booleans
here, as in YAML 1.2.
Not handled: anchors across files, tags, several documents.
"""

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from kit.errors import ConfigError

DataPath: TypeAlias = tuple[str | int, ...]
"""Keys and list positions from the file's top, e.g. ``("load", "phases", 2, "seconds")``."""

_TAG = "tag:yaml.org,2002:"


class SourceError(ConfigError):
    """A file is wrong; the message names file, line and column."""


@dataclass(frozen=True, slots=True)
class Source:
    """A parsed file.

    Args:
        name: The file's name, for messages.
        data: Dictionaries, lists and scalars.
        marks: Line and column (from 1) of each value; of its key where it has one.
    """

    name: str
    data: Any
    marks: dict[DataPath, tuple[int, int]] = field(default_factory=dict)

    def error(self, path: DataPath, message: str) -> SourceError:
        """Make an error that says where: the value's place, or its nearest parent's."""
        for length in range(len(path), -1, -1):
            mark = self.marks.get(path[:length])
            if mark is not None:
                return SourceError(f"{self.name}:{mark[0]}:{mark[1]}: {message}")
        return SourceError(f"{self.name}: {message}")


class _Loader(yaml.SafeLoader):
    """Knows only YAML 1.2's plain scalars."""


_Loader.yaml_implicit_resolvers = {}
for _kind, _pattern, _starts in (
    ("bool", r"true|false", "tf"),
    ("null", r"~|null|", "~n\0"),
    ("int", r"[-+]?[0-9]+", "-+0123456789"),
    ("float", r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?", "-+.0123456789"),
):
    _Loader.add_implicit_resolver(_TAG + _kind, re.compile(rf"^(?:{_pattern})$"), list(_starts))


def read_source(path: Path) -> Source:
    """Read and parse a file; raises SourceError naming it."""
    try:
        return parse_source(path.read_text(encoding="utf-8"), str(path))
    except OSError as error:
        raise SourceError(f"can't read {path}: {error.strerror}") from error


def parse_source(text: str, name: str) -> Source:
    """Parse YAML.

    Raises:
        SourceError: Not YAML, a key twice, a key that is no text, or no mapping at the top.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        where = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        raise SourceError(f"{where}: {error.problem or 'this is no YAML'}") from error
    if not isinstance(node, yaml.MappingNode):
        raise SourceError(f"{name}:1:1: the file must be a mapping of keys to values")
    source = Source(name, {})
    data = _build(node, (), source)
    return Source(name, data, source.marks)


def parse_value(text: str) -> Any:
    """Read one value as a file would, e.g. for ``--set path=value``.

    Raises:
        SourceError: Not YAML.
    """
    try:
        node = yaml.compose(text, Loader=_Loader)
    except yaml.YAMLError as error:
        problem = getattr(error, "problem", None) or "this is no YAML"
        raise SourceError(f"--set: {text} is no value: {problem}") from error
    return None if node is None else _build(node, (), Source("--set", {}))


def _build(node: yaml.Node, path: DataPath, source: Source) -> Any:
    source.marks.setdefault(path, _place(node))
    if isinstance(node, yaml.MappingNode):
        return _build_mapping(node, path, source)
    if isinstance(node, yaml.SequenceNode):
        return [_build(item, (*path, index), source) for index, item in enumerate(node.value)]
    return _scalar(node)


def _build_mapping(node: yaml.MappingNode, path: DataPath, source: Source) -> dict[str, Any]:
    data: dict[str, Any] = {}
    for key_node, value_node in node.value:
        line, column = _place(key_node)
        if not isinstance(key_node, yaml.ScalarNode):
            raise SourceError(f"{source.name}:{line}:{column}: a key must be text")
        key = str(key_node.value)
        if key in data:
            raise SourceError(f"{source.name}:{line}:{column}: {key} stands here twice")
        source.marks[(*path, key)] = (line, column)
        data[key] = _build(value_node, (*path, key), source)
    return data


def _scalar(node: yaml.Node) -> Any:
    value, kind = str(node.value), node.tag.removeprefix(_TAG)
    if kind == "bool":
        return value == "true"
    if kind == "int":
        return int(value)
    if kind == "float":
        return float(value)
    return None if kind == "null" else value


def _place(node: yaml.Node) -> tuple[int, int]:
    return node.start_mark.line + 1, node.start_mark.column + 1
