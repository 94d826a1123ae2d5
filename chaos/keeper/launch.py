"""Find the keeper of a state folder, start one where there is none, and ask it.

Why: a driver's call must find the one keeper that runs, and replace one that was killed; the new
one reads the list from disk and undoes what is overdue.
"""

import os
import sys
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

from chaos.keeper.daemon import SOCKET_NAME
from chaos.keeper.file import LEDGER_FILE, load_ledger
from chaos.pid_file import KEEPER_PID_FILE, holder_of
from chaos.supervisor.channel import exchange, result_of
from chaos.supervisor.logs import open_log, tail
from kit.errors import LabEnvironmentError

LOG_FILE = "keeper.log"
START_LIMIT_S = 20.0  # imports take 0.3 s; a machine under a drill's load is slower
ASK_LIMIT_S = 60.0
POLL_S = 0.05
PACKAGES = Path(__file__).resolve().parents[2]  # the folder that holds ``chaos``


def find_keeper(folder: Path) -> int | None:
    """Return the process id of the keeper of a folder, None when none lives."""
    return holder_of(folder / KEEPER_PID_FILE)


def ask_keeper(folder: Path, project: str, do: str, **fields: Any) -> Any:
    """Send a command to the keeper, started if need be, and return its result.

    Args:
        folder: The lab's state folder, made if need be.
        project: The compose project whose containers it touches.
        do: The command.
        fields: Its arguments.

    Raises:
        ConfigError: The keeper says the command is wrong.
        LabEnvironmentError: It says that it couldn't, or doesn't start or answer.
    """
    folder.mkdir(parents=True, exist_ok=True)
    until_s = time.monotonic() + START_LIMIT_S
    request = {"do": do, **fields}
    while True:
        try:
            return result_of(exchange(folder, SOCKET_NAME, request, ASK_LIMIT_S))
        except TimeoutError as error:
            raise LabEnvironmentError(f"the keeper of host faults is busy: {do}") from error
        except (OSError, ValueError) as error:  # none yet, or it was about to end
            if time.monotonic() > until_s:
                last = "\n".join(tail(folder / "logs" / LOG_FILE, 5)) or str(error)
                raise LabEnvironmentError(
                    f"the keeper of host faults doesn't start: {last}"
                ) from error
        if find_keeper(folder) is None:
            _start(folder, project)
        time.sleep(POLL_S)


def see_to_keeper(folder: Path, project: str) -> None:
    """Start a keeper where one was killed and has left something to undo; cheap where not."""
    if find_keeper(folder) is None and _has_standing(folder):
        _start(folder, project)


def recall(folder: Path, project: str) -> Any:
    """Return what is known of host faults as dicts, without starting a keeper for nothing.

    One is started where the list on disk has something to undo, which it then does.
    """
    ledger = load_ledger(folder / LEDGER_FILE)
    if ledger.standing() or find_keeper(folder) is not None:
        return ask_keeper(folder, project, "host-faults")
    now_s = time.monotonic()
    return [asdict(entry.proof(now_s)) for entry in ledger.entries.values()]


def finish_keeper(folder: Path, project: str) -> None:
    """Undo every host fault and end the keeper; nothing where none stands.

    Raises:
        LabEnvironmentError: Something can't be undone.
    """
    if find_keeper(folder) is not None or _has_standing(folder):
        ask_keeper(folder, project, "finish")


def _has_standing(folder: Path) -> bool:
    """Whether something is left to undo; of a damaged list no keeper could make anything.

    It must not keep the lab from being ended, which is what mends it; who asks for faults is told.
    """
    try:
        return bool(load_ledger(folder / LEDGER_FILE).standing())
    except LabEnvironmentError:
        return False


def _start(folder: Path, project: str) -> None:
    log = open_log(folder / "logs" / LOG_FILE)
    try:
        pid = os.posix_spawn(
            sys.executable,
            [sys.executable, "-m", "chaos.keeper", str(folder), project],
            {**os.environ, "PYTHONPATH": str(PACKAGES)},
            file_actions=[
                (os.POSIX_SPAWN_OPEN, 0, os.devnull, os.O_RDONLY, 0),
                (os.POSIX_SPAWN_DUP2, log, 1),
                (os.POSIX_SPAWN_DUP2, log, 2),
            ],
            setsid=True,
        )
    finally:
        os.close(log)
    os.waitpid(pid, 0)  # it leaves a keeper that holds the lock, and ends
