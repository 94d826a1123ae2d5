"""From labels in compose files to control entries."""

from pathlib import Path

import pytest

from chaos.compose import parse_topology, read_topology
from chaos.own_routes import container_routes, process_routes, publish, shown_files
from kit.control import ControlClient
from tests.valkey import start_valkey

ROOT = Path(__file__).resolve().parents[2]
HELLO = ROOT / "examples" / "hello"
TOPOLOGY = parse_topology("""\
name: tiny
services:
  control: {command: [valkey-server], restart: unless-stopped}
  hello: {command: [python], labels: {squall.route: /hello}, deploy: {replicas: 2}}
""")
ENTRY = {"prefix": "/hello", "hosts": ["a", "b"], "port": 8000, "health": "/"}


@pytest.mark.unit
def test_replicas_are_named_as_they_can_be_reached() -> None:
    """A container by its name, a process by its address, in the order of their numbers."""
    containers = container_routes(TOPOLOGY)["route/hello"]
    processes = process_routes(TOPOLOGY, "127.77.3")["route/hello"]

    assert containers == {**ENTRY, "hosts": ["tiny-hello-1", "tiny-hello-2"]}
    assert processes == {**ENTRY, "hosts": ["127.77.3.2", "127.77.3.3"]}


@pytest.mark.unit
def test_the_example_is_at_most_thirty_lines_and_joins_the_lab() -> None:
    """Its compose file and its code together; it is no member, and goes on until it is ended."""
    texts = [path.read_text() for path in HELLO.iterdir() if path.is_file()]
    assert sum(len(text.splitlines()) for text in texts) <= 30

    topology = read_topology(ROOT / "docker-compose.yml", HELLO / "compose.yml")
    hello = topology.for_mode("processes").services["hello"]
    assert (hello.is_member, hello.is_one_shot, hello.replicas) == (False, False, 2)
    assert container_routes(topology)["route/hello"]["prefix"] == "/hello"


@pytest.mark.unit
def test_the_container_lab_finds_the_files_it_is_shown(tmp_path: Path) -> None:
    """A folder with its compose.yml, or a file alone."""
    (tmp_path / "hello").mkdir()
    (tmp_path / "hello" / "compose.yml").touch()
    (tmp_path / "mine.yml").touch()
    assert shown_files(tmp_path) == [tmp_path / "hello" / "compose.yml", tmp_path / "mine.yml"]
    assert shown_files(tmp_path / "absent") == []


@pytest.mark.integration
async def test_publishing_writes_what_differs_and_forgets_what_is_gone() -> None:
    """Twice the same leaves the version; who knows only some files deletes nothing."""
    with start_valkey() as server:
        control = (server.host, server.port)
        client = ControlClient(control, settle_s=0.0)
        try:
            await client.read()
            await publish(control, {"route/hello": ENTRY}, forget_others=True)
            first = await client.read()
            await publish(control, {"route/hello": ENTRY}, forget_others=True)
            again = await client.read()
            await publish(control, {}, forget_others=False)
            kept = await client.read()
            await publish(control, {}, forget_others=True)
            gone = await client.read()
        finally:
            await client.close()

    assert first.entries == {"route/hello": ENTRY}
    assert again.version == first.version == kept.version
    assert gone.entries == {}
