"""Drills and arrivals made of plain numbers."""

from typing import Any

import msgspec

from chaos.drill.metrics import Arrivals, phase_windows
from chaos.drill.records import Record, Window
from chaos.drill.schema import Drill

MINIMAL: dict[str, Any] = {
    "drill": "tiny",
    "chapter": "0",
    "incident": "none",
    "lesson": "none",
    "title": "tiny",
    "needs": {"seconds": 10, "cores": 1},
    "policies": {"deadline": "on", "limiter": {"video": "on"}},
    "capacity": {"of": "video", "rps": 20},
    "load": {
        "phases": [
            {"name": "warm", "seconds": 1, "rates": {"list": 10}},
            {"name": "steady", "seconds": 2, "rates": {"list": 10}},
            {"name": "fault", "seconds": 4, "rates": {"list": 200}},
            {"name": "recover", "seconds": 3, "rates": {"list": 10}},
        ]
    },
    "hypotheses": [
        {"name": "goodput", "metric": "goodput_of_capacity", "bound": ">= 0.85"},
        {
            "name": "quick",
            "metric": "share_within",
            "within_ms": 700,
            "of": "answered",
            "bound": ">= 0.97",
        },
    ],
    "control": {"off": ["limiter"], "refutes": [{"name": "goodput", "bound": "<= 0.30"}]},
}


def drill(**changes: Any) -> Drill:
    """Make a drill; changes replace whole keys."""
    return msgspec.convert({**MINIMAL, **changes}, Drill)


def record(
    number: int,
    due_s: float,
    latency_s: float | None = 0.1,
    *,
    status: int = 200,
    route: str = "list",
    degraded: str = "",
    reason: str = "",
) -> Record:
    """Make an arrival; without latency it was never sent."""
    sent_s = None if latency_s is None else due_s
    done_s = None if latency_s is None else due_s + latency_s
    return Record(number, due_s, sent_s, done_s, route, status, reason, degraded, f"r-{number}")


def arrivals(records: list[Record], of: Drill | None = None, **windows: Window) -> Arrivals:
    """Put arrivals into the phases of a drill, or into given windows."""
    return Arrivals(records, windows or phase_windows(of or drill()), 1.0, 20.0)
