"""A bound: what an observed value is held against, e.g. ``>= 0.85``."""

import re
from dataclasses import dataclass

_PATTERN = re.compile(r"\s*(>=|<=|==)\s*([-+]?\d+(?:\.\d+)?)\s*")
_SIGNS = {">=": "≥", "<=": "≤", "==": "="}


@dataclass(frozen=True, slots=True)
class Bound:
    """A comparison with a number.

    Args:
        relation: ``>=``, ``<=`` or ``==``.
        value: In the unit of what is observed.
    """

    relation: str
    value: float

    def __str__(self) -> str:
        return f"{_SIGNS[self.relation]} {self.value:g}"

    def holds(self, observed: float | None) -> bool:
        """Whether a value keeps the bound; what was never observed keeps none."""
        if observed is None:
            return False
        if self.relation == ">=":
            return observed >= self.value
        if self.relation == "<=":
            return observed <= self.value
        return observed == self.value

    def margin_sd(self, observed: float | None, sd: float | None) -> float | None:
        """Return how many standard deviations lie between value and bound.

        None when unknown, and for *none at all* that was kept: ``<= 0`` of a count isn't a matter
        of chance, the first one refutes it.
        """
        if observed is None or not sd or (observed == self.value == 0 and self.relation != ">="):
            return None
        return abs(observed - self.value) / sd


def parse_bound(text: str) -> Bound:
    """Read a bound.

    Raises:
        ValueError: It isn't one.
    """
    match = _PATTERN.fullmatch(text)
    if match is None:
        raise ValueError(f"bound is {text!r}; write >= 0.85, <= 5 or == 0")
    return Bound(match[1], float(match[2]))
