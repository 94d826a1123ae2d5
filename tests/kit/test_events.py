"""The ring of decisions: what is kept, what is counted as left out, how it reads as a stream."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kit import events as module
from kit.events import Events, as_stream

pytestmark = pytest.mark.unit


class Clock:
    """Seconds that stand still unless told."""

    now_s = 100.0

    def __call__(self) -> float:
        return self.now_s


def events_of(kept: int = 100, a_second: int = 3, unix_s: float = 1_000.0) -> tuple[Events, Clock]:
    """Make a ring on a clock of its own."""
    clock = Clock()
    return Events("video.1", kept, a_second, clock, lambda: unix_s), clock


def refuse(events: Events, times: int = 1) -> None:
    """Tell of refusals."""
    for _ in range(times):
        events.on_decision("limiter", "rejected", "video.1", {"value": 6, "limit": 5})


def test_an_event_says_who_decided_what_where_and_when() -> None:
    """The wall clock is asked once; the monotonic one counts from there."""
    events, clock = events_of()
    clock.now_s += 2.5
    refuse(events)
    [event] = events.after()
    assert (event.instance, event.policy, event.what) == ("video.1", "limiter", "rejected")
    assert (event.scope, event.detail) == ("video.1", {"value": 6, "limit": 5})
    assert event.at_unix_s == pytest.approx(1_002.5)


def test_of_one_kind_so_many_a_second_are_kept_and_the_next_says_how_many_were_not() -> None:
    """Ten in a second leave three and a count of seven, which the first of the next one carries."""
    events, clock = events_of(a_second=3)
    refuse(events, 10)
    assert events.counts() == {"told": 10, "kept": 3, "left_out": 7}
    clock.now_s += 1.0
    refuse(events, 2)
    assert [event.left_out for event in events.after()] == [0, 0, 0, 7, 0]


def test_one_loud_policy_silences_no_other() -> None:
    """A switch that moves under overload is seen."""
    events, _ = events_of(a_second=1)
    refuse(events, 1_000)
    events.on_decision("switch", "moved", "limiter", {"from": "on", "to": "off"})
    assert [event.policy for event in events.after()] == ["limiter", "switch"]


def test_the_ring_keeps_the_newest() -> None:
    """Of five, two are kept; newest first where they are listed."""
    events, _ = events_of(kept=2, a_second=100)
    refuse(events, 5)
    ids = [event.id for event in events.after()]
    assert ids == [1_000_000_003, 1_000_000_004]
    assert [event.id for event in events.newest(1)] == ids[1:]


def test_an_id_of_an_earlier_life_is_below_all_of_this_one() -> None:
    """A restart ten seconds later begins above what could have been told until then."""
    before, _ = events_of(unix_s=1_000.0)
    refuse(before, 3)
    after, _ = events_of(unix_s=1_010.0)
    refuse(after)
    assert len(after.after(before.after()[-1].id)) == 1


def test_the_end_of_an_ordinary_call_is_no_event() -> None:
    """Every request has one: it would push out what matters."""
    events, _ = events_of()
    events.on_decision("attempt", "ok", "gateway.1>video", {"ms": 1.0})
    assert events.counts() == {"told": 0, "kept": 0, "left_out": 0}


def test_an_ask_is_answered_with_what_is_new_to_the_asker() -> None:
    """Ids are of one process: those of others don't count."""
    events, _ = events_of()
    refuse(events, 2)
    first, second = events.after()
    assert len(events.answer({"after": {"video.2": second.id}})) == 2
    [known] = events.answer({"after": {"video.1": first.id}})
    assert known["id"] == second.id
    assert len(events.answer({})) == 2


def test_a_stream_has_an_id_a_name_and_one_line_of_json() -> None:
    """A browser's EventSource reads it."""
    events, _ = events_of()
    refuse(events)
    [raw] = as_stream(events.after())
    head, name, data, *end = raw.decode().split("\n")
    assert (head, name, end) == ("id: 1000000000", "event: limiter", ["", ""])
    assert json.loads(data.removeprefix("data: "))["what"] == "rejected"


@given(st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 2)), max_size=60))
def test_every_decision_is_kept_counted_or_has_left_the_ring(told: list[tuple[str, float]]) -> None:
    """Kept ones and those they stand for are never more than were told, and ids only grow."""
    events, clock = events_of(kept=1_000, a_second=2)
    for policy, pause_s in told:
        clock.now_s += pause_s
        events.on_decision(policy, "rejected", "", {})
    counts, kept = events.counts(), events.after()
    assert counts["kept"] + counts["left_out"] == counts["told"] == len(told)
    assert sum(event.left_out for event in kept) <= counts["left_out"]
    assert [event.id for event in kept] == sorted({event.id for event in kept})


def test_kinds_are_bounded() -> None:
    """A thousand names cost what 256 do, and the newest is still kept."""
    events, _ = events_of(kept=2_000)
    for number in range(1_000):
        events.on_decision(f"policy-{number}", "rejected", "", {})
    assert len(events._lanes) == module.LANES
    assert events.newest(1)[0].policy == "policy-999"


def test_defaults_are_as_written() -> None:
    """The figures of docs/events.md."""
    assert (module.KEPT_EVENTS, module.KEPT_A_SECOND, module.LANES) == (1_000, 20, 256)
