"""Token lease: what a node asks for and spends, and what it does when the store is no help."""

from collections.abc import Mapping

import pytest

from resilience.policy import lease_account, token_lease
from resilience.policy.contract import Outcome, Permit, Rejection, Request
from resilience.policy.lease import Fallback, LeaseGrant, LeaseRequest, TenantAsk
from resilience.policy.token_lease import TokenLease
from tests.golden import transcript

ANN = Request(tenant="ann")


def passed(lease: TokenLease, count: int, now_s: float, tenant: str = "ann") -> int:
    """Send that many at once; return how many passed."""
    request = Request(tenant=tenant)
    return sum(isinstance(lease.admit(request, now_s), Permit) for _ in range(count))


def asked(lease: TokenLease, now_s: float) -> LeaseRequest:
    """Take a question that must be due."""
    request = lease.wants(now_s)
    assert request is not None
    return request


def answer(
    lease: TokenLease, now_s: float, nodes: int = 1, **tokens: float
) -> Mapping[str, TenantAsk]:
    """Ask and be granted that; return what was asked."""
    request = asked(lease, now_s)
    assert lease.on_grant(LeaseGrant(request.sequence, nodes, tokens), now_s)
    return request.asks


def leased(quota_rps: float = 100.0, nodes: int = 1) -> TokenLease:
    """Make a lease that has heard from its store at 0 s, and has no tenants yet."""
    lease = TokenLease(quota_rps)
    answer(lease, 0.0, nodes)
    return lease


def refused(decision: object) -> Rejection:
    """Take a decision that must be a refusal."""
    assert isinstance(decision, Rejection)
    return decision


def test_defaults_are_those_documented() -> None:
    """Rounds of 0.1 to 0.5 s, three to a lease, two failures, local share."""
    assert (token_lease.MIN_ROUND_S, token_lease.MAX_ROUND_S) == (0.1, 0.5)
    assert (token_lease.LEASE_ROUNDS, token_lease.MAX_FAILURES) == (3.0, 2)
    assert (token_lease.RETRY_S, token_lease.DECISIONS_A_TRIP) == (0.05, 20.0)
    assert (token_lease.TENANT_IDLE_S, token_lease.MAX_TENANTS) == (10.0, 1000)
    assert (lease_account.LOCAL_BURST_S, lease_account.KEPT_TOKENS) == (0.2, 1.0)
    lease = TokenLease(5.0)
    assert (lease.fallback, lease.nodes, lease.name) == (Fallback.LOCAL_SHARE, 1, "quota")


def test_a_new_tenant_starts_on_credit_which_the_store_is_told_of() -> None:
    """A round of his local share: ten of 100 a second; the next question owes them."""
    lease = leased()
    assert passed(lease, 12, 0.05) == 10
    asks = answer(lease, 0.5, ann=20.0)

    assert asks["ann"].back == -10.0
    assert asks["ann"].weight == 1.0
    assert passed(lease, 40, 0.51) == 20


def test_a_slow_tenant_starts_with_one_token_and_a_heavy_one_with_more() -> None:
    """Weights and nodes divide the credit; one request always passes."""
    lease = TokenLease(90.0, {"big": 2.0}, expected_nodes=1)
    answer(lease, 0.0, nodes=3)
    assert passed(lease, 9, 0.01, "small") == 3  # 90 / 3 nodes * 0.1 s
    assert passed(lease, 9, 0.01, "big") == 2  # two thirds of that
    assert passed(leased(1.0), 9, 0.01) == 1


def test_it_asks_for_two_rounds_of_what_was_asked_here() -> None:
    """A hundred a second, refused ones included: twenty for two rounds of a tenth."""
    lease = leased(100.0)
    passed(lease, 50, 0.25)
    asks = answer(lease, 0.5, ann=0.0)

    assert asks["ann"].demand_rps == 100.0
    assert asks["ann"].want == pytest.approx(2 * 100.0 * lease.round_s)
    assert lease.round_s == 0.2  # twenty decisions a trip at a hundred a second
    passed(lease, 500, 0.55)
    answer(lease, 0.7)
    assert lease.round_s == 0.1
    answer(lease, 0.9)
    assert lease.round_s == 0.5  # nobody came


