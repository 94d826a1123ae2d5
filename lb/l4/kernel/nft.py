"""The data path as one nftables table: rendered as text, applied as one transaction.

Why nftables: hash, look-up and rewriting of a new connection's first packet are expressions that
every kernel of these years has; all later packets follow conntrack and never see our map.

    ip saddr . tcp sport  --jhash, mod places-->  place  --map-->  ip . port  --dnat-->  backend

A transaction is all or nothing: no packet meets half a table (nft(8), "-f").
The key of the map is declared as ``typeof numgen``: an integer in the host's order, as jhash gives
it; ``type integer`` has no size, and ``type mark`` is refused for a jhash. JSON can't say
``typeof`` before nft 1.1, hence text.
Source: nft(8), "Hash and number generator expressions"; the seed is fixed, since without one nft
draws it anew and a restart would move every connection that is being opened again.
Not handled: clients on the balancer itself (their packets pass the output hook), IPv6, UDP.
"""

from collections.abc import Iterable, Mapping

from kit.errors import LabEnvironmentError
from lb.l4.kernel.commands import run_command
from lb.l4.kernel.config import KernelConfig
from lb.l4.kernel.table import Changes, Table, Target

HASH_SEED = 0x53715561  # any number, for ever the same
_MAP = "maglev"


def render_install(config: KernelConfig, table: Table) -> str:
    """Render what replaces our table, if there is one, by a whole new one."""
    name, service = config.table, config.service
    lines = [
        f"add table ip {name}",  # so that the next line never fails
        f"delete table ip {name}",
        f"table ip {name} {{",
        f"  map {_MAP} {{",
        f"    typeof numgen inc mod {config.places} : ip daddr . tcp dport",
        f"    size {config.places}",
        "  }",
        "  chain in {",
        "    type nat hook prerouting priority dstnat; policy accept;",
        f"    ip daddr {service.host} tcp dport {service.port} dnat ip to"
        f" jhash ip saddr . tcp sport mod {config.places} seed {HASH_SEED:#x} map @{_MAP}",
        "  }",
        *_masquerade(config),
        "}",
        *_add(name, dict(enumerate(table))),
    ]
    return "\n".join(lines) + "\n"


def render_changes(config: KernelConfig, changes: Changes) -> str:
    """Render what makes the new table of the one in the kernel; empty when nothing changes."""
    lines: list[str] = []
    if changes.removed:
        places = ", ".join(map(str, changes.removed))
        lines.append(f"delete element ip {config.table} {_MAP} {{ {places} }}")
    lines += _add(config.table, changes.added)
    return "".join(f"{line}\n" for line in lines)


def render_remove(config: KernelConfig) -> str:
    """Render what leaves nothing of ours, and fails never."""
    return f"add table ip {config.table}\ndelete table ip {config.table}\n"


def apply(transaction: str) -> None:
    """Hand the kernel one transaction.

    Raises:
        LabEnvironmentError: When nft or the kernel refuses it; then nothing has changed.
    """
    complaint = complaint_about(transaction)
    if complaint:
        raise LabEnvironmentError(f"nft refused a transaction, nothing was changed: {complaint}")


def complaint_about(transaction: str, *, only_check: bool = False) -> str:
    """Apply, or only check against this kernel; returns nft's first line, empty when all is well.

    Raises:
        LabEnvironmentError: When nft can't be run.
    """
    done = run_command(["nft", *(["-c"] if only_check else []), "-f", "-"], transaction)
    if done.status == 0:
        return ""
    return (done.complaint.strip().splitlines() or [f"exit code {done.status}"])[0]


def _masquerade(config: KernelConfig) -> Iterable[str]:
    """Let answers come back here: a backend that saw the client's address would answer directly."""
    if not config.masquerade:
        return ()
    service = config.service
    return (
        "  chain out {",
        "    type nat hook postrouting priority srcnat; policy accept;",
        f"    meta l4proto tcp ct status dnat ct original ip daddr {service.host}"
        f" ct original proto-dst {service.port} masquerade",
        "  }",
    )


def _add(table: str, elements: Mapping[int, Target]) -> Iterable[str]:
    if not elements:
        return ()
    texts = (f"{place} : {host} . {port}" for place, (host, port) in elements.items())
    return (f"add element ip {table} {_MAP} {{ {', '.join(texts)} }}",)
