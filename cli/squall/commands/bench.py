"""``squall bench``: what our policies cost, beside the packages that do the same."""

from typing import Annotated

import typer

from squall.output import JsonFlag, emit, nearest, say, table

DEFAULT_ROUNDS = 7  # the best of seven: noise only ever adds

app = typer.Typer(help="Measure our policies side by side with others'.", no_args_is_help=True)


@app.callback()
def bench() -> None:
    """Measure our policies side by side with others'."""


@app.command("policies")
def policies(
    policy: Annotated[
        list[str] | None,
        typer.Option("--policy", help="Only this one, e.g. bbr, or chains; may be repeated."),
    ] = None,
    rounds: Annotated[
        int, typer.Option(help="Samples of each contender; the best counts.", min=1)
    ] = DEFAULT_ROUNDS,
    as_json: JsonFlag = False,
) -> None:
    """Show CPU nanoseconds per call of each policy and of its peers (make bench)."""
    _require_bench()
    from bench.catalogue import chosen, names
    from bench.measure import run_chain, run_job
    from bench.report import (
        CHAIN_HEAD,
        JOB_HEAD,
        LEGEND,
        SCHEMA,
        chain_rows,
        code_of,
        job_rows,
    )
    from bench.report import as_json as report_json
    from bench.timing import Stopwatch
    from kit.errors import ConfigError

    for name in policy or []:
        if name not in names():
            raise ConfigError(f"no policy {name!r} is measured; {nearest(name, names())}")
    jobs, chains = chosen(policy or [])
    done, linked = [], []
    with Stopwatch() as watch:
        for job in jobs:
            say(f"squall: measuring {job.policy}")
            done += [run_job(job, path, watch, rounds) for path in job.paths]
        for chain in chains:
            say(f"squall: measuring the chain {chain.name}")
            linked.append(run_chain(chain, watch, rounds))
    text = [table(JOB_HEAD, job_rows(done))] if done else []
    text += [table(CHAIN_HEAD, chain_rows(linked))] if linked else []
    data = report_json(done, linked, rounds)
    emit(SCHEMA, data, as_json=as_json, text="\n\n".join([*text, LEGEND]))
    raise typer.Exit(code_of(done, linked))


def _require_bench() -> None:
    """Refuse where there is no checkout: the image leaves measurements out."""
    from importlib.util import find_spec

    from kit.errors import LabEnvironmentError

    if find_spec("bench") is None:
        raise LabEnvironmentError(
            "squall bench needs a checkout of Squall: on the host, make bench"
        )
