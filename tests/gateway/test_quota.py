"""The quota at the edge: what it reads of the lab, whom it refuses, and that changes are live."""

import asyncio
from collections.abc import Callable, Iterator

import httpx2
import pytest

from gateway import quota as module
from gateway.quota import Quota
from kit.choices import CHOICES
from kit.directory import Endpoint
from resilience.policy.contract import Mode, Outcome, Permit, Rejection, Request
from resilience.policy.lease import Fallback
from resilience.policy.switch import PassPermit
from resilience.policy.token_lease import MAX_TENANTS, OVERFLOW_TENANT
from tests.gateway.lab import FakeNode, SmallLab, small_lab, until
from tests.valkey import Valkey, start_valkey

LIST = "/v1/videos"
BAGGAGE = {"baggage": "squall.tenant=ann"}


class Roads:
    """A directory as a test says it."""

    def __init__(self) -> None:
        self.way: tuple[str, int] | None = None
        self._gateways: list[Callable[[list[Endpoint]], None]] = []
        self._dialers: list[Callable[[], None]] = []

    def on_change(self, service: str, callback: Callable[[list[Endpoint]], None]) -> None:
        """Keep who wants to know of the gateways."""
        assert service == "gateway"
        self._gateways.append(callback)
        callback([])

    def dial(self, host: str, port: int) -> tuple[str, int]:
        """Return the way round that the test set."""
        return self.way or (host, port)

    def on_dial_change(self, callback: Callable[[], None]) -> None:
        """Keep who wants to know of another way."""
        self._dialers.append(callback)

    def set_gateways(self, count: int) -> None:
        """Have so many gateways from now on."""
        for callback in self._gateways:
            callback([Endpoint(f"gateway.{each}", "127.0.0.1", each) for each in range(count)])

    def set_way(self, host: str, port: int) -> None:
        """Send everybody another way."""
        self.way = (host, port)
        for callback in self._dialers:
            callback()


@pytest.fixture(scope="module")
def server() -> Iterator[Valkey]:
    """Run one cache node for the module."""
    with start_valkey() as node:
        yield node


def node_with(rps: float) -> FakeNode:
    """Make a node on which a quota is set and on."""
    node = FakeNode()
    node.modes |= {"quota": Mode.ON, "quota_local": Mode.ON}
    node.settings["quota_rps"] = rps
    return node


def ask(quota: Quota, now_s: float, tenant: str = "ann", times: int = 1) -> int:
    """Ask so often at one moment; return how many were let in."""
    decisions = [quota.admit(Request(tenant=tenant), now_s) for _ in range(times)]
    return sum(isinstance(each, Permit) for each in decisions)


@pytest.mark.unit
def test_defaults_are_those_documented() -> None:
    """No rate by default, equal weights, twenty tenants shown; every choice has its fallback."""
    assert (module.NO_QUOTA, module.DEFAULT_WEIGHT, module.SHOWN_TENANTS) == (0.0, 1.0, 20)
    assert tuple(module.FALLBACKS) == CHOICES["quota_fallback"]
    assert module.FALLBACKS["local"] is Fallback.LOCAL_SHARE


@pytest.mark.unit
@pytest.mark.parametrize("rps", [0.0, -5.0])
def test_without_a_rate_everybody_passes_and_nothing_is_counted(rps: float) -> None:
    """A quota exists only when somebody set one above zero."""
    quota = Quota(node_with(rps))
    permit = quota.admit(Request(), 0.0)
    assert isinstance(permit, PassPermit)
    quota.settle(permit, Outcome.OK, 0.0)
    with pytest.raises(AssertionError):
        quota.settle(permit, Outcome.OK, 0.0)
    found = quota.snapshot()
    assert (found["quota_rps"], found["tenants"], found["decisions"]) == (0.0, 0, 0)


@pytest.mark.unit
def test_a_rate_set_raised_and_taken_away_holds_at_once() -> None:
    """The same object: from none to 10 a second, to 1,000, to none."""
    node = node_with(0.0)
    quota = Quota(node)
    assert ask(quota, 0.0, times=100) == 100
    node.settings["quota_rps"] = 10.0
    quota.refresh()
    assert ask(quota, 0.0, times=100) == 1
    node.settings["quota_rps"] = 1000.0
    quota.refresh()
    assert ask(quota, 0.2, times=150) > 90
    node.settings["quota_rps"] = 0.0
    quota.refresh()
    assert ask(quota, 0.2, times=100) == 100


