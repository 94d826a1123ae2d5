"""Partitions: slots, who may go above the limit, who is evicted, and the noisy tenant."""

import pytest

from resilience.policy import partitions
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.partitions import PartitionPermit, TenantPartitions
from tests.golden.transcript import check
from tests.resilience.policy.admission_model import Slots

A, B, C = (Request(tenant=tenant) for tenant in "ABC")


def take(gate: TenantPartitions, request: Request, now_s: float = 0.0, count: int = 1) -> Permit:
    """Admit so many that must be admitted; return the last one's permit."""
    decisions = [gate.admit(request, now_s) for _ in range(count)]
    assert all(isinstance(decision, Permit) for decision in decisions)
    last = decisions[-1]
    assert isinstance(last, PartitionPermit)
    return last


def refuse(gate: TenantPartitions, request: Request, now_s: float = 0.0) -> Rejection:
    """Offer one request that must be refused."""
    rejection = gate.admit(request, now_s)
    assert isinstance(rejection, Rejection)
    return rejection


def test_defaults_are_netflix_s_and_those_of_the_criticality_gate() -> None:
    """One slot at least, 64 tenants, 10 s of usage, 0.95 of the greediest, a burst of 2 limits."""
    assert (partitions.LEAST_SLOTS, partitions.DEFAULT_WEIGHT, partitions.MAX_TENANTS) == (1, 1, 64)
    assert (partitions.USAGE_S, partitions.FAIR_RATIO, partitions.HOLD_S) == (10.0, 0.95, 1.0)
    assert (partitions.BURST_RATIO, partitions.LEAST_BURST) == (2.0, 8.0)
    assert (partitions.REBASE_S, partitions.OTHERS) == (1000.0, "others")
    gate = TenantPartitions(Slots(4))
    assert (gate.name, gate.limit(0.0), gate.in_flight) == ("partitions", 4, 0)


@pytest.mark.paper
def test_slots_are_the_share_rounded_up_and_one_at_least() -> None:
    """Netflix AbstractPartitionedLimiter.updateLimit: max(1, ceil(limit x percent))."""
    gate = TenantPartitions(Slots(10), {"A": 0.7, "B": 0.29, "C": 0.01})
    assert [gate.slots(tenant, 0.0) for tenant in "ABCD"] == [7, 3, 1, 0]


def test_what_its_owner_does_not_use_serves_the_others() -> None:
    """Alone, a tenant gets the whole limit, and no more."""
    gate = TenantPartitions(Slots(10), {"A": 1, "B": 1})
    take(gate, B, count=10)
    rejection = refuse(gate, B)

    assert (rejection.policy, rejection.reason) == ("partitions", "TENANT_SHARE_EXCEEDED")
    assert (rejection.value, rejection.limit, rejection.retry_after_s) == (10, 5, 1.0)


def test_a_tenant_under_its_share_is_admitted_though_the_limit_is_lent_out() -> None:
    """Five of ten slots are A's at once; the one who borrowed them is cut off from none."""
    gate = TenantPartitions(Slots(10), {"A": 1, "B": 1})
    take(gate, B, count=10)
    take(gate, A, count=5)

    assert (gate.overdrawn, gate.in_flight) == (5, 15)


def test_what_was_lent_is_taken_back_as_requests_end() -> None:
    """B's free slots go to nobody until the total has fallen to the limit."""
    gate = TenantPartitions(Slots(4), {"A": 1, "B": 1})
    lent = [take(gate, B) for _ in range(4)]
    take(gate, A, count=2)
    gate.settle(lent.pop(), Outcome.OK, 0.1)
    refuse(gate, B, 0.1)  # five in flight and three of them B's
    gate.settle(lent.pop(), Outcome.OK, 0.2)

    take(gate, B, 0.2)  # four in flight are no more than the limit


def test_a_debt_is_forgotten_when_the_limiter_has_not_refused_for_a_second() -> None:
    """One long request above the limit shuts nobody out after the overload is over."""
    gate = TenantPartitions(Slots(2), {"A": 1, "B": 1})
    first = take(gate, B)
    take(gate, B)
    take(gate, A, count=2)
    gate.settle(first, Outcome.OK, 0.5)

    refuse(gate, B, 0.99)
    take(gate, B, 1.0)


