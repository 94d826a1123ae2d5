"""The client's side of a gRPC hop: whose cancellation is whose."""

import asyncio
from typing import Any

import pytest

from api.video.v1 import video_pb2
from resilience.errors import Code, UpstreamReset
from resilience.rpc.client import unary
from tests.resilience.rpc.lab import get_video, hang, running

pytestmark = pytest.mark.integration


@pytest.mark.parametrize("leaves", [False, True])
async def test_closed_channel_is_a_reset_and_a_leaving_caller_is_none(leaves: bool) -> None:
    """A channel that closes under a call fails it; a task that is cancelled stays cancelled."""
    has_begun = asyncio.Event()

    async def begin(request: Any, servicer: Any) -> video_pb2.GetVideoResponse:
        has_begun.set()
        return await hang(request, servicer)

    async with running(begin) as lab:
        calling = asyncio.create_task(unary(lab.stub.GetVideo, get_video()))
        await asyncio.wait_for(has_begun.wait(), 5)
        if leaves:
            calling.cancel()
        else:
            await lab.channel.close(None)
        (ended,) = await asyncio.gather(calling, return_exceptions=True)

    if leaves:
        assert calling.cancelled()
    else:
        assert isinstance(ended, UpstreamReset)
        assert (ended.code, ended.reason) == (Code.BAD_GATEWAY, "UPSTREAM_RESET")
