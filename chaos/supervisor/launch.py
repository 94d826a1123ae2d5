"""Start the supervisor as a daemon, find it again, and end it.

Why: ``squall up`` returns while the lab goes on; the supervisor must not end with the terminal
that started it.
Not handled: systemd units, and a start at boot.
"""

import os
import signal
import sys
import time
from pathlib import Path

from chaos.lab import ROOT
from chaos.pid_file import holder_of
from chaos.supervisor.channel import ask
from chaos.supervisor.logs import open_log, tail
from kit.errors import LabEnvironmentError

PID_FILE = "supervisor.pid"
LOG_FILE = "supervisor.log"
START_LIMIT_S = 20.0
END_LIMIT_S = 40.0  # longer than two grace periods of 15 s
POLL_S = 0.05


def find_supervisor(folder: Path) -> int | None:
    """Return the process id of the supervisor of a state folder, None when none lives."""
    return holder_of(folder / PID_FILE)


def start_supervisor(root: Path, folder: Path) -> int:
    """Start the daemon and return its process id once it answers.

    Raises:
        LabEnvironmentError: It ended at once, or doesn't answer in 20 s; with the last lines it
            wrote.
    """
    folder.mkdir(exist_ok=True)
    log_path = folder / "logs" / LOG_FILE
    pid = _spawn(root, log_path)
    limit_s = time.monotonic() + START_LIMIT_S
    while time.monotonic() < limit_s:
        if os.waitpid(pid, os.WNOHANG)[0] == pid:
            break
        try:
            ask(folder, "status", timeout_s=1.0)
            return pid
        except LabEnvironmentError:
            time.sleep(POLL_S)
    else:
        os.kill(pid, signal.SIGKILL)
    raise LabEnvironmentError("\n".join(tail(log_path, 5)) or "the supervisor did not start")


def end_supervisor(folder: Path) -> bool:
    """End the daemon and with it every process; returns whether there was one.

    Raises:
        LabEnvironmentError: It is still there after 40 s.
    """
    pid = find_supervisor(folder)
    if pid is None:
        return False
    os.kill(pid, signal.SIGTERM)
    limit_s = time.monotonic() + END_LIMIT_S
    while find_supervisor(folder) is not None:
        if time.monotonic() > limit_s:
            raise LabEnvironmentError(f"the supervisor (process {pid}) doesn't end: kill -9 {pid}")
        time.sleep(POLL_S)
    return True


def _spawn(root: Path, log_path: Path) -> int:
    """Run the daemon in a session of its own, its output in its log.

    Why not subprocess: a Popen object that nobody waits for warns when it is collected.
    """
    log = open_log(log_path)
    try:
        return os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "chaos.supervisor", str(root)],
            {
                **os.environ,
                "PYTHONPATH": os.pathsep.join([str(root), str(ROOT), str(ROOT / "cli")]),
            },
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(log)
