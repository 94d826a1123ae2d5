"""The keeper as a process of its own: answers drivers, undoes what is due, ends when idle.

Why: in container mode there is no supervisor, and a drill engine or a command that is killed can't
undo anything. This process belongs to nobody and lives only while there is something to undo.
Source: design.md, "One topology, two ways to run it".
Not handled: a machine that goes down; the next driver's call starts a keeper, which finds the list.
"""

import asyncio
import signal
import time
from pathlib import Path
from typing import Any

from chaos.keeper.commands import keeper_commands
from chaos.keeper.file import LEDGER_FILE
from chaos.keeper.hands import Hands
from chaos.keeper.keeper import Keeper
from chaos.supervisor.channel import listen
from chaos.supervisor.serve import Command, CommandServer

SOCKET_NAME = "keeper.sock"
IDLE_LIMIT_S = 15.0  # a drill's second fault finds the process that its first one started
LOOK_EVERY_S = 0.25


async def keep(folder: Path, hands: Hands, *, idle_limit_s: float = IDLE_LIMIT_S) -> None:
    """Keep faults until nothing stands and nobody has asked for a while, or until told to end.

    Args:
        folder: The lab's state folder; the socket and the list lie there.
        hands: Touches instances.
        idle_limit_s: For how long nobody must have asked.

    SIGTERM and the command ``finish`` undo everything first.
    """
    keeper = Keeper(hands, folder / LEDGER_FILE)
    keeper.adopt()
    is_finishing = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, is_finishing.set)
    keeping = asyncio.create_task(keeper.run())
    while True:
        await _answer_until_idle(folder, keeper, is_finishing, idle_limit_s)
        if keeper.is_idle or is_finishing.is_set():
            break  # else somebody asked at the last moment: go on
    keeping.cancel()


async def _answer_until_idle(
    folder: Path, keeper: Keeper, is_finishing: asyncio.Event, idle_limit_s: float
) -> None:
    """Answer drivers on the folder's socket, which is there exactly as long."""
    asked_s = time.monotonic()

    async def finish(_: dict[str, Any]) -> object:
        await keeper.end_all()
        is_finishing.set()
        return None

    def noting(command: Command) -> Command:
        async def noted(request: dict[str, Any]) -> object:
            nonlocal asked_s
            asked_s = time.monotonic()
            return await command(request)

        return noted

    commands = {**keeper_commands(keeper), "finish": finish}
    server = CommandServer(
        {name: noting(command) for name, command in commands.items()}, "the keeper"
    )
    await server.start(listen(folder, SOCKET_NAME))
    while not keeper.is_idle or time.monotonic() < asked_s + idle_limit_s:
        if is_finishing.is_set():
            await keeper.end_all()
            break
        await asyncio.sleep(LOOK_EVERY_S)
    # Nobody finds us from here on; who comes next starts another keeper once the lock is free.
    (folder / SOCKET_NAME).unlink(missing_ok=True)
    await server.close()
