"""How a command of ``squall shard`` reaches the store: by seeds, or by running inside the lab.

The lab's nodes publish no port. So without ``--seeds`` a command runs itself again where they can
be reached, beside a service, and finds their addresses in SQUALL_STORE there.
"""

from collections.abc import Coroutine, Sequence
from typing import TYPE_CHECKING, Annotated, Any, TypeVar

import typer

if TYPE_CHECKING:
    from shard.policy.topology import Address

T = TypeVar("T")

INSIDE = "account"  # any service that knows the store would do
SEEDS_VARIABLE = "SQUALL_STORE"
SPARE = "spare"  # for --add: the lab's two nodes of no shard
SeedsOption = Annotated[
    str,
    typer.Option(
        help="Nodes of any cluster, host:port,…; without it the lab's store.",
        envvar=SEEDS_VARIABLE,
        show_default=False,
    ),
]


def seeds_or_inside(seeds: str, argv: Sequence[str]) -> "list[Address]":
    """Return the nodes to ask, or run the command inside the lab and leave with its exit code.

    Args:
        seeds: What ``--seeds`` said, "" when nothing.
        argv: The command again, e.g. ``["status", "--json"]``.

    Raises:
        ConfigError: The seeds aren't host:port.
        LabEnvironmentError: No seeds, and no lab runs.
    """
    from kit.errors import ConfigError
    from shard.form import read_nodes

    if not seeds:
        from chaos.lab import find_lab

        code = find_lab().run_inside(INSIDE, ["python", "-m", "squall.main", "shard", *argv])
        raise typer.Exit(code)
    try:
        nodes = read_nodes(seeds)
    except ValueError as error:
        raise ConfigError(f"--seeds: {error}; give host:port,host:port") from None
    if not nodes:
        raise ConfigError("--seeds names no node: give host:port,host:port")
    return nodes


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a command's work; what the store can't do now ends it with exit code 3.

    Raises:
        LabEnvironmentError: A node can't be reached or refuses.
    """
    import asyncio

    from kit.errors import LabEnvironmentError
    from shard.move.node import NodeTrouble

    try:
        return asyncio.run(work)
    except NodeTrouble as error:
        raise LabEnvironmentError(f"the store: {error}") from None
