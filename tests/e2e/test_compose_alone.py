"""The containers as `docker compose up` makes them: what they may, say and hold."""

import json
import subprocess
import time
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

IMAGE_LIMIT_BYTES = 400_000_000  # issue 3
REBUILD_LIMIT_S = 10.0  # issue 3
QUIET = timedelta(seconds=1)  # after the banner
EDITED = ROOT / "drills" / "README.edited"  # in the image's code layer, and read by nobody


@pytest.fixture(autouse=True)
def containers(lab: Lab) -> None:
    """Leave these tests out where the lab runs as processes."""
    if lab.mode != "containers":
        pytest.skip("the lab runs as processes")


def docker(lab: Lab, *argv: str, code: int | None = 0) -> str:
    """Run docker in the repository; returns what it said on both channels."""
    done = subprocess.run(
        ["docker", *argv],
        cwd=ROOT,
        env=lab.environ,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=240,
        check=False,
    )
    assert code is None or done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}"
    return done.stdout


def containers_of(lab: Lab) -> dict[str, Any]:
    """Everything the engine knows of each container, by name."""
    label = "label=com.docker.compose.project=squall"
    names = docker(lab, "ps", "--all", "--filter", label, "--format", "{{.Names}}").split()
    return {one["Name"].strip("/"): one for one in json.loads(docker(lab, "inspect", *names))}


def test_every_container_is_hardened(lab: Lab) -> None:
    """Non-root, read-only, no capability, no new privilege, limits, small logs, no socket."""
    found = containers_of(lab)
    assert len(found) >= 20
    for name, one in found.items():
        host = one["HostConfig"]
        assert one["Config"]["User"] == "10001:10001", name
        assert host["ReadonlyRootfs"], name
        assert host["CapDrop"] == ["ALL"], name
        assert not host["CapAdd"], name
        assert "no-new-privileges:true" in host["SecurityOpt"], name
        assert not host["Privileged"], name
        assert host["Memory"] > 0, name
        assert host["NanoCpus"] > 0, name
        assert host["LogConfig"] == {
            "Type": "json-file",
            "Config": {"max-size": "5m", "max-file": "2"},
        }, name
        mounts = [mount["Source"] for mount in one["Mounts"]]
        assert not any("docker.sock" in source for source in mounts), name
        bound = [each for ports in (host["PortBindings"] or {}).values() for each in ports]
        assert {each["HostIp"] for each in bound} <= {"127.0.0.1"}, name


def test_the_image_is_small_enough(lab: Lab) -> None:
    """With Locust in it."""
    size = int(docker(lab, "image", "inspect", "squall:local", "--format", "{{.Size}}"))
    assert size < IMAGE_LIMIT_BYTES


def test_the_banner_is_the_last_word(lab: Lab) -> None:
    """Nobody writes a line in the second after it."""
    lines = docker(lab, "logs", "--timestamps", "squall-lab-1").strip().splitlines()
    assert "docker compose down -v" in lines[-1]
    stamp = lines[-1].split()[0]
    said = datetime.fromisoformat(stamp[:26]).replace(tzinfo=UTC)
    until = (said + QUIET).isoformat()
    for name in containers_of(lab):
        if name != "squall-lab-1":
            assert docker(lab, "logs", "--since", stamp, "--until", until, name) == "", name


def test_waiting_costs_nothing(lab: Lab) -> None:
    """What waits in the container lab is sleep, not a Python."""
    processes = docker(lab, "top", "squall-lab-1", "-o", "pid,comm")
    assert "sleep" in processes
    assert "python" not in processes


def test_the_command_works_inside(lab: Lab) -> None:
    """What asks and what writes control; the data set is left alone."""
    inside = ("compose", "exec", "-T", "lab", "squall")
    status = json.loads(docker(lab, *inside, "status", "--json"))
    assert status["is_ready"]
    assert {"video.3", "gateway.2", "l4.1"} <= {row["instance"] for row in status["processes"]}

    docker(lab, *inside, "policy", "list")
    docker(lab, *inside, "doctor")
    docker(lab, *inside, "seed", "--if-empty")
    docker(lab, *inside, "fault", "add", "latency", "--on", "comment", "--ms", "1", "--ttl", "5s")
    wire = ("--on", "link:gateway>comment", "--ms", "1", "--ttl", "5s")
    docker(lab, *inside, "fault", "add", "latency", *wire)
    docker(lab, *inside, "fault", "clear", "--all")
    answer = lab.get("/v1/videos/1")
    docker(lab, *inside, "explain", answer.headers["x-request-id"])
    docker(lab, *inside, "load", "--rate", "5", "--for", "2s")


@pytest.mark.parametrize(
    "argv",
    [
        ("fault", "add", "pause", "--on", "video.1", "--ttl", "5s"),
        ("restart", "video"),
        ("up",),
        ("down",),
    ],
)
def test_what_needs_the_engine_is_refused_inside(lab: Lab, argv: tuple[str, ...]) -> None:
    """Exit code 3 and the way out, no traceback."""
    said = docker(lab, "compose", "exec", "-T", "lab", "squall", *argv, code=3)
    assert "make up" in said
    assert "Traceback" not in said


def test_a_drill_runs_inside_and_its_report_comes_out(lab: Lab, tmp_path: Any) -> None:
    """Load, fault and page, in a container of 384 MB; its control arm is judged elsewhere."""
    drill = ("drill", "run", "overload", "--no-control", "--json")
    said = docker(lab, "compose", "exec", "-T", "lab", "squall", *drill, code=None)
    result = json.loads(said.strip().splitlines()[-1])
    assert result["load"]["sent"] > 0, said

    docker(lab, "compose", "cp", "lab:/app/runs", str(tmp_path / "runs"))
    assert list((tmp_path / "runs" / "overload").glob("*/report.html"))


def test_an_edit_is_built_in_seconds(lab: Lab) -> None:
    """Only the layers of our own code are made anew."""
    EDITED.write_text(f"{time.time_ns()}\n")
    try:
        began_s = time.monotonic()
        docker(lab, "compose", "build", "--quiet")
        assert time.monotonic() - began_s < REBUILD_LIMIT_S
    finally:
        EDITED.unlink()
