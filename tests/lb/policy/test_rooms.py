"""Limits of backends and the line in front of them, with plain numbers."""

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.policy.rooms import DEFAULT_CONNECTIONS, DEFAULT_PENDING, NO_LIMIT, Rooms
from tests.lb.policy.patience import PATIENT

NAMES = ("a", "b", "c")


def test_defaults_are_envoy_s() -> None:
    """max_connections and max_pending_requests."""
    assert (DEFAULT_CONNECTIONS, DEFAULT_PENDING, NO_LIMIT) == (1024, 1024, 0)


def test_a_backend_is_full_at_its_limit_and_not_one_before() -> None:
    """Two may be in flight; the end of one makes room."""
    rooms: Rooms[str] = Rooms()
    rooms.use({"a": 2, "b": NO_LIMIT}, 1)
    rooms.on_start("a")
    assert not rooms.full
    rooms.on_start("a")
    assert rooms.full == {"a"}
    for _ in range(5000):
        rooms.on_start("b")
    assert rooms.full == {"a"}
    rooms.on_finish("a")
    assert not rooms.full


def test_the_line_is_first_come_first_served_and_bounded() -> None:
    """Two backends with one place each hold two; the third is turned away and counted."""
    rooms: Rooms[str] = Rooms()
    rooms.use({"a": 1, "b": 1}, 1)
    assert [rooms.wait(name) for name in ("x", "y", "z")] == [True, True, False]
    rooms.leave("z")
    assert (rooms.waiting, rooms.overflows) == (2, 1)
    assert rooms.take_first() == "x"
    rooms.leave("y")
    assert rooms.waiting == 0
    assert rooms.snapshot() == {
        "rooms.waiting": 0, "rooms.waits": 2, "rooms.overflows": 1, "rooms.full": 0,
    }  # fmt: skip


def test_room_is_free_when_one_candidate_has_some_or_there_is_none_to_wait_for() -> None:
    """A candidate that is down gives nobody room, and no candidate at all ends the waiting."""
    rooms: Rooms[str] = Rooms()
    rooms.use({"a": 1, "b": 1}, 1)
    rooms.on_start("a")
    assert rooms.is_any_free(("a", "b"))
    assert not rooms.is_any_free(("a",))
    assert rooms.is_any_free(())


def test_a_limit_that_shrinks_and_grows_counts_what_is_in_flight() -> None:
    """Nothing is taken away: it is full until enough has ended."""
    rooms: Rooms[str] = Rooms()
    rooms.use({"a": 5}, 1)
    for _ in range(4):
        rooms.on_start("a")
    rooms.use({"a": 2}, 1)
    assert rooms.full == {"a"}
    rooms.on_finish("a")
    rooms.on_finish("a")
    assert rooms.full == {"a"}
    rooms.on_finish("a")
    assert not rooms.full
    rooms.use({"a": NO_LIMIT}, 1)
    rooms.on_start("a")
    rooms.on_start("a")
    assert not rooms.full


def test_who_left_the_fleet_is_forgotten_when_its_last_request_ends() -> None:
    """Names come and go for years; nothing of them stays."""
    rooms: Rooms[str] = Rooms()
    rooms.use({"a": 1}, 1)
    rooms.on_start("a")
    rooms.use({"b": 1}, 1)
    assert not rooms.full
    rooms.on_finish("a")
    assert not rooms._active


@pytest.mark.parametrize("pending", [0, 1, 3])
def test_a_line_of_nothing_turns_everyone_away(pending: int) -> None:
    """``pending`` for each backend."""
    rooms: Rooms[int] = Rooms()
    rooms.use(dict.fromkeys(NAMES, 1), pending)
    assert sum(rooms.wait(n) for n in range(20)) == 3 * pending


@PATIENT
@given(
    limits=st.dictionaries(st.sampled_from(NAMES), st.integers(0, 4), min_size=1),
    steps=st.lists(st.tuples(st.sampled_from(NAMES), st.booleans()), max_size=60),
)
def test_full_is_always_what_counting_says(
    limits: dict[str, int], steps: list[tuple[str, bool]]
) -> None:
    """Kept up to date step by step, and the same as counted from the start."""
    rooms: Rooms[int] = Rooms()
    rooms.use(limits, 1)
    active: Counter[str] = Counter()
    for name, is_start in steps:
        if is_start:
            rooms.on_start(name)
            active[name] += 1
        elif active[name]:
            rooms.on_finish(name)
            active[name] -= 1
        counted = {each for each in limits if limits[each] and active[each] >= limits[each]}
        assert rooms.full == counted
