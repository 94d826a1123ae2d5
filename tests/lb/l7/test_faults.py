"""Three backends behind the proxy's file, one of which breaks: what a stream of GETs sees of it.

The backends are processes, the proxy is what ``python -m lb.l7 FILE`` runs; four clients ask as
fast as they are answered. Issue 5: nothing fails when one is killed, paused or restarted, or the
file is read anew; one that is slow or fails has less than a tenth of its share until it recovers.
"""

import asyncio
import signal
import subprocess
import sys
from collections import Counter, deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from lb.l7.standalone import Standalone
from tests.lb.l7.rig import RawClient
from tests.ports import free_port

pytestmark = pytest.mark.integration

WAIT_S = 20.0  # of a condition; nothing here is judged by the clock
CLIENTS = 4
SEEN = 300  # the answers that a share is counted over; a fair one is 100 of them
TENTH_OF_FAIR = SEEN // 3 // 10


class Fleet:
    """Three backends as processes, and the file that names them."""

    def __init__(self, folder: Path) -> None:
        self.ports = [free_port() for _ in range(3)]
        self.path = folder / "l7.yaml"
        self.port = free_port()
        self.processes: dict[int, subprocess.Popen[bytes]] = {}
        self.reloads = 0

    def start(self, number: int) -> None:
        """Start backend 1, 2 or 3."""
        command = [sys.executable, "-m", "tests.lb.l7.backend_process"]
        self.processes[number] = subprocess.Popen(
            [*command, str(self.ports[number - 1]), str(number)]
        )

    def send(self, number: int, what: signal.Signals) -> None:
        """Send a signal to one."""
        self.processes[number].send_signal(what)

    def kill(self, number: int) -> None:
        """Kill one, and wait for its end."""
        self.processes[number].kill()
        self.processes[number].wait(timeout=WAIT_S)

    def write(self) -> None:
        """Write the file, each time another one."""
        self.reloads += 1
        listed = [
            f"  - {{address: '127.0.0.1:{p}', name: '{n}'}}" for n, p in enumerate(self.ports, 1)
        ]
        more = [
            "requests: {budget_ms: 8000}",  # a machine that stands still is no failure
            "checks: {timeout_s: 2, interval_s: 0.05, unhealthy_after: 2}",
            "ejection:",
            f"  interval_s: 0.{self.reloads % 9 + 1}",
            "  base_s: 2",
            "  failure_share: {enforce: true, threshold: 0.3, min_backends: 2, min_requests: 8}",
        ]
        new = self.path.with_suffix(".new")
        new.write_text("\n".join([f"listen: 127.0.0.1:{self.port}", "backends:", *listed, *more]))
        new.replace(self.path)

    def stop(self) -> None:
        """End all of them."""
        for process in self.processes.values():
            process.send_signal(signal.SIGCONT)
            process.kill()
            process.wait(timeout=WAIT_S)


class Stream:
    """Clients that ask again and again; what they got is counted."""

    def __init__(self, port: int) -> None:
        self._port = port
        self.count = 0
        self.failed: list[str] = []
        self.recent: deque[str] = deque(maxlen=SEEN)  # who answered, newest last
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin."""
        self._tasks = [asyncio.create_task(self._ask_on()) for _ in range(CLIENTS)]

    async def stop(self) -> None:
        """End."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def answers(self, count: int) -> None:
        """Wait for so many answers more."""
        wanted = self.count + count
        await self.until(lambda: self.count >= wanted)

    async def until(self, condition: Callable[[], bool]) -> None:
        """Wait until it holds."""
        async with asyncio.timeout(WAIT_S):
            while not condition():  # noqa: ASYNC110  a counter tells nobody
                await asyncio.sleep(0.01)

    def share_of(self, name: str) -> int:
        """Return how many of the newest answers one gave; all of them before there are enough."""
        return Counter(self.recent)[name] if len(self.recent) == SEEN else SEEN

    async def _ask_on(self) -> None:
        while True:
            try:
                client = RawClient(*await asyncio.open_connection("127.0.0.1", self._port))
            except OSError as error:
                self.failed.append(repr(error))
                continue
            try:
                while True:
                    await self._ask(client)
            except (OSError, asyncio.IncompleteReadError) as error:
                self.failed.append(repr(error))
            finally:
                client.writer.transport.abort()

    async def _ask(self, client: RawClient) -> None:
        client.get("/")
        answer = await client.answer()
        self.count += 1
        self.recent.append(answer.body.decode())
        if answer.status != 200:
            self.failed.append(f"{answer.status} from {answer.body!r}")


