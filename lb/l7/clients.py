"""Limits of clients: how many connections, how many requests a second, how large a request.

Why: whoever asks most, or sends most, takes from all others what they share. A limit for each
client's address bounds one of them; what it may cost is bounded too: of 10,000 addresses each has a
rate of its own, those beyond share one, and nobody is ever let through more for being forgotten.
An address of IPv6 counts by its first 64 bits, since one customer has all of the rest.
Whose address: the connection's (which a PROXY protocol header may have told). Where ``forwarded:
{trust: ...}`` names the proxies in front, of their requests the last address in
``x-forwarded-for`` that isn't theirs. While everyone is trusted, that header counts for nothing
here, or each client would choose the name that it is counted under.
Source: nginx ``limit_req``, ``limit_conn``, ``client_max_body_size``, ``keepalive_requests``, and
``real_ip_recursive``; HAProxy stick tables; RFC 6585 4 (429), RFC 9110 15.5.14 (413).
Not handled: RFC 7239's ``Forwarded`` as a source of the address; one rate over several processes.
Connections in their TLS handshake are counted on their own (``lb.l7.arrivals``).
"""

import ipaddress
import math
from collections import Counter
from collections.abc import Iterator

from kit.source import DataPath
from kit.source_types import Part
from lb.l7.errors import Problem
from lb.l7.forwarded import EVERYONE, Networks
from lb.l7.headers import Headers
from lb.l7.settings import MAX_CONNECTIONS, MAX_HEAD_BYTES, MAX_HEADERS
from resilience.policy.contract import Outcome, Rejection, Request, Snapshot
from resilience.policy.gcra import Gcra
from resilience.policy.keyed import KeyedRate
from resilience.refusal import decision_text

LEAST_HEAD_BYTES = 1024  # below it browsers' cookies alone would be refused
MOST_HEADERS = 1000  # of a head of 64 KiB hardly more are of any use
_IPV6_CUSTOMER_BITS = 64  # RFC 6177: a site gets a /64 at least
_FORWARDED_FOR = b"x-forwarded-for"
_AT_LEAST_0 = ("connections_per_client", "requests_per_connection", "client_rps", "max_body_bytes")


class ClientOptions(Part, frozen=True):
    """Section ``clients``; 0 is none, where that is the default.

    Args:
        connections: From all clients together, >= 1; beyond it a new one is closed at once.
        connections_per_client: From one address; beyond it a new one is closed at once.
        requests_per_connection: After which a connection ends; it is said with the last answer.
        client_rps: Requests a second from one address; beyond it 429.
        client_burst: How many of them may come at once; 0: a second's worth, at least 1.
        max_body_bytes: Of a request's body; beyond it 413.
        max_headers: Of a request, 1..1000; beyond it 431.
        max_head_bytes: Of a request, 1,024..65,536; beyond it 431.
    """

    connections: int = MAX_CONNECTIONS
    connections_per_client: int = 0
    requests_per_connection: int = 0
    client_rps: float = 0.0
    client_burst: float = 0.0
    max_body_bytes: int = 0
    max_headers: int = MAX_HEADERS
    max_head_bytes: int = MAX_HEAD_BYTES


def client_mistakes(options: ClientOptions, at: DataPath) -> Iterator[tuple[DataPath, str]]:
    """Name what is out of range."""
    if options.connections < 1:
        yield (*at, "connections"), f"connections is {options.connections}; give 1 at least"
    for name in _AT_LEAST_0:
        value = getattr(options, name)
        if not 0 <= value < math.inf:
            yield (*at, name), f"{name} is {value:g}; give 0 for none, or more"
    burst = options.client_burst
    if burst and not 1.0 <= burst < math.inf:
        told = f"client_burst is {burst:g}; give 1 at least, or 0 for a second's worth"
        yield (*at, "client_burst"), told
    if burst and not options.client_rps:
        yield (*at, "client_burst"), "client_burst says nothing without client_rps; give both"
    for name, least, most in (
        ("max_headers", 1, MOST_HEADERS),
        ("max_head_bytes", LEAST_HEAD_BYTES, MAX_HEAD_BYTES),
    ):
        value = getattr(options, name)
        if not least <= value <= most:
            yield (*at, name), f"{name} is {value}; give {least} to {most}"


