"""The judge: histories of a correct store pass, and each kind of broken promise is found."""

from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.check import ownership, registers, tallies
from shard.check.history import parse_history
from shard.check.judge import HELD, INCONCLUSIVE, MIN_ACKNOWLEDGED, VIOLATED, Verdict, judge
from shard.check.windows import DEFAULT_BOUND_S
from tests.shard.check.histories import EVERY_SLOT, Model

STEPS = 400  # enough that every kind of operation has happened, and well over the least
seeds = st.integers(0, 2**32 - 1)


def verdict_of(model: Model, **header: object) -> Verdict:
    """Judge what a model wrote down, through the file's format."""
    return judge(parse_history(model.text(**header)))


@given(seeds)
@settings(max_examples=60, deadline=None)
def test_a_correct_store_breaks_nothing(seed: int) -> None:
    """Whatever is refused, unknown or killed, a model that keeps its promise is never accused."""
    verdict = verdict_of(Model(seed).run(STEPS))

    assert list(map(str, verdict.violations)) == []
    assert verdict.exit_code == HELD
    assert verdict.stale == []


Mutation = Callable[[Model], None]


def lose_the_end_of_a_register(model: Model) -> None:
    """Acknowledged writes are gone."""
    model.events[model.find("final", key="register:1")]["value"] = None


def find_what_nobody_wrote(model: Model) -> None:
    """A register holds more than was ever attempted."""
    model.events[model.find("final", key="register:2")]["value"] = 10_000


def execute_a_refused_write(model: Model) -> None:
    """The last value of a register was refused."""
    key = "register:1"
    value = model.written[key] + 1
    model.say("invoke", id=99_999, op="raise", key=key, value=value)
    model.say("refused", id=99_999)
    _again(model)
    model.events[model.find("final", key=key)]["value"] = value


def lose_an_element(model: Model) -> None:
    """An acknowledged element isn't in the set."""
    value = _last_ok(model, "add", "set:1")["value"]
    model.events[model.find("final", key="set:1")]["value"].remove(value)


def add_a_foreign_element(model: Model) -> None:
    """The set has what nobody added."""
    model.events[model.find("final", key="set:1")]["value"].append(77_777)


def add_a_refused_element(model: Model) -> None:
    """The set has what was refused."""
    model.say("invoke", id=99_999, op="add", key="set:1", value=99_999)
    model.say("refused", id=99_999)
    _again(model)
    model.events[model.find("final", key="set:1")]["value"].append(99_999)


def lose_counts(model: Model) -> None:
    """The counter is one below what was acknowledged."""
    model.events[model.find("final", key="counter:1")]["value"] = _count(model, "ok") - 1


def count_twice(model: Model) -> None:
    """The counter is one above what may have been done."""
    most = _count(model, "ok") + _count(model, "unknown")
    model.events[model.find("final", key="counter:1")]["value"] = most + 1


def read_an_old_value(model: Model) -> None:
    """A read well after every fault returns less than what was acknowledged before."""
    value = model.written["register:1"] + 1
    model.say("invoke", id=99_998, op="raise", key="register:1", value=value)
    model.say("ok", id=99_998)  # with it every failover is over
    model.registers["register:1"] = value
    model.at_s += 100.0
    model.say("invoke", id=99_999, op="read", key="register:1")
    model.say("ok", id=99_999, value=None)
    _again(model)


def read_ahead(model: Model) -> None:
    """A read returns what is written only later."""
    model.at_s += 100.0
    value = model.written["register:1"] + 1
    model.say("invoke", id=99_998, op="read", key="register:1")
    model.say("ok", id=99_998, value=value)
    model.say("invoke", id=99_999, op="raise", key="register:1", value=value)
    model.say("ok", id=99_999)
    model.registers["register:1"] = value
    _again(model)


def own_twice(model: Model) -> None:
    """Another node claims slots, too."""
    at = model.find("owner")
    model.events.insert(at, {**model.events[at], "node": "127.0.0.1:2", "slots": [[5, 9]]})


def leave_slots_free(model: Model) -> None:
    """Nobody claims some slots."""
    model.events[model.find("owner")]["slots"] = [[0, 99], [200, 16383]]


