"""The quota at the edge: all gateways share one rate, and tenants share it fairly.

Why here: a partner's rate is promised for the whole, so it is counted where every request passes
once. A ``TokenLease`` decides from what this gateway holds, a ``QuotaClient`` supplies it from the
cache tier, and no request waits for either. What may change while the lab runs is control state:

    setting gateway/quota_rps              requests a second for all; 0 or unset: there is no quota
    setting gateway/quota_weight.<tenant>  his due in relation to others; 1 unless set
    choice  gateway/quota_fallback         local, open or closed: what holds without the store
    switch  quota                          on, shadow (counts only) or off
    switch  quota_local                    off: open, whatever was chosen

Questions are sent only while there is a quota and somebody asks it. While the store is silent the
registry says by how many gateways the local share is divided; a gateway without ``SQUALL_CACHE``
always holds to it.
Source: design.md, "Policies decide, adapters act"; ``resilience.policy.token_lease``.
Not handled: a quota a route (all requests cost 1); names of tenants with a slash have no weight.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from kit.choices import default_choice
from kit.directory import Endpoint
from kit.settings import Address as NodeAddress
from resilience.policy.contract import Mode, Outcome, Permit, Rejection, Request, Snapshot
from resilience.policy.lease import Fallback
from resilience.policy.switch import PassPermit
from resilience.policy.token_lease import MAX_TENANTS, OVERFLOW_TENANT, POLICY_NAME, TokenLease
from shard.policy.topology import Address
from shard.quota import QuotaClient

log = logging.getLogger(__name__)

GROUP = "gateway"  # all gateways ask for the same group
RATE_SETTING = "quota_rps"
WEIGHT_SETTING = "quota_weight."
FALLBACK_CHOICE = "quota_fallback"
LOCAL_SWITCH = "quota_local"
NO_QUOTA = 0.0  # a rate is promised by somebody, never by default
DEFAULT_WEIGHT = 1.0  # equal parts, as ``fair_shares`` has it
SHOWN_TENANTS = 20  # of up to 1,000: a page that a person reads, series that Prometheus keeps
NAMELESS = "(none)"  # how a request without a tenant is shown
FALLBACKS = {
    "local": Fallback.LOCAL_SHARE,
    "open": Fallback.OPEN,
    "closed": Fallback.CLOSED,
}


class Roads(Protocol):
    """What the quota needs of a node's directory."""

    def on_change(self, service: str, callback: Callable[[list[Endpoint]], None]) -> None:
        """Call this with a service's endpoints now, and each time they change."""

    def dial(self, host: str, port: int) -> NodeAddress:
        """Return where to connect in order to reach an address now."""

    def on_dial_change(self, callback: Callable[[], None]) -> None:
        """Call this each time ``dial`` may answer differently."""


class QuotaGround(Protocol):
    """What the quota needs of the node it runs on."""

    instance: str

    def mode(self, policy: str) -> Mode:
        """Return how a policy stands."""

    def setting(self, name: str, default: float) -> float:
        """Return a number of the newest state, or the default."""

    def choice(self, name: str, default: str) -> str:
        """Return what was chosen, or the default."""


class Tally:
    """What became of one tenant's requests here, since the start or the last reset."""

    __slots__ = ("admitted", "rejected")

    def __init__(self) -> None:
        self.admitted = 0
        self.rejected = 0


