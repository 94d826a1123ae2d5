"""One drill at a time: a lock that says who holds it and since when.

Why: two drills would set each other's policies. The kernel's lock on the open file is the truth, so
a holder that was killed holds nothing; the text in it is for whoever is refused.
"""

import fcntl
import json
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from kit.errors import LabEnvironmentError

LOCK_FILE = "drill.lock"


@contextmanager
def drill_lock(folder: Path, drill: str) -> Iterator[None]:
    """Hold the lock for the length of a with block.

    Args:
        folder: The lab's state folder.
        drill: What the next one is told.

    Raises:
        LabEnvironmentError: Another drill runs; names it, its process and since when.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / LOCK_FILE
    with path.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError as error:
            raise LabEnvironmentError(_refusal(path)) from error
        file.truncate(0)
        since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        file.write(json.dumps({"drill": drill, "pid": os.getpid(), "since": since}) + "\n")
        file.flush()
        try:
            yield
        finally:
            # Emptied, not removed: a file that is gone could be locked twice under one name.
            file.truncate(0)


def _refusal(path: Path) -> str:
    try:
        holder = json.loads(path.read_text(encoding="utf-8"))
        who = f"{holder['drill']} (process {holder['pid']}) since {holder['since']}"
    except (OSError, ValueError, KeyError, TypeError):
        who = "another one"
    return f"a drill runs already: {who}; wait for it, or end it with Ctrl-C"
