"""Finding the lab that runs here."""

import json
from pathlib import Path

import pytest

from chaos.lab import Lab, LabPorts, find_lab, load_lab, read_ports
from kit.errors import ConfigError, LabEnvironmentError
from tests.ports import free_port
from tests.valkey import start_valkey


def test_ports_lie_beside_the_front_door() -> None:
    """8080 brings 8079 (control), 8089, 8090, 8091 and 8092 (store); one moves them all."""
    moved = LabPorts(18080, 18079, 18089, 18090, 18091, 18092)
    assert read_ports({}) == LabPorts(8080, 8079, 8089, 8090, 8091, 8092)
    assert read_ports({"SQUALL_PORT": "18080"}) == moved
    assert read_ports({"SQUALL_CONTROL_PORT": "7"}) == LabPorts(8080, 7, 8089, 8090, 8091, 8092)


@pytest.mark.parametrize("text", ["http", "0", "65536", "-1", "80.5", "²"])
def test_a_port_that_is_none_is_refused(text: str) -> None:
    """The error names the variable and the value."""
    with pytest.raises(ConfigError, match=f"SQUALL_PORT is '{text}'"):
        read_ports({"SQUALL_PORT": text})


def test_ports_are_handed_on_as_variables() -> None:
    """The compose file and every command read the same names."""
    assert LabPorts(1, 2, 3, 4, 5, 6).environment == {
        "SQUALL_PORT": "1",
        "SQUALL_CONTROL_PORT": "2",
        "SQUALL_LOCUST_PORT": "3",
        "SQUALL_CONSOLE_PORT": "4",
        "SQUALL_TOXICS_PORT": "5",
        "SQUALL_STORE_PORT": "6",
    }


def test_a_saved_lab_is_loaded_as_it_was(tmp_path: Path) -> None:
    """Mode, ports and network come from its file, whatever the environment says."""
    lab = Lab(tmp_path, "processes", LabPorts(1, 2, 3, 4), "127.77.5")
    lab.save()

    assert load_lab(tmp_path, {"SQUALL_PORT": "9"}) == lab
    assert lab.remembered_network() == "127.77.5"


def test_without_a_file_it_is_containers_on_the_environment_s_ports(tmp_path: Path) -> None:
    """As plain `docker compose up` would start it."""
    lab = load_lab(tmp_path, {"SQUALL_PORT": "18080"})

    assert (lab.mode, lab.base_url) == ("containers", "http://127.0.0.1:18080")
    assert lab.control == ("127.0.0.1", 18079)
    assert lab.remembered_network() is None


@pytest.mark.parametrize("text", ["", "{}", '{"mode": "processes", "ports": {"front": 1}}'])
def test_a_damaged_file_says_what_to_do(tmp_path: Path, text: str) -> None:
    """No traceback for a half-written file."""
    (tmp_path / ".squall").mkdir()
    (tmp_path / ".squall" / "lab.json").write_text(text)

    with pytest.raises(LabEnvironmentError, match=r"damaged .*: make down, then make up"):
        load_lab(tmp_path)


def test_a_lab_whose_control_is_silent_is_not_running(tmp_path: Path) -> None:
    """The error names the address and the remedy."""
    port = free_port()
    Lab(tmp_path, "processes", LabPorts(1, port, 3, 4)).save()

    with pytest.raises(LabEnvironmentError, match=f"not running .*127.0.0.1:{port}.*make up"):
        find_lab(tmp_path)


@pytest.mark.integration
def test_a_lab_whose_control_answers_is_found(tmp_path: Path) -> None:
    """A PONG is enough."""
    with start_valkey() as control:
        lab = Lab(tmp_path, "processes", LabPorts(1, control.port, 3, 4))
        lab.save()

        assert find_lab(tmp_path) == lab
        assert json.loads((tmp_path / ".squall" / "lab.json").read_text())["mode"] == "processes"
