"""Links to services of one's own, which only a route declares."""

import pytest

from faults.wire.links import Link, Server
from faults.wire.own import own_links, own_servers
from kit.entries import RouteEntry, SettingEntry

pytestmark = pytest.mark.unit


def test_a_route_brings_a_link_from_l7_and_its_replicas() -> None:
    """Other entries bring none."""
    entries = {
        "route/hello": RouteEntry("/hello", ["10.0.0.1", "10.0.0.2"], 8000),
        "setting/video/cap": SettingEntry(1.0),
    }
    assert own_links(entries) == (Link("l7", "hello"),)
    assert own_servers(entries) == [
        Server("hello.1", ("10.0.0.1", 8000)),
        Server("hello.2", ("10.0.0.2", 8000)),
    ]
