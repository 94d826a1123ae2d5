"""Fixtures of the kit's tests: a real control server, empty and settled."""

from collections.abc import AsyncIterator, Iterator

import pytest

from kit.control import ControlClient
from tests.kit.lab import client_of
from tests.valkey import Valkey, start_valkey


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
