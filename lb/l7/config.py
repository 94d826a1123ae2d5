"""The L7 proxy's file: YAML, checked before anything of it is believed.

Why: a balancer's file is edited in a hurry. Every mistake is told with line, column and the key
that was probably meant, and a file with one mistake changes nothing. Without a file the proxy is
what the lab ships: gateways from the registry, every default below.
Each section is a type of its own, beside the code it configures; this is their list.
Not handled: routing by path (``lb.l7.routes``), what changes by switch (``squall policy``).
"""

from collections.abc import Iterator, Mapping
from pathlib import Path

from kit.nearest import nearest
from kit.source import DataPath, Source, parse_source, read_source
from kit.source_types import Part, convert_source
from lb.l7.access_log import AccessLogOptions, access_log_mistakes
from lb.l7.arrivals import ProxyProtocolOptions, proxy_protocol_mistakes
from lb.l7.backend_limits import LimitOptions, limit_mistakes
from lb.l7.balancing import BalanceOptions, balance_mistakes
from lb.l7.checks import CheckOptions, check_mistakes
from lb.l7.clients import ClientOptions, client_mistakes
from lb.l7.ejection import EjectionOptions, ejection_mistakes
from lb.l7.forwarded import ForwardedOptions, forwarded_mistakes
from lb.l7.http2.options import Http2Options, http2_mistakes
from lb.l7.settings import PORT, ROUTE_BUDGET_S
from lb.l7.timeouts import TimeoutOptions, timeout_mistakes
from lb.l7.tls import TlsOptions, tls_mistakes
from lb.l7.tunnel import WebSocketOptions, websocket_mistakes
from lb.policy.attempts import IDEMPOTENT_METHODS, MAX_ATTEMPTS, SAFE_METHODS
from resilience.policy.contract import Mode

Mistake = tuple[DataPath, str]
"""Where in the file, and what is wrong there."""

MAX_WEIGHT = 1000.0
MAX_WORKERS = 64
_SAFE = tuple(sorted(method.decode() for method in SAFE_METHODS))
_IDEMPOTENT = tuple(sorted(method.decode() for method in IDEMPOTENT_METHODS))
L7_POLICIES = (
    "deadline", "retry", "retry_budget", "checks", "outlier", "panic", "p2c", "drain",
    "slow_clients",
)  # fmt: skip


class Backend(Part, frozen=True):
    """One backend that the file names itself; with none, backends come from the registry.

    Args:
        address: ``host:port``.
        name: As it is called in figures and messages; by default the address.
        weight: Its share against the others, > 0, at most ``MAX_WEIGHT``.
        zone: Where it stands, for ``balance: {zone: ...}``.
        priority: 0 is asked first, 1 when 0 is not enough, ...
        canary: Whether it runs the next version.
        drain: Whether it gets no new request; those it has end there.
        max_connections: Requests it may hold at once; 0: as the section ``limits`` says.
    """

    address: str
    name: str = ""
    weight: float = 1.0
    zone: str = ""
    priority: int = 0
    canary: bool = False
    drain: bool = False
    max_connections: int = 0

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


class RequestOptions(Part, frozen=True):
    """Section ``requests``: what settings of control say in the lab.

    Args:
        budget_ms: Deadline of a request that brings none, and the most that one may bring, >= 1.
        attempts: Tries per request, the first included, >= 1.
        retry_answers: Whether a 5xx is tried again too.
        retry_methods: Whose requests may be sent twice, of ``IDEMPOTENT_METHODS``.
        retry_paths: Beginnings of the paths where they may.
    """

    budget_ms: float = ROUTE_BUDGET_S * 1000
    attempts: int = MAX_ATTEMPTS
    retry_answers: bool = False
    retry_methods: tuple[str, ...] = _SAFE
    retry_paths: tuple[str, ...] = ("/",)

    @property
    def repeatable_methods(self) -> frozenset[bytes]:
        """``retry_methods`` as requests have them."""
        return frozenset(name.encode() for name in self.retry_methods)

    @property
    def repeatable_paths(self) -> tuple[bytes, ...]:
        """``retry_paths`` as requests have them."""
        return tuple(path.encode() for path in self.retry_paths)


