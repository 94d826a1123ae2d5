"""The drills on the real lab: held, refuted without the protection, and nothing left behind."""

import json
import signal
import subprocess
from typing import Any

import pytest

from tests.e2e.conftest import ROOT, Lab
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(1300)]

INCONCLUSIVE = 4
TRIES = 3
BUSY_MACHINE = {"sent", "generator_lag", "loop_lag", "cpu", "steady_state", "lease"}
"""Doubts that say something of the machine, not of the lab (drills.md R6)."""


def judged(lab: Lab, name: str) -> dict[str, Any]:
    """Run a drill until it has a verdict; skip where the machine is too busy for one."""
    for _ in range(TRIES):
        done = lab.run("drill", "run", name, "--json", limit_s=400)
        assert done.returncode in (0, INCONCLUSIVE), f"{done.stdout}\n{done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        if done.returncode == 0:
            return found
        doubts = {reason["check"] for reason in found["reasons"]}
        assert doubts <= BUSY_MACHINE, done.stdout
    pytest.skip(f"{TRIES} times the machine was too busy to judge: {', '.join(sorted(doubts))}")


def check(result: dict[str, Any]) -> None:
    """A verdict that means something: load sent, faults proved, evidence, a refuted control."""
    assert result["verdict"] == "held"
    assert result["control"]["verdict"] == "refuted"
    assert result["load"]["sent"] / result["load"]["scheduled"] >= 0.99
    assert all(hypothesis["held"] for hypothesis in result["hypotheses"])
    assert all(fault["proof"] for fault in result["faults"])


@pytest.mark.parametrize("name", ["overload", "slow-dependency"])
def test_drill_holds_and_its_control_is_refuted(lab: Lab, name: str) -> None:
    """The verdict is held, the control refuted, each fault or load has proof, evidence has hops."""
    if lab.mode == "containers":
        pytest.skip("there overload is run from inside (test_compose_alone), and the drill below")
    result = judged(lab, name)
    check(result)
    assert result["evidence"][0]["hops"]


def test_restarting_everybody_fails_nothing(lab: Lab) -> None:
    """SIGTERM to each gateway and video under load, with nothing that tries again."""
    if lab.mode == "processes":
        pytest.skip("there the two drills above are run, and a rolling restart in test_restart")
    check(judged(lab, "rolling-restart"))


def test_killed_engine_leaves_nothing(lab: Lab) -> None:
    """Kill -9 of a running drill: its switches and stations are gone with its lease of 3 s."""
    engine = subprocess.Popen(
        [str(ROOT / "squall"), "drill", "run", "overload", "--no-control"],
        cwd=ROOT,
        env=lab.environ,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        wait_until(lambda: _mode(lab, "gateway.1", "outlier") == "off", limit_s=30)
        second = lab.run("drill", "run", "overload")
        assert second.returncode == 3
        assert str(engine.pid) in second.stderr
    finally:
        engine.send_signal(signal.SIGKILL)
        engine.wait(10)
    wait_until(lambda: _mode(lab, "gateway.1", "outlier") == "on", limit_s=15)
    wait_until(lambda: lab.get("/v1/videos/1").status == 200, limit_s=15)


def _mode(lab: Lab, instance: str, policy: str) -> object:
    return lab.json("policy", "list")["policies"][instance][policy]
