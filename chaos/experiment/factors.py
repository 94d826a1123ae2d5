"""Factors: what may be varied, and what a value of it changes. Pure.

    video.limiter: [off, bbr, vegas]     a switch: a position, or a choice, which turns it on
    gateway.attempts: [1, 3]             a number that a service reads
    station.video.mean_ms: [50, 100]     a service's capacity: workers, mean_ms or cv
    load.rate: [10, 20, 40]              the load: rate, deadline_ms, gaps or zipf

Each cell becomes a drill's value, so that whatever runs drills runs cells.
"""

from collections.abc import Iterator, Mapping
from itertools import product
from typing import Any

import msgspec

from chaos.drill.schema import DEFAULT_BUDGET_MS, FAULT, WARM, Control, Drill, LoadPhase, Needs
from chaos.experiment.schema import Cell, Experiment, ExperimentLoad, Level
from kit.choices import CHOICES
from kit.state import DEFAULT_MODES
from resilience.policy.contract import Mode

LOAD, STATION = "load", "station"
LOAD_FIELDS = ("rate", "deadline_ms", "gaps", "zipf")
STATION_FIELDS = ("workers", "mean_ms", "cv")
EVERYWHERE = "*"
POSITIONS = tuple(mode.value for mode in Mode)


def cells(experiment: Experiment) -> list[Cell]:
    """Return every combination, the last factor changing fastest."""
    names = list(experiment.vary)
    return [dict(zip(names, levels, strict=True)) for levels in product(*experiment.vary.values())]


def factor_mistakes(key: str, levels: tuple[Level, ...]) -> Iterator[str]:
    """Yield what is wrong with one factor, in words."""
    if len(levels) < 1:
        yield "give at least one value"
    if len(set(map(str, levels))) < len(levels):
        yield "a value stands here twice"
    target, _, name = key.rpartition(".")
    if not target:
        yield f"{key} is no setting: write video.limiter, gateway.attempts or load.rate"
    elif target == LOAD:
        if name not in LOAD_FIELDS:
            yield f"load has no {name} to vary; it has {', '.join(LOAD_FIELDS)}"
    elif target.startswith(f"{STATION}."):
        if name not in STATION_FIELDS:
            yield f"a station has no {name}; it has {', '.join(STATION_FIELDS)}"
        elif not all(_is_number(level) for level in levels):
            yield f"{name} of a station is a number"
    elif name in DEFAULT_MODES or name in CHOICES:
        allowed = (*POSITIONS, *CHOICES.get(name, ()))
        for level in levels:
            if level not in allowed:
                yield f"{name} cannot be {level}; it can be {', '.join(allowed)}"
    elif not all(_is_number(level) for level in levels):
        yield f"{name} is no policy, so its values must be numbers"


def drill_of(experiment: Experiment, cell: Cell) -> Drill:
    """Return a cell as a drill: a warm-up, and one phase in which it is measured."""
    fix = experiment.fix
    policies: dict[str, Any] = dict(fix.policies)
    setup: dict[str, Any] = msgspec.to_builtins(fix.setup)
    load: dict[str, Any] = msgspec.to_builtins(fix.load)
    for key, level in cell.items():
        _apply(key, level, policies, setup, load)
    arrivals = msgspec.convert(load, ExperimentLoad)
    if arrivals.deadline_ms != DEFAULT_BUDGET_MS:
        for tier in ("gateway", "l7"):
            setup["settings"].setdefault(tier, {}).setdefault("budget_ms", arrivals.deadline_ms)
    return msgspec.convert(
        {
            "drill": experiment.experiment,
            "chapter": "",
            "incident": "",
            "lesson": experiment.question,
            "title": name_of(cell),
            "needs": msgspec.to_builtins(Needs(seconds=0.0, cores=experiment.cores)),
            "policies": msgspec.to_builtins(policies),
            "set": setup,
            "capacity": msgspec.to_builtins(fix.capacity),
            "load": _drill_load(arrivals),
            "hypotheses": [],
            "control": msgspec.to_builtins(Control(off=(), refutes=())),
        },
        Drill,
    )


def name_of(cell: Cell) -> str:
    """Name a cell for people and for its folder's label."""
    return ", ".join(f"{key}={word(level)}" for key, level in cell.items())


def word(level: Level) -> str:
    """Write a level as the file has it."""
    if isinstance(level, bool):
        return "true" if level else "false"
    return f"{level:g}" if isinstance(level, int | float) else level


def _apply(
    key: str,
    level: Level,
    policies: dict[str, Any],
    setup: dict[str, Any],
    load: dict[str, Any],
) -> None:
    """Change what a cell says of one factor."""
    target, _, name = key.rpartition(".")
    if target == LOAD:
        load[name] = level
    elif target.startswith(f"{STATION}."):
        setup["stations"].setdefault(target.partition(".")[2], {})[name] = level
    elif name in DEFAULT_MODES or name in CHOICES:
        is_position = level in POSITIONS
        policies[name] = _positions(policies.get(name)) | {
            target: Mode(level) if is_position else Mode.ON
        }
        if not is_position:
            setup["choices"].setdefault(target, {})[name] = level
    else:
        setup["settings"].setdefault(target, {})[name] = level


def _positions(switch: Any) -> dict[str, Mode]:
    if isinstance(switch, Mapping):
        return dict(switch)
    return {} if switch is None else {EVERYWHERE: switch}


def _drill_load(load: ExperimentLoad) -> dict[str, Any]:
    total = sum(load.mix.values())
    rates = {name: load.rate * weight / total for name, weight in load.mix.items()}
    phases = [
        LoadPhase(name="warm", seconds=load.warmup, rates=rates),
        LoadPhase(name="fault", seconds=load.seconds, rates=rates),
    ]
    assert [phase.name for phase in phases] == [WARM, FAULT]
    return {
        "phases": [msgspec.to_builtins(phase) for phase in phases],
        "classes": msgspec.to_builtins(load.classes),
        "gaps": load.gaps,
        "zipf": load.zipf,
        "budget_ms": load.deadline_ms,
        "give_up_s": load.give_up_s,
        "max_in_flight": load.max_in_flight,
    }


def _is_number(level: Level) -> bool:
    return isinstance(level, int | float) and not isinstance(level, bool)
