"""The supervisor and its driver, with real processes of a tiny lab."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from chaos.drivers.contract import Driver, InstanceStatus
from chaos.lab import Lab
from chaos.supervisor.channel import ask
from chaos.supervisor.launch import find_supervisor, start_supervisor
from kit.errors import ConfigError, LabEnvironmentError
from tests.chaos.supervisor.lab import is_alive, kill_supervisor, running_lab, wait_for

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def started(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Lab, int]]:
    """One lab for the tests that leave it as it was."""
    with running_lab(tmp_path_factory.mktemp("lab")) as found:
        yield found


@pytest.fixture
def driver(started: tuple[Lab, int]) -> Driver:
    """Its driver, once everything has come to rest."""
    driver = started[0].driver()
    wait_for("once is done", lambda: look(driver, "once.1").state == "done")
    wait_for("fails has failed", lambda: look(driver, "fails.1").state == "failed")
    wait_for(
        "web.2 serves", lambda: driver.logs("web.2", 1)["web.2"][:1] == ["serving 127.77.9.2/2"]
    )
    wait_for("web serves", lambda: fetch(started[1]) != "")
    wait_for("deaf", lambda: driver.logs("stubborn", 1)["stubborn.1"] == ["deaf"])
    return driver


def look(driver: Driver, instance: str) -> InstanceStatus:
    """What the driver says of one instance."""
    return next(status for status in driver.instances() if status.instance == instance)


def fetch(port: int) -> str:
    """What the published port answers; empty while nobody does."""
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), 1) as client:
        client.settimeout(1)
        return client.recv(100).decode()
    return ""


def test_everything_of_the_file_is_started(driver: Driver, started: tuple[Lab, int]) -> None:
    """Servers run, the one-shot is done, what failed says so, in the order of the file."""
    states = {status.instance: status.state for status in driver.instances()}

    assert list(states.items()) == [
        ("web.1", "running"),
        ("web.2", "running"),
        ("stubborn.1", "running"),
        ("once.1", "done"),
        ("fails.1", "failed"),
    ]
    assert look(driver, "fails.1").exit_code == 7
    assert fetch(started[1]) == "127.77.9.1/1"
    assert driver.logs("once", 5) == {"once.1": ["once"]}
    assert set(driver.memory()) == {"web.1", "web.2", "stubborn.1", "supervisor"}
    assert all(size > 1_000_000 for size in driver.memory().values())


def test_a_killed_instance_stays_down_until_started(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """Kill ends it at once and for good; start brings it back."""
    driver.kill("web.1")
    assert look(driver, "web.1").state == "stopped"
    assert look(driver, "web.1").exit_code == -signal.SIGKILL
    assert fetch(started[1]) == ""

    driver.start("web.1")
    wait_for("web.1 back", lambda: fetch(started[1]) == "127.77.9.1/1")
    assert look(driver, "web.2").state == "running"


def test_a_crash_is_healed_by_the_restart_rule(driver: Driver, started: tuple[Lab, int]) -> None:
    """Killed from outside, an unless-stopped service runs again after 100 ms."""
    before = look(driver, "web.1").restarts
    os.kill(pid_of(started[0], "web.1"), signal.SIGKILL)

    wait_for("restarted", lambda: look(driver, "web.1").restarts == before + 1)
    wait_for("web.1 back", lambda: fetch(started[1]) == "127.77.9.1/1")


def test_a_paused_instance_keeps_its_socket_and_says_nothing(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """SIGSTOP: connections are accepted by the kernel and never answered; SIGCONT answers them."""
    driver.pause("web.1")
    assert look(driver, "web.1").state == "paused"
    with socket.create_connection(("127.0.0.1", started[1]), 20) as client:
        client.settimeout(0.2)
        with pytest.raises(TimeoutError):
            client.recv(100)
        driver.resume("web.1")
        client.settimeout(20)
        assert client.recv(100) == b"127.77.9.1/1"
    assert look(driver, "web.1").state == "running"


def test_a_paused_instance_can_be_stopped(driver: Driver) -> None:
    """Stop wakes it first, so that it ends with SIGTERM and not after its grace period."""
    driver.pause("web.2")
    driver.stop("web.2")
    assert (look(driver, "web.2").state, look(driver, "web.2").exit_code) == ("stopped", 0)
    driver.start("web.2")
    assert look(driver, "web.2").state == "running"


def test_a_deaf_instance_is_killed_after_its_grace_period(driver: Driver) -> None:
    """SIGTERM ignored for 1 s ends in SIGKILL."""
    driver.stop("stubborn")
    assert look(driver, "stubborn.1").exit_code == -signal.SIGKILL
    driver.start("stubborn")


def test_restart_of_a_service_restarts_every_replica(
    driver: Driver, started: tuple[Lab, int]
) -> None:
    """Both replicas get new processes."""
    before = [pid_of(started[0], name) for name in ("web.1", "web.2")]
    driver.restart("web")
    after = [pid_of(started[0], name) for name in ("web.1", "web.2")]
    assert not set(before) & set(after)


def test_an_unknown_target_names_the_nearest(driver: Driver) -> None:
    """Wrong names are usage errors."""
    with pytest.raises(ConfigError, match=r"nothing called 'wbe' runs here; there is web"):
        driver.kill("wbe")


def test_an_unknown_command_is_refused(started: tuple[Lab, int]) -> None:
    """The supervisor lists what it knows."""
    with pytest.raises(ConfigError, match="no command 'explode'"):
        ask(started[0].state_folder, "explode")


def test_a_command_runs_inside_with_the_service_s_environment(
    driver: Driver, capfd: pytest.CaptureFixture[str]
) -> None:
    """The first replica's variables, and the command's exit code."""
    code = driver.run_inside("web", ["sh", "-c", "echo $NAME; exit 3"])

    assert code == 3
    assert capfd.readouterr().out == "127.77.9.1/1\n"
    with pytest.raises(ConfigError, match="no service 'wbe'"):
        driver.run_inside("wbe", ["true"])


def test_a_second_supervisor_of_the_same_folder_is_refused(started: tuple[Lab, int]) -> None:
    """The lock names the remedy."""
    lab = started[0]
    done = subprocess.run(
        [sys.executable, "-m", "chaos.supervisor", str(lab.root)],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert (done.returncode, done.stderr) == (
        3,
        f"a supervisor of {lab.root} already runs: make down\n",
    )
    assert find_supervisor(lab.state_folder) is not None


def test_nothing_survives_a_killed_supervisor(tmp_path: Path) -> None:
    """kill -9 of the supervisor ends every process, and a new one starts over."""
    with running_lab(tmp_path) as (lab, port):
        wait_for("web serves", lambda: fetch(port) != "")
        pids = [int(entry["pid"]) for entry in ask(lab.state_folder, "status") if entry["pid"]]
        assert len(pids) >= 3
        kill_supervisor(lab)
        wait_for("all gone", lambda: not any(is_alive(pid) for pid in pids))
        wait_for("its lock is free", lambda: find_supervisor(lab.state_folder) is None)

        start_supervisor(tmp_path, lab.state_folder)
        wait_for("web serves again", lambda: fetch(port) != "")


def test_an_ended_lab_leaves_no_process_and_no_port(tmp_path: Path) -> None:
    """After the supervisor's end its driver says the lab is not there."""
    with running_lab(tmp_path) as (lab, port):
        wait_for("web serves", lambda: fetch(port) != "")
        pids = [int(entry["pid"]) for entry in ask(lab.state_folder, "status") if entry["pid"]]
    assert not any(is_alive(pid) for pid in pids)
    assert fetch(port) == ""
    with pytest.raises(LabEnvironmentError, match="make up"):
        lab.driver().instances()


def test_a_taken_port_ends_the_start_with_its_reason(tmp_path: Path) -> None:
    """The daemon's own words reach whoever started it."""
    other = tmp_path / "two"
    other.mkdir()
    with running_lab(tmp_path / "one") as (_, port):
        (other / "docker-compose.yml").write_text(
            f"services: {{a: {{command: [python], ports: ['127.0.0.1:{port}:1']}}}}\n"
        )
        with pytest.raises(LabEnvironmentError, match=f"port {port} on 127.0.0.1 is taken"):
            start_supervisor(other, other / ".squall")


def pid_of(lab: Lab, instance: str) -> int:
    """The process id of an instance."""
    found = [e["pid"] for e in ask(lab.state_folder, "status") if e["instance"] == instance]
    return int(found[0])
