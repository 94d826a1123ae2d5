"""A run's folder, read back: whatever of it is there.

Why: reports are written after crashes and Ctrl-C too, and re-written later from old folders, so
every file may be missing. What a file says is never recomputed from the lab.
Not handled: ablation arms, whose findings the verdict has.
"""

import json
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from pathlib import Path
from typing import Any

from chaos.drill.arms import CONTROL, MAIN
from chaos.drill.loading import load_drill
from chaos.drill.metrics import Arrivals
from chaos.drill.records import Window, read_records
from chaos.drill.schema import Drill
from chaos.report.bands import Band, planned_bands, seen_bands
from kit.errors import ConfigError

MACHINE_FILE = "machine.json"
DEFAULT_BUDGET_S = 1.0  # the gateway's default budget of a route


@dataclass(frozen=True, slots=True)
class ArmRun:
    """One arm as the generator saw it.

    Args:
        name: ``main`` or ``control``; a load on its own is ``main``.
        arrivals: With its phases and its budget.
        bands: When a fault was active, and which.
        load: What load.json says; {} when the arm ended early.
    """

    name: str
    arrivals: Arrivals
    bands: Sequence[Band] = ()
    load: Mapping[str, Any] = field(default_factory=dict)

    @property
    def seconds(self) -> float:
        """How long its schedule is."""
        return max((window.to_s for window in self.arrivals.windows.values()), default=0.0)


@dataclass(frozen=True, slots=True)
class Run:
    """A drill's or a load's run.

    Args:
        name: The drill's name; ``load`` for a load on its own.
        stamp: When it began, e.g. ``20261122T152216Z``; the folder's name.
        verdict: What verdict.json says; {} without one.
        drill: None when its file is missing or no longer understood.
        arms: By name, those that were begun.
        machine: What machine.json says; {} when nobody wrote it.
    """

    name: str
    stamp: str
    verdict: Mapping[str, Any] = field(default_factory=dict)
    drill: Drill | None = None
    arms: Mapping[str, ArmRun] = field(default_factory=dict)
    machine: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """Name and stamp, as ``squall compare`` takes it."""
        return f"{self.name}/{self.stamp}"


def read_run(folder: Path) -> Run:
    """Read a run.

    Raises:
        ConfigError: It is no run's folder: neither a verdict nor arrivals are in it.
    """
    folder = folder.resolve()
    verdict = read_object(folder / "verdict.json")
    drill = _read_drill(folder / "drill.yaml", str(verdict.get("replay", "")))
    arms = {arm.name: arm for arm in _read_arms(folder, drill, verdict)}
    if not verdict and not arms:
        raise ConfigError(f"{folder} holds no run: neither verdict.json nor requests.csv")
    return Run(
        name=str(verdict.get("drill") or folder.parent.name),
        stamp=folder.name,
        verdict=verdict,
        drill=drill,
        arms=arms,
        machine=read_object(folder / MACHINE_FILE),
    )


def read_object(path: Path) -> dict[str, Any]:
    """Return a file's JSON object; {} when it is missing or none."""
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return data if isinstance(data, dict) else {}


def _read_arms(folder: Path, drill: Drill | None, verdict: Mapping[str, Any]) -> list[ArmRun]:
    if (folder / "requests.csv").is_file():
        arm = _read_arm(folder, MAIN, None, ())
        return [arm] if arm else []
    rows = {MAIN: verdict.get("faults"), CONTROL: (verdict.get(CONTROL) or {}).get("faults")}
    arms = [_read_arm(folder / name, name, drill, rows[name] or ()) for name in (MAIN, CONTROL)]
    return [arm for arm in arms if arm is not None]


def _read_arm(
    folder: Path, name: str, drill: Drill | None, faults: Sequence[Mapping[str, Any]]
) -> ArmRun | None:
    records = read_records(folder / "requests.csv")
    if not records:
        return None
    load = read_object(folder / "load.json")
    said = load or read_object(folder / "plan.json")  # the plan is there from the start
    windows = _windows(said.get("phases") or ())
    if not windows:
        windows = {"all": Window(0.0, records[-1].scheduled_s + 1.0)}
    budget_s = float(said.get("budget_s", DEFAULT_BUDGET_S))
    capacity = drill.capacity.rps if drill and drill.capacity else None
    arrivals = Arrivals(records, windows, budget_s, capacity)
    bands = seen_bands(faults) or planned_bands(drill, name, windows)
    return ArmRun(name, arrivals, bands, load)


def _windows(phases: Sequence[Mapping[str, Any]]) -> dict[str, Window]:
    windows: dict[str, Window] = {}
    start_s = 0.0
    for phase in phases:
        end_s = start_s + float(phase["seconds"])
        windows[str(phase["name"])] = Window(start_s, end_s)
        start_s = end_s
    return windows


def _read_drill(path: Path, replay: str) -> Drill | None:
    """Return the drill as it ran: the file, and what ``--set`` changed, from the replay line."""
    if not path.is_file():
        return None
    try:
        words = shlex.split(replay)
        overrides = [after for word, after in pairwise(words) if word == "--set"]
        return load_drill(path, overrides)
    except (ConfigError, OSError, ValueError):
        return None
