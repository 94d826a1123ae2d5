"""How much memory a process really costs: its proportional set size.

Why: the lab's Python processes share the interpreter's pages, and adding resident sizes counts
those once for each.
Source: Linux, Documentation/filesystems/proc.rst, ``smaps_rollup``.
"""

from pathlib import Path


def proportional_bytes(pid: int, proc: Path = Path("/proc")) -> int | None:
    """Return a process's bytes, shared pages divided among their users; None once it is gone."""
    try:
        lines = (proc / str(pid) / "smaps_rollup").read_text().splitlines()
    except OSError:
        return None
    for line in lines:
        if line.startswith("Pss:"):
            return int(line.split()[1]) * 1024
    return None