def test_it_asks_ahead_when_somebody_who_got_all_runs_low() -> None:
    """Below half a round's demand, and not sooner than 50 ms after the last question."""
    lease = leased(1000.0)
    passed(lease, 20, 0.01)
    want = asked(lease, 0.5).asks["ann"].want
    assert lease.on_grant(LeaseGrant(2, 1, {"ann": want}), 0.5)
    assert lease.next_wants_s() == 0.5 + lease.round_s
    held = lease.snapshot()["tokens"]
    assert isinstance(held, float)
    assert lease.wants(0.56) is None
    passed(lease, int(held) - 1, 0.56)
    assert lease.wants(0.549) is None
    assert lease.wants(0.56) is not None


def test_who_is_short_anyway_does_not_hurry() -> None:
    """At twice the quota every tenant is always low: asking more often would bring nothing."""
    lease = leased(100.0)
    passed(lease, 100, 0.25)
    answer(lease, 0.5, ann=1.0)
    passed(lease, 100, 0.56)

    assert lease.wants(0.58) is None
    assert lease.wants(0.5 + lease.round_s) is not None


def test_one_question_at_a_time_and_the_same_again_after_a_failure() -> None:
    """Its number makes the second a repetition, which the store answers as the first."""
    lease = leased()
    passed(lease, 5, 0.1)
    first = asked(lease, 0.5)
    assert lease.wants(9.0) is None
    lease.on_store_failure(0.55)
    assert lease.next_wants_s() == pytest.approx(0.6)
    assert lease.wants(0.59) is None

    assert lease.wants(0.61) is first
    assert not lease.is_alone
    lease.on_store_failure(0.66)
    assert lease.is_alone
    again = asked(lease, 2.0)
    assert again.sequence == first.sequence + 1


def test_an_answer_that_cannot_be_meant_counts_as_none() -> None:
    """Two of them, and the node is on its own; a third is nobody's answer."""
    lease = leased()
    for now_s in (1.0, 1.1):
        sequence = asked(lease, now_s).sequence
        assert not lease.on_grant(LeaseGrant(sequence, 0, {}), now_s)
    assert lease.is_alone
    assert not lease.on_grant(LeaseGrant(99, 1, {}), 1.2)
    lease.on_store_failure(1.2)  # nothing is open: no failure


def test_an_answer_to_a_question_given_up_is_not_taken() -> None:
    """The question goes out again, and only its second answer counts."""
    lease = leased()
    passed(lease, 5, 0.1)
    request = asked(lease, 0.5)
    lease.on_store_failure(0.55)

    assert not lease.on_grant(LeaseGrant(request.sequence, 2, {"ann": 1.0}), 0.56)
    assert (lease.nodes, lease.is_alone) == (1, False)
    assert lease.wants(0.61) is request
    assert lease.on_grant(LeaseGrant(request.sequence, 2, {"ann": 1.0}), 0.62)
    assert lease.nodes == 2


def test_without_an_answer_for_three_rounds_a_node_is_on_its_own() -> None:
    """The lease counts from its question; a hanging loop can't keep it alive."""
    lease = leased()
    assert lease.round_s == 0.5
    passed(lease, 1, 1.49)
    assert not lease.is_alone

    passed(lease, 1, 1.5)
    assert lease.is_alone


def test_alone_it_lives_on_the_quota_by_the_nodes_last_known() -> None:
    """Ninety a second by three nodes: thirty a second, whatever comes, shared evenly."""
    lease = leased(90.0, nodes=3)
    counts = {"ann": 0, "bob": 0}
    for step in range(1000):
        now_s = 10.0 + step / 100
        if step == 500:
            counts = dict.fromkeys(counts, 0)
        counts["ann"] += passed(lease, 5, now_s, "ann")
        counts["bob"] += passed(lease, 1, now_s, "bob")

    assert counts["ann"] == pytest.approx(75, abs=3)
    assert counts["bob"] == pytest.approx(75, abs=3)
    assert repr(lease) == "<TokenLease 90/s, alone, local-share, 2 tenants>"


