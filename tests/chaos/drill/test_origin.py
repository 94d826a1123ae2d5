"""How often an origin was asked: from plain samples."""

from collections.abc import Mapping
from typing import Any

import pytest

from chaos.drill.hypothesis_mistakes import hypothesis_mistakes
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.origin import origin_calls
from chaos.drill.readings import Readings, Sample
from chaos.drill.records import Window
from chaos.drill.schema import Hypothesis
from tests.chaos.drill.build import drill

pytestmark = pytest.mark.unit

PHASE = Window(2.0, 6.0)


def told(seconds: float, reads: int | None) -> dict[str, Any]:
    """Make what a process says; None is one without a cache."""
    return {"seconds": seconds, **({} if reads is None else {"cache": {"origin_reads": reads}})}


def sampled(*reads: Mapping[str, int | None]) -> Readings:
    """Make a sample a second, beginning at 0."""
    return Readings(
        [
            Sample(float(at_s), {name: told(at_s + 1.0, value) for name, value in sample.items()})
            for at_s, sample in enumerate(reads)
        ]
    )


def claim(**more: Any) -> Hypothesis:
    """Make a hypothesis about origin calls."""
    return Hypothesis(**{"name": "x", "metric": "origin_calls", "bound": "<= 3", **more})


def test_reads_of_all_replicas_in_the_phase_are_counted() -> None:
    """From 2 s to 6 s video.1 goes from 2 to 6 and video.2 stands: four, and no more."""
    readings = sampled(*({"video.1": at_s, "video.2": 7} for at_s in range(9)))
    seen = origin_calls(readings, PHASE, "video")
    assert seen.value == 4
    assert seen.sd == pytest.approx(5**0.5)


def test_one_replica_may_be_asked_for_alone() -> None:
    """``at: video.2`` leaves video.1 out."""
    readings = sampled(*({"video.1": 9 * at_s, "video.2": at_s} for at_s in range(9)))
    assert origin_calls(readings, PHASE, "video.2").value == 4


def test_a_restart_loses_none_of_what_was_told() -> None:
    """Four reads, a new process that counts from none, and three of its own."""
    values = [0, 0, 0, 2, 4, 1, 3]
    readings = Readings(
        [
            Sample(float(n), {"video.1": told(n + 1.0 if n < 5 else n - 4.0, value)})
            for n, value in enumerate(values)
        ]
    )
    assert origin_calls(readings, PHASE, "video").value == 7


@pytest.mark.parametrize(
    "readings",
    [
        Readings(),
        sampled({"video.1": 1}),
        sampled({"video.1": None}, {"video.1": None}),
        sampled({"comment.1": 1}, {"comment.1": 9}),
    ],
    ids=["nobody", "once", "without a cache", "others"],
)
def test_nothing_is_seen_where_nobody_counts(readings: Readings) -> None:
    """A cache that isn't there is no cache that was never asked: 0 would hold."""
    assert origin_calls(readings, PHASE, "video").value is None


def test_the_metric_reads_its_hypothesis() -> None:
    """Phase and service are those of the file."""
    readings = sampled(*({"video.1": at_s} for at_s in range(9)))
    arrivals = Arrivals([], {"fault": PHASE}, 1.0, readings=readings)
    assert observe(claim(at="video"), arrivals).value == 4


def test_a_hypothesis_without_its_service_is_a_mistake() -> None:
    """It says what is missing."""
    [(_, message)] = hypothesis_mistakes(drill(), claim(), ("hypotheses", 0))
    assert "needs at" in message
    assert list(hypothesis_mistakes(drill(), claim(at="video"), ("hypotheses", 0))) == []
