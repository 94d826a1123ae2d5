"""The file: what is written is read, a torn end is tolerated, anything else is named by line."""

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.check.events import Op, Outcome
from shard.check.fields import HistoryError
from shard.check.history import lines_of, parse_history
from tests.shard.check.histories import Model

INVOKE = {"t": 0.1, "do": "invoke", "id": 1, "op": "raise", "key": "r", "value": 1}
FAULT = {
    "t": 0.1,
    "do": "fault",
    "id": 1,
    "kind": "kill",
    "on": "n",
    "role": "primary",
    "slots": [],
}


def test_operations_and_faults_come_back_with_their_lines() -> None:
    """Line 1 is the header."""
    text = lines_of([INVOKE, {"t": 0.3, "do": "refused", "id": 1, "reason": "NOT_REPLICATED"},
                     {**FAULT, "t": 0.4, "slots": [[1, 5]]},
                     {"t": 0.9, "do": "mended", "id": 1, "bit": True, "proof": "gone"}],
                    seed=17)  # fmt: skip

    history = parse_history(text)

    (operation,) = history.operations
    assert (operation.op, operation.outcome) == (Op.RAISE, Outcome.REFUSED)
    assert (operation.began_line, operation.ended_line) == (2, 3)
    (fault,) = history.faults
    assert (fault.began_s, fault.mended_s, fault.has_bit, fault.line) == (0.4, 0.9, True, 4)
    assert [fault.concerns(slot) for slot in (0, 1, 5, 6)] == [False, True, True, False]
    assert history.header["seed"] == 17


def test_what_never_ended_is_unknown() -> None:
    """Its caller was told nothing."""
    (operation,) = parse_history(lines_of([INVOKE])).operations

    assert (operation.outcome, operation.ended_s) == (Outcome.UNKNOWN, None)


@given(st.integers(1, 10_000))
@settings(max_examples=40, deadline=None)
def test_a_history_cut_anywhere_reads_up_to_there(cut: int) -> None:
    """As after kill -9 of the checker: the torn line is said, and nothing else is lost."""
    whole = Model(7).run(40).text()
    first = whole.index("\n") + 1
    text = whole[: first + cut % (len(whole) - first)]

    history = parse_history(text)

    torn = not text.endswith("\n") and not text.endswith("}")
    assert history.torn_line == (len(text.splitlines()) if torn else 0)
    assert not history.has_ended or text.rstrip("\n") == whole.rstrip("\n")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "line 1: an empty file is no history"),
        ("nonsense\n", "line 1: no JSON: 'nonsense'"),
        ("{}\n", "line 1: history is None: this reads 'squall.store-history/1'"),
        (lines_of([], bound_s="x"), "line 1: bound_s is 'x': give a number, 0 or more"),
        (lines_of([]) + "[]\n", "line 2: list, not an object"),
        (lines_of([]) + "{\n" + lines_of([INVOKE]), "line 2: no JSON: '{'"),
        (lines_of([]) + "[" * 100_000 + "\n", "line 2: no JSON"),
        (lines_of([{"t": 0, "do": "dance"}]), "line 2: do is 'dance': one of invoke, ok"),
        (lines_of([{"t": 0, "do": ["ok"]}]), "line 2: do is ['ok']: one of invoke, ok"),
        (lines_of([{**INVOKE, "t": "now"}]), "line 2: t is 'now': give a number"),
        (lines_of([{**INVOKE, "t": float("nan")}]), "line 2: t is nan: give a number"),
        (lines_of([{**INVOKE, "t": -1}]), "line 2: t is -1: give a number"),
        (lines_of([{**INVOKE, "op": "jump"}]), "line 2: op is 'jump': give raise, add, count"),
        (lines_of([{**INVOKE, "key": 7}]), "line 2: key is 7: give a text"),
        (lines_of([{**INVOKE, "value": True}]), "line 2: value is True: give a whole number"),
        (lines_of([{**INVOKE, "value": 2}]), "line 2: r goes from 0 to 2, not to 1"),
        (lines_of([INVOKE, INVOKE]), "line 3: operation 1 was invoked before"),
        (lines_of([INVOKE, {**INVOKE, "id": 2, "op": "add"}]), "line 3: add of r, which had raise"),
        (lines_of([{"t": 0, "do": "ok", "id": 4}]), "line 2: operation 4 was never invoked"),
        (lines_of([INVOKE, {"t": 1, "do": "ok", "id": 1}, {"t": 1, "do": "ok", "id": 1}]),
         "line 4: operation 1 ended in line 3"),
        (lines_of([INVOKE, {"t": 0.05, "do": "ok", "id": 1}]), "line 3: 0.05 s comes after 0.1 s"),
        (lines_of([{**FAULT, "slots": [[1]]}]), "line 2: slots is [[1]]: give pairs"),
        (lines_of([FAULT, FAULT]), "line 3: fault 1 began before"),
        (lines_of([{"t": 0, "do": "mended", "id": 1, "proof": ""}]), "line 2: no fault 1"),
        (lines_of([{"t": 0, "do": "final", "key": "r", "value": "x"}]), "line 2: value is 'x'"),
        (lines_of([{"t": 0, "do": "holds", "node": "n", "keys": [1]}]), "line 2: keys is [1]"),
        (lines_of([{"t": 0, "do": "end"}, INVOKE]), "line 3: nothing follows the end"),
    ],
)  # fmt: skip
def test_what_does_not_read_is_named_by_its_line(text: str, said: str) -> None:
    """A judge that skipped it would skip violations."""
    with pytest.raises(HistoryError) as caught:
        parse_history(text)

    assert str(caught.value).startswith(said)


@given(st.text(max_size=200))
@settings(max_examples=200, deadline=None)
def test_any_text_reads_or_is_refused(text: str) -> None:
    """Never another error."""
    with suppress(HistoryError):
        parse_history(lines_of([]) + text)
