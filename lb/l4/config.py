"""The L4 balancer's file: YAML, checked before anything of it is believed.

Why: which of two ways the bytes go, by this process or by the kernel, is a line of the same file,
so that either can be tried with the other's backends.

    mode: proxy    this process: PROXY protocol, limits by client, half-closes, idle timeouts
    mode: kernel   nftables: no byte passes through Python; what only a proxy can do is refused

Not handled: UDP; UNIX sockets; several addresses in one file.
"""

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Literal, TypeAlias

from hashing.maglev import DEFAULT_TABLE_SIZE
from kit.source import DataPath, Source, parse_source, read_source
from kit.source_types import Part, convert_source
from lb.l4.kernel.config import KernelBackend, KernelConfig, kernel_mistakes
from lb.l4.kernel.table import DEFAULT_PLACES
from lb.l4.settings import (
    CHECK_INTERVAL_S,
    CHECK_TIMEOUT_S,
    CONNECT_TIMEOUT_S,
    IDLE_TIMEOUT_S,
    MAX_CONNECTIONS,
    PORT,
)
from lb.l7.arrivals import ProxyProtocolOptions, proxy_protocol_mistakes
from lb.policy.health import DEFAULT_MISSES_TO_LEAVE, DEFAULT_PASSES_TO_RETURN

Mistake: TypeAlias = tuple[DataPath, str]
BalanceName: TypeAlias = Literal["least_connections", "round_robin", "maglev"]

MAX_WEIGHT = 1000.0
MAX_MAGLEV_SIZE = 1_000_003
_PROXY_ONLY = ("proxy_protocol", "timeouts", "limits", "maglev")


class L4Backend(Part, frozen=True):
    """One backend.

    Args:
        address: ``host:port``.
        name: As it is called in figures and messages; by default the address.
        weight: Its share of new connections against the others, > 0, at most ``MAX_WEIGHT``.
        drain: Whether it gets no new connection; those it has go on.
    """

    address: str
    name: str = ""
    weight: float = 1.0
    drain: bool = False

    @property
    def instance(self) -> str:
        """The name it goes by."""
        return self.name or self.address

    @property
    def host(self) -> str:
        """Its host."""
        return self.address.rpartition(":")[0]

    @property
    def port(self) -> int:
        """Its port."""
        return int(self.address.rpartition(":")[2])


class MaglevOptions(Part, frozen=True):
    """Section ``maglev``, for ``balance: maglev``.

    Args:
        size: Places of the table, a prime from 2 on; Envoy's and Katran's is 65,537.
        key: What of a connection finds its place.
    """

    size: int = DEFAULT_TABLE_SIZE
    key: Literal["source_ip", "source_ip_port"] = "source_ip"


class L4ProxyProtocol(ProxyProtocolOptions, frozen=True):
    """Section ``proxy_protocol``.

    Args:
        send: Which header backends get: none, or version 1 or 2.
    """

    send: Literal["off", "v1", "v2"] = "off"


class TimeoutOptions(Part, frozen=True):
    """Section ``timeouts``; seconds, more than 0 each.

    Args:
        connect_s: For a backend to accept; then another one is asked, three in all.
        idle_s: Without a byte in either direction.
        half_close_s: The same after one side has said all it has to say.
    """

    connect_s: float = CONNECT_TIMEOUT_S
    idle_s: float = IDLE_TIMEOUT_S
    half_close_s: float = IDLE_TIMEOUT_S


class LimitOptions(Part, frozen=True):
    """Section ``limits``; what is beyond one is closed at once and counted.

    Args:
        connections: From all clients together, >= 1.
        connections_per_client: From one address; 0: none.
        backend_connections: To one backend, which then is as if it weren't there; 0: none.
    """

    connections: int = MAX_CONNECTIONS
    connections_per_client: int = 0
    backend_connections: int = 0


class CheckOptions(Part, frozen=True):
    """Section ``checks``: a TCP connect to each backend, again and again.

    Args:
        enabled: Whether there are any; without them a refused connection alone tells.
        interval_s: From one to the next.
        timeout_s: One that takes longer is missed.
        unhealthy_after: Missed ones in a row until a backend is left, >= 1.
        healthy_after: Good ones in a row until it is back, >= 1.
    """

    enabled: bool = True
    interval_s: float = CHECK_INTERVAL_S
    timeout_s: float = CHECK_TIMEOUT_S
    unhealthy_after: int = DEFAULT_MISSES_TO_LEAVE
    healthy_after: int = DEFAULT_PASSES_TO_RETURN


class KernelOptions(Part, frozen=True):
    """Section ``kernel``, for ``mode: kernel``; the rest of its file's keys as they are there.

    Args:
        places: Size of the Maglev table in the kernel.
        masquerade: Whether backends see the balancer's address.
    """

    places: int = DEFAULT_PLACES
    masquerade: bool = True


