"""The driver of process mode: asks the supervisor.

Why: the supervisor is the parent of every process and the only one that may start or end them.
Not handled: a supervisor of another user (its socket is closed to us).
"""

import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from chaos.drivers.contract import (
    DEFAULT_LEASE_S,
    Capability,
    HostFault,
    HostProof,
    InstanceStatus,
    capabilities_of,
)
from chaos.keeper.commands import KeeperClient
from chaos.lab import STATE_FOLDER, load_lab
from chaos.supervisor.channel import ask
from chaos.supervisor.isolation import can_isolate
from chaos.supervisor.logs import tail
from chaos.supervisor.prepare import child_environment, plan_lab
from kit.errors import ConfigError


class ProcessDriver:
    """Acts through the supervisor of one working tree.

    Args:
        root: The working tree.
    """

    def __init__(self, root: Path) -> None:
        self._root = root
        self._folder = root / STATE_FOLDER
        self._keeper = KeeperClient(partial(ask, self._folder))

    @property
    def capabilities(self) -> frozenset[Capability]:
        """See `Driver.capabilities`."""
        services = load_lab(self._root).topology().services
        return capabilities_of(services, isolates=can_isolate())

    def instances(self) -> Sequence[InstanceStatus]:
        """See `Driver.instances`."""
        return [_status(entry) for entry in ask(self._folder, "status")]

    def start(self, target: str) -> None:
        """See `Driver.start`."""
        self._ask("start", target)

    def stop(self, target: str) -> None:
        """See `Driver.stop`."""
        self._ask("stop", target)

    def kill(self, target: str) -> None:
        """See `Driver.kill`."""
        self._ask("kill", target)

    def pause(self, target: str) -> None:
        """See `Driver.pause`."""
        self._ask("pause", target)

    def resume(self, target: str) -> None:
        """See `Driver.resume`."""
        self._ask("resume", target)

    def restart(self, target: str) -> None:
        """See `Driver.restart`."""
        self._ask("restart", target)

    def begin(self, fault: HostFault, *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """See `Driver.begin`; the supervisor is the keeper."""
        self._keeper.begin(fault, lease_s=lease_s)

    def renew(self, fault_ids: Sequence[str], *, lease_s: float = DEFAULT_LEASE_S) -> None:
        """See `Driver.renew`."""
        self._keeper.renew(fault_ids, lease_s=lease_s)

    def end(self, fault_id: str) -> HostProof:
        """See `Driver.end`."""
        return self._keeper.end(fault_id)

    def host_faults(self) -> Sequence[HostProof]:
        """See `Driver.host_faults`."""
        return self._keeper.host_faults()

    def memory(self) -> Mapping[str, int]:
        """Proportional set sizes, the supervisor's too: they add up to what the whole lab costs."""
        sizes = ask(self._folder, "memory")
        return {str(name): int(size) for name, size in sizes.items()}

    def logs(self, target: str, lines: int) -> Mapping[str, Sequence[str]]:
        """See `Driver.logs`."""
        names = [s.instance for s in self.instances() if target in (s.instance, s.service)]
        return {name: tail(self._folder / "logs" / f"{name}.log", lines) for name in names}

    def run_inside(self, service: str, argv: Sequence[str]) -> int:
        """Run a command on the host with the environment of the service's first replica.

        Raises:
            ConfigError: No such service.
        """
        plans = {plan.service: plan for plan in reversed(plan_lab(self._root))}
        if service not in plans:
            raise ConfigError(f"no service {service!r}; there is {', '.join(sorted(plans))}")
        environment = {**child_environment(self._root), **plans[service].environment}
        done = subprocess.run(  # noqa: S603 - a command of ours
            list(argv), env=environment, cwd=self._root, check=False
        )
        return done.returncode

    def _ask(self, do: str, target: str) -> None:
        ask(self._folder, do, target=target)


def _status(entry: Mapping[str, Any]) -> InstanceStatus:
    return InstanceStatus(
        instance=entry["instance"],
        service=entry["service"],
        state=entry["state"],
        host=entry["host"],
        up_s=entry["up_s"],
        exit_code=entry["exit_code"],
        restarts=entry["restarts"],
    )
