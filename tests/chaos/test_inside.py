"""The lab as it is seen from the container `lab`."""

import time
from pathlib import Path

import pytest

from chaos.compose import parse_topology
from chaos.drivers.contract import require
from chaos.inside import InsideDriver, leased, wait_leases
from chaos.lab import load_lab
from kit.control import ControlClient
from kit.errors import ConfigError, LabEnvironmentError
from kit.members import Digest, Member
from tests.valkey import start_valkey

TOPOLOGY = parse_topology("""\
services:
  control: {command: [valkey-server], restart: unless-stopped}
  seed: {command: [python, -m, seed], restart: on-failure}
  video: {command: [python, -m, video], restart: unless-stopped, deploy: {replicas: 2}}
""")
INSIDE = {"SQUALL_INSIDE": "1", "SQUALL_FRONT": "l4:8080", "SQUALL_CONTROL": "control:6379"}


def member(number: int, *, ready: bool = True) -> Member:
    """One lease of video."""
    digest = Digest(rss_bytes=1000 * number)
    return Member(
        f"video.{number}", "video", number, "h", ready=ready, started_unix_s=90.0, digest=digest
    )


@pytest.mark.unit
def test_instances_are_those_that_should_hold_a_lease() -> None:
    """One without a lease is absent; stores and one-shots can't be seen from here."""
    found = leased(TOPOLOGY, {"video.1": member(1)}, now_unix_s=100.0)

    assert [(one.instance, one.state, one.up_s) for one in found] == [
        ("video.1", "running", 10.0),
        ("video.2", "absent", None),
    ]


@pytest.mark.unit
def test_what_needs_the_engine_is_refused_with_the_way_out() -> None:
    """Exit code 3, and make up named, for a command as for a drill's need."""
    driver = InsideDriver(TOPOLOGY, ("127.0.0.1", 1))

    for act in (driver.kill, driver.pause, driver.restart, driver.start, driver.stop):
        with pytest.raises(LabEnvironmentError, match=r"video\.1: no Docker socket .*make up"):
            act("video.1")
    with pytest.raises(LabEnvironmentError, match=r"kill: no Docker socket .*make up") as refused:
        require(driver, "kill")
    assert refused.value.exit_code == 3


@pytest.mark.unit
def test_the_environment_says_where_everything_is(tmp_path: Path) -> None:
    """Front door and control by their names in the lab's network, ports as published."""
    lab = load_lab(tmp_path, {**INSIDE, "SQUALL_PORT": "18080"})

    assert (lab.base_url, lab.control) == ("http://l4:8080", ("control", 6379))
    assert (lab.mode, lab.ports.front) == ("containers", 18080)
    with pytest.raises(LabEnvironmentError, match=r"cannot end the lab: .*make up"):
        lab.require_host("end the lab")


@pytest.mark.unit
def test_an_address_that_is_none_is_named(tmp_path: Path) -> None:
    """The variable, its value, and what belongs there."""
    with pytest.raises(ConfigError, match=r"SQUALL_FRONT is 'l4'.* l4:8080"):
        load_lab(tmp_path, {**INSIDE, "SQUALL_FRONT": "l4"})


@pytest.mark.integration
async def test_waiting_ends_with_the_last_lease_and_the_data() -> None:
    """Ready leases alone are not enough, and who is missing is named."""
    asked = []

    def is_complete() -> bool:
        asked.append(time.monotonic())
        return len(asked) > 1

    with start_valkey() as server:
        control = (server.host, server.port)
        client = ControlClient(control, settle_s=0.0)
        try:
            await client.renew(member(1))
            await client.renew(member(2, ready=False))
            with pytest.raises(LabEnvironmentError, match=r"not ready in 0 s: video\.2"):
                await wait_leases(TOPOLOGY, control, is_complete, limit_s=0.0)
            await client.renew(member(2))
            found = await wait_leases(TOPOLOGY, control, is_complete, limit_s=10.0)
        finally:
            await client.close()

    assert set(found) == {"video.1", "video.2"}
    assert len(asked) == 2
