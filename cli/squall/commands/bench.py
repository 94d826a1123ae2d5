"""``squall bench``: what our policies cost and do, beside those that do the same."""

import asyncio
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


@app.command("limiters")
def limiters(
    only: Annotated[
        list[str] | None,
        typer.Option("--only", help="Only this contender, e.g. default; may be repeated."),
    ] = None,
    cv: Annotated[
        list[float] | None,
        typer.Option("--cv", help="Only this variation of the service times: 0.25 or 1."),
    ] = None,
    runs: Annotated[
        int | None,
        typer.Option(help="Runs of each; by itself 10 of the default and Envoy, else 3.", min=1),
    ] = None,
    quick: Annotated[bool, typer.Option("--quick", help="One run of each.")] = False,
    jobs: Annotated[
        int, typer.Option(help="Runs at once; each takes about 0.2 of a core.", min=1, max=16)
    ] = 1,
    port: Annotated[
        int | None, typer.Option(help="First of the ports to use.", min=1024, max=65000)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what each limiter does on a recorded overload, and Envoy's beside it (real sockets)."""
    _require_bench()
    from bench.limiters.contenders import names
    from bench.limiters.report import HEAD, LEGEND, SCHEMA, rows, run_line, verdict_lines
    from bench.limiters.report import as_json as report_json
    from bench.limiters.run import FIRST_PORT, Run, Runner
    from bench.limiters.session import carry_out, chosen, duration_s, missing, plan
    from bench.limiters.summary import summaries
    from bench.limiters.trace import CVS
    from kit.errors import ConfigError, LabEnvironmentError

    for name in only or []:
        if name not in names():
            raise ConfigError(f"no contender {name!r}; {nearest(name, names())}")
    for value in cv or []:
        if value not in CVS:
            raise ConfigError(f"no trace of cv {value:g}; there are {CVS[0]:g} and {CVS[1]:g}")
    cvs = [value for value in CVS if value in (cv or CVS)]
    contenders = chosen(only or [])
    absent = missing(contenders)
    present = [each for each in contenders if each.name not in absent]
    planned = plan(present, cvs, 1 if quick and runs is None else runs)
    if not planned:
        raise LabEnvironmentError(f"nothing to measure: {'; '.join(absent.values())}")
    say(f"squall: {len(planned)} runs, {duration_s(planned, jobs) / 60:.0f} min")

    def on_done(number: int, run: Run) -> None:
        say(run_line(number, len(planned), run))

    done = asyncio.run(carry_out(planned, jobs, Runner(port or FIRST_PORT).run, on_done))
    found = summaries(done)
    text = []
    for value in cvs:
        text += [f"cv {value:g}", table(HEAD, rows(found, value, absent)), ""]
    text += [line for value in cvs for line in verdict_lines(found, value)]
    data = report_json(done, contenders, cvs, absent)
    emit(SCHEMA, data, as_json=as_json, text="\n".join([*text, "", LEGEND]))


def _require_bench() -> None:
    """Refuse where there is no checkout: the image leaves measurements out."""
    from importlib.util import find_spec

    from kit.errors import LabEnvironmentError

    if find_spec("bench") is None:
        raise LabEnvironmentError(
            "squall bench needs a checkout of Squall: on the host, make bench"
        )