class L4Config(Part, frozen=True):
    """The whole file.

    Args:
        listen: ``host:port`` to accept on.
        mode: Who moves the bytes.
        backends: Who gets the connections; one at least.
        balance: The less busy of two at random, in turn by weight, or by place in a Maglev table.
        maglev: The table.
        proxy_protocol: Whose header is read, and which one is sent.
        timeouts: How long.
        limits: How many.
        checks: Who is up.
        kernel: What only the kernel mode has.
    """

    backends: tuple[L4Backend, ...]
    listen: str = f"0.0.0.0:{PORT}"
    mode: Literal["proxy", "kernel"] = "proxy"
    balance: BalanceName = "least_connections"
    maglev: MaglevOptions = MaglevOptions()
    proxy_protocol: L4ProxyProtocol = L4ProxyProtocol()
    timeouts: TimeoutOptions = TimeoutOptions()
    limits: LimitOptions = LimitOptions()
    checks: CheckOptions = CheckOptions()
    kernel: KernelOptions = KernelOptions()

    @property
    def address(self) -> tuple[str, int]:
        """Where to accept."""
        host, _, port = self.listen.rpartition(":")
        return host, int(port)

    @property
    def as_kernel(self) -> KernelConfig:
        """The same for the kernel mode."""
        return KernelConfig(
            listen=self.listen,
            backends=tuple(
                KernelBackend(address=one.address, weight=one.weight, drain=one.drain)
                for one in self.backends
            ),
            places=self.kernel.places,
            masquerade=self.kernel.masquerade,
            check_interval_s=self.checks.interval_s,
            check_timeout_s=self.checks.timeout_s,
        )


def load_config(path: Path) -> L4Config:
    """Read a file; raises SourceError with the place of the first mistake."""
    return _check(read_source(path))


def parse_config(text: str, name: str = "l4.yaml") -> L4Config:
    """Read a text; raises SourceError with the place of the first mistake."""
    return _check(parse_source(text, name))


def _check(source: Source) -> L4Config:
    config = convert_source(source, L4Config)
    for path, message in _mistakes(config):
        raise source.error(path, message)
    return config


def _mistakes(config: L4Config) -> Iterator[Mistake]:
    if not _is_address(config.listen):
        yield ("listen",), f"listen is {config.listen!r}; give host:port"
    yield from _backend_mistakes(config.backends)
    yield from proxy_protocol_mistakes(config.proxy_protocol, ("proxy_protocol",))
    yield from _number_mistakes(config)
    if config.mode == "kernel":
        for name in _PROXY_ONLY:
            if getattr(config, name) != L4Config.__struct_defaults__[_place(name)]:
                yield (name,), f"the kernel mode has no {name}; take it out, or write mode: proxy"
        if config.balance == "round_robin":
            yield ("balance",), "the kernel mode places by Maglev; take it out, or write maglev"
        if not config.checks.enabled:
            told = "the kernel mode always checks: a dead backend's connections must be forgotten"
            yield ("checks", "enabled"), told
        yield from kernel_mistakes(config.as_kernel)
    elif config.kernel != KernelOptions():
        yield ("kernel",), "kernel is for mode: kernel; take it out"
    if config.maglev != MaglevOptions() and config.balance != "maglev":
        yield ("maglev",), "maglev is for balance: maglev; take it out"


def _backend_mistakes(backends: tuple[L4Backend, ...]) -> Iterator[Mistake]:
    if not backends:
        yield ("backends",), "no backend; write backends: [{address: 'host:port'}]"
    names: set[str] = set()
    for index, backend in enumerate(backends):
        at: DataPath = ("backends", index)
        if not _is_address(backend.address):
            yield (*at, "address"), f"address is {backend.address!r}; give host:port"
        if backend.instance in names:
            yield at, f"{backend.instance} stands here twice; give each a name of its own"
        names.add(backend.instance)
        if not 0 < backend.weight <= MAX_WEIGHT:
            yield (*at, "weight"), f"weight is {backend.weight:g}; give more than 0, at most 1000"


def _number_mistakes(config: L4Config) -> Iterator[Mistake]:
    for section, names in (
        ("timeouts", ("connect_s", "idle_s", "half_close_s")),
        ("checks", ("interval_s", "timeout_s")),
    ):
        for name in names:
            value = getattr(getattr(config, section), name)
            if not 0 < value < math.inf:
                yield (section, name), f"{name} is {value:g}; give more than 0"
    for name in ("unhealthy_after", "healthy_after"):
        count = getattr(config.checks, name)
        if count < 1:
            yield ("checks", name), f"{name} is {count}; give 1 or more"
    limits = config.limits
    if limits.connections < 1:
        yield ("limits", "connections"), f"connections is {limits.connections}; give 1 at least"
    for name in ("connections_per_client", "backend_connections"):
        count = getattr(limits, name)
        if count < 0:
            yield ("limits", name), f"{name} is {count}; give 0 for none, or more"
    size = config.maglev.size
    if not (2 <= size <= MAX_MAGLEV_SIZE and _is_prime(size)):
        yield ("maglev", "size"), f"size is {size}; give a prime from 2 to {MAX_MAGLEV_SIZE}"


def _place(name: str) -> int:
    """Where a field's default stands among the struct's."""
    fields = L4Config.__struct_fields__
    return fields.index(name) - (len(fields) - len(L4Config.__struct_defaults__))


def _is_prime(number: int) -> bool:
    return number > 1 and all(number % d for d in range(2, math.isqrt(number) + 1))


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65_536
