"""``squall drill``: break the lab on purpose, and say with figures whether its protection holds."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from chaos.drill.schema import Drill

app = typer.Typer(help="Run drills: load, fault, verdict, control.", no_args_is_help=True)

NameArgument = Annotated[str, typer.Argument(help="A drill's name, or a file.", metavar="NAME")]
SetOption = Annotated[
    list[str] | None,
    typer.Option(
        "--set", help="Change a value: load.phases.fault.seconds=10.", metavar="PATH=VALUE"
    ),
]
DEFAULT_SEED = 17  # chaos.drill.schema's, repeated so that --help imports nothing


@app.command("list")
def list_drills(as_json: JsonFlag = False) -> None:
    """Show every drill, what it needs and what it teaches."""
    from chaos.drill.catalogue import drill_files
    from chaos.drill.loading import load_drill

    drills = [load_drill(path) for path in drill_files()]
    rows = [
        [d.drill, d.chapter, f"{d.needs.seconds:.0f}", f"{d.needs.cores:g}", d.lesson]
        for d in drills
    ]
    data = {"drills": [_brief(drill) for drill in drills]}
    text = table(["drill", "chapter", "seconds", "cores", "lesson"], rows)
    emit("squall.drill-list/1", data, as_json=as_json, text=text)


@app.command("show")
def show(name: NameArgument, overrides: SetOption = None, as_json: JsonFlag = False) -> None:
    """Show one drill: its arms, its load, its faults, what must hold."""
    drill = _load(name, overrides)
    data = {**_brief(drill), **_details(drill)}
    emit("squall.drill-show/1", data, as_json=as_json, text=_page(drill))


@app.command("validate")
def validate(name: NameArgument, overrides: SetOption = None, as_json: JsonFlag = False) -> None:
    """Check a drill file; a mistake is named with its line and column."""
    drill = _load(name, overrides)
    data = {"drill": drill.drill, "valid": True}
    emit("squall.drill-validate/1", data, as_json=as_json, text=f"{drill.drill} is a valid drill")


@app.command("run")
def run(
    name: NameArgument,
    seed: Annotated[int, typer.Option(help="Same seed, same arrivals.")] = DEFAULT_SEED,
    no_control: Annotated[
        bool, typer.Option("--no-control", help="Only the main arm: nothing is proved by it.")
    ] = False,
    no_ablation: Annotated[
        bool, typer.Option("--no-ablation", help="Leave out the arms with one policy off each.")
    ] = False,
    overrides: SetOption = None,
    as_json: JsonFlag = False,
) -> None:
    """Run a drill: 0 held, 1 refuted, 3 can't be run here, 4 inconclusive."""
    from chaos.drill.catalogue import find_drill
    from chaos.drill.engine import Options, run_drill
    from chaos.drill.loading import load_drill
    from chaos.drill.report import SCHEMA
    from chaos.drill.report import as_json as report_json
    from chaos.drill.report import as_text as report_text
    from chaos.lab import find_lab

    path = find_drill(name)
    drill = load_drill(path, overrides or [])
    options = Options(
        seed=seed,
        with_control=not no_control,
        with_ablation=not no_ablation,
        overrides=tuple(overrides or ()),
        live=False if as_json else None,
    )
    done = run_drill(find_lab(), drill, path.read_text(encoding="utf-8"), options)
    emit(SCHEMA, report_json(done), as_json=as_json, text=report_text(done))
    raise typer.Exit(done.verdict.exit_code)


def _load(name: str, overrides: list[str] | None) -> "Drill":
    from chaos.drill.catalogue import find_drill
    from chaos.drill.loading import load_drill

    return load_drill(find_drill(name), overrides or [])


def _brief(drill: "Drill") -> dict[str, Any]:
    return {
        "drill": drill.drill,
        "chapter": drill.chapter,
        "incident": drill.incident,
        "lesson": drill.lesson,
        "needs": {
            "seconds": drill.needs.seconds,
            "cores": drill.needs.cores,
            "faults": list(drill.needs.faults),
        },
    }


def _details(drill: "Drill") -> dict[str, Any]:
    from chaos.drill.arms import control_arm, main_arm, switch_positions

    return {
        "arms": {
            arm.name: {"policies": switch_positions(arm.policies), "off": list(arm.off)}
            for arm in (main_arm(drill), control_arm(drill))
        },
        "phases": [
            {"name": p.name, "seconds": p.seconds, "rates": p.rates} for p in drill.load.phases
        ],
        "faults": [
            {"kind": f.kind, "on": f.on, "at": f.at, "for": f.seconds, "params": f.params()}
            for f in drill.faults
        ],
        "hypotheses": [
            {"name": h.name, "metric": h.metric, "phase": h.phase, "bound": h.bound}
            for h in drill.hypotheses
        ],
        "refutes": [{"name": r.name, "bound": r.bound} for r in drill.control.refutations()],
    }


def _page(drill: "Drill") -> str:
    from chaos.drill.arms import control_arm, main_arm, switch_positions

    lines = [
        f"{drill.drill} · {drill.chapter} · {drill.title}",
        f"incident   {drill.incident}",
        f"lesson     {drill.lesson}",
        f"needs      {drill.needs.seconds:.0f} s, {drill.needs.cores:g} cores",
    ]
    for arm in (main_arm(drill), control_arm(drill)):
        positions = switch_positions(arm.policies)
        text = "; ".join(
            f"{target}: {', '.join(f'{n} {m}' for n, m in sorted(modes.items()))}"
            for target, modes in sorted(positions.items())
        )
        lines.append(f"{arm.name:<10} {text}; all others off")
    for phase in drill.load.phases:
        rates = ", ".join(f"{route} {rate:g}/s" for route, rate in phase.rates.items())
        lines.append(f"{phase.name:<10} {phase.seconds:g} s: {rates}")
    for fault in drill.faults:
        params = ", ".join(f"{name} {value:g}" for name, value in fault.params().items())
        lines.append(f"fault      {fault.kind} on {fault.on} for {fault.seconds:g} s, {params}")
    lines += [f"must hold  {h.name} {h.bound} {h.unit} ({h.phase})" for h in drill.hypotheses]
    lines += [
        f"control    {r.name} must fail{f', {r.bound}' if r.bound else ''}"
        for r in drill.control.refutations()
    ]
    return "\n".join(lines)
