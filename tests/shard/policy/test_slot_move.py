"""A slot's move by its marks: each step follows from what the nodes say, and always ends."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from shard.policy.slot_move import Marks, Step, next_step, next_step_back

FRESH = Marks(
    target_owns=False,
    target_imports=False,
    source_owns=True,
    source_migrates=False,
    is_copied=False,
    keys_left=3,
)


def after(marks: Marks, step: Step) -> Marks:
    """What the nodes say once a step was done."""
    match step:
        case Step.OPEN:
            return replace(marks, target_imports=True)
        case Step.COPY:
            return replace(marks, is_copied=True)
        case Step.LEAVE:
            return replace(marks, source_migrates=True, keys_left=0)
        case Step.CLAIM:
            return replace(marks, target_owns=True, target_imports=False)
        case Step.TELL:
            return replace(marks, source_owns=False, source_migrates=False)
        case Step.CLEAN:
            return replace(marks, target_imports=False)
        case Step.DONE:
            return marks


def test_a_whole_move() -> None:
    """Five steps, the target first."""
    marks, steps = FRESH, []
    while (step := next_step(marks)) is not Step.DONE:
        steps.append(step)
        marks = after(marks, step)
    assert steps == [Step.OPEN, Step.COPY, Step.LEAVE, Step.CLAIM, Step.TELL]


@given(st.builds(Marks, *[st.booleans()] * 5, st.integers(0, 2)), st.booleans())
def test_from_any_marks_it_ends_and_never_leaves_without_a_copy(marks: Marks, back: bool) -> None:
    """Whoever was killed wherever: at most seven steps, forward or back."""
    decide = next_step_back if back else next_step
    for _ in range(8):
        step = decide(marks)
        if step is Step.DONE:
            return
        if step is Step.LEAVE:
            assert marks.target_imports
            assert marks.is_copied or marks.source_migrates
        if step is Step.CLAIM:
            assert marks.target_imports
            assert not marks.keys_left
        marks = after(marks, step)
    pytest.fail(f"never ends: {marks}")


def test_going_back_is_for_those_whom_nobody_was_sent_to() -> None:
    """Once the source migrates, clients write to the target: then only forward."""
    opened = replace(FRESH, target_imports=True)
    assert next_step_back(opened) is Step.CLEAN
    assert next_step_back(FRESH) is Step.DONE
    assert next_step_back(replace(opened, source_migrates=True)) is Step.LEAVE
