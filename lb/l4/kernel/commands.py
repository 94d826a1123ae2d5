"""Run nft and conntrack: a program, its input, what it said.

Why a program for each transaction: the control plane changes a table a few times a second at most,
a start costs milliseconds, and no binding has to match the kernel's and nft's version.
Not handled: connections; those never leave the kernel.
"""

import subprocess
from collections.abc import Sequence
from typing import NamedTuple

from kit.errors import LabEnvironmentError

COMMAND_TIMEOUT_S = 10.0  # a whole table takes tens of milliseconds


class Done(NamedTuple):
    """What a program left.

    Args:
        status: Its exit code.
        text: Its standard output.
        complaint: Its standard error.
    """

    status: int
    text: str
    complaint: str


def run_command(command: Sequence[str], text: str = "") -> Done:
    """Run a program to its end.

    Raises:
        LabEnvironmentError: When it can't be started, or takes longer than ``COMMAND_TIMEOUT_S``.
    """
    try:
        done = subprocess.run(  # noqa: S603 - a fixed program; addresses are checked, no shell
            list(command),
            input=text,
            capture_output=True,
            text=True,
            timeout=COMMAND_TIMEOUT_S,
            check=False,
        )
    except OSError as error:
        raise LabEnvironmentError(f"can't run {command[0]}: {error.strerror}") from error
    except subprocess.TimeoutExpired as error:
        raise LabEnvironmentError(f"{command[0]} didn't end within {error.timeout:g} s") from error
    return Done(done.returncode, done.stdout, done.stderr)
