"""Fixtures of the tests of links: a real control server, empty and settled."""

from collections.abc import AsyncIterator, Iterator

import pytest

from kit.control import ControlClient
from tests.kit.lab import client_of
from tests.patience import be_patient
from tests.valkey import Valkey, start_valkey


@pytest.fixture(scope="package")
def shared_control() -> Iterator[Valkey]:
    """One server for all tests of links."""
    with start_valkey() as found:
        yield found


@pytest.fixture
async def control(shared_control: Valkey) -> AsyncIterator[ControlClient]:
    """A client of an empty, settled control server."""
    shared_control.cli("flushall")
    async with client_of(shared_control) as client:
        await client.read()
        yield client


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """A control that is late is not dead."""
    be_patient(monkeypatch)


@pytest.fixture(autouse=True)
def short_notice(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to notice a drain here."""
    monkeypatch.setattr("kit.lifecycle.NOTICE_S", 0.0)
