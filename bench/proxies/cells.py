"""Cells: what is asked of each proxy.

A cell is a kind of request under 64 connections that ask as fast as they are answered, so that the
proxy, alone on its core, is what limits; CPU per unit of work says what it costs, throughput what
one core gives.
"""

from typing import NamedTuple

from bench.proxies.backend import LARGE_BYTES

REQUEST, CONNECTION, MIB = "request", "connection", "MiB"


class Cell(NamedTuple):
    """One kind of load.

    Args:
        name: In tables and JSON.
        what: One line for a reader.
        path: Of the backend.
        unit: What its cost is counted per.
        is_upload: Whether it sends 16 KiB with each request.
        is_closing: Whether each request gets a connection of its own.
        is_http2: Whether it is HTTP/2 in the clear.
    """

    name: str
    what: str
    path: str
    unit: str = REQUEST
    is_upload: bool = False
    is_closing: bool = False
    is_http2: bool = False

    def units(self, requests: int) -> float:
        """Return how much work so many requests are."""
        return requests * LARGE_BYTES / 2**20 if self.unit == MIB else requests


SMALL = Cell("small", "GET, 13 bytes", "/small")
LARGE = Cell("large", "GET, 64 KiB", "/large")
UPLOAD = Cell("upload", "POST, 16 KiB", "/upload", is_upload=True)
CONNECT = Cell("connect", "GET, 13 bytes, a connection each", "/small", CONNECTION, is_closing=True)
HTTP2 = Cell("http2", "GET, 13 bytes, 8 connections of 8 streams", "/small", is_http2=True)
BULK = Cell("bulk", "64 KiB answers", "/large", MIB)

L7_CELLS = (SMALL, LARGE, UPLOAD, CONNECT, HTTP2)
L4_CELLS = (SMALL, BULK, CONNECT)
