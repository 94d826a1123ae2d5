"""Coherence, step by step: who may read what when a delete has missed a node."""

import pytest

from shard.policy.coherence import (
    LEASE_S,
    LOOK_INTERVAL_S,
    NOTICE_TTL_S,
    STALE_BOUND_S,
    Coherence,
)
from tests.shard.model_cache import ModelNode

pytestmark = pytest.mark.unit

NAMES = ("cache-1", "cache-2", "cache-3")
NOBODY: frozenset[str] = frozenset()


class Lab:
    """Three model nodes, and clients that look at them when told."""

    def __init__(self) -> None:
        self.nodes = {name: ModelNode(name) for name in NAMES}
        self.ann = Coherence("ann", NAMES)
        self.bob = Coherence("bob", NAMES)

    def look(self, client: Coherence, now_s: float, *names: str, gone: str = "") -> None:
        """Look at the named nodes, by default at all."""
        for name in names or NAMES:
            if name != gone:
                board = self.nodes[name].look(client.client, client.notices(), now_s)
                client.on_look(name, now_s, now_s, board, {gone} - {""})


@pytest.fixture
def lab() -> Lab:
    """Both clients have looked at second 10."""
    lab = Lab()
    lab.look(lab.ann, 10.0)
    lab.look(lab.bob, 10.0)
    return lab


def test_the_times_are_documented() -> None:
    """Three looks a lease; a notice outlives a lease; the bound is five minutes."""
    assert (LOOK_INTERVAL_S, LEASE_S, NOTICE_TTL_S, STALE_BOUND_S) == (0.15, 0.5, 2.0, 300.0)
    assert 3 * LOOK_INTERVAL_S < LEASE_S < NOTICE_TTL_S


def test_nothing_is_read_before_every_node_was_looked_at(lab: Lab) -> None:
    """One that is gone isn't waited for."""
    eve = Coherence("eve", NAMES)
    lab.look(eve, 10.0, "cache-1", "cache-2")

    assert not eve.may_read("cache-1", 10.0, NOBODY)
    assert eve.may_read("cache-1", 10.0, {"cache-3"})


def test_a_look_serves_for_half_a_second(lab: Lab) -> None:
    """An old look at one node keeps all from being read."""
    lab.look(lab.bob, 10.3, "cache-1", "cache-2")

    assert lab.bob.may_read("cache-1", 10.4, NOBODY)
    assert not lab.bob.may_read("cache-1", 10.5, NOBODY)
    assert lab.bob.may_read("cache-1", 10.5, {"cache-3"})


def test_a_delete_that_missed_a_node_waits_until_nobody_reads_from_it(lab: Lab) -> None:
    """Posted on both boards at 10.1, it may return at 10.6; Bob is off the node by then."""
    number = lab.ann.bar("cache-1", 10.0, NOBODY)
    assert not lab.ann.is_settled("cache-1", number, 10.0, NOBODY)
    lab.look(lab.ann, 10.05, "cache-2")
    lab.look(lab.ann, 10.1, "cache-3")

    assert not lab.ann.is_settled("cache-1", number, 10.59, NOBODY)
    assert not lab.bob.may_read("cache-1", 10.59, NOBODY)
    lab.look(lab.bob, 10.59)
    assert not lab.bob.may_read("cache-1", 10.59, NOBODY)
    assert lab.bob.may_read("cache-2", 10.59, NOBODY)
    assert lab.ann.is_settled("cache-1", number, 10.6, NOBODY)


def test_later_deletes_are_covered_by_the_notice_that_stands(lab: Lab) -> None:
    """Renewed with every look, it lets them return at once."""
    lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    lab.look(lab.ann, 11.0, gone="cache-1")

    assert lab.ann.is_settled("cache-1", lab.ann.bar("cache-1", 11.1, NOBODY), 11.1, NOBODY)


