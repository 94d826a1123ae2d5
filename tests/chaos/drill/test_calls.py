"""Calls per request: plain numbers."""

import pytest

from chaos.drill.calls import calls_per_request, share_of_calls
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.readings import Readings, Sample
from chaos.drill.records import Record, Window
from chaos.drill.schema import Hypothesis
from tests.chaos.drill.build import record

pytestmark = pytest.mark.unit

WINDOW = Window(0.0, 10.0)


def readings(*per_second: float, replicas: int = 1) -> Readings:
    """Each replica has ended so many calls by the n-th second, half of them well."""
    samples = []
    for second, calls in enumerate(per_second):
        codes = {"200": calls / 2, "503": calls / 2}
        answers = {
            f"video.{n + 1}": {"seconds": second + 1.0, "codes": codes} for n in range(replicas)
        }
        noise = {"gateway.1": {"seconds": second + 1.0, "codes": {"200": 999.0}}}
        samples.append(Sample(float(second), {**answers, **noise}))
    return Readings(samples)


def sent(count: int) -> list[Record]:
    """Arrivals spread over the ten seconds."""
    return [record(n, 10.0 * n / count, 0.1) for n in range(count)]


def test_calls_of_all_replicas_are_counted_however_they_ended() -> None:
    """Two replicas end ten calls a second each for ten requests a second: two calls a request."""
    seen = calls_per_request(readings(*range(0, 110, 10), replicas=2), sent(100), WINDOW, "video")
    assert seen.value == pytest.approx(2.0)
    assert seen.samples == 100
    assert seen.sd is not None
    assert 0 < seen.sd < 0.05


def test_uneven_seconds_widen_the_deviation() -> None:
    """The ratio is the same, and less is known of it."""
    even = calls_per_request(readings(*range(0, 110, 10)), sent(100), WINDOW, "video")
    bursts = calls_per_request(
        readings(0, 0, 20, 20, 40, 40, 60, 60, 80, 80, 100), sent(100), WINDOW, "video"
    )
    assert even.value == bursts.value == pytest.approx(1.0)
    assert even.sd is not None
    assert bursts.sd is not None
    assert bursts.sd > 3 * even.sd


def test_a_metric_of_one_service_through_the_hypothesis() -> None:
    """As a drill asks for it; nothing is known without samples or requests."""
    claim = Hypothesis(name="x", metric="calls_per_request", bound="<= 2", at="video")
    windows = {"fault": WINDOW}
    seen = Arrivals(sent(50), windows, 1.0, None, readings(*range(0, 165, 15)))
    assert observe(claim, seen).value == pytest.approx(3.0)
    assert observe(claim, Arrivals(sent(50), windows, 1.0)).value is None
    assert observe(claim, Arrivals([], windows, 1.0, None, readings(0, 5))).value is None


def test_the_share_of_one_replica_is_of_its_service_alone() -> None:
    """A replica that ends one call a second beside one that ends nine has a tenth of them."""
    samples = [
        Sample(
            float(second),
            {
                "video.1": {"seconds": second + 1.0, "codes": {"200": float(second)}},
                "video.2": {"seconds": second + 1.0, "codes": {"200": 9.0 * second}},
                "gateway.1": {"seconds": second + 1.0, "codes": {"200": 999.0}},
            },
        )
        for second in range(11)
    ]
    seen = share_of_calls(Readings(samples), WINDOW, "video.1")
    assert seen.value == pytest.approx(0.1)
    assert seen.samples == 100
    assert seen.sd == pytest.approx((0.1 * 0.9 / 100) ** 0.5, rel=0.2)


def test_nobody_has_a_share_of_nothing() -> None:
    """Without calls, or with one look only, nothing is seen."""
    assert share_of_calls(readings(0, 0, 0), WINDOW, "video.1").value is None
    assert share_of_calls(readings(5), WINDOW, "video.1").value is None
