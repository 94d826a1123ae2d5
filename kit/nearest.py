"""What was probably meant by a name that nobody knows."""

from collections.abc import Iterable
from difflib import get_close_matches


def nearest(name: str, known: Iterable[str]) -> str:
    """Say what was probably meant."""
    names = sorted(filter(None, known))
    close = get_close_matches(name, names, n=3, cutoff=0.4) or names
    return f"did you mean {', '.join(close)}?" if close else "nothing is there"