class ClientLimits:
    """What holds for every client, and how many were over it.

    ``is_on`` says whether requests have to be looked at one by one.
    """

    def __init__(self) -> None:
        self.options = ClientOptions()
        self.max_head_bytes = self.options.max_head_bytes
        self.is_on = False
        self._rate: KeyedRate | None = None
        self._trusted: Networks | None = None
        self.refused: Counter[str] = Counter()

    def use(self, options: ClientOptions, trust: tuple[str, ...] = EVERYONE) -> None:
        """Take other limits; rates that stay the same go on where they were.

        Args:
            options: The limits.
            trust: Networks of the proxies in front, who say for whom they ask.
        """
        asked = (options.client_rps, options.client_burst)
        if self._rate is None or asked != (self.options.client_rps, self.options.client_burst):
            self._rate = _rate(*asked)
        self.options = options
        self.max_head_bytes = options.max_head_bytes
        self.is_on = bool(options.client_rps or options.max_body_bytes)
        self._trusted = None if trust == EVERYONE else Networks(trust)

    def find_problem(
        self, headers: Headers, peer: bytes, *, is_trusted: bool, length: int, now_s: float
    ) -> Problem | None:
        """Return why a request is refused, if it is; O(1) but for ``x-forwarded-for``.

        Args:
            headers: As they came.
            peer: Who sent it.
            is_trusted: Whether the peer's forwarded headers are believed.
            length: Of its body as far as it is known, else 0.
            now_s: When.
        """
        if self._rate is not None:
            client = self._client_of(headers, peer) if is_trusted else peer.decode("latin-1")
            decision = self._rate.admit(Request(key=client_key(client)), now_s)
            if isinstance(decision, Rejection):
                self.refused["rate"] += 1
                return _too_many_requests(client, decision)
            self._rate.settle(decision, Outcome.OK, now_s)
        if length > self.options.max_body_bytes > 0:
            return self.too_large()
        return None

    def too_large(self) -> Problem:
        """413: a body that is larger than may be."""
        self.refused["body"] += 1
        limit = self.options.max_body_bytes
        return Problem(
            413, "BODY_TOO_LARGE", f"the body is larger than {limit} bytes; send less", closes=True
        )

    def is_last(self, requests: int) -> bool:
        """Whether this many are all that a connection may carry."""
        return 0 < self.options.requests_per_connection <= requests

    def has_room(self, connections: int) -> bool:
        """Whether a client that has so many connections may have one more."""
        limit = self.options.connections_per_client
        if not limit or connections < limit:
            return True
        self.refused["connections"] += 1
        return False

    def snapshot(self) -> Snapshot:
        """Counts of what was refused, by kind, and the addresses that have a rate of their own."""
        known = {} if self._rate is None else {"clients": self._rate.snapshot()["keys"]}
        kinds = ("rate", "body", "connections")
        return {**{f"refused.{kind}": self.refused[kind] for kind in kinds}, **known}

    def reset(self) -> None:
        """Count anew; rates go on."""
        self.refused.clear()

    def _client_of(self, headers: Headers, peer: bytes) -> str:
        """Return who asked: the last one of the chain that is none of the proxies in front."""
        client = peer.decode("latin-1")
        if self._trusted is None:
            return client
        given = b",".join(value for name, value in headers if name.lower() == _FORWARDED_FOR)
        for hop in reversed(given.split(b",")):
            text = hop.strip().decode("latin-1")
            if not _is_address(text):
                break
            client = text
            if not self._trusted.has(text):
                break
        return client


def client_key(address: str) -> str:
    """Return what an address is counted under: of IPv6 its first 64 bits; other text as it is."""
    if ":" not in address:
        return address
    try:
        parsed = ipaddress.IPv6Address(address)
    except ValueError:
        return address
    if parsed.ipv4_mapped is not None:
        return str(parsed.ipv4_mapped)
    return str(ipaddress.IPv6Network((int(parsed), _IPV6_CUSTOMER_BITS), strict=False))


def _rate(rps: float, burst: float) -> KeyedRate | None:
    if not rps:
        return None
    return KeyedRate(lambda: Gcra(rps, burst or None), key_of=lambda request: request.key)


def _too_many_requests(client: str, refused: Rejection) -> Problem:
    wait_s = None if refused.retry_after_s is None else max(1, math.ceil(refused.retry_after_s))
    told = f"{client} asks more often than a client may; try again in {wait_s} s"
    value = None if refused.value is None else round(refused.value, 2)
    return Problem(
        429,
        "CLIENT_RATE_EXCEEDED",
        told,
        retry_after_s=wait_s,
        decision=decision_text(
            refused.policy, f"clients/{client_key(client)}", value, refused.limit
        ),
    )


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
