"""Backoff: doubling, capped, jittered, forgotten on success."""

from random import Random

import pytest

from shard.policy.backoff import DEFAULT_BASE_S, DEFAULT_CAP_S, Backoff


def test_documented_defaults() -> None:
    """From 50 ms up to the node timeout."""
    assert (DEFAULT_BASE_S, DEFAULT_CAP_S) == (0.05, 1.0)


def test_pauses_double_up_to_the_cap() -> None:
    """Each pause lies between half its step and the step."""
    backoff = Backoff(Random(3), base_s=0.1, cap_s=0.4)
    assert backoff.may_try(0.0)

    for longest in (0.1, 0.2, 0.4, 0.4, 0.4):
        backoff.on_failure(10.0)
        assert not backoff.may_try(10.0 + longest * 0.499)
        assert backoff.may_try(10.0 + longest)


def test_success_begins_anew() -> None:
    """After a success the first pause is the shortest again, and none is owed."""
    backoff = Backoff(Random(3), base_s=0.1, cap_s=10.0)
    for _ in range(5):
        backoff.on_failure(10.0)
    backoff.on_success()

    assert backoff.may_try(10.0)
    backoff.on_failure(10.0)
    assert backoff.may_try(10.1)


def test_two_clients_do_not_come_back_together() -> None:
    """Different seeds give different pauses."""
    one, other = Backoff(Random(1)), Backoff(Random(2))
    one.on_failure(10.0)
    other.on_failure(10.0)

    assert one._retry_at_s != other._retry_at_s


def test_the_wait_is_what_is_left_of_the_pause() -> None:
    """Nothing before a failure, at most the base after one, nothing once it is over."""
    backoff = Backoff(Random(1), base_s=0.1)
    assert backoff.wait_s(5.0) == 0.0
    backoff.on_failure(5.0)
    left_s = backoff.wait_s(5.0)
    assert 0.05 <= left_s <= 0.1
    assert backoff.wait_s(5.0 + left_s) == pytest.approx(0.0)
    assert backoff.wait_s(6.0) == 0.0
