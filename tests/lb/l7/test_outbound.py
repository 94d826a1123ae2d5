"""The request's body on its way out, driven by hand."""

import pytest

from lb.l7.outbound import OutboundBody
from lb.l7.settings import BUFFER_BYTES

pytestmark = pytest.mark.unit


class FullConnection:
    """A backend's connection that says at each write that it has no room."""

    def __init__(self, body: OutboundBody) -> None:
        self.body = body
        self.request_is_sent = False
        self.written = b""

    def write(self, data: bytes) -> None:
        """Take it, and ask for a pause at once, as uvloop does."""
        self.written += data
        self.body.on_room(False)


def test_backend_without_room_for_what_was_held_makes_the_client_wait() -> None:
    """Sending what was held starts the client's reading, and a full backend stops it again."""
    reading: list[bool] = []
    body = OutboundBody(False, reading.append)
    held = b"x" * (BUFFER_BYTES + 1)
    body.add(held)
    assert reading == [False]
    conn = FullConnection(body)
    body.attach(conn)  # type: ignore[arg-type]
    assert (reading[-1], conn.written) == (False, held)