def hold_a_stray_key(model: Model) -> None:
    """A node that owns nothing of it has a key."""
    at = model.find("holds")
    model.events.insert(at, {**model.events[at], "node": "127.0.0.1:2", "keys": ["set:1"]})


MUTATIONS: tuple[tuple[Mutation, str], ...] = (
    (lose_the_end_of_a_register, registers.LOST),
    (find_what_nobody_wrote, registers.NEVER_WRITTEN),
    (execute_a_refused_write, registers.REFUSED_RAN),
    (read_an_old_value, registers.STALE),
    (read_ahead, registers.FROM_AHEAD),
    (lose_an_element, tallies.LOST_ELEMENTS),
    (add_a_foreign_element, tallies.FOREIGN_ELEMENTS),
    (add_a_refused_element, tallies.REFUSED_ELEMENTS),
    (lose_counts, tallies.TOO_LOW),
    (count_twice, tallies.TOO_HIGH),
    (own_twice, ownership.TWO_OWNERS),
    (leave_slots_free, ownership.NO_OWNER),
    (hold_a_stray_key, ownership.STRAY),
)


@pytest.mark.parametrize(
    ("break_it", "rule"), MUTATIONS, ids=lambda each: getattr(each, "__name__", "")
)
@given(seed=seeds)
@settings(max_examples=12, deadline=None)
def test_each_broken_promise_is_found(break_it: Mutation, rule: str, seed: int) -> None:
    """It is named with its rule, and with lines that are in the file."""
    model = Model(seed).run(STEPS)
    break_it(model)

    verdict = verdict_of(model)

    assert {each.rule for each in verdict.violations} == {rule}
    assert verdict.exit_code == VIOLATED
    lines = [line for each in verdict.violations for line in each.lines]
    assert lines
    assert all(1 < line <= len(model.events) + 1 for line in lines)


def test_a_violation_says_what_was_told_and_what_was_found() -> None:
    """Key, rule, acknowledged, found, and the lines to look at."""
    model = Model(1)
    model.say("invoke", id=1, op="raise", key="register:1", value=1)
    model.say("ok", id=1)
    model.say("final", key="register:1", value=None)

    (violation,) = verdict_of(model).violations

    assert str(violation) == (
        "register:1: an acknowledged write is lost: 1 was acknowledged, in the end it is 0 "
        "(lines 3, 4)"
    )
    assert violation.lost == 1


def test_lost_writes_are_counted() -> None:
    """Three elements and two counts are five."""
    model = Model(3).run(STEPS)
    for _ in range(3):
        model.events[model.find("final", key="set:1")]["value"].remove(
            _last_ok(model, "add", "set:1", skip_absent=True)["value"]
        )
    model.events[model.find("final", key="counter:1")]["value"] = _count(model, "ok") - 2

    verdict = verdict_of(model)

    assert verdict.lost == 5
    assert str(verdict).startswith("2 violations in ")
    assert str(verdict).endswith(", 5 acknowledged writes lost")


@pytest.mark.parametrize(
    ("after_s", "is_excused"), [(-0.01, False), (0.5, True), (DEFAULT_BOUND_S + 0.01, False)]
)
def test_a_stale_read_is_excused_only_in_a_failover(after_s: float, is_excused: bool) -> None:
    """From the fault until a bound after it was mended and a write was acknowledged."""
    model = Model(0)
    model.events = [
        {"t": 0.0, "do": "invoke", "id": 1, "op": "raise", "key": "r", "value": 1},
        {"t": 0.1, "do": "ok", "id": 1},
        {"t": 1.0, "do": "fault", "id": 1, "kind": "pause", "on": "n", "role": "primary",
         "slots": EVERY_SLOT},
        {"t": 1.2, "do": "invoke", "id": 2, "op": "raise", "key": "r", "value": 2},
        {"t": 1.5, "do": "ok", "id": 2},
        {"t": 2.0, "do": "mended", "id": 1, "bit": True, "proof": "silent"},
    ]  # fmt: skip
    at_s = 0.9 if after_s < 0 else 2.0 + after_s
    stale: list[dict[str, Any]] = [
        {"t": at_s, "do": "invoke", "id": 3, "op": "read", "key": "r"},
        {"t": at_s, "do": "ok", "id": 3, "value": None if after_s < 0 else 1},
    ]
    model.events = sorted([*model.events, *stale], key=lambda each: float(each["t"]))

    verdict = verdict_of(model)

    assert bool(verdict.stale) is is_excused
    assert bool(verdict.violations) is not is_excused
    if is_excused:
        assert verdict.stale[0].by_ms == pytest.approx(1000.0)


