"""What the engine is asked to create in place of a container."""

from pathlib import Path
from typing import Any

import pytest

from chaos.build import environment, file_options
from chaos.lab import Lab, LabPorts
from chaos.recreate import successor

pytestmark = pytest.mark.unit

OLD: dict[str, Any] = {
    "Id": "3bae14531f43aa",
    "Config": {
        "Hostname": "3bae14531f43",
        "Image": "squall:local",
        "Cmd": ["python"],
        "Labels": {"com.docker.compose.service": "video", "com.docker.compose.image": "sha256:old"},
    },
    "HostConfig": {"ReadonlyRootfs": True},
    "NetworkSettings": {
        "Networks": {
            "squall_default": {
                "IPAMConfig": {"IPv4Address": "10.77.77.11"},
                "Aliases": ["video", "squall-video-1", "3bae14531f43"],
                "IPAddress": "10.77.77.11",
            }
        }
    },
}


def test_a_successor_takes_over_everything_but_image_and_id() -> None:
    """Labels, limits, address and aliases stay; compose finds it up to date."""
    made = successor(OLD, "sha256:new")

    assert "Hostname" not in made
    assert made["Image"] == "squall:local"
    assert made["Labels"] == {
        "com.docker.compose.service": "video",
        "com.docker.compose.image": "sha256:new",
    }
    assert made["HostConfig"] == {"ReadonlyRootfs": True}
    assert made["NetworkingConfig"]["EndpointsConfig"] == {
        "squall_default": {
            "IPAMConfig": {"IPv4Address": "10.77.77.11"},
            "Aliases": ["video", "squall-video-1"],
        }
    }
    assert OLD["Config"]["Labels"]["com.docker.compose.image"] == "sha256:old"


def test_compose_is_told_what_up_was_told(tmp_path: Path) -> None:
    """Further files, ports and the variables of then; one file needs no option."""
    ports = LabPorts(1, 2, 3, 4)
    plain = Lab(tmp_path, "containers", ports)
    more = Lab(tmp_path, "containers", ports, files=("/own.yml",), variables={"SQUALL_SUBNET": "x"})

    assert file_options(plain) == []
    assert file_options(more) == ["-f", str(tmp_path / "docker-compose.yml"), "-f", "/own.yml"]
    assert environment(more) == {"SQUALL_SUBNET": "x", **ports.environment}
