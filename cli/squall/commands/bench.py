"""``squall bench``: what our policies cost and do, beside those that do the same."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, nearest, say, table

if TYPE_CHECKING:
    from bench.proxies.run import Tools

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


@app.command("shard")
def shard(
    part: Annotated[
        list[str] | None,
        typer.Option("--part", help="Only this part: lookups, clients or move; may be repeated."),
    ] = None,
    rounds: Annotated[int, typer.Option(help="Samples of each contender.", min=1)] = DEFAULT_ROUNDS,
    seconds: Annotated[float, typer.Option(help="Of load in each sample.", min=0.1, max=60)] = 1.0,
    cluster: Annotated[
        str, typer.Option(help="Nodes of a cluster to use, host:port,host:port; else one is begun.")
    ] = "",
    port: Annotated[
        int | None, typer.Option(help="First of the ports to use.", min=1024, max=50000)
    ] = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what finding a key's node costs, an operation of a client, a command of a proxy."""
    _require_bench()
    from bench.machine import machine, versions
    from bench.shard_parts import DEFAULT_PARTS, PARTS, Options
    from kit.errors import ConfigError
    from shard.form import read_nodes

    for name in part or []:
        if name not in PARTS:
            raise ConfigError(f"no part {name!r}; {nearest(name, list(PARTS))}")
    try:
        nodes = read_nodes(cluster)
    except ValueError as error:
        raise ConfigError(f"--cluster: {error}") from error
    options = Options(rounds, seconds, nodes, port, table, lambda line: say(f"squall: {line}"))
    chosen = part or DEFAULT_PARTS
    done = {name: PARTS[name](options) for name in PARTS if name in chosen}
    data = {
        "machine": machine(),
        "versions": versions(),
        "rounds": rounds,
        **{name: each.data for name, each in done.items()},
    }
    text = "\n\n".join(each.text for each in done.values())
    emit("squall.bench-shard/1", data, as_json=as_json, text=text)
    verdicts = {verdict for each in done.values() for verdict in each.verdicts}
    raise typer.Exit(1 if "missed" in verdicts else 4 if "unknown" in verdicts else 0)


OnlyProxy = Annotated[
    list[str] | None,
    typer.Option("--only", help="Only these, e.g. nginx,ours; may be repeated."),
]
Rounds = Annotated[int, typer.Option(help="Rounds of all cells, each shuffled.", min=1, max=100)]
CellSeconds = Annotated[int, typer.Option(help="Of load on each cell, seconds.", min=1, max=60)]
IdleConnections = Annotated[
    int, typer.Option(help="Open at once to weigh them; 0 leaves that out.", min=0, max=8000)
]
FirstPort = Annotated[
    int | None, typer.Option(help="First of the ports to use.", min=1024, max=65000)
]


@app.command("l7")
def l7(
    only: OnlyProxy = None,
    rounds: Rounds = 5,
    seconds: CellSeconds = 3,
    idle: IdleConnections = 2000,
    port: FirstPort = None,
    as_json: JsonFlag = False,
) -> None:
    """Show what a request costs our L7 proxy, and nginx, HAProxy, Envoy, Caddy and Traefik."""
    _proxies("l7", only or [], rounds, seconds, idle, port, as_json=as_json)


@app.command("l4")
def l4(
    only: OnlyProxy = None,
    rounds: Rounds = 5,
    seconds: CellSeconds = 3,
    idle: IdleConnections = 2000,
    port: FirstPort = None,
    kernel: Annotated[bool, typer.Option(help="Kernel mode too, where root and nft are.")] = True,
    as_json: JsonFlag = False,
) -> None:
    """Show what a connection and a MiB cost our L4 proxy, and nginx and HAProxy."""
    _proxies("l4", only or [], rounds, seconds, idle, port, as_json=as_json, kernel=kernel)


@app.command("hold")
def hold(
    idle: Annotated[
        int, typer.Option(help="Connections that asked once and stay.", min=1, max=20_000)
    ] = 10_000,
    slow: Annotated[
        int, typer.Option(help="Heads that come a byte a second.", min=1, max=10_000)
    ] = 1_000,
    rate: Annotated[float, typer.Option(help="Honest requests a second.", min=1, max=5_000)] = 500,
    windows: Annotated[int, typer.Option(help="Of 4 s, in each phase.", min=1, max=50)] = 5,
    as_json: JsonFlag = False,
) -> None:
    """Hold idle connections and slow heads at our L7 proxy, and see whether clients notice."""
    _require_bench()
    from bench.proxies.hold import measure, require_files
    from bench.proxies.hold_report import HEAD, SCHEMA, facts, rows
    from bench.proxies.run import tools

    require_files(idle, slow)
    found = tools()
    held = asyncio.run(
        measure(found, idle, slow, rate, windows, lambda text: say(f"squall: {text}"))
    )
    wrong = held.failures(idle, slow)
    verdict = "; ".join(wrong) or f"held: p99 is {held.ratio:.2f} times what it was"
    emit(SCHEMA, facts(held, wrong), as_json=as_json, text=table(HEAD, rows(held)) + "\n" + verdict)
    raise typer.Exit(1 if wrong else 0)


