"""The file of the kernel mode: YAML, checked before anything of it reaches the kernel.

Why: a rule of the kernel with a wrong address takes traffic away without a word, so every mistake
is told with line and column first, and a file with one mistake changes nothing.
Not handled: IPv6, UDP, several addresses in one file (run one process for each, with its own
``table``).
"""

import ipaddress
import re
from collections.abc import Iterator
from pathlib import Path

from kit.source import DataPath, Source, parse_source, read_source
from kit.source_types import Part, convert_source
from lb.l4.kernel.table import DEFAULT_PLACES, Target
from lb.l4.settings import CHECK_INTERVAL_S, CHECK_TIMEOUT_S

DEFAULT_TABLE = "squall_l4"
DEFAULT_CHECK_INTERVAL_S = CHECK_INTERVAL_S
DEFAULT_CHECK_TIMEOUT_S = CHECK_TIMEOUT_S
DEFAULT_REBUILDS_PER_S = 2.0  # a flapping backend costs two transactions a second at most
MAX_BACKENDS = 256
MAX_WEIGHT = 1000.0

_NAME = re.compile(r"[a-z_][a-z0-9_]{0,30}")
_PRIMES = frozenset((251, 509, 1021, 2039, 4093, 8191, 16381, 32749, 65521))


class KernelBackend(Part, frozen=True):
    """One backend.

    Args:
        address: ``ip:port``, IPv4.
        weight: Its share of new connections against the others', > 0, at most ``MAX_WEIGHT``.
        drain: Whether it gets no new connections; those it has go on.
    """

    address: str
    weight: float = 1.0
    drain: bool = False

    @property
    def target(self) -> Target:
        """Where it listens."""
        return target_of(self.address)


class KernelConfig(Part, frozen=True):
    """The whole file.

    Args:
        listen: ``ip:port`` that clients connect to (IPVS calls it the virtual service).
        backends: Who gets the connections.
        places: Size of the Maglev table; the largest prime below a power of two, 251..65521.
        masquerade: Whether a backend sees the balancer's address instead of the client's. Off only
            where backends answer through the balancer (it is their gateway).
        check_interval_s: From one TCP connect to a backend to the next, seconds.
        check_timeout_s: A connect that takes longer is missed, seconds.
        rebuilds_per_s: Transactions at most, per second.
        table: The name of our nftables table; what has this name is ours and is replaced.
    """

    listen: str
    backends: tuple[KernelBackend, ...]
    places: int = DEFAULT_PLACES
    masquerade: bool = True
    check_interval_s: float = DEFAULT_CHECK_INTERVAL_S
    check_timeout_s: float = DEFAULT_CHECK_TIMEOUT_S
    rebuilds_per_s: float = DEFAULT_REBUILDS_PER_S
    table: str = DEFAULT_TABLE

    @property
    def service(self) -> Target:
        """Where clients connect to."""
        return target_of(self.listen)


def load_kernel_config(path: Path) -> KernelConfig:
    """Read a file; raises SourceError with the place of the first mistake."""
    return _check(read_source(path))


def parse_kernel_config(text: str, name: str = "kernel.yaml") -> KernelConfig:
    """Read a text; raises SourceError with the place of the first mistake."""
    return _check(parse_source(text, name))


def kernel_mistakes(config: KernelConfig, at: DataPath = ()) -> Iterator[tuple[DataPath, str]]:
    """Tell what types can't: where, and what is wrong there."""
    if not _is_address(config.listen):
        yield (*at, "listen"), f"listen is {config.listen!r}; give an IPv4 address and port"
    yield from _backend_mistakes(config.backends, (*at, "backends"))
    if config.places not in _PRIMES:
        sizes = ", ".join(map(str, sorted(_PRIMES)))
        yield (*at, "places"), f"places is {config.places}; give one of {sizes}"
    for key in ("check_interval_s", "check_timeout_s", "rebuilds_per_s"):
        value = getattr(config, key)
        if not 0.01 <= value <= 3600:
            yield (*at, key), f"{key} is {value:g}; give 0.01 to 3600"
    if not _NAME.fullmatch(config.table):
        yield (*at, "table"), f"table is {config.table!r}; give a-z, 0-9 and _, at most 31"


def target_of(address: str) -> Target:
    """Split ``ip:port``, which was checked."""
    host, _, port = address.rpartition(":")
    return Target(host, int(port))


def _check(source: Source) -> KernelConfig:
    config = convert_source(source, KernelConfig)
    for path, message in kernel_mistakes(config):
        raise source.error(path, message)
    return config


def _backend_mistakes(
    backends: tuple[KernelBackend, ...], at: DataPath
) -> Iterator[tuple[DataPath, str]]:
    if not 1 <= len(backends) <= MAX_BACKENDS:
        yield at, f"{len(backends)} backends; give 1 to {MAX_BACKENDS}"
    seen: set[str] = set()
    for index, backend in enumerate(backends):
        here: DataPath = (*at, index)
        if not _is_address(backend.address):
            text = f"address is {backend.address!r}; give an IPv4 address and port"
            yield (*here, "address"), text
        if backend.address in seen:
            yield here, f"{backend.address} stands here twice; once with twice the weight"
        seen.add(backend.address)
        if not 0 < backend.weight <= MAX_WEIGHT:
            yield (*here, "weight"), f"weight is {backend.weight:g}; give more than 0, at most 1000"


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    try:
        ipaddress.IPv4Address(host)
    except ValueError:
        return False
    return port.isascii() and port.isdecimal() and str(int(port)) == port and 0 < int(port) < 65536
