"""How many files this process may have open: a connection is one, so a server asks for more.

Why: a shell hands down 1,024 (systemd, Debian), which a server reaches long before its own limit of
connections; accept then fails and nobody is told why. The hard limit is the administrator's, the
soft one ours to raise up to it, as nginx's ``worker_rlimit_nofile`` and HAProxy's ``maxconn`` do.
Not handled: raising the hard limit.
"""

import logging
import resource

SPARE_FILES = 2048  # what a server needs beside its clients: backends, listeners, logs, pipes

log = logging.getLogger(__name__)


def hard_file_limit() -> float:
    """Return what the administrator allows; ``inf`` when there is no limit."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    return float("inf") if hard == resource.RLIM_INFINITY else hard


def allow_open_files(wanted: int) -> int:
    """Raise this process's limit as far as needed and allowed.

    Args:
        wanted: How many files it may need.

    Returns:
        How many it may have open now; less than wanted, which is logged, where the hard limit is.
    """
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft == resource.RLIM_INFINITY or soft >= wanted:
        return wanted if soft == resource.RLIM_INFINITY else soft
    allowed = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (allowed, hard))
    if allowed < wanted:
        log.warning("fewer open files than wanted", extra={"wanted": wanted, "allowed": allowed})
    return allowed
