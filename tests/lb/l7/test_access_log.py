"""The access log: what a line says, who gets one, and what a full disk costs."""

import asyncio
import json
import os
import re
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from kit.errors import ConfigError
from lb.l7.access_log import MAX_HELD_BYTES, AccessLog, AccessLogOptions, prove_writable, stamp
from lb.l7.config import parse_config
from lb.l7.standalone import Standalone
from tests.lb.l7.rig import Rig, answering, ok, rig, swallowing, until
from tests.lb.l7.test_standalone import connected, ended, rewrite, running, two_backends, write
from tests.ports import free_port

FAILING = b"HTTP/1.1 503 Service Unavailable\r\ncontent-length: 4\r\n\r\nbusy"
UNCHECKED = "policies: {checks: off}\n"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """Where the log is."""
    return tmp_path / "access.log"


def logging_to(path: Path, lab: Rig, **options: Any) -> AccessLog:
    """Have a rig's proxy log there."""
    log = lab.proxy.access_log = AccessLog(AccessLogOptions(path=str(path), **options))
    return log


def lines(path: Path) -> list[dict[str, Any]]:
    """Return what was logged."""
    return [json.loads(line) for line in path.read_text().splitlines()]


async def logged(path: Path, count: int) -> list[dict[str, Any]]:
    """Wait for that many lines."""
    await until(lambda: len(lines(path)) >= count)
    return lines(path)


async def test_a_line_says_who_asked_what_and_who_answered(path: Path) -> None:
    """Each field, and no query."""
    async with rig(answering(ok(b"hello"))) as lab:
        logging_to(path, lab)
        await lab.ask("/v1/videos/7?token=secret", "x-request-id: abc-1")
        (entry,) = await logged(path, 1)
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", entry.pop("time"))
    assert 0 < entry.pop("ms") < 10_000
    assert entry == {
        "request_id": "abc-1",
        "client": "127.0.0.1",
        "method": "GET",
        "target": "/v1/videos/7",
        "status": 200,
        "reason": "OK",
        "bytes": 5,
        "upstream": "gateway.1",
        "attempts": 1,
    }


async def test_the_query_is_logged_when_asked_for(path: Path) -> None:
    """It may hold secrets, so somebody has to say so."""
    async with rig(answering(ok())) as lab:
        logging_to(path, lab, query=True)
        await lab.ask("/a?b=c")
        assert (await logged(path, 1))[0]["target"] == "/a?b=c"


async def test_every_attempt_is_counted_and_the_last_is_named(path: Path) -> None:
    """The first backend is gone; the other answers."""
    async with rig(answering(ok()), answering(ok())) as lab:
        logging_to(path, lab)
        await lab.backends[0].stop()
        for _ in range(8):
            await lab.ask()
        found = await logged(path, 8)
    assert {entry["upstream"] for entry in found} == {"gateway.2"}
    assert max(entry["attempts"] for entry in found) == 2


async def test_a_refusal_of_our_own_is_logged_with_its_reason_and_size(path: Path) -> None:
    """Nobody could be reached; problem+json went out."""
    async with rig(answering(ok())) as lab:
        logging_to(path, lab)
        await lab.backends[0].stop()
        answer = await lab.ask()
        (entry,) = await logged(path, 1)
    assert (entry["status"], entry["reason"]) == (answer.status, "NO_BACKEND")
    assert entry["bytes"] == len(answer.body) > 0


async def test_a_client_that_left_is_499(path: Path) -> None:
    """As nginx logs it."""
    async with rig(swallowing) as lab:
        logging_to(path, lab)
        client = await lab.client()
        client.get()
        await until(lambda: bool(lab.backends[0].received))
        client.writer.transport.abort()
        (entry,) = await logged(path, 1)
    assert (entry["status"], entry["reason"]) == (499, "CLIENT_GONE")


