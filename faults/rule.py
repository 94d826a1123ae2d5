"""A fault rule: what goes wrong, where, for whose requests, how long.

Why: a fault is a value. It lies in the control plane, each process picks those meant for it, and it
ends by itself, so that nobody has to remember to undo it. One shape serves services and links; the
target decides which of the two a rule is about, and so which kinds and params it may have.
Source: Toxiproxy's toxics (one kind, its attributes, a share of connections) and the fault flags of
the OpenTelemetry demo; the time to live is ours.
Not handled: faults of hosts; they belong to drivers and are no rules.
"""

import re
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, NamedTuple

import msgspec

from faults.kinds import (
    DEFAULT_ERROR_CODE,
    DEFAULT_RESET_CODE,
    DEFAULT_STREAM,
    HTTP2_CODES,
    KINDS,
    LINK_KINDS,
    SERVICE_KINDS,
    Choice,
    Figure,
    Http2CodeName,
    Spec,
)
from kit.errors import ConfigError
from resilience.errors import Code

__all__ = ["KINDS", "FaultRule", "LinkTarget", "Param", "check_rule", "nearest", "parse_rule"]

DEFAULT_TTL_S = 60.0  # what `squall fault add` takes when nothing is said
MAX_TTL_S = 86_400.0  # a day: longer is a forgotten fault, not an experiment
LINK_PREFIX = "link:"

Param = float | int | str

_SERVICE = re.compile(r"\*|[a-z][a-z0-9-]*(\.[1-9][0-9]*)?")
_LINK = re.compile(r"link:([a-z][a-z0-9-]*)>([a-z][a-z0-9-]*(?:\.[1-9][0-9]*)?)")
_ID = re.compile(r"[A-Za-z0-9._-]{1,64}")


class LinkTarget(NamedTuple):
    """A link: whose connections, and to whom.

    Args:
        client: The service that connects, all its replicas.
        server: A service (``video``), a replica (``video.1``), or a node (``store-1``).
    """

    client: str
    server: str


class FaultRule(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One fault.

    Args:
        id: 1 to 64 of ``[A-Za-z0-9._-]``; proof is counted under it.
        kind: One of ``KINDS``; ``faults.kinds`` says which fit a service and which a link.
        target: ``*``, a service (``video``), one replica (``video.2``), or a link
            (``link:gateway>video``, ``link:gateway>video.1``, ``link:video>store-1``).
        params: By kind, as ``faults.kinds`` lists them; docs/faults.md says what they mean.
        route: "" for all; ``GET /v1/videos/{id}``, ``/v1/videos/{id}``, a gRPC method or its
            last part. Services only.
        tenant: "" for all. Services only.
        share: Of the requests that match, how many it hits, 0..1; on a link of its connections
            (``loading``: of the commands, ``reset_stream``: of the streams).
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
    def link(self) -> LinkTarget | None:
        """The link this is about; None when it is about services."""
        match = _LINK.fullmatch(self.target)
        return LinkTarget(match[1], match[2]) if match else None

    @property
    def stream(self) -> str:
        """Which direction of a link it disturbs: ``upstream`` or ``downstream``."""
        return str(self.params.get("stream", DEFAULT_STREAM))

    @property
    def code(self) -> Code:
        """What an ``error`` fault answers with."""
        return _code(self.params.get("code", DEFAULT_ERROR_CODE.name))

    @property
    def http2_code(self) -> int:
        """What a ``reset_stream`` fault resets with, as its number."""
        return _http2_code(self.params.get("code", DEFAULT_RESET_CODE))


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
    if rule.kind not in KINDS:
        raise ConfigError(f"fault kind {rule.kind!r} is unknown: {nearest(rule.kind, KINDS)}")
    _require(0.0 < rule.share <= 1.0, "share", rule.share, "give more than 0 and at most 1")
    _require(0.0 < rule.ttl_s <= MAX_TTL_S, "ttl_s", rule.ttl_s, f"give up to {MAX_TTL_S:.0f}")
    if rule.target.startswith(LINK_PREFIX):
        _check_link(rule)
    else:
        _check_service(rule)


def nearest(name: str, known: tuple[str, ...]) -> str:
    """Say what was probably meant, e.g. ``did you mean latency?``."""
    close = get_close_matches(name, known, n=3, cutoff=0.4) or sorted(known)
    return f"did you mean {', '.join(close)}?"


def _check_service(rule: FaultRule) -> None:
    _require(
        bool(_SERVICE.fullmatch(rule.target)),
        "target",
        rule.target,
        "give *, video, video.2 or a link such as link:gateway>video",
    )
    if rule.kind not in SERVICE_KINDS:
        raise ConfigError(
            f"fault {rule.kind} is one of links, and its target is {rule.target!r}: "
            "give a link such as link:gateway>video"
        )
    _check_params(rule, SERVICE_KINDS)


def _check_link(rule: FaultRule) -> None:
    _require(
        rule.link is not None,
        "target",
        rule.target,
        "give link:CLIENT>SERVER, e.g. link:gateway>video, link:gateway>video.1 or "
        "link:video>store-1",
    )
    if rule.kind not in LINK_KINDS:
        raise ConfigError(
            f"fault {rule.kind} is one of services, and its target is the link {rule.target!r}: "
            f"give *, video or video.2, or one of {', '.join(LINK_KINDS)}"
        )
    for field, value in (("route", rule.route), ("tenant", rule.tenant)):
        _require(
            not value, field, value, "leave it out: a link carries bytes and knows no requests"
        )
    _check_params(rule, LINK_KINDS)


def _check_params(rule: FaultRule, kinds: Mapping[str, Mapping[str, Spec]]) -> None:
    specs = kinds[rule.kind]
    for name, value in rule.params.items():
        if name not in specs:
            hint = nearest(name, tuple(specs)) if specs else "it takes none"
            raise ConfigError(f"fault {rule.kind} has no param {name!r}: {hint}")
        _check_value(name, value, specs[name])
    for name, spec in specs.items():
        if isinstance(spec, Figure) and spec.needed:
            _require(rule.number(name) > 0.0, name, rule.number(name), spec.needed)


def _check_value(name: str, value: Param, spec: Spec) -> None:
    if isinstance(spec, Figure):
        is_number = isinstance(value, int | float) and not isinstance(value, bool)
        fits = is_number and spec.least <= float(value) <= spec.most
        _require(fits, name, value, f"give {spec.unit} from {spec.least:g} to {spec.most:.0f}")
    elif isinstance(spec, Choice):
        _require(value in spec.words, name, value, f"give {' or '.join(spec.words)}")
    elif isinstance(spec, Http2CodeName):
        _http2_code(value)
    else:
        _code(value)


def _code(value: Param) -> Code:
    text = str(value).upper()
    if text in Code.__members__:
        return Code[text]
    if text.isdecimal():
        for code in Code:
            if code.http_status == int(text):
                return code
    raise ConfigError(f"fault code {value!r} is unknown: {nearest(text, tuple(Code.__members__))}")


def _http2_code(value: Param) -> int:
    text = f"{value:g}" if isinstance(value, float) else str(value).upper()
    numbers = {str(number): number for number in HTTP2_CODES.values()}
    code = HTTP2_CODES.get(text, numbers.get(text))
    if code is None:
        hint = f"{nearest(text, tuple(HTTP2_CODES))} Or give 0 to {max(HTTP2_CODES.values())}"
        raise ConfigError(f"fault code {value!r} is none of HTTP/2: {hint}")
    return code


def _require(holds: bool, field: str, value: object, advice: str) -> None:
    if not holds:
        raise ConfigError(f"fault {field} is {value!r}: {advice}")