def test_the_local_share_saves_up_a_fifth_of_a_second() -> None:
    """After a pause twenty of a hundred a second pass at once, however long it was."""
    lease = TokenLease(100.0)
    passed(lease, 1, 0.0)

    assert passed(lease, 50, 100.0) == pytest.approx(20, abs=1)


def test_open_lets_all_in_and_closed_nobody() -> None:
    """From the start, and again when the lease has ended; who paid nothing gets nothing back."""
    for fallback, count in ((Fallback.OPEN, 50), (Fallback.CLOSED, 0)):
        lease = TokenLease(10.0, fallback=fallback)
        assert passed(lease, 50, 0.0) == count
        answer(lease, 0.1, ann=1.0)
        while passed(lease, 1, 0.2):
            pass
        assert not lease.is_alone
        assert passed(lease, 50, 9.0) == count
        permit = lease.admit(ANN, 9.0)
        if isinstance(permit, Permit):
            assert permit.cost == 0.0
            lease.settle(permit, Outcome.IGNORED, 9.0)


def test_closed_drops_what_was_leased_when_the_lease_ends() -> None:
    """And says that the store is what is missing."""
    lease = TokenLease(10.0, fallback=Fallback.CLOSED)
    passed(lease, 1, 0.0)
    answer(lease, 0.1, ann=1.0)
    refusal = refused(lease.admit(ANN, 9.0))

    assert (refusal.policy, refusal.reason) == ("quota", "QUOTA_UNAVAILABLE")
    assert refusal.retry_after_s == pytest.approx(0.1)


def test_who_asks_too_much_is_told_so_and_not_that_the_store_is_missing() -> None:
    """With a store and a closed fallback, and on the local share without one."""
    supplied = TokenLease(10.0, fallback=Fallback.CLOSED)
    answer(supplied, 0.0)
    assert passed(supplied, 1, 0.01) == 1
    assert refused(supplied.admit(ANN, 0.01)).reason == "QUOTA_EXCEEDED"

    alone = TokenLease(10.0, fallback=Fallback.LOCAL_SHARE)
    assert passed(alone, 1, 0.0) == 1
    assert refused(alone.admit(ANN, 0.0)).reason == "QUOTA_EXCEEDED"
    assert alone.is_alone


def test_a_refusal_says_what_was_asked_for_and_when_tokens_come() -> None:
    """The tenant's demand here against the quota; the next question is due in half a second."""
    lease = leased(10.0)
    assert passed(lease, 1, 0.0) == 1
    refusal = refused(lease.admit(ANN, 0.125))

    assert (refusal.policy, refusal.reason) == ("quota", "QUOTA_EXCEEDED")
    assert (refusal.value, refusal.limit, refusal.retry_after_s) == (0.0, 10.0, 0.375)
    assert refused(lease.admit(ANN, 0.6)).retry_after_s == 0.0


def test_the_first_good_answer_ends_the_fallback() -> None:
    """Tokens of the local share stay, are not given back, and the nodes are known anew."""
    lease = TokenLease(100.0, expected_nodes=4)
    assert passed(lease, 1, 0.0) == 1
    asks = answer(lease, 0.2, nodes=3)
    assert asks["ann"].back == 0.0

    assert (lease.is_alone, lease.nodes) == (False, 3)
    assert repr(lease) == "<TokenLease 100/s, 1 of 3 nodes, 1 tenants>"


def test_cost_is_what_a_request_takes() -> None:
    """Ten tokens are four, four, and not three; then two fit."""
    lease = leased(100.0)
    for cost, does_pass in ((4.0, True), (4.0, True), (3.0, False), (2.0, True)):
        decision = lease.admit(Request(cost=cost, tenant="ann"), 0.01)
        assert isinstance(decision, Permit) == does_pass


