"""Host faults in process mode: a real supervisor, real processes, and observed effects."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import count
from pathlib import Path

import pytest

from chaos.drivers.contract import Capability, Driver, HostFault, HostProof
from chaos.drivers.processes import ProcessDriver
from chaos.lab import Lab
from chaos.supervisor.channel import ask
from chaos.supervisor.isolation import can_isolate
from chaos.supervisor.launch import start_supervisor
from chaos.supervisor.limits import data_limit
from chaos.supervisor.tree import cpu_seconds, family, is_stopped
from kit.errors import ConfigError
from tests.chaos.supervisor.lab import kill_supervisor, running_lab, wait_for

pytestmark = pytest.mark.integration

LATE_S = 8.0  # a lease's end is noticed at once, where the machine doesn't stand still
TTL_S = 60.0

_numbers = count(1)


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, int]]:
    """One lab for all tests that leave it as it was."""
    with running_lab(tmp_path_factory.mktemp("lab"), busy=True) as found:
        yield found


@pytest.fixture
def driver(started: tuple[Lab, int]) -> Driver:
    """Its driver, once both web servers answer."""
    driver = started[0].driver()
    wait_for("web serves", lambda: fetch(started[1]) != "")
    wait_for("web.2 serves", lambda: bool(driver.logs("web.2", 1)["web.2"]))
    wait_for("deaf", lambda: driver.logs("stubborn", 1)["stubborn.1"] == ["deaf"])
    wait_for("busy", lambda: driver.logs("busy", 1)["busy.1"] == ["busy"])
    return driver


def fault(kind: str, target: str, ttl_s: float = TTL_S, **params: float) -> HostFault:
    """A fault with an id of its own."""
    return HostFault(f"{kind}-{next(_numbers)}", kind, target, ttl_s, params)


def proof_of(driver: Driver, fault_id: str) -> HostProof:
    """What the driver knows of one fault."""
    return next(proof for proof in driver.host_faults() if proof.id == fault_id)


def entry(lab: Lab, instance: str) -> dict[str, object]:
    """What the supervisor says of one instance."""
    return next(one for one in ask(lab.state_folder, "status") if one["instance"] == instance)


def state(driver: Driver, instance: str) -> str:
    """Its state in the driver's words."""
    return next(one.state for one in driver.instances() if one.instance == instance)


def pid_of(lab: Lab, instance: str) -> int:
    """Its process id, 0 while it doesn't run."""
    return int(str(entry(lab, instance)["pid"] or 0))


def fetch(port: int) -> str:
    """What the published port answers; empty while nobody does."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
        client.settimeout(1)
        return client.recv(100).decode()
    return ""


def test_a_killed_instance_is_held_down_until_the_fault_ends(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """SIGKILL, its restart rule suspended, exit code seen; ending starts it again."""
    kill = fault("kill", "web.1")
    driver.begin(kill, lease_s=TTL_S)
    assert fetch(started[1]) == ""
    assert state(driver, "web.1") == "stopped"

    proof = driver.end(kill.id)

    assert (proof.instances, proof.hits, proof.is_over) == (("web.1",), 1, True)
    assert proof.detail == "web.1 exit code -9"
    wait_for("web.1 back", lambda: fetch(started[1]) != "")
    assert driver.end(kill.id) == proof


def test_a_service_means_all_its_replicas(driver: Driver) -> None:
    """Pausing a service stops every process of both replicas; resuming lets both go on."""
    pause = fault("pause", "web")
    driver.begin(pause, lease_s=TTL_S)

    assert proof_of(driver, pause.id).hits == 2
    assert {state(driver, name) for name in ("web.1", "web.2")} == {"paused"}
    assert driver.end(pause.id).detail == "web.1 paused; web.2 paused"
    assert {state(driver, name) for name in ("web.1", "web.2")} == {"running"}


def test_a_pause_stops_what_an_instance_started_too(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """The shell and its child both stand still, and neither uses CPU."""
    pid = pid_of(started[0], "busy.1")
    pause = fault("pause", "busy.1")
    driver.begin(pause, lease_s=TTL_S)
    assert is_stopped(pid)
    driver.end(pause.id)
    assert not is_stopped(pid)


def test_a_stop_begins_with_sigterm_and_ends_at_once_when_undone(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """Begin returns while a deaf process still has its grace; undoing doesn't wait for it."""
    stop = fault("stop", "web.2")
    driver.begin(stop, lease_s=TTL_S)
    wait_for("web.2 is down", lambda: state(driver, "web.2") == "stopped")
    assert driver.end(stop.id).detail == "web.2 exit code 0"
    assert state(driver, "web.2") == "running"

    deaf = fault("stop", "stubborn.1")
    before = pid_of(started[0], "stubborn.1")
    driver.begin(deaf, lease_s=TTL_S)
    driver.end(deaf.id)
    assert pid_of(started[0], "stubborn.1") not in (0, before)


