"""Keyed rate: a gate for each key, a bounded number of them, and nothing gained by being forgotten.

The figures are powers of two, so every sum is exact.
"""

from collections.abc import Callable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.gcra import Gcra
from resilience.policy.keyed import LOOKS, MAX_KEYS, KeyedRate, KeyedRejection, RateGate
from resilience.policy.pools import by_key
from resilience.policy.sliding_window import SlidingLog, SlidingWindow
from resilience.policy.token_bucket import TokenBucket
from tests.golden import transcript

MAKERS: list[Callable[[], RateGate]] = [
    lambda: TokenBucket(2.0, 4.0),
    lambda: Gcra(2.0, 4.0),
    lambda: SlidingWindow(4.0, 2.0),
    lambda: SlidingLog(4.0, 2.0),
]


def bucket() -> TokenBucket:
    """Make the bucket of most tests: 2 a second, 4 at once, full again 2 s after it was emptied."""
    return TokenBucket(2.0, 4.0)


def passes(gate: KeyedRate, tenant: str, now_s: float, count: int = 1) -> int:
    """Ask so many times; return how many were let in."""
    decisions = [gate.admit(Request(tenant=tenant), now_s) for _ in range(count)]
    return sum(isinstance(each, Permit) for each in decisions)


@pytest.mark.unit
def test_each_key_has_its_own_rate() -> None:
    """Whoever empties his bucket leaves the others theirs."""
    gate = KeyedRate(bucket)

    assert passes(gate, "noisy", 0.0, 9) == 4
    assert passes(gate, "quiet", 0.0, 9) == 4
    assert passes(gate, "noisy", 1.0, 9) == 2


@pytest.mark.unit
def test_a_refusal_names_the_key_and_says_what_its_gate_says() -> None:
    """Policy, reason, figures and the time to come back are the bucket's own."""
    gate = KeyedRate(bucket, key_of=by_key)
    for _ in range(4):
        gate.admit(Request(key="10.0.0.1"), 0.0)
    refusal = gate.admit(Request(key="10.0.0.1", tenant="blue"), 0.0)

    assert isinstance(refusal, KeyedRejection)
    assert (refusal.key, refusal.policy, refusal.reason) == ("10.0.0.1", "rate", "RATE_EXCEEDED")
    assert (refusal.retry_after_s, refusal.value, refusal.limit) == (0.5, 5.0, 4.0)
    assert isinstance(gate.admit(Request(key="10.0.0.1"), 0.5), Permit)


@pytest.mark.unit
def test_who_is_known_beforehand_has_a_gate_made_for_him() -> None:
    """It isn't counted, isn't forgotten, and is there however many strangers come."""
    gate = KeyedRate(bucket, named={"gold": TokenBucket(8.0, 16.0)}, max_keys=1)
    passes(gate, "stranger", 0.0)
    passes(gate, "another", 0.0)

    assert passes(gate, "gold", 0.0, 99) == 16
    assert gate.snapshot()["overflowed"] == 1
    assert passes(gate, "gold", 1.0, 99) == 8


@pytest.mark.unit
def test_a_key_is_forgotten_only_when_its_bucket_is_full_again() -> None:
    """While it isn't, a newcomer shares; a moment later it gets a bucket of its own."""
    gate = KeyedRate(bucket, max_keys=1)
    passes(gate, "first", 0.0, 4)

    passes(gate, "second", 1.9375)
    assert (gate.gate("second"), gate.overflowed, gate.forgotten) == (None, 1, 0)
    passes(gate, "second", 2.0)
    assert (gate.gate("first"), gate.overflowed, gate.forgotten) == (None, 1, 1)
    assert gate.gate("second") is not None


@pytest.mark.unit
def test_a_key_asked_again_meanwhile_stays() -> None:
    """What counts is when it is full now, and not what was expected when it was met."""
    gate = KeyedRate(bucket, max_keys=2)
    passes(gate, "a", 0.0, 1)  # full at 0.5
    passes(gate, "b", 0.25, 1)  # full at 0.75
    passes(gate, "a", 0.5, 4)  # full at 2.5

    passes(gate, "c", 1.0)
    assert (gate.gate("b"), gate.forgotten) == (None, 1)
    assert gate.gate("a") is not None
    passes(gate, "d", 1.25)
    assert (gate.overflowed, gate.forgotten) == (1, 1)


@pytest.mark.unit
def test_a_flood_of_names_gets_one_rate_and_takes_nobody_s() -> None:
    """A thousand invented tenants share what one is due; who was there keeps his own."""
    gate = KeyedRate(bucket, max_keys=2)
    passes(gate, "a", 0.0, 4)
    passes(gate, "b", 0.0, 4)

    assert sum(passes(gate, f"invented-{each}", 0.0) for each in range(1000)) == 4
    assert (passes(gate, "a", 1.0, 9), passes(gate, "b", 1.0, 9)) == (2, 2)
    assert len(gate.key_snapshots()) == 2


