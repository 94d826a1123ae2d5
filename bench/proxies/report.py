"""Report: the table and the JSON of ``squall bench l7`` and ``squall bench l4``."""

from collections.abc import Mapping, Sequence

from bench.machine import machine, versions
from bench.proxies.backend import LARGE_BYTES, UPLOAD_BYTES
from bench.proxies.cells import Cell
from bench.proxies.contender import Contender
from bench.proxies.cores import Cores
from bench.proxies.idle import Idle
from bench.proxies.session import SEED, Sample
from bench.proxies.summary import Summary, summaries
from bench.proxies.wrk import CONNECTIONS

SCHEMAS = {"l7": "squall.bench.l7/1", "l4": "squall.bench.l4/1"}
HEAD = ("cell", "contender", "CPU µs", "per", "answers/s", "p99 ms", "ours CPU", "ours speed", "")
IDLE_HEAD = ("contender", "idle connections", "KiB each", "MiB without them")
LEGEND = (
    "Medians of the rounds. CPU: of the proxy, one worker on one core; ours CPU: ours over theirs, "
    "less is better for us; ours speed: our answers per second over theirs, more is better; both "
    "taken in each round, then the median. p99: under 64 connections that never pause."
)
SHARED = "One core only: load, backend and proxy share it, and figures are of little use."


def rows(
    found: Sequence[Summary], cells: Sequence[Cell], absent: Mapping[str, str]
) -> list[tuple[str, ...]]:
    """Return the rows below ``HEAD``; who is absent has one, with how it is installed."""
    units = {cell.name: cell.unit for cell in cells}
    order = [cell.name for cell in cells]
    measured = [
        _row(one, units[one.cell]) for one in sorted(found, key=lambda one: order.index(one.cell))
    ]
    empty = ("",) * (len(HEAD) - 3)
    return measured + [("", name, *empty, why) for name, why in absent.items()]


def idle_rows(found: Mapping[str, Idle]) -> list[tuple[str, ...]]:
    """Return the rows below ``IDLE_HEAD``."""
    return [
        (
            name,
            f"{one.connections:,}",
            f"{one.bytes_each / 1024:.1f}",
            f"{one.before_bytes / 2**20:.0f}",
        )
        for name, one in found.items()
    ]


def sample_line(number: int, of: int, one: Sample) -> str:
    """Return the line of progress that tells one measurement."""
    cost = "" if one.cpu_us is None else f", {one.cpu_us:.1f} µs"
    return f"squall: {number} of {of}: {one.contender} {one.cell}: {one.wrk.rps:,.0f}/s{cost}"


def as_json(
    layer: str,
    samples: Sequence[Sample],
    cells: Sequence[Cell],
    contenders: Sequence[Contender],
    absent: Mapping[str, str],
    idle: Mapping[str, Idle],
    where: Cores,
    duration_s: int,
) -> dict[str, object]:
    """Return the whole session: medians, every sample, what it was done with."""
    order = [each.name for each in contenders]
    return {
        "layer": layer,
        "machine": machine(),
        "versions": versions(),
        "cores": where._asdict(),
        "load": {
            "seed": SEED,
            "connections": CONNECTIONS,
            "duration_s": duration_s,
            "large_bytes": LARGE_BYTES,
            "upload_bytes": UPLOAD_BYTES,
        },
        "cells": [cell._asdict() for cell in cells],
        "contenders": {each.name: each.what for each in contenders},
        "absent": dict(absent),
        "medians": [one._asdict() for one in summaries(samples, order)],
        "idle": {
            name: {**one._asdict(), "bytes_each": one.bytes_each} for name, one in idle.items()
        },
        "samples": [{**one._asdict(), "wrk": one.wrk._asdict()} for one in samples],
    }


def _row(one: Summary, unit: str) -> tuple[str, ...]:
    return (
        one.cell,
        one.contender,
        "" if one.cpu_us is None else f"{one.cpu_us:.1f}",
        unit,
        f"{one.rps:,.0f}",
        f"{one.p99_s * 1000:.1f}",
        _ratio(one.cpu_ratio),
        _ratio(one.rps_ratio),
        f"{one.errors} errors" if one.errors else "",
    )


def _ratio(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"
