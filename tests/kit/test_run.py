"""A process of the lab as the system sees it: exit codes, signals, one line of error."""

import asyncio
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from kit.control import ControlClient
from tests.ports import free_port
from tests.valkey import Valkey

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
# What `python -m services.video` does, with nothing to serve, where it may stand still.
PROGRAM = """
from kit import control, watchdog
from kit.run import run

control.ANSWER_TIMEOUT_S = 10.0
watchdog.BLOCKED_S = 10.0

async def close(limit_s):
    pass

async def main(node):
    node.port = 1
    await node.lifecycle.serve(close)

run(main, "video")
"""


def start(environ: dict[str, str]) -> subprocess.Popen[str]:
    """Start the program."""
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM],
        env={"PATH": os.environ["PATH"], **environ},
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


async def ready(control: ControlClient, is_ready: bool = True) -> None:
    """Wait until control knows the process as ready, or not at all."""
    limit_s = time.monotonic() + 30.0
    while time.monotonic() < limit_s:
        if any(member.ready for member in await control.members()) is is_ready:
            return
        await asyncio.sleep(0.02)
    raise AssertionError(f"ready was not {is_ready} in time")


@pytest.mark.parametrize(
    ("environ", "code", "says"),
    [
        ({}, 2, "video: SQUALL_CONTROL is not set"),
        ({"SQUALL_CONTROL": "x"}, 2, "host:port"),
        ({"SQUALL_CONTROL": "c:1", "SQUALL_REPLICA": "1", "SQUALL_HOST": "192.0.2.1"}, 3, "9100"),
    ],
)
def test_a_wrong_start_is_one_line_and_a_code(
    environ: dict[str, str], code: int, says: str
) -> None:
    """No traceback."""
    process = start(environ)
    out, err = process.communicate(timeout=30)
    assert process.returncode == code
    assert out == ""
    assert err.count("\n") == 1
    assert says in err


def environment(server: Valkey) -> dict[str, str]:
    """Give a process an address of its own, as process mode does."""
    return {
        "SQUALL_CONTROL": f"{server.host}:{server.port}",
        "SQUALL_REPLICA": "1",
        "SQUALL_HOST": f"127.78.{os.getpid() % 250}.{free_port() % 250 + 1}",
    }


async def test_a_signal_ends_it_in_order(control: ControlClient, shared_control: Valkey) -> None:
    """SIGTERM: the lease is given back, the exit code is 0, and nothing was said."""
    process = start(environment(shared_control))
    try:
        await ready(control)
        process.send_signal(signal.SIGTERM)
        out, err = await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert (process.returncode, out, err) == (0, "", "")
    assert await control.members() == []


async def test_a_signal_ends_the_wait_for_control() -> None:
    """Nobody answers at that address; SIGTERM needs no second one."""
    environ = {"SQUALL_CONTROL": f"127.0.0.1:{free_port()}", "SQUALL_REPLICA": "1"}
    host = f"127.79.{os.getpid() % 250}.{free_port() % 250 + 1}"
    process = start({**environ, "SQUALL_HOST": host, "SQUALL_LOG_LEVEL": "info"})
    try:
        assert process.stderr is not None
        line = await asyncio.to_thread(process.stderr.readline)
        assert "waiting for control" in line
        process.send_signal(signal.SIGTERM)
        await asyncio.to_thread(process.communicate, timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0
