"""Patience with a slow machine: a control that answers late is alive.

Why: the product gives control a second, then takes it for dead, and a starved machine may stand
still for that long. A test of anything else must not end there.
"""

import pytest

from kit.control import ControlClient

PATIENCE_S = 10.0  # longer than any standstill; a test that waits for it has failed anyhow


def be_patient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Give control, and who answers through it, 10 s in this process instead of one or two."""
    for name in ("CONNECT_TIMEOUT_S", "ANSWER_TIMEOUT_S"):
        monkeypatch.setattr(f"kit.control.{name}", PATIENCE_S)
    for method in (ControlClient.ask, ControlClient.wait_live):
        assert method.__kwdefaults__ is not None
        monkeypatch.setitem(method.__kwdefaults__, "timeout_s", PATIENCE_S)
