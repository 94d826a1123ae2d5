"""Switches: which policies are on, in shadow or off, asked anew for each request.

Why a Protocol: in the lab the control plane answers (``kit.node.Node``); in a service that takes
only this package, ``FixedSwitches`` does.
"""

from collections.abc import Mapping
from typing import Protocol

from resilience.policy.contract import Mode


class Switches(Protocol):
    """Say how a policy stands now; O(1), called on the hot path."""

    def mode(self, policy: str) -> Mode:
        """Return the mode of a policy by its name, e.g. ``limiter``."""


class FixedSwitches:
    """Switches that stand as they were given, until ``set`` moves one.

    Args:
        modes: Policy name to its mode.
        default: The mode of every policy not named.
    """

    __slots__ = ("_default", "_modes")

    def __init__(self, modes: Mapping[str, Mode] | None = None, default: Mode = Mode.ON) -> None:
        self._modes = dict(modes or {})
        self._default = default

    def mode(self, policy: str) -> Mode:
        """Return the mode given or set last."""
        return self._modes.get(policy, self._default)

    def set(self, policy: str, mode: Mode) -> None:
        """Move one switch; the next request sees it."""
        self._modes[policy] = mode

    def __repr__(self) -> str:
        moved = " ".join(f"{name}={mode.value}" for name, mode in sorted(self._modes.items()))
        return f"<FixedSwitches {moved or 'none'} default={self._default.value}>"
