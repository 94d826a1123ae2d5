"""The keeper, with hands that write down what they do, and a clock that tests set."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import chaos.keeper.keeper as module
from chaos.drivers.host_fault import HostFault, HostProof
from chaos.keeper.file import load_ledger
from chaos.keeper.keeper import END_LIMIT_S, RETRY_AFTER_S, Keeper
from chaos.keeper.look import Look
from kit.errors import ConfigError, LabEnvironmentError
from tests.chaos.keeper.fake_hands import FakeHands

pytestmark = pytest.mark.unit

WAIT_LIMIT_S = 10.0


class Bench:
    """A keeper, its hands and its clock."""

    def __init__(self, path: Path) -> None:
        self.now_s = 100.0
        self.path = path
        self.hands = FakeHands()
        self.keeper = Keeper(self.hands, path, lambda: self.now_s)
        self.running: list[asyncio.Task[None]] = []

    def run(self) -> None:
        """Let it undo what is due."""
        self.running.append(asyncio.get_running_loop().create_task(self.keeper.run()))

    async def proof(self, fault_id: str) -> HostProof:
        """What it knows of a fault."""
        return next(one for one in await self.keeper.proofs() if one.id == fault_id)

    async def until_over(self, fault_id: str) -> HostProof:
        """Wait until a fault is undone."""
        async with asyncio.timeout(WAIT_LIMIT_S):
            while True:
                proof = await self.proof(fault_id)
                if proof.is_over:
                    return proof
                await asyncio.sleep(0.002)

    def states(self) -> list[str]:
        """The states of all instances."""
        return [look.state for look in self.hands.looks.values()]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    """One of each, ended afterwards."""
    found = Bench(tmp_path / "list.json")
    yield found
    for task in found.running:
        task.cancel()
    await asyncio.gather(*found.running, return_exceptions=True)


def fault(kind: str, target: str = "video.1", ttl_s: float = 60.0, **params: float) -> HostFault:
    """A fault named after its kind and target."""
    return HostFault(f"{kind}-{target}", kind, target, ttl_s, params)


async def test_the_list_is_on_disk_before_anything_is_touched(bench: Bench) -> None:
    """Whoever dies between the two leaves nothing that its successor doesn't know."""
    bench.hands.breaks("kill video.1")
    seen = []
    kill = bench.hands.kill

    async def spy(instance: str) -> None:
        seen.append(list(load_ledger(bench.path).entries))
        await kill(instance)

    bench.hands.kill = spy  # type: ignore[method-assign]
    with pytest.raises(LabEnvironmentError):
        await bench.keeper.begin(fault("kill"), 3.0)
    assert seen[0] == ["kill-video.1"]


async def test_what_can_not_be_written_down_is_not_done(bench: Bench) -> None:
    """A full disk breaks nothing."""
    bench.path.mkdir()
    with pytest.raises(LabEnvironmentError, match=r"can't be written .*: without it nothing"):
        await bench.keeper.begin(fault("kill"), 3.0)
    assert bench.states() == ["running", "running"]
    assert "kill video.1" not in bench.hands.done
    assert bench.keeper.is_idle


async def test_what_fails_to_begin_is_undone_and_over(bench: Bench) -> None:
    """One replica frozen, the other refused: the first goes on again, and the caller is told."""
    bench.hands.breaks("pause video.2")
    with pytest.raises(LabEnvironmentError, match=r"refuses to pause video\.2"):
        await bench.keeper.begin(fault("pause", "video"), 3.0)
    assert bench.states() == ["running", "running"]
    assert (await bench.proof("pause-video")).is_over
    assert bench.keeper.is_idle


async def test_a_lease_that_nobody_renews_is_undone(bench: Bench) -> None:
    """At 103, not before; renewed meanwhile, at 105."""
    bench.run()
    await bench.keeper.begin(fault("pause"), 0.05)
    bench.keeper.renew(["pause-video.1"], 0.05)
    assert bench.states() == ["paused", "running"]
    bench.now_s += 0.05
    proof = await bench.until_over("pause-video.1")
    assert (proof.hits, bench.states()) == (1, ["running", "running"])


