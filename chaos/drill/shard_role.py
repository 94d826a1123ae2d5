"""Which store node has a role in a shard right now, e.g. ``shard.1.primary``.

Shards are numbered in the order of their nodes' names: 1 is that of ``store-1``, and 4 that of
``store-7`` once it was added; spare nodes are of none. Who is primary changes with every failover,
so a drill's target is looked up when its fault begins. A node's own word on its role counts; of one
that is silent, what the others say.
Source: valkey: CLUSTER NODES; ``shard.form``, which makes the shards.
"""

import asyncio
import contextlib
import os
import re
import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import redis.asyncio
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from chaos.drill.fault import replace_shard_role
from chaos.drivers.contract import InstanceStatus
from kit.control import FOREIGN_ERRORS
from kit.errors import ConfigError, LabEnvironmentError
from shard.form import SPARES_VARIABLE, read_nodes
from shard.policy.topology import Address
from shard.policy.view import Row, parse_row

TIMEOUT_S = 0.5
STORE_PORT = 6379  # docker-compose.yml; ports are literal in both modes
PRIMARY, REPLICA = "primary", "replica"

_STORE = re.compile(r"store-[1-9][0-9]*")


@dataclass(frozen=True, slots=True)
class StoreNode:
    """A node of the store.

    Args:
        name: Its service, e.g. ``store-1``.
        host: Where it answers.
        port: Where it answers.
    """

    name: str
    host: str
    port: int = STORE_PORT


def nodes_of(
    statuses: Sequence[InstanceStatus], environ: Mapping[str, str] = os.environ
) -> list[StoreNode]:
    """Return the lab's store nodes.

    Args:
        statuses: What the driver sees; used where the environment doesn't say it.
        environ: Inside the lab SQUALL_STORE and SQUALL_STORE_SPARE list the nodes, in the order of
            their services' names.
    """
    listed = ",".join(filter(None, map(environ.get, ("SQUALL_STORE", SPARES_VARIABLE))))
    if listed:
        return [
            StoreNode(f"store-{number}", address.host, address.port)
            for number, address in enumerate(read_nodes(listed), start=1)
        ]
    return [
        StoreNode(status.service, status.host)
        for status in statuses
        if _STORE.fullmatch(status.service) and status.host
    ]


async def resolve(target: str, nodes: Sequence[StoreNode]) -> str:
    """Put a node's name where a target says ``shard.N.role``.

    Raises:
        ConfigError: There is no such shard.
        LabEnvironmentError: The store doesn't answer, or nobody has that role now.
    """
    roles = await ask_roles(nodes)
    return replace_shard_role(target, lambda shard, role: holder(roles, shard, role))


async def ask_roles(nodes: Sequence[StoreNode]) -> dict[str, Row]:
    """Return each node's line of CLUSTER NODES, by name.

    Raises:
        LabEnvironmentError: No node answers.
    """
    answers = await asyncio.gather(*(_ask(node) for node in nodes))
    names = {Address(digits(node.host), node.port): node.name for node in nodes}
    heard = {node.name: rows for node, rows in zip(nodes, answers, strict=True) if rows}
    if not heard:
        where = ", ".join(f"{node.host}:{node.port}" for node in nodes) or "no store node is known"
        raise LabEnvironmentError(f"the store's nodes don't answer from here ({where})")
    roles: dict[str, Row] = {}
    for rows in heard.values():
        roles |= {names[r.address]: r for r in rows if r.address in names}
    return roles | {name: _own(rows) for name, rows in heard.items()}


def holder(roles: Mapping[str, Row], shard: int, role: str) -> str:
    """Name the node that has a role in a shard.

    Raises:
        ConfigError: There is no such shard.
        LabEnvironmentError: Nobody has it now.
    """
    families = _families(roles)
    if not 1 <= shard <= len(families):
        raise ConfigError(f"the store has no shard {shard}: it has 1 to {max(1, len(families))}")
    family = families[shard - 1]
    for name, row in sorted(roles.items()):
        belongs = family in (row.node_id, row.primary_id)
        if belongs and row.is_settled and row.is_replica == (role == REPLICA):
            return name
    raise LabEnvironmentError(f"shard {shard} has no {role} now; see squall status")


def _families(roles: Mapping[str, Row]) -> list[str]:
    """Return each shard's primary, or whom its replica calls that, in the order of the names.

    A node that is away keeps its number; one that answers, owns nothing and has no follower is a
    spare.
    """
    followed = {row.primary_id for row in roles.values()}
    heads = [
        row.primary_id or row.node_id
        for _, row in sorted(roles.items())
        if row.slots or row.primary_id or row.node_id in followed or "myself" not in row.flags
    ]
    return list(dict.fromkeys(heads))


async def ask_gaps(nodes: Sequence[StoreNode]) -> list[str]:
    """Return the nodes that are silent, or replicas that aren't in step; [] when all is whole."""
    steps = await asyncio.gather(*(_is_in_step(node) for node in nodes))
    return [node.name for node, good in zip(nodes, steps, strict=True) if not good]


async def drop_replicas(name: str, nodes: Sequence[StoreNode]) -> int:
    """Let a primary end its replicas' connections; return how many. They may come back at once.

    Stop a replica first, and it can't: what it has then is all that it gets. What lies unread in
    its socket is read when it goes on.
    """
    node = next(each for each in nodes if each.name == name)
    ended = await _command(node, "CLIENT", "KILL", "TYPE", "replica")
    return int(ended) if ended.isdecimal() else 0


async def _ask(node: StoreNode) -> list[Row]:
    text = await _command(node, "CLUSTER", "NODES")
    try:
        return [row for row in map(parse_row, text.splitlines()) if row is not None]
    except ValueError:
        return []


async def _is_in_step(node: StoreNode) -> bool:
    text = await _command(node, "INFO", "replication")
    return "role:master" in text or "master_link_status:up" in text


async def _command(node: StoreNode, *words: str) -> str:
    """Return a text reply, "" when there is none; a client would parse CLUSTER NODES itself."""
    connection = redis.asyncio.Connection(
        host=node.host,
        port=node.port,
        socket_connect_timeout=TIMEOUT_S,
        socket_timeout=TIMEOUT_S,
        retry=Retry(NoBackoff(), 0),
        protocol=2,
        driver_info=None,
    )
    try:
        await connection.send_command(*words)
        answer = await connection.read_response()
        return answer.decode() if isinstance(answer, bytes) else str(answer)
    except FOREIGN_ERRORS:
        return ""
    finally:
        with contextlib.suppress(*FOREIGN_ERRORS):
            await connection.disconnect()


def _own(rows: Sequence[Row]) -> Row:
    return next(row for row in rows if "myself" in row.flags)


def digits(host: str) -> str:
    """Return a host's address, as the nodes know each other; itself where nobody knows it."""
    with contextlib.suppress(OSError):
        return socket.gethostbyname(host)
    return host
