"""Write the lab's data set into the store: ``python -m squall.seed``.

Every write leaves alone what is there (NX, sets, a script that looks first), so running it twice,
or killing it half-way and running it again, ends with the same data, and what people added since
stays. Every write is REPLICATED and counts when two nodes have it; one that isn't acknowledged is
written again. When all are, a marker says so.

Environment: SQUALL_STORE, the nodes as host:port separated by commas, and SQUALL_CONTROL.
Exit codes: 0 the data is there, 2 the environment or an argument is wrong, 3 the store didn't
answer or didn't acknowledge within the limit.
"""

import argparse
import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from itertools import islice
from typing import NamedTuple

import msgspec
import uvloop

from kit.errors import LabEnvironmentError, LabError
from kit.settings import load_settings
from resilience.errors import ServiceError
from services.account.data import account_key, encode_account, name_key
from services.comment.data import comment_ids_key, comment_member, comments_key
from services.counter.data import likers_key, views_key
from services.video.data import NEWEST_KEY, encode_video, video_key
from services.video.scripts import LIST
from shard.resp import Argument
from shard.script import Script
from shard.store import Durability, StoreClient, WriteResult, WriteStatus
from squall.dataset import DEFAULT_SEED, SIZES, Dataset, Size, ids

MARKER_KEY = "seed:done"
BATCH = 500  # writes under way at once, a tenth of what the store's client lets through
LIMIT_S = 60.0  # for the store to answer, and for a batch to be acknowledged
PAUSE_S = 0.1
WRITE_TIMEOUT_S = 5.0

ADD_COMMENTS = Script(
    """
    -- KEYS: comment ids, comments; ARGV: the members, oldest first
    if redis.call('EXISTS', KEYS[1]) == 1 then
        return 0
    end
    for id, member in ipairs(ARGV) do
        redis.call('ZADD', KEYS[2], id, member)
    end
    redis.call('SET', KEYS[1], #ARGV)
    return #ARGV
    """
)

Write = Callable[[StoreClient], Awaitable[WriteResult]]


class Marker(msgspec.Struct, frozen=True):
    """What was written last, kept in the store."""

    size: str
    seed: int


class Seeded(NamedTuple):
    """What a run did.

    Args:
        written: False when there was a data set already, and nothing had to be done.
        writes: How many writes two nodes have acknowledged.
        again: How many had to be written again.
        seconds: For all of it.
    """

    written: bool
    size: str
    writes: int
    again: int
    seconds: float


async def seed(store: StoreClient, size_name: str, dataset_seed: int, *, if_empty: bool) -> Seeded:
    """Write the data set and its marker.

    Args:
        store: Connected.
        size_name: A key of ``SIZES``.
        dataset_seed: Which data set.
        if_empty: Do nothing when some data set is there.

    Raises:
        LabEnvironmentError: When the store doesn't acknowledge everything within the limit.
    """
    began_s = time.monotonic()
    kept = await _read_marker(store)
    if if_empty and isinstance(kept, bytes):
        found = msgspec.json.decode(kept, type=Marker)
        return Seeded(False, found.size, 0, 0, time.monotonic() - began_s)
    writes = all_writes(Dataset(dataset_seed), SIZES[size_name])
    count = again = 0
    while batch := list(islice(writes, BATCH)):
        again += await _acknowledged(store, batch)
        count += len(batch)
    marker = msgspec.json.encode(Marker(size_name, dataset_seed))
    again += await _acknowledged(store, [_command("SET", MARKER_KEY, marker)])
    return Seeded(True, size_name, count + 1, again, time.monotonic() - began_s)


def all_writes(dataset: Dataset, size: Size) -> Iterator[Write]:
    """Make every write of a data set; what a page needs first comes first."""
    for video_id in ids(size.videos):
        yield from _video_writes(dataset, video_id)
    for account_id in ids(size.accounts):
        account = dataset.account(account_id)
        yield _command("SET", account_key(account_id), encode_account(account), "NX")
        yield _command("SET", name_key(account.name), account_id, "NX")


