"""Settings of the L4 proxy, each with its source."""

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
