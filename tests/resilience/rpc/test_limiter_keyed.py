"""A rate for each tenant, or each caller, at the door of a gRPC server; over a real socket."""

from typing import Any

import grpc
import grpc.aio
import pytest
from google.rpc.error_details_pb2 import ErrorInfo, RetryInfo
from google.rpc.status_pb2 import Status

from api.video.v1 import video_pb2
from resilience.context import enter, leave
from resilience.errors import Code, UpstreamStatus
from resilience.policy.keyed import KeyedRate
from resilience.policy.pools import by_key
from resilience.policy.token_bucket import TokenBucket
from resilience.rpc.client import outgoing_metadata, unary
from resilience.rpc.status import DETAILS_KEY
from resilience.rpc.wrap import ServicerContext
from tests.resilience.fakes import make_context
from tests.resilience.rpc.lab import Lab, answer, get_video, running

pytestmark = pytest.mark.integration

SLOW_RPS = 1e-6  # no test lives to see another token


def two_each() -> KeyedRate:
    """Make a rate for each tenant: two calls, and another in some days."""
    return KeyedRate(lambda: TokenBucket(SLOW_RPS, 2.0))


async def ask(lab: Lab, tenant: str) -> video_pb2.GetVideoResponse:
    """Call in the name of a tenant."""
    context = make_context()
    context.tenant = tenant
    token = enter(context)
    try:
        return await unary(lab.stub.GetVideo, get_video(), 10.0)
    finally:
        leave(token)


async def test_each_tenant_has_its_own_rate() -> None:
    """Who is over his is refused by name, with a time; the others notice nothing."""
    async with running(answer, two_each()) as lab:
        for _ in range(2):
            await ask(lab, "noisy")
        with pytest.raises(UpstreamStatus) as caught:
            await ask(lab, "noisy")
        await ask(lab, "quiet")

    error = caught.value
    assert (error.code, error.reason) == (Code.RESOURCE_EXHAUSTED, "RATE_EXCEEDED")
    assert error.metadata["decision"].startswith("rate; video.2/noisy; ")
    assert error.metadata["decision"].endswith("/2")
    assert error.retry_after_s is not None
    assert 0.0 < error.retry_after_s <= 1.0 / SLOW_RPS
    assert not error.started


async def test_the_refusal_on_the_wire_is_what_any_client_of_grpc_reads() -> None:
    """RESOURCE_EXHAUSTED, ErrorInfo with reason and decision, RetryInfo with a delay."""
    context = make_context()
    context.tenant = "blue"
    metadata = outgoing_metadata(context)
    async with running(answer, KeyedRate(lambda: TokenBucket(SLOW_RPS, 1.0))) as lab:
        await lab.stub.GetVideo(get_video(), metadata=metadata)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await lab.stub.GetVideo(get_video(), metadata=metadata)

    assert caught.value.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
    trailing: Any = caught.value.trailing_metadata()
    details = Status.FromString(dict(trailing)[DETAILS_KEY]).details
    info, retry = ErrorInfo(), RetryInfo()
    assert details[0].Unpack(info)
    assert details[1].Unpack(retry)
    assert info.reason == "RATE_EXCEEDED"
    assert info.metadata["decision"].startswith("rate; video.2/blue; ")
    assert retry.retry_delay.seconds > 0


async def test_the_key_of_a_call_can_be_its_method_or_its_caller() -> None:
    """What the interceptor is told to take; here the method's name."""
    keys: list[str] = []

    def by_method(method: str, servicer: ServicerContext) -> str:
        keys.append(servicer.peer())
        return method.rpartition("/")[2]

    gate = KeyedRate(lambda: TokenBucket(SLOW_RPS, 1.0), key_of=by_key)
    async with running(answer, gate, by_method) as lab:
        await unary(lab.stub.GetVideo, get_video(), 10.0)
        with pytest.raises(UpstreamStatus) as caught:
            await unary(lab.stub.GetVideo, get_video(), 10.0)

    assert caught.value.metadata["decision"].startswith("rate; video.2/GetVideo; ")
    assert keys[0].startswith("ipv4:127.0.0.1:")
