"""``squall shard hot``: which keys the lab's services read most from the cache."""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Annotated, Any

import typer

from squall.output import JsonFlag, emit, table

if TYPE_CHECKING:
    from kit.control import ControlClient

SCHEMA = "squall.shard-hot/1"
WATCH_EVERY_S = 1.0
DEFAULT_TOP = 10
_COLUMNS = ("key", "node", "reads/s", "share", "read by")


def hot(
    top: Annotated[int, typer.Option(help="How many keys.", min=1, max=100)] = DEFAULT_TOP,
    watch: Annotated[
        bool, typer.Option("--watch", "-w", help="Show it anew each second, until Ctrl-C.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Show the keys that are read most, with their node, rate and share of all reads.

    With --watch and --json each look is one JSON object on a line of its own.
    """
    asyncio.run(_hot(top, watch=watch, as_json=as_json))


def add_up(answers: Mapping[str, Mapping[str, Any]], top: int) -> list[dict[str, Any]]:
    """Add the processes' lists up by key, the hottest first.

    Args:
        answers: Process to what it answered (``services.cache``).
        top: How many are kept, >= 1.
    """
    all_reads = sum(answer["reads_per_s"] for answer in answers.values())
    found: dict[str, dict[str, Any]] = {}
    for process, answer in sorted(answers.items()):
        for one in answer["keys"]:
            row = found.setdefault(
                one["key"], {"key": one["key"], "node": one["node"], "reads_per_s": 0.0, "by": []}
            )
            row["reads_per_s"] += one["reads_per_s"]
            row["by"].append(process)
    for row in found.values():
        row["share"] = row["reads_per_s"] / all_reads
    return sorted(found.values(), key=lambda row: (-row["reads_per_s"], row["key"]))[:top]


async def _hot(top: int, *, watch: bool, as_json: bool) -> None:
    from squall.backends import clear_screen
    from squall.link import control

    async with control() as client:
        while True:
            rows = add_up(await _ask(client), top)
            if watch and not as_json:
                clear_screen()
            emit(SCHEMA, {"keys": rows}, as_json=as_json, text=_text(rows))
            if not watch:
                return
            await asyncio.sleep(WATCH_EVERY_S)


async def _ask(client: "ControlClient") -> dict[str, dict[str, Any]]:
    """Ask every process that has a cache.

    Raises:
        LabEnvironmentError: None answers.
    """
    from kit.errors import LabEnvironmentError

    answers = await client.ask("shard.hot", {})
    found = {name: one for name, one in answers.items() if isinstance(one, dict) and "keys" in one}
    if not found:
        raise LabEnvironmentError("no process with a cache answers: squall status")
    return found


def _text(rows: list[dict[str, Any]]) -> str:
    if not rows:
        return "nothing was read lately"
    cells = [
        (
            row["key"],
            row["node"],
            f"{row['reads_per_s']:.1f}",
            f"{row['share']:.2f}",
            ", ".join(row["by"]),
        )
        for row in rows
    ]
    return table(_COLUMNS, cells)
