"""The report of a load on its own."""

from typing import Any

import pytest

from chaos.drill import load_report
from chaos.drill.load_report import build_report, exit_code, parse_expectation
from kit.errors import ConfigError
from tests.chaos.drill.build import record

pytestmark = pytest.mark.unit

LOAD: dict[str, Any] = {
    "scheduled": 100, "sent": 100, "lag_p50_ms": 1.0, "lag_p99_ms": 5.0, "cpu_s": 0.05, "seed": 17,
    "budget_s": 1.0,
    "phases": [{"name": "warmup", "seconds": 1}, {"name": "run", "seconds": 10}],
}  # fmt: skip


def hundred() -> list[Any]:
    """100 arrivals in 10 s after a warm-up of 1 s: 90 fine, 5 refused, 4 late, 1 never sent."""
    fine = [record(n, 1 + n * 0.1, (n + 1) / 1000) for n in range(90)]
    refused = [record(n, 5.0, 0.001, status=503, reason="LIMIT_EXCEEDED") for n in range(90, 95)]
    late = [record(n, 6.0, 1.5, degraded="comments") for n in range(95, 99)]
    return [*fine, *refused, *late, record(99, 7.0, None, status=0, reason="UNSENT")]


def test_counts_shares_and_percentiles() -> None:
    """Percentiles are of successes, from the time an arrival was due."""
    warmup = [record(1000 + n, 0.5, 0.9) for n in range(7)]

    report = build_report([*warmup, *hundred()], LOAD, [])

    assert (report["scheduled"], report["sent"], report["offered_rps"]) == (100, 99, 10.0)
    assert (report["in_time"], report["rejected"], report["late"]) == (90, 5, 4)
    assert report["degraded"] == 4
    assert report["reasons"] == {"LIMIT_EXCEEDED": 5, "UNSENT": 1}
    assert report["latency_ms"]["from_scheduled"]["p50"] == 47.0
    assert report["latency_ms"]["from_scheduled"]["max"] == 1500.0
    assert report["generator"]["cpu_ms_per_request"] == 0.5
    assert [row["scheduled"] for row in report["phases"]] == [7, 100]


@pytest.mark.parametrize(
    ("text", "met"),
    [
        ("in_time>=0.9", True),
        ("in_time >= 91%", False),
        ("rejected<=0.05", True),
        ("p50<=47ms", True),
        ("p50<=0.046s", False),
        ("max<=1500", True),
    ],
)
def test_expectations_are_held_against_the_report(text: str, met: bool) -> None:
    """Shares of what was scheduled; times in ms or s."""
    report = build_report(hundred(), LOAD, [parse_expectation(text)])

    assert report["expect"][0]["met"] is met
    assert exit_code(report) == (0 if met else 1)


def test_unsound_measurement_is_inconclusive() -> None:
    """Whatever is expected: code 4."""
    report = build_report(hundred(), {**LOAD, "sent": 90}, [parse_expectation("in_time>=0.1")])

    assert exit_code(report) == 4
    assert "INCONCLUSIVE" in load_report.as_text(report)


def test_empty_run_has_no_figures() -> None:
    """Nothing is met by nothing."""
    report = build_report([], {**LOAD, "scheduled": 0, "sent": 0}, [parse_expectation("p95<=1s")])

    assert report["expect"][0] == {"text": "p95<=1s", "observed": None, "met": False}
    load_report.as_text(report)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("in_time", "write in_time>=0.99"),
        ("p42<=3ms", "p42 is none of"),
        ("in_time>=200ms", "in_time is a share"),
        ("p95<=20%", "p95 is a time"),
        ("in_time>0.9", "write in_time>=0.99"),
    ],
)
def test_what_is_no_expectation_is_refused(text: str, message: str) -> None:
    """Exit code 2, with an example."""
    with pytest.raises(ConfigError, match=message) as caught:
        parse_expectation(text)

    assert caught.value.exit_code == 2
