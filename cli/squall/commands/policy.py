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
    report = asyncio.run(_switch(name, mode, on))
    _emit_switch(report, name, mode, on, as_json=as_json)


@app.command("reset")
def reset(
    name: Annotated[str, typer.Argument(help="A policy, e.g. limiter.")],
    on: OnOption = "*",
    as_json: JsonFlag = False,
) -> None:
    """Take a switch back to the lab's default."""
    from kit.errors import ConfigError
    from kit.state import DEFAULT_MODES

    if name not in DEFAULT_MODES:
        raise ConfigError(f"no policy is called {name!r}; {nearest(name, DEFAULT_MODES)}")
    report = asyncio.run(_switch(name, None, on))
    _emit_switch(report, name, "default", on, as_json=as_json)


@app.command("list")
def list_(on: OnOption = "*", as_json: JsonFlag = False) -> None:
    """Show every switch as each live process sees it."""
    rows = asyncio.run(_modes(on))
    names = sorted({name for modes in rows.values() for name in modes})
    text = table(
        ["", *names],
        [[instance, *[modes[name] for name in names]] for instance, modes in rows.items()],
    )
    emit("squall.policies/1", {"policies": rows}, as_json=as_json, text=text)


async def _switch(name: str, mode: str | None, on: str) -> "LiveReport":
    from squall.link import change, control, resolve_target

    async with control() as client:
        targets = await resolve_target(client, on)
        entry = None if mode is None else {"mode": mode}
        return await change(client, {f"policy/{on}/{name}": entry}, targets)


def _emit_switch(report: "LiveReport", name: str, mode: str, on: str, *, as_json: bool) -> None:
    from squall.link import live_data

    where = "everywhere" if on == "*" else f"on {on}"
    data = {"policy": name, "mode": mode, "on": on, **live_data(report)}
    emit("squall.policy/1", data, as_json=as_json, text=f"{name} {mode} {where}: {report}")
    raise typer.Exit(0 if not report.missing else 1)


async def _modes(on: str) -> dict[str, dict[str, str]]:
    from kit.state import DEFAULT_MODES, LabState
    from squall.link import control, live_entries, resolve_target

    async with control() as client:
        targets = await resolve_target(client, on)
        snapshot = await client.read()
    entries = {field: entry for field, (entry, _) in live_entries(snapshot).items()}
    state = LabState(snapshot.version, entries)
    rows: dict[str, dict[str, str]] = {}
    for instance in targets:
        service, _, replica = instance.rpartition(".")
        rows[instance] = {
            name: state.mode(name, service, int(replica)).value for name in DEFAULT_MODES
        }
    return rows
