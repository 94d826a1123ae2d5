"""Ketama as nginx has it (``hash $key consistent``): a chain of CRC-32, 160 points a weight.

Why: a cache tier behind nginx is placed by it. Each point is the CRC of host, a zero byte, port and
the point before; so a server of weight 2 has the points of weight 1 and 160 more, and a change of
one weight moves only that server's keys. The key's place is its plain CRC-32.
Source: nginx:src/http/modules/ngx_http_upstream_hash_module.c, ``ngx_http_upstream_init_chash``,
which follows Perl's Cache::Memcached::Fast (``ketama_points => 160``).
Not handled: several addresses behind one server name (nginx takes turns among them); of two equal
points nginx keeps one, which is up to its sort; here it is the first server's.
"""

from collections.abc import Iterator, Sequence
from zlib import crc32

from hashing.algorithm import Node, checked
from hashing.ring import Ring

POINTS_PER_WEIGHT = 160  # ngx_http_upstream_init_chash: peer->weight * 160
MAX_WEIGHT = 4096  # 655 360 points a server; nginx has no limit but its memory
_UNIX = "unix:"


def build(nodes: Sequence[Node]) -> Ring:
    """Place nodes on a ring (see ``hashing.algorithm.Build``).

    Raises:
        ValueError: When a weight isn't whole, or above ``MAX_WEIGHT``.
    """
    for node in checked(nodes):
        if node.weight != int(node.weight) or node.weight > MAX_WEIGHT:
            raise ValueError(
                f"node {node.name!r} has weight {node.weight}: nginx's must be whole, "
                f"1 to {MAX_WEIGHT}"
            )
    return Ring("ketama-nginx", _points(nodes), crc32)


def _points(nodes: Sequence[Node]) -> Iterator[tuple[int, str]]:
    for node in nodes:
        base = crc32(_base(node.name))
        place = 0
        for _ in range(int(node.weight) * POINTS_PER_WEIGHT):
            place = crc32(place.to_bytes(4, "little"), base)
            yield place, node.name


def _base(server: str) -> bytes:
    """Return host, zero byte, port; digits after the last colon are a port."""
    if server[: len(_UNIX)].lower() == _UNIX:
        return server[len(_UNIX) :].encode() + b"\0"
    host, colon, port = server.rpartition(":")
    if colon and (port == "" or (port.isascii() and port.isdigit())):
        return host.encode() + b"\0" + port.encode()
    return server.encode() + b"\0"
