"""Forwarded headers: who is believed, and which headers a backend gets."""

import pytest

from kit.source import SourceError
from lb.l7.config import parse_config
from lb.l7.forwarded import EVERYONE, ForwardedOptions, Forwarding, Hop, Networks
from lb.l7.headers import Kind
from tests.lb.l7.rig import answering, ok, rig

GIVEN = {
    Kind.HOST: b"lab",
    Kind.FORWARDED_FOR: b"10.0.0.9, fe80::1",
    Kind.FORWARDED_PROTO: b"https",
    Kind.FORWARDED_HOST: b"shop.example",
    Kind.FORWARDED_PORT: b"444",
    Kind.REAL_IP: b"10.0.0.9",
}


def test_the_defaults_are_what_was_always_done() -> None:
    """Everyone is believed, and x-forwarded-* is written."""
    assert ForwardedOptions() == ForwardedOptions(trust=EVERYONE, write="x-forwarded")
    assert EVERYONE == ("0.0.0.0/0", "::/0")
    assert Forwarding().hop("203.0.113.1", is_tls=False).is_trusted


def test_a_trusted_peer_is_added_to_what_it_says() -> None:
    """Its chain grows by its own address; everything else stays as it said."""
    lines = Hop().render(GIVEN, b"10.0.0.1")
    assert lines == (
        b"x-forwarded-for: 10.0.0.9, fe80::1, 10.0.0.1\r\n"
        b"x-forwarded-proto: https\r\n"
        b"x-forwarded-host: shop.example\r\n"
        b"x-forwarded-port: 444\r\n"
        b"x-real-ip: 10.0.0.9\r\n"
    )


def test_an_untrusted_peer_is_named_and_nothing_it_says_is_kept() -> None:
    """All that is left is its own address and our own scheme."""
    hop = Hop(is_trusted=False, is_tls=False)
    lines = hop.render({**GIVEN, Kind.FORWARDED: b"for=10.0.0.9"}, b"203.0.113.1")
    assert lines == b"x-forwarded-for: 203.0.113.1\r\nx-forwarded-proto: http\r\n"


def test_tls_is_told_as_https() -> None:
    """The scheme is the connection's own when nobody trusted has said another."""
    assert b"x-forwarded-proto: https\r\n" in Hop(is_tls=True).render({}, b"10.0.0.1")


def test_forwarded_is_one_element_for_each_hop() -> None:
    """RFC 7239: what came stays in front, IPv6 stands in brackets and quotes, a port in quotes."""
    hop = Hop(is_tls=True, write="forwarded")
    given = {Kind.HOST: b"lab:80", Kind.FORWARDED: b"for=192.0.2.1;proto=http"}
    assert hop.render(given, b"2001:db8::1") == (
        b'forwarded: for=192.0.2.1;proto=http, for="[2001:db8::1]";proto=https;host="lab:80"\r\n'
    )


def test_a_chain_of_x_forwarded_for_becomes_elements() -> None:
    """RFC 7239 7.4: without a Forwarded of its own the old chain is converted."""
    hop = Hop(write="forwarded")
    given = {Kind.FORWARDED_FOR: b"192.0.2.1, 2001:db8::2, not an address"}
    assert hop.render(given, b"10.0.0.1") == (
        b'forwarded: for=192.0.2.1, for="[2001:db8::2]", for=unknown, for=10.0.0.1;proto=http\r\n'
    )


def test_both_writes_both() -> None:
    """The two say the same."""
    lines = Hop(write="both").render({Kind.HOST: b"lab"}, b"10.0.0.1")
    assert lines == (
        b'forwarded: for=10.0.0.1;proto=http;host="lab"\r\n'
        b"x-forwarded-for: 10.0.0.1\r\nx-forwarded-proto: http\r\n"
    )


def test_networks_hold_addresses_of_both_families() -> None:
    """An IPv4 address written as IPv6 counts as IPv4; what is no address is in none."""
    networks = Networks(("10.0.0.0/8", "2001:db8::/32"))
    assert networks.has("10.1.2.3")
    assert networks.has("::ffff:10.1.2.3")
    assert networks.has("2001:db8::9")
    assert not networks.has("11.0.0.1")
    assert not networks.has("unknown")


def test_what_a_file_says_wrong_is_told() -> None:
    """A network that is none, and a word that is none."""
    with pytest.raises(SourceError, match=r"2:\d+: 10.0.0.1/8 has host bits set"):
        parse_config("forwarded:\n  trust: ['10.0.0.1/8']")
    with pytest.raises(SourceError, match=r"forwarded.write: there is no x; did you mean both"):
        parse_config("forwarded: {write: x}")


@pytest.mark.integration
async def test_who_is_not_trusted_can_not_pretend() -> None:
    """Over a real connection: a made-up chain never reaches the backend."""
    async with rig(answering(ok())) as lab:
        lab.proxy.forwarding = Forwarding(ForwardedOptions(trust=("10.0.0.0/8",), write="both"))
        await lab.ask("/", "X-Forwarded-For: 6.6.6.6", "Forwarded: for=6.6.6.6", "X-Real-IP: 6")
        seen = bytes(lab.backends[0].received)
        assert b"x-forwarded-for: 127.0.0.1\r\n" in seen
        assert b'forwarded: for=127.0.0.1;proto=http;host="lab"\r\n' in seen
        assert b"6.6.6.6" not in seen
        assert b"x-real-ip" not in seen.lower()


@pytest.mark.integration
async def test_nobody_can_name_a_forwarded_header_away() -> None:
    """``Connection: x-forwarded-for`` drops nothing."""
    async with rig(answering(ok())) as lab:
        await lab.ask("/", "Connection: x-forwarded-for, forwarded")
        assert b"x-forwarded-for: 127.0.0.1\r\n" in lab.backends[0].received
