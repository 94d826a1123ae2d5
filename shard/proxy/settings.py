"""The proxy's file: TOML, read whole, refused with the key that is wrong and what would be right.

Where ``store`` is absent the environment's SQUALL_STORE is taken, as by the other clients of a lab.
"""

import os
import re
import tomllib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from shard.policy.acl import CATEGORIES, User, allowed, key_patterns
from shard.policy.frames import (
    MAX_ARGUMENTS,
    MAX_BULK_BYTES,
    MAX_COMMAND_BYTES,
    MAX_INLINE_BYTES,
    FrameLimits,
)
from shard.policy.topology import Address

DEFAULT_LISTEN = "127.0.0.1:6380"
MAX_CLIENTS = 4096  # valkey: 10,000
PIPELINE = 1024  # Envoy: 1,024 requests per upstream cluster
OUTPUT_BYTES = 64 * 1024 * 1024  # Envoy closes nobody, valkey has no limit for plain clients
BUFFERED_BYTES = 256 * 1024 * 1024
COMMAND_TIMEOUT_S = 1.0  # the clients' operation timeout
IDLE_TIMEOUT_S = 3600.0  # Envoy's for TCP; valkey and twemproxy have none
DRAIN_S = 5.0  # below the 10 s that docker stop waits

_SHA256 = re.compile(r"[0-9a-f]{64}")


