"""Forwarded headers: tell a backend who asked, by what scheme, through whom.

Why: a backend sees only this proxy's address. What a request already says about who sent it is
worth as much as the peer that wrote it: from one that isn't trusted it is replaced, or anybody
could pretend to be anybody.
Source: RFC 7239 (``Forwarded``: section 4, nodes: 6, converting ``X-Forwarded-For``: 7.4).
Not handled: obfuscated names for this proxy; a hop count instead of trusted networks.
"""

import ipaddress
from collections.abc import Iterator, Mapping
from typing import Literal

from kit.source import DataPath
from kit.source_types import Part
from lb.l7.headers import Kind

Write = Literal["x-forwarded", "forwarded", "both"]

EVERYONE = ("0.0.0.0/0", "::/0")  # this proxy stands behind lb.l4, which passes on what it gets

_LINES = (
    (Kind.FORWARDED_HOST, b"x-forwarded-host: "),
    (Kind.FORWARDED_PORT, b"x-forwarded-port: "),
    (Kind.REAL_IP, b"x-real-ip: "),
)

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class ForwardedOptions(Part, frozen=True):
    """Section ``forwarded``.

    Args:
        trust: Networks whose forwarded headers are believed, and added to; those of any other peer
            are replaced.
        write: ``x-forwarded``, RFC 7239's ``forwarded``, or ``both``.
    """

    trust: tuple[str, ...] = EVERYONE
    write: Write = "x-forwarded"


def forwarded_mistakes(options: ForwardedOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name each network that is none."""
    return network_mistakes(options.trust, (*at, "trust"))


def network_mistakes(networks: tuple[str, ...], at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name each network that is none: an address, or an address, a slash and a length."""
    for index, text in enumerate(networks):
        try:
            ipaddress.ip_network(text)
        except ValueError as error:
            yield (*at, index), f"{error}; give a network such as 10.0.0.0/8"


class Networks:
    """A set of networks that an address may be in; O(networks)."""

    __slots__ = ("_networks",)

    def __init__(self, networks: tuple[str, ...]) -> None:
        self._networks: tuple[Network, ...] = tuple(map(ipaddress.ip_network, networks))

    def has(self, host: str) -> bool:
        """Whether one holds this address; what is no address is in none."""
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self._networks)


class Hop:
    """How requests of one connection are forwarded.

    Args:
        is_trusted: The peer's own forwarded headers are believed.
        is_tls: The peer speaks TLS to us.
        write: Which headers are written.
    """

    __slots__ = ("_proto", "_write", "is_trusted")

    def __init__(
        self, *, is_trusted: bool = True, is_tls: bool = False, write: Write = "x-forwarded"
    ) -> None:
        self.is_trusted = is_trusted
        self._proto = b"https" if is_tls else b"http"
        self._write = write

    def render(self, given: Mapping[Kind, bytes], peer: bytes) -> bytes:
        """Return header lines.

        Args:
            given: What the request brought.
            peer: Who sent it: an IP address as text.
        """
        if not self.is_trusted:
            given = {Kind.HOST: given[Kind.HOST]} if Kind.HOST in given else {}
        if self._write == "x-forwarded":
            return self._x_forwarded(given, peer) + _as_given(given)
        lines = b"forwarded: %b\r\n" % self._forwarded(given, peer)
        if self._write == "both":
            lines += self._x_forwarded(given, peer)
        return lines

    def _x_forwarded(self, given: Mapping[Kind, bytes], peer: bytes) -> bytes:
        before = given.get(Kind.FORWARDED_FOR)
        lines = b"x-forwarded-for: %b\r\nx-forwarded-proto: %b\r\n" % (
            before + b", " + peer if before else peer,
            given.get(Kind.FORWARDED_PROTO, self._proto),
        )
        for kind, name in _LINES:
            if kind in given:
                lines += name + given[kind] + b"\r\n"
        return lines

    def _forwarded(self, given: Mapping[Kind, bytes], peer: bytes) -> bytes:
        element = b"for=%b;proto=%b" % (_node(peer), self._proto)
        host = given.get(Kind.HOST)
        if host:
            element += b";host=" + _quoted(host)
        before = given.get(Kind.FORWARDED)
        if before is None and Kind.FORWARDED_FOR in given:
            hops = given[Kind.FORWARDED_FOR].split(b",")
            before = b", ".join(b"for=" + _node(hop.strip()) for hop in hops)
        return before + b", " + element if before else element


class Forwarding:
    """Decide once for each connection how its requests are forwarded.

    Args:
        options: The file's section.
    """

    def __init__(self, options: ForwardedOptions | None = None) -> None:
        options = options or ForwardedOptions()
        self._write: Write = options.write
        self._trusted = None if options.trust == EVERYONE else Networks(options.trust)

    def hop(self, peer: str, *, is_tls: bool) -> Hop:
        """Return what holds for a connection from this address."""
        is_trusted = self._trusted is None or self._trusted.has(peer)
        return Hop(is_trusted=is_trusted, is_tls=is_tls, write=self._write)


PLAIN_HOP = Hop()
"""Everyone is trusted, and nothing is encrypted."""


def _as_given(given: Mapping[Kind, bytes]) -> bytes:
    before = given.get(Kind.FORWARDED)
    return b"" if before is None else b"forwarded: %b\r\n" % before


def _node(text: bytes) -> bytes:
    """Return a node identifier (RFC 7239 6): IPv6 in brackets and quotes, else ``unknown``."""
    try:
        address = ipaddress.ip_address(text.decode("latin-1"))
    except ValueError:
        return b"unknown"
    return text if address.version == 4 else b'"[%b]"' % text


def _quoted(host: bytes) -> bytes:
    return b'"' + host.replace(b"\\", b"\\\\").replace(b'"', b'\\"') + b'"'
