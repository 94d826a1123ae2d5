"""A Lua script and the digest a node knows it by."""

from hashlib import sha1


class Script:
    """A script that runs on one node, over keys of one slot.

    It should return values for what may happen in the ordinary course: an error reply
    (``redis.error_reply``) is taken as a failure that may have come after a write.

    Args:
        source: Lua 5.1; KEYS and ARGV as the node gives them.
    """

    __slots__ = ("sha", "source")

    def __init__(self, source: str) -> None:
        self.source = source
        # The digest is EVALSHA's naming scheme, not a safeguard.
        self.sha = sha1(source.encode(), usedforsecurity=False).hexdigest()

    def __repr__(self) -> str:
        return f"<Script {self.sha[:8]}>"
