"""The ``squall`` command: every verb in one list, every error in one sentence.

A verb's module imports only the standard library and typer at its top, so that ``--help`` stays
under 300 ms; what it needs it imports when it runs.
"""

import sys
from collections.abc import Sequence

import typer

from kit.errors import LabError
from squall.commands import (
    banner,
    bench,
    compare,
    doctor,
    down,
    drill,
    events,
    experiment,
    explain,
    fault,
    footprint,
    hash,
    lb,
    load,
    policy,
    restart,
    seed,
    setting,
    shard,
    status,
    up,
)
from squall.output import emit, say

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
app.command("banner")(banner.banner)
app.command("doctor")(doctor.doctor)
app.command("footprint")(footprint.footprint)
app.command("seed")(seed.seed)
app.add_typer(fault.app, name="fault")
app.add_typer(policy.app, name="policy")
app.add_typer(setting.app, name="setting")
app.add_typer(drill.app, name="drill")
app.add_typer(experiment.app, name="experiment")
drill.app.command("report")(compare.report)
app.command("compare")(compare.compare)
app.command("load")(load.load)
app.add_typer(bench.app, name="bench")
app.add_typer(hash.app, name="hash")
app.add_typer(lb.app, name="lb")
app.add_typer(shard.app, name="shard")
app.command("explain")(explain.explain)
app.command("events")(events.events)


def run(argv: Sequence[str] | None = None) -> None:
    """Run a command line and leave with its exit code; a known error is one sentence on stderr.

    Args:
        argv: Without the program's name; None means this process's own.
    """
    arguments = sys.argv[1:] if argv is None else list(argv)
    as_json = "--json" in arguments
    try:
        # Not standalone: typer would print a wrong command line itself, and never as JSON.
        code = app(arguments, prog_name="squall", standalone_mode=False)
    except LabError as error:
        code = _tell(str(error), error.exit_code, as_json=as_json)
    except typer.TyperException as error:
        code = _tell(_usage(error), error.exit_code, as_json=as_json)
    except (KeyboardInterrupt, typer.Abort):
        code = EXIT_INTERRUPTED
    sys.exit(code if isinstance(code, int) else 0)


def _tell(text: str, exit_code: int, *, as_json: bool) -> int:
    say(text if text.startswith("Usage:") else f"squall: {text}")
    if as_json:
        emit("squall.error/1", {"error": text, "exit_code": exit_code}, as_json=True, text="")
    return exit_code


def _usage(error: typer.TyperException) -> str:
    """Say what is wrong with a command line, and whose help to read."""
    context = getattr(error, "ctx", None)
    text = error.format_message()
    if context is None or text.startswith("Usage:"):
        return text
    return f"{text} ({context.command_path} --help)"


if __name__ == "__main__":
    run()
