"""Let a child process end with its parent, however that ends. Linux.

Source: prctl(2), PR_SET_PDEATHSIG. Not handled: a child whose parent ended before this was said.
"""

import ctypes
import signal

PR_SET_PDEATHSIG = 1  # <linux/prctl.h>

# Looked up before any fork: dlopen between fork and exec could deadlock.
_prctl = ctypes.CDLL(None).prctl


def die_with_parent() -> None:
    """Say it, in the child: for ``preexec_fn``."""
    _prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
