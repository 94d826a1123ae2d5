"""Faults of hosts on the whole lab: each kind bites, proves it, and is undone whoever dies."""

import subprocess
import sys
import time
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Lab
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

TTL_S = 6.0
LATE_S = 2.0  # how long after its lease a fault may still stand
READY_LIMIT_S = 60.0
LEASE_S = 3.0

# Begins a fault and renews it for as long as it lives, as a drill engine does.
HOLDER = """\
import time
from chaos.drivers.contract import HostFault
from chaos.lab import load_lab
driver = load_lab().driver()
driver.begin(HostFault("e2e-held", "pause", "video.3", 120.0))
print("begun", flush=True)
while True:
    driver.renew(["e2e-held"])
    time.sleep(1.0)
"""


def row(lab: Lab, instance: str) -> dict[str, Any]:
    """What status says of an instance."""
    found = [one for one in lab.json("status")["processes"] if one["instance"] == instance]
    return dict(found[0])


def fault(lab: Lab, fault_id: str) -> dict[str, Any] | None:
    """What the list says of a fault; None once it is over."""
    found = [one for one in lab.json("fault", "list")["faults"] if one["id"] == fault_id]
    return dict(found[0]) if found else None


def back(lab: Lab, instance: str) -> bool:
    """Whether an instance runs, is ready, and the front door answers."""
    found = row(lab, instance)
    return (
        found["state"] == "running"
        and bool(found["ready"])
        and lab.get("/v1/videos/1").status == 200
    )


@pytest.mark.parametrize(("kind", "state"), [("kill", "stopped"), ("pause", "paused")])
def test_a_replica_is_taken_away_and_comes_back_by_itself(lab: Lab, kind: str, state: str) -> None:
    """One of three replicas: seen at once, pages go on, and after its time it is ready again."""
    added = lab.json("fault", "add", kind, "--on", "video.3", "--ttl", f"{TTL_S:g}s")
    assert (added["hits"], added["instances"]) == (1, ["video.3"])
    assert row(lab, "video.3")["state"] == state
    wait_until(lambda: lab.get("/v1/videos/1").status == 200, limit_s=15)

    wait_until(lambda: fault(lab, added["id"]) is None, limit_s=TTL_S + READY_LIMIT_S)
    wait_until(lambda: back(lab, "video.3"), limit_s=READY_LIMIT_S)


def test_a_stop_is_graceful_and_ended_early(lab: Lab) -> None:
    """SIGTERM first; clear starts it again before its time."""
    added = lab.json("fault", "add", "stop", "--on", "comment", "--ttl", "120s")
    wait_until(lambda: row(lab, "comment.1")["state"] == "stopped", limit_s=30)
    wait_until(lambda: lab.get("/v1/videos/1").json.get("degraded") == ["comments"], limit_s=10)
    ended = lab.json("fault", "clear", added["id"])["ended"]
    assert [(one["hits"], one["is_over"]) for one in ended] == [(1, True)]
    wait_until(lambda: back(lab, "comment.1"), limit_s=READY_LIMIT_S)


def test_a_restart_ends_with_another_process(lab: Lab) -> None:
    """It is over by itself, and its proof names both processes."""
    added = lab.json("fault", "add", "restart", "--on", "gateway.2")
    wait_until(lambda: fault(lab, added["id"]) is None, limit_s=30)
    wait_until(lambda: back(lab, "gateway.2"), limit_s=READY_LIMIT_S)
    assert (row(lab, "gateway.2")["up_s"] or 0) < READY_LIMIT_S + 30


def test_limits_of_cpu_and_memory_bite_and_are_lifted(lab: Lab) -> None:
    """At a hundredth of a core even an idle replica is held; its memory limit is read back."""
    cpu = lab.json("fault", "add", "cpu", "--on", "video.3", "--cores", "0.01", "--ttl", "60s")
    memory = lab.json("fault", "add", "memory", "--on", "video.3", "--mb", "140", "--ttl", "60s")
    assert memory["hits"] == 1

    def is_held() -> bool:
        found = fault(lab, cpu["id"])
        return found is not None and found["proof_counts"]["hits"] == 1

    wait_until(is_held, limit_s=30)
    ended = {one["kind"]: one["detail"] for one in lab.json("fault", "clear")["ended"]}
    assert "cores, held for" in ended["cpu"]
    assert ", resident" in ended["memory"]
    wait_until(lambda: back(lab, "video.3"), limit_s=READY_LIMIT_S)


def test_a_killed_holder_s_fault_is_undone(lab: Lab) -> None:
    """kill -9 of whoever renews: undone within its lease and two seconds."""
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER],
        cwd=ROOT,
        env={**lab.environ, "PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
    ) as holder:
        try:
            assert holder.stdout is not None
            assert holder.stdout.readline() == "begun\n"
            assert row(lab, "video.3")["state"] == "paused"
            assert fault(lab, "e2e-held") is not None
        finally:
            holder.kill()
        killed_s = time.monotonic()
    wait_until(lambda: row(lab, "video.3")["state"] == "running", limit_s=LEASE_S + LATE_S + 5)
    # Asking costs a second or so on a busy machine; the keeper's own clock is tested elsewhere.
    assert time.monotonic() - killed_s < LEASE_S + LATE_S + 5
    wait_until(lambda: back(lab, "video.3"), limit_s=READY_LIMIT_S)


def test_control_itself_may_be_killed(lab: Lab) -> None:
    """What was done to it is listed and ended without it; rules then are at hand again."""
    added = lab.json("fault", "add", "kill", "--on", "control", "--ttl", "120s")
    assert added["hits"] == 1
    assert lab.run("policy", "set", "limiter", "on", limit_s=20).returncode == 3
    assert fault(lab, added["id"]) is not None
    assert [one["id"] for one in lab.json("fault", "clear")["ended"]] == [added["id"]]
    wait_until(lambda: lab.run("status").returncode == 0, limit_s=READY_LIMIT_S)
    wait_until(lambda: back(lab, "gateway.1"), limit_s=READY_LIMIT_S)


@pytest.mark.parametrize(
    ("argv", "hint"),
    [
        (("puase", "--on", "video.3"), "pause"),
        (("pause", "--on", "vdeo.3"), "video"),
        (("cpu", "--on", "video.3"), "cores"),
        (("cut", "--on", "link:gatevay>video"), "gateway>video"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_a_wrong_command_is_one_line(lab: Lab, argv: tuple[str, ...], hint: str) -> None:
    """Exit 2, with the nearest."""
    done = lab.run("fault", "add", *argv)
    assert done.returncode == 2
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
