"""The undo list on disk: written whole, to a new file that then takes the old one's place.

Why: whoever holds the list may be killed at any moment, and the next one must find either the old
list or the new one, never half of it.
Source: rename(2) is atomic; fsync before it, so that the name never points at missing bytes.
"""

import os
from pathlib import Path

import msgspec

from chaos.keeper.ledger import Ledger
from kit.errors import LabEnvironmentError

LEDGER_FILE = "host-faults.json"  # in the lab's state folder


def load_ledger(path: Path) -> Ledger:
    """Read a list; an empty one when there is no file.

    Raises:
        LabEnvironmentError: The file is damaged.
    """
    try:
        return msgspec.json.decode(path.read_bytes(), type=Ledger)
    except FileNotFoundError:
        return Ledger()
    except msgspec.MsgspecError as error:
        raise LabEnvironmentError(
            f"the list of host faults {path} is damaged ({error}): make down, then make up"
        ) from error


def save_ledger(path: Path, ledger: Ledger, *, is_durable: bool = True) -> None:
    """Write a list.

    Args:
        path: Its folder exists.
        ledger: What to write.
        is_durable: Whether to wait for the disk: so before anything is broken; a moved lease may
            be lost with the machine, since then everything is started anew.

    Raises:
        LabEnvironmentError: It can't be written.
    """
    new = path.with_name(path.name + ".new")
    try:
        with new.open("wb") as file:
            file.write(msgspec.json.encode(ledger))
            file.flush()
            if is_durable:
                os.fsync(file.fileno())
        new.replace(path)
    except OSError as error:
        raise LabEnvironmentError(
            f"the list of host faults {path} can't be written ({error.strerror}): without it "
            "nothing is broken"
        ) from error
