"""Run folders made of plain numbers."""

import json
from pathlib import Path
from typing import Any

import yaml

from tests.chaos.drill.build import MINIMAL

COLUMNS = "n,scheduled_s,sent_s,done_s,route,status,reason,degraded,request_id,criticality,tenant"
PHASES = MINIMAL["load"]["phases"]
HOPS = [
    {
        "request_id": "r-1", "trace_id": "t", "instance": "gateway.1", "route": "GET /v1/videos",
        "started_unix_s": 1000.0, "duration_ms": 1000.0, "remaining_in_ms": 1000.0,
        "remaining_out_ms": 0.0, "status": "DEADLINE_EXCEEDED", "code": 504, "notes": [],
    },
    {
        "request_id": "r-1", "trace_id": "t", "instance": "video.1",
        "route": "/video.v1.VideoService/ListVideos", "started_unix_s": 1000.01,
        "duration_ms": 900.0, "remaining_in_ms": 990.0, "remaining_out_ms": 90.0, "status": "OK",
        "code": 200,
        "notes": [
            {"policy": "concurrency", "what": "waited", "at_s": 0.5, "detail": {"ms": 400.0}}
        ],
    },
]  # fmt: skip


def finding(name: str = "goodput", *, held: bool = True, **changes: Any) -> dict[str, Any]:
    """Make a finding as verdict.json has it."""
    data = {
        "name": name, "phase": "fault", "metric": "goodput_of_capacity", "observed": 1.02,
        "bound": ">= 0.85", "unit": "of capacity", "held": held, "exercised": True, "sd": 0.03,
        "margin_sd": 5.7, "samples": 400,
    }  # fmt: skip
    return {**data, **changes}


def verdict(**changes: Any) -> dict[str, Any]:
    """Make a verdict that held, with its control."""
    control = finding(held=False, observed=0.06, exercised=None, must_show="<= 0.3")
    data: dict[str, Any] = {
        "schema": "squall.drill/1", "drill": "tiny", "mode": "processes", "seed": 17,
        "verdict": "held", "reasons": [], "lesson": "reject early",
        "phases": [], "hypotheses": [finding()],
        "control": {
            "verdict": "refuted", "off": ["limiter"], "hypotheses": [control], "phases": [],
            "faults": [],
        },
        "ablation": [], "faults": [],
        "evidence": [
            {"request_id": "r-9", "arm": "main", "kind": "rejected", "hops": HOPS},
            {"request_id": "r-2", "arm": "control", "kind": "late", "hops": HOPS},
            {"request_id": "r-1", "arm": "control", "kind": "expired", "hops": HOPS},
        ],
        "smallest_margin_sd": 4.4, "cores_used": {"main": 0.6, "control": 0.5},
        "replay": "squall drill run tiny --seed 17",
    }  # fmt: skip
    return {**data, **changes}


def row(number: int, due_s: float, latency_s: float = 0.1, status: int = 200) -> str:
    """Make a line of requests.csv."""
    return f"{number},{due_s},{due_s},{due_s + latency_s},list,{status},,,r-{number},,"


def write_arm(folder: Path, rows: list[str], *, has_ended: bool = True) -> None:
    """Write an arm's files; the plan alone when it was cut short."""
    folder.mkdir(parents=True)
    said = json.dumps({"phases": PHASES, "budget_s": 1.0, "lag_p99_ms": 4.0})
    (folder / ("load.json" if has_ended else "plan.json")).write_text(said)
    (folder / "requests.csv").write_text("\n".join([COLUMNS, *rows]) + "\n")


def write_run(folder: Path, **changes: Any) -> Path:
    """Write a run: ten a second, in the control arm the fault phase expires."""
    due = [n / 10 for n in range(100)]
    write_arm(folder / "main", [row(n, at_s, 0.1 + n / 1000) for n, at_s in enumerate(due)])
    control = [row(n, s, 1.0, 504) if 3 <= s < 7 else row(n, s) for n, s in enumerate(due)]
    write_arm(folder / "control", control)
    (folder / "verdict.json").write_text(json.dumps(verdict(**changes)))
    (folder / "drill.yaml").write_text(yaml.safe_dump(MINIMAL))
    return folder
