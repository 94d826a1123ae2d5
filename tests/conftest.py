"""Options of the whole suite: the lab's own tests run only when asked for."""

import pytest

MODES = ("processes", "containers")


def pytest_addoption(parser: pytest.Parser) -> None:
    """Add ``--e2e MODE``: also run the tests that need the whole lab."""
    parser.addoption("--e2e", choices=MODES, default=None, help="run the lab's own tests in a mode")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave the e2e tests out unless a mode was named, and everything else when it was."""
    wanted = config.getoption("--e2e") is not None
    kept = [item for item in items if (item.get_closest_marker("e2e") is not None) == wanted]
    dropped = [item for item in items if item not in kept]
    if dropped:
        config.hook.pytest_deselected(items=dropped)
        items[:] = kept
