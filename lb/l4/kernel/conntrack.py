"""Forget the connections to a backend that died.

Why: conntrack remembers for days where an established connection goes, whatever the map says. When
the entry is gone, the client's next packet is taken up as a new connection (net.netfilter.
nf_conntrack_tcp_loose, on by default), goes to a living backend, which knows nothing of it and
resets it: the client learns within a round trip what it would else learn by a timeout of minutes.
Source: conntrack(8); IPVS does the same by ``expire_nodest_conn`` (linux:ipvs-sysctl.rst).
Not handled: a client that only listens sends no packet and learns by its keep-alive.
"""

import re

from kit.errors import LabEnvironmentError
from lb.l4.kernel.commands import run_command
from lb.l4.kernel.table import Target

_DELETED = re.compile(r"(\d+) flow entries have been deleted")


def deletion(service: Target, backend: Target) -> list[str]:
    """Return the command for one service's connections to one backend."""
    return [
        *("conntrack", "-D", "-f", "ipv4", "-p", "tcp"),
        *("--orig-dst", service.host, "--orig-port-dst", str(service.port)),
        *("--reply-src", backend.host, "--reply-port-src", str(backend.port)),
    ]


def forget(service: Target, backend: Target) -> int:
    """Delete the entries of connections to a backend; returns how many there were.

    Raises:
        LabEnvironmentError: When conntrack can't be run, or says something else.
    """
    done = run_command(deletion(service, backend))
    found = _DELETED.search(done.complaint)  # it counts there; with none its exit code is 1
    if found is None:
        raise LabEnvironmentError(f"conntrack -D failed: {done.complaint.strip()}")
    return int(found[1])
