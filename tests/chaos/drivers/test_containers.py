"""The container driver, with a real engine and containers of its own, where there is one."""

import os
import time
from collections.abc import Callable, Iterator

import docker
import pytest

from chaos.compose import parse_topology
from chaos.drivers.containers import ContainerDriver
from chaos.drivers.contract import InstanceStatus
from chaos.drivers.engine import engine_version
from kit.errors import ConfigError, LabEnvironmentError

pytestmark = pytest.mark.integration

IMAGES = ("squall:local", "squall-base:trixie", "python:3.13-slim-trixie")
PROJECT = f"squall-test-{os.getpid()}"
WAIT_LIMIT_S = 10.0
TOPOLOGY = parse_topology("""\
services:
  once: {command: [python], restart: on-failure}
  web: {command: [python], restart: unless-stopped, stop_grace_period: 1s, deploy: {replicas: 2}}
""")


@pytest.fixture(scope="module")
def driver() -> Iterator[ContainerDriver]:
    """Two web containers and a one-shot, labelled as compose would."""
    if engine_version() is None:
        pytest.skip("no Docker engine answers")
    client = docker.from_env(timeout=10)
    tags = {tag for image in client.images.list() for tag in image.tags}
    image = next((name for name in IMAGES if name in tags), None)
    if image is None:
        client.close()
        pytest.skip(f"none of {', '.join(IMAGES)} is here")
    made = []
    try:
        for service, number, command in (
            ("web", 2, "echo up; exec sleep 600"),
            ("web", 1, "echo up; exec sleep 600"),
            ("once", 1, "exit 0"),
        ):
            made.append(
                client.containers.run(
                    image,
                    ["/bin/sh", "-c", command],
                    detach=True,
                    init=True,
                    network_mode="none",
                    environment={"NAME": f"{service}.{number}"},
                    labels={
                        "com.docker.compose.project": PROJECT,
                        "com.docker.compose.service": service,
                        "com.docker.compose.container-number": str(number),
                    },
                )
            )
        yield ContainerDriver(TOPOLOGY, PROJECT)
    finally:
        for container in made:
            container.remove(force=True)
        client.close()


def wait_for(what: str, condition: Callable[[], bool]) -> None:
    """Poll until a condition holds."""
    until_s = time.monotonic() + WAIT_LIMIT_S
    while not condition():
        assert time.monotonic() < until_s, what
        time.sleep(0.05)


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
    with pytest.raises(ConfigError, match="nothing called 'wbe' runs here; there is once, web"):
        driver.stop("wbe")


def test_an_engine_that_does_not_answer_says_how_to_mend_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """No traceback of the library."""
    monkeypatch.setenv("DOCKER_HOST", "tcp://127.0.0.1:1")

    with pytest.raises(LabEnvironmentError, match="MODE=processes"):
        ContainerDriver(TOPOLOGY, PROJECT).instances()
