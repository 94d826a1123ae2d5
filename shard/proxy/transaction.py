"""MULTI … EXEC within one slot: queued here, sent as one block when EXEC comes.

Why here: on a connection that clients share, what one sent after its MULTI would mix with the
commands of others. So the proxy answers QUEUED itself, after the checks that a node would make, and
the block leaves in one write with nothing between.
Source: valkey: "Transactions"; the wording is its own. A command that can't be queued makes EXEC
refuse the whole, as there.
Not handled: WATCH; a script does what it is for.
"""

from shard.proxy.router import error
from shard.resp import pack

MAX_QUEUED_BYTES = 16 * 1024 * 1024  # as large as one argument may be

_MULTI, _EXEC = pack(("MULTI",)), pack(("EXEC",))
ABORTED = error("EXECABORT Transaction discarded because of previous errors.")
QUEUED = b"+QUEUED\r\n"


class Transaction:
    """What a client has queued since its MULTI."""

    def __init__(self) -> None:
        self.place: int | None = None
        self.key = b""
        self.is_broken = False
        self.payloads: list[bytes] = []
        self.size_bytes = 0

    def add(self, payload: bytes, place: int, key: bytes) -> str | None:
        """Queue a command; return why it can't be."""
        if self.place is not None and place != self.place:
            return (
                "CROSSSLOT a transaction's keys must be in one slot: "
                "give them a common hash tag, such as {user:7}:name"
            )
        if self.size_bytes + len(payload) > MAX_QUEUED_BYTES:
            return f"ERR the transaction is larger than {MAX_QUEUED_BYTES} bytes"
        self.place, self.key = place, key
        self.size_bytes += len(payload)
        self.payloads.append(payload)
        return None

    @property
    def block(self) -> bytes:
        """All of it, as it leaves."""
        return b"".join((_MULTI, *self.payloads, _EXEC))
