"""What the collector is told when a process has started."""

import gc
from collections.abc import Iterator

import pytest

from kit.collector import OLDER_LOOKS, YOUNG_OBJECTS, settle

pytestmark = pytest.mark.unit


class Knot:
    """An object that only the collector can free."""

    def __init__(self) -> None:
        self.self = self


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.set_threshold(*before)


def test_what_is_there_is_put_aside_and_the_young_are_looked_at_less() -> None:
    """The start's objects are frozen; the numbers are the documented ones."""
    assert (YOUNG_OBJECTS, OLDER_LOOKS) == (10_000, (10, 10))
    settle()
    assert gc.get_freeze_count() > 1000
    assert gc.get_threshold() == (10_000, 10, 10)


def test_a_knot_made_later_is_still_freed() -> None:
    """Less often isn't never."""
    settle()
    Knot()
    assert gc.collect() >= 1
