"""Fault rules on the command line: written to control, shown with their proof, and deleted."""

import asyncio
import time
from typing import Any

import msgspec

from chaos import lab as labs
from faults.injector import UNHEALTHY
from faults.kinds import SHARE_OF
from faults.rule import FaultRule, LinkTarget
from faults.wire.links import LINKS_VARIABLE, find_link, parse_links
from faults.wire.own import own_links, own_servers
from kit.control import ControlClient
from kit.entries import Overlay
from kit.errors import ConfigError, LabEnvironmentError
from kit.members import LiveReport
from squall.fault_asked import Asked
from squall.link import change, control, live_data, live_entries, resolve_target
from squall.output import nearest

LINKS = "links"  # the service that stands in disturbed links
WITHOUT_INJECTION = frozenset({"l4", "l7", LINKS})  # what goes wrong there is the wire
WITHOUT_STATION = frozenset({"gateway"})  # design.md: a concurrency cap instead
CHECKED = frozenset({"gateway"})  # l7's active checks; services are known by their leases
PATIENCE_S = 10.0  # for a control that was just let go on or started
POLL_S = 0.1


def add_rule(asked: Asked) -> tuple[dict[str, Any], str, int]:
    """Write a rule and wait until it is live; returns data, text and the exit code.

    Raises:
        ConfigError: A value is wrong, or the target doesn't exist or can't be disturbed so.
        LabEnvironmentError: No lab runs here.
    """
    rule = asked.rule()
    report = asyncio.run(_add(rule))
    text = (
        f"{describe(rule)} for {rule.ttl_s:g} s: {report}\n"
        f"end it early: ./squall fault clear {rule.id}"
    )
    return {**_data(rule), **live_data(report)}, text, 1 if report.missing else 0


def list_rules() -> list[dict[str, Any]]:
    """Return every rule in force as a row of the list, a running drill's included.

    Raises:
        LabEnvironmentError: No lab runs here.
    """
    return asyncio.run(_list())


def remove_rules(
    rule_id: str | None, *, others: list[str], is_patient: bool
) -> tuple[dict[str, Any], str, int]:
    """Delete one rule, or all; returns data, text ("" when there was none) and the exit code.

    Args:
        rule_id: None for all but a drill's own.
        others: Ids that are no rules, for the hint when an id is unknown.
        is_patient: Whether to wait for a control that may be on its way back.

    Raises:
        ConfigError: No fault has that id.
        LabEnvironmentError: No lab runs here.
    """
    if is_patient:
        _wait_control()
    removed, report = asyncio.run(_remove(rule_id, others))
    if report is None:
        return {"removed": removed}, "", 0
    text = f"removed {', '.join(removed)}: {report}"
    return {"removed": removed, **live_data(report)}, text, 1 if report.missing else 0


def describe(rule: FaultRule) -> str:
    """A fault in a few words, e.g. ``latency ms=500 on comment, route GET /v1/home, 30 %``."""
    words = [rule.kind, *(f"{name}={value}" for name, value in rule.params.items())]
    limits = [f"route {rule.route}"] * bool(rule.route) + [f"tenant {rule.tenant}"] * bool(
        rule.tenant
    )
    if rule.share < 1.0:
        of = SHARE_OF.get(rule.kind, "connections") if rule.link else "requests"
        limits.append(f"{rule.share:.0%} of {of}")
    return ", ".join([f"{' '.join(words)} on {rule.target}", *limits])


async def _add(rule: FaultRule) -> LiveReport:
    async with control() as client:
        if rule.link is not None:
            targets = await _link_targets(client, rule.link)
        else:
            targets = await resolve_target(client, rule.target)
            _require_bite(rule, targets)
        return await change(client, {f"fault/{rule.id}": _data(rule)}, targets)


