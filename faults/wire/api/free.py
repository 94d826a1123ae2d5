"""Free proxies: made by the HTTP API, between any loopback port and any address.

Why: a program that runs beside the lab can put its own connections through the same toxics, with
the Toxiproxy client it has. They live in this process only, and are no rules.
Source: Shopify/toxiproxy: proxy.go and proxy_collection.go.
Not handled: listening for other machines; a proxy that anybody may make must not open this one.
"""

import ipaddress
import random
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

from faults.rule import FaultRule
from faults.wire.api.errors import ApiError, bad_body, toxic_exists, toxic_not_found
from faults.wire.api.toxics import ToxicInput, ToxicUpdate, read_rule, show, update_rule
from faults.wire.exchange import Told
from faults.wire.proof import WireProofs
from faults.wire.proxy import Proxy
from faults.wire.spec import spec_of
from kit.errors import LabEnvironmentError
from kit.listen import bind

Address = tuple[str, int]

LOOPBACK = "127.0.0.1"
ANY_TARGET = "link:free>proxy"  # a rule needs one; nobody reads it here


class FreeProxy:
    """One proxy of the API.

    Args:
        name: Its own.
        listen: Loopback ``host:port``; port 0 takes any that is free, "" the whole default.
        upstream: ``host:port`` that it connects to.
        rng: Draws shares, jitter and sizes.

    Raises:
        ApiError: An address can't be.
    """

    def __init__(self, name: str, listen: str, upstream: str, rng: random.Random) -> None:
        self.name = name
        self._rng = rng
        self._rules: dict[str, FaultRule] = {}
        self._proofs = WireProofs()
        self._proxy: Proxy | None = None
        self._listen = parse_listen(listen)
        self._upstream = parse_upstream(upstream)

    def __repr__(self) -> str:
        return f"<FreeProxy {self.name} {self.listen} to {self.upstream}>"

    @property
    def listen(self) -> str:
        """Where it listens, or would."""
        return f"{self._listen[0]}:{self._listen[1]}"

    @property
    def upstream(self) -> str:
        """Where it connects to."""
        return f"{self._upstream[0]}:{self._upstream[1]}"

    @property
    def enabled(self) -> bool:
        """Whether it listens."""
        return self._proxy is not None

    def is_at(self, listen: str, upstream: str) -> bool:
        """Whether it has these addresses already; port 0 is any."""
        host, port = parse_listen(listen)
        return (host, port or self._listen[1]) == self._listen and (
            parse_upstream(upstream) == self._upstream
        )

    def enable(self) -> None:
        """Listen.

        Raises:
            ApiError: The port is taken.
        """
        if self._proxy is None:
            try:
                listener = bind(*self._listen)
            except LabEnvironmentError as error:
                raise ApiError(HTTPStatus.CONFLICT, str(error)) from error
            self._proxy = Proxy(listener, self._upstream, self._rng)
            self._listen = self._proxy.listen
            self._act()

    def disable(self) -> None:
        """Listen no more, and end every connection."""
        if self._proxy is not None:
            self._proxy.close()
            self._proxy = None

    def move(self, listen: str, upstream: str) -> None:
        """Take other addresses; ends every connection when one differs."""
        new_listen, new_upstream = parse_listen(listen), parse_upstream(upstream)
        if not self.is_at(listen, self.upstream):
            self.disable()
            self._listen = new_listen
        if new_upstream != self._upstream:
            self._upstream = new_upstream
            if self._proxy is not None:
                self._proxy.redirect(new_upstream)

    def toxics(self) -> list[dict[str, Any]]:
        """Show them."""
        return [show(name, rule) for name, rule in self._rules.items()]

    def toxic(self, name: str) -> dict[str, Any]:
        """Show one.

        Raises:
            ApiError: There is none of that name.
        """
        return show(name, self._rule(name))

    def add(self, given: ToxicInput) -> dict[str, Any]:
        """Add a toxic to the end of the chain.

        Raises:
            ApiError: It can't be, or its name is taken.
        """
        name, rule = read_rule(given, ANY_TARGET)
        if name in self._rules:
            raise toxic_exists(name)
        return self._put(name, rule)

    def change(self, name: str, given: ToxicUpdate) -> dict[str, Any]:
        """Change a toxic where it stands."""
        return self._put(name, update_rule(self._rule(name), given))

    def remove(self, name: str) -> None:
        """Remove a toxic."""
        self._rule(name)
        del self._rules[name]
        self._act()

    def clear(self) -> None:
        """Remove them all."""
        self._rules.clear()
        self._act()

    def _rule(self, name: str) -> FaultRule:
        rule = self._rules.get(name)
        if rule is None:
            raise toxic_not_found(name)
        return rule

    def _put(self, name: str, rule: FaultRule) -> dict[str, Any]:
        self._rules[name] = rule
        self._act()
        return show(name, rule)

    def _act(self) -> None:
        if self._proxy is not None:
            self._proxy.set_toxics(self._told())

    def _told(self) -> Sequence[Told]:
        return [
            (spec_of(rule), self._proofs.of(rule.id, rule.kind)) for rule in self._rules.values()
        ]


def parse_listen(text: str) -> Address:
    """Read where to listen.

    Raises:
        ApiError: It is no loopback address with a port.
    """
    if not text:
        return LOOPBACK, 0
    host, port = _address("listen", text)
    host = LOOPBACK if host in ("", "localhost") else host
    try:
        is_loopback = ipaddress.ip_address(host) in ipaddress.ip_network("127.0.0.0/8")
    except ValueError:
        is_loopback = False
    if not is_loopback:
        raise bad_body(f"listen is {text!r}: give a loopback address, e.g. 127.0.0.1:26379")
    return host, port


def parse_upstream(text: str) -> Address:
    """Read where to connect to.

    Raises:
        ApiError: It is no host with a port.
    """
    host, port = _address("upstream", text)
    if not host or not port:
        raise bad_body(f"upstream is {text!r}: give host:port, e.g. 127.0.0.1:6379")
    return host, port


def _address(field: str, text: str) -> Address:
    host, colon, port = text.rpartition(":")
    if not colon or not port.isdecimal() or int(port) > 65_535:
        raise bad_body(f"{field} is {text!r}: give host:port with a port up to 65535")
    return host, int(port)
