"""Lookups side by side: every algorithm has a figure, and an aim is judged by it."""

import pytest

from bench import lookups
from bench.lookups import Lookup, measure_lookups, rows
from bench.timing import Stopwatch
from hashing.laboratory import ALGORITHMS

SAMPLE_MS = 0.05


def test_every_algorithm_is_timed_beside_the_peer() -> None:
    """Where the peer isn't installed there is no ratio, and the aim is unknown."""
    with Stopwatch(SAMPLE_MS) as watch:
        found = {each.name: each for each in measure_lookups(watch, rounds=1)}
    has_peer = bool(lookups.peer_version())
    assert set(found) == {*ALGORITHMS, *([lookups.PEER] if has_peer else [])}
    assert all(each.best_ns > 0 for each in found.values())
    assert all((each.ratio is not None) is has_peer for each in found.values())
    assert {each.verdict for each in found.values() if each.name not in lookups.HELD_TO_AIM} == {""}


def test_without_the_peer_nothing_is_claimed(monkeypatch: pytest.MonkeyPatch) -> None:
    """The aims are unknown, which is an exit code of its own."""
    monkeypatch.setattr("bench.lookups._peer", lambda _: None)
    with Stopwatch(SAMPLE_MS) as watch:
        found = measure_lookups(watch, rounds=1)
    assert {each.verdict for each in found if each.name in lookups.HELD_TO_AIM} == {"unknown"}
    assert lookups.PEER not in {each.name for each in found}


def test_a_peer_that_places_keys_elsewhere_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the two do different work."""
    monkeypatch.setattr("bench.lookups._peer", lambda nodes: lambda key: nodes[0])
    with Stopwatch(SAMPLE_MS) as watch, pytest.raises(AssertionError):
        measure_lookups(watch, rounds=1)


@pytest.mark.parametrize(
    ("name", "ratio", "verdict"),
    [
        ("ketama", 0.35, "held"),
        ("ketama", 0.36, "missed"),
        ("slot-map", None, "unknown"),
        ("jump", 2.0, ""),
    ],
)
def test_verdicts(name: str, ratio: float | None, verdict: str) -> None:
    """0.35 of the peer's, for what the cache and the store use."""
    assert lookups.AIM_RATIO == 0.35
    assert Lookup(name, 1.0, 1.0, ratio).verdict == verdict


def test_rows_begin_with_the_cheapest() -> None:
    """As a reader looks for it."""
    found = [Lookup("jump", 2500.0, 2600.4, None), Lookup("ketama", 434.4, 446.0, 0.334)]
    assert rows(found) == [
        ("ketama", "434", "446", "0.33", "held"),
        ("jump", "2500", "2600", "", ""),
    ]
