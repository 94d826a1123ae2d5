"""Fixtures of all the gateway's tests: time enough for a machine that stands still for a moment."""

import pytest

from tests.gateway.lab import let_parts_take
from tests.patience import PATIENCE_S, be_patient


@pytest.fixture(autouse=True)
def patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Optional parts, views and control may be late; a test of lateness says how late itself."""
    be_patient(monkeypatch)
    let_parts_take(monkeypatch, PATIENCE_S)
    monkeypatch.setattr("gateway.views.TIMEOUT_S", PATIENCE_S)
