"""YAML whose mappings know where each key was written, and how two such files are merged.

Why: "docker-compose.yml:31: key 'privileged' is not one we run" is worth more than a parser's
silence, also when the key came from a second file.
Source: the Compose specification, "Merge" (mappings merge, a command is replaced, other lists are
appended).
Not handled: anchors across files, the tags ``!reset`` and ``!override`` (an unknown tag is an
error).
"""

from typing import Any

import yaml

from kit.errors import ConfigError

REPLACED = frozenset({"command", "entrypoint"})  # lists that the later file's replaces


class Located(dict[str, Any]):
    """A mapping that remembers the place of each key, e.g. ``docker-compose.yml:12``."""

    places: dict[str, str]


def empty() -> Located:
    """Return a mapping without keys."""
    located = Located()
    located.places = {}
    return located


def parse_yaml(text: str, file: str) -> object:
    """Read a document.

    Args:
        text: YAML.
        file: How errors and places name it.

    Raises:
        ConfigError: Not YAML, or a key is written twice; says where.
    """
    loader = _Loader(text)
    loader.file = file
    try:
        return loader.get_single_data()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{file}:{mark.line + 1}" if mark else file
        raise ConfigError(f"{place}: {error.problem}") from error
    finally:
        loader.dispose()


def merge(base: Any, over: Any, key: str = "") -> Any:
    """Lay one document over another; neither is changed.

    Args:
        base: The earlier file's value.
        over: The later file's.
        key: Under which both stand.
    """
    if isinstance(base, Located) and isinstance(over, Located):
        merged = Located(base)
        merged.places = base.places | over.places
        for name, value in over.items():
            merged[name] = merge(base[name], value, name) if name in base else value
        return merged
    if isinstance(base, list) and isinstance(over, list) and key not in REPLACED:
        return [*base, *(item for item in over if item not in base)]
    return over


class _Loader(yaml.SafeLoader):
    """SafeLoader whose mappings are `Located`; merge keys keep the line they were written on."""

    file = ""


def _construct_located(loader: _Loader, node: yaml.MappingNode) -> Located:
    _refuse_duplicates(node)
    loader.flatten_mapping(node)
    located = empty()
    for key_node, value_node in node.value:
        key = str(loader.construct_object(key_node, deep=True))
        located[key] = loader.construct_object(value_node, deep=True)
        located.places[key] = f"{loader.file}:{key_node.start_mark.line + 1}"
    return located


def _refuse_duplicates(node: yaml.MappingNode) -> None:
    seen: set[str] = set()
    for key_node, _ in node.value:
        if key_node.value in seen:
            raise yaml.MarkedYAMLError(
                problem=f"key {key_node.value!r} is written twice", problem_mark=key_node.start_mark
            )
        seen.add(key_node.value)


_Loader.add_constructor("tag:yaml.org,2002:map", _construct_located)
