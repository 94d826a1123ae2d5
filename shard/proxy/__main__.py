"""Run the proxy: ``python -m shard.proxy FILE``; ``python -m shard.proxy settings`` shows a file.

Exit codes: 0 ended by SIGTERM or SIGINT after draining, 2 the file or the call is wrong, 3 a port
can't be had.
"""

import asyncio
import gc
import resource
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from random import Random

from shard.greeting import Greeting
from shard.policy.acl import Users
from shard.proxy.admin import Admin
from shard.proxy.cache import CacheRouter
from shard.proxy.front import Front
from shard.proxy.router import Router
from shard.proxy.settings import ProxyFile, SettingsError, load, table
from shard.proxy.store import StoreRouter
from shard.proxy.turn import Turn

USAGE = "usage: python -m shard.proxy FILE, or python -m shard.proxy settings"
# Commands make no cycles: the collector would look at those under way for nothing.
COLLECT_EVERY = 50_000
SPARE_FILES = 64  # of the process itself, its nodes and its admin port


def make_front(file: ProxyFile) -> Front:
    """Put a proxy together, on the running loop.

    Raises:
        SettingsError: A user comes twice.
    """
    turn, rng = Turn(), Random()
    greeting = Greeting(2, file.node_user, file.node_password)
    router: Router = (
        StoreRouter(file.store, turn, rng, greeting=greeting)
        if file.store
        else CacheRouter(file.cache, turn, rng, greeting=greeting)
    )
    try:
        users = Users(file.users)
    except ValueError as wrong:
        raise SettingsError(str(wrong)) from wrong
    return Front(router, users, file.settings, turn)


async def serve(file: ProxyFile, stop: asyncio.Event, told: Callable[[str], None]) -> None:
    """Serve until told to stop, then drain.

    Raises:
        SettingsError: As ``make_front``.
        OSError: A port can't be had.
    """
    front = make_front(file)
    admin = Admin(front.figures, lambda: front.router.is_ready and not front.is_draining)
    try:
        port = await front.listen(*file.listen)
        tier = "a store" if file.store else "a cache"
        told(f"listening on {file.listen.host}:{port} in front of {tier}")
        if file.admin is not None:
            told(f"figures on {file.admin.host}:{await admin.listen(*file.admin)}/metrics")
        await stop.wait()
        told(f"draining {front.client_count} clients")
        told(f"stopped; {await front.drain()} clients were cut off")
    finally:
        admin.close()
        await front.close()


async def main(file: ProxyFile) -> None:
    """Serve until SIGTERM or SIGINT."""
    gc.freeze()
    gc.set_threshold(COLLECT_EVERY, 10, 10)
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    await serve(file, stop, _tell)


def run(arguments: Sequence[str]) -> int:
    """Carry the command line out; return the exit code."""
    if len(arguments) != 1:
        _tell(USAGE)
        return 2
    if arguments[0] == "settings":
        print(table())
        return 0
    try:
        file = load(Path(arguments[0]))
        _allow_files(file.settings.max_clients + SPARE_FILES)
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            runner.run(main(file))
    except SettingsError as wrong:
        _tell(str(wrong))
        return 2
    except OSError as wrong:
        _tell(f"can't listen: {wrong.strerror or wrong}")
        return 3
    return 0


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    """Return uvloop's where it is installed: half of the cost of asyncio's own."""
    try:
        import uvloop
    except ImportError:
        return None
    return uvloop.new_event_loop


def _allow_files(wanted: int) -> None:
    """Raise the soft limit of open files, as far as the hard one lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
    if soft < most:
        with suppress(OSError, ValueError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))


def _tell(line: str) -> None:
    print(f"shard.proxy: {line}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))