def test_a_notice_not_renewed_covers_nothing(lab: Lab) -> None:
    """After a pause of 1.5 s others may soon take it for orphaned: a new one, a new wait."""
    first = lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    second = lab.ann.bar("cache-1", 11.5, NOBODY)

    assert second > first
    assert not lab.ann.is_settled("cache-1", second, 11.5, NOBODY)


def test_without_any_node_waiting_helps_nobody(lab: Lab) -> None:
    """With the others gone, the node itself may still be flushed; with all gone nothing can."""
    number = lab.ann.bar("cache-1", 10.0, NOBODY)
    assert lab.ann.can_settle({"cache-2", "cache-3"})
    assert not lab.ann.is_settled("cache-1", number, 20.0, {"cache-2", "cache-3"})
    assert not lab.ann.can_settle(set(NAMES))


def test_a_silent_board_is_waited_for_until_it_is_gone(lab: Lab) -> None:
    """Who still reaches it may read by it: posted on the other alone, the delete doesn't return."""
    number = lab.ann.bar("cache-1", 10.0, NOBODY)
    for now_s in (10.1, 10.7, 11.3):
        lab.look(lab.ann, now_s, "cache-2")
    assert not lab.ann.is_settled("cache-1", number, 11.3, NOBODY)
    assert lab.ann.is_settled("cache-1", number, 11.3, {"cache-3"})


def test_a_board_that_is_back_must_have_the_notice_too(lab: Lab) -> None:
    """While it was gone deletes returned without it; from its return they wait for a lease."""
    lab.ann.bar("cache-1", 10.0, NOBODY)
    for now_s in (10.1, 11.0):
        lab.look(lab.ann, now_s, "cache-2")
    number = lab.ann.bar("cache-1", 11.0, {"cache-3"})
    assert lab.ann.is_settled("cache-1", number, 11.0, {"cache-3"})
    assert not lab.ann.is_settled("cache-1", number, 11.1, NOBODY)
    lab.look(lab.ann, 11.2, "cache-2", "cache-3")
    assert not lab.ann.is_settled("cache-1", number, 11.6, NOBODY)
    assert lab.ann.is_settled("cache-1", number, 11.7, NOBODY)


def test_a_notice_that_one_board_went_without_covers_nothing_new(lab: Lab) -> None:
    """Who saw that board alone may have flushed the node for it, and read there since."""
    first = lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.1, "cache-2", "cache-3")
    for now_s in (10.6, 11.1, 11.5):
        lab.look(lab.ann, now_s, "cache-2")
    assert lab.ann.bar("cache-1", 11.5, {"cache-3"}) == first
    lab.look(lab.ann, 11.6, "cache-2", "cache-3")
    assert lab.ann.bar("cache-1", 11.6, NOBODY) > first


def test_a_silent_node_keeps_all_from_being_read_until_it_is_gone(lab: Lab) -> None:
    """Bob could miss the one board that a deleter left its notice on."""
    lab.look(lab.bob, 10.6, "cache-1", "cache-2")
    assert not lab.bob.may_read("cache-1", 10.6, NOBODY)
    assert lab.bob.may_read("cache-1", 10.6, {"cache-3"})


def test_a_flush_settles_and_everybody_sees_it(lab: Lab) -> None:
    """The node acknowledges; with the next look it is read again."""
    number = lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    lab.look(lab.bob, 10.1)
    assert lab.ann.begin_flush("cache-1") == number
    assert lab.nodes["cache-1"].flush("ann", number)
    lab.ann.on_flushed("cache-1", number)

    assert lab.ann.is_settled("cache-1", number, 10.1, NOBODY)
    assert lab.ann.may_read("cache-1", 10.1, NOBODY)
    assert not lab.bob.may_read("cache-1", 10.1, NOBODY)
    lab.look(lab.bob, 10.2)
    assert lab.bob.may_read("cache-1", 10.2, NOBODY)