@asynccontextmanager
async def under_load(folder: Path) -> AsyncIterator[tuple[Fleet, Stream, Standalone]]:
    """Run the proxy before three backends, and a stream of GETs that all three answer."""
    fleet = Fleet(folder)
    fleet.write()
    for number in (1, 2, 3):
        fleet.start(number)
    alone = Standalone(fleet.path)
    running = asyncio.create_task(alone.run())
    stream = Stream(fleet.port)
    try:
        await stream.until(lambda: all(map(_listens, (*fleet.ports, fleet.port))))
        stream.start()
        await stream.until(lambda: set(stream.recent) == {"1", "2", "3"})
        await stream.until(lambda: not alone.proxy.snapshot()["panicking"])
        stream.failed.clear()
        yield fleet, stream, alone
    finally:
        await stream.stop()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        fleet.stop()


def _listens(port: int) -> bool:
    listening = f":{port:04X} 00000000:0000 0A"
    return listening in Path("/proc/net/tcp").read_text()


async def test_killing_one_fails_nothing(tmp_path: Path) -> None:
    """Whoever was asked there is asked elsewhere."""
    async with under_load(tmp_path) as (fleet, stream, _):
        fleet.kill(1)
        await stream.until(lambda: stream.share_of("1") == 0)
        assert stream.failed == []


async def test_pausing_one_fails_nothing(tmp_path: Path) -> None:
    """What hangs there is tried elsewhere beside it; it is back when it goes on."""
    async with under_load(tmp_path) as (fleet, stream, _):
        fleet.send(1, signal.SIGSTOP)
        await stream.until(lambda: stream.share_of("1") == 0)
        fleet.send(1, signal.SIGCONT)
        await stream.until(lambda: stream.share_of("1") > TENTH_OF_FAIR)
        assert stream.failed == []


async def test_restarting_all_in_turn_fails_nothing(tmp_path: Path) -> None:
    """Each is back before the next one goes."""
    async with under_load(tmp_path) as (fleet, stream, _):
        for number in (1, 2, 3):
            fleet.kill(number)
            await stream.until(lambda n=number: stream.share_of(str(n)) == 0)  # type: ignore[misc]
            fleet.start(number)
            await stream.until(lambda n=number: TENTH_OF_FAIR < stream.share_of(str(n)) < SEEN)  # type: ignore[misc]
        assert stream.failed == []


async def test_reading_the_file_anew_fails_nothing(tmp_path: Path) -> None:
    """Ten times, another one each time."""
    async with under_load(tmp_path) as (fleet, stream, alone):
        for _ in range(10):
            fleet.write()
            alone.look()
            await stream.answers(30)
        assert alone.file.reloads == 10
        assert stream.failed == []


async def test_a_slow_one_keeps_less_than_a_tenth_of_its_share(tmp_path: Path) -> None:
    """300 ms more, until it recovers; nothing fails."""
    async with under_load(tmp_path) as (fleet, stream, _):
        fleet.send(1, signal.SIGUSR1)
        await stream.until(lambda: stream.share_of("1") < TENTH_OF_FAIR)
        fleet.send(1, signal.SIGUSR1)
        await stream.until(lambda: TENTH_OF_FAIR < stream.share_of("1") < SEEN)
        assert stream.failed == []


async def test_one_that_fails_half_keeps_less_than_a_tenth_of_its_share(tmp_path: Path) -> None:
    """Its answers are passed on as they are, and then it isn't asked until it recovers."""
    async with under_load(tmp_path) as (fleet, stream, _):
        fleet.send(1, signal.SIGUSR2)
        await stream.until(lambda: stream.share_of("1") < TENTH_OF_FAIR)
        assert stream.failed
        assert set(stream.failed) == {"500 from b'1'"}
        fleet.send(1, signal.SIGUSR2)
        await stream.until(lambda: TENTH_OF_FAIR < stream.share_of("1") < SEEN)
