"""PROXY protocol: who a connection is really from, said by the proxy in front in its first bytes.

Why: behind another TCP proxy every peer address is that proxy's. The header names the client once,
before the first byte, whatever is spoken after it. Only whoever is trusted may be believed: anybody
can write one.
Source: haproxy:doc/proxy-protocol.txt (version 1: section 2.1, version 2: 2.2, TLVs: 2.2.1).
Not handled: the checksum TLV (kept as a TLV, not verified; the text leaves it to the receiver),
datagrams, paths of UNIX sockets (accepted; the connection's own addresses hold).
"""

import ipaddress
import re
import struct
from dataclasses import dataclass
from typing import NamedTuple

V1_PREFIX = b"PROXY "
V1_MAX_BYTES = 107  # section 2.1: the longest line, its CRLF included
V2_SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V2_MAX_BYTES = 4096  # ours: addresses need 52 bytes; what is longer is a certificate, or nonsense

_FIXED = struct.Struct("!12sBBH")  # signature, version and command, family and transport, length
_TLV = struct.Struct("!BH")
_LOCAL, _PROXY = 0x20, 0x21
_STREAM = {0x11: (4, 12), 0x21: (16, 36)}  # family and transport: bytes an address, bytes in all
_IGNORED = {0x00: 0, 0x31: 216}  # unspecified; UNIX stream: its least length
_V1_LINE = re.compile(
    rb"PROXY (TCP4|TCP6) ([0-9A-Fa-f.:]+) ([0-9A-Fa-f.:]+) (0|[1-9]\d{0,4}) (0|[1-9]\d{0,4})\r\n"
)
_V1_UNKNOWN = re.compile(rb"PROXY UNKNOWN( [^\r\n]*)?\r\n")


class HeaderError(ValueError):
    """The first bytes begin as a header and can't be one: the connection has to be closed."""


