"""The numbers that can be set live: who reads each, its unit, its bounds, its default.

Why: control takes any number under any name, and a misspelt one would be read by nobody and change
nothing. So the command knows the names; a test holds the table against those who read them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple

from squall.output import nearest

if TYPE_CHECKING:
    from collections.abc import Sequence

ANY_SERVER = ("gateway", "account", "video", "comment", "counter")


class Setting(NamedTuple):
    """One number.

    Args:
        readers: The services that read it.
        unit: For people.
        least: The smallest that means something.
        default: What holds while nobody set it; None: it follows another one.
        words: What it does.
    """

    readers: tuple[str, ...]
    unit: str
    least: float
    default: float | None
    words: str


def known_settings() -> Mapping[str, Setting]:
    """Return every setting by name; ``quota_weight.`` stands for one of each tenant."""
    from gateway.quota import DEFAULT_WEIGHT, NO_QUOTA, RATE_SETTING, WEIGHT_SETTING
    from gateway.settings import (
        DEFAULT_ATTEMPTS,
        DEFAULT_BUDGET_MS,
        DEFAULT_BULKHEAD,
        DEFAULT_CAP,
        DEFAULT_PER_TRY_MS,
        GROUPS,
    )
    from kit.admission import LIMIT_SETTING
    from lb.l7.picks import DEFAULT_EVERY
    from lb.l7.settings import CLIENT_HEAD_S, MAX_CONNECTIONS
    from resilience.server_admission import DEFAULT_FIXED_LIMIT
    from services.video.cached import VIDEO_TTL_S

    gateway, tiers = ("gateway",), ("gateway", "l7")
    return {
        "cap": Setting(gateway, "requests", 1, DEFAULT_CAP, "served at once; others wait"),
        "bulkhead": Setting(gateway, "calls", 1, DEFAULT_BULKHEAD, "at one dependency at once"),
        "attempts": Setting(tiers, "tries", 1, DEFAULT_ATTEMPTS, "of one call, with the first"),
        "per_try_ms": Setting(gateway, "ms", 0, DEFAULT_PER_TRY_MS, "of one try; 0: no limit"),
        "budget_ms": Setting(tiers, "ms", 1, DEFAULT_BUDGET_MS, "for each request"),
        **{
            f"budget_ms.{group}": Setting(gateway, "ms", 1, None, f"the same, on {group}")
            for group in GROUPS
        },
        "retry_answers": Setting(
            ("l7",), "0 or 1", 0, 0.0, "whether an answer 5xx is tried again; 0: only no answer"
        ),
        "header_timeout_ms": Setting(
            ("l7",), "ms", 1, CLIENT_HEAD_S * 1000, "in which a client's whole head must come"
        ),
        "max_connections": Setting(
            ("l7",), "connections", 1, MAX_CONNECTIONS, "of clients; one more is closed at once"
        ),
        "picks_every": Setting(
            ("l7",), "requests", 0, DEFAULT_EVERY, "of so many, `squall lb why` knows one; 0: none"
        ),
        LIMIT_SETTING: Setting(
            ANY_SERVER, "requests", 1, DEFAULT_FIXED_LIMIT, "in flight, where the limiter is fixed"
        ),
        RATE_SETTING: Setting(
            gateway, "requests/s", 0, NO_QUOTA, "through all gateways together; 0: no quota"
        ),
        "cache_ttl_ms": Setting(
            ("video",), "ms", 1, VIDEO_TTL_S * 1000, "for which a video is kept in the cache"
        ),
        "cache_stale_ms": Setting(
            ("video",), "ms", 0, 0.0, "for which it is given as stale after that; 0: not at all"
        ),
        "origin_ms": Setting(
            ("video",), "ms", 0, 0.0, "by which the store is slower to give a video that isn't kept"
        ),
        WEIGHT_SETTING: Setting(
            gateway, "parts", 0.001, DEFAULT_WEIGHT, "a tenant's due, as quota_weight.TENANT"
        ),
    }


def find_setting(name: str) -> Setting:
    """Look a setting up.

    Raises:
        ConfigError: There is none of that name; the message names the nearest.
    """
    from kit.errors import ConfigError

    known = known_settings()
    if name in known and not name.endswith("."):
        return known[name]
    prefix, dot, rest = name.partition(".")
    if dot and rest and "/" not in rest and prefix + dot in known:
        return known[prefix + dot]
    if prefix + dot in known:
        raise ConfigError(f"{name!r} names no tenant: give {prefix}.TENANT, without a slash")
    raise ConfigError(f"no setting is called {name!r}; {nearest(name, known)}")


def default_target(setting: Setting) -> str:
    """Return whom a setting is for when nobody said: its one reader, else everybody."""
    return setting.readers[0] if len(setting.readers) == 1 else "*"


def check_reader(name: str, setting: Setting, on: str) -> None:
    """Refuse to set a number where nobody reads it.

    Raises:
        ConfigError: Says who does.
    """
    from kit.errors import ConfigError

    if on != "*" and on.partition(".")[0] not in setting.readers:
        raise ConfigError(f"{on} reads no {name}: set it on {_listed(setting.readers)}")


def check_value(name: str, setting: Setting, value: float) -> None:
    """Refuse a number that means nothing.

    Raises:
        ConfigError: Says which do.
    """
    from math import inf

    from kit.errors import ConfigError

    if not setting.least <= value < inf:
        raise ConfigError(
            f"{name} cannot be {value:g}: give {setting.least:g} or more ({setting.unit})"
        )


def _listed(names: "Sequence[str]") -> str:
    return " or ".join(names)
