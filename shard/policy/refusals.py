"""What a proxy in front of several nodes can't do, and what to do instead: one line a command.

Why: "unknown command" for a command that the server has sends its caller on a search. Each text
says why not, and the way that there is.
Not handled: commands that no table knows: those are unknown here too.
"""

from collections.abc import Mapping

_EVERY = "would need every node at once"
_OWN = "would hold a connection to the node which all clients share"
_OPERATOR = "is for who runs a node"

_AT_NODES = "ask each node by itself, directly"
_DIRECT = "connect to the cluster directly for it"


def _table() -> dict[str, str]:
    table: dict[str, str] = {}

    def put(names: str, why: str, instead: str) -> None:
        table.update({name: f"{why}; {instead}" for name in names.split()})

    put("KEYS SCAN RANDOMKEY DBSIZE PUBSUB", _EVERY, _AT_NODES)
    put("FLUSHALL FLUSHDB", "would empty every node for all who share them", _AT_NODES)
    put("FUNCTION", _EVERY, "load it at each node; FCALL works here")
    put("SCRIPT", _EVERY, f"SCRIPT LOAD and EVALSHA work here; for the rest, {_AT_NODES}")
    blocking = "BLPOP BRPOP BZPOPMAX BZPOPMIN BLMOVE BRPOPLPUSH BLMPOP BZMPOP"
    put(blocking, _OWN, f"ask again with the command that doesn't block, or {_DIRECT}")
    put("XREAD XREADGROUP", _OWN, "leave BLOCK out and ask again")
    put("SUBSCRIBE PSUBSCRIBE SSUBSCRIBE UNSUBSCRIBE PUNSUBSCRIBE SUNSUBSCRIBE", _OWN, _DIRECT)
    put("PUBLISH", "has nobody listening here, where nobody can subscribe", _DIRECT)
    put("MONITOR SYNC PSYNC REPLCONF", _OWN, _DIRECT)
    put("WATCH UNWATCH", _OWN, "use a Lua script (EVAL), which nothing interrupts")
    put("WAIT WAITAOF", "would wait for everybody's writes on a shared connection", _DIRECT)
    put("SELECT SWAPDB MOVE", "a cluster has database 0 alone", "use prefixes of keys")
    put("ASKING READONLY READWRITE CLUSTER", "is the proxy's own business here", _DIRECT)
    operators = (
        "ACL BGREWRITEAOF BGSAVE COMMANDLOG CONFIG DEBUG FAILOVER LASTSAVE LATENCY LOLWUT MODULE "
        "REPLICAOF ROLE SAVE SHUTDOWN SLAVEOF SLOWLOG TIME RESTORE-ASKING"
    )
    put(operators, _OPERATOR, _AT_NODES)
    return table


REFUSED: Mapping[bytes, str] = {name.encode(): why for name, why in _table().items()}
"""Why and what instead, by name in upper case."""


def refusal(name: bytes) -> str | None:
    """Return the whole error text for a command that can't be had here; None: it can."""
    why = REFUSED.get(name)
    return None if why is None else f"ERR {name.decode()} isn't available through the proxy: {why}"
