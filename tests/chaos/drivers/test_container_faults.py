"""Host faults in container mode: a real engine, a real keeper, and observed effects."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import count
from pathlib import Path

import docker
import pytest

from chaos.compose import parse_topology
from chaos.drivers.containers import ContainerDriver
from chaos.drivers.contract import Capability, HostFault, HostProof
from chaos.keeper.launch import find_keeper, finish_keeper
from kit.errors import ConfigError
from tests.chaos.drivers.labelled import CORES, MEMORY_MB, labelled
from tests.chaos.supervisor.lab import wait_for

pytestmark = pytest.mark.integration

LATE_S = 2.0
TTL_S = 60.0
MIB = 2**20
TOPOLOGY = parse_topology("""\
services:
  web: {command: [python], restart: unless-stopped}
  busy: {command: [python], restart: unless-stopped}
""")

_numbers = count(1)


@dataclass(frozen=True)
class Small:
    """A small project of containers and the driver of it."""

    driver: ContainerDriver
    project: str
    folder: Path

    def state(self, instance: str) -> str:
        """Its state in the driver's words."""
        return next(s.state for s in self.driver.instances() if s.instance == instance)

    def proof(self, fault_id: str) -> HostProof:
        """What is known of one fault."""
        return next(proof for proof in self.driver.host_faults() if proof.id == fault_id)

    def limits(self, service: str) -> tuple[float, int, int]:
        """Cores, memory and swap of its first container as the engine says."""
        client = docker.from_env(timeout=10)
        try:
            labels = [
                f"com.docker.compose.project={self.project}",
                f"com.docker.compose.service={service}",
            ]
            host = client.containers.list(filters={"label": labels})[0].attrs["HostConfig"]
        finally:
            client.close()
        return host["NanoCpus"] / 1e9, host["Memory"], host["MemorySwap"]


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Small]:
    """Two web containers and one that burns a core; ends without a keeper."""
    serve = "trap 'exit 0' TERM; sleep 600 & wait"
    burn = "while :; do :; done"
    with labelled([("web", 1, serve), ("web", 2, serve), ("busy", 1, burn)]) as project:
        folder = tmp_path_factory.mktemp("state")
        found = Small(ContainerDriver(TOPOLOGY, project, folder=folder), project, folder)
        try:
            yield found
        finally:
            finish_keeper(folder, project)
            wait_for("the keeper has ended", lambda: find_keeper(folder) is None)


def fault(kind: str, target: str, ttl_s: float = TTL_S, **params: float) -> HostFault:
    """A fault with an id of its own."""
    return HostFault(f"{kind}-{next(_numbers)}", kind, target, ttl_s, params)


def test_kill_pause_stop_and_restart_act_and_are_undone(small: Small) -> None:
    """Each is seen in the engine's own words, and each instance runs afterwards."""
    kill, pause = fault("kill", "web.1"), fault("pause", "web.2")
    small.driver.begin(kill, lease_s=TTL_S)
    small.driver.begin(pause, lease_s=TTL_S)
    assert [small.state(name) for name in ("web.1", "web.2")] == ["stopped", "paused"]
    killed, paused = small.driver.end(kill.id), small.driver.end(pause.id)
    assert (killed.hits, killed.detail) == (1, "web.1 exit code 137")
    assert (paused.hits, paused.detail) == (1, "web.2 paused")

    stop, restart = fault("stop", "web.1"), fault("restart", "web.2")
    small.driver.begin(stop, lease_s=TTL_S)
    small.driver.begin(restart, lease_s=TTL_S)
    wait_for("stopped", lambda: small.state("web.1") == "stopped")
    wait_for("restarted", lambda: small.proof(restart.id).is_over)
    assert small.driver.end(stop.id).hits == 1
    assert small.proof(restart.id).hits == 1
    assert "became process" in small.proof(restart.id).detail
    assert [small.state(name) for name in ("web.1", "web.2")] == ["running", "running"]


