"""Settings of the L7 proxy: every number with its source, the live ones in one value."""

from dataclasses import dataclass

from lb.policy.attempts import MAX_ATTEMPTS, SAFE_METHODS

PORT = 8081
BACKEND_SERVICE = "gateway"

ROUTE_BUDGET_S = 1.0  # design: every route's default
MAX_HEAD_BYTES = 64 * 1024  # HAProxy 16 KiB, Envoy 60 KiB, nginx 32 KiB, node 16 KiB
MAX_HEADERS = 100  # Envoy: 100; HAProxy: 101
MAX_CONNECTIONS = 10_000  # from clients; beyond it a new one is closed at once

BUFFER_BYTES = 64 * 1024  # held per direction before the other side is told to wait
MAX_IDLE_PER_BACKEND = 256  # one per slot of the gateway's concurrency cap
UPSTREAM_IDLE_S = 30.0  # well below the gateway's 75 s: we close first, so a request meets no close
CONNECT_TIMEOUT_S = 0.3  # the same network; a backend that needs longer to accept is drowning
CLIENT_IDLE_S = 60.0  # nginx 75 s, HAProxy "timeout http-keep-alive" commonly 60 s
CLIENT_HEAD_S = 10.0  # the whole head must be here; nginx 60 s, Apache 20 s
CLIENT_BODY_S = 20.0  # between two pieces of a body; Apache mod_reqtimeout body=20, nginx 60 s
CLIENT_MIN_RATE = 500.0  # bytes/s of a body: Apache mod_reqtimeout MinRate=500
RATE_WINDOW_S = 5.0  # over which that is counted: a lost packet is repeated within 3 s
CLIENT_WRITE_S = 60.0  # without taking anything of an answer: nginx send_timeout
SWEEP_S = 1.0  # how late an idle connection may be noticed
LINGER_S = 1.0  # after an early answer: read on this long, so that no RST overtakes it

CHECK_INTERVAL_S = 0.3  # design: each 300 ms
CHECK_TIMEOUT_S = 0.3
CHECK_PATH = "/readyz"


@dataclass(frozen=True, slots=True)
class ProxySettings:
    """What can be changed while it runs.

    Args:
        route_budget_s: Deadline of a request that brings none, and the most one may bring.
        max_attempts: Attempts per request, the first included, >= 1.
        retry_answers: Whether a 5xx is tried again too; else only what got no answer, or one that
            says that nothing was begun.
        retry_methods: Those whose requests may be sent twice.
        retry_paths: Beginnings of the paths where that holds.
        max_connections: From clients; beyond it a new one is closed at once, >= 1.
    """

    route_budget_s: float = ROUTE_BUDGET_S
    max_attempts: int = MAX_ATTEMPTS
    retry_answers: bool = False
    retry_methods: frozenset[bytes] = SAFE_METHODS
    retry_paths: tuple[bytes, ...] = (b"/",)
    max_connections: int = MAX_CONNECTIONS
