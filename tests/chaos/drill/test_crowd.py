"""A crowd of slow clients as a process: begun, proved, ended, and told when it ended by itself."""

import asyncio
from pathlib import Path

import msgspec
import pytest

from chaos.drill.crowd import Crowd
from chaos.drill.fault import Fault
from kit.errors import LabEnvironmentError
from tests.ports import free_port

WAIT_S = 10.0


def slowloris(connections: int = 5) -> Fault:
    """Read the fault as a drill file has it."""
    given = {"kind": "slowloris", "on": "clients", "connections": connections}
    return msgspec.convert({**given, "rate": 1000, "ms": 20}, Fault)


async def test_its_proof_is_what_it_opened(tmp_path: Path) -> None:
    """It ends when told to, and all its connections with it."""
    port, open_now = free_port(), 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal open_now
        open_now += 1
        try:
            while await reader.read(4096):
                pass
        except ConnectionError:
            pass
        finally:
            open_now -= 1
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port)
    crowd = Crowd(f"http://127.0.0.1:{port}", tmp_path, "tiny-1")
    try:
        await crowd.begin(slowloris(), 60.0)
        async with asyncio.timeout(WAIT_S):
            while open_now < 5:  # noqa: ASYNC110  connections tell nobody
                await asyncio.sleep(0.01)
        proof = await crowd.end()
        async with asyncio.timeout(WAIT_S):
            while open_now:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
    finally:
        await crowd.stop()
        server.close()
    assert (proof["hits"], proof["peak"], proof["instances"]) == (5, 5, [])
    assert proof["detail"] == "opened 5, peak 5, answered 0"


async def test_one_that_ended_by_itself_is_no_proof(tmp_path: Path) -> None:
    """The engine says what it wrote."""
    crowd = Crowd("http://127.0.0.1:9", tmp_path, "tiny-1")
    await crowd.begin(slowloris(connections=20_000), 60.0)
    assert crowd._process is not None
    await asyncio.wait_for(crowd._process.wait(), WAIT_S)
    with pytest.raises(LabEnvironmentError, match="connections is 20000; give 1 to 10000"):
        await crowd.end()
