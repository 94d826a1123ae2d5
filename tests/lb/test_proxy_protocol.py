"""The PROXY protocol's parser and writer: round trips, every cut, and bytes of no sense."""

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lb.proxy_protocol import (
    V1_MAX_BYTES,
    V2_MAX_BYTES,
    V2_SIGNATURE,
    Address,
    Header,
    HeaderError,
    parse,
    render_v1,
    render_v2,
)

PORTS = st.integers(0, 65_535)


def ends(version: int) -> st.SearchStrategy[Address]:
    """Make addresses of one family."""
    return st.builds(Address, st.ip_addresses(v=4 if version == 4 else 6).map(str), PORTS)


def headers(*, with_tlvs: bool) -> st.SearchStrategy[Header]:
    """Make headers of both families."""
    tlv = st.tuples(st.integers(0, 255), st.binary(max_size=40))
    tlvs = st.lists(tlv, max_size=4).map(tuple) if with_tlvs else st.just(())
    four = st.builds(Header, ends(4), ends(4), tlvs)
    six = st.builds(Header, ends(6), ends(6), tlvs)
    return four | six


def v2(command: int, family: int, body: bytes) -> bytes:
    """Return version 2's bytes with any content."""
    return struct.pack("!12sBBH", V2_SIGNATURE, command, family, len(body)) + body


@given(headers(with_tlvs=False), st.binary(max_size=20))
def test_version_1_round_trip(header: Header, behind: bytes) -> None:
    """What is written is read back, and what comes behind it is left alone."""
    line = render_v1(header)
    assert len(line) <= V1_MAX_BYTES
    assert parse(line + behind) == (header, len(line))


@given(headers(with_tlvs=True), st.binary(max_size=20))
def test_version_2_round_trip(header: Header, behind: bytes) -> None:
    """What is written is read back, TLVs included, and what comes behind it is left alone."""
    data = render_v2(header)
    assert parse(data + behind) == (header, len(data))


@given(headers(with_tlvs=True), st.data())
def test_every_part_of_a_header_needs_more(header: Header, data: st.DataObject) -> None:
    """A header that came in pieces is never an error, and never half a header."""
    for whole in (render_v1(header), render_v2(header)):
        cut = data.draw(st.integers(0, len(whole) - 1))
        assert parse(whole[:cut]) is None


@given(st.binary(max_size=300) | st.binary(max_size=300).map(V2_SIGNATURE.__add__))
def test_any_bytes_are_a_header_none_or_an_error(data: bytes) -> None:
    """Nothing but HeaderError comes out, and nothing is taken beyond the bytes."""
    try:
        found = parse(data)
    except HeaderError:
        return
    assert found is None or 0 <= found[1] <= len(data)


@given(st.text("PROXYTCP46UNKNOWN0123456789.:abcdef \r\n", max_size=130))
def test_any_line_that_begins_as_version_1(text: str) -> None:
    """Nothing but HeaderError comes out, and a header found was within its limit."""
    try:
        found = parse(b"PROXY " + text.encode())
    except HeaderError:
        return
    assert found is None or 0 < found[1] <= V1_MAX_BYTES


def test_the_example_of_the_text() -> None:
    """The line that the specification shows for IPv4."""
    line = b"PROXY TCP4 192.168.0.1 192.168.0.11 56324 443\r\nGET / HTTP/1.1\r\n"
    assert parse(line) == (
        Header(Address("192.168.0.1", 56_324), Address("192.168.0.11", 443)),
        line.index(b"GET"),
    )


@pytest.mark.parametrize("data", [b"GET / HTTP/1.1\r\n", b"PROXX ", b"\r\n\r\nx", b"\x16\x03\x01"])
def test_other_first_bytes_are_no_header(data: bytes) -> None:
    """What doesn't begin as a header is nobody's error."""
    assert parse(data) == (None, 0)


@pytest.mark.parametrize(
    "data",
    [
        b"PROXY UNKNOWN\r\n",
        b"PROXY UNKNOWN ffff::1 ffff::2 1 2\r\n",
        v2(0x20, 0x00, b""),
        v2(0x20, 0x11, b"anything"),
        v2(0x21, 0x00, b"ignored"),
        v2(0x21, 0x31, bytes(216)),
    ],
)
def test_a_header_that_names_nobody(data: bytes) -> None:
    """The whole header is taken, and the connection's own addresses hold."""
    assert parse(data) == (Header(), len(data))


@pytest.mark.parametrize(
    ("data", "told"),
    [
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 65536\r\n", "port 65536"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 01 2\r\n", "not a header"),
        (b"PROXY TCP4 1.2.3.4  1.2.3.4 1 2\r\n", "not a header"),
        (b"PROXY TCP4 1.2.3.4 1.2.3.4 1 2\n", "not a header"),
        (b"PROXY TCP4 1.2.3.444 1.2.3.4 1 2\r\n", "not an address"),
        (b"PROXY TCP4 ::1 ::1 1 2\r\n", "not TCP4"),
        (b"PROXY TCP6 1.2.3.4 1.2.3.4 1 2\r\n", "not TCP6"),
        (b"PROXY UDP4 1.2.3.4 1.2.3.4 1 2\r\n", "not a header"),
        (b"PROXY " + b"x" * V1_MAX_BYTES, "no line end within 107 bytes"),
        (v2(0x11, 0x11, bytes(12)), "0x11"),
        (v2(0x22, 0x11, bytes(12)), "0x22"),
        (v2(0x21, 0x12, bytes(12)), "0x12"),
        (v2(0x21, 0x11, bytes(11)), "12 are needed"),
        (v2(0x21, 0x21, bytes(35)), "36 are needed"),
        (v2(0x21, 0x31, bytes(20)), "0x31"),
        (v2(0x21, 0x11, bytes(14)), "cut short"),
        (v2(0x21, 0x11, bytes(12) + b"\x04\x00\x05ab"), "longer than what is left"),
        (v2(0x21, 0x11, bytes(V2_MAX_BYTES)), "at most 4096"),
    ],
)
def test_what_begins_as_a_header_and_is_none(data: bytes, told: str) -> None:
    """The error says what was wrong."""
    with pytest.raises(HeaderError, match=told):
        parse(data)


@pytest.mark.parametrize("render", [render_v1, render_v2])
def test_two_families_are_no_header(render: object) -> None:
    """Both ends have to be of one family."""
    assert callable(render)
    with pytest.raises(ValueError, match="different families"):
        render(Header(Address("1.2.3.4", 1), Address("::1", 2)))


def test_the_longest_header_of_version_2() -> None:
    """One byte more than the limit can't be written, the limit itself can be read."""
    room = V2_MAX_BYTES - 16 - 3
    data = render_v2(Header(tlvs=((4, bytes(room)),)))
    assert len(data) == V2_MAX_BYTES == 4096
    assert parse(data) == (Header(), len(data))
    with pytest.raises(ValueError, match="fewer than 4096"):
        render_v2(Header(tlvs=((4, bytes(room + 1)),)))
