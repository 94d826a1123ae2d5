"""Addresses, arguments and environments of process mode."""

from pathlib import Path

import pytest

from chaos.compose import parse_topology
from chaos.supervisor.plan import DEFAULT_NETWORK, NETWORKS, Forward, plan_processes
from kit.errors import ConfigError

FILE = """\
x-environment: &environment
  WHERE: "${control_host:-control}:6379,${store_1_host:-store-1}:6379"
  OWN: "${self_host:-}/${self_replica:-}"
  LEVEL: "${LEVEL:-warning}"
services:
  control:
    command: [valkey-server, --bind, "${self_host:-0.0.0.0}", --dir, "${self_data:-/data}"]
    ports: ["127.0.0.1:${CONTROL_PORT:-8079}:6379"]
    volumes: ["control:/data"]
    restart: unless-stopped
  store-1: {command: [valkey-server], restart: unless-stopped}
  video:
    command: [python, -m, video]
    environment: *environment
    deploy: {replicas: 2}
    restart: unless-stopped
  seed: {command: [python, -m, seed], restart: on-failure}
volumes: {control: }
"""
PROGRAMS = {"python": "/venv/bin/python", "valkey-server": "/usr/bin/valkey-server"}


def test_each_replica_gets_an_address_and_its_own_environment() -> None:
    """The third and fourth instance of the file are the two replicas of video."""
    plans = {
        plan.instance: plan
        for plan in plan_processes(
            parse_topology(FILE), data=Path("/d"), programs=PROGRAMS, environment={"LEVEL": "info"}
        )
    }

    assert list(plans) == ["control.1", "store-1.1", "video.1", "video.2", "seed.1"]
    assert plans["video.2"].argv == ("/venv/bin/python", "-m", "video")
    assert plans["video.2"].environment == {
        "WHERE": "127.77.0.1:6379,127.77.0.2:6379",
        "OWN": "127.77.0.4/2",
        "LEVEL": "info",
    }
    assert plans["control.1"].argv == (
        "/usr/bin/valkey-server", "--bind", "127.77.0.1", "--dir", "/d/control.1",
    )  # fmt: skip
    assert plans["control.1"].data == Path("/d/control.1")
    assert plans["video.1"].data is None
    assert [plan.is_member for plan in plans.values()] == [False, False, True, True, False]
    assert [plan.is_one_shot for plan in plans.values()] == [False, False, False, False, True]


@pytest.mark.parametrize(("variables", "port"), [({}, 8079), ({"CONTROL_PORT": "9"}, 9)])
def test_published_ports_lead_to_the_first_replica(variables: dict[str, str], port: int) -> None:
    """A variable of the user moves the published port, not the inner one."""
    plans = plan_processes(
        parse_topology(FILE),
        data=Path("/d"),
        programs=PROGRAMS,
        environment=variables,
        network=NETWORKS[3],
    )

    assert plans[0].forwards == (Forward("127.0.0.1", port, "127.77.3.1", 6379),)
    assert not any(plan.forwards for plan in plans[1:])


def test_the_first_network_is_the_documented_one() -> None:
    """127.77.0.N, and nine more for other labs."""
    assert DEFAULT_NETWORK == "127.77.0"
    assert len(NETWORKS) == 10


def test_an_unknown_program_is_refused_with_those_that_are_known() -> None:
    """A command that begins with neither Python, a shell nor the server names what may be."""
    topology = parse_topology("services: {odd: {command: [perl, -v], restart: 'no'}}\n")

    with pytest.raises(ConfigError, match=r"odd runs 'perl'.*python, valkey-server"):
        plan_processes(topology, data=Path("/d"), programs=PROGRAMS, environment={})