def test_who_has_used_less_may_burst_above_the_limit() -> None:
    """A limit of 2 leaves room for 8 more of A, beyond its one slot, while B is the greediest."""
    gate = TenantPartitions(Slots(2), {"A": 1, "B": 1})
    held = [take(gate, B, 0.0) for _ in range(2)]
    for number in range(40):  # B shows its greed: one goes, one comes, and each time one is refused
        gate.settle(held.pop(), Outcome.OK, number / 10)
        held.append(take(gate, B, number / 10))
        refuse(gate, B, number / 10)

    take(gate, A, 4.0, count=9)  # in flight 2 to 10 are no more than 2 + 8
    assert refuse(gate, A, 4.0).value == 9


def test_the_burst_grows_with_the_limit() -> None:
    """At a limit of 10 it is 20."""
    gate = TenantPartitions(Slots(10), {"A": 1, "B": 30})
    held = [take(gate, B, 0.0) for _ in range(10)]
    refuse(gate, B, 0.0)
    for number in range(900):
        gate.settle(held.pop(), Outcome.OK, number / 1000)
        held.append(take(gate, B, number / 1000))

    take(gate, A, 0.9, count=21)
    refuse(gate, A, 0.9)


def test_a_weight_of_two_may_use_twice_as_much() -> None:
    """Usage counts for its weight, so B with 12 of weight 2 is less greedy than A with 8."""
    gate = TenantPartitions(Slots(1), {"A": 1, "B": 2})
    gate.settle(take(gate, A), Outcome.OK, 0.0)
    held = take(gate, A)
    refuse(gate, A)  # contention begins, A holding one
    gate.settle(held, Outcome.OK, 0.0)
    for request, count in ((A, 7), (B, 12)):
        for _ in range(count):
            gate.settle(take(gate, request), Outcome.OK, 0.0)
    take(gate, B, 0.0, count=4)  # usage 6, 6.5, 7 and 7.5 is below 0.95 x 8

    refuse(gate, B, 0.0)
    take(gate, A, 0.0)  # its slot
    refuse(gate, A, 0.0)


def test_usage_without_contention_is_held_against_no_one() -> None:
    """A tenant that used idle capacity for an hour starts level with one that did not."""
    gate = TenantPartitions(Slots(2), {"A": 1, "B": 1})
    for number in range(1000):
        gate.settle(take(gate, A, float(number)), Outcome.OK, number + 0.1)
    take(gate, B, 1000.0, count=2)
    take(gate, A, 1000.0, count=2)

    assert gate.overdrawn == 2


def test_usage_is_forgotten() -> None:
    """B's hundred of 30 s ago weigh less than A's thirty-odd since."""
    gate = TenantPartitions(Slots(1), {"A": 1, "B": 1})
    held = take(gate, B, 0.0)
    for tenth in range(100):
        refuse(gate, B, tenth / 10)
        gate.settle(held, Outcome.OK, tenth / 10)
        held = take(gate, B, tenth / 10)
    for step in range(34):  # somebody is refused or above the limit all the time
        now_s = 10 + 0.9 * step
        gate.settle(held, Outcome.OK, now_s)
        held = take(gate, A, now_s)
        more = gate.admit(A, now_s)
        if isinstance(more, Permit):
            gate.settle(more, Outcome.OK, now_s)

    take(gate, B, 40.0, count=3)


def test_an_ignored_request_gives_back_what_it_counted() -> None:
    """A hundred that their callers left make nobody greedy, and nobody poorer than nothing."""
    gate = TenantPartitions(Slots(1), {"A": 1, "B": 1})
    take(gate, B, 100.0)
    refuse(gate, B, 100.0)  # contention begins
    for _ in range(100):
        gate.settle(take(gate, A, 100.5), Outcome.IGNORED, 100.6)
    take(gate, A, 100.5)  # its slot; B's usage is 1

    refuse(gate, A, 100.5)


