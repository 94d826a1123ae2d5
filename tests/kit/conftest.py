"""Fixtures of the kit's tests: a real control server, empty and settled."""

from collections.abc import AsyncIterator, Iterator

import pytest

from kit.control import ControlClient
from tests.kit.lab import client_of
from tests.patience import be_patient
from tests.valkey import Valkey, start_valkey


@pytest.fixture(autouse=True)
def short_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody balances here, so a drain need not wait a second to be noticed."""
    monkeypatch.setattr("kit.lifecycle.NOTICE_S", 0.05)


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control that is late is not dead."""
    be_patient(monkeypatch)


@pytest.fixture(scope="session")
def shared_control() -> Iterator[Valkey]:
    """One server for all tests that don't hurt it."""
    with start_valkey() as server:
        yield server


@pytest.fixture
async def control(shared_control: Valkey) -> AsyncIterator[ControlClient]:
    """A client of an empty, settled control server."""
    shared_control.cli("flushall")
    async with client_of(shared_control) as client:
        await client.read()
        yield client
