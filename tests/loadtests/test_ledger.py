"""The ledger: counting, latency from the scheduled time, files."""

import csv
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadtests.ledger import COLUMNS, Entry, Ledger, bucket_ms, percentile, write_histogram

pytestmark = pytest.mark.unit


def entry(number: int, *, scheduled_s: float = 0.0, sent_s: float | None = 0.0,
          done_s: float | None = 0.1, status: int = 200, reason: str = "",
          degraded: str = "") -> Entry:  # fmt: skip
    """Make one line of the ledger."""
    return Entry(
        number, scheduled_s, "list", f"r-{number}", sent_s, done_s, status, reason, degraded
    )


@pytest.mark.parametrize(
    ("one", "kind"),
    [
        (entry(1, done_s=1.0), "in_time"),
        (entry(1, done_s=1.01), "late"),
        (entry(1, status=503), "rejected"),
        (entry(1, status=429), "rejected"),
        (entry(1, status=504), "expired"),
        (entry(1, status=500), "failed"),
        (entry(1, status=0, reason="GAVE_UP"), "failed"),
        (entry(1, sent_s=None, done_s=None, status=0), "unsent"),
    ],
)
def test_every_end_has_one_word(one: Entry, kind: str) -> None:
    """With a budget of 1 s."""
    assert one.kind(1.0) == kind


def test_latency_counts_from_the_scheduled_time() -> None:
    """Due at 1.0, sent at 1.9, answered at 2.1: late, although it took 0.2 s."""
    one = entry(1, scheduled_s=1.0, sent_s=1.9, done_s=2.1)

    assert one.latency_s == pytest.approx(1.1)
    assert one.kind(1.0) == "late"


def test_rows_are_appended_once_and_sorted_at_the_end(tmp_path: Path) -> None:
    """A reader sees each row once while it grows; the last version is in order."""
    ledger, path = Ledger(1.0, "critical", "a"), tmp_path / "requests.csv"

    ledger.add(entry(2))
    ledger.append_requests(path)
    ledger.add(entry(1))
    ledger.append_requests(path)
    ledger.append_requests(path)
    growing = [row["n"] for row in csv.DictReader(path.read_text().splitlines())]
    ledger.write_requests(path)
    rows = list(csv.DictReader(path.read_text().splitlines()))

    assert growing == ["2", "1"]
    assert [row["n"] for row in rows] == ["1", "2"]
    assert tuple(rows[0]) == COLUMNS
    assert (rows[0]["criticality"], rows[0]["tenant"]) == ("critical", "a")


def test_unsent_has_no_times(tmp_path: Path) -> None:
    """The contract: sent_s empty, status 0."""
    ledger, path = Ledger(1.0), tmp_path / "requests.csv"
    ledger.add(entry(1, sent_s=None, done_s=None, status=0, reason="UNSENT"))

    ledger.write_requests(path)

    (row,) = csv.DictReader(path.read_text().splitlines())
    assert (row["sent_s"], row["done_s"], row["status"]) == ("", "", "0")


def test_progress_counts_and_names_recent_requests() -> None:
    """Enough for a reader to ask about one of each kind."""
    ledger = Ledger(1.0)
    ledger.add(entry(1, status=503, reason="LIMIT_EXCEEDED"))
    ledger.add(entry(2, degraded="comments"))

    progress = ledger.progress(1.0, 0.5)

    assert progress["kinds"] == {"rejected": 1, "in_time": 1}
    assert progress["reasons"] == {"LIMIT_EXCEEDED": 1}
    assert progress["recent"] == {"rejected": ["r-1"], "degraded": ["r-2"], "in_time": ["r-2"]}
    json.dumps(progress)


def test_percentiles_of_a_hundred() -> None:
    """Of 1..100 the 99th percentile is 99, the 50th is 50; of nothing it is 0."""
    ordered = [float(n) for n in range(1, 101)]

    assert percentile(ordered, 0.99) == 99
    assert percentile(ordered, 0.5) == 50
    assert percentile([], 0.5) == 0.0


@given(st.floats(0.01, 600_000))
def test_buckets_keep_three_digits(response_time: float) -> None:
    """Rounding costs less than half a percent above 100 ms, and half a millisecond below."""
    assert abs(bucket_ms(response_time) - response_time) <= max(0.5, 0.005 * response_time)


def test_histogram_is_in_milliseconds(tmp_path: Path) -> None:
    """A hundred answers of 250 ms put the maximum at 250."""
    path = tmp_path / "latency.hgrm"

    write_histogram(path, [0.25] * 100)

    text = path.read_text()
    assert "250." in text.splitlines()[2]
    assert "100" in text