def test_contention_begins_anew_a_second_after_the_last_refusal() -> None:
    """Exactly then: what A used in the last one is forgotten, and what B holds counts."""
    gate = TenantPartitions(Slots(2), {"A": 1, "B": 1})
    take(gate, B, count=2)
    refuse(gate, B, 0.0)
    for _ in range(5):
        gate.settle(take(gate, A, 0.5), Outcome.OK, 0.5)
    take(gate, A, 1.5, count=2)

    refuse(gate, A, 1.5)  # used 2, and B 2


def test_as_greedy_as_the_greediest_begins_at_95_percent() -> None:
    """With B at twenty, A gets nineteen and no more."""
    gate = TenantPartitions(Slots(20), {"A": 1, "B": 1})
    take(gate, B, count=20)
    refuse(gate, B)
    take(gate, A, count=19)

    refuse(gate, A)


def test_the_greediest_stays_known_after_a_refund() -> None:
    """When its requests are refunded, the next greediest is."""
    gate = TenantPartitions(Slots(1), {"A": 1, "C": 1})
    take(gate, C)
    refuse(gate, C)  # C has used 1
    gate.settle(take(gate, Request(3.0, tenant="A")), Outcome.IGNORED, 0.0)

    take(gate, Request(0.5, tenant="A"), count=2)  # a half is less than 0.95 of C's 1


def test_usage_survives_any_length_of_contention() -> None:
    """The landmark moves before a weight outgrows a float, and changes nobody's place."""
    gate = TenantPartitions(Slots(1), {"A": 1, "B": 1})
    held = take(gate, B)
    for now_s in range(20_000):
        refuse(gate, B, now_s / 2)
        gate.settle(held, Outcome.OK, now_s / 2)
        held = take(gate, B, now_s / 2)

    assert gate._landmark_s == 9_004.5  # moved each time it was older than 1000 s
    take(gate, A, 9_999.9, count=3)
    refuse(gate, B, 9_999.9)


def test_unknown_tenants_get_partitions_while_there_is_room() -> None:
    """Then they share one, as do requests of nobody, and shares are of all weights."""
    gate = TenantPartitions(Slots(12), {"A": 2}, max_tenants=2)
    take(gate, A)
    assert gate.slots("A", 0.0) == 12
    take(gate, B)
    assert [gate.slots(tenant, 0.0) for tenant in "AB"] == [8, 4]
    take(gate, C)
    take(gate, Request())
    assert gate.snapshot() == {
        "in_flight": 4,
        "limit": 12,
        "overdrawn": 0,
        "rejected": 0,
        "tenants": 3,
        "in_flight_A": 1,
        "rejected_A": 0,
        "in_flight_B": 1,
        "rejected_B": 0,
        "in_flight_others": 2,
        "rejected_others": 0,
    }
    assert [gate.slots(tenant, 0.0) for tenant in "AB"] == [6, 3]
    assert repr(gate) == "<TenantPartitions 4 in flight of 3 tenants>"


def test_the_partition_idle_longest_is_given_away_after_ten_seconds() -> None:
    """Not one that is used, nor one known beforehand, nor before its usage is forgotten."""
    gate = TenantPartitions(Slots(9), {"A": 1}, max_tenants=3)
    gate.settle(take(gate, A, 0.0), Outcome.OK, 0.0)
    busy = take(gate, B, 1.0)
    gate.settle(take(gate, C, 2.0), Outcome.OK, 2.0)
    late = Request(tenant="late")
    take(gate, late, 11.9)
    assert (gate.slots("late", 12.0), gate.slots("others", 12.0)) == (0, 3)

    take(gate, late, 12.0)
    assert [gate.slots(tenant, 12.0) for tenant in ("A", "B", "C", "late")] == [3, 3, 0, 3]
    gate.settle(busy, Outcome.OK, 13.0)


