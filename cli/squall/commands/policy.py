"""``squall policy``: see every protection's switch, and turn it on, off or to shadow."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from squall.output import JsonFlag, emit, nearest, table

if TYPE_CHECKING:
    from kit.members import LiveReport

app = typer.Typer(help="See and switch the protections: on, shadow or off.", no_args_is_help=True)

OnOption = Annotated[
    str, typer.Option("--on", help="A service, a replica (video.2), or * for all.")
]


@app.command("set")
def set_(
    name: Annotated[str, typer.Argument(help="A policy, e.g. limiter.")],
    mode: Annotated[str, typer.Argument(help="on, shadow (counts, refuses nothing) or off.")],
    on: OnOption = "*",
    as_json: JsonFlag = False,
) -> None:
    """Switch one policy, and return when every live target has it."""
    from kit.errors import ConfigError
    from kit.state import DEFAULT_MODES
    from resilience.policy.contract import Mode

    if name not in DEFAULT_MODES:
        raise ConfigError(f"no policy is called {name!r}; {nearest(name, DEFAULT_MODES)}")
    modes = [position.value for position in Mode]
    if mode not in modes:
        raise ConfigError(f"a policy cannot be {mode!r}; it is one of {', '.join(modes)}")
    report = asyncio.run(_write({f"policy/{on}/{name}": {"mode": mode}}, on))
    _emit_switch(report, name, mode, on, as_json=as_json)


@app.command("choose")
def choose(
    name: Annotated[str, typer.Argument(help="A choice: limiter, breaker, quota_fallback.")],
    value: Annotated[str, typer.Argument(help="What does the job, e.g. vegas.")],
    on: OnOption = "*",
    as_json: JsonFlag = False,
) -> None:
    """Choose which of several policies does a job; its switch says whether it is asked."""
    from kit.choices import CHOICES
    from kit.errors import ConfigError

    if name not in CHOICES:
        raise ConfigError(f"there is no choice {name!r}; {nearest(name, CHOICES)}")
    if value not in CHOICES[name]:
        raise ConfigError(f"{name} cannot be {value!r}; {nearest(value, CHOICES[name])}")
    report = asyncio.run(_write({f"choice/{on}/{name}": {"value": value}}, on))
    _emit_switch(report, name, value, on, as_json=as_json)


@app.command("reset")
def reset(
    name: Annotated[str, typer.Argument(help="A policy or a choice, e.g. limiter.")],
    on: OnOption = "*",
    as_json: JsonFlag = False,
) -> None:
    """Take a switch, and what was chosen for it, back to the lab's default."""
    from kit.choices import CHOICES
    from kit.errors import ConfigError
    from kit.state import DEFAULT_MODES

    known = {*DEFAULT_MODES, *CHOICES}
    if name not in known:
        raise ConfigError(f"no policy is called {name!r}; {nearest(name, known)}")
    fields = [f"policy/{on}/{name}"] if name in DEFAULT_MODES else []
    fields += [f"choice/{on}/{name}"] if name in CHOICES else []
    report = asyncio.run(_write(dict.fromkeys(fields), on))
    _emit_switch(report, name, "default", on, as_json=as_json)


@app.command("list")
def list_(on: OnOption = "*", as_json: JsonFlag = False) -> None:
    """Show every switch and choice as each live process sees it."""
    rows, choices = asyncio.run(_positions(on))
    names = sorted({name for modes in rows.values() for name in modes})
    chosen = sorted({name for values in choices.values() for name in values})
    text = table(
        ["", *names, *(f"{name} by" for name in chosen)],
        [
            [instance, *[modes[name] for name in names], *[choices[instance][n] for n in chosen]]
            for instance, modes in rows.items()
        ],
    )
    data = {"policies": rows, "choices": choices}
    emit("squall.policies/1", data, as_json=as_json, text=text)


async def _write(entries: dict[str, dict[str, str] | None], on: str) -> "LiveReport":
    from squall.link import change, control, resolve_target

    async with control() as client:
        targets = await resolve_target(client, on)
        return await change(client, entries, targets)


def _emit_switch(report: "LiveReport", name: str, mode: str, on: str, *, as_json: bool) -> None:
    from squall.link import live_data

    where = "everywhere" if on == "*" else f"on {on}"
    data = {"policy": name, "mode": mode, "on": on, **live_data(report)}
    emit("squall.policy/1", data, as_json=as_json, text=f"{name} {mode} {where}: {report}")
    raise typer.Exit(0 if not report.missing else 1)


async def _positions(on: str) -> tuple[dict[str, dict[str, str]], dict[str, dict[str, str]]]:
    """Return the switches and the choices of each instance."""
    from kit.choices import CHOICES, default_choice
    from kit.state import DEFAULT_MODES, LabState
    from squall.link import control, live_entries, resolve_target

    async with control() as client:
        targets = await resolve_target(client, on)
        snapshot = await client.read()
    entries = {field: entry for field, (entry, _) in live_entries(snapshot).items()}
    state = LabState(snapshot.version, entries)
    rows: dict[str, dict[str, str]] = {}
    choices: dict[str, dict[str, str]] = {}
    for instance in targets:
        service, _, replica = instance.rpartition(".")
        rows[instance] = {
            name: state.mode(name, service, int(replica)).value for name in DEFAULT_MODES
        }
        choices[instance] = {
            name: state.choice(service, int(replica), name, default_choice(name))
            for name in CHOICES
        }
    return rows, choices
