"""A check of the store: clients under faults, a history of it, and the judge's word.

Everything that is chosen by chance comes from the seed; what isn't is time. Two runs of a seed do
the same faults in the same order to the same shards.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from random import Random
from typing import NamedTuple, TextIO

from chaos.store.injector import Injector, key_in, pairs_of, plan_next
from chaos.store.own import NODE_TIMEOUT_S, OwnStore, start_store
from kit.errors import LabEnvironmentError
from shard.check.ending import NotAsked, record_end
from shard.check.figures import Recovery, recoveries
from shard.check.history import parse_history
from shard.check.judge import Verdict, judge
from shard.check.recorder import Recorder
from shard.check.windows import DEFAULT_BOUND_S
from shard.check.workload import Keys, Workload, make_keys
from shard.connection import Limits
from shard.store import Durability, StoreClient

DEFAULT_SECONDS = 30.0
DEFAULT_SEED = 17
QUIET_S = 1.0  # before the first fault, and after the last
LIMITS = Limits(reply_timeout_s=1.0)

Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Options:
    """What to do.

    Args:
        faults: Kinds, of ``chaos.store.injector.KINDS``; none for a run without.
        seconds: Faults begin until then; the last one is carried through.
        times: As many faults instead; 0 goes by the seconds.
        role: Only of these nodes, ``primary`` or ``replica``; "" for both.
        durability: Of the judged writes.
        seed: Chooses faults.
    """

    faults: tuple[str, ...]
    seconds: float = DEFAULT_SECONDS
    times: int = 0
    role: str = ""
    durability: Durability = Durability.REPLICATED
    seed: int = DEFAULT_SEED

    def header(self) -> dict[str, object]:
        """Return them as a history's header says them."""
        return {
            **asdict(self),
            "faults": list(self.faults),
            "durability": self.durability.value,
            "bound_s": DEFAULT_BOUND_S,
            "node_timeout_s": NODE_TIMEOUT_S,
        }


class Checked(NamedTuple):
    """What came of it: the verdict, and how soon writes were taken again."""

    verdict: Verdict
    recoveries: list[Recovery]


class Stand(NamedTuple):
    """A store and its clients at work."""

    own: OwnStore
    writer: StoreClient
    recorder: Recorder
    workload: Workload
    keys: Keys


async def check_store(options: Options, path: Path, say: Say) -> Checked:
    """Run a check and judge it.

    Args:
        options: What to do.
        path: Of the history; overwritten.
        say: Told how it goes.

    Raises:
        LabEnvironmentError: The store can't be run, or isn't whole again in time.
        OSError: The history can't be written.
    """
    with path.open("w") as file:
        async with stand(options, file, say) as made:
            await _inject_all(options, made, say)
            await asyncio.sleep(QUIET_S)
    return judge_file(path)


def judge_file(path: Path) -> Checked:
    """Judge a history.

    Raises:
        HistoryError: It doesn't read; names the line.
        OSError: Nor does the file.
        UnicodeDecodeError: It is no text.
    """
    history = parse_history(path.read_text(encoding="utf-8"))
    return Checked(judge(history), recoveries(history))


@asynccontextmanager
async def stand(options: Options, file: TextIO, say: Say) -> AsyncIterator[Stand]:
    """Run a store with clients for the length of an ``async with``, then read everything."""
    prefix = f"check:{options.seed}:"
    async with start_store() as own, _client(own) as writer, _client(own) as reader:
        probes = [
            key_in(pair.slots, f"{prefix}probe:{number}:")
            for number, pair in enumerate(await pairs_of(own))
        ]
        keys = make_keys(prefix, probes)
        recorder = Recorder(file, options.header())
        workload = Workload(writer, reader, recorder, options.durability, options.seed)
        say(f"store of {len(own.hosts)} nodes formed, {options.durability.value} writes begin")
        workload.start(keys)
        try:
            await asyncio.sleep(QUIET_S)
            yield Stand(own, writer, recorder, workload, keys)
        finally:
            await workload.stop()
        await own.whole()
        try:
            await record_end(writer, own.addresses, keys, prefix, recorder)
        except NotAsked as error:
            raise LabEnvironmentError(f"the end of the check is not known: {error}") from error


async def _inject_all(options: Options, made: Stand, say: Say) -> None:
    if not options.faults:
        await asyncio.sleep(options.seconds)
        return
    injector = Injector(made.own, made.writer, made.recorder)
    rng = Random(options.seed)
    began_s = time.monotonic()
    done = 0
    while done < options.times if options.times else time.monotonic() - began_s < options.seconds:
        planned = plan_next(options.faults, len(made.keys.probes), rng, options.role)
        seen = await injector.inject(planned, made.keys.probes[planned.shard])
        done += 1
        say(
            f"{made.recorder.at_s:5.1f} s  {planned.kind} of shard {planned.shard + 1}'s "
            f"{planned.role} for {planned.seconds:g} s: {seen}  ·  {_counts(made.recorder)}"
        )


@asynccontextmanager
async def _client(own: OwnStore) -> AsyncIterator[StoreClient]:
    client = StoreClient(own.seeds, limits=LIMITS, dial=own.dial)
    await client.connect()
    try:
        yield client
    finally:
        await client.close()


def _counts(recorder: Recorder) -> str:
    return ", ".join(
        f"{recorder.outcomes.get(each, 0):,} {each}" for each in ("ok", "refused", "unknown")
    )
