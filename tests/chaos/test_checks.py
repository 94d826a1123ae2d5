"""What doctor looks at."""

import socket
from pathlib import Path

import pytest

from chaos import checks
from chaos.checks import INNER_PORTS, Check, check_machine, check_ports, choose_network, require
from chaos.lab import Lab, LabPorts
from chaos.supervisor.plan import NETWORKS
from kit.errors import LabEnvironmentError
from tests.ports import free_port


@pytest.fixture
def lab(tmp_path: Path) -> Lab:
    """A lab that doesn't run, on free ports, in a network that no lab of this machine uses."""
    return Lab(tmp_path, "processes", LabPorts(free_port(), free_port(), 1, 1), "127.78.0")


def test_this_machine_can_run_processes(lab: Lab) -> None:
    """Nothing is missing where the tests run."""
    found = {check.name: check for check in check_machine(lab, "processes")}

    assert [check for check in found.values() if check.level == "missing"] == []
    assert {"python", "system", "cores", "memory", "disk", "valkey-server"} <= found.keys()
    assert found[f"port {lab.ports.front}"].found == "free, for the front door"


def test_a_taken_port_names_its_holder_and_the_way_out(lab: Lab) -> None:
    """The check has the variable to set, and who listens."""
    with socket.create_server(("127.0.0.1", lab.ports.front)):
        front = check_ports(lab)[0]

    assert front.level == "missing"
    assert front.found.startswith("taken by ")
    assert "SQUALL_PORT" in front.mend


def test_a_listener_on_all_addresses_is_in_the_way_of_inner_ports(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As a node exporter on 9100 is: processes couldn't listen on their own address."""
    port = free_port("0.0.0.0")
    monkeypatch.setattr(checks, "INNER_PORTS", (port,))
    assert checks.check_inner_ports(lab) == []

    with socket.create_server(("0.0.0.0", port)):
        found = checks.check_inner_ports(lab)

    assert [check.name for check in found] == [f"port {port}"]
    assert found[0].mend.endswith("MODE=containers")


def test_a_second_lab_gets_the_next_network(monkeypatch: pytest.MonkeyPatch) -> None:
    """Who holds the first network's control port has that network."""
    port = free_port("0.0.0.0")
    monkeypatch.setattr(checks, "INNER_PORTS", (port,))
    assert choose_network() == NETWORKS[0]

    with socket.create_server((f"{NETWORKS[0]}.1", port)):
        assert choose_network() == NETWORKS[1]
        assert choose_network(NETWORKS[0]) == NETWORKS[1]
        assert choose_network(NETWORKS[4]) == NETWORKS[4]

    with socket.create_server((f"{NETWORKS[0]}.2", port)):  # a lab whose control is dead just now
        assert choose_network() == NETWORKS[1]


def test_what_is_missing_is_an_error_that_names_it() -> None:
    """Warnings pass; the missing one is told with its remedy."""
    fine = [Check("a", "ok", "x"), Check("b", "warning", "y", "do")]
    require(fine)

    with pytest.raises(LabEnvironmentError, match=r"^c: gone: mend it$"):
        require([*fine, Check("c", "missing", "gone", "mend it")])


def test_no_engine_is_missing_for_containers_only(
    lab: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Containers need an engine and compose; processes don't."""
    monkeypatch.setattr(checks, "engine_version", lambda: None)
    monkeypatch.setattr(checks, "compose_command", lambda: None)

    missing = [c.name for c in check_machine(lab, "containers") if c.level == "missing"]
    assert missing == ["docker engine", "compose"]
    assert all(c.level != "missing" for c in check_machine(lab, "processes"))


def test_little_of_everything_is_a_warning(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory, disk and cores limit the lab, and don't forbid it."""
    monkeypatch.setattr(checks, "_available_bytes", lambda: 10**9)
    monkeypatch.setattr(checks, "NEEDED_DISK_BYTES", 10**18)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0})

    levels = {c.name: c.level for c in check_machine(lab, "processes")}
    assert [levels[name] for name in ("memory", "disk", "cores")] == ["warning"] * 3


def test_inner_ports_are_those_of_the_topology() -> None:
    """Store and its bus, gateway, L4, L7, gRPC, admin."""
    assert INNER_PORTS == (6379, 16379, 8000, 8080, 8081, 9090, 9100)
