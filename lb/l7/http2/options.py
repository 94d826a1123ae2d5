"""What HTTP/2 clients may do: section ``http2`` of the file, and what became of their connections.

Why limits of its own: over HTTP/1.1 a client pays a round trip for each request; here a few bytes
open a stream, take it back, or ask for an answer, and 16 KiB hold a thousand of them.
Source: RFC 9113 (limits: 10.5); CVE-2023-44487 (rapid reset), CVE-2025-8671 (resets provoked from
the server), CVE-2019-9511 to 9518 (floods of ping, settings, empty frames, priority);
envoy:source/common/http/http2/protocol_constraints.cc (what WINDOW_UPDATE frames may number).
How long a client may take is in section ``timeouts``, for both protocols.
Not handled: priorities (RFC 9218), server push, WebSocket over HTTP/2 (RFC 8441).
"""

from collections.abc import Iterator
from dataclasses import dataclass, field

from kit.source import DataPath
from kit.source_types import Part

MAX_STREAMS = 100  # under way at once; RFC 9113 6.5.2 advises no less, Envoy and Go take 100 too
STREAM_WINDOW_BYTES = 65_535  # RFC 9113's own; what one body may have on its way to us
CONNECTION_WINDOW_BYTES = 1024 * 1024  # for all bodies together, so that one doesn't stop the rest
RESETS_PER_S = 100  # a browser that leaves a page takes back what is under way: once max_streams
CONTROL_FRAMES_PER_S = 200  # pings, settings, empty ones; a keep-alive ping is 1 in 10 s
MIN_STREAM_WINDOW_BYTES = 1024  # less, and a body costs more frames than bytes
MAX_WINDOW_BYTES = 2**31 - 1  # RFC 9113 6.9.1


class Http2Options(Part, frozen=True):
    """Section ``http2``.

    Args:
        enabled: Whether HTTP/2 is spoken: by ALPN over TLS, with prior knowledge without it.
        max_streams: Requests under way on one connection, >= 1; one more is refused unprocessed.
        window_bytes: What of one request's body may be on its way before a backend has taken it.
        resets_per_s: Streams of one connection that may be taken back or broken in a second; a
            client that does it more often is closed.
        control_frames_per_s: Frames without any request's data that one connection may send.
    """

    enabled: bool = True
    max_streams: int = MAX_STREAMS
    window_bytes: int = STREAM_WINDOW_BYTES
    resets_per_s: int = RESETS_PER_S
    control_frames_per_s: int = CONTROL_FRAMES_PER_S


def http2_mistakes(options: Http2Options, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name each limit that lets nothing through, or that the protocol can't say."""
    for name in ("max_streams", "resets_per_s", "control_frames_per_s"):
        given = getattr(options, name)
        if given < 1:
            yield (*at, name), f"{name} is {given}; give 1 at least"
        elif given > MAX_WINDOW_BYTES:  # SETTINGS have 32 bits, and nobody means more
            yield (*at, name), f"{name} is {given}; give {MAX_WINDOW_BYTES} at most"
    if not MIN_STREAM_WINDOW_BYTES <= options.window_bytes <= MAX_WINDOW_BYTES:
        yield (
            (*at, "window_bytes"),
            f"window_bytes is {options.window_bytes}; "
            f"give {MIN_STREAM_WINDOW_BYTES} to {MAX_WINDOW_BYTES}",
        )


@dataclass(slots=True)
class Http2:
    """What a proxy's HTTP/2 connections share: the live options, and counts.

    ``connections`` and ``streams`` are sums since the start; ``refused_streams`` were beyond
    ``max_streams``, ``malformed`` broke a rule of RFC 9113 8, ``floods`` are connections closed for
    more frames than they may send, ``errors`` those closed for any other breach of the protocol.
    """

    options: Http2Options = field(default_factory=Http2Options)
    connections: int = 0
    streams: int = 0
    refused_streams: int = 0
    malformed: int = 0
    floods: int = 0
    errors: int = 0

    def snapshot(self) -> dict[str, int]:
        """Counts since the start; empty as long as nobody has spoken HTTP/2."""
        if not self.connections:
            return {}
        names = ("connections", "streams", "refused_streams", "malformed", "floods", "errors")
        return {f"http2.{name}": getattr(self, name) for name in names}