async def _link_targets(client: ControlClient, target: LinkTarget) -> list[str]:
    """Return who must know of a link's rule: the links process, and the link's client.

    Raises:
        ConfigError: No such link is declared, or nothing of its server's name is in the lab.
        LabEnvironmentError: The links process doesn't run.
    """
    services = labs.load_lab().topology().services
    if LINKS not in services:
        raise LabEnvironmentError(f"this lab has no service {LINKS}, so its links can't be cut")
    own = {field: entry for field, (entry, _) in live_entries(await client.read()).items()}
    declared = parse_links(services[LINKS].environment[LINKS_VARIABLE])
    link = find_link(target, (*declared, *own_links(own)))
    nodes = {name for name in services if name.startswith(f"{link.server}-")}
    replicas = set(services[link.server].instances) if link.server in services else set()
    servers = {link.server, *nodes, *replicas, *(one.name for one in own_servers(own))}
    if target.server not in servers:
        known = {f"link:{link.client}>{name}" for name in servers}
        asked = f"link:{target.client}>{target.server}"
        raise ConfigError(f"no {target.server!r} is in the lab; {nearest(asked, known)}")
    members = {member.instance: member.service for member in await client.members()}
    if LINKS not in members.values():
        raise LabEnvironmentError(f"the process {LINKS} is not running: ./squall status")
    return sorted(name for name, service in members.items() if service in (LINKS, link.client))


def _require_bite(rule: FaultRule, instances: list[str]) -> None:
    """Refuse a fault that could never bite."""
    services = {name.rpartition(".")[0] for name in instances}
    if services <= WITHOUT_INJECTION:
        raise ConfigError(
            f"{rule.target} takes no such faults: they bite in the services and the gateway; try "
            "--on gateway, or a link such as --on 'link:l7>gateway'"
        )
    if rule.kind == "slow" and services <= WITHOUT_STATION:
        raise ConfigError(
            f"{rule.target} has no station that could be slow; try --on video, or latency"
        )
    if rule.kind == UNHEALTHY and not services & CHECKED:
        raise ConfigError(f"nobody checks {rule.target}; l7 checks the gateways: try --on gateway")


async def _list() -> list[dict[str, Any]]:
    async with control() as client:
        rules = await _live_rules(client)
        proofs = await client.ask("faults", {})
    return [_row(rule, ends_in_s, proofs) for rule, ends_in_s in rules]


def _row(rule: FaultRule, ends_in_s: float, proofs: dict[str, Any]) -> dict[str, Any]:
    counts: dict[str, float] = {}
    errors: set[str] = set()
    for answer in proofs.values():
        for name, value in (answer or {}).get(rule.id, {}).items():
            if isinstance(value, int | float):
                counts[name] = counts.get(name, 0) + value
            elif name == "error":
                errors.add(str(value))
    figures = [f"{name} {value:g}" for name, value in counts.items() if value or name == "hits"]
    return {
        **_data(rule),
        "depth": "link" if rule.link else "service",
        "what": describe(rule),
        "ends_in_s": round(ends_in_s, 1),
        "proof": ", ".join([*figures, *sorted(errors)]),
        "proof_counts": counts,
    }


async def _live_rules(client: ControlClient) -> list[tuple[FaultRule, float]]:
    """Every fault in force with the seconds it still has, a running drill's included."""
    rules: list[tuple[FaultRule, float]] = []
    for entry, left_s in live_entries(await client.read()).values():
        if isinstance(entry, FaultRule | Overlay) and left_s is not None:
            found = [entry] if isinstance(entry, FaultRule) else entry.faults
            rules.extend((rule, left_s) for rule in found)
    return rules


async def _remove(rule_id: str | None, others: list[str]) -> tuple[list[str], LiveReport | None]:
    """Delete one rule, or all when None; returns the ids gone."""
    async with control() as client:
        snapshot = await client.read()
        known = [
            field.removeprefix("fault/") for field in snapshot.entries if field.startswith("fault/")
        ]
        if rule_id is not None and rule_id not in known:
            raise ConfigError(
                f"no fault has the id {rule_id!r}; {nearest(rule_id, [*known, *others])}"
            )
        gone = known if rule_id is None else [rule_id]
        if not gone:
            return [], None
        targets = await resolve_target(client, "*")
        return gone, await change(client, {f"fault/{name}": None for name in gone}, targets)


def _wait_control() -> None:
    """Wait until control answers, for a while; who asks it next says what is wrong."""
    until_s = time.monotonic() + PATIENCE_S
    while time.monotonic() < until_s:
        try:
            labs.find_lab()
        except LabEnvironmentError:
            time.sleep(POLL_S)
        else:
            return


def _data(rule: FaultRule) -> dict[str, Any]:
    fields: dict[str, Any] = msgspec.to_builtins(rule)
    return fields
