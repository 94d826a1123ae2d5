"""A port at which nobody listens."""

import pytest

from tests.ports import free_port


@pytest.fixture
def unused_port() -> int:
    """Return one; it stays reserved for this test."""
    return free_port()