async def test_what_was_no_request_is_logged_too(path: Path) -> None:
    """With the address, since that is all that is known of it."""
    async with rig(answering(ok())) as lab:
        logging_to(path, lab)
        client = await lab.client()
        client.send(b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n")
        assert (await client.answer()).status == 400
        (entry,) = await logged(path, 1)
    assert (entry["status"], entry["client"], entry["method"]) == (400, "127.0.0.1", "-")
    assert entry["reason"] != "OK"


async def test_the_same_share_of_ids_is_kept_everywhere_and_every_failure(path: Path) -> None:
    """Two logs with a share of 0.2 keep the same ids; 5xx is kept whatever its id."""
    async with rig(answering(FAILING)) as lab:
        one = logging_to(path, lab, sample=0.2)
        other = AccessLog(AccessLogOptions(path=os.devnull, sample=0.2))
        ids = [f"request-{n}" for n in range(2000)]
        kept = [name for name in ids if one.takes(name, 200)]
        assert kept == [name for name in ids if other.takes(name, 404)]
        assert 0.16 < len(kept) / len(ids) < 0.24  # four standard deviations of chance
        assert all(one.takes(name, 503) for name in ids)
        left_out = next(name for name in ids if name not in kept)
        await lab.ask("/", f"x-request-id: {left_out}")
        assert (await logged(path, 1))[0]["request_id"] == left_out
        other.close()


async def test_a_share_of_0_keeps_failures_only_and_1_everything() -> None:
    """The ends of the range."""
    none, all_ = (AccessLog(AccessLogOptions(path=os.devnull, sample=x)) for x in (0.0, 1.0))
    names = [f"request-{n}" for n in range(100)]
    assert not any(none.takes(name, 499) for name in names)
    assert all(none.takes(name, 500) for name in names)
    assert all(all_.takes(name, 200) for name in names)
    none.close()
    all_.close()


async def test_a_disk_that_is_full_costs_lines_and_no_request() -> None:
    """/dev/full says ENOSPC to every write."""
    async with rig(answering(ok())) as lab:
        log = logging_to(Path("/dev/full"), lab)
        for _ in range(3):
            assert (await lab.ask()).status == 200
        await until(lambda: log.lost == 3)
        assert log.snapshot() == {"access_log.lines": 0, "access_log.lost": 3}


async def test_a_pipe_nobody_reads_loses_whole_lines_only(tmp_path: Path) -> None:
    """A line that was begun is ended when there is room again; what came between is counted."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    log = AccessLog(AccessLogOptions(path=str(fifo)))
    os.set_blocking(log._fd, False)
    written = 0
    while not log.lost:
        log.add_refusal(f"id-{written}", b"127.0.0.1", 400, "MALFORMED_REQUEST")
        log.flush()
        written += 1
    got = os.read(reader, 1 << 20)
    log.add_refusal("the-last", b"127.0.0.1", 400, "MALFORMED_REQUEST")
    log.flush()
    got += os.read(reader, 1 << 20)
    found = [json.loads(line)["request_id"] for line in got.splitlines()]
    assert found[-1] == "the-last"
    assert len(found) == len(set(found)) == log.lines
    assert log.lines + log.lost == written + 1
    os.close(reader)
    log.close()


async def test_what_a_turn_may_hold_is_bounded(path: Path) -> None:
    """The rest is counted as lost."""
    log = AccessLog(AccessLogOptions(path=str(path)))
    added = 0
    while not log.lost:
        log.add_refusal("x" * 1000, b"127.0.0.1", 400, "MALFORMED_REQUEST")
        added += 1
    assert added * 1000 >= MAX_HELD_BYTES * 0.8
    log.close()
    assert len(lines(path)) == log.lines == added - 1


async def test_lines_of_a_turn_leave_in_one_write(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write per turn, not per request."""
    log = AccessLog(AccessLogOptions(path=str(path)))
    writes: list[int] = []
    write_to: Callable[[int, bytes], int] = os.write

    def counting(fd: int, data: bytes) -> int:
        writes.append(len(data))
        return write_to(fd, data)

    monkeypatch.setattr(os, "write", counting)
    for n in range(10):
        log.add_refusal(f"id-{n}", b"127.0.0.1", 400, "MALFORMED_REQUEST")
    await asyncio.sleep(0)
    assert len(writes) == 1
    assert len(lines(path)) == 10
    log.close()


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("access_log: {path: a, sample: 2}", "sample is 2; give 0 to 1"),
        ("access_log: {sample: 0.5}", "an access log needs a path"),
        ("access_log: {pth: a}", "unknown key pth; did you mean path"),
    ],
)
def test_mistakes_are_told_with_their_place(text: str, told: str) -> None:
    """Before anything is opened."""
    with pytest.raises(ConfigError) as caught:
        parse_config(text)
    assert told in str(caught.value)
    assert str(caught.value).startswith("l7.yaml:1:")