@pytest.mark.unit
def test_whoever_shared_begins_with_what_was_left_there() -> None:
    """Else a burst from the overflow and a fresh one right after would be two."""
    gate = KeyedRate(bucket, max_keys=1)
    passes(gate, "a", 0.0, 1)  # full again at 0.5
    assert passes(gate, "b", 0.0, 9) == 4  # of the overflow

    assert passes(gate, "b", 0.5, 9) == 1  # a gate of its own, as empty as the overflow was
    assert gate.gate("b") is not None
    assert passes(gate, "b", 1.0, 9) == 1


@pytest.mark.unit
def test_in_the_calm_a_newcomer_has_a_full_bucket() -> None:
    """Once the overflow is as new, nothing of it is inherited."""
    gate = KeyedRate(bucket, max_keys=1)
    passes(gate, "a", 0.0, 1)
    passes(gate, "b", 0.0, 4)

    assert passes(gate, "c", 2.0, 9) == 4


@pytest.mark.unit
def test_who_was_refused_elsewhere_gets_his_tokens_back() -> None:
    """IGNORED hands back to the key's own bucket; any other outcome changes nothing."""
    gate = KeyedRate(bucket)
    permits = [gate.admit(Request(tenant="a"), 0.0) for _ in range(4)]
    for permit, outcome in zip(permits, Outcome, strict=True):
        assert isinstance(permit, Permit)
        gate.settle(permit, outcome, 0.0)

    assert passes(gate, "a", 0.0, 9) == 1
    with pytest.raises(AssertionError, match="twice"):
        gate.settle(permits[0], Outcome.OK, 0.0)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="another policy"):
        gate.settle(Permit(0, 0.0), Outcome.OK, 0.0)


@pytest.mark.unit
def test_what_is_shared_takes_nothing_back() -> None:
    """One could hand back for another to spend."""
    gate = KeyedRate(bucket, max_keys=1)
    passes(gate, "a", 0.0)
    permit = gate.admit(Request(tenant="b"), 0.0)
    assert isinstance(permit, Permit)
    gate.settle(permit, Outcome.IGNORED, 0.0)

    assert passes(gate, "c", 0.0, 9) == 3


@pytest.mark.unit
def test_a_newcomer_looks_at_a_bounded_number_of_keys() -> None:
    """The one as new behind more busy ones than that is found by the next."""
    gate = KeyedRate(bucket, max_keys=LOOKS + 1)
    busy = [f"busy-{number:02}" for number in range(LOOKS)]
    for tenant in (*busy, "idle"):
        passes(gate, tenant, 0.0)
    for tenant in busy:
        passes(gate, tenant, 1.0, 3)

    passes(gate, "next", 1.0)
    assert (gate.gate("idle") is None, gate.overflowed) == (False, 1)
    passes(gate, "last", 1.0)
    assert (gate.gate("idle") is None, gate.overflowed) == (True, 1)


@pytest.mark.unit
def test_a_reset_makes_all_as_new() -> None:
    """Keys keep their gates, may be forgotten at once, and the counters begin again."""
    gate = KeyedRate(bucket, max_keys=1)
    passes(gate, "a", 0.0, 9)
    passes(gate, "b", 0.0, 9)
    gate.reset(0.0)

    assert gate.gate("a") is not None
    figures = {"keys": 1, "max_keys": 1, "named": 0, "forgotten": 0, "overflowed": 0, "rejected": 0}
    assert gate.snapshot() == figures
    assert passes(gate, "b", 0.0, 9) == 4
    assert gate.snapshot() == {**figures, "forgotten": 1, "rejected": 5}


@pytest.mark.unit
def test_defaults_and_bad_settings() -> None:
    """The bound is that of the docs, and none at all is refused by name."""
    assert (MAX_KEYS, KeyedRate(bucket).max_keys, LOOKS) == (10_000, 10_000, 16)
    assert KeyedRate(lambda: Gcra(1.0, name="quota")).name == "quota"
    assert repr(KeyedRate(bucket)) == (
        "<KeyedRate 0/10000 keys, <TokenBucket 4 of 4, 2/s> for others>"
    )
    with pytest.raises(ValueError, match="max_keys=0 must be >= 1"):
        KeyedRate(bucket, max_keys=0)


