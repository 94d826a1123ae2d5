"""A process's settings, read once from its environment.

Why: what a process must know before it can ask the control plane, and nothing else; everything that
may change while it runs is control state. A wrong value ends the process with one line that names
the variable, the value and what to do.
Source: twelve-factor, "Config". Why not pydantic-settings: docs/decisions/0001-settings-msgspec.md.
"""

import os
import re
import socket
from collections.abc import Callable, Mapping
from pathlib import Path

import msgspec

from kit.errors import ConfigError

ADMIN_PORT = 9100  # the usual port of Prometheus' node exporter; the same in every process
DEFAULT_LOG_LEVEL = "warning"
LOG_LEVELS = ("debug", "info", "warning", "error")
CONTAINER_MARK = Path("/.dockerenv")  # the Docker engine puts it into every container
Address = tuple[str, int]

_REPLICA_IN_NAME = re.compile(r"^[a-z0-9_.-]*?-(\d+)(?:\.|$)")


class Settings(msgspec.Struct, frozen=True):
    """What a process knows before it asks anybody.

    Args:
        service: Its compose service, e.g. ``video``.
        replica: 1, 2, ...; with the service it names the instance.
        control: Where the control plane answers.
        store: Seeds of the sharded store; empty when the process has no use for it.
        store_spare: Nodes that the store may have been grown by.
        cache: The cache's nodes, the same for every process; empty when there is none.
        host: Address to bind and to announce; "" binds every address and announces the local one of
            the way to control.
        log_level: One of ``LOG_LEVELS``.
        admin_port: Where the read-only admin pages answer.
    """

    service: str
    replica: int
    control: Address
    store: tuple[Address, ...] = ()
    store_spare: tuple[Address, ...] = ()
    cache: tuple[Address, ...] = ()
    host: str = ""
    log_level: str = DEFAULT_LOG_LEVEL
    admin_port: int = ADMIN_PORT

    @property
    def instance(self) -> str:
        """The process's name in the lab, e.g. ``video.2``."""
        return f"{self.service}.{self.replica}"

    @property
    def bind_host(self) -> str:
        """The address to listen on."""
        return self.host or "0.0.0.0"  # noqa: S104  a container's own network, by design

    def require_store(self) -> tuple[Address, ...]:
        """Return the store's seeds.

        Raises:
            ConfigError: When SQUALL_STORE was not given.
        """
        if not self.store:
            raise ConfigError(
                "SQUALL_STORE is not set: give the store's nodes as host:port,host:port,..."
            )
        return self.store


def load_settings(
    service: str,
    environ: Mapping[str, str] | None = None,
    own_name: Callable[[], str | None] | None = None,
) -> Settings:
    """Read the settings of a service's process.

    Args:
        service: The compose service this process is.
        environ: The environment; None means the process's own.
        own_name: Finds the container's name when SQUALL_REPLICA is empty; None means reverse DNS.

    Raises:
        ConfigError: When a variable is missing or wrong; names it, its value and what to do.
    """
    env = os.environ if environ is None else environ
    return Settings(
        service=service,
        replica=_replica(env.get("SQUALL_REPLICA", ""), own_name or container_name),
        control=_address("SQUALL_CONTROL", _required(env, "SQUALL_CONTROL")),
        store=_addresses("SQUALL_STORE", env.get("SQUALL_STORE", "")),
        store_spare=_addresses("SQUALL_STORE_SPARE", env.get("SQUALL_STORE_SPARE", "")),
        cache=_addresses("SQUALL_CACHE", env.get("SQUALL_CACHE", "")),
        host=_host(env.get("SQUALL_HOST", "")),
        log_level=_log_level(env.get("SQUALL_LOG_LEVEL", "")),
    )


def container_name() -> str | None:
    """Return the name reverse DNS has for this container's address; None outside of one."""
    if not CONTAINER_MARK.exists():
        return None
    try:
        return socket.gethostbyaddr(socket.gethostbyname(socket.gethostname()))[0]
    except OSError:
        return None


def _required(env: Mapping[str, str], name: str) -> str:
    value = env.get(name, "").strip()
    if not value:
        raise ConfigError(f"{name} is not set: give the address as host:port, e.g. control:6379")
    return value


def _replica(text: str, own_name: Callable[[], str | None]) -> int:
    if text.strip():
        if not text.strip().isdecimal() or int(text) < 1:
            raise ConfigError(f"SQUALL_REPLICA is {text!r}: give a whole number from 1")
        return int(text)
    # Compose names replicas squall-video-2; the environment is the same for all of them.
    match = _REPLICA_IN_NAME.match(own_name() or "")
    return max(1, int(match[1])) if match else 1


def _address(name: str, text: str) -> Address:
    host, colon, port = text.strip().rpartition(":")
    if not colon or not host or not port.isdecimal() or not 1 <= int(port) <= 65_535:
        raise ConfigError(f"{name} is {text!r}: give host:port with a port from 1 to 65535")
    return host, int(port)


def _addresses(name: str, text: str) -> tuple[Address, ...]:
    return tuple(_address(name, part) for part in text.split(",") if part.strip())


def _host(text: str) -> str:
    host = text.strip()
    if any(character in host for character in " /:"):
        raise ConfigError(
            f"SQUALL_HOST is {text!r}: give an IPv4 address or a name, without a port"
        )
    return host


def _log_level(text: str) -> str:
    level = text.strip().lower() or DEFAULT_LOG_LEVEL
    if level not in LOG_LEVELS:
        raise ConfigError(f"SQUALL_LOG_LEVEL is {text!r}: give one of {', '.join(LOG_LEVELS)}")
    return level
