"""What the proxy answers by itself: greetings, logins, and what clients ask before their first key.

Source: valkey: HELLO, AUTH, CLIENT, COMMAND, INFO, and what redis-py, redis-cli and
redis-benchmark say when they connect.
Not handled: COMMAND's descriptions (an empty list: redis-cli then shows no hints), CLIENT LIST,
KILL, TRACKING and the like, which would be about connections to nodes that clients don't have.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from shard.policy.acl import DEFAULT_NAME, WRONGPASS
from shard.policy.commands import COMMANDS
from shard.proxy.router import error

if TYPE_CHECKING:
    from shard.proxy.session import Session

VERSION = "7.4.0"  # of the commands that are understood; clients switch features by it
MAX_NAME_BYTES = 256
MOST_PRINTABLE = 126  # names go from ! to ~, as valkey's

_OK, _EMPTY, _NIL = b"+OK\r\n", b"*0\r\n", {2: b"$-1\r\n", 3: b"_\r\n"}
_SYNTAX = error("ERR syntax error")
_NOPROTO = error("NOPROTO unsupported protocol version")
_NOT_IN = error(
    "NOAUTH HELLO must be called with the client already authenticated, otherwise the HELLO <proto>"
    " AUTH <user> <pass> option can be used to authenticate the client and select the RESP protocol"
    " version at the same time"
)
_NO_PASSWORD = error(
    "ERR AUTH <password> called without any password configured for the default user. "
    "Are you sure your configuration is correct?"
)


def bulk(value: bytes) -> bytes:
    """Make a bulk string."""
    return b"$%d\r\n%b\r\n" % (len(value), value)


def _ping(session: "Session", words: Sequence[bytes]) -> None:
    if len(words) > 2:
        session.reply(error("ERR wrong number of arguments for 'ping' command"))
    else:
        session.reply(b"+PONG\r\n" if len(words) == 1 else bulk(words[1]))


def _echo(session: "Session", words: Sequence[bytes]) -> None:
    session.reply(bulk(words[1]))


def _quit(session: "Session", words: Sequence[bytes]) -> None:
    session.say_last(_OK)


def _reset(session: "Session", words: Sequence[bytes]) -> None:
    session.transaction = None
    session.protocol, session.name = 2, b""
    session.log_in(session.front.users.first)
    session.reply(b"+RESET\r\n")


def _select(session: "Session", words: Sequence[bytes]) -> None:
    if words[1] == b"0":
        session.reply(_OK)
    else:
        session.reply(error("ERR SELECT: a cluster has database 0 alone; use prefixes of keys"))


def _auth(session: "Session", words: Sequence[bytes]) -> None:
    if len(words) > 3:
        session.reply(_SYNTAX)
        return
    name = words[1].decode("utf-8", "replace") if len(words) == 3 else DEFAULT_NAME
    default = session.front.users.first
    if len(words) == 2 and default is not None:
        session.reply(_NO_PASSWORD)
    else:
        session.reply(_OK if _log_in(session, name, words[-1]) else error(WRONGPASS))


def _log_in(session: "Session", name: str, password: bytes) -> bool:
    user = session.front.users.log_in(name, password)
    if user is None:
        session.front.counts["failed_logins"] += 1
        return False
    session.log_in(user)
    return True


def _hello(session: "Session", words: Sequence[bytes]) -> None:
    """Take protocol, login and name; change nothing when one of them is wrong."""
    protocol = session.protocol
    if len(words) > 1:
        if words[1] not in (b"2", b"3"):
            session.reply(_NOPROTO)
            return
        protocol = int(words[1])
    options = list(words[2:])
    login: list[bytes] = []
    name: bytes | None = None
    while options:
        option = options.pop(0).upper()
        if option == b"AUTH" and len(options) >= 2:
            login, options = options[:2], options[2:]
        elif option == b"SETNAME" and options and is_name(options[0]):
            name = options.pop(0)
        else:
            session.reply(error("ERR Syntax error in HELLO"))
            return
    if login and not _log_in(session, login[0].decode("utf-8", "replace"), login[1]):
        session.reply(error(WRONGPASS))
        return
    if session.user is None:
        session.reply(_NOT_IN)
        return
    session.protocol = protocol
    session.name = session.name if name is None else name
    session.reply(_about(session))


def _about(session: "Session") -> bytes:
    fields = (
        (b"server", bulk(b"squall-proxy")), (b"version", bulk(VERSION.encode())),
        (b"proto", b":%d\r\n" % session.protocol), (b"id", b":%d\r\n" % session.number),
        (b"mode", bulk(b"standalone")), (b"role", bulk(b"master")), (b"modules", _EMPTY),
    )  # fmt: skip
    head = b"%%%d\r\n" % len(fields) if session.protocol == 3 else b"*%d\r\n" % (2 * len(fields))
    return head + b"".join(bulk(name) + value for name, value in fields)


def _client(session: "Session", words: Sequence[bytes]) -> None:
    what, rest = words[1].upper(), words[2:]
    if what == b"SETNAME" and len(rest) == 1:
        _set_name(session, rest[0])
    elif what == b"SETINFO" and len(rest) == 2:
        session.reply(_OK)
    elif what == b"ID" and not rest:
        session.reply(b":%d\r\n" % session.number)
    elif what == b"GETNAME" and not rest:
        session.reply(bulk(session.name) if session.name else _NIL[session.protocol])
    elif what in (b"SETNAME", b"SETINFO", b"ID", b"GETNAME"):
        session.reply(error("ERR wrong number of arguments for 'client' command"))
    else:
        said = what[:32].decode("utf-8", "backslashreplace")
        session.reply(
            error(
                f"ERR CLIENT {said} isn't available through the proxy: there are SETNAME, GETNAME, "
                "SETINFO and ID; ask a node by itself for its connections"
            )
        )


def is_name(name: bytes) -> bool:
    """Whether a connection may be called so: printable, no spaces, as in valkey."""
    return len(name) <= MAX_NAME_BYTES and all(33 <= each <= MOST_PRINTABLE for each in name)


def _set_name(session: "Session", name: bytes) -> None:
    if is_name(name):
        session.name = name
        session.reply(_OK)
    else:
        wrong = "ERR Client names cannot contain spaces, newlines or special characters."
        session.reply(error(wrong))


def _command(session: "Session", words: Sequence[bytes]) -> None:
    what = words[1].upper() if len(words) > 1 else b""
    if what == b"COUNT" and len(words) == 2:
        session.reply(b":%d\r\n" % len(COMMANDS))
    elif what == b"DOCS":
        session.reply(b"%0\r\n" if session.protocol == 3 else _EMPTY)
    elif what in (b"", b"INFO", b"LIST"):
        session.reply(_EMPTY)
    else:
        session.reply(error("ERR COMMAND: the proxy answers COUNT, DOCS, INFO and LIST"))


def _info(session: "Session", words: Sequence[bytes]) -> None:
    session.reply(bulk(session.front.info().encode()))


OWN: Mapping[bytes, Callable[["Session", Sequence[bytes]], None]] = {
    b"AUTH": _auth,
    b"CLIENT": _client,
    b"COMMAND": _command,
    b"ECHO": _echo,
    b"HELLO": _hello,
    b"INFO": _info,
    b"PING": _ping,
    b"QUIT": _quit,
    b"RESET": _reset,
    b"SELECT": _select,
}
"""What answers each, by name in upper case."""
