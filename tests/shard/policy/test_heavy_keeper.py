"""HeavyKeeper with plain numbers, and against exact counts of a Zipf stream."""

import random
from bisect import bisect
from collections import Counter
from itertools import accumulate

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from shard.policy import heavy_keeper
from shard.policy.heavy_keeper import HeavyKeeper

pytestmark = pytest.mark.unit


def zipf(rng: random.Random, keys: int, exponent: float, count: int) -> list[str]:
    """Draw a stream in which key ``n`` has a share like ``1 / n ** exponent``."""
    sums = list(accumulate(1 / rank**exponent for rank in range(1, keys + 1)))
    return [f"video:{bisect(sums, rng.random() * sums[-1])}" for _ in range(count)]


def test_defaults_are_the_paper_s() -> None:
    """Two rows, 1.08; ten names, a hundred buckets for each, ten seconds."""
    assert (heavy_keeper.DEFAULT_DEPTH, heavy_keeper.DEFAULT_DECAY) == (2, 1.08)
    assert (heavy_keeper.DEFAULT_K, heavy_keeper.DEFAULT_WIDTH) == (10, 1024)
    assert heavy_keeper.DEFAULT_WINDOW_S == 10.0


@pytest.mark.parametrize(
    "wrong", [{"k": 0}, {"width": 0}, {"depth": 0}, {"decay": 1.0}, {"window_s": 0.0}]
)
def test_what_is_out_of_range_is_refused(wrong: dict[str, float]) -> None:
    """With all of it in one message."""
    with pytest.raises(ValueError, match="must be 1 at least"):
        HeavyKeeper(random.Random(1), **wrong)  # type: ignore[arg-type]


def test_few_keys_are_counted_exactly() -> None:
    """Rates and shares over the seconds that have passed."""
    keeper = HeavyKeeper(random.Random(1), k=2)
    for step in range(60):
        keeper.observe("a", step * 0.1)
        if step % 2:
            keeper.observe("b", step * 0.1)
    first, second = keeper.top(6.0)
    assert (first.key, second.key) == ("a", "b")
    assert [first.rate, second.rate] == pytest.approx([10.0, 5.0])
    assert [first.share, second.share] == pytest.approx([2 / 3, 1 / 3])
    assert keeper.snapshot() == {"seen": 90, "kept": 2}


@pytest.mark.parametrize("seed", range(5))
def test_the_ten_hottest_of_ten_thousand_are_found(seed: int) -> None:
    """Zipf 1.1 over 10,000 keys, 100,000 reads: nine of the true ten at least, and counts within a
    hundredth, in 2 x 1,024 buckets."""
    rng = random.Random(seed)
    stream = zipf(rng, 10_000, 1.1, 100_000)
    keeper = HeavyKeeper(random.Random(seed), window_s=1e9)
    for number, key in enumerate(stream):
        keeper.observe(key, number * 1e-3)
    exact = Counter(stream)
    true = dict(exact.most_common(10))
    found = keeper.top(100.0)
    assert len({one.key for one in found} & set(true)) >= 9
    for one in found[:5]:
        assert one.rate * 99.999 == pytest.approx(exact[one.key], rel=0.01)


def test_one_that_is_hot_all_at_once_is_on_top_soon() -> None:
    """After a long calm stream four in five reads are for one new key."""
    rng = random.Random(3)
    keeper = HeavyKeeper(random.Random(3))
    for number, key in enumerate(zipf(rng, 1_000, 1.1, 20_000)):
        keeper.observe(key, number * 1e-3)
    for number in range(2_000):
        key = "news" if rng.random() < 0.8 else f"video:{rng.randrange(1000)}"
        keeper.observe(key, 20.0 + number * 1e-3)
    assert keeper.top(22.0)[0].key == "news"


def test_what_was_hot_is_forgotten() -> None:
    """Counts are halved each window, and nothing is left of a key nobody asks for."""
    keeper = HeavyKeeper(random.Random(1), window_s=10.0)
    for number in range(1_000):
        keeper.observe("old", number * 0.001)
    assert keeper.top(9.0)[0].key == "old"
    before = keeper.top(9.9)[0].rate
    assert keeper.top(21.0)[0].rate < before / 2
    assert keeper.top(200.0) == []
    keeper.observe("new", 200.5)
    keeper.observe("new", 201.5)
    assert [one.key for one in keeper.top(201.5)] == ["new"]


def test_a_steady_rate_is_told_as_it_is_across_windows() -> None:
    """Halving counts and the seconds they stand for leaves their quotient."""
    keeper = HeavyKeeper(random.Random(1), window_s=2.0)
    rates = []
    for number in range(2_000):
        now_s = number * 0.01
        keeper.observe("a", now_s)
        if number > 400 and number % 50 == 0:
            rates.append(keeper.top(now_s)[0].rate)
    assert min(rates) > 95
    assert max(rates) < 105


def test_reset_forgets_everything() -> None:
    """As if it were new."""
    keeper = HeavyKeeper(random.Random(1))
    for number in range(10):
        keeper.observe("a", number * 1.0)
    keeper.reset(10.0)
    assert keeper.top(11.0) == []
    assert keeper.snapshot() == {"seen": 0, "kept": 0}


@settings(deadline=None)
@given(
    keys=st.lists(st.sampled_from("abcdefghij"), max_size=400),
    k=st.integers(1, 5),
    width=st.integers(1, 8),
    seed=st.integers(0, 3),
)
def test_no_count_is_above_the_truth_and_no_more_names_are_kept_than_asked(
    keys: list[str], k: int, width: int, seed: int
) -> None:
    """However few buckets the keys fight for."""
    keeper = HeavyKeeper(random.Random(seed), k=k, width=width, window_s=1e9)
    exact: Counter[str] = Counter()
    for number, key in enumerate(keys):
        exact[key] += 1
        assert keeper.observe(key, float(number)) <= exact[key]
    found = keeper.top(float(len(keys)))
    assert len(found) <= k
    assert [one.rate for one in found] == sorted((one.rate for one in found), reverse=True)
    assert sum(one.share for one in found) <= 1.0 + 1e-9
