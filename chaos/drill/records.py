"""What the load generator wrote of each request, read back as values."""

import csv
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

REJECTIONS = (429, 503)
EXPIRED = 504


class Record(NamedTuple):
    """One arrival; times in seconds since the run's start.

    Args:
        number: Position in the schedule.
        scheduled_s: When it was due.
        sent_s: None when it was never sent.
        done_s: None without an end.
        route: Which kind of request.
        status: HTTP; 0 without an answer.
        reason: UPPER_SNAKE; "" when all is well.
        degraded: Names of missing parts; "" when none.
        request_id: For `squall explain`.
    """

    number: int
    scheduled_s: float
    sent_s: float | None
    done_s: float | None
    route: str
    status: int
    reason: str
    degraded: str
    request_id: str

    @property
    def is_sent(self) -> bool:
        """Whether it left at all."""
        return self.sent_s is not None

    @property
    def is_success(self) -> bool:
        """Whether a 2xx came back, at any time."""
        return 200 <= self.status < 300

    @property
    def latency_s(self) -> float | None:
        """Seconds from the time it was due to its end; None without one."""
        return None if self.done_s is None else self.done_s - self.scheduled_s

    def is_within(self, limit_s: float) -> bool:
        """Whether a 2xx came back so soon after it was due."""
        latency_s = self.latency_s
        return self.is_success and latency_s is not None and latency_s <= limit_s

    def kind(self, budget_s: float) -> str:
        """Say in one word how it ended."""
        if not self.is_sent:
            return "unsent"
        if self.is_success:
            return "in_time" if self.is_within(budget_s) else "late"
        if self.status in REJECTIONS:
            return "rejected"
        return "expired" if self.status == EXPIRED else "failed"


@dataclass(frozen=True, slots=True)
class Window:
    """A stretch of the schedule: from included, to excluded, in seconds since the run's start."""

    from_s: float
    to_s: float

    @property
    def seconds(self) -> float:
        """Its length."""
        return self.to_s - self.from_s

    def of(self, records: Iterable[Record]) -> list[Record]:
        """Return the arrivals that were due in it."""
        return [record for record in records if self.from_s <= record.scheduled_s < self.to_s]


def read_records(path: Path) -> list[Record]:
    """Read a requests.csv, also one that is still being written; [] before it exists."""
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        return []
    return parse_records(text)


def parse_records(text: str) -> list[Record]:
    """Parse rows in any order; a last line that isn't complete is left out."""
    whole = text[: text.rfind("\n") + 1]
    rows = csv.DictReader(whole.splitlines())
    return sorted((_record(row) for row in rows), key=lambda record: record.number)


def select_route(records: Iterable[Record], route: str) -> Sequence[Record]:
    """Return the arrivals of a route; all of them for ""."""
    return [record for record in records if not route or record.route == route]


def _record(row: dict[str, str]) -> Record:
    return Record(
        int(row["n"]),
        float(row["scheduled_s"]),
        _seconds(row["sent_s"]),
        _seconds(row["done_s"]),
        row["route"],
        int(row["status"]),
        row["reason"],
        row["degraded"],
        row["request_id"],
    )


def _seconds(text: str) -> float | None:
    return float(text) if text else None