class Address(NamedTuple):
    """One end: an IP address as text, and a port (0..65535)."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Header:
    """What a header says.

    Args:
        source: The client; None when the header names nobody (LOCAL, UNKNOWN), so that the
            connection's own address holds.
        destination: Where the client connected to; None together with ``source``.
        tlvs: Version 2's additions as they came: type (0..255) and value.
    """

    source: Address | None = None
    destination: Address | None = None
    tlvs: tuple[tuple[int, bytes], ...] = ()


def parse(data: bytes) -> tuple[Header | None, int] | None:
    """Read a header of either version from a connection's first bytes; O(bytes).

    Returns:
        The header and how many bytes it took; ``(None, 0)`` when there is none; None when that
        can't be told yet, or the header isn't complete. Never needs more than ``V2_MAX_BYTES``.

    Raises:
        HeaderError: It begins as a header and isn't one.
    """
    if data.startswith(V1_PREFIX):
        return _parse_v1(data)
    if data.startswith(V2_SIGNATURE):
        return _parse_v2(data)
    if V1_PREFIX.startswith(data) or V2_SIGNATURE.startswith(data):
        return None
    return None, 0


def render_v1(header: Header) -> bytes:
    """Return version 1's line; TLVs have no place in it.

    Raises:
        ValueError: The two ends are of different families, or no IP addresses.
    """
    if header.source is None or header.destination is None:
        return b"PROXY UNKNOWN\r\n"
    source, destination, family = _packed(header.source, header.destination)
    name = b"TCP4" if family == 4 else b"TCP6"
    return b"PROXY %b %b %b %d %d\r\n" % (
        name,
        str(ipaddress.ip_address(source)).encode(),
        str(ipaddress.ip_address(destination)).encode(),
        header.source.port,
        header.destination.port,
    )


def render_v2(header: Header) -> bytes:
    """Return version 2's bytes; a header that names nobody becomes LOCAL.

    Raises:
        ValueError: The two ends are of different families or no IP addresses, or the whole is
            longer than ``V2_MAX_BYTES``.
    """
    command, family, addresses = _LOCAL, 0x00, b""
    if header.source is not None and header.destination is not None:
        source, destination, version = _packed(header.source, header.destination)
        command, family = _PROXY, 0x11 if version == 4 else 0x21
        ports = struct.pack("!HH", header.source.port, header.destination.port)
        addresses = source + destination + ports
    tlvs = b"".join(_TLV.pack(kind, len(value)) + value for kind, value in header.tlvs)
    length = len(addresses) + len(tlvs)
    if _FIXED.size + length > V2_MAX_BYTES:
        raise ValueError(f"{length} bytes of addresses and TLVs; fewer than {V2_MAX_BYTES} fit")
    return _FIXED.pack(V2_SIGNATURE, command, family, length) + addresses + tlvs


def _packed(source: Address, destination: Address) -> tuple[bytes, bytes, int]:
    first, second = ipaddress.ip_address(source.host), ipaddress.ip_address(destination.host)
    if first.version != second.version:
        raise ValueError(f"{source.host} and {destination.host} are of different families")
    return first.packed, second.packed, first.version


def _parse_v1(data: bytes) -> tuple[Header, int] | None:
    end = data.find(b"\n", 0, V1_MAX_BYTES) + 1
    if not end:
        if len(data) >= V1_MAX_BYTES:
            raise HeaderError(f"version 1: no line end within {V1_MAX_BYTES} bytes")
        return None
    line = data[:end]
    if _V1_UNKNOWN.fullmatch(line):
        return Header(), end
    found = _V1_LINE.fullmatch(line)
    if found is None:
        raise HeaderError(f"version 1: not a header: {line!r}")
    kind, source, destination, source_port, destination_port = found.groups()
    version = 4 if kind == b"TCP4" else 6
    return (
        Header(
            _v1_address(source, source_port, version),
            _v1_address(destination, destination_port, version),
        ),
        end,
    )


def _v1_address(host: bytes, port: bytes, version: int) -> Address:
    text = host.decode("ascii")
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise HeaderError(f"version 1: {text} is not an address") from None
    if address.version != version or int(port) > 65_535:
        raise HeaderError(f"version 1: {text} port {int(port)} is not TCP{version}")
    return Address(str(address), int(port))


def _parse_v2(data: bytes) -> tuple[Header, int] | None:
    if len(data) < _FIXED.size:
        return None
    _, command, family, length = _FIXED.unpack_from(data)
    end = _FIXED.size + length
    if command not in (_LOCAL, _PROXY):
        raise HeaderError(f"version 2: version and command {command:#04x} are unknown")
    if end > V2_MAX_BYTES:
        raise HeaderError(f"version 2: {end} bytes; at most {V2_MAX_BYTES}")
    if len(data) < end:
        return None
    if command == _LOCAL:
        return Header(), end  # section 2.2: whatever it carries is to be discarded
    return _v2_body(family, data[_FIXED.size : end]), end


def _v2_body(family: int, body: bytes) -> Header:
    if family in _IGNORED and len(body) >= _IGNORED[family]:
        return Header(tlvs=_tlvs(body[_IGNORED[family] :]) if family else ())
    shape = _STREAM.get(family)
    if shape is None:
        raise HeaderError(f"version 2: family and transport {family:#04x} are not supported")
    width, size = shape
    if len(body) < size:
        raise HeaderError(f"version 2: {len(body)} bytes of addresses; {size} are needed")
    source_port, destination_port = struct.unpack_from("!HH", body, 2 * width)
    source = ipaddress.ip_address(body[:width])
    destination = ipaddress.ip_address(body[width : 2 * width])
    return Header(
        Address(str(source), source_port),
        Address(str(destination), destination_port),
        _tlvs(body[size:]),
    )


def _tlvs(data: bytes) -> tuple[tuple[int, bytes], ...]:
    found: list[tuple[int, bytes]] = []
    at = 0
    while at < len(data):
        if at + _TLV.size > len(data):
            raise HeaderError("version 2: a TLV is cut short")
        kind, length = _TLV.unpack_from(data, at)
        at += _TLV.size
        if at + length > len(data):
            raise HeaderError(f"version 2: TLV {kind:#04x} is longer than what is left")
        found.append((kind, data[at : at + length]))
        at += length
    return tuple(found)
