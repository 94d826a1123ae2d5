"""What kernel mode needs of this machine, looked at before anything is changed.

Why: nft's own words for a missing right are "Operation not permitted", and for ip_forward there are
none: packets just vanish. Each is one line here, with what to do.
Not handled: other tables of the machine that drop forwarded packets (``nft list ruleset``).
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

from kit.errors import LabEnvironmentError
from lb.l4.kernel import nft
from lb.l4.kernel.config import KernelConfig

CAP_NET_ADMIN = 12  # linux:include/uapi/linux/capability.h
PROGRAMS = {"nft": "nftables", "conntrack": "conntrack"}  # and their Debian packages

_STATUS = Path("/proc/self/status")
_FORWARD = Path("/proc/sys/net/ipv4/ip_forward")


def require(config: KernelConfig) -> None:
    """Go on only where kernel mode can work.

    Raises:
        LabEnvironmentError: Names all that is missing, each with what to do; exit code 3.
    """
    missing = list(lacking(config))
    if missing:
        raise LabEnvironmentError("kernel mode can't run here:\n  " + "\n  ".join(missing))


def lacking(
    config: KernelConfig,
    *,
    platform: str = sys.platform,
    status: Path = _STATUS,
    forward: Path = _FORWARD,
    find: Callable[[str], str | None] = shutil.which,
) -> Iterator[str]:
    """Name what is missing; the kernel's expressions are tried only when all else is there."""
    if platform != "linux":
        yield f"this is {platform}, kernel mode is Linux's: use mode proxy"
        return
    missing = [program for program in PROGRAMS if find(program) is None]
    for program in missing:
        yield f"no {program}: install the package {PROGRAMS[program]}"
    may = has_net_admin(status.read_text())
    if not may:
        yield "no CAP_NET_ADMIN: run as root, or with docker's --cap-add NET_ADMIN"
    if forward.read_text().strip() != "1":
        yield "net.ipv4.ip_forward is 0: sysctl -w net.ipv4.ip_forward=1"
    if may and not missing:
        yield from _refused(config)


def has_net_admin(status: str) -> bool:
    """Read the text of /proc/self/status: whether CAP_NET_ADMIN is effective."""
    for line in status.splitlines():
        key, _, value = line.partition(":")
        if key == "CapEff":
            return bool(int(value, 16) >> CAP_NET_ADMIN & 1)
    return False


def _refused(config: KernelConfig) -> Iterator[str]:
    """Let nft and kernel check the very rules we would install."""
    complaint = nft.complaint_about(nft.render_install(config, ()), only_check=True)
    if complaint:
        yield (
            f"nft or the kernel refuses our table ({complaint}): nft 1.0 or newer, and a kernel "
            "with CONFIG_NFT_HASH, CONFIG_NFT_NAT and CONFIG_NFT_MASQ are needed"
        )
