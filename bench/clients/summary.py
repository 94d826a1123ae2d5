"""What the samples come to: medians of each client, and of the ratios taken round by round.

Source of the aims: issue 6, "Figures". "8x redis-py at 64" is operations per second of client CPU,
since at 64 callers a client is bound by its own CPU; "no slower at 1" is operations per second.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.clients.contenders import OURS
from bench.clients.load import LEVELS, Spent

Samples = Mapping[tuple[str, int], Sequence[Spent]]


class Aim(NamedTuple):
    """What ours is to reach.

    Args:
        peer: Beside whom.
        callers: At which level.
        by_cpu: Operations per CPU second; else per second.
        ratio: Ours over the peer's, at least.
    """

    peer: str
    callers: int
    by_cpu: bool
    ratio: float


AIMS = (
    Aim("redis-py", 64, True, 8.0),
    Aim("valkey-glide", 64, True, 4.0),
    Aim("redis-py", 1, False, 1.0),
)


class Figure(NamedTuple):
    """One client at one level; medians of the rounds.

    Args:
        name: Of the client.
        callers: At once.
        ops_s: Operations per second.
        cpu_us: CPU microseconds per operation.
        cpu_ratio: How many times as much ours does per CPU second; None of ours.
        speed_ratio: How many times as much ours does per second; None of ours.
    """

    name: str
    callers: int
    ops_s: float
    cpu_us: float
    cpu_ratio: float | None
    speed_ratio: float | None

    @property
    def verdict(self) -> str:
        """``held``, ``missed`` or ``unknown`` (ours wasn't measured); "" where there is no aim."""
        place = (self.name, self.callers)
        aim = next((each for each in AIMS if (each.peer, each.callers) == place), None)
        if aim is None:
            return ""
        reached = self.cpu_ratio if aim.by_cpu else self.speed_ratio
        if reached is None:
            return "unknown"
        return "held" if reached >= aim.ratio else "missed"


def figures(samples: Samples) -> list[Figure]:
    """Sum up, ours first at each level."""
    names = list(dict.fromkeys(name for name, _ in samples))
    return [_figure(samples, name, callers) for callers in LEVELS for name in names]


def missing_aims(names: Sequence[str]) -> list[str]:
    """Return the peers of an aim that weren't measured."""
    return sorted({aim.peer for aim in AIMS} - set(names))


def _figure(samples: Samples, name: str, callers: int) -> Figure:
    theirs, ours = samples[name, callers], samples.get((OURS, callers))
    cpu_ratio = speed_ratio = None
    if name != OURS and ours is not None:
        pairs = list(zip(ours, theirs, strict=True))
        cpu_ratio = median(peer.cpu_us / own.cpu_us for own, peer in pairs)
        speed_ratio = median(own.ops_s / peer.ops_s for own, peer in pairs)
    ops_s, cpu_us = median(each.ops_s for each in theirs), median(each.cpu_us for each in theirs)
    return Figure(name, callers, ops_s, cpu_us, cpu_ratio, speed_ratio)