def test_only_an_ignored_request_is_handed_back_and_not_counted() -> None:
    """Its tokens are there again, and no demand is told of."""
    for outcome in Outcome:
        lease = leased(100.0)
        permit = lease.admit(Request(cost=10.0, tenant="ann"), 0.01)
        assert isinstance(permit, Permit)
        lease.settle(permit, outcome, 0.02)
        assert lease.snapshot()["tokens"] == (10.0 if outcome is Outcome.IGNORED else 0.0)
        demand = asked(lease, 0.5).asks["ann"].demand_rps
        assert demand == (0.0 if outcome is Outcome.IGNORED else 20.0)
        with pytest.raises(AssertionError, match="twice"):
            lease.settle(permit, outcome, 0.6)


def test_an_idle_tenant_is_given_back_and_forgotten() -> None:
    """Ten seconds after his last request; the one who asks stays."""
    lease = leased(100.0)
    passed(lease, 1, 0.0, "ann")
    passed(lease, 1, 10.0, "bob")
    assert set(answer(lease, 10.0)) == {"ann", "bob"}
    assert set(answer(lease, 11.0)) == {"ann", "bob"}

    assert set(answer(lease, 12.0)) == {"bob"}


def test_names_from_outside_cannot_fill_the_memory() -> None:
    """The thousand and first and all after share one account."""
    lease = leased()
    for number in range(token_lease.MAX_TENANTS + 50):
        lease.admit(Request(tenant=f"t{number}"), 0.0)

    assert lease.snapshot()["tenants"] == token_lease.MAX_TENANTS + 1
    assert lease.snapshot()["rejected"] == 49


def test_a_reset_forgets_and_old_permits_hand_nothing_back() -> None:
    """The fallback holds until the next answer; numbers of questions go on."""
    lease = leased(100.0)
    old = lease.admit(ANN, 0.1)
    assert isinstance(old, Permit)
    before = asked(lease, 0.6).sequence
    lease.reset(1.0)
    lease.settle(old, Outcome.IGNORED, 1.0)
    assert lease.is_alone
    assert lease.snapshot()["tokens"] == lease.snapshot()["decisions"] == 0
    assert lease.snapshot()["local_ratio"] is None

    assert asked(lease, 1.0).sequence == before + 1


@pytest.mark.parametrize("value", [0.0, -1.0, float("inf"), float("nan")])
def test_impossible_figures_are_errors(value: float) -> None:
    """Each says which figure was wrong and what it may be."""
    with pytest.raises(ValueError, match=r"quota_rps=.* must be a finite number above 0"):
        TokenLease(value)
    with pytest.raises(ValueError, match=r"weights\['ann'\]=.* must be a finite number above 0"):
        TokenLease(1.0, {"ann": value})
    with pytest.raises(ValueError, match="expected_nodes=0 must be >= 1"):
        TokenLease(1.0, expected_nodes=0)


@pytest.mark.golden
def test_the_story_of_a_lease() -> None:
    """Supplied, then the store dies, the local share holds, and the store is back."""
    lease = TokenLease(120.0, expected_nodes=3)
    lines = [
        "A node of three, a quota of 120 a second; ann and bob send 80 a second each.",
        "",
    ]
    admitted = 0
    for step in range(1, 161):
        now_s = step / 40
        admitted += passed(lease, 2, now_s, "ann") + passed(lease, 2, now_s, "bob")
        request = lease.wants(now_s)
        if request is not None:
            if 1.5 < now_s < 3.0:
                lease.on_store_failure(now_s)
            else:  # a third of 120 a second, in equal parts
                part = min(60.0, 120.0 / 3.0 / 2.0 * lease.round_s)
                tokens = {name: min(ask.want, part) for name, ask in request.asks.items()}
                lease.on_grant(LeaseGrant(request.sequence, 3, tokens), now_s)
        if step % 20 == 0:
            lines.append(f"{now_s:.1f} s  {admitted:>2} let in  {lease!r}")
            admitted = 0
    lines += ["", f"local decisions: {lease.snapshot()['local_ratio']}"]
    transcript.check("token_lease", lines)
