"""What is drawn, from plain arrivals."""

import pytest

from chaos.drill.metrics import Arrivals
from chaos.drill.records import Window
from chaos.report.series import per_second, percentile_curve
from tests.chaos.drill.build import record

pytestmark = pytest.mark.unit


def test_every_arrival_counts_once_in_the_second_it_was_due() -> None:
    """Kinds of all seconds add up to the arrivals; expired and unsent ones failed."""
    records = [
        record(0, 0.2),
        record(1, 0.9, 1.5),
        record(2, 1.1, status=503),
        record(3, 1.2, status=504),
        record(4, 1.3, None, status=0),
    ]

    seconds = per_second(Arrivals(records, {"all": Window(0, 2)}, 1.0), 2.0)

    assert seconds.counts == {
        "answered": [1, 0],
        "late": [1, 0],
        "rejected": [0, 1],
        "failed": [0, 2],
    }


def test_latency_is_of_successes_and_missing_without_any() -> None:
    """A second of refusals has no latency at all."""
    records = [record(0, 0.2, 0.25), record(1, 1.1, 0.001, status=503)]

    seconds = per_second(Arrivals(records, {"all": Window(0, 2)}, 1.0), 2.0)

    assert seconds.latency_ms["p50"] == [250.0, None]


def test_an_arrival_at_the_very_end_stays_in_the_last_second() -> None:
    """Schedules end at whole seconds or shortly after."""
    seconds = per_second(Arrivals([record(0, 2.0)], {"all": Window(0, 2)}, 1.0), 2.0)

    assert seconds.counts["answered"] == [0, 1]


def test_curve_goes_from_the_least_to_the_greatest() -> None:
    """Of 1 to 1000 ms: the least at 0 %, 500 at 50 %, 900 at 90 %, the last sample at its end."""
    curve = percentile_curve([float(n) for n in range(1, 1001)])

    assert curve[0] == (1.0, 1.0)
    assert (10.0, 900.0) in [(round(tail, 6), ms) for tail, ms in curve]
    assert curve[-1] == (1000.0, 1000.0)
    assert [ms for _, ms in curve] == sorted(ms for _, ms in curve)


@pytest.mark.parametrize("samples", [[], [7.0], [7.0, 9.0]])
def test_curve_of_few_samples_ends_at_the_greatest(samples: list[float]) -> None:
    """Nothing, one and two samples."""
    curve = percentile_curve(samples)

    assert [ms for _, ms in curve][-1:] == samples[-1:]
