"""What a quota let in, and what broke: from plain arrivals."""

import pytest

from chaos.drill.hypothesis_mistakes import hypothesis_mistakes
from chaos.drill.metrics import METRICS, Arrivals, observe
from chaos.drill.quota_share import FIRST_ERROR, admitted_of_quota, error_count
from chaos.drill.records import Record, Window
from chaos.drill.schema import Hypothesis
from tests.chaos.drill.build import arrivals, drill, record

pytestmark = pytest.mark.unit

WINDOW = Window(3.0, 7.0)


def claim(metric: str, **more: str) -> Hypothesis:
    """Make a hypothesis about a metric."""
    return Hypothesis(name="x", metric=metric, bound=">= 0", **more)  # type: ignore[arg-type]


def paced(rps: float, **more: object) -> list[Record]:
    """Arrivals of the window at a steady pace."""
    count = round(rps * WINDOW.seconds)
    return [record(n, WINDOW.from_s + (n + 0.5) / rps, **more) for n in range(count)]  # type: ignore[arg-type]


def test_admitted_counts_successes_at_any_time_over_the_quota() -> None:
    """30 a second of a quota of 20, an hour late, are 1.5 quotas; refused ones don't count."""
    late = paced(30.0, latency_s=3600.0)
    refused = paced(30.0, status=429)
    seen = admitted_of_quota(late + refused, WINDOW, 20.0)
    assert (seen.value, seen.samples) == (1.5, 240)


def test_the_deviation_is_that_of_the_seconds_and_at_least_half_of_poissons() -> None:
    """An even pace has half of the root of 81 over 80; all in one second spreads far more."""
    even = admitted_of_quota(paced(20.0), WINDOW, 20.0)
    assert even.value == 1.0
    assert even.sd == pytest.approx(4.5 / 80.0)
    bunched = admitted_of_quota([record(n, 3.5) for n in range(80)], WINDOW, 20.0)
    assert bunched.value == 1.0
    assert bunched.sd == pytest.approx(1.0)


def test_nothing_sent_is_nothing_seen() -> None:
    """Without arrivals there is no share, and without a declared quota neither."""
    assert admitted_of_quota([], WINDOW, 20.0).value is None
    bare = Arrivals(paced(20.0), {"fault": WINDOW}, 1.0, None)
    assert observe(claim("admitted_of_quota"), bare).value is None


def test_the_last_moment_of_a_phase_belongs_to_its_last_second() -> None:
    """A phase of 1.4 s is one batch, and nobody is left out."""
    window = Window(0.0, 1.4)
    seen = admitted_of_quota([record(0, 0.1), record(1, 1.39)], window, 1.0)
    assert seen.value == pytest.approx(2 / 1.4)


def test_errors_are_5xx_and_silence_but_no_refusal() -> None:
    """429 and 404 are the client's own; 500, 503 and no answer are errors; unsent is neither."""
    statuses = [200, 404, 429, 499, 500, 503, 504, 0]
    sent = [record(n, 3.0, status=status) for n, status in enumerate(statuses)]
    unsent = record(9, 3.0, None, status=0)
    assert FIRST_ERROR == 500
    seen = error_count([*sent, unsent])
    assert seen.value == 4
    assert error_count([]).value == 0


def test_both_are_metrics_of_a_phase_and_a_class() -> None:
    """By name, as a drill's hypotheses have them."""
    assert {"admitted_of_quota", "error_count"} <= METRICS.keys()
    of = arrivals([*paced(20.0), *paced(10.0, route="page"), record(0, 3.1, status=500)])
    assert observe(claim("admitted_of_quota"), of).value == pytest.approx(1.5)
    assert observe(claim("admitted_of_quota", route="page"), of).value == pytest.approx(0.5)
    assert observe(claim("error_count"), of).value == 1
    assert observe(claim("error_count", phase="steady"), of).value == 0


def test_a_share_of_the_quota_needs_the_quota() -> None:
    """The drill's capacity says it; without one the file is refused."""
    wrong = list(hypothesis_mistakes(drill(capacity=None), claim("admitted_of_quota"), ("h",)))
    assert wrong == [(("h",), "admitted_of_quota needs the drill's capacity")]
    assert not list(hypothesis_mistakes(drill(), claim("admitted_of_quota"), ("h",)))