@pytest.mark.unit
@pytest.mark.parametrize("make", MAKERS)
def test_every_rate_says_when_it_is_as_new(make: Callable[[], RateGate]) -> None:
    """Before anything came it is; from the time it says on a whole burst passes, and not before."""
    gate = make()
    assert gate.fresh_s() == float("-inf")
    for now_s in (0.0, 0.25, 0.5):
        assert isinstance(gate.admit(Request(), now_s), Permit)

    fresh_s = gate.fresh_s()
    for now_s, expected in ((fresh_s - 0.125, False), (fresh_s, True)):
        heir = gate.heir()
        assert isinstance(heir.admit(Request(cost=4.0), now_s), Permit) is expected
    again = gate.admit(Request(), fresh_s + 8.0)
    assert isinstance(again, Permit)
    gate.settle(again, Outcome.IGNORED, fresh_s + 8.0)
    assert gate.fresh_s() <= fresh_s + 8.0


@pytest.mark.unit
@pytest.mark.parametrize("make", MAKERS)
def test_an_heir_goes_its_own_way(make: Callable[[], RateGate]) -> None:
    """It decides as the other would, and what one takes afterwards the other doesn't miss."""
    gate = make()
    gate.admit(Request(cost=3.0), 0.0)
    heir = gate.heir()

    assert heir.name == gate.name
    assert isinstance(heir.admit(Request(cost=2.0), 0.0), Rejection)
    assert isinstance(heir.admit(Request(), 0.0), Permit)
    assert isinstance(gate.admit(Request(), 0.0), Permit)
    assert isinstance(gate.admit(Request(), 0.0), Rejection)
    assert gate.fresh_s() == heir.fresh_s()


Step = tuple[int, str, bool]
STEPS = st.lists(st.tuples(st.integers(0, 6), st.sampled_from("abcdef"), st.booleans()))


@pytest.mark.property
@pytest.mark.parametrize("make", MAKERS)
@given(steps=STEPS, max_keys=st.integers(1, 4))
def test_no_key_gets_more_than_its_one_gate_would_give(
    make: Callable[[], RateGate], steps: list[Step], max_keys: int
) -> None:
    """Whoever is forgotten, shares, comes back, hands back: his own gate would have let it pass.

    Each key has a gate aside that is never forgotten, and is asked for what was let in.
    """
    gate = KeyedRate(make, max_keys=max_keys)
    alone = {key: make() for key in "abcdef"}
    out: list[tuple[str, Permit, Permit]] = []
    now_s = 0.0
    for gap, key, is_handed_back in steps:
        now_s += gap / 8
        permit = gate.admit(Request(tenant=key), now_s)
        if isinstance(permit, Permit):
            mirrored = alone[key].admit(Request(), now_s)
            assert isinstance(mirrored, Permit)
            out.append((key, permit, mirrored))
        if is_handed_back and out:
            owner, permit, mirrored = out.pop(0)
            gate.settle(permit, Outcome.IGNORED, now_s)
            alone[owner].settle(mirrored, Outcome.IGNORED, now_s)
        assert len(gate.key_snapshots()) <= max_keys


@pytest.mark.property
@pytest.mark.parametrize("make", MAKERS)
@given(steps=STEPS)
def test_with_room_for_all_it_is_a_gate_for_each(
    make: Callable[[], RateGate], steps: list[Step]
) -> None:
    """Decision for decision, with the same time to come back."""
    gate = KeyedRate(make, max_keys=6)
    alone = {key: make() for key in "abcdef"}
    now_s = 0.0
    for gap, key, _ in steps:
        now_s += gap / 8
        decision, expected = (
            gate.admit(Request(tenant=key), now_s),
            alone[key].admit(Request(), now_s),
        )
        assert isinstance(decision, Permit) is isinstance(expected, Permit)
        if isinstance(decision, Rejection) and isinstance(expected, Rejection):
            assert decision.retry_after_s == expected.retry_after_s


@pytest.mark.golden
def test_the_story_of_a_keyed_rate() -> None:
    """Two gates for three tenants: whose rate refuses, who shares, who may be forgotten."""
    gate = KeyedRate(bucket, max_keys=2)
    lines = ["For each tenant 2 a second and 4 at once; two tenants have a gate of their own.", ""]

    def ask(tenant: str, now_s: float, count: int) -> None:
        decisions = [gate.admit(Request(tenant=tenant), now_s) for _ in range(count)]
        refused = [each for each in decisions if isinstance(each, KeyedRejection)]
        why = f", then {refused[0]!r} of {refused[0].key}" if refused else ""
        own = "its own gate" if gate.gate(tenant) is not None else "the shared gate"
        lines.append(
            f"{now_s:4.1f} s  {tenant:<6} asks {count}: {count - len(refused)} pass {own}{why}"
        )

    ask("ann", 0.0, 3)
    ask("bob", 0.0, 6)
    ask("cat", 0.0, 5)
    ask("dan", 0.5, 2)
    ask("ann", 0.5, 3)
    ask("cat", 3.0, 5)
    ask("bob", 3.0, 5)
    lines += ["", f"{gate.snapshot()}"]

    transcript.check("keyed", lines)
