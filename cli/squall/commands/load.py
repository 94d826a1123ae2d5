"""``squall load``: open-loop load on its own, with a report and expectations."""

import shlex
import sys
from pathlib import Path
from typing import Annotated

import typer

from squall.output import JsonFlag, emit, say

SCHEMA = "squall.load/1"
EXPECT_HELP = "Must hold, else exit 1: in_time>=0.99, p95<=200ms, rejected<=1%. Repeatable."


def load(
    rate: Annotated[float, typer.Option(help="Arrivals per second.", min=0.01)] = 20.0,
    shape: Annotated[str, typer.Option(help="constant, poisson, step or spike.")] = "poisson",
    duration: Annotated[str, typer.Option("--for", help="How long: 60s, 5m.")] = "60s",
    warmup: Annotated[str, typer.Option(help="A phase that the report leaves out.")] = "0s",
    seed: Annotated[int, typer.Option(help="Same seed, same arrivals.")] = 17,
    zipf: Annotated[float, typer.Option(help="Skew of the videos; 0: none.", min=0.0)] = 1.0,
    mix: Annotated[str, typer.Option(help="Weights by route: home=30,page=40.")] = "",
    tenant: Annotated[str, typer.Option(help="Sent as baggage.")] = "",
    criticality: Annotated[str, typer.Option(help="Sent as baggage, e.g. sheddable.")] = "",
    deadline_ms: Annotated[int, typer.Option(help="Sent with each request; 0: none.", min=0)] = 0,
    give_up: Annotated[str, typer.Option(help="When a client leaves.")] = "5s",
    max_in_flight: Annotated[int, typer.Option(help="Beyond it: unsent.", min=1)] = 1024,
    expect: Annotated[list[str] | None, typer.Option(help=EXPECT_HELP)] = None,
    host: Annotated[str, typer.Option(help="Instead of the lab's front door.")] = "",
    out: Annotated[Path | None, typer.Option(help="Folder for the files.")] = None,
    ui: Annotated[bool, typer.Option("--ui", help="Open Locust's page instead.")] = False,
    as_json: JsonFlag = False,
) -> None:
    """Send arrivals on a schedule, whatever the answers: 0 met, 1 not met, 4 inconclusive."""
    from chaos.drill.load_report import as_text, exit_code, parse_expectation
    from chaos.drill.load_run import open_page, run_load

    options = {
        "--rate": rate, "--shape": shape, "--for": duration, "--warmup": warmup, "--seed": seed,
        "--zipf": zipf, "--mix": mix, "--tenant": tenant, "--criticality": criticality,
        "--deadline-ms": deadline_ms, "--give-up": give_up, "--max-in-flight": max_in_flight,
    }  # fmt: skip
    arguments = [f"{name}={value}" for name, value in options.items() if value != ""]
    expectations = [parse_expectation(text) for text in expect or []]
    _check(shape, duration, warmup, give_up)
    if ui:
        open_page(host or _front_door(), _page_port(), arguments)
    report = run_load(host or _front_door(), arguments, expectations, out, say)
    report["replay"] = _replay()
    text = f"{as_text(report)}\nfiles      {report['folder']}"
    emit(SCHEMA, report, as_json=as_json, text=text)
    raise typer.Exit(exit_code(report))


def _check(shape: str, *durations: str) -> None:
    """Say what is wrong before a process is started; the generator checks the rest."""
    from kit.errors import ConfigError
    from squall.durations import parse_duration
    from squall.output import nearest

    shapes = ("constant", "poisson", "step", "spike")
    if shape not in shapes:
        raise ConfigError(f"unknown shape {shape}: {nearest(shape, shapes)}")
    for name, text in zip(("--for", "--warmup", "--give-up"), durations, strict=True):
        if not (name == "--warmup" and text in ("0", "0s")):
            parse_duration(text, name)


def _front_door() -> str:
    from chaos.lab import find_lab

    return find_lab().base_url


def _page_port() -> int:
    from chaos.lab import load_lab

    return load_lab().ports.locust


def _replay() -> str:
    return shlex.join(["squall", *sys.argv[1:]])
