"""The beginning of an HTTP/2 connection and of its requests: settings, windows, heads.

Why not all by ``h2``: its own SETTINGS hold from the moment they are sent, so that a client which
can't know them yet would break them; and its GOAWAY ends the streams that are under way.
Source: RFC 9113 3.4, 6.5.3 (settings hold when they are acknowledged), 6.8, 6.9.2.
Not handled: a smaller HPACK table; RFC 7541's 4 KiB is what everyone has.
"""

from typing import NamedTuple

from h2.config import H2Configuration
from h2.connection import H2Connection
from h2.errors import ErrorCodes
from h2.settings import SettingCodes, Settings
from hyperframe.frame import GoAwayFrame, SettingsFrame

from lb.l7.errors import Problem, head_too_large
from lb.l7.forwarded import Hop
from lb.l7.headers import Headers
from lb.l7.http2.options import CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES, Http2Options
from lb.l7.http2.request import read_request
from lb.l7.outline import Outline
from lb.l7.proxy import Proxy
from lb.l7.request import RequestHead
from lb.l7.settings import MAX_HEAD_BYTES

PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
ALL_STREAMS = 2**31 - 1  # RFC 9113 6.8: "about to stop", before it is said which was the last
READ_HEAD_BYTES = 2 * MAX_HEAD_BYTES  # so far a head is read, to be answered 431; then the end

_MAX_REASON_BYTES = 200  # of GOAWAY's debug data, which people read


def begin_session(options: Http2Options) -> H2Connection:
    """Make the protocol's state, with our SETTINGS ready to be sent."""
    h2 = H2Connection(
        H2Configuration(
            client_side=False,
            header_encoding=None,
            validate_inbound_headers=False,  # ours reset a stream, h2's end the connection
            normalize_inbound_headers=False,
            validate_outbound_headers=False,  # a parser of HTTP/1.1 has read them
            normalize_outbound_headers=False,
        )
    )
    h2.local_settings = Settings(client=False)
    if options.window_bytes != STREAM_WINDOW_BYTES:
        h2.local_settings[SettingCodes.INITIAL_WINDOW_SIZE] = options.window_bytes
    h2.decoder.max_header_list_size = READ_HEAD_BYTES
    h2.initiate_connection()
    h2.clear_outbound_data_buffer()  # it says what holds now, not what shall hold
    h2.increment_flow_control_window(CONNECTION_WINDOW_BYTES - STREAM_WINDOW_BYTES)
    return h2


def settings_frame(options: Http2Options) -> bytes:
    """Return what we say first."""
    said = {
        SettingCodes.MAX_CONCURRENT_STREAMS: options.max_streams,
        SettingCodes.INITIAL_WINDOW_SIZE: options.window_bytes,
        SettingCodes.MAX_HEADER_LIST_SIZE: MAX_HEAD_BYTES,
    }
    return SettingsFrame(0, settings={int(code): value for code, value in said.items()}).serialize()


def goaway(last: int, code: ErrorCodes, why: str) -> bytes:
    """Return a GOAWAY frame; ``last`` is the last stream that was, or may still be, served."""
    reason = why.encode()[:_MAX_REASON_BYTES]
    frame = GoAwayFrame(0, last_stream_id=last, error_code=int(code), additional_data=reason)
    return frame.serialize()


def rest_of_preface(data: bytes, begun_bytes: int) -> bytes | None:
    """Return what follows a preface of which ``begun_bytes`` came before; None: it is none."""
    end = PREFACE[begun_bytes:]
    return data[len(end) :] if end and data.startswith(end) else None


class Opening(NamedTuple):
    """What opens a stream.

    Args:
        head: The request, or why it gets no further.
        length: Bytes that its body has to have; None where nobody said.
        is_head: Whether HEAD was asked.
    """

    head: RequestHead | Problem
    length: int | None
    is_head: bool


class RequestReader:
    """Read the requests of one connection.

    Args:
        proxy: What all share.
        peer: The client's address.
        hop: How its requests are forwarded.
    """

    def __init__(self, proxy: Proxy, peer: bytes, hop: Hop) -> None:
        self._heads = proxy.heads
        self.peer = peer
        self._hop = hop
        self._outline: Outline | None = None  # of the last request, which the next one often is

    def read(self, fields: Headers, *, ends: bool, now_s: float) -> Opening:
        """Read one.

        Raises:
            Malformed: The stream has to be reset.
        """
        try:
            asked = read_request(fields, ends=ends)
            limit = self._heads.limits.max_head_bytes
            if sum(len(name) + len(value) for name, value in fields) > limit:
                raise head_too_large(limit)
            head = self._heads.read(
                asked.method,
                asked.target,
                "1.1",
                asked.headers,
                peer=self.peer,
                keep_alive=True,
                arrived_s=now_s,
                hop=self._hop,
                last=self._outline,
            )
        except Problem as problem:
            return Opening(problem, None, (b":method", b"HEAD") in fields)
        self._outline = head.outline
        return Opening(head, asked.length, head.is_head)
