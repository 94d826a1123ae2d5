"""What is wrong with a hypothesis: metric, route, bound, and what each metric needs beside it."""

import re
import shlex
from collections.abc import Iterator
from typing import TypeAlias

from chaos.drill.bound import parse_bound
from chaos.drill.metrics import METRICS
from chaos.drill.schema import ALL, Drill, Hypothesis
from chaos.drivers.host_fault import ISOLATE
from kit.nearest import nearest
from kit.source import DataPath

OF_WRITES = frozenset(
    {"acknowledged_lost", "first_local_write_s", "last_cut_off_write_s", "writes_of_steady"}
)
AT_A_SERVICE = frozenset({"calls_per_request", "origin_calls", "share_of_calls", "node_share"})
_CACHE_NODE = re.compile(r"cache-[1-9][0-9]*")
OF_CAPACITY = frozenset({"goodput_of_capacity", "jain_index", "admitted_of_quota"})

Mistake: TypeAlias = tuple[DataPath, str]
"""Where in the file, and what to say."""


def hypothesis_mistakes(drill: Drill, hypothesis: Hypothesis, at: DataPath) -> Iterator[Mistake]:
    """Yield what is wrong with one hypothesis."""
    metric = hypothesis.metric
    if metric not in METRICS:
        yield (*at, "metric"), f"unknown metric {metric}; {nearest(metric, METRICS)}"
    if hypothesis.route and hypothesis.route not in drill.load.names:
        hint = nearest(hypothesis.route, drill.load.names)
        yield (*at, "route"), f"unknown route {hypothesis.route}; {hint}"
    if metric == "share_within" and not hypothesis.within_ms:
        yield at, "share_within needs within_ms"
    if metric in OF_CAPACITY and drill.capacity is None:
        yield at, f"{metric} needs the drill's capacity"
    if metric in OF_WRITES and drill.writes is None:
        yield at, f"{metric} needs the drill's writes"
    if metric == "moved_of_gained" and drill.growth is None:
        yield at, "moved_of_gained needs the drill's growth"
    if metric == "last_cut_off_write_s" and all(f.kind != ISOLATE for f in drill.faults):
        yield at, f"{metric} is of a primary cut off from its store: give a fault isolate"
    if metric == "jain_index" and hypothesis.route:
        yield (*at, "route"), "jain_index is of all classes together; leave route out"
    if metric == "watchdog_named" and not drill.faults:
        yield at, "watchdog_named counts on the targets of faults; the drill has none"
    if (metric in AT_A_SERVICE) is not bool(hypothesis.at):
        needs = "takes no at" if hypothesis.at else "needs at: which service, e.g. at: video"
        yield at, f"{metric} {needs}"
    if metric == "share_of_calls" and hypothesis.at and "." not in hypothesis.at:
        yield (*at, "at"), f"share_of_calls is of one replica: at: {hypothesis.at}.1"
    if metric == "node_share" and hypothesis.at and not _CACHE_NODE.fullmatch(hypothesis.at):
        yield (
            (*at, "at"),
            f"node_share is of a node of the cache such as cache-1: {hypothesis.at}",
        )
    yield from _last_s_mistakes(drill, hypothesis, at)
    yield from _command_mistakes(drill, hypothesis, at)
    yield from bound_mistakes(hypothesis.bound, (*at, "bound"))


def bound_mistakes(text: str, path: DataPath) -> Iterator[Mistake]:
    """Yield what is wrong with a bound."""
    try:
        parse_bound(text)
    except ValueError as error:
        yield path, str(error)


def _last_s_mistakes(drill: Drill, hypothesis: Hypothesis, at: DataPath) -> Iterator[Mistake]:
    if hypothesis.last_s is None:
        return
    if hypothesis.metric != "goodput_of_offered":
        yield (*at, "last_s"), f"{hypothesis.metric} takes no last_s; goodput_of_offered does"
    if hypothesis.phase == ALL:
        yield (*at, "last_s"), "last_s is of one phase; name it instead of all"
        return
    length_s = next((p.seconds for p in drill.load.phases if p.name == hypothesis.phase), 0.0)
    if not 0 < hypothesis.last_s <= length_s:
        yield (
            (*at, "last_s"),
            f"last_s is {hypothesis.last_s:g}; the {hypothesis.phase} phase has {length_s:g} s",
        )


def _command_mistakes(drill: Drill, hypothesis: Hypothesis, at: DataPath) -> Iterator[Mistake]:
    if hypothesis.metric != "command_seconds":
        if hypothesis.command:
            yield (*at, "command"), f"{hypothesis.metric} runs no command; command_seconds does"
        return
    if not hypothesis.command:
        yield at, "command_seconds needs command, e.g. command: policy set limiter on --on video"
    elif all(fault.is_at_once for fault in drill.faults):
        yield at, "command_seconds runs a command 3 s into a fault that lasts; the drill has none"
    try:
        shlex.split(hypothesis.command)
    except ValueError as error:
        yield (*at, "command"), f"{hypothesis.command!r} is no command line: {error}"
    if hypothesis.phase != "fault":
        yield (*at, "phase"), "command_seconds is of the fault phase: it runs 3 s into the fault"
