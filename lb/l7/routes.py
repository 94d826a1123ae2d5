"""Services of one's own behind l7: which paths go to whom, and where their replicas are now.

Why: a service that somebody adds to the lab speaks plain HTTP and knows nothing of leases, so a
control entry (``route/<service>``, see ``kit.entries``) says where its replicas are. Each such
service gets what the gateways have: balancer, checks, retries, deadline, outlier ejection, panic
threshold, a hop in `squall explain`. Replicas are named by their place in the entry: ``hello.2``.
Names are looked up again and again, since a new container has a new number; one that can't be
looked up now keeps the last number, as a registry that is away keeps its picture.
Source: Envoy's STRICT_DNS clusters; Traefik's PathPrefix (without rewriting: the service sees the
path that the client sees).
Not handled: routing by host or header, rewriting, services that speak only HTTP/2.
"""

import asyncio
import ipaddress
import socket
from collections.abc import Callable, Coroutine, Mapping
from typing import Any, NamedTuple

from kit.entries import RouteEntry
from kit.state import LabState
from lb.l7.checks import CheckOptions, Checks
from lb.l7.proxy import Proxy

LOOK_UP_EVERY_S = 1.0  # the engine's own DNS answers in a millisecond; Envoy's default is 5 s
LOOK_UP_LIMIT_S = 1.0

Address = tuple[str, int]
Resolve = Callable[[str, int], Coroutine[Any, Any, str]]
Dial = Callable[[str, int], Address]


class Where(NamedTuple):
    """One replica."""

    instance: str
    host: str
    port: int


async def resolve_name(host: str, port: int) -> str:
    """Look a name up; raises OSError when it has no number now."""
    loop = asyncio.get_running_loop()
    found = await loop.getaddrinfo(host, port, family=socket.AF_INET, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


class _Service:
    """One service: its proxy, its checks, and the numbers behind its replicas' names."""

    def __init__(self, proxy: Proxy, entry: RouteEntry) -> None:
        self.proxy = proxy
        self.entry = entry
        self.checks = Checks(proxy.balancer, proxy.mode, options=CheckOptions(path=entry.health))
        self.numbers: dict[str, str] = {}

    def set_replicas(self, replicas: list[Where]) -> None:
        """Use and check these from now on."""
        self.proxy.set_endpoints(replicas)
        self.checks.set_endpoints(replicas)


class Routes:
    """Follow the route entries of control.

    Args:
        proxy: The gateways'; gets every path that nobody else has.
        dial: Where to connect instead, while a fault disturbs the link (``kit.directory``).
        on_new: Told of each service's proxy once, to show it in asks and metrics.
        resolve: Looks a name up.
    """

    def __init__(
        self,
        proxy: Proxy,
        dial: Dial = lambda host, port: (host, port),
        *,
        on_new: Callable[[str, Proxy], None] = lambda service, proxy: None,
        resolve: Resolve = resolve_name,
    ) -> None:
        self._default = proxy
        self._dial = dial
        self._on_new = on_new
        self._resolve = resolve
        self._proxies: dict[str, Proxy] = {}
        self._services: dict[str, _Service] = {}
        self._table: list[tuple[bytes, bytes, Proxy]] = []
        self._state = LabState()
        self._closing: set[asyncio.Task[None]] = set()
        self._wake = asyncio.Event()

    def proxy_for(self, target: bytes) -> Proxy:
        """Return whose path a request target is; the longest prefix wins."""
        path = target.partition(b"?")[0]
        for prefix, below, proxy in self._table:
            if path == prefix or path.startswith(below):
                return proxy
        return self._default

    def follow(self, state: LabState) -> None:
        """Take the newest entries; a service whose entry is gone gets no new request."""
        self._state = state
        entries = {
            field.partition("/")[2]: entry
            for field, entry in state.entries.items()
            if isinstance(entry, RouteEntry)
        }
        for name in [name for name in self._services if self._is_stale(name, entries)]:
            self._end(self._services.pop(name))
        for name, entry in entries.items():
            if name not in self._services:
                self._services[name] = _Service(self._proxy(name), entry)
        self._table = sorted(
            (
                (one.entry.prefix.encode(), one.entry.prefix.encode() + b"/", one.proxy)
                for one in self._services.values()
            ),
            key=lambda row: -len(row[0]),
        )
        self._default.proxy_for = self.proxy_for
        self.refresh()

    def refresh(self) -> None:
        """Look at the addresses now instead of at the next turn."""
        for name, service in self._services.items():
            service.set_replicas(self._replicas(name, service))
        self._wake.set()

    async def run(self) -> None:
        """Look names up until cancelled."""
        while True:
            self._wake.clear()
            for name, service in tuple(self._services.items()):
                await self._look_up(service)
                if self._services.get(name) is service:
                    service.set_replicas(self._replicas(name, service))
            try:
                async with asyncio.timeout(LOOK_UP_EVERY_S):
                    await self._wake.wait()
            except TimeoutError:
                continue

    async def close(self) -> None:
        """End every check."""
        for service in self._services.values():
            await service.checks.close()
        await asyncio.gather(*self._closing)

    async def _look_up(self, service: _Service) -> None:
        hosts = [host for host in service.entry.hosts if not _is_number(host)]
        found = await asyncio.gather(*(self._number(host, service.entry.port) for host in hosts))
        for host, number in zip(hosts, found, strict=True):
            if number is not None:
                service.numbers[host] = number

    async def _number(self, host: str, port: int) -> str | None:
        try:
            async with asyncio.timeout(LOOK_UP_LIMIT_S):
                return await self._resolve(host, port)
        except (OSError, UnicodeError):  # gaierror, TimeoutError; a name that can't be: ``a..b``
            return None

    def _replicas(self, name: str, service: _Service) -> list[Where]:
        replicas = []
        port = service.entry.port
        for number, host in enumerate(service.entry.hosts, start=1):
            if self._state.is_drained(name, number):
                continue
            way = self._dial(host, port)
            if way == (host, port) and not _is_number(host):
                if host not in service.numbers:
                    continue
                way = self._dial(service.numbers[host], port)
            replicas.append(Where(f"{name}.{number}", *way))
        return replicas

    def _is_stale(self, name: str, entries: Mapping[str, RouteEntry]) -> bool:
        return entries.get(name) != self._services[name].entry

    def _proxy(self, name: str) -> Proxy:
        """One for each name ever seen: its counters outlive a change of its entry."""
        if name not in self._proxies:
            self._proxies[name] = self._default.sibling(name)
            self._on_new(name, self._proxies[name])
        return self._proxies[name]

    def _end(self, service: _Service) -> None:
        service.proxy.set_endpoints([])
        task = asyncio.get_running_loop().create_task(service.checks.close())
        self._closing.add(task)
        task.add_done_callback(self._closing.discard)


def _is_number(host: str) -> bool:
    try:
        ipaddress.ip_address(host)
    except ValueError:
        return False
    return True
