"""Choices: what is picked by name and not by number, live, beside switches and settings.

Why: which limiter learns the limit is neither on nor off nor a number. A choice says which of
several policies does a job; the switch of that job still says whether it is asked. The first value
of each is what the lab does when nobody chose.
"""

from collections.abc import Iterable, Mapping
from difflib import get_close_matches

from kit.errors import ConfigError

CHOICES: Mapping[str, tuple[str, ...]] = {
    # How the limit in front of a server is learned; `fixed` takes the number setting `limit`.
    "limiter": ("bbr", "vegas", "gradient2", "aimd", "envoy", "fixed"),
    # Which breaker guards the calls to a dependency: the SRE Book's throttle, or the three states.
    "breaker": ("sre", "states"),
    # What holds while the quota's store says nothing.
    "quota_fallback": ("local", "open", "closed"),
    # Who picks the endpoint where the switch `p2c` is on (`lb.policy.algorithms`).
    "balance": ("least_request", "weighted_round_robin", "peak_ewma"),
}


def default_choice(name: str) -> str:
    """Return what the lab does when nobody chose.

    Raises:
        KeyError: There is no such choice.
    """
    return CHOICES[name][0]


def check_choice(name: str, value: str) -> None:
    """Refuse a choice that nobody would understand.

    Raises:
        ConfigError: Names the nearest, and all that there are.
    """
    if name not in CHOICES:
        raise ConfigError(f"there is no choice {name!r}: {_hint(name, CHOICES)}")
    if value not in CHOICES[name]:
        raise ConfigError(f"{name} cannot be {value!r}: {_hint(value, CHOICES[name])}")


def _hint(asked: str, known: Iterable[str]) -> str:
    names = list(known)
    near = get_close_matches(asked, names, n=1, cutoff=0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"{meant}choose one of {', '.join(names)}"
