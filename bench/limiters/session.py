"""A session: which runs, in which order, how long it will take; then carry them out.

Runs take turns: the first of every contender at every cv, then the second, each round beginning one
contender further, so that a machine that is busy for a while is busy for all.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from typing import NamedTuple

from bench.limiters import envoy
from bench.limiters.contenders import CONTENDERS, Contender, contender, names
from bench.limiters.run import Run
from bench.limiters.trace import CVS, DURATION_S

OVERHEAD_S = 1.5  # two Pythons and an Envoy start, 0.3 s of lead, the last answers

Carry = Callable[[Contender, float], Awaitable[Run]]


class Planned(NamedTuple):
    """One run to be done."""

    contender: Contender
    cv: float


def chosen(only: Sequence[str]) -> list[Contender]:
    """Return the contenders asked for, all when none was, in the order of the table.

    Raises:
        KeyError: A name is unknown.
    """
    for name in only:
        contender(name)
    return [each for each in CONTENDERS if each.name in (only or names())]


def missing(contenders: Sequence[Contender]) -> dict[str, str]:
    """Return who cannot be measured here, and why."""
    if envoy.binary() is not None:
        return {}
    why = f"not installed: {envoy.HOW_TO}"
    return {each.name: why for each in contenders if each.is_envoy}


def plan(
    contenders: Sequence[Contender], cvs: Sequence[float] = CVS, runs: int | None = None
) -> list[Planned]:
    """Put the runs in order.

    Args:
        contenders: Those that can be measured.
        cvs: Of the service times.
        runs: How many of each; None takes each contender's own number.
    """
    planned = []
    rounds = max((runs or each.runs for each in contenders), default=0)
    for number in range(rounds):
        turn = number % len(contenders)
        for each in [*contenders[turn:], *contenders[:turn]]:
            if number < (runs or each.runs):
                planned += [Planned(each, cv) for cv in cvs]
    return planned


def duration_s(planned: Sequence[Planned], jobs: int = 1) -> float:
    """Return how long a plan takes when no run is spoiled, seconds."""
    return -(-len(planned) // jobs) * (DURATION_S + OVERHEAD_S)


async def carry_out(
    planned: Sequence[Planned],
    jobs: int,
    carry: Carry,
    on_done: Callable[[int, Run], None],
) -> list[Run]:
    """Do the runs, so many at once; the first that cannot be measured ends all.

    Args:
        planned: In order.
        jobs: At most so many at once, >= 1.
        carry: Does one.
        on_done: Told each run as it ends, with how many have ended by then.
    """
    waiting = list(reversed(planned))
    runs: list[Run] = []

    async def work() -> None:
        while waiting:
            each = waiting.pop()
            runs.append(await carry(each.contender, each.cv))
            on_done(len(runs), runs[-1])

    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(jobs):
                group.create_task(work())
    except ExceptionGroup as several:
        raise several.exceptions[0] from None  # the others were cancelled, or fared no better
    return runs
