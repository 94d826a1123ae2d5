"""The lab's links: who calls whom, and which addresses a rule's target means.

Why: a fault of a link that doesn't exist would never bite, so the links are declared, in one place
(``SQUALL_LINKS`` of the compose service ``links``), and everybody checks against them. What a
server's addresses are is looked up when a rule is to act: services in the registry, the nodes of
store and cache in the settings.
Source: design.md, "Control plane" (link overrides); the brief form ``client>server`` is ours.
"""

import re
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from faults.rule import LinkTarget, nearest
from kit.errors import ConfigError
from kit.members import Member

LINKS_VARIABLE = "SQUALL_LINKS"

_LINK = re.compile(r"([a-z][a-z0-9-]*)>([a-z][a-z0-9-]*)")
_PART = re.compile(r"(?P<whole>[a-z][a-z0-9-]*?)[.-](?P<number>[1-9][0-9]*)")

Address = tuple[str, int]


class Link(NamedTuple):
    """A declared link."""

    client: str
    server: str

    def __str__(self) -> str:
        return f"{self.client}>{self.server}"


class Server(NamedTuple):
    """One address at the far end of a link.

    Args:
        name: ``video.2`` or ``store-1``.
        address: Host and port, as its clients know it.
    """

    name: str
    address: Address


def parse_links(text: str) -> tuple[Link, ...]:
    """Read declared links: ``l4>l7 gateway>video video>store``.

    Raises:
        ConfigError: Names the word that is no link.
    """
    links = []
    for word in text.split():
        match = _LINK.fullmatch(word)
        if match is None:
            raise ConfigError(
                f"{LINKS_VARIABLE} has {word!r}: give CLIENT>SERVER, e.g. gateway>video"
            )
        links.append(Link(match[1], match[2]))
    return tuple(dict.fromkeys(links))


def find_link(target: LinkTarget, links: Sequence[Link]) -> Link:
    """Return the declared link that a target means, or a part of.

    Raises:
        ConfigError: No such link; names the nearest.
    """
    for link in links:
        if link.client == target.client and link.server in (target.server, _whole(target.server)):
            return link
    text = f"{target.client}>{target.server}"
    raise ConfigError(
        f"no link {text!r} is declared: {nearest(text, tuple(str(link) for link in links))}"
    )


def servers_of(
    target: LinkTarget, link: Link, members: Iterable[Member], nodes: Iterable[Server]
) -> list[Server]:
    """Return the addresses that a target means now.

    Args:
        target: Of a rule.
        link: What ``find_link`` found for it.
        members: Everybody the registry knows; drained ones too, since their clients aren't gone.
        nodes: Of store and cache.
    """
    known = [
        Server(member.instance, (member.host, member.port))
        for member in members
        if member.service == link.server and member.port
    ]
    known += [node for node in nodes if _whole(node.name) == link.server]
    if target.server == link.server:
        return known
    return [server for server in known if server.name == target.server]


def numbered(name: str, addresses: Iterable[Address]) -> list[Server]:
    """Name the nodes of a tier in their order: ``store-1``, ``store-2``."""
    return [Server(f"{name}-{number}", each) for number, each in enumerate(addresses, start=1)]


def _whole(server: str) -> str:
    """What a replica or node is a part of: ``video`` for ``video.1``, ``store`` for ``store-1``."""
    match = _PART.fullmatch(server)
    return match["whole"] if match else server
