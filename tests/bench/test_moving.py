"""The figures of a move, by plain numbers: what holds and what is missed."""

from dataclasses import replace

from bench.moving import AIMS, HEAD, Done, Window, as_json, rows, verdicts

SECOND = Window([1.0] * 399 + [10.0])
GOOD = Done(
    before=[SECOND] * 30,
    during=[SECOND] * 60,
    slots_moved=4096,
    slots_gained=4096,
    failed=0,
    acknowledged=9000,
    lost=0,
    kills=2,
)


def missed(done: Done) -> list[str]:
    """Name the figures that miss their aim."""
    words = as_json(done)["verdicts"]
    assert isinstance(words, dict)
    return [name for name, word in words.items() if word == "missed"]


def test_the_aims_are_the_issues() -> None:
    """1.0, 0.8x, 2x, none."""
    assert AIMS == {"moved_over_gained": 1.0, "throughput": 0.8, "p99": 2.0, "lost": 0}


def test_a_move_that_nobody_noticed_holds() -> None:
    """A row a figure, as wide as the head."""
    assert verdicts(GOOD) == {"held"}
    assert {len(row) for row in rows(GOOD)} == {len(HEAD)}


def test_each_figure_is_missed_by_itself() -> None:
    """By a slot too many, a fifth less, more than twice as slow, one write."""
    assert missed(replace(GOOD, slots_moved=4097)) == ["moved_over_gained"]
    assert missed(replace(GOOD, during=[Window(SECOND.took_ms[-300:])] * 60)) == ["throughput"]
    slow = Window([1.0] * 390 + [21.0] * 10)
    assert missed(replace(GOOD, during=[slow] * 60)) == ["p99"]
    assert missed(replace(GOOD, lost=1)) == ["lost"]


def test_nothing_moved_and_nothing_written_prove_nothing() -> None:
    """A mover that did nothing isn't perfect."""
    assert missed(replace(GOOD, slots_moved=0, slots_gained=0)) == ["moved_over_gained"]
    assert missed(replace(GOOD, acknowledged=0)) == ["lost"]
