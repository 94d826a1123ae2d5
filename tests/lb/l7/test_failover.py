"""One of two backends dies or freezes under load: what clients see of it.

The backends are processes, killed with SIGKILL and frozen with SIGSTOP; the load is open-loop, 50
GETs a second. Issue 2: at most 3 may fail, none after the first second.
"""

import asyncio
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import pytest

from lb.l7.checks import Checks
from tests.lb.l7.rig import Rig, Where, rig, until
from tests.ports import free_port

pytestmark = pytest.mark.integration

RATE = 50
BEFORE_S = 0.3
AFTER_S = 2.2
TRIES = 3
STANDSTILL_S = 0.05  # drills.md R6: a generator that is later than this judges nothing


class Sent(NamedTuple):
    """One GET: when it was sent relative to the fault, how late, what came, when, from whom."""

    sent_s: float
    late_s: float
    status: int
    took_s: float
    who: bytes


@contextmanager
def backend_processes(count: int) -> Iterator[list[tuple[Where, subprocess.Popen[bytes]]]]:
    """Run that many backends."""
    made = []
    try:
        for number in range(1, count + 1):
            where = Where(f"gateway.{number}", "127.0.0.1", free_port())
            command = [sys.executable, "-m", "tests.lb.l7.backend_process"]
            process = subprocess.Popen([*command, str(where.port), where.instance])
            made.append((where, process))
        for where, _ in made:
            _wait_listening(where.port)
        yield made
    finally:
        for _, process in made:
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=10)


def _wait_listening(port: int) -> None:
    limit = time.monotonic() + 10
    while time.monotonic() < limit:
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.01)
    raise RuntimeError(f"nobody listens on {port}")


async def load(lab: Rig, fault_s: float, until_s: float) -> list[Sent]:
    """Send at the rate until that time, each GET on a connection of its own."""
    sent: list[Sent] = []

    async def one(due_s: float) -> None:
        began_s = time.monotonic()
        try:
            answer = await lab.ask("/")
            status, who = answer.status, answer.body
        except (OSError, asyncio.IncompleteReadError):
            status, who = 0, b""
        took_s = time.monotonic() - began_s
        sent.append(Sent(began_s - fault_s, began_s - due_s, status, took_s, who))

    async with asyncio.TaskGroup() as group:
        next_s = time.monotonic()
        while next_s < until_s:
            await asyncio.sleep(max(0.0, next_s - time.monotonic()))
            group.create_task(one(next_s))
            next_s += 1 / RATE
    return sent


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_loss_of_one_of_two_backends_fails_at_most_three_gets(number: int) -> None:
    """At most 3 of the GETs fail, none that was sent a second after the fault or later."""
    for _ in range(TRIES):
        sent = await lose_one(number)
        if max(one.late_s for one in sent) < STANDSTILL_S:
            break
    else:
        pytest.skip(f"{TRIES} times the machine stood still: it says nothing of the balancer")

    failed = [one for one in sent if one.status != 200]
    assert len(sent) >= RATE * (BEFORE_S + AFTER_S) - 5
    assert len(failed) <= 3, failed
    assert not [one for one in failed if one.sent_s >= 1.0]
    late = [one for one in sent if one.sent_s >= 1.3]
    assert {one.who for one in late} == {b"gateway.2"}
    assert max(one.took_s for one in late) < 0.45


async def lose_one(number: int) -> list[Sent]:
    """Send a signal to one of two backends under load; return what was sent."""
    with backend_processes(2) as processes:
        async with rig() as lab:
            endpoints = [where for where, _ in processes]
            lab.proxy.set_endpoints(endpoints)
            checks = Checks(lab.proxy.balancer, lab.switches.mode)
            checks.set_endpoints(endpoints)
            fault_s = time.monotonic() + BEFORE_S
            loading = asyncio.create_task(load(lab, fault_s, fault_s + AFTER_S))
            await asyncio.sleep(BEFORE_S)
            processes[0][1].send_signal(number)
            sent = await loading
            await checks.close()
    return sent


async def test_backend_that_comes_back_gets_requests_again() -> None:
    """After two good checks a frozen backend that goes on takes its share."""
    with backend_processes(2) as processes:
        async with rig() as lab:
            endpoints = [where for where, _ in processes]
            lab.proxy.set_endpoints(endpoints)
            checks = Checks(lab.proxy.balancer, lab.switches.mode)
            checks.set_endpoints(endpoints)
            process = processes[0][1]
            process.send_signal(signal.SIGSTOP)
            await until(lambda: lab.proxy.balancer.candidates == ("gateway.2",))
            process.send_signal(signal.SIGCONT)
            await until(lambda: len(lab.proxy.balancer.candidates) == 2)
            assert {(await lab.ask("/")).body for _ in range(20)} == {b"gateway.1", b"gateway.2"}
            await checks.close()


async def test_all_checks_failing_is_not_believed() -> None:
    """When no backend answers its checks, panic sends requests to all of them."""
    with backend_processes(2) as processes:
        async with rig() as lab:
            endpoints = [where for where, _ in processes]
            lab.proxy.set_endpoints(endpoints)
            for where in endpoints:
                for _ in range(3):
                    lab.proxy.balancer.on_check(where.instance, False, time.monotonic())
            assert {(await lab.ask("/")).body for _ in range(20)} == {b"gateway.1", b"gateway.2"}
            assert lab.proxy.balancer.snapshot()["panicking"] is True
