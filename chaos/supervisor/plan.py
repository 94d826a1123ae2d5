"""What the host must run: each replica's address, argument list and environment, from the topology.

Why: the compose file names other services by interpolations with a default. Docker takes the
default (a DNS name); here each replica gets a loopback address of its own and keeps the literal
ports, so that nothing in the file is rewritten. Addresses follow the order of the file, and so
stay the same from run to run.
Source: design.md, "One topology, two ways to run it".
Not handled: macOS, which has no 127.77.0.N without configuring each address.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from chaos.compose import Restart, Service, Topology
from chaos.interpolation import interpolate
from kit.errors import ConfigError

# Replica N of the file listens on 127.77.0.N: Linux routes all of 127/8 to itself. The
# others are for more labs on one machine, each of a working tree of its own.
NETWORKS = tuple(f"127.77.{number}" for number in range(10))
DEFAULT_NETWORK = NETWORKS[0]


@dataclass(frozen=True, slots=True)
class Forward:
    """A published port: who connects to one side reaches the other."""

    host: str
    port: int
    to_host: str
    to_port: int


@dataclass(frozen=True, slots=True)
class ProcessPlan:
    """One process of the lab, ready to start."""

    instance: str
    service: str
    argv: tuple[str, ...]
    environment: Mapping[str, str]
    host: str
    data: Path | None  # the folder it keeps, if it has a volume
    restart: Restart
    stop_grace_s: float
    forwards: tuple[Forward, ...]
    is_member: bool
    is_one_shot: bool


def plan_processes(
    topology: Topology,
    *,
    data: Path,
    programs: Mapping[str, str],
    environment: Mapping[str, str],
    network: str = DEFAULT_NETWORK,
) -> list[ProcessPlan]:
    """Work out every process of the lab, in the order of the file.

    Args:
        topology: The compose file.
        data: Folder that gets one folder for each instance with a volume.
        programs: Absolute path of each program named first in a command, e.g. ``python``.
        environment: Variables of the user (``SQUALL_PORT``, ``SQUALL_LOG_LEVEL``), for
            interpolation.
        network: First three numbers of every address.

    Raises:
        ConfigError: A command begins with a program that isn't in ``programs``.
    """
    addresses = assign_addresses(topology, network)
    variables = dict(environment) | service_variables(topology, addresses)
    plans = []
    for service in topology.services.values():
        for number, instance in enumerate(service.instances, start=1):
            own = variables | {
                "self_host": addresses[instance],
                "self_replica": str(number),
                "self_data": str(data / instance),
            }
            plans.append(_plan(service, instance, addresses[instance], own, data, programs))
    return plans


def assign_addresses(topology: Topology, network: str = DEFAULT_NETWORK) -> dict[str, str]:
    """Give each instance the loopback address of its place in the file."""
    names = topology.instances
    assert len(names) < 255, "one network of loopback addresses holds 254 instances"
    return {name: f"{network}.{number}" for number, name in enumerate(names, start=1)}


def service_variables(topology: Topology, addresses: Mapping[str, str]) -> dict[str, str]:
    """Say where each service's first replica is: ``store_1_host`` for service ``store-1``."""
    return {
        f"{name.replace('-', '_')}_host": addresses[service.instances[0]]
        for name, service in topology.services.items()
    }


def _plan(
    service: Service,
    instance: str,
    host: str,
    variables: Mapping[str, str],
    data: Path,
    programs: Mapping[str, str],
) -> ProcessPlan:
    program, *arguments = (interpolate(text, variables) for text in service.command)
    if program not in programs:
        raise ConfigError(
            f"{service.name} runs {program!r}, which process mode doesn't know: "
            f"begin its command with one of {', '.join(sorted(programs))}"
        )
    return ProcessPlan(
        instance=instance,
        service=service.name,
        argv=(programs[program], *arguments),
        environment={
            name: interpolate(text, variables) for name, text in service.environment.items()
        },
        host=host,
        data=data / instance if service.volumes else None,
        restart=service.restart,
        stop_grace_s=service.stop_grace_s,
        forwards=tuple(
            Forward(port.host, int(interpolate(port.published, variables)), host, port.port)
            for port in service.ports
        )
        if instance == service.instances[0]
        else (),
        is_member=service.is_member,
        is_one_shot=service.is_one_shot,
    )
