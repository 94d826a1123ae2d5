"""The request's body on its way to a backend: held until a connection is there, then streamed.

What was sent is kept as long as it is small, so that another backend can have it too.
"""

from collections.abc import Callable

from lb.l7.headers import Headers, render_trailers
from lb.l7.settings import BUFFER_BYTES
from lb.l7.upstream import UpstreamConnection


class OutboundBody:
    """Pass a body on in the framing it came in, and make the client wait when it must.

    Args:
        is_chunked: Framed in chunks; otherwise the bytes go as they are.
        set_client_reading: Lets the client send, or lets it wait.

    Invariant: at most ``BUFFER_BYTES`` and one read are held while there is no connection, and as
    much is kept of what was sent.
    """

    __slots__ = (
        "_conn",
        "_held",
        "_held_bytes",
        "_is_chunked",
        "_is_unwanted",
        "_kept",
        "_kept_bytes",
        "_left_bytes",
        "_on_too_large",
        "_set_reading",
        "is_complete",
    )

    def __init__(self, is_chunked: bool, set_client_reading: Callable[[bool], None]) -> None:
        self._is_chunked = is_chunked
        self._set_reading = set_client_reading
        self._conn: UpstreamConnection | None = None
        self._held: list[bytes] = []
        self._held_bytes = 0
        self._kept: list[bytes] | None = []  # None: it was too much
        self._kept_bytes = 0
        self._is_unwanted = False
        self._left_bytes: int | None = None
        self._on_too_large: Callable[[], None] | None = None
        self.is_complete = False

    def limit(self, max_bytes: int, on_too_large: Callable[[], None]) -> None:
        """Take so many bytes, then say once that there are more, and take none of them."""
        self._left_bytes = max_bytes
        self._on_too_large = on_too_large

    def add(self, data: bytes) -> None:
        """Take a piece."""
        if self._left_bytes is not None and not self._fits(len(data)):
            return
        if self._is_chunked:
            data = b"%x\r\n%b\r\n" % (len(data), data)
        self._pass_on(data)

    def end(self, trailers: Headers) -> None:
        """The body is complete."""
        self.is_complete = True
        if self._is_chunked:
            self._pass_on(b"0\r\n%b\r\n" % render_trailers(trailers))
        if self._conn is not None:
            self._conn.request_is_sent = True

    @property
    def can_resend(self) -> bool:
        """Whether another backend can be given all of it."""
        return self._kept is not None

    def attach(self, conn: UpstreamConnection) -> None:
        """Send what there is of it, and what is still to come, through this connection."""
        self._conn = conn
        if self._held or self._kept:
            held = b"".join((*(self._kept or ()), *self._held))
            for piece in self._held:
                self._keep(piece)
            self._held.clear()
            self._held_bytes = 0
            self._set_reading(True)
            conn.write(held)  # last: it may tell us at once that the backend has no room
        conn.request_is_sent = self.is_complete

    def retire(self, conn: UpstreamConnection) -> None:
        """Hold what is still to come: this connection's attempt has ended, another may begin."""
        if self._conn is conn:
            self._conn = None

    def detach(self) -> None:
        """Pass nothing on any more."""
        self._conn = None
        self._is_unwanted = True
        self._held.clear()
        self._kept = None

    def on_room(self, has_room: bool) -> None:
        """The backend can take more, or can't."""
        self._set_reading(has_room)

    def _fits(self, size: int) -> bool:
        assert self._left_bytes is not None
        self._left_bytes -= size
        if self._left_bytes >= 0:
            return True
        on_too_large, self._on_too_large = self._on_too_large, None
        if on_too_large is not None:
            on_too_large()
        return False

    def _keep(self, data: bytes) -> None:
        if self._kept is None:
            return
        self._kept_bytes += len(data)
        if self._kept_bytes > BUFFER_BYTES:
            self._kept = None
        else:
            self._kept.append(data)

    def _pass_on(self, data: bytes) -> None:
        if self._conn is not None:
            self._keep(data)
            self._conn.write(data)
            return
        if self._is_unwanted:
            return
        self._held.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > BUFFER_BYTES:
            self._set_reading(False)
