"""The file: every setting with its default, every mistake named; the process and its exit codes."""

import asyncio
import os
import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from shard.policy.topology import Address
from shard.proxy import front, line, store
from shard.proxy.admin import metrics_text
from shard.proxy.settings import LIMITS, ProxySettings, SettingsError, load, read, table
from tests.ports import free_port
from tests.valkey import start_valkey

STORE: dict[str, object] = {"store": ["127.0.0.1:7001"]}
SHA = "0" * 64


def test_defaults() -> None:
    """Each is the documented one."""
    assert {name: each[0] for name, each in LIMITS.items()} == {
        "max_clients": 4096,
        "pipeline": 1024,
        "bulk_bytes": 16 * 2**20,
        "arguments": 65_536,
        "command_bytes": 64 * 2**20,
        "inline_bytes": 65_536,
        "output_bytes": 64 * 2**20,
        "buffered_bytes": 256 * 2**20,
        "command_timeout_s": 1.0,
        "idle_timeout_s": 3600.0,
        "drain_s": 5.0,
    }
    assert read(STORE, {}).settings == ProxySettings()
    assert (line.CONNECT_TIMEOUT_S, line.REPLY_TIMEOUT_S) == (0.3, 1.0)
    assert (front.SWEEP_S, store.RESERVE_S) == (0.02, 0.05)


def test_what_settings_shows_can_be_read() -> None:
    """Once a password's hash stands in it."""
    shown = table().replace('password_sha256 = "…"', f'password_sha256 = "{SHA}"')
    file = read(tomllib.loads(shown), {})

    assert file.settings == ProxySettings()
    assert file.listen == Address("127.0.0.1", 6380)
    assert [user.name for user in file.users] == ["app"]


def test_the_store_may_come_from_the_environment() -> None:
    """As for the other clients of a lab."""
    file = read({"admin": "[::1]:9121"}, {"SQUALL_STORE": "a:1,b:2"})

    assert file.store == (Address("a", 1), Address("b", 2))
    assert file.admin == Address("::1", 9121)


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({}, "name the nodes of one tier"),
        ({**STORE, "cache": {"a": "h:1"}}, "name the nodes of one tier"),
        ({"store": "127.0.0.1:1"}, "store: must be a list"),
        ({"store": ["127.0.0.1"]}, "is no address"),
        ({"cache": ["a:1"]}, "cache: must be a table"),
        ({**STORE, "listen": "x:99999"}, "listen: 'x:99999' is no address"),
        ({**STORE, "lisen": "x:1"}, "no setting 'lisen'; there are listen"),
        ({**STORE, "limits": {"pipe": 1}}, "limits: no setting 'pipe'"),
        ({**STORE, "limits": {"pipeline": 0}}, "limits.pipeline: 0 isn't a number from 1"),
        ({**STORE, "limits": {"pipeline": True}}, "limits.pipeline: True"),
        ({**STORE, "limits": {"pipeline": 1.5}}, "limits.pipeline: 1.5"),
        ({**STORE, "limits": {"command_timeout_s": float("nan")}}, "command_timeout_s: nan"),
        ({**STORE, "users": {"name": "a"}}, "users: must be tables"),
        ({**STORE, "users": [{"name": "a"}]}, "user 'a' has no password_sha256"),
        ({**STORE, "users": [{"name": "a", "password_sha256": "x"}]}, "64 hex digits"),
        ({**STORE, "users": [{"name": "default", "commands": ["get"]}]}, "rule 'get'"),
        ({**STORE, "users": [{"name": "default", "keys": ["~a"]}]}, "pattern alone"),
        ({**STORE, "users": [{"name": "default", "key": []}]}, r"users\[0\]: no setting 'key'"),
        ({**STORE, "node_password": 5}, "node_password: must be a text"),
    ],
)
def test_a_mistake_is_named(said: dict[str, object], told: str) -> None:
    """With what would be right."""
    with pytest.raises(SettingsError, match=told):
        read(said, {})


def test_a_file_that_can_t_be_read_is_named(tmp_path: Path) -> None:
    """Missing, or no TOML."""
    with pytest.raises(SettingsError, match=r"nothing.toml: No such file"):
        load(tmp_path / "nothing.toml")
    (tmp_path / "wrong.toml").write_text("a = = 1")
    with pytest.raises(SettingsError, match=r"wrong.toml: Invalid value"):
        load(tmp_path / "wrong.toml")


def test_metrics_are_prometheus_text() -> None:
    """Counters are those whose name says so."""
    assert metrics_text({"clients": 2, "clients_total": 5}) == (
        "# TYPE squall_shard_proxy_clients gauge\nsquall_shard_proxy_clients 2\n"
        "# TYPE squall_shard_proxy_clients_total counter\nsquall_shard_proxy_clients_total 5\n"
    )


@pytest.mark.parametrize(("arguments", "code"), [((), 2), (("/no/file",), 2), (("settings",), 0)])
def test_exit_codes(arguments: tuple[str, ...], code: int) -> None:
    """Usage and a missing file are the caller's mistakes; no traceback."""
    done = run(*arguments)

    assert done.returncode == code
    assert "Traceback" not in done.stderr


def test_a_taken_port_is_told(tmp_path: Path) -> None:
    """Exit 3: not now."""
    with start_valkey() as taken:
        file = tmp_path / "proxy.toml"
        file.write_text(f'listen = "127.0.0.1:{taken.port}"\nstore = ["127.0.0.1:1"]\n')
        done = run(str(file))

    assert done.returncode == 3
    assert "can't listen" in done.stderr
    assert "Traceback" not in done.stderr


async def test_the_process_serves_tells_figures_and_drains(tmp_path: Path) -> None:
    """From its start to SIGTERM, in front of one cache node."""
    with start_valkey() as node:
        port, admin = free_port(), free_port()
        file = tmp_path / "proxy.toml"
        file.write_text(
            f'listen = "127.0.0.1:{port}"\nadmin = "127.0.0.1:{admin}"\n'
            f'[cache]\none = "127.0.0.1:{node.port}"\n'
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "shard.proxy", str(file), stderr=asyncio.subprocess.PIPE
        )
        assert process.stderr is not None
        assert b"listening on" in await process.stderr.readline()
        assert b"figures on" in await process.stderr.readline()
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"SET a 1\r\nGET a\r\n")
        assert await reader.readexactly(12) == b"+OK\r\n$1\r\n1\r\n"
        assert (await get(admin, "/readyz")).startswith(b"HTTP/1.1 200")
        assert b"squall_shard_proxy_node_commands_total 2" in await get(admin, "/metrics")
        assert (await get(admin, "/other")).startswith(b"HTTP/1.1 404")
        process.send_signal(signal.SIGTERM)
        assert await reader.read() == b""
        writer.close()
        _, told = await process.communicate()
        assert process.returncode == 0
        assert b"0 clients were cut off" in told


async def get(port: int, path: str) -> bytes:
    """Ask the admin port."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(f"GET {path} HTTP/1.1\r\nHost: x\r\n\r\n".encode())
    answer = await reader.read()
    writer.close()
    return answer


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the proxy to its end."""
    return subprocess.run(
        [sys.executable, "-m", "shard.proxy", *arguments],
        capture_output=True,
        text=True,
        timeout=30,
        env={key: value for key, value in os.environ.items() if key != "SQUALL_STORE"},
    )
