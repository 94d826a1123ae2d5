"""What a process believes: adopt, offer or keep, and when things end."""

from typing import Any

from kit.belief import OVERLAY_ALONE_S, RETURN_GRACE_S, Belief, Decision, Reading, Stored
from kit.entries import OVERLAY_TTL_S, check_entry

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
    assert not belief.confirm(3.9)
    assert belief.confirm(4.1)
    assert belief.state_at(4.1).overlay is None


def test_an_offer_carries_ages_and_leaves_out_what_has_ended() -> None:
    """The new server counts on from the age, so a fault doesn't get its life back."""
    belief = Belief()
    stored = {"fault/f": Stored(FAULT, 996_000), "policy/video/limiter": Stored(OFF, 5)}
    belief.adopt(reading(entries=stored), 50.0)
    assert belief.offer(52.0) == {"fault/f": (FAULT, 6_000), "policy/video/limiter": (OFF, 0)}
    assert set(belief.offer(57.0)) == {"policy/video/limiter"}


def arm(renewed: int = 0) -> Any:
    """Make a drill's overlay as the engine has written it that often."""
    return check_entry("overlay", {"id": "arm", "ttl_s": OVERLAY_TTL_S, "renewed": renewed})


def holding_an_overlay() -> Belief:
    """Make a belief that has read an overlay at 100.0 s, written in that instant."""
    belief = Belief()
    entries = {"overlay": Stored(arm(), 10_000)}
    belief.adopt(reading(now_ms=10_000, entries=entries), 100.0)
    return belief


def back(settled: bool = True, version: int = 1, renewed: int | None = 0) -> Reading:
    """Read 20 s later from the next life of control, which kept what it had or was written anew."""
    stored = Stored(arm(), 10_000) if renewed == 0 else Stored(arm(renewed or 0), 30_000)
    entries = {} if renewed is None else {"overlay": stored}
    return reading(version, "two", settled, 30_000, entries)


def has_overlay(belief: Belief, now_s: float) -> bool:
    """Whether the overlay holds at that time."""
    return belief.state_at(now_s).overlay is not None


def test_limits_of_an_overlay_are_those_of_the_rules() -> None:
    """A grace of 2 s, which with 3 s of settling makes R8's five; and no drill takes 90 s."""
    assert (RETURN_GRACE_S, OVERLAY_ALONE_S, OVERLAY_TTL_S) == (2.0, 90.0, 3.0)


def test_an_overlays_lease_ends_at_the_first_answer_after_it() -> None:
    """With control alive its end is asked for: nothing to wait for but the answer."""
    belief = holding_an_overlay()
    assert belief.next_expiry_s(100.0) == 103.0
    assert has_overlay(belief, 103.5)
    assert belief.confirm(103.5)
    assert not has_overlay(belief, 103.5)
    assert not belief.confirm(104.5)


def test_an_overlays_lease_does_not_run_while_control_is_away() -> None:
    """Nobody could have renewed it; a fault of the base state ends all the same."""
    belief = Belief()
    entries = {"overlay": Stored(arm(), 10_000), "fault/f": Stored(FAULT, 10_000)}
    belief.adopt(reading(now_ms=10_000, entries=entries), 100.0)
    belief.lose(101.5)
    assert has_overlay(belief, 125.0)
    assert len(belief.state_at(125.0).faults) == 0


def test_without_any_answer_an_overlay_ends_when_no_drill_lasts_longer() -> None:
    """Engine and control both dead: 90 s after the last answer everything is as it was."""
    belief = holding_an_overlay()
    belief.lose(101.5)
    assert belief.next_expiry_s(120.0) == 190.0
    assert has_overlay(belief, 189.9)
    assert not has_overlay(belief, 190.0)


def test_control_that_is_back_finds_the_overlay_for_one_grace() -> None:
    """Its incarnation settles, then the engine has 2 s to write again."""
    belief = holding_an_overlay()
    belief.lose(101.5)
    assert belief.decide(back(settled=False)) is Decision.OFFER
    belief.lose(120.0)
    assert belief.offer(120.0) == {"overlay": (arm(), 3_000)}

    belief.adopt(back(), 123.0)
    assert belief.next_expiry_s(123.0) == 125.0
    assert not belief.confirm(124.9)
    assert has_overlay(belief, 124.9)
    belief.adopt(back(version=2, renewed=1), 124.9)
    assert belief.next_expiry_s(124.9) == 127.9


def test_an_offered_overlay_comes_back_with_the_grace_too() -> None:
    """Control came back empty and took the offer: its age says that its time was over."""
    belief = holding_an_overlay()
    belief.lose(101.5)
    offered = {"overlay": Stored(arm(), 24_000)}  # 3 s old when offered, 3 s before it settled
    belief.adopt(reading(1, "two", True, 30_000, offered), 123.0)
    assert has_overlay(belief, 124.9)
    assert belief.confirm(125.0)


def test_the_grace_is_granted_once_per_writing() -> None:
    """With the engine dead a control that comes and goes doesn't keep the overlay alive."""
    belief = holding_an_overlay()
    belief.lose(101.5)
    belief.adopt(back(), 123.0)
    belief.lose(124.0)
    assert has_overlay(belief, 130.0)
    assert belief.confirm(130.0)
    assert not has_overlay(belief, 130.0)


def test_an_overlay_deleted_while_control_was_away_is_gone_at_once() -> None:
    """Ctrl-C deletes; a grace is for what is still there."""
    belief = holding_an_overlay()
    belief.lose(101.5)
    belief.adopt(back(version=2, renewed=None), 123.0)
    assert not has_overlay(belief, 123.0)


def test_a_process_that_starts_fresh_judges_by_controls_clock() -> None:
    """It never believed the overlay, so it owes it no grace."""
    belief = Belief()
    belief.lose(119.0)
    belief.adopt(back(), 123.0)
    assert not has_overlay(belief, 123.0)


def test_an_overlay_that_had_ended_before_control_went_away_stays_ended() -> None:
    """The grace is for those who believed it to the last."""
    belief = holding_an_overlay()
    belief.confirm(103.5)
    belief.lose(104.0)
    belief.adopt(back(), 123.0)
    assert not has_overlay(belief, 123.0)
