"""``squall shard``: the sharded store, checked."""

import typer

from squall.commands.shard_check import check

app = typer.Typer(help="Check the sharded store.", no_args_is_help=True)
app.command("check")(check)


@app.callback()
def shard() -> None:
    """Check the sharded store."""
