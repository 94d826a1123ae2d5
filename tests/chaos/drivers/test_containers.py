"""The container driver, with a real engine and containers of its own, where there is one."""

from collections.abc import Iterator

import pytest

from chaos.compose import parse_topology
from chaos.drivers.containers import ContainerDriver
from chaos.drivers.contract import InstanceStatus
from kit.errors import ConfigError, LabEnvironmentError
from tests.chaos.drivers.labelled import labelled
from tests.chaos.supervisor.lab import wait_for

pytestmark = pytest.mark.integration

TOPOLOGY = parse_topology("""\
services:
  once: {command: [python], restart: on-failure}
  web: {command: [python], restart: unless-stopped, stop_grace_period: 1s, deploy: {replicas: 2}}
""")


@pytest.fixture(scope="module")
def driver() -> Iterator[ContainerDriver]:
    """Two web containers and a one-shot, labelled as compose would."""
    serve = "echo up; exec sleep 600"
    with labelled([("web", 2, serve), ("web", 1, serve), ("once", 1, "exit 0")]) as project:
        yield ContainerDriver(TOPOLOGY, project)


def look(driver: ContainerDriver, instance: str) -> InstanceStatus:
    """What the driver says of one instance."""
    return next(status for status in driver.instances() if status.instance == instance)


def test_containers_are_listed_in_the_order_of_the_file(driver: ContainerDriver) -> None:
    """The one-shot is done, the replicas run, each with what it costs and what it wrote."""
    wait_for("once is done", lambda: look(driver, "once.1").state == "done")

    assert [(s.instance, s.state) for s in driver.instances()] == [
        ("once.1", "done"),
        ("web.1", "running"),
        ("web.2", "running"),
    ]
    assert look(driver, "once.1").exit_code == 0
    assert (look(driver, "web.1").up_s or -1) >= 0
    assert set(driver.memory()) == {"web.1", "web.2"}
    assert all(0 < size < 100_000_000 for size in driver.memory().values())
    assert driver.logs("web", 5) == {"web.1": ["up"], "web.2": ["up"]}


def test_a_killed_container_stays_down_until_started(driver: ContainerDriver) -> None:
    """Exit code 137, then running again; its sister isn't touched."""
    driver.kill("web.1")
    wait_for("down", lambda: look(driver, "web.1").state == "stopped")
    assert look(driver, "web.1").exit_code == 137
    assert look(driver, "web.2").state == "running"

    driver.start("web.1")
    assert look(driver, "web.1").state == "running"


def test_pause_resume_stop_and_restart(driver: ContainerDriver) -> None:
    """A paused container can be resumed, and stopped without being resumed first."""
    driver.pause("web.2")
    assert look(driver, "web.2").state == "paused"
    driver.resume("web.2")
    assert look(driver, "web.2").state == "running"

    driver.pause("web.2")
    driver.stop("web.2")
    assert look(driver, "web.2").state == "stopped"
    driver.restart("web.2")
    assert look(driver, "web.2").state == "running"


def test_a_command_runs_inside(driver: ContainerDriver, capfd: pytest.CaptureFixture[str]) -> None:
    """With the first replica's environment, and the command's exit code."""
    assert driver.run_inside("web", ["sh", "-c", "echo $NAME; exit 3"]) == 3
    assert capfd.readouterr().out == "web.1\n"


def test_an_unknown_target_is_a_usage_error(driver: ContainerDriver) -> None:
    """The error lists what runs."""
    with pytest.raises(ConfigError, match="nothing called 'wbe' runs here; there is web"):
        driver.stop("wbe")


def test_an_engine_that_does_not_answer_says_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No traceback of the library."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    with pytest.raises(LabEnvironmentError, match="MODE=processes"):
        ContainerDriver(TOPOLOGY, "squall-test-nobody").instances()
