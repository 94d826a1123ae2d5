"""Declared links as proxies of the HTTP API: ``gateway>video`` and the like.

Why: whoever knows Toxiproxy can disturb the lab's own links with it. A toxic put on one becomes a
rule in the control plane, so that ``squall fault list`` shows it, clients are sent round, and it
ends by itself; a rule written elsewhere shows up here as a toxic. The rules are the only truth.
Source: design.md, "Control plane" (link overrides).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from faults.rule import FaultRule
from faults.wire.api.errors import bad_body, forbidden, toxic_exists, toxic_not_found
from faults.wire.api.toxics import (
    DEFAULT_TTL_S,
    DOWN,
    ToxicInput,
    ToxicUpdate,
    checked,
    read_rule,
    show,
    update_rule,
)
from faults.wire.links import Link, find_link
from faults.wire.process import LinksProcess
from kit.errors import ConfigError
from kit.node import Node

ID_PREFIX = "toxiproxy"  # of rules that were made here
LIVE_TIMEOUT_S = 2.0  # as the command: with a process gone a change is still answered


class DeclaredLink:
    """One declared link, seen as a proxy.

    Args:
        link: Which.
        node: Ours.
        process: Knows where the listeners are.
    """

    def __init__(self, link: Link, node: Node, process: LinksProcess) -> None:
        self.name = str(link)
        self._link = link
        self._node = node
        self._process = process

    @property
    def listen(self) -> str:
        """Where its listeners are now; "" while nothing is in the path."""
        proxies = self._process.overrides.proxies(self._link, self._process.servers(self._link))
        return ",".join(f"{self._node.host}:{proxy.listen[1]}" for proxy in proxies)

    @property
    def upstream(self) -> str:
        """The addresses of its servers."""
        servers = self._process.servers(self._link)
        return ",".join(f"{server.address[0]}:{server.address[1]}" for server in servers)

    @property
    def enabled(self) -> bool:
        """Whether it isn't cut."""
        return not any(rule.kind == DOWN for rule in self._rules().values())

    def toxics(self) -> list[dict[str, Any]]:
        """Show the rules that act on it, a cut apart."""
        return [show(name, rule) for name, rule in self._rules().items() if rule.kind != DOWN]

    def toxic(self, name: str) -> dict[str, Any]:
        """Show one.

        Raises:
            ApiError: There is none of that name.
        """
        return show(name, self._rule(name))

    async def add(self, given: ToxicInput) -> dict[str, Any]:
        """Write a rule, and wait until it is live.

        Raises:
            ApiError: It can't be, or its name is taken.
        """
        name, rule = read_rule(given, f"link:{self.name}")
        if name in self._rules():
            raise toxic_exists(name)
        return await self._put(name, checked(msgspec.structs.replace(rule, id=self._id(name))))

    async def change(self, name: str, given: ToxicUpdate) -> dict[str, Any]:
        """Write a rule anew; its time to live begins again."""
        return await self._put(name, update_rule(self._own(name), given))

    async def remove(self, name: str) -> None:
        """Delete a rule."""
        await self._write({f"fault/{self._own(name).id}": None})

    async def clear(self) -> None:
        """Delete every rule on it, and no drill's."""
        await self._write({f"fault/{rule.id}": None for rule in self.own_rules()})

    async def enable(self, wanted: bool) -> None:
        """Cut the link, or mend it."""
        if wanted:
            cuts = [rule for rule in self.own_rules() if rule.kind == DOWN]
            await self._write({f"fault/{rule.id}": None for rule in cuts})
        elif self.enabled:
            rule = FaultRule(self._id(DOWN), DOWN, f"link:{self.name}", ttl_s=DEFAULT_TTL_S)
            await self._write({f"fault/{rule.id}": rule})

    def refuse_move(self, listen: str | None, upstream: str | None) -> None:
        """Refuse other addresses.

        Raises:
            ApiError: One was told that isn't the present one.
        """
        if (listen or self.listen) != self.listen or (upstream or self.upstream) != self.upstream:
            raise bad_body(f"{self.name} is a link of the lab: its addresses are the lab's own")

    def own_rules(self) -> list[FaultRule]:
        """Return the rules on it that are no drill's."""
        entries = self._node.state.entries
        return [rule for rule in self._rules().values() if f"fault/{rule.id}" in entries]

    def _rules(self) -> Mapping[str, FaultRule]:
        """Return the rules on it by name: made here as named here, others by their id."""
        prefix = self._id("")
        found = [rule for rule in self._node.state.faults if self._is_mine(rule)]
        return {rule.id.removeprefix(prefix): rule for rule in found}

    def _is_mine(self, rule: FaultRule) -> bool:
        if rule.link is None:
            return False
        try:
            return find_link(rule.link, self._process.overrides.links) == self._link
        except ConfigError:
            return False

    def _rule(self, name: str) -> FaultRule:
        rule = self._rules().get(name)
        if rule is None or rule.kind == DOWN:
            raise toxic_not_found(name)
        return rule

    def _own(self, name: str) -> FaultRule:
        rule = self._rule(name)
        if rule not in self.own_rules():
            raise forbidden(f"toxic {name!r} belongs to a running drill, which puts it back")
        return rule

    def _id(self, name: str) -> str:
        return f"{ID_PREFIX}.{self._link.client}-{self._link.server}.{name}"

    async def _put(self, name: str, rule: FaultRule) -> dict[str, Any]:
        await self._write({f"fault/{rule.id}": rule})
        return show(name, rule)

    async def _write(self, changes: Mapping[str, FaultRule | None]) -> None:
        """Write, and wait until both ends of the link act on it."""
        if changes:
            control = self._node.control
            version = await control.write(dict(changes))
            targets: Sequence[str] = (self._node.instance, self._link.client)
            await control.wait_live(version, targets=targets, timeout_s=LIVE_TIMEOUT_S)
