"""What a client does after an answer that isn't plain."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.policy.attempt import (
    FIRST_PAUSE_S,
    LONGEST_PAUSE_S,
    MAX_REDIRECTS,
    Again,
    Failure,
    Stop,
    Work,
    after_error,
    after_failure,
    after_proof,
    is_refusal,
    pause_s,
)
from shard.policy.durability import WriteStatus
from shard.policy.redirect import Redirect
from shard.policy.topology import Address

ASKED = Address("10.0.0.9", 7009)


def step_after(error: str, work: Work = Work.WRITE, attempt: int = 0) -> Redirect | Again | Stop:
    """Ask the policy with a seeded generator."""
    return after_error(error, ASKED, work, attempt, Random(1))


def test_documented_defaults() -> None:
    """Sixteen redirections, pauses of 10 to 100 ms."""
    assert (MAX_REDIRECTS, FIRST_PAUSE_S, LONGEST_PAUSE_S) == (16, 0.010, 0.100)


@pytest.mark.parametrize("work", list(Work))
@pytest.mark.parametrize(
    ("error", "refresh"),
    [
        ("TRYAGAIN Multiple keys request during rehashing of slot", False),
        ("BUSY Valkey is busy running a script", False),
        ("CLUSTERDOWN Hash slot not served", True),
        ("LOADING Valkey is loading the dataset in memory", True),
        ("READONLY You can't write against a read only replica.", True),
        ("MASTERDOWN Link with MASTER is down", True),
    ],
)
def test_refusals_of_a_node_are_tried_again(error: str, refresh: bool, work: Work) -> None:
    """Not executed, so reads and writes alike go on."""
    step = step_after(error, work)

    assert isinstance(step, Again)
    assert (step.refresh, step.why) == (refresh, error.partition(" ")[0])


def test_redirections_are_followed_so_many_times() -> None:
    """Two nodes that send a client to each other must not keep it for ever."""
    error = "MOVED 3999 127.0.0.1:6381"

    assert step_after(error, attempt=15) == Redirect(3999, Address("127.0.0.1", 6381), False)
    assert isinstance(step_after(error, attempt=16), Stop)


@pytest.mark.parametrize(
    ("error", "work", "status", "reason"),
    [
        ("OOM command not allowed", Work.WRITE, WriteStatus.REFUSED, "STORE_FULL"),
        ("OOM command not allowed", Work.SCRIPT, WriteStatus.REFUSED, "STORE_FULL"),
        ("NOREPLICAS Not enough good replicas", Work.WRITE, WriteStatus.REFUSED, "NOT_REPLICATED"),
        ("WRONGTYPE Operation against a key", Work.WRITE, WriteStatus.REFUSED, "STORE_ERROR"),
        ("WRONGTYPE Operation against a key", Work.SCRIPT, WriteStatus.UNKNOWN, "STORE_ERROR"),
        ("ERR value is not an integer", Work.READ, WriteStatus.REFUSED, "STORE_ERROR"),
        ("UNBLOCKED force unblock", Work.WRITE, WriteStatus.UNKNOWN, "STORE_UNAVAILABLE"),
    ],
)
def test_other_errors_are_the_answer(
    error: str, work: Work, status: WriteStatus, reason: str
) -> None:
    """A command that failed wasn't executed; a script may have written before it failed."""
    step = step_after(error, work)

    assert isinstance(step, Stop)
    assert (step.status, step.reason, step.message) == (status, reason, error)


@pytest.mark.parametrize("work", list(Work))
def test_a_command_that_never_left_is_tried_again(work: Work) -> None:
    """No connection means not executed, whatever it was."""
    step = after_failure(Failure.DOWN, work, 0, Random(1))

    assert isinstance(step, Again)
    assert step.refresh


def test_a_lost_read_goes_on_and_a_lost_write_is_unknown() -> None:
    """Only what changes nothing may be repeated without asking."""
    assert isinstance(after_failure(Failure.LOST, Work.READ, 0, Random(1)), Again)
    for work in (Work.WRITE, Work.SCRIPT):
        step = after_failure(Failure.LOST, work, 0, Random(1))
        assert isinstance(step, Stop)
        assert (step.status, step.reason) == (WriteStatus.UNKNOWN, "STORE_UNAVAILABLE")


@pytest.mark.parametrize(
    ("failure", "status", "reason"),
    [
        (Failure.EXPIRED, WriteStatus.REFUSED, "STORE_TIMEOUT"),
        (Failure.OVERDUE, WriteStatus.UNKNOWN, "STORE_TIMEOUT"),
        (Failure.FULL, WriteStatus.REFUSED, "STORE_OVERLOADED"),
        (Failure.UNREPLICATED, WriteStatus.REFUSED, "NOT_REPLICATED"),
    ],
)
def test_failures_that_end_a_write(failure: Failure, status: WriteStatus, reason: str) -> None:
    """UNKNOWN exactly when the command had left."""
    step = after_failure(failure, Work.WRITE, 0, Random(1))

    assert isinstance(step, Stop)
    assert (step.status, step.reason) == (status, reason)
    assert failure.sent == (status is WriteStatus.UNKNOWN)


@pytest.mark.parametrize(
    ("replicas", "reason"),
    [
        (0, "NOT_REPLICATED"),
        (Failure.OVERDUE, "STORE_TIMEOUT"),
        (Failure.LOST, "STORE_UNAVAILABLE"),
        (Exception("UNBLOCKED"), "STORE_UNAVAILABLE"),
    ],
)
def test_an_executed_write_without_proof_is_unknown(replicas: object, reason: str) -> None:
    """It says why the proof is missing; a count of one is the proof."""
    stop = after_proof(replicas)

    assert stop is not None
    assert (stop.status, stop.reason) == (WriteStatus.UNKNOWN, reason)
    assert after_proof(1) is None


@given(st.integers(0, 10_000), st.integers())
def test_pauses_grow_and_stay_bounded(attempt: int, seed: int) -> None:
    """At least half the step, never above the cap."""
    longest = min(LONGEST_PAUSE_S, FIRST_PAUSE_S * 2 ** min(attempt, 10))

    assert longest / 2 <= pause_s(attempt, Random(seed)) <= longest


def test_what_waited_in_vain_is_asked_again() -> None:
    """UNBLOCKED took nothing where a command blocks; behind a write it proves nothing."""
    error = "UNBLOCKED force unblock from blocking operation"
    again = after_error(error, ASKED, Work.BLOCK, 0, Random(1))
    stop = after_error(error, ASKED, Work.WRITE, 0, Random(1))

    assert isinstance(again, Again)
    assert again.refresh
    assert isinstance(stop, Stop)
    assert stop.status is WriteStatus.UNKNOWN


@pytest.mark.parametrize("kind", ["MOVED", "ASK", "TRYAGAIN", "CLUSTERDOWN", "OOM", "EXECABORT"])
def test_a_refusal_says_so_by_its_kind(kind: str) -> None:
    """Nothing was executed; any other error may have come midway."""
    assert is_refusal(f"{kind} whatever")
    assert not is_refusal(f"ERR {kind}")
