"""The proxy's documented defaults."""

import pytest

from lb.l7 import settings

pytestmark = pytest.mark.unit


def test_defaults_are_the_documented_ones() -> None:
    """Port, budget, limits and times are those of docs/lb.md."""
    assert settings.PORT == 8081
    assert settings.BACKEND_SERVICE == "gateway"
    assert settings.ROUTE_BUDGET_S == 1.0
    assert settings.MAX_HEAD_BYTES == 65_536
    assert settings.MAX_HEADERS == 100
    assert settings.MAX_CONNECTIONS == 10_000
    assert settings.BUFFER_BYTES == 65_536
    assert settings.MAX_IDLE_PER_BACKEND == 256
    assert settings.UPSTREAM_IDLE_S == 30.0
    assert settings.CONNECT_TIMEOUT_S == 0.3
    assert (settings.CLIENT_IDLE_S, settings.CLIENT_HEAD_S, settings.LINGER_S) == (60.0, 10.0, 1.0)
    assert settings.ProxySettings() == settings.ProxySettings(1.0, 3)
