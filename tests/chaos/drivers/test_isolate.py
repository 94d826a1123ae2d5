"""Cutting a store node off: a real supervisor, two stand-ins that call on each other."""

from collections.abc import Iterator
from pathlib import Path

import pytest

from chaos.drivers.contract import HostFault
from chaos.lab import Lab, LabPorts
from chaos.supervisor.isolation import can_isolate, dropped
from chaos.supervisor.launch import end_supervisor, start_supervisor
from tests.chaos.supervisor.lab import NETWORK, kill_supervisor, wait_for
from tests.ports import free_port

pytestmark = [
    pytest.mark.integration,
    pytest.mark.skipif(not can_isolate(), reason="needs nft and CAP_NET_ADMIN"),
]

TTL_S = 60.0
# Listens where it is, calls on the other from there, and says when what it finds changes.
CALL = """\
import socket, sys, threading
own, other, port = sys.argv[1], sys.argv[2], int(sys.argv[3])
server = socket.create_server((own, port))
said, pause = "", threading.Event()
while True:
    try:
        socket.create_connection((other, port), 0.2, (own, 0)).close()
        found = "heard"
    except OSError:
        found = "silent"
    if found != said:
        print(found, flush=True)
    said = found
    pause.wait(0.02)  # between two calls: its rate, which nobody waits for
"""


@pytest.fixture
def lab(tmp_path: Path) -> Iterator[Lab]:
    """Two store nodes."""
    port = free_port(f"{NETWORK}.1")
    (tmp_path / "call.py").write_text(CALL)
    call = "[python, call.py, '${self_host:-}', '${%s_host:-}', '%d']"
    (tmp_path / "docker-compose.yml").write_text(
        f"services:\n  store-1: {{command: {call % ('store_2', port)}}}\n"
        f"  store-2: {{command: {call % ('store_1', port)}}}\n"
    )
    found = Lab(tmp_path, "processes", LabPorts(free_port(), free_port(), 1, 1), NETWORK)
    found.save()
    start_supervisor(tmp_path, found.state_folder)
    try:
        wait_for("both hear", lambda: found_by_both(found) == {"heard"})
        yield found
    finally:
        end_supervisor(found.state_folder)


def said(lab: Lab, instance: str) -> str:
    """What a stand-in found last."""
    return next(iter(lab.driver().logs(instance, 1)[instance]), "")


def found_by_both(lab: Lab) -> set[str]:
    """What the two found last."""
    return {said(lab, "store-1.1"), said(lab, "store-2.1")}


def hosts_of(lab: Lab) -> list[str]:
    """Where they are."""
    return [one.host for one in lab.driver().instances()]


def test_a_node_cut_off_neither_hears_nor_is_heard_until_the_fault_ends(lab: Lab) -> None:
    """Both directions, with packets counted; then all is as it was."""
    driver = lab.driver()
    driver.begin(HostFault("cut", "isolate", "store-1", TTL_S), lease_s=TTL_S)
    wait_for("silence", lambda: found_by_both(lab) == {"silent"})

    proof = driver.end("cut")

    assert (proof.hits, proof.is_over, proof.instances) == (1, True, ("store-1.1",))
    assert proof.detail.startswith("store-1.1 ")
    assert proof.detail.endswith(" packets to and from other nodes swallowed")
    wait_for("both hear", lambda: found_by_both(lab) == {"heard"})
    assert [dropped(host) for host in hosts_of(lab)] == [0, 0]


def test_a_cut_that_nobody_renews_is_undone(lab: Lab) -> None:
    """As a drill engine that was killed leaves it."""
    lab.driver().begin(HostFault("cut", "isolate", "store-2", TTL_S), lease_s=1.0)
    wait_for("silence", lambda: said(lab, "store-1.1") == "silent")
    wait_for("both hear", lambda: found_by_both(lab) == {"heard"})
    assert lab.driver().host_faults()[0].is_over


@pytest.mark.parametrize("dies", [True, False])
def test_no_cut_outlives_its_lab(lab: Lab, dies: bool) -> None:
    """Ended, it leaves nothing; killed with kill -9, its successor takes away what it left."""
    hosts = hosts_of(lab)
    lab.driver().begin(HostFault("cut", "isolate", "store-1", TTL_S), lease_s=TTL_S)
    wait_for("a packet is swallowed", lambda: dropped(hosts[0]) > 0)
    if dies:
        kill_supervisor(lab)
        start_supervisor(lab.root, lab.state_folder)
        wait_for("both hear", lambda: found_by_both(lab) == {"heard"})
    else:
        end_supervisor(lab.state_folder)

    assert [dropped(host) for host in hosts] == [0, 0]
