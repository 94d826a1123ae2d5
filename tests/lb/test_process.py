"""Both proxies as the processes they are in the lab, with a real control store."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import pytest

from kit.control import ControlClient
from kit.members import Member
from tests.lb.l7.rig import WAIT_S, Backend, RawClient, answering, ok, until
from tests.valkey import start_valkey

pytestmark = pytest.mark.integration

# Ports are literal, so each run has loopback addresses of its own.
NET = f"127.78.{os.getpid() % 250 + 1}"
L7, L4 = f"{NET}.1", f"{NET}.2"


@contextmanager
def process(
    module: str, host: str, control_port: int, **more: str
) -> Iterator[subprocess.Popen[bytes]]:
    """Run one of the proxies, with more variables where they are given."""
    environment = {
        **os.environ,
        "SQUALL_CONTROL": f"127.0.0.1:{control_port}",
        "SQUALL_HOST": host,
        "SQUALL_REPLICA": "1",
        **more,
    }
    started = subprocess.Popen([sys.executable, "-m", module], env=environment)
    try:
        yield started
    finally:
        if started.poll() is None:
            started.kill()
        started.wait(timeout=10)


@asynccontextmanager
async def registered(control_port: int) -> AsyncIterator[Backend]:
    """Run a backend that holds a lease, as a gateway's process would."""
    backend = Backend("gateway.1", answering(ok()))
    await backend.start()
    control = ControlClient(("127.0.0.1", control_port))
    member = Member("gateway.1", "gateway", 1, "127.0.0.1", backend.port, ready=True)

    async def hold() -> None:
        while True:
            await control.renew(member)
            await asyncio.sleep(1.0)

    holding = asyncio.create_task(hold())
    try:
        yield backend
    finally:
        await backend.stop()
        holding.cancel()
        await asyncio.gather(holding, return_exceptions=True)
        await control.close()


async def get(host: str, port: int) -> int:
    """Ask once; 0 when there was no answer."""
    try:
        reader, writer = await asyncio.open_connection(host, port)
    except OSError:
        return 0
    try:
        client = RawClient(reader, writer)
        client.get("/v1/videos", "x-request-id: through-both")
        return (await client.answer()).status
    except (OSError, asyncio.IncompleteReadError):
        return 0
    finally:
        writer.transport.abort()


async def test_a_request_crosses_both_and_they_end_in_order() -> None:
    """L4, L7 and backend answer 200; SIGTERM ends both proxies with exit code 0."""
    with (
        start_valkey() as control,
        process("lb.l7", L7, control.port) as l7,
        process("lb.l4", L4, control.port) as l4,
    ):
        async with registered(control.port) as backend, asyncio.timeout(3 * WAIT_S):
            while await get(L4, 8080) != 200:  # noqa: ASYNC110  processes start in any order
                await asyncio.sleep(0.05)
            assert b"x-request-id: through-both\r\n" in backend.received
            assert await get(L7, 8081) == 200
            for one in (l4, l7):
                one.send_signal(signal.SIGTERM)
                await until(lambda one=one: one.poll() is not None)  # type: ignore[misc]
                assert one.returncode == 0


async def test_l7_takes_a_file_beside_control_and_follows_it(tmp_path: Path) -> None:
    """What the file logs is logged; a new file is taken without a word to control."""
    path, first, second = tmp_path / "l7.yaml", tmp_path / "a.log", tmp_path / "b.log"
    path.write_text(f"access_log: {{path: {first}}}\n")
    with (
        start_valkey() as control,
        process("lb.l7", L7, control.port, SQUALL_L7_CONFIG=str(path)) as l7,
    ):
        async with registered(control.port), asyncio.timeout(3 * WAIT_S):
            while await get(L7, 8081) != 200:  # noqa: ASYNC110  processes start in any order
                await asyncio.sleep(0.05)
            await until(lambda: '"request_id":"through-both"' in first.read_text())
            path.write_text(f"access_log: {{path: {second}}}\n")
            await until(second.exists)
            assert await get(L7, 8081) == 200
            await until(lambda: '"status":200' in second.read_text())
            l7.send_signal(signal.SIGTERM)
            await until(lambda: l7.poll() is not None)
            assert l7.returncode == 0