async def test_an_undo_that_is_refused_is_tried_again(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It stays on the list, says why, and is over when the engine is back."""
    monkeypatch.setattr(module, "RETRY_AFTER_S", 0.01)
    monkeypatch.setattr(module, "END_LIMIT_S", 0.05)
    await bench.keeper.begin(fault("pause"), 3.0)
    bench.hands.breaks("resume video.1")
    with pytest.raises(LabEnvironmentError, match="not undone yet: the engine refuses to resume"):
        await bench.keeper.end("pause-video.1")
    assert not bench.keeper.is_idle

    bench.hands.breaks()
    proof = await bench.until_over("pause-video.1")
    assert (proof.hits, proof.detail) == (1, "video.1 paused")


@pytest.mark.parametrize("trouble", [TimeoutError(), PermissionError(1, "no"), ValueError("{")])
async def test_an_undo_is_not_given_up_for_an_error_that_is_not_ours(
    bench: Bench, monkeypatch: pytest.MonkeyPatch, trouble: Exception
) -> None:
    """A kill that isn't over in time, a signal that isn't allowed, an answer that is no JSON."""
    monkeypatch.setattr(module, "RETRY_AFTER_S", 0.01)
    resume = bench.hands.resume
    failed: list[str] = []

    async def fail_once(instance: str) -> None:
        if not failed:
            failed.append(instance)
            raise trouble
        await resume(instance)

    monkeypatch.setattr(bench.hands, "resume", fail_once)
    await bench.keeper.begin(fault("pause"), lease_s=60.0)
    assert (await bench.keeper.end("pause-video.1")).is_over
    assert failed == ["video.1"]
    assert bench.states() == ["running", "running"]


async def test_two_faults_due_at_once_bring_an_instance_up_again(bench: Bench) -> None:
    """Neither waits for the other to let go."""
    await bench.keeper.begin(fault("kill"), 3.0)
    await bench.keeper.begin(HostFault("stop-1", "stop", "video.1", 60.0), 3.0)
    bench.now_s = 103.0
    bench.run()
    await bench.until_over("kill-video.1")
    await bench.until_over("stop-1")
    assert bench.states() == ["running", "running"]


async def test_a_kill_ends_and_a_pause_that_stands_is_done_again(bench: Bench) -> None:
    """What was started anew must be as the other fault wants it."""
    await bench.keeper.begin(fault("kill"), 3.0)
    await bench.keeper.begin(fault("pause"), 3.0)
    await bench.keeper.end("kill-video.1")
    assert bench.states() == ["paused", "running"]
    await bench.keeper.end("pause-video.1")
    assert bench.states() == ["running", "running"]


async def test_the_tightest_limit_counts_and_the_last_end_restores(bench: Bench) -> None:
    """With the limit that was there before the first of them."""
    bench.hands.looks["video.1"] = Look("running", "video.1 1", limits={"memory": 999})
    await bench.keeper.begin(HostFault("a", "memory", "video.1", 60.0, {"mb": 64}), 3.0)
    await bench.keeper.begin(HostFault("b", "memory", "video.1", 60.0, {"mb": 32}), 3.0)
    await bench.keeper.end("a")
    assert bench.hands.looks["video.1"].limits == {"memory": 32 * 2**20}
    await bench.keeper.end("b")
    assert bench.hands.looks["video.1"].limits == {"memory": 999}
    assert [one for one in bench.hands.done if one.startswith("memory")] == [
        "memory video.1 64",
        "memory video.1 32",
        "memory video.1 32",
        "memory video.1 None",
    ]


async def test_a_stop_waits_for_its_grace_and_begin_does_not(bench: Bench) -> None:
    """Undone while it waits, it is killed and started at once."""
    bench.hands.grace.clear()
    await bench.keeper.begin(fault("stop"), 3.0)
    assert bench.states() == ["running", "running"]
    proof = await bench.keeper.end("stop-video.1")
    assert proof.is_over
    assert bench.hands.done == ["stop video.1", "kill video.1", "start video.1"]


async def test_a_restart_is_never_hastened(bench: Bench) -> None:
    """Its lease ends while it drains: it goes on draining, and is started afterwards."""
    bench.hands.grace.clear()
    bench.run()
    await bench.keeper.begin(fault("restart"), 0.01)
    bench.now_s += 1.0
    await asyncio.sleep(0.05)
    assert bench.hands.done == ["stop video.1"]

    bench.hands.grace.set()
    proof = await bench.until_over("restart-video.1")
    assert bench.hands.done == ["stop video.1", "start video.1"]
    assert (proof.hits, proof.detail) == (1, "video.1 video.1 1 became video.1 2")


async def test_a_restart_left_by_a_dead_keeper_is_finished(bench: Bench) -> None:
    """Its successor ends the instance for certain and starts it."""
    bench.hands.grace.clear()
    await bench.keeper.begin(fault("restart"), 60.0)
    await asyncio.sleep(0)
    for task in asyncio.all_tasks() - {asyncio.current_task()}:
        task.cancel()  # a killed keeper's threads of work end with it
    bench.keeper = Keeper(bench.hands, bench.path, lambda: bench.now_s)
    bench.keeper.adopt()
    bench.run()
    await bench.until_over("restart-video.1")
    assert bench.hands.done == ["stop video.1", "kill video.1", "start video.1"]


async def test_a_successor_undoes_the_overdue_and_keeps_the_rest(bench: Bench) -> None:
    """What stood under a lease that is still good goes on standing."""
    await bench.keeper.begin(fault("kill", "video.1"), 3.0)
    await bench.keeper.begin(fault("pause", "video.2"), 30.0)
    bench.now_s = 110.0
    bench.keeper = Keeper(bench.hands, bench.path, lambda: bench.now_s)
    bench.keeper.adopt()
    bench.run()
    await bench.until_over("kill-video.1")
    assert bench.states() == ["running", "paused"]
    assert not bench.keeper.is_idle
    await bench.keeper.end_all()
    assert bench.states() == ["running", "running"]
    assert bench.keeper.is_idle


async def test_what_does_not_exist_any_more_needs_no_undoing(bench: Bench) -> None:
    """The lab was taken down under a fault."""
    await bench.keeper.begin(fault("pause"), 3.0)
    del bench.hands.looks["video.1"]
    proof = await bench.keeper.end("pause-video.1")
    assert (proof.is_over, proof.hits) == (True, 1)
    assert proof.detail == "video.1 does not exist any more"


async def test_an_ended_lab_leaves_nothing_standing(bench: Bench) -> None:
    """Closing acts on nobody: whoever closes ends every instance."""
    bench.hands.grace.clear()
    await bench.keeper.begin(fault("stop"), 30.0)
    await bench.keeper.close("the lab was ended")
    assert bench.hands.done == ["stop video.1"]
    assert load_ledger(bench.path).standing() == []


async def test_everything_new_means_nothing_to_undo(bench: Bench) -> None:
    """A supervisor that is started again finds a list and no such processes."""
    await bench.keeper.begin(fault("kill"), 30.0)
    successor = Keeper(bench.hands, bench.path, lambda: bench.now_s)
    successor.forget_standing("started anew")
    [proof] = await successor.proofs()
    assert (proof.is_over, proof.hits) == (True, 1)
    assert proof.detail == "video.1 exit code 137; started anew"
    assert load_ledger(bench.path).standing() == []


async def test_wrong_requests_touch_nothing(bench: Bench) -> None:
    """Kinds, targets, leases and ids are checked first."""
    with pytest.raises(ConfigError, match="did you mean pause"):
        await bench.keeper.begin(fault("puase"), 3.0)
    with pytest.raises(ConfigError, match="nothing called 'web' runs here"):
        await bench.keeper.begin(fault("pause", "web"), 3.0)
    with pytest.raises(ConfigError, match="lease_s is 0"):
        await bench.keeper.begin(fault("pause"), 0)
    with pytest.raises(ConfigError, match="has the id 'x': none"):
        await bench.keeper.end("x")
    assert bench.hands.done == []
    assert bench.keeper.is_idle
    assert repr(bench.keeper) == "<Keeper 0 standing>"


async def test_the_same_id_at_once_is_taken_once(bench: Bench) -> None:
    """Two who ask together don't both act."""
    results = await asyncio.gather(
        bench.keeper.begin(fault("kill"), 3.0),
        bench.keeper.begin(fault("kill"), 3.0),
        return_exceptions=True,
    )
    assert sum(isinstance(one, ConfigError) for one in results) == 1
    assert bench.hands.done == ["kill video.1"]


def test_documented_limits_hold() -> None:
    """Twice the grace period of the lab, and a second between two tries."""
    assert (END_LIMIT_S, RETRY_AFTER_S) == (30.0, 1.0)


async def test_a_store_node_is_cut_off_until_its_lease_ends(bench: Bench) -> None:
    """Its time to live goes with it: should the keeper die too, the cut ends by itself."""
    bench.hands.looks["store-1.1"] = Look("running", "store-1.1 1")
    await bench.keeper.begin(HostFault("a", "isolate", "store-1", 60.0), 3.0)
    bench.run()

    bench.now_s += 3.0
    await bench.keeper.begin(HostFault("b", "pause", "video.1", 60.0), 3.0)  # it looks again
    proof = await bench.until_over("a")

    assert (proof.hits, proof.detail) == (
        1,
        "store-1.1 1 packets to and from other nodes swallowed",
    )
    assert bench.hands.done[0] == "isolate store-1.1 60.0"
    assert bench.hands.done[-1] == "isolate store-1.1 None"
