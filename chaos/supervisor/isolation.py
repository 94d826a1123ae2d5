"""Cut one address off from others with rules of the kernel's packet filter, and take them away.

Why rules and no relays: the lab without a fault has nothing in its nodes' way, and a rule cuts
connections that stand as well as new ones, silently, as a broken network does. Packets are dropped
on arrival, so that no sender is told. Connections must come from their node's own address
(``--bind-source-addr`` in docker-compose.yml), or a rule couldn't tell whose packet it sees:
clients come from 127.0.0.1 and are let through.
Each cut is a table of its own, so that it is put in and taken out as a whole. Its addresses are
elements that time out: killed with everything else, nobody's rules stay longer than they were asked
for.
Source: nft(8), "Sets" (timeout), "Counters"; Jepsen's partitions (iptables DROP on arrival).
Not handled: IPv6; an address that two labs share; MIGRATE, which connects from 127.0.0.1.
"""

import re
import shutil
import sys
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

from lb.l4.kernel.capabilities import has_net_admin
from lb.l4.kernel.commands import run_command
from lb.l4.kernel.nft import apply

_STATUS = Path("/proc/self/status")
_PACKETS = re.compile(r"counter packets (\d+)")
_TABLE = re.compile(r"table ip (squall_cut_\S+)")


def can_isolate(
    *,
    platform: str = sys.platform,
    status: Path = _STATUS,
    find: Callable[[str], str | None] = shutil.which,
) -> bool:
    """Whether this process may change the packet filter: Linux, nft, CAP_NET_ADMIN."""
    return platform == "linux" and find("nft") is not None and has_net_admin(status.read_text())


def cut_off(host: str, others: Sequence[str], seconds: float) -> None:
    """Let nothing pass between an address and others; an earlier cut of it is replaced.

    Args:
        host: IPv4.
        others: IPv4, at least one.
        seconds: After which the kernel lets everything pass by itself, > 0.

    Raises:
        LabEnvironmentError: nft or the kernel refuses; then nothing has changed.
    """
    apply(render(host, others, seconds))


def heal(host: str) -> None:
    """Let everything pass again; no error where nothing is cut.

    Raises:
        LabEnvironmentError: nft or the kernel refuses.
    """
    apply(_without(_table(host)))


def heal_all(hosts: Iterable[str]) -> None:
    """Take away what an earlier lab's end left at these addresses.

    Raises:
        LabEnvironmentError: nft or the kernel refuses.
    """
    ours = {_table(host) for host in hosts}
    left = ours.intersection(_TABLE.findall(run_command(["nft", "list", "tables", "ip"]).text))
    if left:
        apply("".join(map(_without, sorted(left))))


def dropped(host: str) -> int:
    """Return how many packets a cut has swallowed; 0 where nothing is cut."""
    done = run_command(["nft", "list", "table", "ip", _table(host)])
    return sum(map(int, _PACKETS.findall(done.text)))


def render(host: str, others: Sequence[str], seconds: float) -> str:
    """Render a cut as one transaction, whatever was there before."""
    table = _table(host)
    whole_s = max(1, round(seconds))
    elements = ", ".join(f"{other} timeout {whole_s}s" for other in others)
    return f"""{_without(table)}table ip {table} {{
  set others {{
    type ipv4_addr
    flags timeout
    elements = {{ {elements} }}
  }}
  chain arriving {{
    type filter hook input priority filter; policy accept;
    ip saddr {host} ip daddr @others counter drop
    ip saddr @others ip daddr {host} counter drop
  }}
}}
"""


def _table(host: str) -> str:
    return f"squall_cut_{host.replace('.', '_')}"


def _without(table: str) -> str:
    return f"add table ip {table}\ndelete table ip {table}\n"
