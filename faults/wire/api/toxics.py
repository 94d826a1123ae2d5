"""A toxic as Toxiproxy's JSON writes it, and as a rule has it.

Why: the same thing has two spellings: ``{"type": "latency", "attributes": {"latency": 500}}`` on
the wire, ``latency`` with ``ms=500`` in the control plane. Both are checked by the rule's table, so
nothing gets in by one door that the other refuses.
Source: Shopify/toxiproxy: README.md (toxic fields), toxic_collection.go (defaults, names). Beyond
it: the types that know a protocol, and ``ttl_s`` on a declared link.
"""

from collections.abc import Mapping
from typing import Any

import msgspec

from faults.kinds import LINK_KINDS
from faults.rule import FaultRule, check_rule, nearest
from faults.wire.api.errors import bad_body, invalid_stream, invalid_type
from faults.wire.piece import Way
from faults.wire.spec import has_direction
from kit.errors import ConfigError

# Toxiproxy's last until they are removed; a rule ends by itself, late enough for any test.
DEFAULT_TTL_S = 3_600.0
DOWN = "down"  # a proxy that isn't enabled, and no toxic

# Toxiproxy's attribute to our param; the units are the same.
ATTRIBUTES: Mapping[str, Mapping[str, str]] = {
    "latency": {"latency": "ms", "jitter": "jitter_ms"},
    "bandwidth": {"rate": "kbps"},
    "slow_close": {"delay": "ms"},
    "timeout": {"timeout": "ms"},
    "reset_peer": {"timeout": "ms"},
    "slicer": {"average_size": "bytes", "size_variation": "variation", "delay": "us"},
    "limit_data": {"bytes": "bytes"},
    "loading": {},
    "reset_stream": {"code": "code"},
    "slow_headers": {"ms": "ms"},
}

Number = int | float


class ToxicInput(msgspec.Struct):
    """The body of a request that makes a toxic; "" for a name means ``<type>_<stream>``."""

    type: str = ""
    name: str = ""
    stream: str = Way.DOWNSTREAM.value
    toxicity: float = 1.0
    attributes: dict[str, Number] = {}
    ttl_s: float = DEFAULT_TTL_S


class ToxicUpdate(msgspec.Struct):
    """The body of a request that changes one; what is left out stays."""

    toxicity: float | None = None
    attributes: dict[str, Number] = {}
    ttl_s: float | None = None


def read_rule(given: ToxicInput, target: str) -> tuple[str, FaultRule]:
    """Check a new toxic; return its name and its rule, whose id is the name yet.

    Args:
        given: As it came.
        target: Of the rule.

    Raises:
        ApiError: Unknown type or stream, or a figure that can't be.
    """
    if given.stream not in [way.value for way in Way]:
        raise invalid_stream(given.stream)
    if given.type not in ATTRIBUTES:
        raise invalid_type(given.type, nearest(given.type, tuple(ATTRIBUTES)))
    name = given.name or f"{given.type}_{given.stream}"
    params: dict[str, Any] = _params(given.type, given.attributes)
    if has_direction(given.type):
        params["stream"] = given.stream
    return name, checked(
        FaultRule(name, given.type, target, params, share=given.toxicity, ttl_s=given.ttl_s)
    )


def update_rule(rule: FaultRule, given: ToxicUpdate) -> FaultRule:
    """Return a rule with new figures.

    Raises:
        ApiError: A figure can't be.
    """
    return checked(
        msgspec.structs.replace(
            rule,
            params={**rule.params, **_params(rule.kind, given.attributes)},
            share=rule.share if given.toxicity is None else given.toxicity,
            ttl_s=rule.ttl_s if given.ttl_s is None else given.ttl_s,
        )
    )


def show(name: str, rule: FaultRule) -> dict[str, Any]:
    """Write a toxic as JSON; attributes that weren't given are 0, as there, and codes numbers."""
    return {
        "attributes": {
            attribute: rule.http2_code if param == "code" else _plain(rule.number(param))
            for attribute, param in ATTRIBUTES[rule.kind].items()
        },
        "name": name,
        "type": rule.kind,
        "stream": rule.stream,
        "toxicity": _plain(rule.share),
    }


def checked(rule: FaultRule) -> FaultRule:
    """Return a rule that may be.

    Raises:
        ApiError: With what the rule's own check says.
    """
    try:
        check_rule(rule)
    except ConfigError as error:
        raise bad_body(str(error)) from error
    return rule


def _params(kind: str, attributes: Mapping[str, Number]) -> dict[str, Number]:
    known = ATTRIBUTES[kind]
    for attribute in attributes:
        if attribute not in known:
            hint = nearest(attribute, tuple(known)) if known else "it takes none"
            raise bad_body(f"toxic {kind} has no attribute {attribute!r}: {hint}")
    return {known[attribute]: value for attribute, value in attributes.items()}


def _plain(number: float) -> Number:
    return int(number) if number == int(number) else number


assert set(ATTRIBUTES) == set(LINK_KINDS) - {DOWN}
