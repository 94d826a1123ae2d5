"""``squall events``: what the lab's processes decide and what changes in them, as it happens."""

import asyncio
import json
import sys
import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit

if TYPE_CHECKING:
    from kit.control import ControlClient

SHOWN = 50
MAX_SHOWN = 10_000
ASK_EVERY_S = 0.5
FOLLOW_TIMEOUT_S = 1.0  # who is frozen keeps the others' news from nobody for longer


def events(
    on: Annotated[
        str, typer.Option("--on", help="A service or a replica; * for all.", metavar="TARGET")
    ] = "*",
    newest: Annotated[
        int,
        typer.Option("--newest", "-n", min=1, max=MAX_SHOWN, help="How many to begin with."),
    ] = SHOWN,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Go on with what comes, until Ctrl-C.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the newest decisions and changes of all processes, by time.

    With --follow and --json each event is one JSON object on a line of its own.
    """
    if follow:
        asyncio.run(_follow(on, newest, as_json=as_json))
        return
    found = asyncio.run(_once(on))[-newest:]
    text = "\n".join(line(event) for event in found) or "nothing was decided and nothing changed"
    emit("squall.events/1", {"events": found}, as_json=as_json, text=text)


async def _once(on: str) -> list[dict[str, Any]]:
    from squall.link import control, resolve_target

    async with control() as client:
        return await collect(client, await resolve_target(client, on), {})


async def _follow(on: str, newest: int, *, as_json: bool) -> None:
    from squall.link import control, resolve_target

    seen: dict[str, int] = {}
    async with control() as client:
        found = (await collect(client, await resolve_target(client, on), seen))[-newest:]
        while _print(found, as_json=as_json):
            asked_s = time.monotonic()
            targets = None if on == "*" else [on]
            found = await collect(client, targets, seen, FOLLOW_TIMEOUT_S)
            await asyncio.sleep(max(0.0, ASK_EVERY_S - (time.monotonic() - asked_s)))


async def collect(
    client: "ControlClient",
    targets: Sequence[str] | None,
    seen: dict[str, int],
    timeout_s: float = FOLLOW_TIMEOUT_S,
) -> list[dict[str, Any]]:
    """Ask processes for what they have since they were last asked, oldest first.

    Args:
        client: The control plane.
        targets: Services and instances; None means everybody.
        seen: Instance to the newest id known; what comes is added.
        timeout_s: How long to wait for the last of them.
    """
    answers = await client.ask("events", {"after": seen}, timeout_s=timeout_s, targets=targets)
    found = [event for answer in answers.values() if isinstance(answer, list) for event in answer]
    for event in found:
        seen[event["instance"]] = max(seen.get(event["instance"], 0), event["id"])
    return sorted(found, key=lambda event: (event["at_unix_s"], event["id"]))


def line(event: Mapping[str, Any]) -> str:
    """Write one event for people: when, where, who, what, figures."""
    at_s = float(event["at_unix_s"])
    clock = f"{time.strftime('%H:%M:%S', time.localtime(at_s))}.{int(at_s % 1 * 1000):03d}"
    scope = event["scope"] if event["scope"] != event["instance"] else ""
    detail = " ".join(
        f"{name}={_short(value)}"
        for name, value in event["detail"].items()
        if value is not None and value != ""
    )
    more = f"(and {event['left_out']} like it before)" if event["left_out"] else ""
    told = (clock, f"{event['instance']:<10}", f"{event['policy']}: {event['what']}")
    return " ".join(part for part in (*told, scope, detail, more) if part)


def _print(found: Sequence[Mapping[str, Any]], *, as_json: bool) -> bool:
    """Print events as they come; False when nobody reads any more."""
    try:
        for event in found:
            sys.stdout.write((json.dumps(event) if as_json else line(event)) + "\n")
        sys.stdout.flush()
    except BrokenPipeError:
        return False
    return True


def _short(value: object) -> str:
    return f"{value:.3g}" if isinstance(value, float) else str(value)