def test_a_window_stays_open_until_a_write_is_good() -> None:
    """Mended, but no write acknowledged since: the shard isn't itself again."""
    model = Model(0)
    model.events = [
        {"t": 0.0, "do": "invoke", "id": 1, "op": "raise", "key": "r", "value": 1},
        {"t": 0.1, "do": "ok", "id": 1},
        {"t": 1.0, "do": "fault", "id": 1, "kind": "kill", "on": "n", "role": "primary",
         "slots": EVERY_SLOT},
        {"t": 2.0, "do": "mended", "id": 1, "bit": True, "proof": "dead"},
        {"t": 50.0, "do": "invoke", "id": 3, "op": "read", "key": "r"},
        {"t": 50.1, "do": "ok", "id": 3, "value": None},
    ]  # fmt: skip

    assert verdict_of(model).violations == []


def test_a_fault_of_another_shard_excuses_nothing() -> None:
    """Slots say whom a fault concerns."""
    model = Model(0).run(STEPS)
    read_an_old_value(model)
    model.events.insert(0, {"t": 0.0, "do": "fault", "id": 9_999, "kind": "kill", "on": "n",
                            "role": "primary", "slots": [[0, 0]]})  # fmt: skip

    assert [each.rule for each in verdict_of(model).violations] == [registers.STALE]


def drop(do: str) -> Mutation:
    """Leave all events of a kind out."""

    def change(model: Model) -> None:
        model.events = [each for each in model.events if each["do"] != do]

    return change


def no_proof(model: Model) -> None:
    """A fault that nobody saw act."""
    model.fault()
    model.events[-1]["bit"] = False
    _again(model)


@pytest.mark.parametrize(
    ("change", "doubt"),
    [
        (drop("end"), "the history has no end"),
        (drop("owner"), "nobody was asked who owns which slots"),
        (drop("final"), "keys were not read in the end, such as counter:1"),
        (no_proof, "kill of 127.0.0.1:1, has no proof that it bit"),
    ],
)
def test_what_was_not_seen_is_no_good_verdict(change: Mutation, doubt: str) -> None:
    """Inconclusive, with the reason."""
    model = Model(5).run(STEPS)
    change(model)

    verdict = verdict_of(model)

    assert verdict.violations == []
    assert verdict.exit_code == INCONCLUSIVE
    assert any(doubt in each for each in verdict.doubts)


def test_too_few_operations_and_no_fault_are_no_good_verdict() -> None:
    """Nothing happened, so nothing was shown."""
    model = Model(0)
    model.write()

    verdict = verdict_of(model.finish(), faults=["kill"])

    assert MIN_ACKNOWLEDGED == 100
    assert any("100 are the least" in each for each in verdict.doubts)
    assert any("kill was asked for, and no fault began" in each for each in verdict.doubts)


def _last_ok(model: Model, op: str, key: str, *, skip_absent: bool = False) -> dict[str, Any]:
    """Return the invocation of the last acknowledged write of a key."""
    ok = {each["id"] for each in model.events if each["do"] == "ok"}
    there = model.events[model.find("final", key=key)]["value"] if skip_absent else None
    return [
        each
        for each in model.events
        if each.get("op") == op and each["key"] == key and each["id"] in ok
        and (there is None or each["value"] in there)
    ][-1]  # fmt: skip


def _count(model: Model, outcome: str) -> int:
    counts = {each["id"] for each in model.events if each.get("op") == "count"}
    return sum(1 for each in model.events if each["do"] == outcome and each["id"] in counts)


def _again(model: Model) -> None:
    """Put the end behind what was added."""
    tail = ("final", "owner", "holds", "end")
    model.events = [each for each in model.events if each["do"] not in tail]
    model.finish()
