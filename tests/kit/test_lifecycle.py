"""Ready, draining, stopped; in which order, and how long each takes."""

import asyncio
import time

import pytest

from kit import lifecycle as module
from kit.lifecycle import FINISH_LIMIT_S, NOTICE_S, Lifecycle, Phase

LIMIT_S = 10.0


class Process:
    """A lifecycle and what it did, in order."""

    def __init__(self, drain: bool = True) -> None:
        self.did: list[str] = []
        self.lifecycle = Lifecycle(self.announce, lambda: drain, lambda: 100.0)

    async def announce(self) -> None:
        """Note what would be told to control."""
        self.did.append(f"announce {self.lifecycle.phase.value}")

    async def close(self, limit_s: float) -> None:
        """Note how long what is in flight would be waited for."""
        self.did.append(f"close {limit_s:g}")


def test_times_are_documented() -> None:
    """One second of notice, ten to finish: together below compose's 15 s; 0.2 s when quiet."""
    assert (NOTICE_S, FINISH_LIMIT_S) == (1.0, 10.0)
    assert (module.QUIET_S, module.QUIET_NOTICE_S) == (1.0, 0.2)


async def test_a_stop_says_not_ready_before_it_closes(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody asked lately, so the notice is as short as a hint's way."""
    monkeypatch.setattr(module, "NOTICE_S", 300.0)
    process = Process()
    heard: list[bool] = []
    process.lifecycle.on_ready_change(heard.append)
    serving = asyncio.create_task(process.lifecycle.serve(process.close))
    await asyncio.sleep(0)
    assert process.lifecycle.is_ready
    started_s = time.monotonic()
    process.lifecycle.request_stop()
    await asyncio.wait_for(serving, LIMIT_S)
    assert time.monotonic() - started_s > 0.15
    assert process.did == ["announce ready", "announce draining", "close 10"]
    assert heard == [True, False]
    assert process.lifecycle.phase is Phase.STOPPED


async def test_with_traffic_balancers_get_their_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request came a moment ago: it goes on serving for the notice."""
    monkeypatch.setattr(module, "NOTICE_S", 0.3)
    monkeypatch.setattr(module, "QUIET_NOTICE_S", 0.0)
    process = Process()
    serving = asyncio.create_task(process.lifecycle.serve(process.close))
    await asyncio.sleep(0)
    process.lifecycle.begin_request()
    process.lifecycle.end_request()
    started_s = time.monotonic()
    process.lifecycle.request_stop()
    await serving
    assert time.monotonic() - started_s >= 0.29


async def test_without_drain_it_closes_at_once() -> None:
    """The control arm of a rolling restart: no notice, no limit, what is in flight breaks."""
    process = Process(drain=False)
    serving = asyncio.create_task(process.lifecycle.serve(process.close))
    await asyncio.sleep(0)
    process.lifecycle.begin_request()
    process.lifecycle.request_stop()
    await serving
    assert process.did == ["announce ready", "close 0", "announce stopped"]
    assert repr(process.lifecycle) == "<Lifecycle stopped, 1 in flight>"


async def test_a_stop_before_the_start_was_over_never_says_ready() -> None:
    """Nobody is invited to a process that is leaving."""
    process = Process()
    process.lifecycle.request_stop()
    await process.lifecycle.serve(process.close)
    assert process.did == ["close 10"]


async def test_a_second_stop_is_immediate(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process is gone, whatever it was doing."""
    codes: list[int] = []
    monkeypatch.setattr("os._exit", codes.append)
    process = Process()
    process.lifecycle.request_stop()
    assert process.lifecycle.is_stopping
    process.lifecycle.request_stop()
    assert codes == [module.EXIT_SECOND_SIGNAL] == [130]


async def test_work_ends_by_itself_or_by_the_stop() -> None:
    """Work that is done says True, its error comes through, and a stop cuts it off with False."""
    lifecycle = Process().lifecycle

    async def fail() -> None:
        raise ValueError("work broke")

    assert await lifecycle.unless_stopped(asyncio.sleep(0)) is True
    with pytest.raises(ValueError, match="work broke"):
        await lifecycle.unless_stopped(fail())

    async def wait_forever() -> None:
        await asyncio.Event().wait()

    cut_off = asyncio.ensure_future(lifecycle.unless_stopped(wait_forever()))
    lifecycle.request_stop()
    assert await cut_off is False
