"""The file's rules of ejection: Envoy's by default, told where wrong, at work over sockets."""

import pytest

from kit.source import SourceError
from lb.l7.config import L7Config, parse_config
from lb.l7.ejection import EjectionOptions, FailureShareOptions, SuccessRateOptions, build_ejection
from tests.lb.l7.rig import Handler, answering, ok, rig

BROKEN = b"HTTP/1.1 500 Internal Server Error\r\ncontent-length: 0\r\n\r\n"


def test_defaults_are_envoys() -> None:
    """As outlier_detection.proto has them."""
    assert L7Config().ejection == EjectionOptions(
        consecutive=5,
        interval_s=10.0,
        base_s=30.0,
        max_s=300.0,
        max_share=0.1,
        success_rate=SuccessRateOptions(
            enforce=True, stdev_factor=1.9, min_backends=5, min_requests=100
        ),
        failure_share=FailureShareOptions(
            enforce=False, threshold=0.85, min_backends=5, min_requests=50, failing_share=1.0
        ),
    )


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("{consecutive: 0}", "consecutive is 0; give 1 or more"),
        ("{interval_s: 0}", "interval_s is 0; give more than 0"),
        ("{base_s: 60, max_s: 30}", "max_s is 30; give 60 or more"),
        ("{max_share: 2}", "max_share is 2; give 0 to 1"),
        ("{success_rate: {stdev_factor: 0}}", "stdev_factor is 0; give more than 0"),
        ("{success_rate: {min_backends: 0}}", "min_backends is 0; give 1 or more"),
        ("{failure_share: {threshold: 1.5}}", "threshold is 1.5; give more than 0, at most 1"),
        ("{failure_share: {failing_share: 0}}", "failing_share is 0; give more than 0, at most 1"),
        ("{failure_share: {min_requests: 0}}", "min_requests is 0; give 1 or more"),
        ("{failure_rate: {}}", "unknown key failure_rate; did you mean failure_share"),
    ],
)
def test_a_mistake_is_told(text: str, told: str) -> None:
    """With its place in the file."""
    with pytest.raises(SourceError, match=r"^l7\.yaml:1:\d+: ") as caught:
        parse_config(f"ejection: {text}")
    assert told in str(caught.value)


def every_other(answer: bytes) -> Handler:
    """Answer well and badly in turn, over all connections."""
    asked = 0

    async def handle(backend, reader, writer):  # type: ignore[no-untyped-def]
        nonlocal asked
        while True:
            await backend.read_head(reader)
            asked += 1
            writer.write(answer if asked % 2 else BROKEN)

    return handle


async def test_a_backend_that_fails_every_other_request_is_left() -> None:
    """Its failures are never two in a row; the file's share finds it, and nobody else."""
    options = parse_config(
        "ejection: {interval_s: 0.05, failure_share: {enforce: true, threshold: 0.3, "
        "min_backends: 2, min_requests: 4}}"
    ).ejection
    async with rig(every_other(ok(b"new")), *(answering(ok(b"old")) for _ in range(2))) as lab:
        lab.proxy.balancer.eject_by(build_ejection(options), 0.0)
        seen = lab.proxy.snapshot
        for _ in range(2000):
            await lab.ask("/")
            if seen()["ejections"]:
                break
        assert seen()["gateway.1.ejected_by"] == "FAILURE_PERCENTAGE"
        assert lab.proxy.balancer.candidates == ("gateway.2", "gateway.3")
        assert {(await lab.ask("/")).body for _ in range(20)} == {b"old"}
