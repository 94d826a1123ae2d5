"""The undo list: when something is due, and what an instance should be."""

import math

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from chaos.drivers.host_fault import HostFault
from chaos.keeper.ledger import REMEMBERED_COUNT, REMEMBERED_S, Entry, Ledger, Wanted
from chaos.keeper.look import Look
from kit.errors import ConfigError

pytestmark = pytest.mark.unit

UP = Look("running", incarnation="process 1")
AS_IT_WAS = Wanted(is_up=True, is_paused=False, cores=None, memory_mb=None)


def add(
    ledger: Ledger,
    kind: str,
    *,
    name: str = "",
    now_s: float = 100.0,
    lease_s: float = 3.0,
    ttl_s: float = 20.0,
    look: Look = UP,
    **params: float,
) -> Entry:
    """Begin a fault on video.1."""
    fault = HostFault(name or f"{kind}-{len(ledger.entries)}", kind, "video.1", ttl_s, params)
    return ledger.add(fault, {"video.1": look}, lease_s, now_s)


def test_a_fault_is_due_when_its_lease_ends_and_renewing_moves_that() -> None:
    """Not before; renewed at 102 it is due at 105."""
    ledger = Ledger()
    entry = add(ledger, "pause")
    assert (ledger.due(102.9), ledger.due(103.0)) == ([], [entry])
    assert ledger.next_due_s() == 103.0

    ledger.renew([entry.fault.id, "unknown"], 3.0, 102.0)
    assert (ledger.due(104.9), ledger.due(105.0)) == ([], [entry])
    ledger.renew([entry.fault.id], 1.0, 102.0)
    assert ledger.next_due_s() == 105.0, "a shorter lease never moves the end backwards"


def test_a_time_to_live_ends_a_fault_that_is_renewed() -> None:
    """Whatever the lease says, 20 s after it began it is due."""
    ledger = Ledger()
    entry = add(ledger, "pause")
    ledger.renew([entry.fault.id], 1_000.0, 101.0)
    assert (ledger.due(119.9), ledger.due(120.0)) == ([], [entry])


def test_an_entry_from_the_future_is_from_before_a_reboot() -> None:
    """The machine's clock began anew: whatever stands is overdue."""
    ledger = Ledger()
    entry = add(ledger, "pause", now_s=5_000.0)
    assert ledger.due(10.0) == [entry]


def test_what_is_being_undone_is_not_due_next() -> None:
    """So that whoever waits for the next one doesn't wait for what goes on already."""
    ledger = Ledger()
    first, second = add(ledger, "pause", lease_s=1.0), add(ledger, "kill", lease_s=9.0)
    assert ledger.next_due_s(besides=[first.fault.id]) == second.due_s
    assert ledger.next_due_s(besides=[first.fault.id, second.fault.id]) is None


def test_an_id_is_taken_for_as_long_as_it_is_remembered() -> None:
    """Over or not: proof is kept under it."""
    ledger = Ledger()
    entry = add(ledger, "pause", name="mine")
    with pytest.raises(ConfigError, match="'mine' exists already"):
        ledger.check_new(entry.fault)
    ledger.close(entry, 101.0)
    with pytest.raises(ConfigError, match="'mine' exists already"):
        ledger.check_new(entry.fault)


def test_faults_on_one_instance_add_up() -> None:
    """The tightest limit counts, a kill holds down whatever else stands."""
    ledger = Ledger()
    add(ledger, "cpu", cores=0.5)
    add(ledger, "cpu", cores=0.1)
    add(ledger, "memory", mb=64)
    assert ledger.wanted("video.1") == Wanted(True, False, 0.1, 64)
    add(ledger, "pause")
    kill = add(ledger, "kill")
    assert ledger.wanted("video.1") == Wanted(False, True, 0.1, 64)
    assert ledger.wanted("video.1", without=[kill.fault.id]) == Wanted(True, True, 0.1, 64)


def test_a_node_is_cut_off_as_long_as_somebody_wants_it() -> None:
    """Two cuts of one node: it is joined again when both are over."""
    ledger = Ledger()
    first, second = add(ledger, "isolate"), add(ledger, "isolate")
    wanted = ledger.wanted("video.1", without=[first.fault.id])
    assert wanted == Wanted(True, False, None, None, isolated_s=second.fault.ttl_s)
    ids = [first.fault.id, second.fault.id]
    assert ledger.wanted("video.1", without=ids).isolated_s is None


