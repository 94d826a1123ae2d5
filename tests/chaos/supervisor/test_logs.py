"""Logs of bounded size."""

import os
from pathlib import Path

from chaos.supervisor.logs import LIMIT_BYTES, open_log, rotate, tail


def test_a_long_log_moves_aside_and_its_writer_goes_on(tmp_path: Path) -> None:
    """The descriptor stays, and what it writes next begins an empty file."""
    path = tmp_path / "logs" / "video.1.log"
    descriptor = open_log(path)
    os.write(descriptor, b"x" * 11)

    assert rotate(path, limit_bytes=10)
    os.write(descriptor, b"after\n")
    os.close(descriptor)

    assert path.read_bytes() == b"after\n"
    assert path.with_name("video.1.log.1").read_bytes() == b"x" * 11


def test_a_short_or_absent_log_stays(tmp_path: Path) -> None:
    """At the limit nothing moves; without a file neither."""
    path = tmp_path / "a.log"
    assert not rotate(path, limit_bytes=10)
    path.write_bytes(b"x" * 10)
    assert not rotate(path, limit_bytes=10)


def test_the_tail_is_the_last_lines(tmp_path: Path) -> None:
    """Three of five lines, none without a file."""
    path = tmp_path / "a.log"
    assert tail(path, 3) == []
    path.write_text("1\n2\n3\n4\n5\n")
    assert tail(path, 3) == ["3", "4", "5"]


def test_the_limit_is_the_compose_file_s() -> None:
    """5 MB, as max-size: 5m."""
    assert LIMIT_BYTES == 5_000_000
