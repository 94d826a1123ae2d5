"""The stopwatch: contenders take turns, and nothing is left switched off."""

import asyncio
import gc

import pytest
import uvloop

from bench.timing import SAMPLE_MS, Stopwatch

pytestmark = pytest.mark.unit


def test_a_sample_is_twenty_milliseconds() -> None:
    """Long against the clock's grain, short against a neighbour's burst."""
    assert SAMPLE_MS == 20.0


def test_contenders_take_turns_and_each_round_begins_with_another(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Of three the first is in turn each one, and no sample runs under the collector."""
    order: list[str] = []
    collected: list[bool] = []

    def run(self: Stopwatch, step: object, calls: int) -> int:
        assert callable(step)
        order.append(step())
        collected.append(gc.isenabled())
        return calls * 5

    monkeypatch.setattr(Stopwatch, "run", run)
    monkeypatch.setattr(Stopwatch, "calls_for_sample", lambda self, step: 10)
    with Stopwatch() as watch:
        samples = watch.side_by_side({"a": lambda: "a", "b": lambda: "b", "c": lambda: "c"}, 3)

    assert order == list("abcbcacab")
    assert not any(collected)
    assert gc.isenabled()
    assert samples == {"a": [5.0] * 3, "b": [5.0] * 3, "c": [5.0] * 3}


def test_the_collector_comes_back_when_a_step_fails() -> None:
    """A peer's error must not switch it off for the rest of the run."""

    def fails() -> None:
        raise ValueError("no step")

    with Stopwatch(0.01) as watch:
        watch.calls_for_sample = lambda step: 1  # type: ignore[method-assign]
        with pytest.raises(ValueError, match="no step"):
            watch.side_by_side({"a": fails}, 1)
    assert gc.isenabled()


def test_steps_run_on_the_loop_of_the_lab_and_it_turns() -> None:
    """A coroutine's timers and tasks are freed while it is measured, as on a server."""
    turns = 0
    loops: list[str] = []

    async def step() -> None:
        loops.append(type(asyncio.get_running_loop()).__module__)

        def turned() -> None:
            nonlocal turns
            turns += 1

        asyncio.get_running_loop().call_soon(turned)

    with Stopwatch(0.01) as watch:
        watch.run(step, 64)

    assert set(loops) == {uvloop.Loop.__module__}
    assert turns >= 64


def test_a_sample_has_as_many_calls_as_fill_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Calls are doubled until a tenth of a sample is used, and then scaled up."""
    monkeypatch.setattr(Stopwatch, "run", lambda self, step, calls: calls * 1000)
    with Stopwatch(1.0) as watch:
        assert watch.calls_for_sample(lambda: None) == 1000
    with Stopwatch(0.001) as watch:
        assert watch.calls_for_sample(lambda: None) == 32
