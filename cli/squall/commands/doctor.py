"""``squall doctor``: what this machine has and lacks for the lab, and how to mend it."""

from dataclasses import asdict, replace
from typing import Annotated

import typer

from squall.output import JsonFlag, emit, table


def doctor(
    mode: Annotated[
        str, typer.Option(help="Check for containers, processes, or auto: what up would choose.")
    ] = "auto",
    as_json: JsonFlag = False,
) -> None:
    """Check platform, engine, ports, Python, memory, disk; exit code 3 if one is missing."""
    from chaos.checks import check_machine, choose_network
    from chaos.drivers.engine import compose_command, engine_version
    from chaos.lab import load_lab
    from kit.errors import EXIT_ENVIRONMENT, ConfigError

    if mode not in ("auto", "containers", "processes"):
        raise ConfigError(f"--mode {mode!r} is none of containers, processes, auto")
    lab = load_lab()
    chosen = mode
    if mode == "auto":
        # Inside, the engine can't be asked, and is there all the same.
        has_engine = bool(lab.inside) or bool(engine_version() and compose_command())
        chosen = "containers" if has_engine else "processes"
    if not (lab.inside or lab.is_answering()):
        lab = replace(lab, network=choose_network(lab.remembered_network()))
    checks = check_machine(lab, "containers" if chosen == "containers" else "processes")
    is_missing = any(check.level == "missing" for check in checks)
    data = {
        "mode": chosen,
        "is_ready": not is_missing,
        "checks": [asdict(check) for check in checks],
    }
    rows = [[check.name, check.level, check.found, check.mend] for check in checks]
    verdict = "something is missing" if is_missing else "all it needs is here"
    text = f"for {chosen}: {verdict}\n\n{table(['check', '', 'found', 'what to do'], rows)}"
    emit("squall.doctor/1", data, as_json=as_json, text=text)
    raise typer.Exit(EXIT_ENVIRONMENT if is_missing else 0)