@pytest.mark.unit
@pytest.mark.parametrize(
    ("choice", "local", "fallback"),
    [
        (None, Mode.ON, Fallback.LOCAL_SHARE),
        ("local", Mode.ON, Fallback.LOCAL_SHARE),
        ("open", Mode.ON, Fallback.OPEN),
        ("closed", Mode.ON, Fallback.CLOSED),
        ("closed", Mode.OFF, Fallback.OPEN),
        ("local", Mode.SHADOW, Fallback.OPEN),
    ],
)
def test_choice_and_switch_say_what_holds_without_the_store(
    choice: str | None, local: Mode, fallback: Fallback
) -> None:
    """The switch off is open, whatever was chosen; both are read at each new state."""
    node = node_with(10.0)
    quota = Quota(node)
    node.modes["quota_local"] = local
    if choice:
        node.choices["quota_fallback"] = choice
    quota.refresh()
    assert quota.lease.fallback is fallback
    admitted = ask(quota, 0.0, times=50)
    assert admitted == {Fallback.LOCAL_SHARE: 1, Fallback.OPEN: 50, Fallback.CLOSED: 0}[fallback]


@pytest.mark.unit
def test_the_registry_says_how_many_share_while_the_store_is_silent() -> None:
    """Alone with two gateways: half of the rate each, over ten seconds."""
    roads = Roads()
    quota = Quota(node_with(100.0), roads)

    async def scenario() -> int:
        quota.start()
        roads.set_gateways(2)
        try:
            return sum(ask(quota, step / 100.0, times=4) for step in range(1000))
        finally:
            await quota.close()

    assert 480 <= asyncio.run(scenario()) <= 520
    quota.reset(20.0)
    assert quota.lease.nodes == 2


@pytest.mark.unit
def test_weights_are_settings_and_hold_for_who_is_known_and_who_comes() -> None:
    """Bob is due three times as much from the moment it is set; a weight of 0 counts as 1."""
    node = node_with(80.0)
    node.settings["quota_weight.cat"] = 0.0
    quota = Quota(node)
    ask(quota, 0.0, "ann")
    ask(quota, 0.0, "bob")
    node.settings["quota_weight.bob"] = 3.0
    quota.refresh()
    admitted = {"ann": 0, "bob": 0}
    for step in range(1, 1001):
        for tenant in admitted:
            admitted[tenant] += ask(quota, step / 100.0, tenant, times=2)
    assert 2.7 <= admitted["bob"] / admitted["ann"] <= 3.3
    ask(quota, 10.0, "cat")
    assert quota.lease.accounts()["cat"].weight == 1.0
    quota.reset(10.0)
    ask(quota, 10.0, "bob")
    assert quota.lease.accounts()["bob"].weight == 3.0


@pytest.mark.unit
def test_a_page_shows_each_tenant_and_only_the_busiest() -> None:
    """Admitted, refused, tokens and weight; of thirty tenants the twenty who asked most."""
    quota = Quota(node_with(10.0))
    ask(quota, 0.0, "", times=3)
    found = quota.snapshot()
    assert (found["tenant.(none).admitted"], found["tenant.(none).rejected"]) == (1, 2)
    assert (found["tenant.(none).tokens"], found["tenant.(none).weight"]) == (0.0, 1.0)
    for number in range(30):
        ask(quota, 0.0, f"t{number:02}", times=number + 4)
    shown = {name.split(".")[1] for name in quota.snapshot() if name.endswith(".tokens")}
    assert shown == {f"t{number:02}" for number in range(10, 30)}
    quota.reset(1.0)
    assert not [name for name in quota.snapshot() if name.startswith("tenant.")]


@pytest.mark.unit
def test_names_from_outside_do_not_eat_the_memory() -> None:
    """Beyond a thousand tenants the rest share one count, as they share one account."""
    quota = Quota(node_with(10.0))
    for number in range(MAX_TENANTS + 5):
        ask(quota, 0.0, f"t{number}")
    assert len(quota._tallies) == MAX_TENANTS + 1
    assert quota._tallies[OVERFLOW_TENANT].admitted + quota._tallies[OVERFLOW_TENANT].rejected == 5


