"""Settings of the L4 proxy, each with its source, and the live ones in one value."""

from dataclasses import dataclass
from typing import Literal

PORT = 8080
BACKEND_SERVICE = "l7"

CONNECT_TIMEOUT_S = 1.0  # HAProxy's guides: 5 s over the internet; this is one network
IDLE_TIMEOUT_S = 600.0  # nginx stream proxy_timeout: 10 minutes
MAX_CONNECTIONS = 10_000  # two file descriptors each
MAX_ATTEMPTS = 3  # backends asked before the client is let go
BUFFER_BYTES = 64 * 1024  # held per direction before the sender has to wait
RECHECK_S = 1.0  # a backend that refused is asked again by the next connection after this
SWEEP_S = 5.0  # how late an idle connection may be noticed
BACKLOG = 2048  # the kernel cuts it to net.core.somaxconn
CHECK_INTERVAL_S = 1.0  # keepalived's delay_loop in its examples: seconds, not tenths
CHECK_TIMEOUT_S = 0.5  # one network; a SYN that is lost once (1 s) is a missed check


@dataclass(frozen=True, slots=True)
class L4Settings:
    """What can be changed while it runs.

    Args:
        connect_s: For a backend to accept.
        idle_s: Silence in both directions that ends a connection.
        half_close_s: The same after one side has ended its stream.
        max_connections: Beyond it a new connection is closed at once, >= 1.
        max_per_client: The same for one client's address; 0: no limit.
        max_per_backend: Connections of one backend, which is then as if it weren't there; 0: none.
        send_header: Which PROXY protocol header a backend gets first.
        key: What of a connection the algorithm is told; "": nothing.
    """

    connect_s: float = CONNECT_TIMEOUT_S
    idle_s: float = IDLE_TIMEOUT_S
    half_close_s: float = IDLE_TIMEOUT_S
    max_connections: int = MAX_CONNECTIONS
    max_per_client: int = 0
    max_per_backend: int = 0
    send_header: Literal["off", "v1", "v2"] = "off"
    key: Literal["", "source_ip", "source_ip_port"] = ""
