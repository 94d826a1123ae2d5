"""The quota in the whole lab: one rate over both gateways, a share for each tenant, live."""

import json
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import Lab
from tests.e2e.http import Answer
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

LIST = "/v1/videos"
LIMIT_S = 10.0


@pytest.fixture
def quota(lab: Lab) -> Iterator[Lab]:
    """Set four requests a second for all gateways, and take it back."""
    try:
        lab.json("setting", "set", "quota_rps", "4")
        lab.json("policy", "set", "quota", "on", "--on", "gateway")
        yield lab
    finally:
        lab.json("policy", "reset", "quota", "--on", "gateway")
        lab.json("setting", "reset", "quota_rps")


def ask_as(lab: Lab, tenant: str) -> Answer:
    """Ask for the list as one tenant."""
    return lab.get(LIST, baggage=f"squall.tenant={tenant}")


def test_a_tenant_beyond_his_share_gets_429_and_another_passes(quota: Lab) -> None:
    """The answer names the policy; explain tells the same; probes pass; reset opens the door."""
    refused: list[Answer] = []

    def is_refused() -> bool:
        answer = ask_as(quota, "loud")
        assert answer.status in (200, 429), answer.body
        refused.extend([answer] if answer.status == 429 else [])
        return bool(refused)

    wait_until(is_refused, limit_s=LIMIT_S)
    headers = refused[0].headers
    assert refused[0].json["reason"] == "QUOTA_EXCEEDED"
    assert headers["x-squall-decision"].startswith("quota; gateway.")
    assert headers["retry-after"] == "1"

    wait_until(lambda: ask_as(quota, "quiet").status == 200, limit_s=LIMIT_S)
    told = quota.json("explain", headers["x-request-id"])
    assert '"quota"' in json.dumps(told)
    assert quota.get("/readyz").status == 200

    quota.json("policy", "set", "quota", "off", "--on", "gateway")
    assert {ask_as(quota, "loud").status for _ in range(20)} == {200}
