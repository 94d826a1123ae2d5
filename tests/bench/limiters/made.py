"""Made-up records and runs, so that each figure's value is known beforehand."""

from bench.limiters.records import ANSWERED, REFUSED, Record
from bench.limiters.run import Run

CRITICAL, SHEDDABLE = 2, 0


def answered(
    at_s: float, after_s: float = 0.1, level: int = SHEDDABLE, tenant: str = "a"
) -> Record:
    """Make a request that was answered so much later."""
    return Record(at_s, level, tenant, at_s, at_s + after_s, ANSWERED)


def refused(at_s: float, level: int = SHEDDABLE, tenant: str = "a") -> Record:
    """Make a request that was refused after 1 ms."""
    return Record(at_s, level, tenant, at_s, at_s + 0.001, REFUSED)


def even(begin_s: float, end_s: float, rate: float) -> list[Record]:
    """Make answered requests at even distances."""
    count = round((end_s - begin_s) * rate)
    return [answered(begin_s + (each + 0.5) / rate, 0.0) for each in range(count)]


def run(
    contender: str = "default",
    cv: float = 1.0,
    records: tuple[Record, ...] | None = None,
    *,
    tries: int = 1,
    proxy_cpu_s: float = 0.0,
) -> Run:
    """Make a run of a service that serves all it can, and used 2 s of CPU."""
    if records is None:
        records = tuple(even(0.0, 20.0, 50.0))
    return Run(contender, cv, records, {"cpu_s": 2.0, "requests": 1}, proxy_cpu_s, tries)