def test_a_flood_of_names_opens_no_more_partitions_than_allowed() -> None:
    """A thousand tenants a second share what one would get."""
    gate = TenantPartitions(Slots(4), {"A": 1}, max_tenants=8)
    for number in range(1000):
        gate.admit(Request(tenant=f"t{number}"), number / 1000)
    take(gate, A, 1.0)

    assert gate.snapshot()["tenants"] == 9


def test_a_tenant_named_others_shares_with_the_rest() -> None:
    """Its weight may be given, and it takes no place of the tenants'."""
    gate = TenantPartitions(Slots(8), {"others": 3}, max_tenants=1)
    take(gate, Request(tenant="others"))
    take(gate, A)
    take(gate, B)

    assert [gate.slots(tenant, 0.0) for tenant in ("others", "A", "B")] == [6, 2, 0]
    assert gate.snapshot()["in_flight_others"] == 2


def test_a_reset_forgets_usage_and_keeps_who_is_in_flight() -> None:
    """Permits of before release, teach the limiter nothing and refund nothing."""
    limiter = Slots(1)
    gate = TenantPartitions(limiter, {"A": 1, "B": 1})
    held = take(gate, B)
    refuse(gate, B)
    above = take(gate, A)
    gate.reset(0.5)
    assert (gate.snapshot()["rejected_B"], gate.in_flight, gate.overdrawn) == (0, 2, 1)
    gate.settle(above, Outcome.IGNORED, 0.6)
    gate.settle(held, Outcome.OK, 0.6)

    assert (gate.in_flight, limiter.in_flight, limiter.taught, limiter.resets) == (0, 0, [], 1)
    take(gate, A, 0.7)
    refuse(gate, A, 0.7)
    with pytest.raises(AssertionError, match="settled twice"):
        gate.settle(held, Outcome.OK, 0.8)
    with pytest.raises(AssertionError, match="not admitted"):
        gate.settle(Permit(0, 0.0), Outcome.OK, 0.8)


@pytest.mark.parametrize(
    ("weights", "default", "tenants"),
    [({"A": 0.0}, 1.0, 4), ({}, 0.0, 4), ({}, 1.0, 0), ({"A": 1.0, "B": 1.0}, 1.0, 1)],
)
def test_impossible_settings_are_errors(
    weights: dict[str, float], default: float, tenants: int
) -> None:
    """Weights are above 0, and there is room for the tenants that were named."""
    with pytest.raises(ValueError, match="must be >"):
        TenantPartitions(Slots(1), weights, default_weight=default, max_tenants=tenants)


@pytest.mark.golden
def test_a_noisy_tenant_reads_like_a_story() -> None:
    """Ann and Bob share a limit of two; Bob wants it all."""
    gate = TenantPartitions(Slots(2), {"ann": 1, "bob": 1})
    held: list[tuple[str, Permit]] = []
    lines: list[str] = []

    def come(now_s: float, who: str) -> None:
        decision = gate.admit(Request(tenant=who), now_s)
        if isinstance(decision, PartitionPermit):
            held.append((who, decision))
            answer = "in" if decision.inner is not None else "in above the limit"
        else:
            assert isinstance(decision, Rejection)
            answer = f"refused: {decision.value} in flight of its {decision.limit} slots"
        lines.append(f"{now_s:.1f} s {who} comes: {answer}")

    def go(now_s: float, who: str) -> None:
        place = next(number for number, (name, _) in enumerate(held) if name == who)
        gate.settle(held.pop(place)[1], Outcome.OK, now_s)
        lines.append(f"{now_s:.1f} s {who} goes: {gate.in_flight} in flight")

    for now_s, who in ((0.0, "bob"), (0.0, "bob"), (0.1, "bob"), (0.1, "ann"), (0.1, "ann")):
        come(now_s, who)
    go(0.2, "bob")
    come(0.2, "bob")
    go(0.3, "bob")
    come(0.3, "ann")
    come(0.3, "bob")
    for _ in range(3):
        go(0.4, "ann")
    come(0.4, "bob")
    come(0.4, "bob")
    come(0.4, "bob")
    lines.append(str(dict(gate.snapshot())))
    check("partitions", lines)
