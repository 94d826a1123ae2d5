"""What is wrong with a drill whose types are right: what only makes sense together.

Pure: from a drill to places and sentences.
"""

import re
from collections.abc import Iterator

from chaos.drill.fault_mistakes import fault_mistakes
from chaos.drill.hypothesis_mistakes import Mistake, bound_mistakes, hypothesis_mistakes
from chaos.drill.schema import ENGINE_POLICIES, PHASE_ORDER, ROUTES, Drill
from kit.choices import CHOICES
from kit.nearest import nearest
from kit.source import DataPath
from kit.state import DEFAULT_MODES
from resilience.policy.contract import Mode

LONGEST_TO_A_KILL_S = 60.0
MAX_WRITES = 1000.0  # a second; more would be the engine's own load
_CLASS = re.compile(r"[a-z][a-z0-9_-]*")
_TENANT = re.compile(r"[A-Za-z0-9_.-]{0,64}")
_TARGET = re.compile(r"\*|[a-z][a-z0-9-]*(\.[1-9][0-9]*)?")


def mistakes(drill: Drill) -> Iterator[Mistake]:
    """Yield what is wrong, each with its place."""
    yield from _phase_mistakes(drill)
    yield from _class_mistakes(drill)
    yield from setup_mistakes(drill)
    yield from fault_mistakes(drill)
    yield from _writes_mistakes(drill)
    yield from _growth_mistakes(drill)
    for index, hypothesis in enumerate(drill.hypotheses):
        yield from hypothesis_mistakes(drill, hypothesis, ("hypotheses", index))
    yield from _control_mistakes(drill)
    for index, condition in enumerate(drill.abort_if):
        yield from bound_mistakes(condition.bound, ("abort_if", index, "bound"))


def setup_mistakes(drill: Drill) -> Iterator[Mistake]:
    """Yield what is wrong with what is laid over the lab: policies, stations, targets, choices."""
    yield from _policy_mistakes(drill)
    yield from _target_mistakes(drill)


def _phase_mistakes(drill: Drill) -> Iterator[Mistake]:
    names = tuple(phase.name for phase in drill.load.phases)
    if names != PHASE_ORDER:
        order = ", ".join(PHASE_ORDER)
        yield ("load", "phases"), f"the phases are {', '.join(names)}; they must be {order}"
    known = drill.load.names
    for index, phase in enumerate(drill.load.phases):
        at: DataPath = ("load", "phases", index)
        if phase.seconds <= 0:
            yield (*at, "seconds"), f"seconds is {phase.seconds:g}; it must be more than 0"
        for route, rate in phase.rates.items():
            if route not in known:
                yield (*at, "rates", route), f"unknown route {route}; {nearest(route, known)}"
            if rate < 0:
                yield (*at, "rates", route), f"the rate of {route} is {rate:g}; give 0 or more"


def _writes_mistakes(drill: Drill) -> Iterator[Mistake]:
    if drill.writes is None:
        return
    if not 0 < drill.writes.rate <= MAX_WRITES:
        yield (
            ("writes", "rate"),
            f"rate is {drill.writes.rate:g}; give more than 0, up to {MAX_WRITES:g}",
        )
    if drill.writes.shard < 1:
        yield ("writes", "shard"), f"shard is {drill.writes.shard}; shards are numbered from 1"


def _growth_mistakes(drill: Drill) -> Iterator[Mistake]:
    if drill.growth is None:
        return
    kills = drill.growth.kills_after_s
    if any(not 0 < after_s < LONGEST_TO_A_KILL_S for after_s in kills):
        given = ", ".join(f"{each:g}" for each in kills)
        yield (
            ("growth", "kills_after_s"),
            f"kills_after_s is {given}; give more than 0, less than {LONGEST_TO_A_KILL_S:g} each",
        )
    if not drill.growth.slots_per_s >= 1:
        yield (
            ("growth", "slots_per_s"),
            f"slots_per_s is {drill.growth.slots_per_s:g}; give 1 or more",
        )


def _class_mistakes(drill: Drill) -> Iterator[Mistake]:
    sent = {name for phase in drill.load.phases for name in phase.rates}
    for name, each in drill.load.classes.items():
        at: DataPath = ("load", "classes", name)
        if name in ROUTES:
            yield at, f"{name} is a route's name; give the class another"
        if not _CLASS.fullmatch(name):
            yield at, f"{name} is no class's name; write it like buyers or tenant_a"
        if each.route not in ROUTES:
            yield (*at, "route"), f"unknown route {each.route}; {nearest(each.route, ROUTES)}"
        if not _TENANT.fullmatch(each.tenant):
            yield (*at, "tenant"), f"tenant {each.tenant!r} has more than A-Z, a-z, 0-9, _, . and -"
        if each.video is not None and each.video < 1:
            yield (*at, "video"), f"video is {each.video}; videos are numbered from 1"
        if name not in sent:
            yield at, f"no phase sends {name}"


def _policy_mistakes(drill: Drill) -> Iterator[Mistake]:
    for name, switch in drill.policies.items():
        if name in ENGINE_POLICIES:
            part = "growth" if name == "slot_map" else "writes"
            if getattr(drill, part) is None:
                yield ("policies", name), f"{name} is of the drill's {part}; it has none"
        elif name not in DEFAULT_MODES:
            yield ("policies", name), f"unknown policy {name}; {nearest(name, DEFAULT_MODES)}"
        for target in switch if isinstance(switch, dict) else ():
            if not _TARGET.fullmatch(target):
                yield ("policies", name, target), f"{target} is no target; write video or video.2"


def _target_mistakes(drill: Drill) -> Iterator[Mistake]:
    for part in ("stations", "settings", "choices", "drains"):
        for target in getattr(drill.setup, part):
            if not _TARGET.fullmatch(target):
                yield ("set", part, target), f"{target} is no target; write video or video.2"
    for target, station in drill.setup.stations.items():
        if station.workers < 1 or station.mean_ms <= 0 or station.cv < 0:
            yield ("set", "stations", target), "a station needs workers >= 1, mean_ms > 0, cv >= 0"
    for target, choices in drill.setup.choices.items():
        for name, value in choices.items():
            at: DataPath = ("set", "choices", target, name)
            if name not in CHOICES:
                yield at, f"unknown choice {name}; {nearest(name, CHOICES)}"
            elif value not in CHOICES[name]:
                yield at, f"{name} cannot be {value}; {nearest(value, CHOICES[name])}"


def _control_mistakes(drill: Drill) -> Iterator[Mistake]:
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
            yield from bound_mistakes(refutation.bound, at)
