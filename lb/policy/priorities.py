"""Priorities: a second set of endpoints takes over gradually as the first one fails.

Why: a standby that takes everything at once, when the last of the first set dies, meets the full
load cold; one that takes a request for each lost endpoint serves far from home for no reason. A
level counts as whole down to 71 % usable (a factor of 1.4), and below that passes on what it lacks.
Source: Envoy, priority.rst: health = min(100, 1.4 * 100 * usable / all), load of a level = what is
left, at most its health over the sum of healths; panic_threshold.rst: only when all healths
together are below 100 does a level with less than half of its endpoints usable use all of them;
with none usable anywhere, all goes to level 0. Percentages are integers, rounded to the nearest,
which is what the published tables show (25, 25 and 20 % usable give 36, 36 and 28).
Not handled: degraded hosts, a panic threshold per level.
"""

import random
from collections.abc import Callable, Mapping, Sequence

from lb.policy.groups import Groups
from lb.policy.panic import DEFAULT_PANIC_THRESHOLD, is_panicking
from lb.policy.roster import Algorithm

DEFAULT_OVERPROVISIONING = 1.4  # Envoy: overprovisioning_factor 140
FULL = 100  # percent


def healths(
    usable: Sequence[int], known: Sequence[int], factor: float = DEFAULT_OVERPROVISIONING
) -> list[int]:
    """Return each level's health, an integer 0..100, by numbers of endpoints."""
    return [
        min(FULL, int(FULL * factor * up / whole)) if whole else 0
        for up, whole in zip(usable, known, strict=True)
    ]


def loads(levels: Sequence[int]) -> list[int]:
    """Return each level's percentage of requests, by healths; all on the first when all are 0."""
    total = min(FULL, sum(levels))
    if not total:
        return [FULL if level == 0 else 0 for level in range(len(levels))]
    left, shares = FULL, []
    for health in levels:
        shares.append(min(left, round(health * FULL / total)))
        left -= shares[-1]
    if left:  # rounding: to the first level that takes anything, as in Envoy
        shares[next(index for index, share in enumerate(shares) if share)] += left
    return shares


class Priorities(Groups[int]):
    """Pick in the first level as far as it is healthy.

    Args:
        rng: Draws the level.
        level_of: An endpoint's level, 0 first; levels should be numbered without gaps.
        make: Makes the algorithm of a level.
        factor: Overprovisioning: the inverse of the usable share down to which a level is whole.
        panic_threshold: Usable share of a level below which it uses all; 0 never does.

    Raises:
        ValueError: When ``factor`` isn't above 0.
    """

    name = "priorities"

    def __init__(
        self,
        rng: random.Random,
        level_of: Callable[[str], int],
        make: Callable[[], Algorithm],
        *,
        factor: float = DEFAULT_OVERPROVISIONING,
        panic_threshold: float = DEFAULT_PANIC_THRESHOLD,
    ) -> None:
        if not 0.0 < factor < float("inf"):
            raise ValueError(f"factor must be above 0, not {factor}")
        super().__init__(rng, level_of, make)
        self._factor = factor
        self._threshold = panic_threshold
        self._panicking: tuple[int, ...] = ()

    @property
    def panicking(self) -> tuple[int, ...]:
        """The levels that use all of their endpoints, whatever is believed of them."""
        return self._panicking

    def _new_shares(self) -> Mapping[int, float]:
        usable, known = self.members(self.candidates), self.members(self.weights)
        levels = sorted(level for level, names in known.items() if names)
        counts = [(len(usable[level]), len(known[level])) for level in levels]
        health = healths([up for up, _ in counts], [all_ for _, all_ in counts], self._factor)
        self._panicking = tuple(
            level
            for level, (up, whole) in zip(levels, counts, strict=True)
            if sum(health) < FULL and is_panicking(up, whole, self._threshold)
        )
        for level in self._panicking:
            self._algorithms[level].set_candidates(known[level])
        return {level: load / FULL for level, load in zip(levels, loads(health), strict=True)}