class SettingsError(ValueError):
    """The file is wrong; the message says where and what to write instead."""


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What a proxy may take and how long.

    Args:
        max_clients: Beyond, a client is told so and closed, >= 1.
        pipeline: Commands of one client without an answer; more isn't read, >= 1.
        output_bytes: Answers that a client doesn't fetch, until it is closed, >= 1.
        buffered_bytes: Unfinished commands of all clients together, >= 1.
        command_timeout_s: From a command's arrival to its answer, seconds, > 0.1.
        idle_timeout_s: Without a byte from the client, seconds; 0: no limit.
        drain_s: For what is under way at SIGTERM, seconds, >= 0.
        frames: Of one command.
    """

    max_clients: int = MAX_CLIENTS
    pipeline: int = PIPELINE
    output_bytes: int = OUTPUT_BYTES
    buffered_bytes: int = BUFFERED_BYTES
    command_timeout_s: float = COMMAND_TIMEOUT_S
    idle_timeout_s: float = IDLE_TIMEOUT_S
    drain_s: float = DRAIN_S
    frames: FrameLimits = field(default_factory=FrameLimits)


@dataclass(frozen=True, slots=True)
class ProxyFile:
    """All that the file says.

    Args:
        listen: For clients.
        admin: For /metrics, /livez and /readyz; None: nowhere.
        store: Nodes of a cluster to ask first; empty in front of a cache.
        cache: Nodes by name; empty in front of a store.
        node_user: AUTH at the nodes.
        node_password: The same; None: none.
        users: Empty: everybody may do everything.
        settings: Limits.
    """

    listen: Address
    admin: Address | None
    store: tuple[Address, ...]
    cache: Mapping[str, Address]
    node_user: str
    node_password: str | None = field(repr=False)
    users: tuple[User, ...]
    settings: ProxySettings


LIMITS: Mapping[str, tuple[float, float, float, str]] = {
    "max_clients": (MAX_CLIENTS, 1, 1e6, "clients at once; more are told so and closed"),
    "pipeline": (PIPELINE, 1, 1e6, "a client's commands without an answer; more isn't read"),
    "bulk_bytes": (MAX_BULK_BYTES, 1, 512 * 2**20, "of one argument"),
    "arguments": (MAX_ARGUMENTS, 1, 1_048_576, "of one command, its name included"),
    "command_bytes": (MAX_COMMAND_BYTES, 64, 2**30, "of one command"),
    "inline_bytes": (MAX_INLINE_BYTES, 64, 2**20, "of a command that is a line"),
    "output_bytes": (OUTPUT_BYTES, 1024, 2**34, "answers not fetched, until a client is closed"),
    "buffered_bytes": (BUFFERED_BYTES, 1024, 2**34, "of unfinished commands, all clients together"),
    "command_timeout_s": (COMMAND_TIMEOUT_S, 0.1, 600, "from a command's arrival to its answer"),
    "idle_timeout_s": (IDLE_TIMEOUT_S, 0, 1e6, "without a byte from a client; 0: no limit"),
    "drain_s": (DRAIN_S, 0, 600, "for what is under way at SIGTERM"),
}
"""Of the table ``[limits]``: default, least, most, meaning."""

_TOP = ("listen", "admin", "store", "cache", "node_user", "node_password", "users", "limits")
_OF_USER = ("name", "password_sha256", "commands", "keys")


def load(path: Path, environment: Mapping[str, str] = os.environ) -> ProxyFile:
    """Read the file.

    Raises:
        SettingsError: It can't be read, isn't TOML, or says something wrong.
    """
    try:
        return read(tomllib.loads(path.read_text("utf-8")), environment)
    except OSError as wrong:
        raise SettingsError(f"{path}: {wrong.strerror}") from wrong
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, SettingsError) as wrong:
        raise SettingsError(f"{path}: {wrong}") from wrong


def read(said: Mapping[str, object], environment: Mapping[str, str]) -> ProxyFile:
    """Take what the file says; errors as ``load``."""
    _no_others(said, _TOP, "the file")
    store, cache = _nodes(said.get("store"), environment), _named(said.get("cache"))
    if bool(store) == bool(cache):
        raise SettingsError(
            'name the nodes of one tier: store = ["host:port", …] (or SQUALL_STORE in the '
            'environment), or a table [cache] with name = "host:port"'
        )
    password = said.get("node_password")
    return ProxyFile(
        listen=address(said.get("listen", DEFAULT_LISTEN), "listen", least_port=0),
        admin=None if "admin" not in said else address(said["admin"], "admin", least_port=0),
        store=store,
        cache=cache,
        node_user=_text(said.get("node_user", "default"), "node_user"),
        node_password=None if password is None else _text(password, "node_password"),
        users=tuple(_user(each, number) for number, each in _numbered(said.get("users", []))),
        settings=_settings(said.get("limits", {})),
    )


def address(said: object, what: str, *, least_port: int = 1) -> Address:
    """Read host:port, IPv6 in brackets or without.

    Raises:
        SettingsError: It is something else.
    """
    host, _, port = str(said).rpartition(":")
    host = host.removeprefix("[").removesuffix("]")
    if not (isinstance(said, str) and host and port.isdigit() and least_port <= int(port) < 65536):
        raise SettingsError(f'{what}: {said!r} is no address: write "host:port"')
    return Address(host, int(port))


def _nodes(said: object, environment: Mapping[str, str]) -> tuple[Address, ...]:
    if said is None:
        listed = environment.get("SQUALL_STORE", "")
        return tuple(address(each, "SQUALL_STORE") for each in listed.split(",") if each)
    if not isinstance(said, list):
        raise SettingsError('store: must be a list, such as ["127.0.0.1:7001"]')
    return tuple(address(each, "store") for each in said)


def _named(said: object) -> Mapping[str, Address]:
    if said is None:
        return {}
    if not isinstance(said, dict):
        raise SettingsError('cache: must be a table, with lines such as cache-1 = "127.0.0.1:7101"')
    return {name: address(each, f"cache.{name}") for name, each in said.items()}


def _settings(said: object) -> ProxySettings:
    if not isinstance(said, dict):
        raise SettingsError("limits: must be a table, [limits]")
    _no_others(said, LIMITS, "limits")
    number = {name: _number(name, said.get(name, LIMITS[name][0])) for name in LIMITS}
    return ProxySettings(
        max_clients=int(number["max_clients"]),
        pipeline=int(number["pipeline"]),
        output_bytes=int(number["output_bytes"]),
        buffered_bytes=int(number["buffered_bytes"]),
        command_timeout_s=number["command_timeout_s"],
        idle_timeout_s=number["idle_timeout_s"],
        drain_s=number["drain_s"],
        frames=FrameLimits(
            int(number["bulk_bytes"]),
            int(number["arguments"]),
            int(number["command_bytes"]),
            int(number["inline_bytes"]),
        ),
    )


def _number(name: str, said: object) -> float:
    default, least, most, _ = LIMITS[name]
    is_number = isinstance(said, int if isinstance(default, int) else (int, float))
    if isinstance(said, bool) or not is_number or not least <= float(str(said)) <= most:
        raise SettingsError(f"limits.{name}: {said!r} isn't a number from {least:g} to {most:g}")
    return float(str(said))


def _user(said: object, number: int) -> User:
    what = f"users[{number}]"
    if not isinstance(said, dict):
        raise SettingsError(f"{what}: must be a table, [[users]]")
    _no_others(said, _OF_USER, what)
    name = _text(said.get("name"), f"{what}.name")
    hashes = said.get("password_sha256", [])
    passwords = _texts([hashes] if isinstance(hashes, str) else hashes, f"{what}.password_sha256")
    for each in passwords:
        if not _SHA256.fullmatch(each):
            raise SettingsError(
                f"{what}.password_sha256: must be 64 hex digits: printf %s PASSWORD | sha256sum"
            )
    if not passwords and name != "default":
        raise SettingsError(f"{what}: user {name!r} has no password_sha256")
    try:
        commands = allowed(_texts(said.get("commands", ["+@all"]), f"{what}.commands"))
        keys = key_patterns(_texts(said.get("keys", ["*"]), f"{what}.keys"))
    except SettingsError:
        raise
    except ValueError as wrong:
        raise SettingsError(f"{what}: {wrong}") from wrong
    return User(name, tuple(passwords), commands, keys)


def _text(said: object, what: str) -> str:
    if not isinstance(said, str) or not said:
        raise SettingsError(f"{what}: must be a text, not {said!r}")
    return said


def _texts(said: object, what: str) -> Sequence[str]:
    if not isinstance(said, list) or not all(isinstance(each, str) for each in said):
        raise SettingsError(f"{what}: must be a list of texts, not {said!r}")
    return said


def _numbered(said: object) -> Sequence[tuple[int, object]]:
    if not isinstance(said, list):
        raise SettingsError("users: must be tables, [[users]]")
    return list(enumerate(said))


def _no_others(said: Mapping[str, object], known: Collection[str], what: str) -> None:
    for name in said:
        if name not in known:
            raise SettingsError(f"{what}: no setting {name!r}; there are {', '.join(known)}")


def table() -> str:
    """Show every setting with its default, as text."""
    lines = [
        f'listen = "{DEFAULT_LISTEN}"  # for clients',
        'admin = "127.0.0.1:9121"  # /metrics, /livez, /readyz; absent: nowhere',
        'store = ["127.0.0.1:7001"]  # nodes of a cluster to ask first; or, instead:',
        '# [cache] with name = "host:port"',
        'node_user = "default"  # AUTH at the nodes',
        'node_password = "…"',
        "",
        "[limits]",
        *(f"{name} = {each[0]:g}  # {each[3]}" if isinstance(each[0], float)
          else f"{name} = {each[0]}  # {each[3]}" for name, each in LIMITS.items()),
        "",
        "[[users]]  # none: everybody may do everything",
        'name = "app"',
        'password_sha256 = "…"  # printf %s PASSWORD | sha256sum; a list may be given',
        f'commands = ["+@read", "+set"]  # categories: {", ".join(CATEGORIES)}',
        'keys = ["app:*"]',
    ]  # fmt: skip
    return "\n".join(lines)
