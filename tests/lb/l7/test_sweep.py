"""Looking at every client once a second without standing still for it."""

import pytest

from lb.l7 import server as server_module
from lb.l7.proxy import Proxy
from lb.l7.server import MAX_SLICES, SLICE_CLIENTS, L7Server, slices_of
from resilience.switches import FixedSwitches

pytestmark = pytest.mark.unit


class Client:
    """A connection that counts how often it is looked at."""

    def __init__(self) -> None:
        self.looks = 0
        self.peer = ""

    def sweep(self, now_s: float) -> None:
        """Count."""
        self.looks += 1


@pytest.mark.parametrize(
    ("clients", "slices"), [(0, 1), (1, 1), (500, 1), (501, 2), (9_999, 20), (50_000, 20)]
)
def test_parts_grow_with_the_clients(clients: int, slices: int) -> None:
    """Five hundred in one go; twenty parts at most."""
    assert (SLICE_CLIENTS, MAX_SLICES) == (500, 20)
    assert slices_of(clients) == slices


@pytest.mark.parametrize("count", [0, 3, 500, 501, 1_234])
async def test_everyone_is_looked_at_once_in_a_round(
    count: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whoever left meanwhile isn't; whoever came waits for the next round."""
    monkeypatch.setattr(server_module, "SWEEP_S", 1e6)  # rounds are ours here
    server = L7Server(Proxy(FixedSwitches(), lambda summary: None))
    clients = [Client() for _ in range(count)]
    for client in clients:
        server.admit(client, b"127.0.0.1")  # type: ignore[arg-type]
    parts = slices_of(count)
    server._sweep()
    late = Client()
    server.admit(late, b"127.0.0.1")  # type: ignore[arg-type]
    gone = [client for client in clients if not client.looks][:1]
    for client in gone:
        server.forget(client)  # type: ignore[arg-type]
    for _ in range(parts - 1):
        server._sweep()
    assert all(client.looks == (client not in gone) for client in clients)
    assert late.looks == 0
    for _ in range(slices_of(count + 1)):
        server._sweep()
    assert late.looks == 1
    server._clients.clear()
    server.close()
