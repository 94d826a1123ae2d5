"""What proves a write, and when a write isn't begun."""

import pytest

from shard.policy.attempt import Failure
from shard.policy.durability import (
    DEFAULT_PROBE_INTERVAL_S,
    REPLICAS_NEEDED,
    ReplicaWatch,
    WriteStatus,
    status_of,
)


def test_documented_defaults() -> None:
    """One replica proves a write; a missing one is looked for twice a second."""
    assert (REPLICAS_NEEDED, DEFAULT_PROBE_INTERVAL_S) == (1, 0.5)


@pytest.mark.parametrize("replicas", [0, None, Failure.LOST, ValueError("UNBLOCKED")])
def test_only_a_count_of_one_or_more_proves_a_write(replicas: object) -> None:
    """Executed and unproven is UNKNOWN, never rounded to either side."""
    assert status_of(replicas) is WriteStatus.UNKNOWN
    assert status_of(1) is status_of(2) is WriteStatus.ACKNOWLEDGED


def test_a_watch_refuses_after_evidence_and_probes_at_its_interval() -> None:
    """Trusting at first; a count of 0 stops it, and one probe per interval is allowed."""
    watch = ReplicaWatch(probe_interval_s=0.5)
    assert watch.is_replicated
    assert not watch.may_probe(10.0)

    watch.on_count(0, 10.0)

    assert not watch.is_replicated
    assert not watch.may_probe(10.4)
    assert watch.may_probe(10.5)
    assert not watch.may_probe(10.9), "one probe is out already"
    assert watch.may_probe(11.0)


def test_a_watch_trusts_again_after_one_good_count() -> None:
    """The returned replica ends the refusals at once."""
    watch = ReplicaWatch()
    watch.on_count(0, 10.0)
    watch.on_count(1, 10.6)

    assert watch.is_replicated


def test_what_is_no_count_teaches_a_watch_nothing() -> None:
    """A lost connection says nothing of replicas."""
    watch = ReplicaWatch()
    watch.on_count(Failure.LOST, 10.0)
    assert watch.is_replicated

    watch.on_count(0, 10.0)
    watch.on_count(None, 10.0)
    assert not watch.is_replicated


def test_a_demoted_node_gets_writes_again_to_redirect_them() -> None:
    """What was known of a primary doesn't hold for the replica it has become."""
    watch = ReplicaWatch()
    watch.on_count(0, 10.0)
    watch.on_demoted()
    assert watch.is_replicated
