"""What ``squall fault add`` was asked for, before it is known at which depth it lies."""

import secrets
from collections.abc import Mapping
from dataclasses import dataclass

from chaos.drivers.host_fault import KINDS as HOST_KINDS
from chaos.drivers.host_fault import HostFault, check_host_fault
from faults.kinds import KINDS as RULE_KINDS
from faults.rule import LINK_PREFIX, FaultRule, parse_rule
from kit.errors import ConfigError
from squall.output import nearest

CUT = "cut"  # another word for `down`, as chaos tools say it


@dataclass(frozen=True, slots=True)
class Asked:
    """A command line, taken apart.

    Args:
        kind: As written.
        target: ``--on``.
        params: Options that were given and belong to some kinds only.
        share: ``--share``.
        route: ``--route``.
        tenant: ``--tenant``.
        ttl_s: ``--ttl``.
    """

    kind: str
    target: str
    params: Mapping[str, float | str]
    share: float
    route: str
    tenant: str
    ttl_s: float

    @property
    def is_of_host(self) -> bool:
        """Whether it is done to instances, by a driver."""
        return self.kind in HOST_KINDS

    def check_kind(self) -> None:
        """Refuse a kind that no depth has.

        Raises:
            ConfigError: Names the nearest of all depths.
        """
        known = {*RULE_KINDS, *HOST_KINDS, CUT}
        if self.kind not in known:
            raise ConfigError(f"fault kind {self.kind!r} is unknown: {nearest(self.kind, known)}")

    def rule(self) -> FaultRule:
        """Return it as a rule, checked.

        Raises:
            ConfigError: As `faults.rule.parse_rule`.
        """
        kind = "down" if self.kind == CUT else self.kind
        if self.kind == CUT and not self.target.startswith(LINK_PREFIX):
            raise ConfigError(
                f"cut is about links, and its target is {self.target!r}: give a link such as "
                "link:gateway>video, or kill the instance"
            )
        return parse_rule(
            FaultRule(
                id=_new_id(kind),
                kind=kind,
                target=self.target,
                params=dict(self.params),
                route=self.route,
                tenant=self.tenant,
                share=self.share,
                ttl_s=self.ttl_s,
            )
        )

    def host_fault(self) -> HostFault:
        """Return it as a fault of a host, checked.

        Raises:
            ConfigError: As `check_host_fault`, or it has options that only rules have.
        """
        for option, is_given in (
            ("--share", self.share != 1.0),
            ("--route", bool(self.route)),
            ("--tenant", bool(self.tenant)),
        ):
            if is_given:
                raise ConfigError(f"{self.kind} takes no {option}: it is done to whole instances")
        words = [name for name, value in self.params.items() if isinstance(value, str)]
        if words:
            raise ConfigError(f"{self.kind} takes no --{words[0]}: it is done to whole instances")
        numbers = {name: float(value) for name, value in self.params.items()}
        fault = HostFault(_new_id(self.kind), self.kind, self.target, self.ttl_s, numbers)
        check_host_fault(fault)
        return fault


def _new_id(kind: str) -> str:
    return f"{kind}-{secrets.token_hex(4)}"
