"""The balancers run on uvloop, so their tests do too."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(
    config: pytest.Config, item: pytest.Item
) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Make every test loop below this folder a uvloop."""
    return {"uvloop": uvloop.new_event_loop}