def test_a_folder_that_is_not_there_is_told(tmp_path: Path) -> None:
    """With what to do."""
    with pytest.raises(ConfigError, match=r"No such file.*give a file that can be written to"):
        prove_writable(AccessLogOptions(path=str(tmp_path / "none" / "a.log")))


def test_times_are_utc_with_milliseconds() -> None:
    """RFC 3339; rounded before it is cut, so that .9996 is the next second."""
    assert stamp(0.9996) == "1970-01-01T00:00:01.000Z"
    assert stamp(1_795_000_000.5) == "2026-11-18T11:06:40.500Z"


@pytest.mark.integration
async def test_a_file_that_cannot_be_opened_ends_a_start_with_2(tmp_path: Path) -> None:
    """One line, no traceback."""
    config = tmp_path / "l7.yaml"
    async with two_backends() as (one, _):
        write(config, free_port(), one, more=f"access_log: {{path: {tmp_path}}}\n")
        async with running(config) as process:
            code, said = await ended(process)
    assert code == 2
    assert said.strip() == (
        f"l7: access_log: {tmp_path}: Is a directory; give a file that can be written to"
    )


async def test_rotation_and_reload_go_on_where_they_should(tmp_path: Path, path: Path) -> None:
    """Moved away and SIGHUP: a new file of that name. Another path: there; none: nowhere."""
    config = tmp_path / "l7.yaml"
    port = free_port()
    async with two_backends() as (one, _):
        write(config, port, one, more=f"{UNCHECKED}access_log: {{path: {path}}}\n")
        alone = Standalone(config)
        serving = asyncio.create_task(alone.run())
        client = await connected(port)

        async def ask() -> None:
            client.get()
            assert (await client.answer()).status == 200

        await ask()
        await logged(path, 1)
        os.rename(path, tmp_path / "old.log")
        os.kill(os.getpid(), signal.SIGHUP)
        await until(path.exists)
        await ask()
        await logged(path, 1)
        assert len(lines(tmp_path / "old.log")) == 1

        write(config, port, one, more=f"{UNCHECKED}access_log: {{path: {tmp_path}/none/b.log}}\n")
        alone.look()
        assert "No such file" in alone.file.mistake
        await ask()
        assert len(await logged(path, 2)) == 2

        write(config, port, one, more=f"{UNCHECKED}access_log: {{path: {tmp_path}/new.log}}\n")
        alone.look()
        await ask()
        assert len(await logged(tmp_path / "new.log", 1)) == 1
        assert len(lines(path)) == 2

        write(config, port, one, more=UNCHECKED)
        alone.look()
        assert alone.proxy.access_log is None
        await ask()
        client.writer.close()
        alone.lifecycle.request_stop()
        await serving


async def test_a_backend_that_drains_by_file_gets_no_new_request(tmp_path: Path) -> None:
    """What it had under way ends there; without the word it is asked again."""
    config = tmp_path / "l7.yaml"
    port = free_port()
    async with two_backends() as (one, two):
        write(config, port, one, two, more=UNCHECKED)
        alone = Standalone(config)
        serving = asyncio.create_task(alone.run())
        client = await connected(port)

        async def who(count: int = 30) -> set[bytes]:
            found = set()
            for _ in range(count):
                client.get()
                found.add((await client.answer()).body)
            return found

        assert await who() == {b"one", b"two"}
        text = config.read_text()
        rewrite(config, text.replace("name: two}", "name: two, drain: true}"))
        alone.look()
        assert await who() == {b"one"}
        rewrite(config, text)
        alone.look()
        assert await who() == {b"one", b"two"}
        client.writer.close()
        alone.lifecycle.request_stop()
        await serving