@pytest.mark.parametrize(
    ("look", "wanted"),
    [
        (Look("stopped"), Wanted(False, False, None, None)),
        (Look("paused", "process 1"), Wanted(True, True, None, None)),
    ],
)
def test_what_was_down_or_frozen_before_stays_so(look: Look, wanted: Wanted) -> None:
    """Undoing brings back what was there, not what would be nice."""
    ledger = Ledger()
    entry = add(ledger, "kill", look=look)
    assert ledger.wanted("video.1", without=[entry.fault.id]) == wanted


def test_a_hit_once_seen_stays() -> None:
    """A later look at what was undone meanwhile takes no proof away."""
    ledger = Ledger()
    entry = add(ledger, "pause")
    ledger.observe(entry, {"video.1": Look("paused", "process 1")}, 101.0)
    ledger.observe(entry, {"video.1": UP}, 102.0)
    proof = entry.proof(102.0)
    assert (proof.hits, proof.detail, proof.seconds) == (1, "video.1 running", 2.0)
    assert (proof.is_over, proof.left_s, proof.is_renewed) == (False, 1.0, True)


def test_a_proof_counts_seconds_until_it_was_undone() -> None:
    """And says what stood in the way, if something did."""
    ledger = Ledger()
    entry = add(ledger, "pause", lease_s=20.0)
    ledger.close(entry, 104.5, "the lab was ended")
    proof = entry.proof(400.0)
    assert (proof.seconds, proof.is_over, proof.left_s) == (4.5, True, 0.0)
    assert (proof.detail, proof.is_renewed) == ("the lab was ended", False)


def test_what_is_long_over_is_forgotten() -> None:
    """After ten minutes, beyond 200, or when the clock has begun anew."""
    ledger = Ledger()
    old = add(ledger, "pause", name="old")
    ledger.close(old, 100.0)
    late = add(ledger, "pause", name="late")
    ledger.close(late, 100.0 + REMEMBERED_S + 1)
    assert list(ledger.entries) == ["late"]

    for number in range(REMEMBERED_COUNT + 5):
        ledger.close(add(ledger, "pause", name=f"n{number}"), 800.0)
    assert len(ledger.entries) == REMEMBERED_COUNT
    ledger.close(add(ledger, "pause", name="reboot", now_s=1.0), 2.0)
    assert list(ledger.entries) == ["reboot"]
    assert (REMEMBERED_S, REMEMBERED_COUNT) == (600.0, 200)


KINDS = st.sampled_from(
    [("kill", {}), ("pause", {}), ("stop", {}), ("cpu", {"cores": 0.2}), ("memory", {"mb": 9.0})]
)


@settings(deadline=None)
@given(st.lists(KINDS, min_size=1, max_size=6), st.randoms(use_true_random=False))
def test_whatever_the_order_of_ends_the_last_one_leaves_it_as_it_was(kinds, rng) -> None:  # type: ignore[no-untyped-def]
    """Before the last end a baseline is there, after it none; the last end wants all back."""
    ledger = Ledger()
    entries = [add(ledger, kind, **params) for kind, params in kinds]
    rng.shuffle(entries)
    for number, entry in enumerate(entries, start=1):
        assert ledger.baselines == {"video.1": UP}
        wanted = ledger.wanted("video.1", without=[entry.fault.id])
        assert wanted == AS_IT_WAS or number < len(entries)
        ledger.close(entry, 110.0)
    assert ledger.baselines == {}
    assert ledger.next_due_s() is None


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 50), st.floats(0.1, 10)), max_size=20), st.floats(0.1, 40))
def test_no_renewing_outlasts_the_time_to_live(renewals, ttl_s) -> None:  # type: ignore[no-untyped-def]
    """And none shortens what was granted."""
    ledger = Ledger()
    entry = add(ledger, "pause", lease_s=1.0, ttl_s=ttl_s)
    due_s = entry.due_s
    for after_s, lease_s in renewals:
        ledger.renew([entry.fault.id], lease_s, 100.0 + after_s)
        assert entry.due_s >= due_s
        due_s = entry.due_s
    assert due_s <= 100.0 + ttl_s
    assert not math.isinf(due_s)
