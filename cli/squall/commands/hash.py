"""``squall hash compare``: placements on your keys: how even, what moves, what it costs.

No running lab and no third-party package beside the command line's own: pure Python, a second.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, nearest, say, table

if TYPE_CHECKING:
    from hashing.algorithm import Node
    from hashing.compare import Change, Result

SCHEMA = "squall.hash-compare/1"
KEY_COUNT = 4000  # built in: every algorithm, three builds each, within two seconds
MAX_NODES = 1000  # a Maglev table of 65 537 places gives each of a thousand 65
HEAD = ("algorithm", "skew", "stdev", "add %", "remove %", "build ms", "lookup us", "KiB")

app = typer.Typer(help="Hash placements, compared without a running lab.", no_args_is_help=True)


@app.callback()
def _hash() -> None:
    """Hash placements, compared without a running lab."""


@app.command("compare")
def compare(
    nodes: Annotated[int, typer.Option(help="How many nodes: node-1, node-2, …")] = 8,
    add: Annotated[int, typer.Option(help="How many come, after the last.")] = 1,
    remove: Annotated[int, typer.Option(help="How many leave, the last first.")] = 1,
    remove_node: Annotated[
        list[str] | None, typer.Option(help="Who leaves instead, by name; repeatable.")
    ] = None,
    keys: Annotated[
        Path | None,
        typer.Option(help="A file with a key a line.", show_default=f"{KEY_COUNT} like video:17"),
    ] = None,
    algorithm: Annotated[
        list[str] | None, typer.Option(help="Only this; repeatable.", show_default="all")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="One a node: 1,1,2,… (newcomers have 1).")
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Compare placements: skew, keys moved on a change against the optimum, time, memory."""
    from time import perf_counter_ns

    from hashing.algorithm import Node
    from hashing.compare import NAMES
    from hashing.compare import compare as measure
    from kit.errors import ConfigError

    there = _nodes(nodes, weights)
    comes = [Node(f"node-{nodes + number}") for number in range(1, _count("--add", add, 0) + 1)]
    left = _leaving(there, remove, remove_node or [])
    chosen = list(dict.fromkeys(algorithm or NAMES))
    for name in chosen:
        if name not in NAMES:
            raise ConfigError(f"no hash algorithm {name!r}: {nearest(name, NAMES)}")
    lines = _keys(keys)
    results, skipped = [], {}
    for name in chosen:
        try:
            results.append(measure(name, there, lines, perf_counter_ns, added=comes, left=left))
        except ValueError as error:
            skipped[name] = str(error)
    if not results:
        raise ConfigError("; ".join(skipped.values()))
    for name, why in skipped.items():
        say(f"squall: left out {name}: {why}")
    data = {
        "nodes": [node._asdict() for node in there],
        "added": [node.name for node in comes],
        "removed": left,
        "keys": len(lines),
        "algorithms": [_as_json(result) for result in results],
        "left_out": skipped,
    }
    emit(SCHEMA, data, as_json=as_json, text=_text(results, len(lines)))


def _nodes(count: int, weights: str | None) -> "list[Node]":
    from hashing.algorithm import Node
    from kit.errors import ConfigError

    _count("--nodes", count, 1)
    if weights is None:
        return [Node(f"node-{number}") for number in range(1, count + 1)]
    try:
        values = [float(each) for each in weights.split(",")]
    except ValueError:
        raise ConfigError(f"--weights {weights}: give numbers with commas, e.g. 1,1,2") from None
    if len(values) != count:
        raise ConfigError(f"--weights names {len(values)} for {count} nodes: give one each")
    if not all(0.0 < value < float("inf") for value in values):
        raise ConfigError(f"--weights {weights}: all must be above zero")
    return [Node(f"node-{number}", value) for number, value in enumerate(values, start=1)]


def _count(option: str, value: int, least: int) -> int:
    from kit.errors import ConfigError

    if not least <= value <= MAX_NODES:
        raise ConfigError(f"{option} {value}: give {least} to {MAX_NODES}")
    return value


def _leaving(there: "Sequence[Node]", count: int, named: Sequence[str]) -> list[str]:
    """Return who leaves; with one node only, and nobody named, it is nobody."""
    from kit.errors import ConfigError

    names = [node.name for node in there]
    for name in named:
        if name not in names:
            raise ConfigError(f"--remove-node {name}: no such node, {nearest(name, names)}")
    if not named and count == 1 == len(names):
        return []
    left = list(dict.fromkeys(named)) or names[len(names) - _count("--remove", count, 0) :]
    if len(left) >= len(names) or count > len(names):
        raise ConfigError(f"all {len(names)} nodes would leave: at least one must stay")
    return left


def _keys(path: Path | None) -> list[bytes]:
    from kit.errors import ConfigError

    if path is None:
        return [b"video:%d" % number for number in range(KEY_COUNT)]
    try:
        lines = path.read_bytes().splitlines()
    except OSError as error:
        raise ConfigError(f"--keys {path}: {error.strerror}. Give a file, a key a line") from None
    if not (found := [line for line in lines if line]):
        raise ConfigError(f"--keys {path}: no key in it. Give a key a line")
    return found


def _text(results: "Sequence[Result]", key_count: int) -> str:
    rows = [
        (
            result.algorithm,
            f"{result.skew:.3f}",
            f"{result.deviation:.3f}",
            _moved(result.on_add),
            _moved(result.on_remove),
            f"{result.build_ms:.1f}",
            f"{result.lookup_ns / 1e3:.1f}",
            f"{result.memory_bytes / 1024:.0f}",
        )
        for result in results
    ]
    first = results[0]
    said = [f"{key_count} keys, {len(first.shares)} nodes", table(HEAD, rows)]
    least = [
        f"{verb} {change.optimum_ratio:.1%}"
        for verb, change in (("add", first.on_add), ("remove", first.on_remove))
        if change is not None
    ]
    if least:
        said.append(f"at least must move: {', '.join(least)}")
    said.extend(
        change.refused
        for result in results
        for change in (result.on_add, result.on_remove)
        if change is not None and change.refused is not None
    )
    return "\n".join(said)


def _moved(change: "Change | None") -> str:
    if change is None:
        return ""
    return "refused" if change.moved_ratio is None else f"{change.moved_ratio * 100:.1f}"


def _as_json(result: "Result") -> dict[str, Any]:
    from dataclasses import asdict

    return asdict(result)
