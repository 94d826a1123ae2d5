"""``squall shard plan|rebalance|resume|cancel`` as processes of their own, on a real cluster."""

import asyncio
import json
import sys
from pathlib import Path

import pytest

from hashing.slots import slot_of
from shard.move.pace import DEFAULT_RATE_KEYS_S, DEFAULT_RATE_SLOTS_S
from shard.policy.plan_file import from_text, to_text
from shard.store import Durability, StoreClient
from squall.commands.shard_move import DEFAULT_RATE, DEFAULT_SLOT_RATE
from tests.ports import free_port
from tests.shard.cluster import StoreCluster, first_good
from tests.shard.move.moving import check_whole, mover_at, plan_for

pytestmark = [pytest.mark.integration, pytest.mark.timeout(60)]


async def squall(cluster: StoreCluster, *argv: str) -> tuple[int, str, str]:
    """Run a command; its exit code, stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "squall.main", "shard", *argv, "--seeds", cluster.seeds_text,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )  # fmt: skip
    out, err = await process.communicate()
    assert process.returncode is not None
    return process.returncode, out.decode(), err.decode()


def test_the_rates_are_the_movers() -> None:
    """The command line's module can't import them."""
    assert (DEFAULT_RATE, DEFAULT_SLOT_RATE) == (DEFAULT_RATE_KEYS_S, DEFAULT_RATE_SLOTS_S)


async def test_a_plan_file_is_carried_out_once_and_half_of_one_never(
    cluster: StoreCluster, store: StoreClient, tmp_path: Path
) -> None:
    """And without --yes, with nobody to ask, nothing moves."""
    await first_good(store, "SET", "moved", "1", durability=Durability.REPLICATED, limit_s=20)
    plan = await plan_for(cluster, [slot_of(b"moved")])
    file = tmp_path / "plan.json"
    file.write_text(to_text(plan)[:-40])
    code, _, err = await squall(cluster, "rebalance", "--plan", str(file), "--yes")
    assert (code, "not a whole plan" in err) == (2, True)
    file.write_text(to_text(plan))
    code, _, err = await squall(cluster, "rebalance", "--plan", str(file))
    assert (code, "give --yes" in err) == (2, True)
    code, out, err = await squall(cluster, "rebalance", "--plan", str(file), "--yes", "--json")
    assert code == 0, err
    said = json.loads(out)
    assert (said["schema"], said["is"], said["slots"], said["keys"]) == (
        "squall.shard-moved/1", "moved", 1, 1,
    )  # fmt: skip
    await check_whole(cluster, plan, {"moved": b"1"})


async def test_a_plan_is_shown_and_written_and_nothing_moves(
    cluster: StoreCluster, tmp_path: Path
) -> None:
    """A shard of the three leaves: a third of the slots, and its replica names it as well."""
    before = await plan_for(cluster, list(range(16384)))
    node = next(node for node in cluster.nodes if node.cli("ROLE").startswith("slave"))
    file = tmp_path / "plan.json"
    code, out, err = await squall(
        cluster, "plan", "--remove", f"{node.host}:{node.port}", "--out", str(file), "--json"
    )
    assert code == 0, err
    data, plan = json.loads(out), from_text(file.read_text())
    assert data["slots"] == len(plan.moves) == sum(one["slots"] for one in data["moves"])
    assert len({move.source for move in plan.moves}) == 1
    assert sorted(one["after"] > 0 for one in data["shares"]) == [False, True, True]
    assert await plan_for(cluster, list(range(16384))) == before


async def test_a_killed_mover_is_followed_by_resume_and_by_cancel(
    cluster: StoreCluster, store: StoreClient
) -> None:
    """With a plan under way and nobody at it; afterwards there is none."""
    await first_good(store, "SET", "left", "1", durability=Durability.REPLICATED, limit_s=20)
    plan = await plan_for(cluster, [slot_of(b"left")])
    for command in ("cancel", "resume"):
        async with mover_at(cluster) as (_, journal):
            await journal.take()
            await journal.begin(plan)
            await journal.release()
        code, _, err = await squall(cluster, command)
        assert code == 0, err
        code, _, err = await squall(cluster, command)
        assert (code, "no move is under way" in err) == (3, True)
    await check_whole(cluster, plan, {"left": b"1"})


async def test_who_wants_the_same_again_goes_on_and_who_wants_another_move_is_refused(
    cluster: StoreCluster, store: StoreClient, tmp_path: Path
) -> None:
    """A shard that should leave must not be taken for gone because another move succeeded."""
    await first_good(store, "SET", "left", "1", durability=Durability.REPLICATED, limit_s=20)
    plan = await plan_for(cluster, [slot_of(b"left")])
    async with mover_at(cluster) as (_, journal):
        await journal.take()
        await journal.begin(plan, to_text(plan))
        await journal.release()
        code, out, err = await squall(cluster, "remove", cluster.seeds_text.split(",")[0], "--yes")
        assert (code, out, "another move was broken off" in err) == (3, "", True)
        assert await journal.plan() == plan
        file = tmp_path / "plan.json"
        file.write_text(to_text(plan))
        code, out, err = await squall(cluster, "rebalance", "--plan", str(file))
        assert (code, out[:5], "going on where this was broken off" in err) == (0, "moved", True)
        assert await journal.plan() is None
    await check_whole(cluster, plan, {"left": b"1"})


@pytest.mark.parametrize(
    ("argv", "code", "said"),
    [
        (("plan", "--add", "127.0.0.1:1"), 2, "a shard is two nodes"),
        (("plan", "--add", "nowhere"), 2, "is not host:port"),
        (("plan", "--remove", "127.0.0.1:1"), 2, "no node 127.0.0.1:1 here"),
        (("plan", "--algorithm", "slotmap"), 2, "did you mean slot-map"),
        (("rebalance", "--rate", "0", "--yes"), 2, "keys per second"),
        (("rebalance", "--slot-rate", "nan", "--yes"), 2, "slots per second"),
        (("rebalance", "--plan", "/nowhere/plan.json", "--yes"), 2, "No such file"),
    ],
)
async def test_wrong_command_lines(
    cluster: StoreCluster, argv: tuple[str, ...], code: int, said: str
) -> None:
    """One sentence each, and no traceback."""
    found, _, err = await squall(cluster, *argv)
    assert (found, said in err, "Traceback" in err) == (code, True, False), err


async def test_nodes_that_do_not_answer_are_no_shard(cluster: StoreCluster) -> None:
    """A dead newcomer is refused before anything is planned to move."""
    dead = f"127.0.0.1:{free_port()},127.0.0.1:{free_port()}"
    head, follower = dead.split(",")
    code, _, err = await squall(cluster, "add", head, follower, "--yes")
    assert (code, "does not answer" in err) == (3, True), err
