"""Holding connections: what is judged, the honest clients, and a small crowd at a real proxy."""

import asyncio
import math

import pytest

from bench.proxies import hold
from bench.proxies.contender import program
from bench.proxies.hold import Held, Phase, measure, require_files
from bench.proxies.hold_report import facts, rows
from bench.proxies.honest import Honest, Window, quantile
from bench.proxies.run import Tools
from kit.errors import LabEnvironmentError
from tests.lb.l7.rig import Backend, answering, ok


def phase(name: str, p99_ms: float, failed: int = 0, unsent: int = 0) -> Phase:
    """Make one in which every request took as long."""
    return Phase(name, [Window([p99_ms / 1000] * 10, failed, unsent)])


def held(with_ms: float, *, idle: int = 100, slow: int = 10, failed: int = 0) -> Held:
    """Make a result in which p99 was 1 ms before and 3 ms after."""
    phases = [phase("before", 1.0), phase("with", with_ms, failed), phase("after", 3.0)]
    return Held(phases, idle, slow, 2048.0)


@pytest.mark.unit
def test_figures_of_the_issue() -> None:
    """10,000 idle, 1,000 slow, twice at most; 2,000 requests in a window."""
    assert (hold.IDLE, hold.SLOW, hold.MOST_RATIO) == (10_000, 1_000, 2.0)
    assert hold.RATE * hold.SECONDS >= 1_000  # or there is no p99 to speak of


@pytest.mark.unit
@pytest.mark.parametrize(("q", "value"), [(0.5, 50), (0.99, 99), (1.0, 100), (0.0, 1)])
def test_quantiles_of_a_hundred(q: float, value: float) -> None:
    """The smallest value that such a share doesn't exceed."""
    assert quantile(list(range(1, 101)), q) == value
    assert quantile([], q) == math.inf


@pytest.mark.unit
def test_what_was_held_is_judged() -> None:
    """p99 with the crowd over that before, whatever came after; all that is wrong is told."""
    assert held(2.0).ratio == pytest.approx(2.0)
    assert held(2.0).failures(100, 10) == []
    assert held(2.1).failures(100, 10) == ["p99 is 2.10 times what it was; at most 2"]
    assert held(1.0, idle=99).failures(100, 10) == ["99 of 100 idle and 10 of 10 slow were held"]
    assert held(1.0, failed=2).failures(100, 10) == ["2 honest requests failed"]
    assert held(math.inf).failures(100, 10)


@pytest.mark.unit
def test_what_was_not_sent_counts_as_failed() -> None:
    """A proxy that takes no request isn't quick."""
    assert phase("with", 1.0, failed=1, unsent=2).failed == 3


@pytest.mark.unit
def test_too_few_files_is_told_before_anything_starts(monkeypatch: pytest.MonkeyPatch) -> None:
    """With the number and the command."""
    monkeypatch.setattr(hold, "hard_file_limit", lambda: 4096.0)
    with pytest.raises(LabEnvironmentError, match=r"need 15096 open files and 4096.*ulimit -Hn"):
        require_files(10_000, 1_000)


@pytest.mark.integration
async def test_honest_clients_count_from_when_a_request_was_due() -> None:
    """A server that stands still for 0.2 s shows it in many requests, not in one."""
    is_first = True

    async def handle(
        backend: Backend, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        nonlocal is_first
        while True:
            await backend.read_head(reader)
            if is_first:
                is_first = False
                backend.received.clear()
                loop = asyncio.get_running_loop()
                ends_s = loop.time() + 0.2
                while loop.time() < ends_s:
                    pass  # the whole loop, clients too
            writer.write(ok())

    backend = Backend("one", handle)
    await backend.start()
    async with Honest(backend.port, rate=200.0) as honest:
        window = await honest.window(0.5)
    await backend.stop()
    assert (len(window.latencies_s), window.failed, window.unsent) == (100, 0, 0)
    assert sum(took_s > 0.05 for took_s in window.latencies_s) >= 20


@pytest.mark.integration
async def test_an_answer_that_is_no_200_is_a_failure() -> None:
    """And the connection goes on."""
    answer = b"HTTP/1.1 503 No\r\ncontent-length: 0\r\n\r\n"
    backend = Backend("one", answering(answer))
    await backend.start()
    async with Honest(backend.port, rate=100.0) as honest:
        window = await honest.window(0.1)
    await backend.stop()
    assert (window.failed, window.latencies_s) == (10, [])


@pytest.mark.integration
async def test_a_small_crowd_is_held_and_counted() -> None:
    """All parts together: proxy, backend, idle connections, slow heads, honest clients."""
    nginx = program("nginx")
    if nginx is None:
        pytest.skip("nginx is not installed: apt-get install nginx-light")
    told: list[str] = []
    found = await measure(Tools(nginx, nginx), 100, 10, 100.0, 1, told.append)
    assert (found.idle, found.slow) == (100, 10)
    assert [one.name for one in found.phases] == ["before", "with", "after"]
    assert all(one.failed == 0 for one in found.phases)
    assert told[1] == "opening 100 idle connections and 10 slow heads"
    assert rows(found)[1][6] == "100 idle, 10 slow"
    assert facts(found, [])["p99_ratio"] == pytest.approx(found.ratio)
