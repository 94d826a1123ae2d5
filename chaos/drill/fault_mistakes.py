"""What is wrong with a drill's faults: kind, target, params and the window they act in.

Kinds, params and targets are checked by whoever carries the fault out (``faults.rule`` for rules,
``chaos.drivers.host_fault`` for the driver; crowds of clients here), so that a drill can't say what
the lab would refuse.
"""

from collections.abc import Iterator

from chaos.drill.fault import (
    CLIENTS,
    CUT,
    DETACH,
    SLOWLORIS,
    Fault,
    has_shard_role,
    replace_shard_role,
)
from chaos.drill.schema import FAULT, Drill
from chaos.drivers import host_fault
from chaos.drivers.host_fault import HostFault, check_host_fault
from faults.kinds import KINDS as RULE_KINDS
from faults.kinds import MAX_MS
from faults.rule import FaultRule, check_rule
from kit.errors import ConfigError
from kit.nearest import nearest
from kit.source import DataPath

KINDS = (*RULE_KINDS, *host_fault.KINDS, CUT, DETACH, SLOWLORIS)
CROWD_MOST = {"connections": 10_000, "rate": 10_000.0, "ms": MAX_MS}
ANY_NODE = "store-1"  # stands for whichever node has a role when the fault begins
ANY_TTL_S = 1.0


def fault_mistakes(drill: Drill) -> Iterator[tuple[DataPath, str]]:
    """Yield what is wrong with a drill's faults, each with its place."""
    phase_s = next((p.seconds for p in drill.load.phases if p.name == FAULT), 0.0)
    for index, fault in enumerate(drill.faults):
        at: DataPath = ("faults", index)
        if fault.kind not in KINDS:
            yield (*at, "kind"), f"unknown fault {fault.kind}; {nearest(fault.kind, KINDS)}"
            continue
        yield from _window_mistakes(fault, phase_s, at)
        if fault.is_crowd:
            yield from _crowd_mistakes(fault, at)
            continue
        if fault.is_detach:
            yield from _detach_mistakes(fault, at)
            continue
        yield from _target_mistakes(fault, at)
        try:
            _check(fault)
        except ConfigError as error:
            yield at, str(error)


def _window_mistakes(fault: Fault, phase_s: float, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    if not fault.seconds and not fault.is_at_once:
        yield at, f"{fault.kind} needs for: how many seconds it lasts"
        return
    ends_s = fault.ends_at_s(phase_s)
    if fault.at < 0 or fault.seconds < 0 or not fault.at < ends_s <= phase_s:
        yield (
            at,
            f"the fault lasts from {fault.at:g} to {ends_s:g} s; the fault phase has {phase_s:g} s",
        )


def _target_mistakes(fault: Fault, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    place = (*at, "on")
    if fault.kind == CUT and not fault.is_wire:
        yield place, f"cut acts on a link: write link:gateway>{fault.on}"
    if has_shard_role(fault.on) and not fault.is_wire and not fault.is_host:
        yield place, f"{fault.kind} is done by a service's process; {fault.on} is a store node"
    if fault.is_host and (fault.route or fault.tenant or fault.share != 1.0):
        yield at, f"{fault.kind} acts on whole instances: it takes no route, tenant or share"


def _detach_mistakes(fault: Fault, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    if not has_shard_role(fault.on) or fault.is_wire or not fault.on.endswith(".primary"):
        yield (*at, "on"), "detach is of a shard's primary: write on: shard.1.primary"
    if fault.params() or fault.seconds:
        yield at, "detach is done at once: it takes no for and no params"


def _crowd_mistakes(fault: Fault, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    if fault.on != CLIENTS:
        yield (*at, "on"), f"{fault.kind} comes from outside: write on: {CLIENTS}"
    if fault.route or fault.tenant or fault.share != 1.0:
        yield at, f"{fault.kind} is nobody's request: it takes no route, tenant or share"
    for name, most in CROWD_MOST.items():
        value = getattr(fault, name)
        if value is None or not 0 < value <= most:
            given = "missing" if value is None else f"{value:g}"
            yield (*at, name), f"{name} is {given}; give more than 0, at most {most:g}"
    strange = fault.params().keys() - CROWD_MOST
    if strange:
        yield at, f"{fault.kind} has no param {min(strange)}; it takes {', '.join(CROWD_MOST)}"


def _check(fault: Fault) -> None:
    """Let whoever will carry it out check it; raises ConfigError."""
    target = replace_shard_role(fault.on, lambda shard, role: ANY_NODE)
    if fault.is_host:
        numbers = {k: v for k, v in fault.params().items() if not isinstance(v, str)}
        words = [name for name in fault.params() if name not in numbers]
        if words:
            raise ConfigError(f"host fault {fault.kind} has no param {words[0]!r}")
        check_host_fault(HostFault("check", fault.kind, target, ANY_TTL_S, numbers))
        return
    check_rule(
        FaultRule(
            id="check",
            kind=fault.rule_kind,
            target=target,
            params=fault.params(),
            route=fault.route,
            tenant=fault.tenant,
            share=fault.share,
        )
    )
