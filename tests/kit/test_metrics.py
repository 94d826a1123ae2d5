"""What Prometheus reads."""

from kit import metrics as module
from kit.metrics import Metrics
from kit.recorder import RequestSummary


def summary(route: str = "/v1", code: int = 200, duration_ms: float = 3.0) -> RequestSummary:
    """Make a summary."""
    return RequestSummary("r", "t" * 32, "video.1", route, 0.0, duration_ms, code=code)


def test_requests_and_durations_are_counted_by_route() -> None:
    """Counter by route and code, histogram cumulative with its sum."""
    metrics = Metrics(dict)
    metrics.observe(summary(duration_ms=3.0))
    metrics.observe(summary(duration_ms=5.0))
    metrics.observe(summary(duration_ms=30.0, code=503))
    metrics.observe(summary(duration_ms=9_000.0))
    text = metrics.text().decode()
    assert 'squall_requests_total{code="200",route="/v1"} 3.0' in text
    assert 'squall_requests_total{code="503",route="/v1"} 1.0' in text
    assert 'squall_request_seconds_bucket{le="0.005",route="/v1"} 2.0' in text
    assert 'squall_request_seconds_bucket{le="0.05",route="/v1"} 3.0' in text
    assert 'squall_request_seconds_bucket{le="+Inf",route="/v1"} 4.0' in text
    assert 'squall_request_seconds_count{route="/v1"} 4.0' in text
    assert 'squall_request_seconds_sum{route="/v1"} 9.038' in text


def test_policies_and_gauges_are_read_at_the_scrape() -> None:
    """Only figures; words and switches are on the admin page."""
    metrics = Metrics(lambda: {"limiter": {"limit": 5, "mode": "on", "cold": None}})
    metrics.gauges(lambda: {"squall_ready": 1.0})
    text = metrics.text().decode()
    assert 'squall_policy{figure="limit",policy="limiter"} 5.0' in text
    assert "mode" not in text
    assert "squall_ready 1.0" in text


def test_a_flood_of_routes_is_bounded() -> None:
    """Beyond 500 series the rest is ``other``."""
    metrics = Metrics(dict)
    for number in range(module.MAX_SERIES + 50):
        metrics.observe(summary(f"/r{number}"))
    text = metrics.text().decode()
    assert 'squall_requests_total{code="200",route="other"} 50.0' in text
    assert module.MAX_SERIES == 500
