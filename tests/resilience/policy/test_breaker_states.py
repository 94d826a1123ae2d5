"""Breaker states: the table row by row, what is by hand, and the picture of it."""

import pytest

from resilience.policy.breaker_states import BY_HAND, TABLE, Event, State, diagram, next_state

ALONE = {State.CLOSED, State.OPEN, State.HALF_OPEN}


@pytest.mark.unit
def test_the_table_is_that_of_resilience4j() -> None:
    """By itself a breaker moves between three states, in a circle with one way back."""
    moves = {(row.source, row.target) for row in TABLE if row.event is not Event.RESET}
    assert moves == {
        (State.CLOSED, State.OPEN),
        (State.OPEN, State.HALF_OPEN),
        (State.HALF_OPEN, State.CLOSED),
        (State.HALF_OPEN, State.OPEN),
    }


@pytest.mark.unit
def test_each_row_says_where_its_event_leads() -> None:
    """The rows don't contradict each other, and asking gives what the row says."""
    assert len({(row.source, row.event) for row in TABLE}) == len(TABLE)
    assert [next_state(row.source, row.event) for row in TABLE] == [row.target for row in TABLE]


@pytest.mark.unit
@pytest.mark.parametrize("state", list(State))
def test_an_operator_is_obeyed_in_every_state(state: State) -> None:
    """Whatever it does, each of the five commands leads where it says."""
    assert {event: next_state(state, event) for event in BY_HAND} == BY_HAND


@pytest.mark.unit
@pytest.mark.parametrize("state", [each for each in State if each not in ALONE])
def test_no_state_set_by_hand_ends_by_itself(state: State) -> None:
    """No result, no time and no reset leads out of it."""
    others = [event for event in Event if event not in BY_HAND]
    assert [next_state(state, event) for event in others] == [None] * len(others)


@pytest.mark.unit
def test_each_state_can_be_reached() -> None:
    """No state and no event stands there for nothing."""
    targets = {row.target for row in TABLE} | set(BY_HAND.values())
    assert targets == set(State)
    assert {row.event for row in TABLE} | set(BY_HAND) == set(Event)


@pytest.mark.unit
def test_the_diagram_has_an_arrow_for_each_row() -> None:
    """Every row and every command can be read off the picture."""
    text = diagram()
    assert text.startswith("stateDiagram-v2\n    [*] --> CLOSED\n")
    for row in TABLE:
        arrow = f"{row.source.name} --> {row.target.name}: "
        [line] = [line for line in text.splitlines() if line.strip().startswith(arrow)]
        assert row.event.value in line.split(": ")[1].split(", ")
    for event, target in BY_HAND.items():
        assert f"hand --> {target.name}: {event.value}" in text
