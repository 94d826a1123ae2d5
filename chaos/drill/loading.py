"""From a drill file to a checked drill: every mistake with its line, column and nearest key.

Why: a scenario that is wrong must say so before the lab is touched. Types are msgspec's business;
what only makes sense together (a refuted hypothesis exists, a fault fits into its phase) is here.
"""

import re
from collections.abc import Iterable, Iterator, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import msgspec
import msgspec.inspect

from chaos.drill.bound import parse_bound
from chaos.drill.metrics import METRICS
from chaos.drill.schema import FAULT, PHASE_ORDER, ROUTES, Drill, Hypothesis
from chaos.drill.source import DataPath, DrillFileError, Source, parse_value, read_source
from faults.rule import KINDS, FaultRule, check_rule
from kit.errors import ConfigError
from kit.state import DEFAULT_MODES
from resilience.policy.contract import Mode

_MSGSPEC_PATH = re.compile(r" - at `\$(?P<path>[^`]*)`$")
_PATH_PART = re.compile(r"\.([^.\[]+)|\[(\d+|\.\.\.)\]")
_UNKNOWN_FIELD = re.compile(r"Object contains unknown field `(?P<key>[^`]+)`")
_TARGET = re.compile(r"\*|[a-z][a-z0-9-]*(\.[1-9][0-9]*)?")


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
    try:
        drill = msgspec.convert(source.data, Drill)
    except msgspec.ValidationError as error:
        raise _located(source, str(error)) from error
    for path, message in _mistakes(drill):
        raise source.error(path, message)
    return drill


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
    if key.isdigit() and int(key) < len(items):
        return int(key)
    names = [str(item.get("name", "")) for item in items if isinstance(item, dict)]
    if key in names:
        return names.index(key)
    raise DrillFileError(f"--set {text}: there is no {key}; {nearest(key, names)}")


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant."""
    names = sorted(filter(None, known))
    close = get_close_matches(name, names, n=3, cutoff=0.4) or names
    return f"did you mean {', '.join(close)}?" if close else "nothing is there"


def _located(source: Source, message: str) -> DrillFileError:
    found = _MSGSPEC_PATH.search(message)
    path = _data_path(source.data, found["path"]) if found else ()
    text = message[: found.start()] if found else message
    unknown = _UNKNOWN_FIELD.search(text)
    if unknown is None:
        name = ".".join(str(part) for part in path)
        return source.error(path, f"{name}: {text}" if name else text)
    key = unknown["key"]
    hint = nearest(key, _fields_at(path))
    return source.error((*path, key), f"unknown key {key}; {hint}")


def _data_path(data: Any, text: str) -> DataPath:
    """Read msgspec's path; it writes ``[...]`` for a mapping's value, whose key we must guess."""
    path: list[str | int] = []
    for key, index in _PATH_PART.findall(text):
        if index == "...":
            break
        path.append(int(index) if index else key)
    return tuple(path)


def _fields_at(path: DataPath) -> list[str]:
    kind: Any = msgspec.inspect.type_info(Drill)
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


def _mistakes(drill: Drill) -> Iterator[tuple[DataPath, str]]:
    yield from _phase_mistakes(drill)
    yield from _policy_mistakes(drill)
    yield from _target_mistakes(drill)
    yield from _fault_mistakes(drill)
    for index, hypothesis in enumerate(drill.hypotheses):
        yield from _hypothesis_mistakes(drill, hypothesis, ("hypotheses", index))
    yield from _control_mistakes(drill)
    for index, condition in enumerate(drill.abort_if):
        yield from _bound_mistakes(condition.bound, ("abort_if", index, "bound"))


def _phase_mistakes(drill: Drill) -> Iterator[tuple[DataPath, str]]:
    names = tuple(phase.name for phase in drill.load.phases)
    if names != PHASE_ORDER:
        order = ", ".join(PHASE_ORDER)
        yield ("load", "phases"), f"the phases are {', '.join(names)}; they must be {order}"
    for index, phase in enumerate(drill.load.phases):
        at: DataPath = ("load", "phases", index)
        if phase.seconds <= 0:
            yield (*at, "seconds"), f"seconds is {phase.seconds:g}; it must be more than 0"
        for route, rate in phase.rates.items():
            if route not in ROUTES:
                yield (*at, "rates", route), f"unknown route {route}; {nearest(route, ROUTES)}"
            if rate < 0:
                yield (*at, "rates", route), f"the rate of {route} is {rate:g}; give 0 or more"


def _policy_mistakes(drill: Drill) -> Iterator[tuple[DataPath, str]]:
    for name, switch in drill.policies.items():
        if name not in DEFAULT_MODES:
            yield ("policies", name), f"unknown policy {name}; {nearest(name, DEFAULT_MODES)}"
        for target in switch if isinstance(switch, dict) else ():
            if not _TARGET.fullmatch(target):
                yield ("policies", name, target), f"{target} is no target; write video or video.2"


def _target_mistakes(drill: Drill) -> Iterator[tuple[DataPath, str]]:
    for part in ("stations", "settings", "drains"):
        for target in getattr(drill.setup, part):
            if not _TARGET.fullmatch(target):
                yield ("set", part, target), f"{target} is no target; write video or video.2"
    for target, station in drill.setup.stations.items():
        if station.workers < 1 or station.mean_ms <= 0 or station.cv < 0:
            yield ("set", "stations", target), "a station needs workers >= 1, mean_ms > 0, cv >= 0"


def _fault_mistakes(drill: Drill) -> Iterator[tuple[DataPath, str]]:
    phase_s = next((p.seconds for p in drill.load.phases if p.name == FAULT), 0.0)
    for index, fault in enumerate(drill.faults):
        at: DataPath = ("faults", index)
        if fault.kind not in KINDS:
            yield (*at, "kind"), f"unknown fault {fault.kind}; {nearest(fault.kind, KINDS)}"
        if fault.at < 0 or fault.seconds <= 0 or fault.at + fault.seconds > phase_s:
            yield (
                at,
                f"the fault lasts from {fault.at:g} to {fault.at + fault.seconds:g} s; "
                f"the fault phase has {phase_s:g} s",
            )
        try:
            check_rule(
                FaultRule(
                    id="check",
                    kind=fault.kind,
                    target=fault.on,
                    params=fault.params(),
                    share=fault.share,
                )
            )
        except ConfigError as error:
            yield at, str(error)


def _hypothesis_mistakes(
    drill: Drill, hypothesis: Hypothesis, at: DataPath
) -> Iterator[tuple[DataPath, str]]:
    metric = hypothesis.metric
    if metric not in METRICS:
        yield (*at, "metric"), f"unknown metric {metric}; {nearest(metric, METRICS)}"
    if hypothesis.route and hypothesis.route not in ROUTES:
        hint = nearest(hypothesis.route, ROUTES)
        yield (*at, "route"), f"unknown route {hypothesis.route}; {hint}"
    if metric == "share_within" and not hypothesis.within_ms:
        yield at, "share_within needs within_ms"
    if metric == "goodput_of_capacity" and drill.capacity is None:
        yield at, "goodput_of_capacity needs the drill's capacity"
    yield from _bound_mistakes(hypothesis.bound, (*at, "bound"))


def _control_mistakes(drill: Drill) -> Iterator[tuple[DataPath, str]]:
    for index, name in enumerate(drill.control.off):
        switch = drill.policies.get(name, Mode.OFF)
        if switch is Mode.OFF:
            known = [n for n, s in drill.policies.items() if s is not Mode.OFF]
            yield (
                ("control", "off", index),
                f"{name} isn't on in the main arm; {nearest(name, known)}",
            )
    names = [hypothesis.name for hypothesis in drill.hypotheses]
    if not drill.control.refutes:
        yield ("control", "refutes"), "name at least one hypothesis that must fail"
    for index, refutation in enumerate(drill.control.refutations()):
        at: DataPath = ("control", "refutes", index)
        if refutation.name not in names:
            yield (
                at,
                f"no hypothesis is called {refutation.name}; {nearest(refutation.name, names)}",
            )
        if refutation.bound:
            yield from _bound_mistakes(refutation.bound, at)


def _bound_mistakes(text: str, path: DataPath) -> Iterator[tuple[DataPath, str]]:
    try:
        parse_bound(text)
    except ValueError as error:
        yield path, str(error)
