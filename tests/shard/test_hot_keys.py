"""Hot keys of a client, from a sample."""

from random import Random

import pytest

from shard.hot_keys import DEFAULT_EVERY, HotKeys

pytestmark = pytest.mark.unit


class Clock:
    """Time that a test moves."""

    def __init__(self) -> None:
        self.now_s = 0.0

    def __call__(self) -> float:
        return self.now_s


def test_one_in_eight_is_counted_by_default() -> None:
    """And none is refused."""
    assert DEFAULT_EVERY == 8
    with pytest.raises(ValueError, match="every is 0; give 1 at least"):
        HotKeys(Random(1), every=0)


@pytest.mark.parametrize("every", [1, 2, 8])
def test_rates_are_of_what_is_asked(every: int) -> None:
    """Two thousand a second, three in four for one key, whatever the sample."""
    clock = Clock()
    keys = HotKeys(Random(7), clock, every)
    for number in range(40_000):
        clock.now_s = number / 2000
        keys.see("cold" if number % 4 == 0 else "hot")
    hot, cold = keys.top()
    assert (hot.key, cold.key) == ("hot", "cold")
    assert hot.rate == pytest.approx(1500, rel=0.1)
    assert hot.share == pytest.approx(0.75, abs=0.05)
    assert keys.rate() == pytest.approx(2000, rel=0.1)


def test_a_caller_s_rhythm_hides_no_key() -> None:
    """Every eighth read is for one key: a sample of every eighth would see it always or never."""
    clock = Clock()
    keys = HotKeys(Random(3), clock, 8)
    for number in range(80_000):
        clock.now_s = number / 1000
        keys.see("beat" if number % 8 == 0 else f"key:{number % 1000}")
    assert keys.top()[0].key == "beat"
    assert keys.top()[0].share == pytest.approx(1 / 8, rel=0.3)


def test_reset_forgets() -> None:
    """As if nothing had been asked."""
    clock = Clock()
    keys = HotKeys(Random(1), clock, 1)
    keys.see("a")
    clock.now_s = 1.0
    assert keys.snapshot()["kept"] == 1
    keys.reset(1.0)
    assert keys.top() == []
