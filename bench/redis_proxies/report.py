"""Report: medians, and ratios taken round by round, of the proxies' part of ``squall bench shard``.

Source of the aims: issue 6, "Figures": at most Envoy's CPU per command, at pipeline 1 and 16.
"""

from collections.abc import Mapping, Sequence
from statistics import median
from typing import NamedTuple

from bench.redis_proxies.contenders import CONTENDERS, OURS
from bench.redis_proxies.load import CONNECTIONS, SET_EVERY, VALUE
from bench.redis_proxies.run import PIPELINES, Measured, Spent

AIMS: Mapping[str, float] = {"envoy": 1.0}
"""Ours over the peer's CPU per command, at most."""

HEAD = ("before", "pipeline", "proxy", "CPU µs", "commands/s", "ours / its CPU", "")
LEGEND = (
    f"CPU of the proxy's process per command, its threads included; {CONNECTIONS} clients, "
    f"{100 - 100 // SET_EVERY} % GET, {100 // SET_EVERY} % SET of {len(VALUE)} bytes. The ratio is "
    "taken in each round, then the median. Commands per second share the machine with the load and "
    f"the nodes: they are no limit. Aim: at most {AIMS['envoy']:g} of Envoy's CPU."
)


class Figure(NamedTuple):
    """One proxy before one tier at one pipeline; medians of the rounds.

    Args:
        tier: What it stands before.
        name: Of the proxy.
        pipeline: Commands in one write.
        cpu_us: Per command.
        commands_s: Per second.
        ratio: Ours over its CPU; None of ours.
    """

    tier: str
    name: str
    pipeline: int
    cpu_us: float
    commands_s: float
    ratio: float | None

    @property
    def verdict(self) -> str:
        """``held``, ``missed``, or "" where nothing is aimed at."""
        aim = AIMS.get(self.name)
        if aim is None or self.ratio is None:
            return ""
        return "held" if self.ratio <= aim else "missed"


def figures(run: Measured) -> list[Figure]:
    """Sum the samples up, in the order of the contenders."""
    return [
        _figure(run, each.tier, each.name, pipeline)
        for pipeline in PIPELINES
        for each in CONTENDERS
        if (each.tier, each.name, pipeline) in run.samples
    ]


def _figure(run: Measured, tier: str, name: str, pipeline: int) -> Figure:
    spent = run.samples[tier, name, pipeline]
    ratio = None if name == OURS else _ratio(run.samples[tier, OURS, pipeline], spent)
    cpu_us, commands_s = (
        median(one.cpu_us for one in spent),
        median(one.commands_s for one in spent),
    )
    return Figure(tier, name, pipeline, cpu_us, commands_s, ratio)


def _ratio(ours: Sequence[Spent], its: Sequence[Spent]) -> float:
    return median(one.cpu_us / other.cpu_us for one, other in zip(ours, its, strict=True))


def verdicts(run: Measured, found: Sequence[Figure]) -> frozenset[str]:
    """Return what came of the aims; ``unknown`` where a peer that one names is absent."""
    missing = {"unknown"} if set(AIMS) & set(run.absent) else set()
    return frozenset({each.verdict for each in found} | missing)


def rows(found: Sequence[Figure], absent: Mapping[str, str]) -> list[tuple[str, ...]]:
    """Return the rows below ``HEAD``."""
    measured: list[tuple[str, ...]] = [
        (
            each.tier,
            f"{each.pipeline}",
            each.name,
            f"{each.cpu_us:.1f}",
            f"{each.commands_s:,.0f}",
            "" if each.ratio is None else f"{each.ratio:.2f}x",
            each.verdict,
        )
        for each in found
    ]
    return measured + [("", "", name, "", "", "", why) for name, why in absent.items()]


def as_json(run: Measured, found: Sequence[Figure], seconds: float) -> Mapping[str, object]:
    """Return the section ``proxies``."""
    return {
        "seconds": seconds,
        "connections": CONNECTIONS,
        "write_every": SET_EVERY,
        "value_bytes": len(VALUE),
        "aims": dict(AIMS),
        "absent": dict(run.absent),
        "figures": [{**each._asdict(), "verdict": each.verdict} for each in found],
        "samples": [
            {
                "tier": tier,
                "proxy": name,
                "pipeline": pipeline,
                "rounds": [each._asdict() for each in spent],
            }
            for (tier, name, pipeline), spent in run.samples.items()
        ],
    }
