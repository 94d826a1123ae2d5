"""Run the supervisor of one working tree: ``python -m chaos.supervisor ROOT``.

Holds a lock on ``.squall/supervisor.pid`` for as long as it lives, so that there is one of it.
"""

import fcntl
import os
import sys
from pathlib import Path

import uvloop

from chaos.lab import STATE_FOLDER
from chaos.supervisor.daemon import Supervisor
from chaos.supervisor.launch import PID_FILE
from chaos.supervisor.prepare import child_environment, plan_lab
from kit.errors import LabEnvironmentError, LabError


def main(root: Path) -> None:
    """Run until told to end.

    Raises:
        LabError: The lab cannot start; the message says why and how to mend it.
    """
    folder = root / STATE_FOLDER
    folder.mkdir(exist_ok=True)
    lock = (folder / PID_FILE).open("a+")
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        raise LabEnvironmentError(f"a supervisor of {root} already runs: make down") from error
    lock.truncate(0)
    lock.write(str(os.getpid()))
    lock.flush()
    supervisor = Supervisor(folder, plan_lab(root), environment=child_environment(root), cwd=root)
    try:
        uvloop.run(supervisor.run())
    finally:
        (folder / PID_FILE).unlink(missing_ok=True)


if __name__ == "__main__":
    try:
        main(Path(sys.argv[1]))
    except LabError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(error.exit_code)
