"""A fault rule: what goes wrong, where, for whose requests, how long.

Why: a fault is a value. It lies in the control plane, each process picks those meant for it, and it
ends by itself, so that nobody has to remember to undo it.
Source: Toxiproxy's toxics (one kind, its attributes, a share of connections) and the fault flags of
the OpenTelemetry demo; the time to live is ours.
Not handled: faults of wire and host; they belong to links and drivers.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any

import msgspec

from kit.errors import ConfigError
from resilience.errors import Code

DEFAULT_TTL_S = 60.0  # what `squall fault add` takes when nothing is said
MAX_TTL_S = 86_400.0  # a day: longer is a forgotten fault, not an experiment
MAX_DELAY_MS = 60_000.0
DEFAULT_ERROR_CODE = Code.UNAVAILABLE

PARAMS: Mapping[str, frozenset[str]] = {
    "latency": frozenset({"ms", "jitter_ms"}),
    "error": frozenset({"code"}),
    "abort": frozenset(),
    "block": frozenset({"ms", "every_ms"}),
}
KINDS = tuple(PARAMS)

Param = float | int | str

_TARGET = re.compile(r"\*|[a-z][a-z0-9-]*(\.[1-9][0-9]*)?")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class FaultRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault.

    Args:
        id: 1 to 64 of ``[A-Za-z0-9._-]``; proof is counted under it.
        kind: One of ``KINDS``.
        target: ``*``, a service (``video``) or one replica (``video.2``).
        params: By kind: latency ``ms`` and ``jitter_ms`` (uniform, both ways); error ``code``, a
            canonical name or an HTTP status; block ``ms`` and ``every_ms`` (at most one block in
            that time; 0 blocks at every request).
        route: "" for all; ``GET /v1/videos/{id}``, ``/v1/videos/{id}``, a gRPC method or its
            last part.
        tenant: "" for all.
        share: Of the requests that match, how many it hits, 0..1.
        ttl_s: Time to live in seconds.
        created_ms: When it was written, milliseconds of control's clock; 0 before.
    """

    id: str
    kind: str
    target: str
    params: dict[str, Param] = {}
    route: str = ""
    tenant: str = ""
    share: float = 1.0
    ttl_s: float = DEFAULT_TTL_S
    created_ms: int = 0

    def number(self, name: str, default: float = 0.0) -> float:
        """Return a numeric param, or the default when it isn't given."""
        return float(self.params.get(name, default))

    @property
    def code(self) -> Code:
        """What an ``error`` fault answers with."""
        return _code(self.params.get("code", DEFAULT_ERROR_CODE.name))


def parse_rule(value: Mapping[str, Any] | FaultRule) -> FaultRule:
    """Make a rule of decoded JSON and check it.

    Raises:
        ConfigError: Names the field, its value and, for a kind or param, the nearest ones.
    """
    try:
        rule = value if isinstance(value, FaultRule) else msgspec.convert(value, FaultRule)
    except msgspec.ValidationError as error:
        raise ConfigError(f"fault rule: {error}") from error
    check_rule(rule)
    return rule


def check_rule(rule: FaultRule) -> None:
    """Check a rule's values.

    Raises:
        ConfigError: Names the field, its value and what is allowed.
    """
    _require(bool(_ID.fullmatch(rule.id)), "id", rule.id, "give 1 to 64 of letters, digits, . _ -")
    if rule.kind not in PARAMS:
        raise ConfigError(f"fault kind {rule.kind!r} is unknown: {nearest(rule.kind, KINDS)}")
    _require(
        bool(_TARGET.fullmatch(rule.target)), "target", rule.target, "give *, video or video.2"
    )
    _require(0.0 < rule.share <= 1.0, "share", rule.share, "give more than 0 and at most 1")
    _require(0.0 < rule.ttl_s <= MAX_TTL_S, "ttl_s", rule.ttl_s, f"give up to {MAX_TTL_S:.0f}")
    _check_params(rule)


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Say what was probably meant, e.g. ``did you mean latency?``."""
    close = get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
    return f"did you mean {', '.join(close)}?"


def _check_params(rule: FaultRule) -> None:
    allowed = PARAMS[rule.kind]
    for name, value in rule.params.items():
        if name not in allowed:
            hint = nearest(name, tuple(allowed)) if allowed else "it takes none"
            raise ConfigError(f"fault {rule.kind} has no param {name!r}: {hint}")
        if name == "code":
            _code(value)
        else:
            number = isinstance(value, int | float) and not isinstance(value, bool)
            fits = number and 0.0 <= float(value) <= MAX_DELAY_MS
            _require(fits, name, value, f"give milliseconds from 0 to {MAX_DELAY_MS:.0f}")
    if rule.kind in ("latency", "block"):
        _require(rule.number("ms") > 0.0, "ms", rule.number("ms"), "say how long, in milliseconds")


def _code(value: Param) -> Code:
    text = str(value).upper()
    if text in Code.__members__:
        return Code[text]
    if text.isdigit():
        for code in Code:
            if code.http_status == int(text):
                return code
    raise ConfigError(f"fault code {value!r} is unknown: {nearest(text, tuple(Code.__members__))}")


def _require(holds: bool, field: str, value: object, advice: str) -> None:
    if not holds:
        raise ConfigError(f"fault {field} is {value!r}: {advice}")
