"""HeavyKeeper: which few keys are asked for most, in a few kilobytes and whatever their number.

Why not a counter for each key: there are millions, and nearly all of them are cold. Here a key has
one bucket in each of a few rows. A bucket belongs to one key, which counts it up; every other key
that falls into it wears it down, the less likely the higher it stands (``decay ** -count``). So a
cold key holds a bucket for a moment and a hot one keeps it: small counts are worn away
exponentially, large ones hardly at all, and a count is never above the truth but for two keys with
one fingerprint. The best are kept by name in a heap.

Time: all counts are halved each window, so a key that was hot an hour ago is no longer, and what
was counted in the last window weighs at least half. Rates are counts over the seconds that weigh.

Source: Gong, Yang et al., "HeavyKeeper: An Accurate Algorithm for Finding Top-k Elephant Flows"
(USENIX ATC 2018), section 3.2 with the heap's optimisations of 3.4, 1.08 as decay (section 5.1);
RedisBloom's TOPK.* has the same with width 8, depth 7, decay 0.9 as defaults.
Not handled: merging sketches of several processes (top lists are added up by name instead).
"""

import math
import random
import zlib
from typing import NamedTuple

from resilience.policy.contract import Snapshot

DEFAULT_K = 10  # names that are kept
DEFAULT_WIDTH = 1024  # buckets in a row: a hundred for each name, 16 KiB in all
DEFAULT_DEPTH = 2  # rows: the paper's choice
DEFAULT_DECAY = 1.08  # section 5.1
DEFAULT_WINDOW_S = 10.0  # between two halvings
_SURE_COUNT = 200  # 1.08 ** -200 is 2e-7: wearing it down isn't worth a draw


class Hot(NamedTuple):
    """One of the keys asked for most.

    Args:
        key: Its name.
        rate: How often a second, over what weighs.
        share: Of all that was asked, 0..1.
    """

    key: str
    rate: float
    share: float


class HeavyKeeper:
    """Keep the ``k`` keys seen most often.

    Args:
        rng: Source of chance, for wearing down.
        k: How many, >= 1.
        width: Buckets in a row, >= 1.
        depth: Rows, >= 1.
        decay: The base, > 1: the larger, the sooner counts are safe from others.
        window_s: Between two halvings, seconds, > 0.

    Raises:
        ValueError: One of them is out of range.
    """

    def __init__(
        self,
        rng: random.Random,
        *,
        k: int = DEFAULT_K,
        width: int = DEFAULT_WIDTH,
        depth: int = DEFAULT_DEPTH,
        decay: float = DEFAULT_DECAY,
        window_s: float = DEFAULT_WINDOW_S,
    ) -> None:
        if min(k, width, depth) < 1 or decay <= 1.0 or not 0 < window_s < math.inf:
            raise ValueError(
                f"k {k}, width {width}, depth {depth} must be 1 at least, decay {decay:g} more "
                f"than 1 and window_s {window_s:g} more than 0"
            )
        self._draw = rng.random
        self._k = k
        self._width = width
        self._rows = [([0] * width, [0] * width) for _ in range(depth)]  # fingerprints, counts
        self._chances = [decay**-count for count in range(_SURE_COUNT)]
        self._top: dict[str, int] = {}  # the names that are kept, with their counts
        self._least = 0  # the smallest of them; 0 while there is room for more
        self._window_s = window_s
        self._total = 0.0
        self._weight_s = 0.0  # seconds that the counts stand for
        self._halved_s = self._seen_s = -math.inf

    def observe(self, key: str, now_s: float) -> int:
        """Count one; returns what the key's count is believed to be."""
        if now_s > self._seen_s:
            self._age(now_s)
        self._total += 1
        data = key.encode()
        fingerprint = zlib.crc32(data) | 1  # never 0, which is an empty bucket
        kept = self._top.get(key)
        best = 0
        for seed, (owners, counts) in enumerate(self._rows, start=1):
            place = zlib.crc32(data, seed * 0x9E3779B1) % self._width
            if owners[place] == fingerprint:
                # A count beyond the least of the names belongs to one of them: 3.4, optimisation 2.
                if kept is not None or counts[place] <= self._least:
                    counts[place] += 1
                best = max(best, counts[place])
            elif self._wears_down(counts[place]):
                counts[place] -= 1
                if counts[place] <= 0:
                    owners[place], counts[place] = fingerprint, 1
                    best = max(best, 1)
        self._keep(key, kept, best)
        return best

    def top(self, now_s: float) -> list[Hot]:
        """Return the names that are kept, the hottest first."""
        if now_s > self._seen_s:
            self._age(now_s)
        if not self._weight_s:
            return []
        ranked = sorted(self._top.items(), key=lambda one: (-one[1], one[0]))
        return [
            Hot(key, count / self._weight_s, min(1.0, count / self._total))
            for key, count in ranked
            if count > 0
        ]

    def rate(self, now_s: float) -> float:
        """Return how often a second all keys together were seen."""
        if now_s > self._seen_s:
            self._age(now_s)
        return self._total / self._weight_s if self._weight_s else 0.0

    def reset(self, now_s: float) -> None:
        """Forget everything."""
        for owners, counts in self._rows:
            owners[:] = counts[:] = [0] * self._width
        self._top.clear()
        self._least = 0
        self._total = self._weight_s = 0.0
        self._halved_s = self._seen_s = now_s

    def snapshot(self) -> Snapshot:
        """What was seen, as far as it weighs, and how many names are kept."""
        return {"seen": round(self._total), "kept": len(self._top)}

    def _wears_down(self, count: int) -> bool:
        return count < _SURE_COUNT and (count <= 1 or self._draw() < self._chances[count])

    def _keep(self, key: str, kept: int | None, count: int) -> None:
        """Keep the name if it belongs to the best."""
        if kept is not None:
            if count > kept:
                self._top[key] = count
                if kept == self._least:
                    self._find_least()
        elif len(self._top) < self._k:
            self._top[key] = count
            self._find_least()
        elif count > self._least:
            del self._top[min(self._top, key=self._top.__getitem__)]
            self._top[key] = count
            self._find_least()

    def _find_least(self) -> None:
        self._least = min(self._top.values()) if len(self._top) >= self._k else 0

    def _age(self, now_s: float) -> None:
        """Add the time that has passed, and halve all counts for each window that is over."""
        if self._halved_s == -math.inf:
            self._halved_s = self._seen_s = now_s
            return
        self._weight_s += now_s - self._seen_s
        self._seen_s = now_s
        while now_s - self._halved_s >= self._window_s:
            if not self._total:  # nothing is left to halve, however long nobody asked
                self._halved_s = now_s
                self._weight_s = 0.0
                break
            self._halved_s += self._window_s
            self._halve()

    def _halve(self) -> None:
        for owners, counts in self._rows:
            counts[:] = [count >> 1 for count in counts]
            owners[:] = [own if count else 0 for own, count in zip(owners, counts, strict=True)]
        self._top = {key: count >> 1 for key, count in self._top.items() if count > 1}
        self._total = self._total / 2 if self._total >= 1 else 0.0
        self._weight_s /= 2
        self._find_least()
