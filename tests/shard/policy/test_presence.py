"""When silence means that a node is gone."""

import pytest

from shard.policy.presence import GONE_LOOKS, GONE_S, Presence


@pytest.fixture
def presence() -> Presence:
    """A node that has answered so far."""
    return Presence()


def test_the_times_are_documented() -> None:
    """Five looks and two seconds."""
    assert (GONE_LOOKS, GONE_S) == (5, 2.0)


def test_a_refusal_is_certain(presence: Presence) -> None:
    """Nobody listens there: gone at once, until it answers."""
    presence.on_refused()
    assert presence.is_gone
    presence.on_answer()
    assert not presence.is_gone


def test_silence_counts_after_two_seconds(presence: Presence) -> None:
    """A look each 0.15 s: not gone before 2 s of them."""
    for step in range(14):
        presence.on_silence(10.0 + step * 0.15)
    assert not presence.is_gone
    presence.on_silence(12.0)
    assert presence.is_gone


def test_a_client_that_was_stopped_itself_asks_on(presence: Presence) -> None:
    """Four looks in ten seconds are too few to judge by."""
    for now_s in (10.0, 13.0, 16.0, 20.0):
        presence.on_silence(now_s)
    assert not presence.is_gone
    presence.on_silence(20.15)
    assert presence.is_gone


def test_an_answer_begins_anew(presence: Presence) -> None:
    """What was silent before it doesn't count."""
    for step in range(12):
        presence.on_silence(10.0 + step * 0.15)
    presence.on_answer()
    presence.on_silence(12.5)
    assert not presence.is_gone
    assert repr(presence) == "<Presence 1 looks unanswered>"
