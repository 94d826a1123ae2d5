"""Cutting an address off: what is written down, and what the kernel makes of it."""

import socket
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from chaos.supervisor import isolation
from chaos.supervisor.isolation import can_isolate, cut_off, dropped, heal, heal_all, render
from kit.errors import LabEnvironmentError
from tests.chaos.supervisor.lab import wait_for

NODE, PEER, CLIENT = "127.89.0.1", "127.89.0.2", "127.0.0.1"
PORT = 6379
SHORT_S = 0.4

in_the_kernel = pytest.mark.skipif(not can_isolate(), reason="needs nft and CAP_NET_ADMIN")


@pytest.mark.unit
def test_a_cut_is_one_transaction_that_replaces_and_ends_by_itself() -> None:
    """Both directions, dropped on arrival, between these addresses only."""
    text = render("127.77.0.9", ["127.77.0.10", "127.77.0.11"], 19.6)

    assert text.startswith(
        "add table ip squall_cut_127_77_0_9\ndelete table ip squall_cut_127_77_0_9\n"
        "table ip squall_cut_127_77_0_9 {\n"
    )
    assert "elements = { 127.77.0.10 timeout 20s, 127.77.0.11 timeout 20s }" in text
    assert "type filter hook input priority filter; policy accept;" in text
    assert "ip saddr 127.77.0.9 ip daddr @others counter drop" in text
    assert "ip saddr @others ip daddr 127.77.0.9 counter drop" in text
    assert "timeout 1s" in render("127.77.0.9", ["127.77.0.10"], 0.01), "0 would be for ever"


@pytest.mark.unit
@pytest.mark.parametrize(
    ("platform", "rights", "program", "able"),
    [
        ("linux", "0000000000001000", "/sbin/nft", True),
        ("linux", "0000000000000000", "/sbin/nft", False),
        ("linux", "0000000000001000", None, False),
        ("darwin", "0000000000001000", "/sbin/nft", False),
    ],
)
def test_it_takes_linux_the_program_and_the_right(
    tmp_path: Path, platform: str, rights: str, program: str | None, able: bool
) -> None:
    """Looked at before anything is asked of the kernel."""
    status = tmp_path / "status"
    status.write_text(f"Name:\tx\nCapEff:\t{rights}\n")

    assert can_isolate(platform=platform, status=status, find=lambda _: program) is able


def connects(source: str) -> bool:
    """Whether a new connection reaches the node from an address."""
    with closing(socket.socket()) as one:
        one.settimeout(SHORT_S)
        one.bind((source, 0))
        return one.connect_ex((NODE, PORT)) == 0


@pytest.fixture
def node() -> Iterator[socket.socket]:
    """Somebody who listens; no cut is left."""
    with socket.create_server((NODE, PORT)) as listener:
        yield listener
    heal(NODE)


@in_the_kernel
@pytest.mark.integration
def test_a_cut_swallows_what_peers_send_and_lets_clients_through(node: socket.socket) -> None:
    """New connections and standing ones; what was on the way arrives afterwards."""
    with socket.create_connection((NODE, PORT), SHORT_S, (PEER, 0)) as standing:
        accepted, _ = node.accept()
        with accepted:
            accepted.settimeout(10)
            cut_off(NODE, [PEER], 60)
            standing.sendall(b"late")
            accepted.setblocking(False)
            with pytest.raises(BlockingIOError):
                accepted.recv(10)
            assert not connects(PEER)
            assert connects(CLIENT)
            assert dropped(NODE) >= 2
            heal(NODE)
            accepted.settimeout(10)
            assert accepted.recv(10) == b"late"
    assert connects(PEER)


@in_the_kernel
@pytest.mark.integration
def test_a_cut_ends_by_itself_when_nobody_is_left_to_end_it(node: socket.socket) -> None:
    """The kernel forgets its addresses; a second cut replaces the first and its time."""
    cut_off(NODE, [PEER], 60)
    assert not connects(PEER)
    cut_off(NODE, [PEER], 1)

    wait_for("the cut has ended", lambda: connects(PEER))


@in_the_kernel
@pytest.mark.integration
def test_what_an_earlier_lab_left_is_taken_away(node: socket.socket) -> None:
    """At our addresses only; nothing left is no error."""
    cut_off(NODE, [PEER], 60)
    heal_all([PEER])
    assert not connects(PEER)

    heal_all([PEER, NODE])
    heal_all([PEER, NODE])

    assert connects(PEER)
    assert dropped(NODE) == 0


@in_the_kernel
@pytest.mark.integration
def test_what_the_kernel_refuses_is_said() -> None:
    """In nft's own words."""
    with pytest.raises(LabEnvironmentError, match="nft refused a transaction"):
        isolation.cut_off(NODE, ["no-address"], 1)