def test_limits_of_cpu_and_memory_bite_and_are_restored(small: Small) -> None:
    """The kernel throttled a busy container; both limits are what they were before."""
    before = small.limits("busy")
    assert before[:2] == (CORES, MEMORY_MB * MIB)
    cpu, memory = fault("cpu", "busy.1", cores=0.1), fault("memory", "busy", mb=64)
    small.driver.begin(cpu, lease_s=TTL_S)
    small.driver.begin(memory, lease_s=TTL_S)
    assert small.limits("busy") == (0.1, 64 * MIB, 64 * MIB)
    wait_for("throttled", lambda: small.proof(cpu.id).hits == 1)
    wait_for("a second", lambda: small.proof(cpu.id).seconds > 1.0)

    limited = small.driver.end(cpu.id)
    used = float(limited.detail.split("used ")[1].split(" ")[0])
    assert used < 0.3, limited.detail
    assert small.driver.end(memory.id).detail.startswith("busy.1 limit 64 MiB, resident ")
    assert small.limits("busy") == before


def test_a_killed_holder_s_fault_is_undone(small: Small) -> None:
    """kill -9 of whoever began it and renews: undone within the lease and two seconds."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from chaos.compose import parse_topology\n"
        "from chaos.drivers.containers import ContainerDriver\n"
        "from chaos.drivers.contract import HostFault\n"
        "topology = parse_topology('services: {web: {command: [python]}}')\n"
        "driver = ContainerDriver(topology, sys.argv[1], folder=Path(sys.argv[2]))\n"
        "driver.begin(HostFault('held', 'pause', 'web.1', 60.0), lease_s=1.5)\n"
        "print('begun', flush=True)\n"
        "while True: driver.renew(['held'], lease_s=1.5); time.sleep(0.3)\n"  # its rate
    )
    command = [sys.executable, "-c", code, small.project, str(small.folder)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "begun\n"
        assert small.state("web.1") == "paused"
        holder.kill()
        killed_s = time.monotonic()
    wait_for("undone", lambda: small.state("web.1") == "running")
    assert time.monotonic() - killed_s < 1.5 + LATE_S
    assert small.proof("held").is_renewed


def test_a_killed_keeper_is_replaced_and_the_overdue_is_undone(small: Small) -> None:
    """kill -9 of the keeper: the next call starts another, which undoes and remembers."""
    overdue, lasting = fault("kill", "web.1"), fault("pause", "web.2")
    small.driver.begin(overdue, lease_s=1.0)
    small.driver.begin(lasting, lease_s=TTL_S)
    before = find_keeper(small.folder)
    assert before is not None
    os.kill(before, signal.SIGKILL)
    wait_for("it is gone", lambda: find_keeper(small.folder) is None)
    ends_s = time.monotonic() + 1.0
    wait_for("its lease is over", lambda: time.monotonic() > ends_s)

    wait_for("undone", lambda: small.state("web.1") == "running")
    wait_for("written down", lambda: small.proof(overdue.id).is_over)
    assert find_keeper(small.folder) not in (None, before)
    assert [small.state(name) for name in ("web.1", "web.2")] == ["running", "paused"]
    assert small.driver.end(lasting.id).hits == 1
    assert small.state("web.2") == "running"


def test_a_keeper_that_finishes_undoes_everything(small: Small) -> None:
    """As the end of a lab does; what is known stays on disk, and is read without a process."""
    pause = fault("pause", "web")
    small.driver.begin(pause, lease_s=TTL_S)
    finish_keeper(small.folder, small.project)
    wait_for("it is gone", lambda: find_keeper(small.folder) is None)
    assert small.state("web.1") == small.state("web.2") == "running"
    assert (small.proof(pause.id).hits, small.proof(pause.id).is_over) == (2, True)
    assert find_keeper(small.folder) is None


def test_bad_faults_are_usage_errors(small: Small) -> None:
    """The keeper's words reach the caller."""
    with pytest.raises(ConfigError, match=r"nothing called 'wbe' runs here; there is web"):
        small.driver.begin(fault("kill", "wbe"))
    with pytest.raises(ConfigError, match="no host fault of the last minutes"):
        small.driver.end("nobody")
    lacking = {Capability.CUT, Capability.ISOLATE}
    assert small.driver.capabilities == frozenset(Capability) - lacking
