"""The ``squall`` command: every verb in one list, every error in one sentence.

A verb's module imports only the standard library and typer at its top, so that ``--help`` stays
under 300 ms; what it needs it imports when it runs.
"""

import json
import os
import sys

import typer

from kit.errors import LabError
from squall.commands import (
    doctor,
    down,
    drill,
    explain,
    fault,
    load,
    policy,
    restart,
    seed,
    status,
    up,
)
from squall.output import say

EXIT_INTERRUPTED = 130  # 128 + SIGINT, as a shell says it

app = typer.Typer(
    help="Squall: real services, real faults, measured verdicts.",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode=None,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=(
        "Exit codes: 0 held or done, 1 refuted or failed, 2 usage, 3 environment, 4 inconclusive. "
        "Every command takes --json."
    ),
)

app.command("up")(up.up)
app.command("down")(down.down)
app.command("restart")(restart.restart)
app.command("status")(status.status)
app.command("doctor")(doctor.doctor)
app.command("seed")(seed.seed)
app.add_typer(fault.app, name="fault")
app.add_typer(policy.app, name="policy")
app.add_typer(drill.app, name="drill")
app.command("load")(load.load)
app.command("explain")(explain.explain)


def run() -> None:
    """Run the command line; a known error is one sentence on stderr and its exit code."""
    try:
        app(prog_name="squall")
    except LabError as error:
        _tell(error)
        sys.exit(error.exit_code)
    except KeyboardInterrupt:
        sys.exit(EXIT_INTERRUPTED)
    except BrokenPipeError:
        # The reader left (`squall status | head -1`): not our failure, and nothing to flush to.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def _tell(error: LabError) -> None:
    say(f"squall: {error}")
    if "--json" in sys.argv:
        data = {"schema": "squall.error/1", "error": str(error), "exit_code": error.exit_code}
        sys.stdout.write(json.dumps(data) + "\n")


if __name__ == "__main__":
    run()
