"""One toxic as told: its kind, figures, direction and share; made of a fault rule.

Why: rules of the control plane and toxics of the HTTP API end up in the same proxies, so there is
one shape for both.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field

from faults.kinds import LINK_KINDS, Choice
from faults.rule import FaultRule
from faults.wire.piece import Way

Param = float | int | str


@dataclass(frozen=True, slots=True)
class ToxicSpec:
    """What is to go wrong on a link's connections.

    Args:
        id: Its proof is counted under it; unique within a proxy.
        kind: One of ``faults.kinds.LINK_KINDS``.
        way: Which direction it disturbs.
        share: Of the connections (or commands, or streams) how many it hits, 0..1.
        params: As ``faults.kinds`` names them, with their units.
    """

    id: str
    kind: str
    way: Way = Way.DOWNSTREAM
    share: float = 1.0
    params: Mapping[str, Param] = field(default_factory=dict)

    def number(self, name: str, default: float = 0.0) -> float:
        """Return a figure, or the default when it wasn't given."""
        return float(self.params.get(name, default))

    def seconds(self, name: str) -> float:
        """Return a figure told in milliseconds, in seconds."""
        return self.number(name) / 1000.0


def spec_of(rule: FaultRule) -> ToxicSpec:
    """Read the rule of a link; a code, which may be a name, becomes its number."""
    params = {name: value for name, value in rule.params.items() if name != "stream"}
    if "code" in params:
        params["code"] = rule.http2_code
    return ToxicSpec(
        id=rule.id,
        kind=rule.kind,
        way=Way(rule.stream),
        share=rule.share,
        params=params,
    )


def has_direction(kind: str) -> bool:
    """Whether a kind can be told a direction; the others act on both as they need."""
    return isinstance(LINK_KINDS[kind].get("stream"), Choice)
