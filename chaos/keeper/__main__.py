"""Keep the undo list of container mode: ``python -m chaos.keeper FOLDER PROJECT``.

Leaves its parent at once (a double fork), so that whoever started it has no child left to wait for,
and holds a lock on ``keeper.pid`` in the folder, so that there is one of it. The lock is taken
before the fork and before the imports, which take a second on a busy machine: when the starter's
wait is over there is a keeper, and nobody who looks meanwhile starts a second.
"""

import fcntl
import os
import sys
from io import TextIOWrapper
from pathlib import Path

from chaos.pid_file import KEEPER_PID_FILE


def main(folder_text: str, project: str) -> None:
    """Leave a keeper behind that runs until nothing is left to undo; none where one runs."""
    folder = Path(folder_text)
    with (folder / KEEPER_PID_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        if _is_parent(lock):
            os._exit(0)
        _keep(folder, project)


def _is_parent(lock: TextIOWrapper) -> bool:
    """Fork; whoever holds the lock is named before the parent leaves."""
    pid = os.fork()
    if pid == 0:
        return False
    lock.truncate(0)
    lock.write(str(pid))
    lock.flush()
    return True


def _keep(folder: Path, project: str) -> None:
    import asyncio

    from chaos.drivers.container_hands import ContainerHands
    from chaos.drivers.labelled import LabelledContainers
    from chaos.keeper.daemon import keep

    asyncio.run(keep(folder, ContainerHands(LabelledContainers(project))))


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
