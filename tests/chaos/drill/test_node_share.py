"""Which share of the cache's reads one node answered: from plain samples."""

from typing import Any

import pytest

from chaos.drill.hypothesis_mistakes import hypothesis_mistakes
from chaos.drill.metrics import Arrivals, observe
from chaos.drill.node_share import node_share
from chaos.drill.readings import Readings, Sample
from chaos.drill.records import Window
from chaos.drill.schema import Hypothesis
from tests.chaos.drill.build import drill

pytestmark = pytest.mark.unit

PHASE = Window(2.0, 6.0)


def told(at_s: float, **figures: float) -> dict[str, Any]:
    """Make what a process says of its cache."""
    return {"seconds": at_s + 1.0, "cache": figures}


def sampled(each_second: dict[str, float]) -> Readings:
    """Make a sample a second of two replicas whose counts grow by so much."""
    return Readings(
        [
            Sample(
                float(at_s),
                {
                    name: told(at_s, **{what: at_s * by for what, by in each_second.items()})
                    for name in ("video.1", "video.2")
                },
            )
            for at_s in range(9)
        ]
    )


def test_a_node_s_hits_and_misses_over_all_lookups() -> None:
    """Ten lookups a second and replica, of which cache-1 answered three; local ones are in ten."""
    readings = sampled({"hits": 9, "misses": 1, "cache-1.hits": 2, "cache-1.misses": 1})
    seen = node_share(readings, PHASE, "cache-1")
    assert seen.value == pytest.approx(0.3)
    assert seen.samples == 80
    assert node_share(readings, PHASE, "cache-2").value == 0.0


def test_without_a_lookup_nothing_is_seen() -> None:
    """Nor from one sample."""
    assert node_share(sampled({"hits": 0}), PHASE, "cache-1").value is None
    assert node_share(Readings(), PHASE, "cache-1").value is None


def claim(**more: Any) -> Hypothesis:
    """Make a hypothesis about a node's share."""
    return Hypothesis(**{"name": "x", "metric": "node_share", "bound": "<= 0.2", **more})


def test_the_metric_reads_its_hypothesis() -> None:
    """Phase and node are those of the file."""
    arrivals = Arrivals([], {"fault": PHASE}, 1.0, readings=sampled({"hits": 4, "cache-1.hits": 1}))
    assert observe(claim(at="cache-1"), arrivals).value == 0.25


@pytest.mark.parametrize(
    ("at", "told_of"),
    [
        ("", "node_share needs at"),
        ("video", "node_share is of a node of the cache such as cache-1: video"),
    ],
)
def test_a_hypothesis_without_a_node_is_a_mistake(at: str, told_of: str) -> None:
    """A share of nobody's would be 0, and hold."""
    [(_, message)] = hypothesis_mistakes(drill(), claim(at=at), ("hypotheses", 0))
    assert told_of in message
    assert list(hypothesis_mistakes(drill(), claim(at="cache-1"), ("hypotheses", 0))) == []
