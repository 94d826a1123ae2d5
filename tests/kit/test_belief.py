"""What a process believes: adopt, offer or keep, and when things end."""

from kit.belief import Belief, Decision, Reading, Stored
from kit.entries import check_entry

OFF = check_entry("policy/video/limiter", {"mode": "off"})
FAULT = check_entry(
    "fault/f", {"id": "f", "kind": "latency", "target": "*", "params": {"ms": 1}, "ttl_s": 10}
)


def reading(
    version: int = 1,
    incarnation: str = "one",
    settled: bool = True,
    now_ms: int = 1_000_000,
    entries: dict[str, Stored] | None = None,
) -> Reading:
    """Make a reading with the policy off, unless told otherwise."""
    held = {"policy/video/limiter": Stored(OFF, 0)} if entries is None else entries
    return Reading(incarnation, settled, version, now_ms, held)


def test_a_process_that_knows_nothing_adopts_even_the_unsettled() -> None:
    """It has nothing better, and offers nothing either."""
    belief = Belief()
    first = reading(version=0, settled=False)
    assert belief.decide(first) is Decision.ADOPT
    belief.adopt(first, 0.0)
    assert belief.provisional
    assert belief.decide(first) is Decision.ADOPT


def test_the_same_version_of_the_same_incarnation_is_kept() -> None:
    """Nothing is rebuilt each second."""
    belief = Belief()
    belief.adopt(reading(), 0.0)
    assert belief.decide(reading()) is Decision.KEEP
    assert belief.decide(reading(version=2)) is Decision.ADOPT


def test_an_unsettled_incarnation_gets_an_offer_and_changes_nothing() -> None:
    """Control came back empty: the switch stays off."""
    belief = Belief()
    belief.adopt(reading(version=41), 0.0)
    empty = reading(version=0, incarnation="two", settled=False, entries={})
    assert belief.decide(empty) is Decision.OFFER
    assert set(belief.state_at(1.0).entries) == {"policy/video/limiter"}
    assert set(belief.offer(1.0)) == {"policy/video/limiter"}


def test_a_settled_incarnation_is_believed_even_at_a_lower_version() -> None:
    """Once it has settled there is one truth, whatever somebody cut off still holds."""
    belief = Belief()
    belief.adopt(reading(version=41), 0.0)
    other = reading(version=40, incarnation="two", entries={})
    assert belief.decide(other) is Decision.ADOPT
    belief.adopt(other, 1.0)
    assert belief.state_at(1.0).entries == {}
    assert belief.version == 40


def test_a_provisional_belief_is_confirmed_when_its_incarnation_settles() -> None:
    """The same version without entries keeps what was read before."""
    belief = Belief()
    belief.adopt(reading(version=3, settled=False), 0.0)
    confirmed = Reading("one", True, 3, 1_000_000, None)
    assert belief.decide(confirmed) is Decision.ADOPT
    belief.adopt(confirmed, 1.0)
    assert not belief.provisional
    assert set(belief.state_at(1.0).entries) == {"policy/video/limiter"}


def test_a_fault_ends_by_the_processs_own_clock() -> None:
    """Written 4 s before it was read, with 10 s to live: 6 s are left, control dead or not."""
    belief = Belief()
    belief.adopt(reading(entries={"fault/f": Stored(FAULT, 996_000)}), 50.0)
    assert belief.next_expiry_s(50.0) == 56.0
    assert len(belief.state_at(55.9).faults) == 1
    assert len(belief.state_at(56.0).faults) == 0
    assert belief.next_expiry_s(56.0) is None


def test_a_jump_of_controls_clock_moves_no_expiry_already_known() -> None:
    """The second reading says an hour later; the fault still has its 6 s."""
    belief = Belief()
    stored = {"fault/f": Stored(FAULT, 996_000)}
    belief.adopt(reading(entries=stored), 50.0)
    belief.adopt(reading(version=2, now_ms=4_600_000, entries=stored), 51.0)
    assert belief.next_expiry_s(51.0) == 56.0


def test_a_renewed_overlay_lives_on() -> None:
    """Each writing has a time of its own, so the lease starts anew."""
    belief = Belief()
    arm = check_entry("overlay", {"id": "arm", "ttl_s": 3})
    again = check_entry("overlay", {"id": "arm", "ttl_s": 3, "renewed": 1})
    belief.adopt(reading(now_ms=10_000, entries={"overlay": Stored(arm, 10_000)}), 0.0)
    assert belief.next_expiry_s(0.0) == 3.0
    renewed = reading(version=2, now_ms=11_000, entries={"overlay": Stored(again, 11_000)})
    belief.adopt(renewed, 1.0)
    assert belief.next_expiry_s(1.0) == 4.0
    assert belief.state_at(4.1).overlay is None


def test_an_offer_carries_ages_and_leaves_out_what_has_ended() -> None:
    """The new server counts on from the age, so a fault doesn't get its life back."""
    belief = Belief()
    stored = {"fault/f": Stored(FAULT, 996_000), "policy/video/limiter": Stored(OFF, 5)}
    belief.adopt(reading(entries=stored), 50.0)
    assert belief.offer(52.0) == {"fault/f": (FAULT, 6_000), "policy/video/limiter": (OFF, 0)}
    assert set(belief.offer(57.0)) == {"policy/video/limiter"}
