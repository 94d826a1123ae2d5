"""``squall shard``: the store's shards, and what changes them.

One file a family of sub-commands: each adds its own to ``app`` (see the end of this file).
"""

import asyncio
from typing import TYPE_CHECKING

import typer

from squall.commands import shard_check, shard_hot, shard_move
from squall.output import JsonFlag, WatchFlag, emit
from squall.store_reach import SeedsOption

if TYPE_CHECKING:
    from shard.policy.topology import Address

app = typer.Typer(
    help="See the store's shards, and change how many there are.", no_args_is_help=True
)

WATCH_EVERY_S = 1.0


@app.callback()
def _shard() -> None:
    """See the store's shards, and change how many there are."""


@app.command("status")
def status(
    watch: WatchFlag = False,
    seeds: SeedsOption = "",
    as_json: JsonFlag = False,
) -> None:
    """Show every node: role, slots, keys, memory, replication lag, slots on the move.

    With --watch and --json each look is one JSON object on a line of its own.
    """
    from squall.store_reach import run, seeds_or_inside

    argv = ["status", *(["--watch"] if watch else []), *(["--json"] if as_json else [])]
    nodes = seeds_or_inside(seeds, argv)
    run(_status(nodes, watch=watch, as_json=as_json))


async def _status(nodes: "list[Address]", *, watch: bool, as_json: bool) -> None:
    from shard.move.node import Cluster
    from shard.policy.survey import join
    from squall.backends import clear_screen
    from squall.store_tables import status_data, status_text

    cluster = Cluster(nodes)
    try:
        while True:
            data = status_data(join(await cluster.look()))
            if watch and not as_json:
                clear_screen()
            emit("squall.shard-status/1", data, as_json=as_json, text=status_text(data))
            if not watch:
                return
            await asyncio.sleep(WATCH_EVERY_S)
    finally:
        cluster.close()


app.command("check")(shard_check.check)
app.command("hot")(shard_hot.hot)
shard_move.register(app)
