"""An HTTP/2 request as HTTP/1.1 has it: checked, so that no byte of it can be read in two ways.

Why here: backends get HTTP/1.1, where a line end within a value is a new header, and a length that
lies is a new request. HPACK carries any byte at all, so every rule is held before a line is built.
Source: RFC 9113 8.1.1 (malformed requests), 8.2 (fields), 8.3 (pseudo-header fields).
Not handled: CONNECT, plain or extended (RFC 8441): nothing is tunnelled for an HTTP/2 client.
"""

import re
from collections.abc import Iterable
from typing import NamedTuple

from lb.l7.errors import Problem, bad_request
from lb.l7.headers import Headers

_PSEUDO = frozenset({b":method", b":scheme", b":authority", b":path"})
_SCHEMES = frozenset({b"http", b"https"})
_NAME = re.compile(rb"[!#$%&'*+\-.^_`|~0-9a-z]+")  # a token (RFC 9110 5.6.2) in lower case
_METHOD = re.compile(rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_PATH = re.compile(rb"/[!-\"$-~]*")  # visible ASCII without a fragment
_BAD_VALUE = re.compile(rb"[\x00-\x08\x0a-\x1f\x7f]|\A[ \t]|[ \t]\Z")

# RFC 9113 8.2.2: what speaks of a connection has no place in a stream.
_CONNECTION_SPECIFIC = frozenset(
    {b"connection", b"proxy-connection", b"keep-alive", b"transfer-encoding", b"upgrade"}
)
_TE = b"te"  # codespell:ignore te
_BODY_EXPECTED = frozenset({b"POST", b"PUT", b"PATCH"})


class Malformed(Exception):
    """The stream is reset (RFC 9113 8.1.1): what came is no request, and says so itself."""


class Asked(NamedTuple):
    """One request.

    Args:
        method: As it came.
        target: In origin form, or ``*``.
        headers: With Host, and with the framing that its body gets towards a backend.
        length: Bytes that its body has to have, None where nobody said.
    """

    method: bytes
    target: bytes
    headers: Headers
    length: int | None


def read_request(fields: Iterable[tuple[bytes, bytes]], *, ends: bool) -> Asked:
    """Check a request's fields; O(fields).

    Args:
        fields: As HPACK has them, in their order.
        ends: Whether there is no body.

    Raises:
        Malformed: The stream has to be reset.
        Problem: 400 or 501, to be answered.
    """
    pseudo, headers = _split(fields)
    method, target = _read_pseudo(pseudo)
    length = _read_framing(method, headers, ends=ends)
    authority = pseudo.get(b":authority")
    if authority is not None:
        hosts = [value for name, value in headers if name == b"host"]
        if any(host.lower() != authority.lower() for host in hosts):
            raise bad_request("HOST_CONFLICT", ":authority names another host than Host does")
        if not hosts:
            headers.insert(0, (b"host", authority))
    return Asked(method, target, headers, length)


def read_trailers(fields: Iterable[tuple[bytes, bytes]]) -> Headers:
    """Check what follows a body.

    Raises:
        Malformed: The stream has to be reset.
    """
    pseudo, trailers = _split(fields)
    if pseudo:
        raise Malformed("a pseudo-header field among trailers")
    return trailers


def _split(fields: Iterable[tuple[bytes, bytes]]) -> tuple[dict[bytes, bytes], Headers]:
    pseudo: dict[bytes, bytes] = {}
    headers: Headers = []
    crumbs: list[bytes] = []
    for name, value in fields:
        if _BAD_VALUE.search(value):
            raise Malformed(f"the value of {name!r} has a byte that no value may have")
        if name[:1] == b":":
            if headers or crumbs or name in pseudo or name not in _PSEUDO:
                raise Malformed(f"{name!r} is unknown, repeated, or behind a header")
            pseudo[name] = value
        elif name == b"cookie":
            crumbs.append(value)
        else:
            _check_name(name, value)
            headers.append((name, value))
    if crumbs:
        headers.append((b"cookie", b"; ".join(crumbs)))  # RFC 9113 8.2.3
    return pseudo, headers


def _check_name(name: bytes, value: bytes) -> None:
    if not _NAME.fullmatch(name):
        raise Malformed(f"{name!r} is no name of a field")
    if name in _CONNECTION_SPECIFIC or (name == _TE and value != b"trailers"):
        raise Malformed(f"{name!r} has no place in HTTP/2")


def _read_pseudo(pseudo: dict[bytes, bytes]) -> tuple[bytes, bytes]:
    method = pseudo.get(b":method", b"")
    if not _METHOD.fullmatch(method):
        raise Malformed(":method is missing, or is none")
    if method == b"CONNECT":
        raise Problem(501, "METHOD_NOT_IMPLEMENTED", "CONNECT is not passed on")
    path = pseudo.get(b":path", b"")
    if not (_PATH.fullmatch(path) or (path == b"*" and method == b"OPTIONS")):
        raise Malformed(":path is missing, or is no path")
    if pseudo.get(b":scheme", b"").lower() not in _SCHEMES:
        raise Malformed(":scheme is missing, or is not http or https")
    return method, path


def _read_framing(method: bytes, headers: Headers, *, ends: bool) -> int | None:
    """Return the length that was said, and add the header that a backend needs of HTTP/1.1."""
    given = next((value for name, value in headers if name == b"content-length"), None)
    length = None
    if given is not None:
        if not given.isdigit():
            raise Malformed(f"content-length is {given!r}")
        length = int(given[:20])  # longer than any body that ends
    if ends and length:
        raise Malformed(f"content-length is {length}, and nothing follows")
    if length is None and not ends:
        headers.append((b"transfer-encoding", b"chunked"))
    elif given is None and method in _BODY_EXPECTED:
        headers.append((b"content-length", b"0"))  # RFC 9110 8.6
    return length
