"""What may die, and what a client sees of it."""

import shutil
import threading
import time
from collections.abc import Callable

import pytest

from tests.e2e.conftest import PORT, ROOT, Lab
from tests.e2e.http import ask
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

RATE_RPS = 50
WITHOUT_CONTROL_S = {
    "containers": 60.0,  # issue 2, "Bad input"
    "processes": 20.0,  # the same code; long enough for every lease in it to end
}
FAILED_LIMIT = 3  # issue 2, lb: at most 3 failed GETs, none after the first second
TRIES = 3
LATE_S = 0.05  # drills.md R6: what is sent later than this says something of the machine
LATE_SHARE = 0.01


class Traffic:
    """Open-loop GETs at a fixed rate; each answer with the time it was due."""

    def __init__(self, path: str, seconds: float) -> None:
        self._path = path
        self._seconds = seconds
        self.began_s = 0.0
        self.answers: list[tuple[float, int]] = []
        self._late_count = 0
        self._refused_count = 0
        self._thread = threading.Thread(target=self._walk, daemon=True)

    def __enter__(self) -> "Traffic":
        self.began_s = time.monotonic()
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def failed_after(self, since_s: float) -> list[tuple[float, int]]:
        """Requests due after a moment that got no 200, as (seconds since it, status)."""
        return [
            (round(due - since_s, 2), status)
            for due, status in sorted(self.answers)
            if due >= since_s - 0.02 and status != 200
        ]

    @property
    def was_too_much(self) -> bool:
        """Whether the machine was too busy to ask in time, or to serve so few without a limit.

        The answers judge nothing then: a limiter that feels the CPU refuses, as it should.
        """
        late_count = LATE_SHARE * self._seconds * RATE_RPS
        return self._late_count > late_count or self._refused_count > 0

    def _walk(self) -> None:
        threads = []
        for number in range(int(self._seconds * RATE_RPS)):
            due = self.began_s + number / RATE_RPS
            time.sleep(max(0.0, due - time.monotonic()))
            self._late_count += time.monotonic() - due > LATE_S
            thread = threading.Thread(target=self._send, args=(due,), daemon=True)
            thread.start()
            threads.append(thread)
        for thread in threads:
            thread.join()

    def _send(self, due: float) -> None:
        try:
            answer = ask(PORT, "GET", self._path, limit_s=5)
            status = answer.status
            decision = answer.headers.get("x-squall-decision", "")
            self._refused_count += decision.startswith("limiter")
        except OSError:
            status = 0
        self.answers.append((due, status))


def _gateways_ready(lab: Lab) -> bool:
    rows = lab.json("status")["processes"]
    return sum(bool(row["ready"]) for row in rows if row["instance"].startswith("gateway.")) == 2


@pytest.mark.parametrize("verb", ["kill", "pause"])
def test_losing_one_gateway_fails_at_most_three_requests(
    lab: Lab, driver: Callable[[str, str], None], verb: str
) -> None:
    """Kill -9 or SIGSTOP of one of two gateways: at most 3 failed GETs, none after 1 s."""
    for _ in range(TRIES):
        traffic, failed = _lose_gateway(lab, driver, verb)
        if not traffic.was_too_much:
            break
    else:
        pytest.skip(f"{TRIES} times the machine was too busy to judge")
    assert len(failed) <= FAILED_LIMIT, failed
    assert [one for one in failed if one[0] > 1.0] == []


def _lose_gateway(
    lab: Lab, driver: Callable[[str, str], None], verb: str
) -> tuple[Traffic, list[tuple[float, int]]]:
    wait_until(lambda: _gateways_ready(lab), limit_s=60)
    with Traffic("/v1/videos", seconds=6) as traffic:
        wait_until(lambda: len(traffic.answers) > RATE_RPS, limit_s=10)
        hit_s = time.monotonic()
        driver(verb, "gateway.1")
    driver({"kill": "start", "pause": "resume"}[verb], "gateway.1")
    wait_until(lambda: _gateways_ready(lab), limit_s=60)
    return traffic, traffic.failed_after(hit_s)


def test_without_control_the_lab_goes_on_and_faults_end(
    lab: Lab, driver: Callable[[str, str], None]
) -> None:
    """Control away for a minute under load: no error, a fault ends on time, switches stay."""
    wait_until(lambda: _gateways_ready(lab), limit_s=60)
    lab.json("policy", "set", "breaker", "off", "--on", "gateway")
    lab.json("fault", "add", "latency", "--on", "comment", "--ms", "500", "--ttl", "10s")
    added_s = time.monotonic()
    try:
        with Traffic("/v1/videos", seconds=WITHOUT_CONTROL_S[lab.mode]) as traffic:
            driver("stop", "control.1")
            wait_until(lambda: _degraded(lab) == ["comments"], limit_s=8)
            wait_until(lambda: _degraded(lab) == [], limit_s=16)
            assert 8 < time.monotonic() - added_s < 16
            refused = lab.run("policy", "set", "limiter", "off", limit_s=20)
            assert refused.returncode == 3, refused.stderr
        _empty_control(lab)
    finally:
        driver("start", "control.1")
    wait_until(lambda: lab.run("status").returncode == 0, limit_s=30)
    wait_until(lambda: _gateways_ready(lab), limit_s=30)
    wait_until(lambda: _breaker(lab) == "off", limit_s=15)
    lab.json("policy", "reset", "breaker", "--on", "gateway")
    assert _breaker(lab) == "shadow"
    if traffic.was_too_much:
        pytest.skip("the machine was too busy to judge")
    assert traffic.failed_after(traffic.began_s) == []


def _degraded(lab: Lab) -> object:
    return lab.get("/v1/videos/1").json.get("degraded")


def _breaker(lab: Lab) -> object:
    return lab.json("policy", "list")["policies"].get("gateway.1", {}).get("breaker")


def _empty_control(lab: Lab) -> None:
    """Let control come back with nothing; in containers its volume is out of reach from here."""
    if lab.mode == "processes":
        folder = ROOT / ".squall" / "data" / "control.1"
        shutil.rmtree(folder)
        folder.mkdir()
