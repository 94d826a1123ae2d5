"""The control plane's protocol against a real server: versions, leases, asks, new incarnations."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import hiredis
import msgspec
import pytest

from kit import control as module
from kit.control import ANSWER_TIMEOUT_S, CONNECT_TIMEOUT_S, Ask, ControlClient
from kit.entries import check_entry
from kit.errors import ConfigError, LabEnvironmentError
from kit.members import LEASE_S, RENEW_EVERY_S, LiveReport, Member, select
from tests.kit.lab import WAIT_LIMIT_S, client_of
from tests.ports import free_port
from tests.valkey import Valkey, launch, start_valkey

pytestmark = pytest.mark.integration

OFF: dict[str, Any] = {"mode": "off"}


def member(instance: str = "video.1", **fields: Any) -> Member:
    """Make a lease."""
    service, _, replica = instance.partition(".")
    return Member(instance, service, int(replica), "127.0.0.1", **fields)


def test_times_are_the_designs() -> None:
    """Lease 3 s renewed each second, a new incarnation settles in 3 s, dead control within 2 s."""
    assert (LEASE_S, RENEW_EVERY_S, module.SETTLE_S) == (3.0, 1.0, 3.0)
    assert CONNECT_TIMEOUT_S + ANSWER_TIMEOUT_S <= 2.0


async def test_each_write_is_one_version(control: ControlClient) -> None:
    """Two fields in one write are one step; deleting is another."""
    assert await control.write({"policy/video/limiter": OFF, "reset": {"epoch": 1}}) == 1
    assert await control.write({"reset": None}) == 2
    found = await control.read()
    assert found.version == 2
    assert found.entries == {"policy/video/limiter": OFF}


async def test_a_wrong_entry_spoils_the_whole_write(control: ControlClient) -> None:
    """Nothing of it is written, and the version stays."""
    with pytest.raises(ConfigError):
        await control.write({"reset": {"epoch": 1}, "policy/video/limiter": {"mode": "so-so"}})
    assert (await control.read()).version == 0


async def test_faults_carry_the_time_of_their_writing(control: ControlClient) -> None:
    """By control's clock, whatever the writer said."""
    rule = {"id": "f", "kind": "abort", "target": "*", "created_ms": 12}
    await control.write({"fault/f": rule})
    found = await control.read()
    assert 0 <= found.now_ms - found.entries["fault/f"]["created_ms"] < 60_000


async def test_a_write_prunes_what_has_expired(control: ControlClient) -> None:
    """A dead fault and a dead overlay leave with the next write, whatever it is."""
    rule = {"id": "f", "kind": "abort", "target": "*", "ttl_s": 0.01}
    await control.write({"fault/f": rule, "overlay": {"id": "arm", "ttl_s": 0.01}})
    await asyncio.sleep(0.02)  # control's own clock has to move
    await control.write({"reset": {"epoch": 1}})
    assert set((await control.read()).entries) == {"reset"}


async def test_a_lease_is_listed_until_it_is_given_back(control: ControlClient) -> None:
    """Members come by name; leaving takes effect at once."""
    await control.renew(member("video.2", ready=True))
    await control.renew(member("video.1"))
    assert [one.instance for one in await control.members()] == ["video.1", "video.2"]
    await control.leave("video.2")
    assert [one.instance for one in await control.members()] == ["video.1"]


