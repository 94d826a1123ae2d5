"""``squall setting``: see the numbers that may change while the lab runs, and change them."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from kit.members import LiveReport

app = typer.Typer(
    help="See and set the lab's numbers: caps, attempts, budgets, the quota.", no_args_is_help=True
)

NameArgument = Annotated[str, typer.Argument(help="A setting, e.g. quota_rps.")]
OnOption = Annotated[
    str,
    typer.Option("--on", help="A service, a replica (gateway.2), or *; left out: who reads it."),
]


@app.command("set", context_settings={"ignore_unknown_options": True})
def set_(
    name: NameArgument,
    value: Annotated[float, typer.Argument(help="A number, in the setting's unit.")],
    on: OnOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Set one number, and return when every live target has it."""
    from squall.setting_names import check_reader, check_value, default_target, find_setting

    setting = find_setting(name)
    target = on or default_target(setting)
    check_reader(name, setting, target)
    check_value(name, setting, value)
    report = asyncio.run(_write(name, value, target))
    _emit_change(report, name, value, target, as_json=as_json)


@app.command("reset")
def reset(name: NameArgument, on: OnOption = "", as_json: JsonFlag = False) -> None:
    """Take a number back to what holds when nobody set it."""
    from squall.setting_names import check_reader, default_target, find_setting

    setting = find_setting(name)
    target = on or default_target(setting)
    check_reader(name, setting, target)
    report = asyncio.run(_write(name, None, target))
    _emit_change(report, name, None, target, as_json=as_json)


@app.command("list")
def list_(as_json: JsonFlag = False) -> None:
    """Show every setting: its default, and where it is set to something else."""
    from squall.setting_names import known_settings

    found = asyncio.run(_read())
    known = known_settings()
    rows: list[list[object]] = []
    for name, setting in known.items():
        is_family = name.endswith(".")
        here = [row for row in found if row["name"] == name or (is_family and _is_of(row, name))]
        now = ", ".join(_shown(row, is_family=is_family) for row in here)
        default = "" if setting.default is None else f"{setting.default:g}"
        label = f"{name}TENANT" if is_family else name
        rows.append([label, default, setting.unit, now, setting.words])
    text = table(["setting", "default", "unit", "now", "what"], rows)
    about = [
        {"name": name, "readers": each.readers, "unit": each.unit, "default": each.default}
        for name, each in known.items()
    ]
    data = {"settings": about, "set": found}
    emit("squall.settings/1", data, as_json=as_json, text=text)


async def _write(name: str, value: float | None, on: str) -> "LiveReport":
    from squall.link import change, control, resolve_target

    async with control() as client:
        targets = await resolve_target(client, on)
        entry = None if value is None else {"value": value}
        return await change(client, {f"setting/{on}/{name}": entry}, targets)


async def _read() -> list[dict[str, Any]]:
    """Return what is set now: name, on, value."""
    from kit.entries import SettingEntry
    from squall.link import control, live_entries

    async with control() as client:
        snapshot = await client.read()
    rows: list[dict[str, Any]] = []
    for field, (entry, _) in live_entries(snapshot).items():
        if isinstance(entry, SettingEntry):
            _, target, name = field.split("/")
            rows.append({"name": name, "on": target, "value": entry.value})
    return sorted(rows, key=lambda row: (row["name"], row["on"]))


def _is_of(row: dict[str, Any], family: str) -> bool:
    return str(row["name"]).startswith(family)


def _shown(row: dict[str, Any], *, is_family: bool) -> str:
    which = f"{str(row['name']).partition('.')[2]} " if is_family else ""
    return f"{which}{row['value']:g} on {row['on']}"


def _emit_change(
    report: "LiveReport", name: str, value: float | None, on: str, *, as_json: bool
) -> None:
    from squall.link import live_data

    where = "everywhere" if on == "*" else f"on {on}"
    words = "default" if value is None else f"{value:g}"
    data = {"setting": name, "value": value, "on": on, **live_data(report)}
    emit("squall.setting/1", data, as_json=as_json, text=f"{name} {words} {where}: {report}")
    raise typer.Exit(0 if not report.missing else 1)
