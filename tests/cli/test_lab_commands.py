"""What up, status and doctor print."""

import json
from typing import Any

import pytest
import typer

from chaos.drivers.contract import InstanceStatus
from kit.members import Digest, Member
from squall.banner import banner
from squall.commands import doctor, status

UP: dict[str, object] = {
    "mode": "processes",
    "started": True,
    "seconds": 9.8,
    "processes": 17,
    "memory_mib": 612,
    "url": "http://127.0.0.1:8080",
    "port": 8080,
    "control_port": 8079,
    "locust_port": 8089,
}


def test_the_banner_has_the_lines_to_paste() -> None:
    """As the README has them, each from the repository root."""
    lines = banner(UP).splitlines()

    assert lines[0] == "squall is ready after 9.8 s: 17 processes, 612 MiB"
    assert any(line.strip().startswith("curl -s 127.0.0.1:8080/v1/videos/1 ") for line in lines)
    assert any(
        "./squall fault add latency --on comment --ms 500 --ttl 60s" in line for line in lines
    )
    assert any(line.strip().startswith("make down") for line in lines)


def test_a_moved_lab_s_banner_has_its_own_port() -> None:
    """SQUALL_PORT moves the lines to paste too."""
    text = banner({**UP, "port": 18080, "started": False})

    assert "8080/" not in text.replace("18080/", "")
    assert text.startswith("squall is already up: 17 processes")


def describe(member: Member | None) -> dict[str, Any]:
    """One row, as status makes it."""
    one = InstanceStatus("video.1", "video", "running", "127.77.0.11", 12.4, None, 0)
    return status.describe(one, member, {"video.1": 50 * 2**20}, [] if member else ["video.1"])


def test_a_row_joins_driver_and_lease() -> None:
    """The lease brings rps, p99 and the version, the driver state and memory."""
    digest = Digest(rps=12.34, p99_ms=56.78)
    row = describe(
        Member("video.1", "video", 1, "h", 9090, ready=True, version_seen=3, digest=digest)
    )

    assert row == {
        "instance": "video.1",
        "state": "running",
        "up": True,
        "ready": True,
        "up_s": 12,
        "restarts": 0,
        "host": "127.77.0.11",
        "port": 9090,
        "rps": 12.3,
        "p99_ms": 56.8,
        "memory_bytes": 50 * 2**20,
        "version_seen": 3,
    }


def test_a_silent_control_is_told() -> None:
    """Rows have no figures then, and the title says why."""
    data = {
        "mode": "processes",
        "url": "http://127.0.0.1:8080",
        "control_answers": False,
        "is_ready": False,
        "memory_bytes": 50 * 2**20,
        "processes": [describe(None)],
    }

    lines = status.as_text(data).splitlines()
    assert lines[0].endswith("not ready, 50 MiB, control doesn't answer")
    assert lines[-1].split()[:3] == ["video.1", "running", "no"]


def test_doctor_prints_every_check_as_json(capsys: pytest.CaptureFixture[str]) -> None:
    """One object; exit code 0 or 3 as it says."""
    with pytest.raises(typer.Exit) as left:
        doctor.doctor(mode="processes", as_json=True)

    data = json.loads(capsys.readouterr().out)
    assert data["schema"] == "squall.doctor/1"
    assert left.value.exit_code == (0 if data["is_ready"] else 3)
    assert {"python", "valkey-server", "memory"} <= {check["name"] for check in data["checks"]}