def _proxies(
    layer: str,
    only: list[str],
    rounds: int,
    seconds: int,
    idle: int,
    port: int | None,
    *,
    as_json: bool,
    kernel: bool = False,
) -> None:
    """Measure the proxies of a layer and show them."""
    _require_bench()
    from bench.proxies import l4_peers, l7_peers
    from bench.proxies.cells import L4_CELLS, L7_CELLS
    from bench.proxies.cores import cores
    from bench.proxies.idle import Idle
    from bench.proxies.report import (
        HEAD,
        IDLE_HEAD,
        LEGEND,
        SCHEMAS,
        SHARED,
        idle_rows,
        rows,
        sample_line,
    )
    from bench.proxies.report import as_json as report_json
    from bench.proxies.run import FIRST_PORT, Session, tools
    from bench.proxies.session import Sample, chosen, duration_of, missing, plan, unspoken
    from bench.proxies.summary import summaries
    from kit.errors import ConfigError, LabEnvironmentError

    everyone, cells = (
        (l7_peers.CONTENDERS, L7_CELLS) if layer == "l7" else (l4_peers.CONTENDERS, L4_CELLS)
    )
    try:
        asked = chosen(everyone, [name for each in only for name in each.split(",")])
    except KeyError as error:
        name = str(error.args[0])
        names = [each.name for each in everyone]
        raise ConfigError(f"no contender {name!r}; {nearest(name, names)}") from None
    absent = missing(asked)
    present = [each for each in asked if each.name not in absent]
    if not present:
        raise LabEnvironmentError(f"nothing to measure: {'; '.join(absent.values())}")
    found, where = tools(), cores()
    without = unspoken(present, cells, has_h2load=found.h2load is not None)
    planned = plan([each.name for each in present], cells, rounds, without=without)
    say(f"squall: {len(planned)} cells, {duration_of(planned, seconds) / 60:.1f} min")

    async def measure() -> tuple[list[Sample], dict[str, Idle]]:
        async with Session(found, present, port or FIRST_PORT, where) as session:
            done = await session.samples(
                planned, seconds, lambda n, one: say(sample_line(n, len(planned), one))
            )
            return done, await session.idle(idle) if idle else {}

    samples, idles = asyncio.run(measure())
    order = [each.name for each in present]
    text = [table(HEAD, rows(summaries(samples, order), cells, absent))]
    text += [table(IDLE_HEAD, idle_rows(idles))] if idles else []
    text += [] if where.proxy is not None else [SHARED]
    data = report_json(layer, samples, cells, present, absent, idles, where, seconds)
    if kernel:
        text.append(_kernel(found, rounds, seconds, data))
    emit(SCHEMAS[layer], data, as_json=as_json, text="\n\n".join([*text, LEGEND]))


def _kernel(found: "Tools", rounds: int, seconds: int, data: dict[str, Any]) -> str:
    """Measure kernel mode, add it to the JSON and return its table, or why there is none."""
    from bench.proxies.kernel import HEAD, as_json, measure, rows, summaries
    from bench.proxies.session import Sample
    from kit.errors import LabEnvironmentError

    def told(number: int, one: Sample) -> None:
        say(f"squall: kernel mode {number}: {one.contender} {one.cell}: {one.wrk.rps:,.0f}/s")

    try:
        cells = summaries(asyncio.run(measure(found, rounds, seconds, told)))
    except LabEnvironmentError as error:
        data["kernel"] = {"not_measured": str(error)}
        return f"not measured: {error}"
    data["kernel"] = as_json(cells)
    return table(HEAD, rows(cells))


def _require_bench() -> None:
    """Refuse where there is no checkout: the image leaves measurements out."""
    from importlib.util import find_spec

    from kit.errors import LabEnvironmentError

    if find_spec("bench") is None:
        raise LabEnvironmentError(
            "squall bench needs a checkout of Squall: on the host, make bench"
        )
