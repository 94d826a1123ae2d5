"""Who may do what at a proxy: users, commands by name or category, patterns of keys.

Why: a proxy that everybody's clients reach needs the server's own way to say who may do what, since
its nodes see only one user, the proxy. Rules are read in order, the last that names a command wins,
as in Redis. Passwords are kept as SHA-256, as Redis keeps them: random and long, or guessable.
Source: valkey: "ACL" topic, src/acl.c (wording of errors), src/util.c ``stringmatchlen``.
Not handled: %R~ and %W~ patterns, selectors, channels, rules of subcommands: refused when read.
"""

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from shard.policy.attempt import Work
from shard.policy.commands import COMMANDS

DEFAULT_NAME = "default"  # whom AUTH with a password alone means, and who isn't logged in
NOAUTH = "NOAUTH Authentication required."
WRONGPASS = "WRONGPASS invalid username-password pair or user is disabled."
NOKEY = "NOPERM No permissions to access a key"

_CONNECTION = frozenset(b"AUTH CLIENT COMMAND ECHO HELLO PING QUIT RESET SELECT".split())
_TRANSACTION = frozenset(b"DISCARD EXEC MULTI".split())
ALWAYS = frozenset({b"AUTH", b"HELLO", b"QUIT", b"RESET"})  # as in Redis: flag NO_AUTH


def _of(*works: Work) -> frozenset[bytes]:
    keyed = (each for each in COMMANDS.values() if each.first or each.count_at or each.after)
    return frozenset(each.name for each in keyed if each.work in works)


CATEGORIES: Mapping[str, frozenset[bytes]] = {
    "all": frozenset(COMMANDS),
    "read": _of(Work.READ),
    "write": _of(Work.WRITE),
    "scripting": _of(Work.SCRIPT) | {b"SCRIPT", b"EVAL_RO", b"EVALSHA_RO", b"FCALL_RO"},
    "connection": _CONNECTION,
    "transaction": _TRANSACTION,
}
"""What ``+@name`` and ``-@name`` mean here; scripts are neither read nor write."""


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who may log in.

    Args:
        name: As given to AUTH.
        passwords: SHA-256 of each, in hex; none: any password, or none at all, will do.
        commands: Names in upper case.
        keys: Patterns, one of which each key must match; None: every key.
    """

    name: str
    passwords: tuple[str, ...] = field(default=(), repr=False)
    commands: frozenset[bytes] = CATEGORIES["all"]
    keys: Callable[[bytes], object] | None = None

    @property
    def is_free(self) -> bool:
        """Whether nothing has to be asked: every command, every key."""
        return self.keys is None and self.commands >= CATEGORIES["all"]

    def refusal(self, command: bytes, keys: Sequence[bytes]) -> str | None:
        """Say why not; None: it may.

        Args:
            command: Its name in upper case.
            keys: Those that the command names.
        """
        if command not in self.commands and command not in ALWAYS:
            name = command.decode("utf-8", "backslashreplace").lower()
            return f"NOPERM User {self.name} has no permissions to run the '{name}' command"
        if self.keys is not None and not all(map(self.keys, keys)):
            return NOKEY
        return None


EVERYBODY = User(DEFAULT_NAME)


class Users:
    """All users of a proxy.

    Args:
        users: None: ``EVERYBODY``, without a password.

    Raises:
        ValueError: A name comes twice.
    """

    def __init__(self, users: Sequence[User] = ()) -> None:
        self._users = {each.name: each for each in users or (EVERYBODY,)}
        if users and len(self._users) < len(users):
            raise ValueError("users: a name comes twice")

    @property
    def first(self) -> User | None:
        """Who a new client is; None: nobody, until it has logged in."""
        default = self._users.get(DEFAULT_NAME)
        return default if default is not None and not default.passwords else None

    def log_in(self, name: str, password: bytes) -> User | None:
        """Return who that is; None: no such user, or another password."""
        user = self._users.get(name)
        given = hashlib.sha256(password).hexdigest()
        known = ("",) if user is None else user.passwords
        right = [hmac.compare_digest(given, each) for each in known]
        return user if user is not None and (any(right) or not user.passwords) else None


def allowed(rules: Sequence[str]) -> frozenset[bytes]:
    """Read rules such as ``+@read``, ``-keys``, ``+get``, in order, beginning with nothing.

    Raises:
        ValueError: A rule isn't one, or names no command or category.
    """
    commands: frozenset[bytes] = frozenset()
    for rule in rules:
        sign, name = rule[:1], rule[1:]
        if sign not in ("+", "-") or not name:
            raise ValueError(
                f"rule {rule!r}: it must be +command, -command, +@category, -@category"
            )
        named = _named(rule, name)
        commands = commands | named if sign == "+" else commands - named
    return commands


def _named(rule: str, name: str) -> frozenset[bytes]:
    if name.startswith("@"):
        found = CATEGORIES.get(name[1:].lower())
        if found is None:
            raise ValueError(f"rule {rule!r}: categories are {', '.join(CATEGORIES)}")
        return found
    if "|" in name:
        raise ValueError(f"rule {rule!r}: a subcommand can't be allowed by itself")
    command = name.upper().encode()
    if command not in COMMANDS:
        raise ValueError(f"rule {rule!r}: no such command")
    return frozenset({command})


def key_patterns(patterns: Sequence[str]) -> Callable[[bytes], object] | None:
    """Make a test of patterns such as ``app:*``; None when one of them takes every key.

    Raises:
        ValueError: A pattern begins with % or ~, as Redis's rules do.
    """
    for each in patterns:
        if each[:1] in ("%", "~", "+", "-", "&"):
            raise ValueError(f"key pattern {each!r}: give the pattern alone, such as app:*")
    if "*" in patterns:
        return None
    union = b"|".join(glob(each.encode()) for each in patterns)
    return re.compile(union if patterns else rb"(?!)", re.DOTALL).fullmatch


def glob(pattern: bytes) -> bytes:
    """Translate Redis's glob (``* ? [a-z] [^a] \\x``) into a regular expression."""
    done: list[bytes] = []
    at = 0
    while at < len(pattern):
        letter, at = pattern[at : at + 1], at + 1
        if letter == b"*":
            if done[-1:] != [b".*?"]:
                done.append(b".*?")
        elif letter == b"?":
            done.append(b".")
        elif letter == b"[":
            at = _set(pattern, at, done)
        elif letter == b"\\" and at < len(pattern):
            done.append(re.escape(pattern[at : at + 1]))
            at += 1
        else:
            done.append(re.escape(letter))
    return b"".join(done)


def _set(pattern: bytes, at: int, done: list[bytes]) -> int:
    """Translate a set whose bracket is open; one that is never closed ends with the pattern."""
    negated = pattern[at : at + 1] == b"^"
    at += negated
    members = []
    while at < len(pattern) and pattern[at : at + 1] != b"]":
        if pattern[at : at + 1] == b"\\" and at + 1 < len(pattern):
            at += 1
        low, high = pattern[at], pattern[at]
        if pattern[at + 1 : at + 2] == b"-" and at + 2 < len(pattern):
            at += 2
            high = pattern[at]
        members += [b"\\x%02x-\\x%02x" % (min(low, high), max(low, high))]
        at += 1
    if members:
        done.append(b"[" + (b"^" if negated else b"") + b"".join(members) + b"]")
    else:
        done.append(b"." if negated else b"(?!)")
    return at + 1
