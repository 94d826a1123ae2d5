"""A check of a store that runs already: clients and the judge, and nothing is broken.

What breaks it meanwhile is somebody else's: `squall fault add`, a move of slots, an operator. Such
faults aren't declared in the history, so no window excuses a stale read. The keys have a name that
no other run has, and are deleted when they have been judged.
"""

import asyncio
import os
import time
from collections.abc import Sequence
from pathlib import Path

from chaos.store.check import LIMITS, Checked, Options, Say, judge_file
from kit.errors import LabEnvironmentError
from shard.check.ending import NotAsked, record_end
from shard.check.recorder import Recorder
from shard.check.workload import Keys, Workload, make_keys
from shard.policy.topology import Address
from shard.store import StoreClient

CONNECT_LIMIT_S = 10.0


async def check_running(
    nodes: Sequence[Address], options: Options, path: Path, say: Say
) -> Checked:
    """Write to a store for a while, read everything, and judge it.

    Args:
        nodes: Of the store; one that answers is enough.
        options: Durability, seconds and seed count; no faults.
        path: Of the history; overwritten.
        say: Told how it goes.

    Raises:
        LabEnvironmentError: The store doesn't answer, at the beginning or in the end.
        OSError: The history can't be written.
    """
    writer, reader = (StoreClient(nodes, limits=LIMITS) for _ in range(2))
    prefix = f"check:{options.seed}:{os.getpid()}:{time.time_ns()}:"
    keys = make_keys(prefix)
    try:
        await _connect(writer, reader)
        with path.open("w") as file:
            recorder = Recorder(file, options.header())
            work = Workload(writer, reader, recorder, options.durability, options.seed)
            say(f"{options.durability.value} writes begin, for {options.seconds:g} s")
            work.start(keys)
            try:
                await asyncio.sleep(options.seconds)
            finally:
                await work.stop()
            await record_end(writer, sorted(writer.topology.nodes), keys, prefix, recorder)
        await _delete(writer, keys)
    except NotAsked as error:
        raise LabEnvironmentError(f"the end of the check is not known: {error}") from error
    finally:
        await writer.close()
        await reader.close()
    return judge_file(path)


async def _connect(*clients: StoreClient) -> None:
    try:
        async with asyncio.timeout(CONNECT_LIMIT_S):
            for client in clients:
                await client.connect()
    except (TimeoutError, PermissionError, ValueError) as error:
        why = str(error) or f"no node answers within {CONNECT_LIMIT_S:g} s"
        raise LabEnvironmentError(f"the store can't be checked: {why}") from error


async def _delete(store: StoreClient, keys: Keys) -> None:
    for key in keys.judged:
        await store.write("UNLINK", key)