def _video_writes(dataset: Dataset, video_id: int) -> Iterator[Write]:
    video = encode_video(dataset.video(video_id))
    yield _command("SET", video_key(video_id), video, "NX")
    yield _script(LIST, [NEWEST_KEY], [video_id, video, 0])  # leaves a later revision alone
    members = [
        comment_member(number, body)
        for number, body in enumerate(dataset.comments(video_id), start=1)
    ]
    yield _script(ADD_COMMENTS, [comment_ids_key(video_id), comments_key(video_id)], members)
    audience = dataset.audience(video_id)
    if audience.likers:
        yield _command("SADD", likers_key(video_id), *audience.likers)
    yield _command("SET", views_key(video_id), audience.views, "NX")


def _command(*command: str | bytes | int) -> Write:
    return lambda store: store.write(
        *command,
        durability=Durability.REPLICATED,
        deadline_s=time.monotonic() + WRITE_TIMEOUT_S,
    )


def _script(script: Script, keys: Sequence[str], args: Sequence[Argument]) -> Write:
    return lambda store: store.eval(
        script,
        keys,
        args,
        durability=Durability.REPLICATED,
        deadline_s=time.monotonic() + WRITE_TIMEOUT_S,
    )


async def _acknowledged(store: StoreClient, writes: Sequence[Write]) -> int:
    """Write until every one is acknowledged; return how many had to be written again."""
    limit_s = time.monotonic() + LIMIT_S
    left, again = list(writes), 0
    while True:
        results = await asyncio.gather(*(write(store) for write in left))
        missing = [
            (write, result)
            for write, result in zip(left, results, strict=True)
            if result.status is not WriteStatus.ACKNOWLEDGED
        ]
        if not missing:
            return again
        if time.monotonic() >= limit_s:
            raise LabEnvironmentError(
                f"{len(missing)} writes were not acknowledged within {LIMIT_S:.0f} s, "
                f"the first: {missing[0][1].message or missing[0][1].reason}"
            )
        left = [write for write, _ in missing]
        again += len(left)
        await asyncio.sleep(PAUSE_S)


async def _read_marker(store: StoreClient) -> object:
    """Read what was written last; waits while the nodes are forming their cluster."""
    limit_s = time.monotonic() + LIMIT_S
    while True:
        try:
            return await store.read("GET", MARKER_KEY)
        except ServiceError as error:
            if time.monotonic() >= limit_s:
                raise LabEnvironmentError(f"the store doesn't answer: {error}") from error
            await asyncio.sleep(PAUSE_S)


async def _main(arguments: argparse.Namespace) -> Seeded:
    store = StoreClient(load_settings("seed").require_store())
    try:
        try:
            async with asyncio.timeout(LIMIT_S):
                await store.connect()
        except TimeoutError:
            raise LabEnvironmentError(
                f"the store did not answer within {LIMIT_S:.0f} s: is the lab up?"
            ) from None
        return await seed(store, arguments.size, arguments.seed, if_empty=arguments.if_empty)
    finally:
        await store.close()


def describe(done: Seeded) -> str:
    """Say what was done, for people."""
    size = SIZES[done.size]
    amount = f"{size.accounts:,} accounts, {size.videos:,} videos, {size.comments:,} comments"
    if not done.written:
        return f"already there: {amount}"
    again = f", {done.again} of them again" if done.again else ""
    return (
        f"{amount} in {done.seconds:.1f} s; "
        f"{done.writes:,} writes{again}, each acknowledged by two nodes"
    )


def parse(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Read the command line; exits 2 when it is wrong."""
    parser = argparse.ArgumentParser(prog="squall.seed", description="Write the lab's data set.")
    parser.add_argument("--if-empty", action="store_true", help="do nothing when there is one")
    parser.add_argument("--size", choices=sorted(SIZES), default="small")
    parser.add_argument("--seed", type=int, default=DEFAULT_SEED, help="which data set")
    parser.add_argument("--json", action="store_true", help="print one JSON object")
    return parser.parse_args(argv)


def run(argv: Sequence[str] | None = None) -> int:
    """Run from the command line; returns the exit code."""
    arguments = parse(argv)
    try:
        done = uvloop.run(_main(arguments))
    except LabError as error:
        sys.stderr.write(f"seed: {error}\n")
        if arguments.json:
            told = {"schema": "squall.error/1", "error": str(error), "exit_code": error.exit_code}
            print(json.dumps(told), flush=True)
        return error.exit_code
    data = {"schema": "squall.seed/1", **done._asdict()}
    print(json.dumps(data) if arguments.json else describe(done), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(run())
