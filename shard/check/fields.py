"""The fields of one line of a history, by the type that each must have."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypeGuard

from shard.check.events import Found, Slots


class HistoryError(ValueError):
    """A line that doesn't read; the message begins with its number."""


@dataclass(frozen=True, slots=True)
class Event:
    """One line; every reading raises HistoryError where the field is of another type.

    Args:
        fields: As they were read.
        line: Its number.
    """

    fields: Mapping[str, object]
    line: int

    def wrong(self, name: str, needs: str) -> HistoryError:
        """Make the error of a field."""
        return HistoryError(f"line {self.line}: {name} is {self.fields.get(name)!r}: give {needs}")

    def amount(self, name: str) -> float:
        """Read a time, finite and not negative."""
        value = self.fields.get(name)
        if not is_amount(value):
            raise self.wrong(name, "a number, 0 or more")
        return value

    def count(self, name: str) -> int:
        """Read a whole number, not negative."""
        value = self.fields.get(name)
        if not _is_whole(value) or value < 0:
            raise self.wrong(name, "a whole number, 0 or more")
        return value

    def text(self, name: str) -> str:
        """Read a text."""
        value = self.fields.get(name)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value

    def found(self, name: str) -> Found:
        """Read what a key held: nothing, a whole number or several."""
        value = self.fields.get(name)
        if value is None or _is_whole(value):
            return value
        if isinstance(value, list) and all(map(_is_whole, value)):
            return tuple(value)
        raise self.wrong(name, "null, a whole number or a list of them")

    def slots(self) -> Slots:
        """Read bounds of slots."""
        value = self.fields.get("slots")
        if not isinstance(value, list) or not all(map(_is_pair, value)):
            raise self.wrong("slots", "pairs of first and last")
        return tuple((first, last) for first, last in value)

    def names(self, name: str) -> tuple[str, ...]:
        """Read a list of texts."""
        value = self.fields.get(name)
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise self.wrong(name, "a list of texts")
        return tuple(value)


def is_amount(value: object) -> TypeGuard[float]:
    """Whether a value is a number, finite and not negative."""
    if not isinstance(value, int | float) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0.0


def _is_whole(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_pair(value: object) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(map(_is_whole, value))