class L7Config(Part, frozen=True):
    """The whole file.

    Args:
        listen: ``host:port`` to accept on.
        workers: How many processes serve, 1..``MAX_WORKERS``.
        backends: Who answers; empty means the registry's gateways.
        policies: How each switch stands (``on``, ``shadow``, ``off``), else as in the lab.
        requests: Deadline and tries.
        timeouts: How long a client may take.
        clients: How many connections, how often, how much.
        balance: How backends are picked.
        limits: How much each may hold, and how many wait.
        checks: How they are asked whether they are well.
        ejection: Which of them are left for how they answer.
        forwarded: Whose forwarded headers are believed, and which are written.
        proxy_protocol: Whose PROXY protocol header is read.
        tls: A listener for HTTPS beside the plain one.
        access_log: Where requests are logged.
        websocket: Whether WebSockets are passed on.
        http2: Whether clients may speak it, and its limits.
    """

    listen: str = f"0.0.0.0:{PORT}"
    workers: int = 1
    backends: tuple[Backend, ...] = ()
    policies: Mapping[str, Mode] = {}
    requests: RequestOptions = RequestOptions()
    timeouts: TimeoutOptions = TimeoutOptions()
    clients: ClientOptions = ClientOptions()
    balance: BalanceOptions = BalanceOptions()
    limits: LimitOptions = LimitOptions()
    checks: CheckOptions = CheckOptions()
    ejection: EjectionOptions = EjectionOptions()
    forwarded: ForwardedOptions = ForwardedOptions()
    proxy_protocol: ProxyProtocolOptions = ProxyProtocolOptions()
    tls: TlsOptions = TlsOptions()
    access_log: AccessLogOptions = AccessLogOptions()
    websocket: WebSocketOptions = WebSocketOptions()
    http2: Http2Options = Http2Options()

    @property
    def address(self) -> tuple[str, int]:
        """Where to accept."""
        host, _, port = self.listen.rpartition(":")
        return host, int(port)

    @property
    def alpn(self) -> tuple[str, ...]:
        """What a handshake offers, best first."""
        return tuple(name for name in self.tls.alpn if name != "h2" or self.http2.enabled)


def load_config(path: Path) -> L7Config:
    """Read a file; raises SourceError with the place of the first mistake."""
    return check_source(read_source(path))


def parse_config(text: str, name: str = "l7.yaml") -> L7Config:
    """Read a text; raises SourceError with the place of the first mistake."""
    return check_source(parse_source(text, name))


def check_source(source: Source) -> L7Config:
    """Check what was read; raises SourceError with the place of the first mistake."""
    config = convert_source(source, L7Config)
    for path, message in _mistakes(config):
        raise source.error(path, message)
    return config


def _mistakes(config: L7Config) -> Iterator[Mistake]:
    if not _is_address(config.listen):
        yield ("listen",), f"listen is {config.listen!r}; give host:port"
    if not 1 <= config.workers <= MAX_WORKERS:
        yield ("workers",), f"workers is {config.workers}; give 1 to {MAX_WORKERS}"
    names: set[str] = set()
    for index, backend in enumerate(config.backends):
        at: DataPath = ("backends", index)
        if not _is_address(backend.address):
            yield (*at, "address"), f"address is {backend.address!r}; give host:port"
        if backend.instance in names:
            yield at, f"{backend.instance} stands here twice; give each a name of its own"
        names.add(backend.instance)
        if not 0 < backend.weight <= MAX_WEIGHT:
            yield (*at, "weight"), f"weight is {backend.weight:g}; give more than 0, at most 1000"
        if backend.priority < 0:
            yield (*at, "priority"), f"priority is {backend.priority}; 0 is the first"
        if backend.max_connections < 0:
            count = backend.max_connections
            yield (*at, "max_connections"), f"max_connections is {count}; give 0 at least"
    for name in config.policies:
        if name not in L7_POLICIES:
            yield ("policies", name), f"unknown policy {name}; {nearest(name, L7_POLICIES)}"
    if config.requests.budget_ms < 1:
        at = ("requests", "budget_ms")
        yield at, f"budget_ms is {config.requests.budget_ms:g}; give 1 at least"
    if config.requests.attempts < 1:
        at = ("requests", "attempts")
        yield at, f"attempts is {config.requests.attempts}; give 1 at least"
    for index, method in enumerate(config.requests.retry_methods):
        if method not in _IDEMPOTENT:
            told = (
                f"{method} may not be sent twice; of {', '.join(_IDEMPOTENT)} name those that may"
            )
            yield ("requests", "retry_methods", index), told
    for index, path in enumerate(config.requests.retry_paths):
        if not path.startswith("/"):
            yield ("requests", "retry_paths", index), f"{path!r} begins no path; begin with /"
    yield from timeout_mistakes(config.timeouts, ("timeouts",))
    yield from client_mistakes(config.clients, ("clients",))
    yield from balance_mistakes(config.balance, ("balance",))
    yield from limit_mistakes(config.limits, ("limits",))
    yield from check_mistakes(config.checks, ("checks",))
    yield from ejection_mistakes(config.ejection, ("ejection",))
    yield from forwarded_mistakes(config.forwarded, ("forwarded",))
    yield from proxy_protocol_mistakes(config.proxy_protocol, ("proxy_protocol",))
    yield from tls_mistakes(config.tls, ("tls",))
    yield from access_log_mistakes(config.access_log, ("access_log",))
    yield from websocket_mistakes(config.websocket, ("websocket",))
    yield from http2_mistakes(config.http2, ("http2",))
    if config.tls.alpn and not config.alpn:
        yield ("tls", "alpn"), "alpn offers h2 alone, and http2 is not enabled; give http/1.1 too"


def _is_address(text: str) -> bool:
    host, _, port = text.rpartition(":")
    return bool(host) and port.isdecimal() and 0 < int(port) < 65_536