def test_a_restart_ends_by_itself_with_a_new_process(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """SIGTERM, the end awaited, started: the process id is another one."""
    before = pid_of(started[0], "web.2")
    restart = fault("restart", "web.2")
    driver.begin(restart, lease_s=TTL_S)

    wait_for("it is over", lambda: proof_of(driver, restart.id).is_over)
    after = pid_of(started[0], "web.2")
    proof = driver.end(restart.id)
    assert proof.hits == 1
    assert proof.detail == f"web.2 process {before} became process {after}"


def test_a_cpu_limit_holds_a_busy_process_and_is_lifted(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """At 0.2 of a core the kernel's own CPU clock agrees; afterwards it runs freely."""
    cpu = fault("cpu", "busy.1", cores=0.2)
    driver.begin(cpu, lease_s=TTL_S)
    wait_for("a second", lambda: proof_of(driver, cpu.id).seconds > 1.0)
    # What it took while its holder stood still is paid back: sooner or later it has its share.
    wait_for("its share", lambda: 0.02 < used_cores(proof_of(driver, cpu.id)) < 0.35)
    assert driver.end(cpu.id).hits == 1
    wait_for("it runs again", lambda: not is_stopped(pid_of(started[0], "busy.1")))


def used_cores(proof: HostProof) -> float:
    """What a limited process used, as its proof tells it."""
    return float(proof.detail.split("used ")[1].split(" ")[0])


def test_a_pause_outranks_a_cpu_limit(driver: Driver, started: tuple[Lab, int]) -> None:
    """What lets a held process run again never lets a paused one run."""
    pid = pid_of(started[0], "busy.1")
    cpu, pause = fault("cpu", "busy.1", cores=0.3), fault("pause", "busy.1")
    driver.begin(cpu, lease_s=TTL_S)
    driver.begin(pause, lease_s=TTL_S)
    wait_for("it stands", lambda: is_stopped(pid))
    before_s = cpu_seconds(family(pid))
    wait_for("many slices", lambda: proof_of(driver, pause.id).seconds > 0.3)
    assert is_stopped(pid)
    assert cpu_seconds(family(pid)) == before_s

    driver.end(pause.id)
    wait_for("it burns again", lambda: cpu_seconds(family(pid)) > before_s)
    driver.end(cpu.id)


def test_a_memory_limit_is_read_back_and_restored(driver: Driver, started: tuple[Lab, int]) -> None:
    """The soft limit alone moves, a new process gets it too, and -1 is back afterwards."""
    lab = started[0]
    memory = fault("memory", "stubborn.1", mb=64)
    driver.begin(memory, lease_s=TTL_S)
    assert 0 < data_limit(pid_of(lab, "stubborn.1")) < 200 * 2**20

    before = pid_of(lab, "stubborn.1")
    os.kill(before, signal.SIGKILL)
    wait_for("a new one", lambda: pid_of(lab, "stubborn.1") not in (0, before))
    wait_for("limited too", lambda: data_limit(pid_of(lab, "stubborn.1")) > 0)

    proof = driver.end(memory.id)
    assert proof.hits == 1
    assert "MiB of data, resident" in proof.detail
    assert data_limit(pid_of(lab, "stubborn.1")) == -1


def test_two_limits_end_in_any_order(driver: Driver, started: tuple[Lab, int]) -> None:
    """The second one's end doesn't bring the first one's limit back."""
    lab = started[0]
    first, second = fault("memory", "web.2", mb=64), fault("memory", "web.2", mb=32)
    driver.begin(first, lease_s=TTL_S)
    driver.begin(second, lease_s=TTL_S)
    driver.end(first.id)
    assert data_limit(pid_of(lab, "web.2")) > 0
    driver.end(second.id)
    assert data_limit(pid_of(lab, "web.2")) == -1


def test_a_pause_and_a_kill_on_one_instance_end_in_any_order(driver: Driver) -> None:
    """Started while the pause still stands, it stands still; afterwards it runs."""
    pause, kill = fault("pause", "web.2"), fault("kill", "web.2")
    driver.begin(pause, lease_s=TTL_S)
    driver.begin(kill, lease_s=TTL_S)
    driver.end(kill.id)
    assert state(driver, "web.2") == "paused"
    driver.end(pause.id)
    assert state(driver, "web.2") == "running"


def test_a_lease_that_is_renewed_holds_and_then_ends(driver: Driver) -> None:
    """Renewed past its first end; then nobody renews, and it is undone in time."""
    kill, lease_s = fault("kill", "web.2"), 2.0
    began_s = time.monotonic()
    driver.begin(kill, lease_s=lease_s)

    def has_outlasted_its_first_end() -> bool:
        driver.renew([kill.id, "unknown"], lease_s=lease_s)
        return proof_of(driver, kill.id).seconds > 1.5 * lease_s

    wait_for("renewed past its end", has_outlasted_its_first_end)
    renewed_s = time.monotonic()
    assert state(driver, "web.2") == "stopped"
    assert proof_of(driver, kill.id).is_renewed

    wait_for("undone", lambda: proof_of(driver, kill.id).is_over)
    assert proof_of(driver, kill.id).seconds < renewed_s - began_s + lease_s + LATE_S
    assert state(driver, "web.2") == "running"


def test_a_time_to_live_ends_what_is_renewed_for_ever(driver: Driver) -> None:
    """Renewing doesn't outlast ttl_s."""
    pause = fault("pause", "web.2", ttl_s=0.5)
    driver.begin(pause, lease_s=TTL_S)
    driver.renew([pause.id], lease_s=TTL_S)
    wait_for("undone", lambda: proof_of(driver, pause.id).is_over)
    assert proof_of(driver, pause.id).seconds < 0.5 + LATE_S


def test_a_killed_holder_s_fault_is_undone(driver: Driver, started: tuple[Lab, int]) -> None:
    """kill -9 of whoever renews: undone when the lease has ended."""
    code = (
        "import sys, time; from pathlib import Path\n"
        "from chaos.drivers.processes import ProcessDriver\n"
        "from chaos.drivers.contract import HostFault\n"
        "driver = ProcessDriver(Path(sys.argv[1]))\n"
        "driver.begin(HostFault('held', 'pause', 'web.2', 60.0), lease_s=3.0)\n"
        "print('begun', flush=True)\n"
        "while True: driver.renew(['held'], lease_s=3.0); time.sleep(0.2)\n"  # its rate
    )
    command = [sys.executable, "-c", code, str(started[0].root)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as holder:
        assert holder.stdout is not None
        assert holder.stdout.readline() == "begun\n"
        assert state(driver, "web.2") == "paused"
        holder.kill()
        killed_s = time.monotonic()
    wait_for("undone", lambda: proof_of(driver, "held").is_over)
    assert time.monotonic() - killed_s < 3.0 + LATE_S
    assert state(driver, "web.2") == "running"


def test_a_fault_on_what_does_not_run_hits_nothing(driver: Driver) -> None:
    """An instance that was down before is neither a hit nor started by the undoing."""
    driver.stop("web.2")
    kill = fault("kill", "web.2")
    driver.begin(kill, lease_s=TTL_S)
    proof = driver.end(kill.id)
    assert (proof.hits, proof.detail) == (0, "web.2 was not running")
    assert state(driver, "web.2") == "stopped"
    driver.start("web.2")


def test_bad_faults_are_usage_errors(driver: Driver) -> None:
    """Unknown targets, ids used twice, ids unknown: each says what was wrong."""
    with pytest.raises(ConfigError, match=r"nothing called 'wbe' runs here; there is web"):
        driver.begin(fault("kill", "wbe"))
    with pytest.raises(ConfigError, match="did you mean kill"):
        driver.begin(fault("kil", "web"))
    pause = fault("pause", "web.2")
    driver.begin(pause)
    with pytest.raises(ConfigError, match=f"the id '{pause.id}' exists already"):
        driver.begin(pause)
    driver.end(pause.id)
    with pytest.raises(ConfigError, match="no host fault of the last minutes has the id 'nobody'"):
        driver.end("nobody")


def test_links_decide_whether_a_driver_can_cut(driver: Driver, tmp_path: Path) -> None:
    """Without a service ``links`` everything but cut, and isolate where the kernel lets us."""
    lacking = {Capability.CUT} | (set() if can_isolate() else {Capability.ISOLATE})
    assert driver.capabilities == frozenset(Capability) - lacking
    (tmp_path / "docker-compose.yml").write_text("services: {links: {command: [python]}}\n")
    assert Capability.CUT in ProcessDriver(tmp_path).capabilities


def test_a_supervisor_killed_while_faults_act_starts_over_clean(tmp_path: Path) -> None:
    """Its successor runs everything, says that the faults are over, and takes new ones."""
    with running_lab(tmp_path) as (lab, port):
        wait_for("web serves", lambda: fetch(port) != "")
        driver = lab.driver()
        driver.begin(HostFault("frozen", "pause", "web.1", TTL_S), lease_s=TTL_S)
        driver.begin(HostFault("dead", "kill", "web.2", TTL_S), lease_s=TTL_S)
        kill_supervisor(lab)

        start_supervisor(tmp_path, lab.state_folder)
        wait_for("web serves again", lambda: fetch(port) != "")
        proofs = {proof.id: proof for proof in driver.host_faults()}
        assert {name: (one.is_over, one.hits) for name, one in proofs.items()} == {
            "frozen": (True, 1),
            "dead": (True, 1),
        }
        assert "the supervisor was started anew" in proofs["dead"].detail
        assert {state(driver, name) for name in ("web.1", "web.2")} == {"running"}
