"""Command lines of pages, read as the command reads them, without running anything."""

import shlex
from collections.abc import Callable, Mapping
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

from typer.main import get_command

from chaos.compose import Topology, read_topology
from chaos.drill.catalogue import find_drill
from chaos.drill.loading import load_drill
from faults.wire.links import LINKS_VARIABLE, Link, find_link, parse_links
from kit.choices import CHOICES
from kit.state import DEFAULT_MODES
from resilience.policy.contract import Mode
from squall.durations import parse_duration
from squall.fault_asked import Asked
from squall.main import app
from tests.docs.pages import ROOT, words_of

FIGURES = (
    *("ms", "jitter_ms", "every_ms", "code", "factor", "kbps", "variation", "us", "stream"),
    *("cores", "mb"),
)
READERS_FILES = frozenset({"my-drill.yaml", "reset-link.yaml"})  # which a page tells to write
OWN_LINK = Link("l7", "hello")  # the route of examples/hello declares it


class Parsed(NamedTuple):
    """A command line that fits.

    Args:
        path: ``squall fault add``.
        values: What its options and arguments say; empty for a mention without any.
    """

    path: str
    values: Mapping[str, Any]


def parse(line: str) -> Parsed:
    """Read a command line as the command does; raises when an option or a word is wrong."""
    _, *arguments = words_of(line)
    command: Any = _squall()
    path = "squall"
    named = shlex.join([path, *arguments])  # a mention of a command alone is no command line
    while hasattr(command, "commands"):
        name, *arguments = arguments
        assert name in command.commands, f"{path} has no command {name}"
        command, path = command.commands[name], f"{path} {name}"
    if not arguments and path == named:
        return Parsed(path, {})
    return Parsed(path, command.make_context(path, arguments).params)


def check(line: str) -> None:
    """Check also what the words mean: kinds, targets, policies, drills; raises when unknown."""
    parsed = parse(line)
    known = CHECKS.get(parsed.path)
    if known is not None and parsed.values:
        known(parsed.values)


@cache
def topology() -> Topology:
    """Return the lab with the example of a service of one's own."""
    return read_topology(ROOT / "docker-compose.yml", ROOT / "examples/hello/compose.yml")


def check_target(target: str) -> None:
    """Check a service, a replica or ``*``; raises when the lab has none of that name."""
    services = topology().services
    names = {name for service in services.values() for name in service.instances}
    assert target in {"*", *services, *names}, f"the lab has no {target}"


@cache
def _squall() -> Any:
    return get_command(app)


def _check_fault(values: Mapping[str, Any]) -> None:
    params = {name: values[name] for name in FIGURES if values[name] is not None}
    if values["size"] is not None:
        params["bytes"] = values["size"]
    share, route, tenant = values["share"], values["route"], values["tenant"]
    ttl_s = parse_duration(values["ttl"], "--ttl")
    asked = Asked(values["kind"], values["on"], params, share, route, tenant, ttl_s)
    asked.check_kind()
    if asked.is_of_host:
        check_target(asked.host_fault().target)
        return
    rule = asked.rule()
    if rule.link is None:
        check_target(rule.target)
    else:
        declared = parse_links(topology().services["links"].environment[LINKS_VARIABLE])
        find_link(rule.link, (*declared, OWN_LINK))


def _check_policy(values: Mapping[str, Any]) -> None:
    known = DEFAULT_MODES if "mode" in values else {*DEFAULT_MODES, *CHOICES}
    assert values["name"] in known, f"no policy is called {values['name']}"
    assert values.get("mode", "on") in [mode.value for mode in Mode]
    check_target(values["on"])


def _check_drills(values: Mapping[str, Any]) -> None:
    for name in values.get("names") or [values.get("name")]:
        if name and name not in READERS_FILES:
            load_drill(find_drill(name), values.get("overrides") or ())


def _check_services(values: Mapping[str, Any]) -> None:
    check_target(values["target"])


def _check_files(values: Mapping[str, Any]) -> None:
    assert [path for path in values["file"] or () if not (ROOT / Path(path)).is_file()] == []


CHECKS: Mapping[str, Callable[[Mapping[str, Any]], None]] = {
    "squall fault add": _check_fault,
    "squall policy set": _check_policy,
    "squall policy reset": _check_policy,
    "squall drill run": _check_drills,
    "squall drill show": _check_drills,
    "squall drill stability": _check_drills,
    "squall drill validate": _check_drills,
    "squall restart": _check_services,
    "squall up": _check_files,
}
