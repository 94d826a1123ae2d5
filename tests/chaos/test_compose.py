"""The compose file, as the host reads it."""

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from chaos.compose import DEFAULT_STOP_GRACE_S, parse_topology, read_topology
from chaos.interpolation import interpolate
from kit.errors import ConfigError

ROOT = Path(__file__).resolve().parents[2]

MINIMAL = """\
name: tiny
services:
  one:
    command: [python, -m, one]
"""


def test_the_labs_own_file_is_read_whole() -> None:
    """Twenty-seven instances in the order of the file, three of them video."""
    topology = read_topology(ROOT / "docker-compose.yml")

    assert topology.project == "squall"
    assert len(topology.instances) == 27
    assert [name for name in topology.instances if name.startswith("video")] == [
        "video.1",
        "video.2",
        "video.3",
    ]
    assert {s.name for s in topology.services.values() if s.is_one_shot} == {"store-form", "seed"}
    assert {s.name for s in topology.services.values() if s.is_member} == {
        *("account", "video", "comment", "counter", "gateway", "l7", "l4", "links"),
    }
    assert topology.services["l4"].ports[0].port == 8080
    assert topology.services["store-3"].volumes == {"store-3": "/data"}


def test_defaults_are_those_of_the_specification() -> None:
    """Without a word: one replica, no restart, ten seconds of grace."""
    service = parse_topology(MINIMAL).services["one"]

    assert (service.replicas, service.restart, service.stop_grace_s) == (1, "no", 10.0)
    assert DEFAULT_STOP_GRACE_S == 10.0
    assert service.is_one_shot


def test_merge_keys_and_anchors_are_followed() -> None:
    """A key of the service wins over the merged one, and an earlier merge over a later."""
    topology = parse_topology(
        "x-a: &a {restart: unless-stopped, stop_grace_period: 3s}\n"
        "x-b: &b {restart: on-failure, command: [python, -m, b]}\n"
        "services:\n"
        "  one: {<<: [*a, *b], stop_grace_period: 5s}\n"
    )

    service = topology.services["one"]
    assert (service.restart, service.stop_grace_s) == ("unless-stopped", 5.0)
    assert service.command == ("python", "-m", "b")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (MINIMAL + "    privileged: true\n", r"lab.yml:5: key 'privileged' in service 'one'"),
        (MINIMAL + "secrets: {a: {}}\n", r"lab.yml:5: key 'secrets' in the file"),
        (MINIMAL + "    deploy: {mode: global}\n", r"lab.yml:5: key 'mode' in service 'one', dep"),
        (MINIMAL + "    deploy: {replicas: 0}\n", r"lab.yml:5: .*replicas 0 is no number above 0"),
        (MINIMAL + "    restart: always\n", r"lab.yml:5: .*restart 'always' is none of"),
        (MINIMAL + "    stop_grace_period: 1m\n", r"lab.yml:5: .*'1m' is not whole seconds"),
        (MINIMAL + "    ports: ['80']\n", r"lab.yml:5: .*port '80' is not HOST:PUBLISHED:PORT"),
        (MINIMAL + "    volumes: ['./x:/y']\n", r"lab.yml:5: .*is not NAME:/PATH"),
        (MINIMAL + "    volumes: ['x:/y']\n", r"lab.yml:3: .*'x', which is not declared"),
        (MINIMAL + "    command: [b]\n", r"lab.yml:5: key 'command' is written twice"),
        (MINIMAL + "  two: {restart: 'no'}\n", r"service 'two' has no command"),
        ("services:\n  one: {command: [a, $b]}\n", r"lab.yml:2: cannot read the variable in '\$b'"),
        ("services: [a]\n", r"services must be a mapping"),
        ("services:\n  one: {command: python}\n", r"lab.yml:2: command must be a list"),
        ("services: {", r"lab.yml:1: expected the node content"),
    ],
)
def test_what_the_host_would_run_differently_is_refused(text: str, message: str) -> None:
    """Every surprise is an error with its place, never a guess."""
    with pytest.raises(ConfigError, match=message):
        parse_topology(text, "lab.yml")


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    """The error says which file."""
    with pytest.raises(ConfigError, match=r"no\.yml"):
        read_topology(tmp_path / "no.yml")


@pytest.mark.skipif(shutil.which("docker") is None, reason="compare with Docker's own reading")
def test_docker_reads_the_same_from_the_file() -> None:
    """Commands, environments, replicas and ports are what `docker compose config` says."""
    done = subprocess.run(
        ["docker", "compose", "-f", ROOT / "docker-compose.yml", "config", "--format", "json"],
        capture_output=True,
        env={"PATH": os.environ["PATH"], "HOME": "/nonexistent"},
        text=True,
        check=False,
    )
    if done.returncode != 0:
        pytest.skip(f"no compose here: {done.stderr.strip()[:80]}")
    theirs = json.loads(done.stdout)["services"]
    ours = read_topology(ROOT / "docker-compose.yml").services

    assert ours.keys() == theirs.keys()
    for name, service in ours.items():
        other = theirs[name]
        assert [interpolate(text, {}) for text in service.command] == other["command"], name
        environment = {key: interpolate(text, {}) for key, text in service.environment.items()}
        assert environment == (other.get("environment") or {}), name
        assert service.replicas == other.get("deploy", {}).get("replicas", 1), name
        assert service.restart == other.get("restart", "no"), name
        published = [(interpolate(port.published, {}), port.port) for port in service.ports]
        assert published == [(p["published"], p["target"]) for p in other.get("ports", [])], name
