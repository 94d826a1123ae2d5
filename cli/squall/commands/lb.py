"""``squall lb``: how the backends stand, take one out or back, and why one was picked."""

import asyncio
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, WatchFlag, emit, say

if TYPE_CHECKING:
    from kit.members import LiveReport

app = typer.Typer(
    help="See the balancers' backends, take one out or back, and ask why one was picked.",
    no_args_is_help=True,
)

WATCH_EVERY_S = 1.0

NameArgument = Annotated[str, typer.Argument(help="A backend that `squall lb backends` shows.")]


@app.command("backends")
def backends(
    watch: WatchFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Show every backend of each proxy: state, load, failures, ejection, latency.

    With --watch and --json each look is one JSON object on a line of its own.
    """
    asyncio.run(_backends(watch=watch, as_json=as_json))


@app.command("drain")
def drain(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Send a backend nothing new; what is under way there ends by itself."""
    report = asyncio.run(_write(name, f"drain/{name}", {"drained": True}))
    _emit_word(report, name, "drained", as_json=as_json)


@app.command("undrain")
def undrain(name: NameArgument, as_json: JsonFlag = False) -> None:
    """Let a drained backend have requests again."""
    report = asyncio.run(_write(name, f"drain/{name}", None))
    _emit_word(report, name, "not drained", as_json=as_json)


@app.command("eject")
def eject(
    name: NameArgument,
    for_: Annotated[
        str, typer.Option("--for", help="It returns by itself after this.", metavar="DURATION")
    ] = "30s",
    as_json: JsonFlag = False,
) -> None:
    """Leave a backend for a while, whatever the policies say of it."""
    from squall.durations import parse_duration

    ttl_s = parse_duration(for_, "--for")
    report = asyncio.run(_write(name, f"eject/{name}", {"ttl_s": ttl_s}))
    _emit_word(report, name, f"ejected for {ttl_s:g} s", as_json=as_json, for_s=ttl_s)


@app.command("restore")
def restore(name: NameArgument, as_json: JsonFlag = False) -> None:
    """End the ejection that `eject` began; one by the policies ends by itself."""
    report = asyncio.run(_write(name, f"eject/{name}", None))
    _emit_word(report, name, "not ejected", as_json=as_json)


@app.command("why")
def why(
    request_id: Annotated[str, typer.Argument(help="The x-request-id of an answer.")],
    as_json: JsonFlag = False,
) -> None:
    """Say of each attempt who could be picked, how busy they were, and by what rule one was."""
    from squall.backends import why_text

    found = asyncio.run(_why(request_id))
    if not found:
        say(
            f"squall: no l7 remembers a pick for request {request_id!r}: each keeps one in 16, and "
            "those tried again; to keep all: squall setting set picks_every 1"
        )
    if found or as_json:
        data = {"request_id": request_id, "decisions": found}
        text = why_text(request_id, found) if found else ""
        emit("squall.why/1", data, as_json=as_json, text=text)
    raise typer.Exit(0 if found else 1)


async def _backends(*, watch: bool, as_json: bool) -> None:
    from squall.backends import ask_fleets, backends_text, clear_screen
    from squall.link import control

    async with control() as client:
        while True:
            fleets = await ask_fleets(client)
            text = backends_text(fleets)
            if watch and not as_json:
                clear_screen()
            emit("squall.backends/1", {"processes": fleets}, as_json=as_json, text=text)
            if not watch:
                return
            await asyncio.sleep(WATCH_EVERY_S)


async def _write(name: str, field: str, value: dict[str, Any] | None) -> "LiveReport":
    """Write an operator's word about a backend that exists, and wait until the proxies have it."""
    from squall.backends import ask_fleets, check_name, left_without_any, still_out
    from squall.link import change, control

    async with control() as client:
        fleets = await ask_fleets(client)
        if value or field not in (await client.read()).entries:  # who is dead can be let back, too
            check_name(name, fleets)
        report = await change(client, {field: value}, sorted(fleets))
        after = await ask_fleets(client)
    kind = field.partition("/")[0]
    for told in left_without_any(name, after) if value else still_out(name, kind, after):
        say(f"squall: {told}")
    return report


def _emit_word(
    report: "LiveReport",
    name: str,
    word: str,
    *,
    as_json: bool,
    for_s: float | None = None,
) -> None:
    from squall.link import live_data

    data = {"backend": name, "is": word.partition(" for ")[0], "for_s": for_s, **live_data(report)}
    emit("squall.backend/1", data, as_json=as_json, text=f"{name} {word}: {report}")
    raise typer.Exit(0 if not report.missing else 1)


async def _why(request_id: str) -> list[dict[str, Any]]:
    from squall.link import control

    async with control() as client:
        answers = await client.ask("lb.why", {"request_id": request_id}, targets=["l7"])
    return [
        {"instance": instance, **one}
        for instance, answer in sorted(answers.items())
        if isinstance(answer, list)
        for one in answer
    ]
