"""Decide which faults hit a request, and keep the proof that they did.

Why: a fault that nothing proves may never have bitten, and then the drill has shown nothing. So
each decision counts under the fault's id. Deciding is pure; the injection points act.
Source: Toxiproxy's toxicity (a share of connections); drills.md R6 (a fault without proof makes a
drill inconclusive).
"""

import random
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from faults.actions import Abort, Action, Block, Burn, Delay, Fail, Slow
from faults.proof import Proof
from faults.route import matches
from faults.rule import FaultRule

NOTHING: tuple[Action, ...] = ()
UNHEALTHY = "unhealthy"  # the kind that disturbs checks and no request


class Injector:
    """Apply the rules that hold now.

    Args:
        rules: Returns them; asked for each request, so it must be cheap.
        rng: Draws shares and jitter.

    O(rules) per request; nothing at all without rules.
    """

    def __init__(self, rules: Callable[[], Sequence[FaultRule]], rng: random.Random) -> None:
        self._rules = rules
        self._rng = rng
        self._proofs: dict[str, Proof] = {}

    def __repr__(self) -> str:
        return f"<Injector {len(self._rules())} rules, {len(self._proofs)} have bitten>"

    def decide(self, route: str, tenant: str, now_s: float) -> Sequence[Action]:
        """Return what to do to a request, in the rules' order, up to the first that ends it.

        Args:
            route: ``GET /v1/videos/7`` or a full gRPC method.
            tenant: "" when unknown.
            now_s: Monotonic seconds.
        """
        rules = self._rules()
        if not rules:
            return NOTHING
        actions: list[Action] = []
        for rule in rules:
            if not self._hits(rule, route, tenant, now_s):
                continue
            action = self._action(rule)
            if not isinstance(action, Slow):  # only the station can tell whether that bit
                self._prove(rule, action, now_s)
            actions.append(action)
            if isinstance(action, Fail | Abort):
                break
        return actions

    def fails_check(self, now_s: float) -> bool:
        """Whether a check of readiness is to be answered no, whatever is true."""
        for rule in self._rules():
            if rule.kind == UNHEALTHY and (rule.share >= 1.0 or self._rng.random() < rule.share):
                proof = self._proofs.setdefault(rule.id, Proof(rule.kind))
                proof.hits += 1
                proof.last_hit_s = now_s
                return True
        return False

    def proofs(self) -> dict[str, dict[str, Any]]:
        """Return fault id to hits and milliseconds since the last reset."""
        return {fault: proof.as_dict() for fault, proof in self._proofs.items()}

    def factor(self, faults: Iterable[str]) -> float:
        """Return how many times as long these ``slow`` faults make service take now.

        One that has ended makes no difference any more.
        """
        factor = 1.0
        live = {rule.id: rule for rule in self._rules()}
        for fault in faults:
            if fault in live:
                factor *= live[fault].number("factor", 1.0)
        return factor

    def on_burnt(self, fault: str, seconds: float) -> None:
        """Count CPU seconds that were burnt for a fault."""
        self._proofs.setdefault(fault, Proof("burn")).ms += seconds * 1000.0

    def on_slowed(self, faults: Iterable[str], seconds: float) -> None:
        """Count a request that was in service so much longer for these faults together."""
        for fault in faults:
            proof = self._proofs.setdefault(fault, Proof("slow"))
            proof.hits += 1
            proof.ms += seconds * 1000.0

    def reset(self) -> None:
        """Forget the proofs."""
        self._proofs.clear()

    def _hits(self, rule: FaultRule, route: str, tenant: str, now_s: float) -> bool:
        if rule.kind == UNHEALTHY:
            return False
        if rule.tenant and rule.tenant != tenant:
            return False
        if rule.route and not matches(rule.route, route):
            return False
        if rule.kind == "block" and not self._is_due(rule, now_s):
            return False
        return rule.share >= 1.0 or self._rng.random() < rule.share

    def _is_due(self, rule: FaultRule, now_s: float) -> bool:
        proof = self._proofs.get(rule.id)
        if proof is None or proof.last_hit_s is None:
            return True
        return now_s - proof.last_hit_s >= rule.number("every_ms") / 1000.0

    def _action(self, rule: FaultRule) -> Action:
        if rule.kind == "error":
            return Fail(rule.id, rule.code)
        if rule.kind == "abort":
            return Abort(rule.id)
        if rule.kind == "slow":
            return Slow(rule.id, rule.number("factor", 1.0))
        seconds = rule.number("ms") / 1000.0
        if rule.kind == "block":
            return Block(rule.id, seconds)
        if rule.kind == "burn":
            return Burn(rule.id, seconds)
        jitter_s = rule.number("jitter_ms") / 1000.0
        return Delay(rule.id, max(0.0, seconds + self._rng.uniform(-jitter_s, jitter_s)))

    def _prove(self, rule: FaultRule, action: Action, now_s: float) -> None:
        proof = self._proofs.setdefault(rule.id, Proof(rule.kind))
        proof.hits += 1
        proof.last_hit_s = now_s
        if isinstance(action, Delay | Block):
            proof.ms += action.seconds * 1000.0
