"""What an operator asks of l7 and tells it: tables, reasons, ejections, a drain of l7 itself.

Why a module: the proxy serves requests and knows nothing of a lab; this joins it to a node.
An l7 that is drained gets no new connection from l4, but those that are open would bring requests
for as long as their clients like. So each answer ends its connection, as in a drain at its stop.
"""

from typing import Any

from kit.node import Node
from kit.state import LabState
from lb.fleet import is_held_out, tables_of
from lb.fleet_metrics import families
from lb.l7.picks import DEFAULT_EVERY, PickLog
from lb.l7.proxy import Proxy


def obey(node: Node, proxy: Proxy) -> None:
    """Answer an operator's questions and follow what he says, from now on."""
    operator = _Operator(node, proxy)
    node.answer("lb.backends", lambda args: operator.tables())
    node.answer("lb.why", lambda args: operator.why(str(args.get("request_id", ""))))
    node.metrics.families(lambda: families(proxy.fleets()))
    node.on_change(operator.follow)
    operator.follow(node.state)


class _Operator:
    def __init__(self, node: Node, proxy: Proxy) -> None:
        self._node = node
        self._proxy = proxy
        self._log: PickLog | None = None
        self._is_drained = False

    def tables(self) -> list[dict[str, Any]]:
        """One a service whose backends are picked here."""
        return tables_of(self._proxy.fleets(), self._node.state, self._node.directory.members())

    def why(self, request_id: str) -> list[dict[str, Any]]:
        """What was known at each pick; the request's end from what ``explain`` keeps."""
        found = self._log.find(request_id) if self._log is not None else []
        ends = self._node.recorder.find(request_id)
        # An id may come twice; both keep the newest, so the last ones belong together.
        for one, end in zip(reversed(found), reversed(ends), strict=False):
            one |= {"status": end.status, "code": end.code, "took_ms": round(end.duration_ms, 3)}
        return found

    def follow(self, state: LabState) -> None:
        """Take the newest word."""
        self._proxy.hold_out(is_held_out(state))
        self._keep(int(self._node.setting("picks_every", DEFAULT_EVERY)))
        settings = self._node.settings
        is_drained = state.is_drained(settings.service, settings.replica)
        if is_drained != self._is_drained:
            self._is_drained = is_drained
            self._proxy.is_draining = is_drained or self._node.lifecycle.is_stopping

    def _keep(self, every: int) -> None:
        if every != (self._log.every if self._log is not None else 0):
            self._log = PickLog(every=every) if every > 0 else None
            self._proxy.remember_picks(self._log)
