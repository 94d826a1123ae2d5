"""The table and the JSON of ``squall bench hold``."""

from collections.abc import Sequence
from typing import Any

from bench.machine import machine
from bench.proxies.hold import Held, Phase

SCHEMA = "squall.bench-hold/1"
HEAD = ("phase", "p50 ms", "p99 ms", "lowest p99", "highest p99", "failed", "held", "KiB each")


def rows(held: Held) -> list[tuple[str, ...]]:
    """Return the rows below ``HEAD``."""
    crowd = (f"{held.idle:,} idle, {held.slow:,} slow", f"{held.bytes_each / 1024:.1f}")
    return [(*_figures(one), *(crowd if one.name == "with" else ("", ""))) for one in held.phases]


def facts(held: Held, wrong: Sequence[str]) -> dict[str, Any]:
    """Return everything that was seen as plain JSON."""
    return {
        "machine": machine(),
        "phases": {
            one.name: {
                "p50_ms": one.p50_s * 1000,
                "p99_ms": one.p99_s * 1000,
                "windows_p99_ms": [each.p99_s * 1000 for each in one.windows],
                "failed": one.failed,
            }
            for one in held.phases
        },
        "p99_ratio": held.ratio,
        "idle": held.idle,
        "slow": held.slow,
        "bytes_each": held.bytes_each,
        "wrong": list(wrong),
    }


def _figures(phase: Phase) -> tuple[str, ...]:
    p99s = [one.p99_s * 1000 for one in phase.windows]
    return (
        phase.name,
        f"{phase.p50_s * 1000:.2f}",
        f"{phase.p99_s * 1000:.2f}",
        f"{min(p99s):.2f}",
        f"{max(p99s):.2f}",
        str(phase.failed),
    )