@pytest.mark.integration
async def test_the_store_is_asked_only_while_there_is_a_quota(server: Valkey) -> None:
    """Nobody asks without a rate or with the switch off; with both it is one of one node."""
    node = node_with(0.0)
    quota = Quota(node, None, [(server.host, server.port)])
    quota.start()
    try:
        assert quota.snapshot()["store"] is None
        node.settings["quota_rps"] = 100.0
        quota.refresh()
        await until(lambda: not quota.lease.is_alone)
        found = quota.snapshot()
        assert (found["store"], found["nodes"]) == ("cache-1", 1)
        assert int(found["trips_granted"] or 0) >= 1
        node.modes["quota"] = Mode.OFF
        quota.refresh()
        await until(lambda: quota.snapshot()["store"] is None)
        assert quota.lease.is_alone
    finally:
        await quota.close()


@pytest.mark.integration
async def test_a_store_that_is_away_is_told_and_found_again_by_another_way(
    server: Valkey, caplog: pytest.LogCaptureFixture
) -> None:
    """Nobody listens where the way leads: alone, by count of gateways; then the way is mended."""
    roads = Roads()
    roads.way = ("127.0.0.1", 9)  # discard: nobody is there
    quota = Quota(node_with(100.0), roads, [(server.host, server.port)])
    quota.start()
    roads.set_gateways(3)
    try:
        await until(lambda: int(quota.snapshot()["trips_failed"] or 0) >= 2)
        assert (quota.lease.is_alone, quota.lease.nodes) == (True, 3)
        roads.set_way(server.host, server.port)
        await until(lambda: not quota.lease.is_alone)
        assert "the store of the quota is there" in caplog.text
        roads.set_way("127.0.0.1", 9)
        await until(lambda: quota.lease.is_alone)
        assert "is silent: the fallback decides" in caplog.text
    finally:
        await quota.close()


async def tell(lab: SmallLab, count: int, headers: dict[str, str]) -> list[httpx2.Response]:
    """Ask for the list so often."""
    async with httpx2.AsyncClient(base_url=lab.base_url) as client:
        return [await client.get(LIST, headers=headers) for _ in range(count)]


@pytest.mark.integration
async def test_who_asks_beyond_his_share_gets_429_and_the_others_pass() -> None:
    """The header says who decided; probes pass; the note is in the request's summary."""
    async with small_lab() as lab:
        lab.node.modes["quota"] = Mode.ON
        lab.node.settings["quota_rps"] = 1.0
        lab.gateway.refresh()
        first, second = await tell(lab, 2, BAGGAGE)
        assert (first.status_code, second.status_code) == (200, 429)
        assert second.json()["reason"] == "QUOTA_EXCEEDED"
        assert second.headers["retry-after"] == "1"
        assert second.headers["x-squall-decision"].startswith("quota; gateway.1; ")
        assert second.headers["x-squall-decision"].endswith("/1")
        (other,) = await tell(lab, 1, {"baggage": "squall.tenant=bob"})
        assert other.status_code == 200
        async with httpx2.AsyncClient(base_url=lab.base_url) as client:
            assert (await client.get("/livez", headers=BAGGAGE)).status_code == 200
        (summary,) = lab.node.recorder.find(second.headers["x-request-id"])
        assert any(note.policy == "quota" for note in summary.notes)
        found = lab.node.gates["quota"].snapshot()
        assert (found["tenant.ann.rejected"], found["mode"]) == (1, "on")


@pytest.mark.integration
async def test_shadow_refuses_nobody_and_counts() -> None:
    """As the lab has it before anybody switches it on."""
    async with small_lab() as lab:
        lab.node.settings["quota_rps"] = 1.0
        lab.gateway.refresh()
        answers = await tell(lab, 3, BAGGAGE)
        assert {each.status_code for each in answers} == {200}
        assert lab.node.gates["quota"].snapshot()["would_reject"] == 2


@pytest.mark.unit
def test_a_refusal_says_whose_rate() -> None:
    """Value is what the tenant asks of this gateway, limit the rate of all."""
    quota = Quota(node_with(10.0))
    ask(quota, 0.0)
    refused = quota.admit(Request(tenant="ann"), 0.0)
    assert isinstance(refused, Rejection)
    assert (refused.policy, refused.reason, refused.limit) == ("quota", "QUOTA_EXCEEDED", 10.0)
