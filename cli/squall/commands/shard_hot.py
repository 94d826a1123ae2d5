"""``squall shard hot``: which keys the lab's services ask the store and the cache for most."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, WatchFlag, emit, table

if TYPE_CHECKING:
    from kit.control import ControlClient

SCHEMA = "squall.shard-hot/1"
WATCH_EVERY_S = 1.0
DEFAULT_TOP = 10
TIERS = ("store", "cache")
_COLUMNS = ("tier", "key", "node", "per s", "share", "asked by")


def hot(
    top: Annotated[int, typer.Option(help="How many of each tier.", min=1, max=100)] = DEFAULT_TOP,
    watch: WatchFlag = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the keys that are asked for most, with their node, rate and share of all.

    With --watch and --json each look is one JSON object on a line of its own.
    """
    asyncio.run(_hot(top, watch=watch, as_json=as_json))


def add_up(answers: Mapping[str, Mapping[str, Any]], top: int) -> list[dict[str, Any]]:
    """Add the processes' lists up by key, the hottest first.

    Args:
        answers: Process to what it answered (``services.cache``).
        top: How many are kept, >= 1.
    """
    of_all = sum(answer["per_s"] for answer in answers.values())
    found: dict[str, dict[str, Any]] = {}
    for process, answer in sorted(answers.items()):
        for one in answer["keys"]:
            row = found.setdefault(
                one["key"], {"key": one["key"], "node": one["node"], "per_s": 0.0, "by": []}
            )
            row["per_s"] += one["per_s"]
            row["by"].append(process)
    for row in found.values():
        row["share"] = row["per_s"] / of_all
    return sorted(found.values(), key=lambda row: (-row["per_s"], row["key"]))[:top]


async def _hot(top: int, *, watch: bool, as_json: bool) -> None:
    from squall.backends import clear_screen
    from squall.link import control

    async with control() as client:
        while True:
            found = {tier: add_up(await _ask(client, tier), top) for tier in TIERS}
            if watch and not as_json:
                clear_screen()
            emit(SCHEMA, found, as_json=as_json, text=_text(found))
            if not watch:
                return
            await asyncio.sleep(WATCH_EVERY_S)


async def _ask(client: "ControlClient", tier: str) -> dict[str, dict[str, Any]]:
    """Ask every process that has a client of this tier.

    Raises:
        LabEnvironmentError: None answers.
    """
    from kit.errors import LabEnvironmentError

    answers = await client.ask(f"hot.{tier}", {})
    found = {name: one for name, one in answers.items() if isinstance(one, dict) and "keys" in one}
    if not found:
        raise LabEnvironmentError(f"no process with a client of the {tier} answers: squall status")
    return found


def _text(found: Mapping[str, list[dict[str, Any]]]) -> str:
    if not any(found.values()):
        return "nothing was asked for lately"
    cells = [
        (
            tier,
            row["key"],
            row["node"],
            f"{row['per_s']:.1f}",
            f"{row['share']:.2f}",
            ", ".join(row["by"]),
        )
        for tier, rows in found.items()
        for row in rows
    ]
    return table(_COLUMNS, cells)