class Quota:
    """A Gate, and the loop behind it; ``start`` once, ``refresh`` at each state, ``close`` last.

    Args:
        ground: The node.
        roads: Its directory; None: the cache is dialled as it is, and this gateway is the only one.
        cache: (host, port) of the cache's nodes, in the same order on every gateway.
        clock: Monotonic seconds, the one that requests are admitted by.

    Attribute ``lease`` is the policy; it decides only while there is a quota.
    """

    def __init__(
        self,
        ground: QuotaGround,
        roads: Roads | None = None,
        cache: Sequence[NodeAddress] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = POLICY_NAME
        self.lease = TokenLease(DEFAULT_WEIGHT, name=self.name)
        self._ground = ground
        self._roads = roads
        self._cache = cache
        self._clock = clock
        self._tallies: dict[str, Tally] = {}
        self._trips = {"granted": 0, "failed": 0, "wrong": 0}
        self._has_quota = False
        self._gateways = 1
        self._client: QuotaClient | None = None
        self._was_alone = True
        self._changed = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.refresh()

    def __repr__(self) -> str:
        return f"<Quota {self.lease!r}>" if self._has_quota else "<Quota, none set>"

    def admit(self, request: Request, now_s: float) -> Permit | Rejection:
        """Spend the tenant's tokens, or refuse; without a quota everybody passes."""
        if not self._has_quota:
            return PassPermit(now_s)
        tally = self._tallies.get(request.tenant) or self._meet(request.tenant)
        decision = self.lease.admit(request, now_s)
        if isinstance(decision, Rejection):
            tally.rejected += 1
        else:
            tally.admitted += 1
        return decision

    def settle(self, permit: Permit, outcome: Outcome, now_s: float) -> None:
        """Take a permit back; one that the lease gave goes to the lease."""
        if isinstance(permit, PassPermit):
            permit.mark_settled()
        else:
            self.lease.settle(permit, outcome, now_s)

    def reset(self, now_s: float) -> None:
        """Forget tenants, tokens and counts: the fallback holds until the store's next answer."""
        self.lease.reset(now_s)
        self._tallies.clear()
        self._trips = dict.fromkeys(self._trips, 0)
        self._follow_gateways()

    def snapshot(self) -> Snapshot:
        """Return the lease's figures, the trips, and those of the tenants who asked most."""
        figures: dict[str, float | int | str | bool | None] = {
            **self.lease.snapshot(),
            "quota_rps": self.lease.quota_rps if self._has_quota else NO_QUOTA,
            "store": self._client.owner if self._client else None,
            **{f"trips_{result}": count for result, count in self._trips.items()},
        }
        accounts = self.lease.accounts()
        for tenant, tally in self._busiest():
            account = accounts.get(tenant)
            shown = f"tenant.{tenant or NAMELESS}"
            figures[f"{shown}.tokens"] = round(account.tokens, 3) if account else 0.0
            figures[f"{shown}.weight"] = self._weight(tenant)
            figures[f"{shown}.admitted"] = tally.admitted
            figures[f"{shown}.rejected"] = tally.rejected
        return figures

    def refresh(self, _: object = None) -> None:
        """Take rate, weights, fallback and switches of the newest state; without a restart."""
        rate_rps = self._ground.setting(RATE_SETTING, NO_QUOTA)
        self._has_quota = rate_rps > 0.0
        if self._has_quota:
            self.lease.quota_rps = rate_rps
        self.lease.fallback = self._fallback()
        accounts = self.lease.accounts()
        for tenant in self._tallies:
            weight = self.lease.weights[tenant] = self._weight(tenant)
            if tenant in accounts:
                accounts[tenant].weight = weight
        self._changed.set()

    def start(self) -> None:
        """Begin to ask the store whenever there is a quota."""
        if self._roads is not None:
            self._roads.on_change(GROUP, self._on_gateways)
            self._roads.on_dial_change(self._on_dial_change)
        self._task = asyncio.get_running_loop().create_task(self._keep_supplied(), name="quota")

    async def close(self) -> None:
        """End the questions and the connection; tokens that are left run out on their own."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.wait([task])
        await self._end_client()

    def on_trip(self, group: str, result: str, duration_s: float) -> None:
        """Count a question's end, and tell when the store is lost or found again."""
        self._trips[result] += 1
        if self.lease.is_alone is not self._was_alone:
            self._was_alone = self.lease.is_alone
            word = "silent: the fallback decides" if self._was_alone else "there"
            log.warning("the store of the quota is %s", word, extra={"quota": repr(self.lease)})
        self._follow_gateways()

    async def _keep_supplied(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._is_wanted() and self._client is None:
                self._client = self._make_client()
                await self._client.start()
            elif not self._is_wanted() and self._client is not None:
                await self._end_client()
                self.lease.reset(self._clock())

    def _is_wanted(self) -> bool:
        is_asked = self._ground.mode(self.name) is not Mode.OFF
        return self._has_quota and is_asked and bool(self._cache)

    def _make_client(self) -> QuotaClient:
        return QuotaClient(
            self._cache,
            GROUP,
            self.lease,
            name=self._ground.instance,
            observer=self,
            dial=self._dial,
            clock=self._clock,
        )

    async def _end_client(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            await client.close()

    def _dial(self, address: Address) -> Address:
        if self._roads is None:
            return address
        return Address(*self._roads.dial(address.host, address.port))

    def _on_dial_change(self) -> None:
        if self._client is not None:
            self._client.redial()

    def _on_gateways(self, endpoints: list[Endpoint]) -> None:
        self._gateways = max(1, len(endpoints))
        self._follow_gateways()

    def _follow_gateways(self) -> None:
        """While the store says nothing, let the registry say how many share the quota."""
        if self.lease.is_alone:
            self.lease.nodes = self._gateways

    def _fallback(self) -> Fallback:
        if self._ground.mode(LOCAL_SWITCH) is not Mode.ON:
            return Fallback.OPEN
        chosen = self._ground.choice(FALLBACK_CHOICE, default_choice(FALLBACK_CHOICE))
        return FALLBACKS.get(chosen, Fallback.LOCAL_SHARE)

    def _weight(self, tenant: str) -> float:
        weight = self._ground.setting(WEIGHT_SETTING + tenant, DEFAULT_WEIGHT)
        return weight if weight > 0.0 else DEFAULT_WEIGHT

    def _meet(self, tenant: str) -> Tally:
        """Begin a tenant's count; beyond the lease's own bound they share one, as they do there."""
        if len(self._tallies) >= MAX_TENANTS and tenant != OVERFLOW_TENANT:
            return self._tallies.get(OVERFLOW_TENANT) or self._meet(OVERFLOW_TENANT)
        self.lease.weights[tenant] = self._weight(tenant)
        tally = self._tallies[tenant] = Tally()
        return tally

    def _busiest(self) -> list[tuple[str, Tally]]:
        """Return those who asked most, by name."""
        ranked = sorted(
            self._tallies.items(), key=lambda item: (-item[1].admitted - item[1].rejected, item[0])
        )
        return sorted(ranked[:SHOWN_TENANTS])