def test_a_notice_covers_nothing_while_its_flush_is_under_way(lab: Lab) -> None:
    """The flush may have run before this delete began: it needs a number of its own."""
    first = lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    lab.ann.begin_flush("cache-1")
    assert not lab.ann.is_settled("cache-1", first, 10.6, NOBODY)
    second = lab.ann.bar("cache-1", 10.6, NOBODY)
    lab.ann.on_flushed("cache-1", first)

    assert lab.ann.is_settled("cache-1", first, 10.6, NOBODY)
    assert not lab.ann.is_settled("cache-1", second, 10.6, NOBODY)
    assert lab.ann.is_barred("cache-1")


def test_a_flush_without_an_answer_needs_another(lab: Lab) -> None:
    """It may have run: others may read the node, so the old notice covers nothing any more."""
    first = lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    lab.ann.begin_flush("cache-1")
    lab.ann.on_flush_failed("cache-1")

    assert lab.ann.notices()["cache-1"] > first
    assert not lab.ann.is_settled("cache-1", first, 10.6, NOBODY)


def test_who_finds_a_dead_clients_notice_flushes_for_it(lab: Lab) -> None:
    """Two seconds without renewal; what the deleter was promised is over by then."""
    number = lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    for now_s in (10.1, 11.0, 11.9, 12.0, 13.0, 13.9):
        lab.look(lab.bob, now_s)
        assert not lab.bob.orphans("cache-1", now_s)
    assert lab.ann.bar("cache-1", 11.5, NOBODY) != number
    lab.look(lab.bob, 14.0)

    assert lab.bob.orphans("cache-1", 14.0) == [("ann", number)]
    lab.nodes["cache-1"].flush("ann", number)
    lab.look(lab.bob, 14.1)
    assert lab.bob.may_read("cache-1", 14.1, NOBODY)


def test_a_renewed_notice_is_no_orphan(lab: Lab) -> None:
    """However long the outage lasts."""
    lab.ann.bar("cache-1", 10.0, NOBODY)
    for step in range(100):
        lab.look(lab.ann, 10.0 + step * 0.1, gone="cache-1")
        lab.look(lab.bob, 10.0 + step * 0.1)
        assert not lab.bob.orphans("cache-1", 10.0 + step * 0.1)


def test_a_client_that_comes_later_knows_a_dead_ones_notice(lab: Lab) -> None:
    """Notices stay on the boards: Eve begins a minute later and doesn't read the node."""
    lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    eve = Coherence("eve", NAMES)
    lab.look(eve, 70.0)

    assert not eve.may_read("cache-1", 70.0, NOBODY)


def test_a_board_that_forgot_is_given_the_time_to_be_told_again(lab: Lab) -> None:
    """It restarted; the deleter still lives, so the notice isn't taken for orphaned at once."""
    lab.ann.bar("cache-1", 10.0, NOBODY)
    lab.look(lab.ann, 10.0, gone="cache-1")
    lab.look(lab.bob, 10.0)
    lab.nodes["cache-2"].restart(None)
    lab.look(lab.bob, 10.1, gone="cache-3")
    assert not lab.bob.orphans("cache-1", 10.1)
    lab.look(lab.ann, 12.0, gone="cache-1")
    lab.look(lab.bob, 12.5, gone="cache-3")

    assert not lab.bob.orphans("cache-1", 12.5)


def test_an_answer_that_was_overtaken_changes_nothing(lab: Lab) -> None:
    """A look that began earlier and came later is old news."""
    old = lab.nodes["cache-2"].look("bob", {}, 10.1)
    lab.ann.bar("cache-1", 10.1, NOBODY)
    lab.look(lab.ann, 10.1, gone="cache-1")
    lab.look(lab.bob, 10.2)
    lab.bob.on_look("cache-2", 10.1, 10.3, old, NOBODY)

    assert not lab.bob.may_read("cache-1", 10.3, NOBODY)
