"""``squall drill``: break the lab on purpose, and say with figures whether its protection holds."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag, emit, say, table

if TYPE_CHECKING:
    from chaos.drill.engine import Options
    from chaos.drill.schema import Drill
    from chaos.drill.suite import Item

app = typer.Typer(help="Run drills: load, fault, verdict, control.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A drill's name, or a file.", metavar="NAME")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a value: load.phases.fault.seconds=10.", metavar="PATH=VALUE"
    ),
]
SeedOption = Annotated[int, typer.Option(help="Same seed, same arrivals.")]
DEFAULT_SEED = 17  # chaos.drill.schema's, repeated so that --help imports nothing
DEFAULT_RUNS = 20  # chaos.drill.stability's


@app.command("list")
def list_drills(as_json: JsonFlag = False) -> None:
    """Show every drill, what it needs and what it teaches."""
    from chaos.drill.catalogue import drill_files
    from chaos.drill.loading import load_drill
    from squall.drill_pages import brief, list_page

    drills = [load_drill(path) for path in drill_files()]
    data = {"drills": [brief(drill) for drill in drills]}
    emit("squall.drill-list/1", data, as_json=as_json, text=list_page(drills))


@app.command("show")
def show(name: NameArgument, overrides: SetOption = None, as_json: JsonFlag = False) -> None:
    """Show one drill: its arms, its load, its faults, what must hold."""
    from squall.drill_pages import brief, details, show_page

    drill = _load(name, overrides)
    data = {**brief(drill), **details(drill)}
    emit("squall.drill-show/1", data, as_json=as_json, text=show_page(drill))


@app.command("validate")
def validate(name: NameArgument, overrides: SetOption = None, as_json: JsonFlag = False) -> None:
    """Check a drill file; a mistake is named with its line and column."""
    drill = _load(name, overrides)
    data = {"drill": drill.drill, "valid": True}
    emit("squall.drill-validate/1", data, as_json=as_json, text=f"{drill.drill} is a valid drill")


@app.command("run")
def run(
    names: Annotated[
        list[str] | None, typer.Argument(help="Names of drills, or files.", metavar="[NAME...]")
    ] = None,
    run_all: Annotated[bool, typer.Option("--all", help="Every drill, one after another.")] = False,
    tag: Annotated[str, typer.Option(help="With --all: only those with this tag.")] = "",
    junit: Annotated[Path | None, typer.Option(help="Write verdicts as JUnit XML.")] = None,
    seed: SeedOption = DEFAULT_SEED,
    no_control: Annotated[
        bool, typer.Option("--no-control", help="Only the main arm: nothing is proved by it.")
    ] = False,
    ablate: Annotated[
        bool,
        typer.Option("--ablate", help="Short arms with each protection off alone, and all off."),
    ] = False,
    no_ablation: Annotated[
        bool,
        typer.Option("--no-ablation", help="Leave out the short arms that the drill asks for."),
    ] = False,
    overrides: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run drills: 0 held, 1 refuted, 3 can't be run here, 4 inconclusive; of several the worst."""
    from chaos.drill.engine import Options
    from kit.errors import ConfigError

    if ablate and no_ablation:
        raise ConfigError("--ablate and --no-ablation contradict one another: give one of them")
    options = Options(
        seed=seed,
        with_control=not no_control,
        with_ablation=not no_ablation,
        ablate=ablate,
        overrides=tuple(overrides or ()),
        live=False if as_json else None,
    )
    chosen = _choose(names or [], run_all=run_all, tag=tag, overrides=overrides or [])
    if run_all or junit is not None or len(chosen) > 1:
        code = _run_several(chosen, options, junit, as_json=as_json)
    else:
        code = _run_one(chosen[0], options, as_json=as_json)
    raise typer.Exit(code)


@app.command("stability")
def stability(
    name: NameArgument,
    runs: Annotated[int, typer.Option(help="How often.", min=1)] = DEFAULT_RUNS,
    seed: Annotated[int, typer.Option(help="Of the first run; each next has the next.")] = (
        DEFAULT_SEED
    ),
    overrides: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a drill many times: 0 always held, and by 3 standard deviations; 1 refuted; else 4."""
    from chaos.drill import stability as stabilities
    from chaos.drill.engine import Options
    from chaos.drill.soak import soak
    from chaos.lab import find_lab

    item = _choose([name], run_all=False, tag="", overrides=overrides or [])[0]
    options = Options(
        seed=seed, with_ablation=False, overrides=tuple(overrides or ()),
        live=False if as_json else None,
    )  # fmt: skip
    verdicts, not_run = soak(find_lab(), item, options, runs, say)
    found = stabilities.sum_up(item.drill.drill, verdicts, not_run)
    lines = [found.sentence, table(stabilities.HEAD, [one.row() for one in found.spreads])]
    if found.worst is not None:
        page = Path(str(found.worst["folder"])) / "report.html"
        lines.append(f"worst run: seed {found.worst['seed']}, {found.worst['verdict']}, {page}")
    data = stabilities.as_json(found, verdicts)
    emit(stabilities.SCHEMA, data, as_json=as_json, text="\n".join(lines))
    raise typer.Exit(found.exit_code)


def _choose(names: list[str], *, run_all: bool, tag: str, overrides: list[str]) -> "list[Item]":
    """Read the drills that a command line names; every one is checked before the first runs."""
    from chaos.drill.catalogue import find_drill
    from chaos.drill.suite import all_items, load_items
    from kit.errors import ConfigError

    if run_all and names:
        raise ConfigError(f"--all runs every drill: leave out {' '.join(names)}, or --all")
    if tag and not run_all:
        raise ConfigError("--tag chooses among all: write --all --tag smoke")
    if not run_all and not names:
        raise ConfigError("which drill? Name one or several, or give --all (squall drill list)")
    if overrides and (run_all or len(names) > 1):
        raise ConfigError("--set changes one drill: name a single one")
    if run_all:
        return all_items(tag)
    return load_items([find_drill(name) for name in dict.fromkeys(names)], overrides)


def _run_one(item: "Item", options: "Options", *, as_json: bool) -> int:
    from chaos.drill.engine import run_drill
    from chaos.drill.report import SCHEMA, as_text
    from chaos.drill.report import as_json as report_json
    from chaos.lab import find_lab

    done = run_drill(find_lab(), item.drill, item.text, options)
    emit(SCHEMA, report_json(done), as_json=as_json, text=as_text(done))
    return done.verdict.exit_code


def _run_several(
    items: "list[Item]", options: "Options", junit: Path | None, *, as_json: bool
) -> int:
    from chaos.drill import suite
    from chaos.drill.junit import write_junit
    from chaos.lab import find_lab

    entries: list[suite.Entry] = []
    for entry in suite.run_suite(find_lab(), items, options):
        entries.append(entry)
        say(suite.line(entry))
        if junit is not None:
            write_junit(junit, entries)  # after each: whoever is cut short has something too
    data = {**suite.as_json(entries), "junit": None if junit is None else str(junit)}
    text = "\n".join([table(suite.HEAD, map(suite.row, entries)), suite.sentence(entries)])
    emit(suite.SCHEMA, data, as_json=as_json, text=text)
    return suite.worst([entry.exit_code for entry in entries])


def _load(name: str, overrides: list[str] | None) -> "Drill":
    from chaos.drill.catalogue import find_drill
    from chaos.drill.loading import load_drill

    return load_drill(find_drill(name), overrides or [])
