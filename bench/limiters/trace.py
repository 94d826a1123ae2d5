"""Trace: the recorded arrivals that every limiter is measured on, and how they were made.

    steady 0.6 C   step to 10 C   slow dependency: 0.6 C, but C/3 can be carried   recovery 0.6 C
    |--- 4 s ---|------ 7 s ------|---------------- 4 s ------------------|-------- 5 s --------|

C is the declared capacity: 5 workers of 100 ms, 50 a second. Arrivals are Poisson, each with a
criticality (8 % ``critical``, so that at 10 C the critical alone fit in) and a tenant (6 : 3 : 1).
The n-th line also holds how long the n-th *service begun* takes, whoever it is for: so every
limiter meets the same service times in the same order, and each second's worth of them has exactly
the declared mean. Else a run of 350 services at cv 1 could not tell 0.95 of C from 0.90.

Why a file: what is measured must not move with Python's random module, and others may read it.

    python -m bench.limiters.trace       writes both files anew

Source: the open workload of Schroeder et al., "Open Versus Closed: A Cautionary Tale", NSDI 2006.
Not handled: bursts inside a phase; sizes; costs other than 1.
"""

import csv
import io
import random
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from kit.errors import LabEnvironmentError
from resilience.policy.contract import Criticality

SEED = 20_261_123
WORKERS = 5
SERVICE_S = 0.1
CAPACITY_RPS = WORKERS / SERVICE_S
DEADLINE_S = 1.0  # the lab's default budget of a route
BLOCK = 50  # services that together take exactly their declared time: one second's worth
CVS = (0.25, 1.0)
CRITICAL_SHARE = 0.08  # at 10 C that is 0.8 C: the service could carry all of them
TENANT_SHARES = {"a": 0.6, "b": 0.3, "c": 0.1}
FOLDER = Path(__file__).parents[1] / "traces"
HEAD = ("at_ms", "criticality", "tenant", "service_ms")


class Phase(NamedTuple):
    """A stretch of the trace.

    Args:
        name: What it is called in figures.
        begin_s: Seconds from the trace's start.
        end_s: Likewise.
        load: Arrivals in declared capacities.
        slowness: How many times as long a service takes, >= 1.
    """

    name: str
    begin_s: float
    end_s: float
    load: float
    slowness: float = 1.0

    @property
    def can_carry_rps(self) -> float:
        """How many answers a second there can be: what is asked for, or what the workers do."""
        return CAPACITY_RPS * min(self.load, 1.0 / self.slowness)


STEADY = Phase("steady", 0.0, 4.0, 0.6)
STEP = Phase("step", 4.0, 11.0, 10.0)
SLOW = Phase("slow", 11.0, 15.0, 0.6, slowness=3.0)
RECOVERY = Phase("recovery", 15.0, 20.0, 0.6)
PHASES = (STEADY, STEP, SLOW, RECOVERY)
DURATION_S = RECOVERY.end_s


class Arrival(NamedTuple):
    """One request of the trace; ``at_s`` counts from its start."""

    at_s: float
    criticality: Criticality
    tenant: str


class Trace(NamedTuple):
    """Arrivals in order, and the service times in the order of service."""

    cv: float
    arrivals: tuple[Arrival, ...]
    services_s: tuple[float, ...]


def path_of(cv: float) -> Path:
    """Return where the trace of a coefficient of variation lies."""
    return FOLDER / f"step10-cv{cv:g}.csv"


def load(cv: float) -> Trace:
    """Read a recorded trace.

    Raises:
        LabEnvironmentError: The file is missing or is not one; says how to make it anew.
    """
    path = path_of(cv)
    try:
        return parse(path.read_text(encoding="utf-8"), cv)
    except (OSError, ValueError, KeyError) as error:
        raise LabEnvironmentError(
            f"cannot read the trace {path.name}: {error}; python -m bench.limiters.trace makes it"
        ) from error


def parse(text: str, cv: float) -> Trace:
    """Read a trace's text.

    Raises:
        ValueError: A figure is none, or the lines are out of order.
        KeyError: A column or a criticality is unknown.
    """
    lines = (line for line in text.splitlines() if not line.startswith("#"))
    arrivals, services_s = [], []
    for row in csv.DictReader(lines):
        level = Criticality[row["criticality"].upper()]
        arrivals.append(Arrival(float(row["at_ms"]) / 1000, level, row["tenant"]))
        services_s.append(float(row["service_ms"]) / 1000)
    if not arrivals or arrivals != sorted(arrivals, key=lambda one: one.at_s):
        raise ValueError("no arrivals, or arrivals out of order")
    return Trace(cv, tuple(arrivals), tuple(services_s))


def render(cv: float, seed: int = SEED) -> str:
    """Make a trace's text; the arrivals depend on the seed alone, not on ``cv``."""
    arrivals = list(_arrivals(random.Random(seed)))
    services = _services(random.Random(f"{seed}/{cv:g}"), cv)
    text = io.StringIO()
    text.write(f"# seed {seed}, service cv {cv:g}; made by: python -m bench.limiters.trace\n")
    text.write(f"# {WORKERS} workers of {SERVICE_S * 1000:g} ms; service_ms: the n-th begun\n")
    rows = csv.writer(text, lineterminator="\n")
    rows.writerow(HEAD)
    for one in arrivals:
        service_ms = next(services) * 1000
        name = one.criticality.name.lower()
        rows.writerow((f"{one.at_s * 1000:.1f}", name, one.tenant, f"{service_ms:.2f}"))
    return text.getvalue()


def _arrivals(rng: random.Random) -> Iterator[Arrival]:
    tenants, shares = list(TENANT_SHARES), list(TENANT_SHARES.values())
    for phase in PHASES:
        at_s = phase.begin_s + rng.expovariate(phase.load * CAPACITY_RPS)
        while at_s < phase.end_s:
            is_critical = rng.random() < CRITICAL_SHARE
            level = Criticality.CRITICAL if is_critical else Criticality.SHEDDABLE
            yield Arrival(at_s, level, rng.choices(tenants, shares)[0])
            at_s += rng.expovariate(phase.load * CAPACITY_RPS)


def _services(rng: random.Random, cv: float) -> Iterator[float]:
    shape = 1.0 / (cv * cv)
    while True:
        drawn = [rng.gammavariate(shape, SERVICE_S / shape) for _ in range(BLOCK)]
        scale = SERVICE_S * BLOCK / sum(drawn)
        yield from (one * scale for one in drawn)


def main() -> None:
    """Write the traces anew."""
    FOLDER.mkdir(exist_ok=True)
    for cv in CVS:
        path_of(cv).write_text(render(cv), encoding="utf-8")
        sys.stdout.write(f"wrote bench/traces/{path_of(cv).name}\n")


if __name__ == "__main__":
    main()
