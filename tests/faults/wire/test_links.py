"""Declared links, and what a rule's target means among them."""

import pytest

from faults.rule import LinkTarget
from faults.wire.links import Link, Server, find_link, numbered, parse_links, servers_of
from kit.errors import ConfigError
from kit.members import Member

pytestmark = pytest.mark.unit

LINKS = parse_links("l4>l7 gateway>video\n video>store video>store video>cache")
MEMBERS = [
    Member("video.1", "video", 1, "10.0.0.1", 9090, ready=True),
    Member("video.2", "video", 2, "10.0.0.2", 9090),
    Member("video.3", "video", 3, "10.0.0.3", 0),
    Member("account.1", "account", 1, "10.0.0.4", 9090, ready=True),
]
NODES = numbered("store", [("store-1", 6379), ("store-2", 6379)]) + numbered("cache", [("c", 1)])


def test_links_are_words_apart() -> None:
    """Over several lines, each once."""
    assert (
        Link("l4", "l7"),
        Link("gateway", "video"),
        Link("video", "store"),
        Link("video", "cache"),
    ) == LINKS
    assert [str(link) for link in LINKS][:2] == ["l4>l7", "gateway>video"]
    assert parse_links("") == ()


@pytest.mark.parametrize("text", ["gateway", "gateway>", "a>b>c", "gateway>video.1", "G>v"])
def test_what_is_no_link_is_named(text: str) -> None:
    """With the variable and the form."""
    with pytest.raises(ConfigError, match=r"SQUALL_LINKS has .*give CLIENT>SERVER"):
        parse_links(f"l4>l7 {text}")


@pytest.mark.parametrize(
    ("server", "link"),
    [
        ("video", "gateway>video"),
        ("video.2", "gateway>video"),
    ],
)
def test_a_target_may_be_a_part_of_a_link(server: str, link: str) -> None:
    """A replica's link is its service's."""
    assert str(find_link(LinkTarget("gateway", server), LINKS)) == link
    assert find_link(LinkTarget("video", "store-5"), LINKS) == Link("video", "store")


@pytest.mark.parametrize("target", [("gateway", "store"), ("l7", "video"), ("video", "store2")])
def test_a_link_that_is_not_declared_is_named_with_the_nearest(target: tuple[str, str]) -> None:
    """Nobody calls that way, so nothing would bite."""
    with pytest.raises(ConfigError, match="is declared: did you mean"):
        find_link(LinkTarget(*target), LINKS)


def test_servers_are_members_with_a_port_or_nodes() -> None:
    """Draining members too, those that don't listen yet not."""
    link = Link("gateway", "video")
    assert servers_of(LinkTarget("gateway", "video"), link, MEMBERS, NODES) == [
        Server("video.1", ("10.0.0.1", 9090)),
        Server("video.2", ("10.0.0.2", 9090)),
    ]
    assert servers_of(LinkTarget("gateway", "video.2"), link, MEMBERS, NODES) == [
        Server("video.2", ("10.0.0.2", 9090))
    ]
    store = Link("video", "store")
    assert servers_of(LinkTarget("video", "store"), store, MEMBERS, NODES) == NODES[:2]
    assert servers_of(LinkTarget("video", "store-2"), store, MEMBERS, NODES) == NODES[1:2]
    assert servers_of(LinkTarget("video", "store-9"), store, MEMBERS, NODES) == []
