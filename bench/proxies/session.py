"""A session: every contender started once, then rounds of cells in shuffled order.

Rounds are interleaved and each is shuffled by a seed, so that a machine that is busy for a while is
busy for all, and who runs after whom is not always the same. The proxies stand there all the time:
one that is idle costs nothing, one that is warm measures what it does for hours.
"""

import random
from collections.abc import Collection, Sequence
from typing import NamedTuple

from bench.proxies.cells import Cell
from bench.proxies.contender import Contender
from bench.proxies.wrk import Wrk

SEED = 20_261_123
ROUNDS = 5
DURATION_S = 3
OVERHEAD_S = 0.3  # wrk starts and calibrates


class Planned(NamedTuple):
    """One measurement to be made."""

    round: int
    contender: str
    cell: Cell


class Sample(NamedTuple):
    """One measurement made.

    Args:
        round: Which, from 0.
        contender: Its name.
        cell: Its name.
        wrk: What the load saw.
        cpu_us: CPU of the proxy per unit of the cell, microseconds; None where nobody stands
            between.
    """

    round: int
    contender: str
    cell: str
    wrk: Wrk
    cpu_us: float | None


def chosen(contenders: Sequence[Contender], only: Sequence[str]) -> list[Contender]:
    """Return those asked for, all when none was, in the order of the table.

    Raises:
        KeyError: A name is unknown; it is the argument.
    """
    names = {each.name for each in contenders}
    for name in only:
        if name not in names:
            raise KeyError(name)
    return [each for each in contenders if not only or each.name in only]


def missing(contenders: Sequence[Contender]) -> dict[str, str]:
    """Return who cannot be measured here, and how that is mended."""
    return {each.name: f"not installed: {each.how_to}" for each in contenders if not each.find()}


def unspoken(
    contenders: Sequence[Contender], cells: Sequence[Cell], *, has_h2load: bool
) -> set[tuple[str, str]]:
    """Name contender and cell where one doesn't speak what the other asks in."""
    return {
        (each.name, cell.name)
        for each in contenders
        for cell in cells
        if cell.is_http2 and not (each.is_http2 and has_h2load)
    }


def plan(
    names: Sequence[str],
    cells: Sequence[Cell],
    rounds: int = ROUNDS,
    seed: int = SEED,
    without: Collection[tuple[str, str]] = (),
) -> list[Planned]:
    """Put the measurements in order: each round has all of them, shuffled.

    Args:
        names: Of contenders.
        cells: What is asked of each.
        rounds: How often.
        seed: Settles the order.
        without: Contender and cell that don't go together.
    """
    rng = random.Random(seed)
    planned = []
    for number in range(rounds):
        each = [
            Planned(number, name, cell)
            for cell in cells
            for name in names
            if (name, cell.name) not in without
        ]
        rng.shuffle(each)
        planned += each
    return planned


def duration_of(planned: Sequence[Planned], duration_s: int) -> float:
    """Return how long a plan takes, seconds."""
    return len(planned) * (duration_s + OVERHEAD_S)