async def test_a_lease_that_is_not_renewed_ends(
    control: ControlClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """After its time it is listed no more."""
    monkeypatch.setattr(module, "LEASE_S", 0.05)
    await control.renew(member())
    await asyncio.sleep(0.06)  # control's own clock has to move
    assert await control.members() == []


async def test_renewing_learns_the_version(control: ControlClient) -> None:
    """One trip does both."""
    await control.write({"reset": {"epoch": 1}})
    renewal = await control.renew(member())
    assert (renewal.version, renewal.settled) == (1, True)
    assert renewal.incarnation == (await control.read()).incarnation


async def test_a_sync_carries_entries_only_when_they_are_news(control: ControlClient) -> None:
    """Who knows the version gets none."""
    await control.write({"reset": {"epoch": 1}})
    first = (await control.sync()).reading
    again = await control.sync(known=(first.incarnation, first.version))
    assert set(first.entries or {}) == {"reset"}
    assert again.reading.entries is None
    assert again.members is None


async def test_live_names_who_has_not_seen_the_version(control: ControlClient) -> None:
    """Waiting ends at the timeout, and the report says who is missing."""
    await control.renew(member("video.1", version_seen=5))
    await control.renew(member("video.2", version_seen=4))
    await control.renew(member("comment.1", version_seen=1))
    report = await control.wait_live(5, targets=["video"], timeout_s=0.05)
    assert report[:2] == (1, 2)
    assert report.missing == ("video.2",)
    assert not report.is_complete
    assert (await control.wait_live(5, targets=["video.1"])).is_complete


def test_live_reports_print_as_people_read_them() -> None:
    """The line that ``squall policy set`` prints."""
    assert str(LiveReport(3, 3, 140.4, ())) == "live in 3 of 3 after 140 ms"
    late = LiveReport(2, 3, 2000.0, ("video.3",))
    assert str(late) == "live in 2 of 3 after 2000 ms; not yet: video.3"


def test_targets_select_by_service_instance_or_star() -> None:
    """None and the star mean everybody."""
    lab = [member("video.1"), member("video.2"), member("comment.1")]
    assert select(lab, None) == select(lab, ["*"]) == lab
    assert select(lab, ["video"]) == lab[:2]
    assert select(lab, ["video.2", "comment"]) == lab[1:]


async def test_an_ask_returns_when_all_have_answered(
    control: ControlClient, shared_control: Valkey
) -> None:
    """It doesn't wait for its timeout, and answers come by instance."""
    await control.renew(member("video.1"))
    async with client_of(shared_control) as other:
        pubsub = other.pubsub()
        await pubsub.subscribe("squall:ask")
        asking = asyncio.create_task(control.ask("stats", {"a": 1}, timeout_s=50.0))
        message = None
        while message is None:
            message = await pubsub.get_message(timeout=1.0)
        ask = msgspec.json.decode(message["data"], type=Ask)
        await other.reply(ask, "video.1", {"got": ask.args})
        assert await asyncio.wait_for(asking, WAIT_LIMIT_S) == {"video.1": {"got": {"a": 1}}}
        await pubsub.aclose()  # type: ignore[no-untyped-call]


async def test_an_ask_leaves_out_who_stays_silent(control: ControlClient) -> None:
    """Nobody listens: the answer is empty, after the timeout."""
    await control.renew(member("video.1"))
    assert await control.ask("stats", {}, timeout_s=0.05) == {}


async def test_a_dead_control_is_one_clear_error_in_time() -> None:
    """Nothing listens there: the address is named, exit code 3, and nobody waits for more."""
    client = ControlClient(("127.0.0.1", free_port()))
    with pytest.raises(LabEnvironmentError, match="does not answer at 127") as caught:
        await asyncio.wait_for(client.write({"reset": {"epoch": 1}}), WAIT_LIMIT_S)
    assert caught.value.exit_code == 3
    await client.close()


async def test_a_frozen_control_is_noticed_in_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """SIGSTOP answers TCP and nothing else; the error comes by the client's own timeout."""
    monkeypatch.setattr(module, "ANSWER_TIMEOUT_S", ANSWER_TIMEOUT_S)
    with start_valkey() as server:
        async with client_of(server) as client:
            server.process.send_signal(19)
            with pytest.raises(LabEnvironmentError):
                await asyncio.wait_for(client.read(), WAIT_LIMIT_S)


async def test_a_new_server_takes_the_highest_version_offered() -> None:
    """Two processes offer 41 and 40; nothing can be written before; numbering continues."""
    with start_valkey() as server:
        async with client_of(server, settle_s=60.0) as early:  # its window doesn't close meanwhile
            assert not (await early.read()).settled
            assert not await early.offer(40, {"reset": (check_entry("reset", {"epoch": 40}), 0)})
            assert not await early.offer(41, {"reset": (check_entry("reset", {"epoch": 41}), 0)})
            assert not await early.offer(39, {})
        async with client_of(server, settle_s=0.3) as client:
            assert await client.write({"policy/video/limiter": OFF}) == 42
            found = await client.read()
            assert found.settled
            assert found.entries == {"reset": {"epoch": 41}, "policy/video/limiter": OFF}
            assert await client.offer(99, {})  # too late: it has settled
            assert (await client.read()).version == 42


async def test_an_offered_fault_keeps_its_age() -> None:
    """6 s of it were spent under the old server; it goes on from there under the new one."""
    rule = check_entry("fault/f", {"id": "f", "kind": "abort", "target": "*", "ttl_s": 600})
    with start_valkey() as server:
        async with client_of(server, settle_s=0.05) as client:
            await client.offer(1, {"fault/f": (rule, 6_000)})
            await client.write({"reset": {"epoch": 1}})
            found = await client.read()
            age_ms = found.now_ms - found.entries["fault/f"]["created_ms"]
            assert 6_000 <= age_ms < 60_000


async def test_what_a_restarted_server_still_has_counts_as_an_offer(tmp_path: Path) -> None:
    """Its append-only file holds version 2; an offer of 1 doesn't undo it."""
    server = launch(free_port(), "--appendonly", "yes", "--appendfsync", "always", folder=tmp_path)
    try:
        async with client_of(server) as client:
            await client.write({"reset": {"epoch": 1}})
            await client.write({"reset": {"epoch": 2}})
            before = (await client.read()).incarnation
    finally:
        server.stop()
    server = launch(server.port, "--appendonly", "yes", folder=tmp_path)
    try:
        async with client_of(server, settle_s=0.1) as client:
            await client.offer(1, {"reset": (check_entry("reset", {"epoch": 1}), 0)})
            assert await client.write({"policy/*/limiter": OFF}) == 3
            found = await client.read()
            assert found.entries["reset"] == {"epoch": 2}
            assert found.incarnation != before
    finally:
        server.stop()


async def test_a_control_that_never_settles_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """Writing gives up instead of waiting forever."""
    monkeypatch.setattr(module, "WRITE_LIMIT_S", 0.1)
    with start_valkey() as server:
        async with client_of(server, settle_s=60.0) as client:
            with pytest.raises(LabEnvironmentError, match="did not settle"):
                await client.write({"reset": {"epoch": 1}})


async def test_a_cancellation_lost_by_a_library_is_raised_after_it() -> None:
    """Code inside swallows it; the guard doesn't."""

    async def swallow() -> None:
        """Lose a cancellation, as the library does."""
        with module.keeping_cancellation(), contextlib.suppress(asyncio.CancelledError):
            await asyncio.sleep(30)

    task = asyncio.create_task(swallow())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


@asynccontextmanager
async def loading_server(refusals: int) -> AsyncIterator[int]:
    """Serve as a valkey that answers -LOADING to that many scripts, then with version 7."""
    left = refusals

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal left
        parser = hiredis.Reader()
        while data := await reader.read(65_536):
            parser.feed(data)
            while command := parser.gets():
                if not command[0].upper().startswith(b"EVAL"):
                    writer.write(b"+OK\r\n")
                elif left > 0:
                    left -= 1
                    writer.write(b"-LOADING Valkey is loading the dataset in memory\r\n")
                else:
                    writer.write(b":7\r\n")
        writer.close()

    port = free_port()
    async with await asyncio.start_server(serve, "127.0.0.1", port):
        yield port


async def test_a_write_waits_while_control_loads_its_file() -> None:
    """The command after a restart of control works instead of asking whether the lab runs."""
    async with loading_server(refusals=2) as port:
        client = ControlClient(("127.0.0.1", port))
        try:
            assert await client.write({"reset": {"epoch": 1}}) == 7
        finally:
            await client.close()


async def test_a_read_of_a_loading_control_says_so() -> None:
    """The error names the cause and what to do, not a lab that isn't there."""
    async with loading_server(refusals=99) as port:
        client = ControlClient(("127.0.0.1", port))
        try:
            with pytest.raises(LabEnvironmentError, match="loads its file: try again"):
                await client.members()
        finally:
            await client.close()
