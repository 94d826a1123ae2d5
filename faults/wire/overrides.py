"""Put proxies into the paths that rules disturb, and take them out again.

Why: a link has no proxy in it until something is to go wrong there, so the undisturbed lab pays
nothing. A rule with a link for its target opens one listener per client service and server address;
the lease tells clients to dial it (``Member.via``); when the last rule of a path ends they are told
first, and connections that are still on it are carried unharmed for a while.

Reading rules, opening listeners and naming them in the lease happen in one turn of the loop. So the
lease that says "I act on this version" is also the first that names the listeners.
Source: design.md, "Control plane" (link overrides).
"""

import asyncio
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

from faults.rule import FaultRule
from faults.wire.exchange import Told
from faults.wire.links import Link, Server, find_link, servers_of
from faults.wire.ports import PortRange
from faults.wire.proof import WireProofs
from faults.wire.proxy import Proxy
from faults.wire.spec import spec_of
from kit.errors import LabError
from kit.members import Member

CARRY_ON_S = 5.0  # after its rules have ended: two leases, within which every client has been told
NO_SERVER = "nobody of that name is known: is it running?"

Address = tuple[str, int]


class Path(NamedTuple):
    """What one proxy stands in: a client service's way to one address."""

    client: str
    server: Address

    def __str__(self) -> str:
        return f"{self.client}>{self.server[0]}:{self.server[1]}"


class Overrides:
    """Keep the proxies of the declared links.

    Args:
        links: Declared.
        host: Our address, as clients reach it; asked when a listener opens.
        ports: Where listeners open.
        proofs: Where toxics count.
        on_via: Called with the ways round whenever they change (``Node.set_via``).
        rng: Draws shares, jitter and sizes.
    """

    def __init__(
        self,
        links: Sequence[Link],
        host: Callable[[], str],
        ports: PortRange,
        proofs: WireProofs,
        on_via: Callable[[dict[str, str]], None],
        rng: random.Random,
    ) -> None:
        self.links = links
        self.proofs = proofs
        self._host = host
        self._ports = ports
        self._on_via = on_via
        self._rng = rng
        self._proxies: dict[Path, Proxy] = {}
        self._leaving: dict[Path, asyncio.TimerHandle] = {}
        self._via: dict[str, str] = {}
        self._errors: dict[str, str] = {}  # why a rule can't act now

    def __repr__(self) -> str:
        return f"<Overrides of {len(self.links)} links, {len(self._via)} ways round>"

    def apply(
        self,
        rules: Iterable[FaultRule],
        members: Sequence[Member],
        nodes: Sequence[Server],
        aliases: Mapping[Address, Address],
    ) -> None:
        """Make these the rules that act.

        Args:
            rules: All that live now; those of services are left out.
            members: Everybody the registry knows.
            nodes: Of store and cache, as the settings name them.
            aliases: What such a node is called beside that: name to number.
        """
        rules = [rule for rule in rules if rule.link is not None]
        self.proofs.keep({rule.id for rule in rules})
        self._errors.clear()
        wanted: dict[Path, list[Told]] = {}
        for rule in rules:
            for path in self._paths(rule, members, nodes):
                told = (spec_of(rule), self.proofs.of(rule.id, rule.kind))
                wanted.setdefault(path, []).append(told)
        opened = {path: told for path, told in wanted.items() if self._open(path, told)}
        self._tell(opened, aliases)
        for path in self._proxies.keys() - opened.keys() - self._leaving.keys():
            self._begin_to_leave(path)

    def proxies(self, link: Link, servers: Iterable[Server]) -> list[Proxy]:
        """Return the proxies that stand in a link now."""
        paths = (Path(link.client, server.address) for server in servers)
        return [self._proxies[path] for path in paths if str(path) in self._via]

    def report(self) -> dict[str, dict[str, Any]]:
        """Return fault id to what it has done, and why it can't act where it can't."""
        return {
            fault: figures | ({"error": self._errors[fault]} if fault in self._errors else {})
            for fault, figures in self.proofs.as_dict().items()
        }

    def leave(self) -> None:
        """Name no way round any more, and disturb nobody: the process is about to end."""
        self._tell({}, {})
        for path in self._proxies.keys() - self._leaving.keys():
            self._begin_to_leave(path)

    @property
    def connections(self) -> int:
        """Clients' connections that are carried now."""
        return sum(proxy.connections for proxy in self._proxies.values())

    def close(self) -> None:
        """End everything."""
        for timer in self._leaving.values():
            timer.cancel()
        self._leaving.clear()
        for proxy in self._proxies.values():
            proxy.cut()
        self._proxies.clear()

    def _paths(
        self, rule: FaultRule, members: Sequence[Member], nodes: Sequence[Server]
    ) -> list[Path]:
        """Say which paths a rule disturbs; what speaks against it stands in its proof."""
        assert rule.link is not None
        self.proofs.of(rule.id, rule.kind)  # answers for itself also when it can't act
        try:
            link = find_link(rule.link, self.links)
        except LabError as error:
            self._errors[rule.id] = str(error)
            return []
        servers = servers_of(rule.link, link, members, nodes)
        if not servers:
            self._errors[rule.id] = f"{rule.link.server}: {NO_SERVER}"
        return [Path(link.client, server.address) for server in servers]

    def _open(self, path: Path, toxics: Sequence[Told]) -> bool:
        """Have a proxy with these toxics on a path; False when no listener can be had."""
        timer = self._leaving.pop(path, None)
        if timer is not None:
            timer.cancel()
        try:
            proxy = self._proxies.get(path) or Proxy(self._ports.listen(), path.server, self._rng)
        except LabError as error:
            self._errors |= {spec.id: str(error) for spec, _ in toxics}
            return False
        self._proxies[path] = proxy
        proxy.set_toxics(toxics)
        return True

    def _tell(self, paths: Iterable[Path], aliases: Mapping[Address, Address]) -> None:
        via = {}
        for path in paths:
            listen = f"{self._host()}:{self._proxies[path].listen[1]}"
            via[str(path)] = listen
            if path.server in aliases:
                via[str(path._replace(server=aliases[path.server]))] = listen
        if via != self._via:
            self._via = via
            self._on_via(via)

    def _begin_to_leave(self, path: Path) -> None:
        """Carry on without toxics until every client has gone back to the direct way."""
        self._proxies[path].set_toxics(())
        loop = asyncio.get_running_loop()
        self._leaving[path] = loop.call_later(CARRY_ON_S, self._close, path)

    def _close(self, path: Path) -> None:
        del self._leaving[path]
        self._proxies.pop(path).close()
