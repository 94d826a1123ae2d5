"""Limit the memory of a running process, and lift the limit again, without root.

Why RLIMIT_DATA: since Linux 4.7 it counts private writable mappings, which is what a program
allocates. RLIMIT_AS counts addresses: the arenas and stacks that an allocator reserves and never
touches (hundreds of MiB for gRPC), so that no figure in it means memory. Neither counts resident
memory, and nobody else can be asked without cgroups; so the limit is put where the program may
still map as much as it is short of the wanted resident size.
Only the soft limit is moved: raising it again up to the hard one needs no privilege.
Source: getrlimit(2), prlimit(2); mm/mmap.c, may_expand_vm().
Not handled: what is mapped already (it is kept, however little is allowed). The effect differs from
a container's limit: there the kernel kills who goes beyond (exit code 137), here allocating fails
(MemoryError, ENOMEM).
"""

import contextlib
import resource
from pathlib import Path

MIB = 2**20
KIB = 2**10
UNLIMITED = resource.RLIM_INFINITY  # -1


def data_limit(pid: int) -> int:
    """Return the soft limit in bytes, -1 for none or when the process is gone."""
    try:
        return resource.prlimit(pid, resource.RLIMIT_DATA)[0]
    except (ProcessLookupError, PermissionError):
        return UNLIMITED


def set_data_limit(pid: int, limit_bytes: int) -> None:
    """Move the soft limit, at most up to the hard one; nothing when the process is gone."""
    with contextlib.suppress(ProcessLookupError):
        _, hard = resource.prlimit(pid, resource.RLIMIT_DATA)
        soft = limit_bytes if hard == UNLIMITED else min(limit_bytes, hard)
        soft = hard if limit_bytes == UNLIMITED else soft
        resource.prlimit(pid, resource.RLIMIT_DATA, (soft, hard))


def limit_for(pid: int, resident_mb: float, proc: Path = Path("/proc")) -> int | None:
    """Return the limit under which a process can grow to a resident size; None once it is gone.

    Args:
        pid: The process.
        resident_mb: In units of 2**20 bytes; less than it has now allows no growth at all.
        proc: Where the kernel tells.
    """
    try:
        lines = (proc / str(pid) / "status").read_text().splitlines()
    except OSError:
        return None
    sizes = {name: text for name, _, text in (line.partition(":") for line in lines)}
    if "VmData" not in sizes:  # a zombie has no memory
        return None
    data, resident = (int(sizes[name].split()[0]) * KIB for name in ("VmData", "VmRSS"))
    return data + max(0, int(resident_mb * MIB) - resident)
