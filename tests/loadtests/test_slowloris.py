"""Slow clients over real sockets: what they send, how many there are, and how they come back."""

import asyncio
import json
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from chaos.drill.fault_mistakes import CROWD_MOST
from loadtests import slowloris
from loadtests.slowloris import Crowd, allow_files
from tests.ports import free_port

WAIT_S = 10.0
ROOT = Path(__file__).resolve().parent.parent.parent


class Door:
    """A server that reads for ever, or closes or answers as soon as a head has begun."""

    def __init__(self, answer: bytes | None = None) -> None:
        self.port = free_port()
        self.received: list[bytearray] = []
        self.open = 0
        self._answer = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Take one client."""
        mine = bytearray()
        self.received.append(mine)
        self.open += 1
        try:
            while data := await reader.read(4096):
                mine += data
                if self._answer is not None:
                    writer.write(self._answer)
                    break
        except ConnectionError:
            pass
        finally:
            self.open -= 1
            writer.close()


@asynccontextmanager
async def running(door: Door, **options: float) -> AsyncIterator[Crowd]:
    """Serve, and send a crowd there."""
    server = await asyncio.start_server(door.serve, "127.0.0.1", door.port)
    given = {"connections": 20, "rate": 1000.0, "byte_ms": 10.0, **options}
    crowd = Crowd(
        "127.0.0.1",
        door.port,
        connections=int(given["connections"]),
        rate=given["rate"],
        byte_ms=given["byte_ms"],
    )
    task = asyncio.create_task(crowd.run())
    try:
        yield crowd
    finally:
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await until(lambda: door.open == 0)
        server.close()


async def until(condition: Callable[[], bool]) -> None:
    """Wait until it holds; TimeoutError after the bound."""
    async with asyncio.timeout(WAIT_S):
        while not condition():  # noqa: ASYNC110  what is watched knows nothing of tests
            await asyncio.sleep(0.005)


def test_defaults() -> None:
    """Those of the drill; the engine's copy of the most there may be is the same."""
    assert (slowloris.DEFAULT_CONNECTIONS, slowloris.DEFAULT_RATE) == (1200, 200.0)
    assert slowloris.DEFAULT_BYTE_MS == 1000.0
    assert CROWD_MOST["connections"] == slowloris.MAX_CONNECTIONS


async def test_heads_grow_and_never_end() -> None:
    """Each begins like any request; then come bytes, and no empty line."""
    door = Door()
    async with running(door) as crowd:
        await until(lambda: len(door.received) == 20)
        await until(lambda: all(bytes(each).count(b"b") > 3 for each in door.received))
        assert crowd.facts()["open"] == crowd.facts()["peak"] == 20
    for each in door.received:
        assert each.startswith(b"GET / HTTP/1.1\r\nHost: 127.0.0.1:")
        assert b"\r\n\r\n" not in each
        assert set(bytes(each).rpartition(b"X-Slow: ")[2]) == {ord("b")}


async def test_whoever_is_cut_off_comes_back() -> None:
    """And is never one too many."""
    door = Door(b"HTTP/1.1 408 Request Timeout\r\n\r\n")
    async with running(door, connections=5) as crowd:
        await until(lambda: crowd.answered >= 15)
        facts = crowd.facts()
    assert facts["peak"] <= 5
    assert facts["opened"] >= 15


async def test_new_ones_come_at_their_rate() -> None:
    """Twenty a second fill fifty places later than at once."""
    door = Door()
    loop = asyncio.get_running_loop()
    async with running(door, connections=30, rate=40.0) as crowd:
        began_s = loop.time()
        await until(lambda: crowd.opened >= 20)
        assert crowd.opened <= 40.0 * (loop.time() - began_s) + 10


async def test_nobody_there_is_counted() -> None:
    """It goes on trying."""
    crowd = Crowd("127.0.0.1", free_port(), connections=3, rate=100.0, byte_ms=10.0)
    task = asyncio.create_task(crowd.run())
    await until(lambda: crowd.refused >= 4)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    assert crowd.facts()["opened"] == 0


def test_too_few_files_are_told(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the command that allows more."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (100, 500))
    with pytest.raises(OSError, match="1200 connections need 1264 open files and 500 are allowed"):
        allow_files(1200)


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--connections", "0"], "--connections is 0; give 1 to 10000"),
        (["--rate", "0"], "--rate must be more than 0"),
        (["--byte-ms", "-1"], "--byte-ms must be more than 0"),
        (["--for", "soon"], "'soon' is no duration"),
        (["--host", "ftp://x"], "it must look like http://127.0.0.1:8080"),
        (["--host", "http://127.0.0.1:x"], "Port could not be cast"),
    ],
)
def test_wrong_words_are_told(
    words: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Exit code 2, what was wrong and what may be."""
    with pytest.raises(SystemExit) as caught:
        slowloris.main(words)
    assert caught.value.code == 2
    assert told in capsys.readouterr().err


async def test_by_the_command_line_it_ends_in_time_and_tells(tmp_path: Path) -> None:
    """JSON at the end, and the same in the file."""
    door = Door()
    server = await asyncio.start_server(door.serve, "127.0.0.1", door.port)
    out = tmp_path / "facts.json"
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "loadtests.slowloris"),
        *("--host", f"http://127.0.0.1:{door.port}", "--connections", "4", "--for", "60s"),
        *("--out", str(out)),
        stdout=subprocess.PIPE,
        cwd=ROOT,
    )
    try:
        await until(lambda: door.open == 4)
        process.terminate()
        told, _ = await asyncio.wait_for(process.communicate(), WAIT_S)
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    await until(lambda: door.open == 0)
    server.close()
    assert process.returncode == 0
    assert json.loads(told) == json.loads(out.read_text())
    assert json.loads(told)["peak"] == 4
