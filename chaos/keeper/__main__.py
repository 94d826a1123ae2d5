"""Keep the undo list of container mode: ``python -m chaos.keeper FOLDER PROJECT``.

Leaves its parent at once (a double fork), so that whoever started it has no child left to wait for,
and holds a lock on ``keeper.pid`` in the folder, so that there is one of it.
"""

import os
import sys


def main(folder_text: str, project: str) -> None:
    """Run until nothing is left to undo; returns at once when another keeper runs."""
    import asyncio
    import fcntl
    from pathlib import Path

    from chaos.drivers.container_hands import ContainerHands
    from chaos.drivers.labelled import LabelledContainers
    from chaos.keeper.daemon import keep
    from chaos.keeper.launch import PID_FILE

    folder = Path(folder_text)
    with (folder / PID_FILE).open("a+") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            return
        lock.truncate(0)
        lock.write(str(os.getpid()))
        lock.flush()
        asyncio.run(keep(folder, ContainerHands(LabelledContainers(project))))


if __name__ == "__main__":
    if os.fork() != 0:  # before anything is imported: there is one thread
        os._exit(0)
    main(sys.argv[1], sys.argv[2])
