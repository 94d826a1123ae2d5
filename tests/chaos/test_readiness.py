"""When the lab is ready."""

from collections.abc import Sequence

import pytest

from chaos.compose import parse_topology
from chaos.drivers.contract import Capability, InstanceStatus, require
from chaos.readiness import missing_instances, wait_ready
from kit.control import ControlClient
from kit.errors import LabEnvironmentError
from kit.members import Member
from tests.valkey import start_valkey

TOPOLOGY = parse_topology("""\
services:
  control: {command: [valkey-server], restart: unless-stopped}
  seed: {command: [python, -m, seed], restart: on-failure}
  video: {command: [python, -m, video], restart: unless-stopped, deploy: {replicas: 2}}
""")


def status(instance: str, state: str, restarts: int = 0) -> InstanceStatus:
    """What a driver says of an instance."""
    return InstanceStatus(instance, instance.split(".")[0], state, "", 1.0, None, restarts)


def member(instance: str, *, ready: bool = True) -> Member:
    """What control says of an instance."""
    service, _, replica = instance.partition(".")
    return Member(instance, service, int(replica), "127.0.0.1", ready=ready)


READY = [
    status("control.1", "running"),
    status("seed.1", "done"),
    status("video.1", "running"),
    status("video.2", "running"),
]
LEASES = {name: member(name) for name in ("video.1", "video.2")}


def test_everything_running_leased_and_done_is_ready() -> None:
    """Nothing is missing."""
    assert missing_instances(TOPOLOGY, READY, LEASES) == []


@pytest.mark.parametrize(
    ("statuses", "leases", "missing"),
    [
        ([], {}, ["control.1", "seed.1", "video.1", "video.2"]),
        (READY, {}, ["video.1", "video.2"]),
        (READY, {**LEASES, "video.2": member("video.2", ready=False)}, ["video.2"]),
        ([*READY[:2], status("video.1", "waiting"), READY[3]], LEASES, ["video.1"]),
        ([*READY[:3], status("video.2", "paused")], LEASES, ["video.2"]),
        ([READY[0], status("seed.1", "running"), *READY[2:]], LEASES, ["seed.1"]),
        ([status("control.1", "stopped"), *READY[1:]], LEASES, ["control.1"]),
    ],
)
def test_each_kind_of_instance_has_its_own_readiness(
    statuses: Sequence[InstanceStatus], leases: dict[str, Member], missing: list[str]
) -> None:
    """A store must run, a one-shot must be done, a member must run and hold a ready lease."""
    assert missing_instances(TOPOLOGY, statuses, leases) == missing


class FakeDriver:
    """Answers with what a test says."""

    capabilities = frozenset({Capability.START})

    def __init__(self, statuses: Sequence[InstanceStatus]) -> None:
        self.statuses = statuses

    def instances(self) -> Sequence[InstanceStatus]:
        """What the test says."""
        return self.statuses

    def logs(self, target: str, lines: int) -> dict[str, list[str]]:
        """One last word."""
        return {target: ["boom"]}


@pytest.mark.integration
async def test_waiting_ends_when_the_last_lease_is_ready() -> None:
    """With real leases at a real control."""
    with start_valkey() as control:
        client = ControlClient((control.host, control.port))
        told: list[Sequence[str]] = []
        try:
            await client.renew(member("video.1"))
            await client.renew(member("video.2"))
            await wait_ready(
                TOPOLOGY,
                FakeDriver(READY),  # type: ignore[arg-type]
                (control.host, control.port),
                limit_s=5.0,
                on_missing=told.append,
            )
        finally:
            await client.close()
    assert told == []


@pytest.mark.parametrize(
    ("state", "restarts", "message"),
    [
        ("waiting", 8, "failing again and again: video.2\nvideo.2 wrote:\n  boom"),
        ("waiting", 0, "not ready in 0 s: video.1, video.2"),
    ],
)
async def test_giving_up_names_who_fails_and_what_it_wrote(
    state: str, restarts: int, message: str
) -> None:
    """A process that fails again and again ends the wait early; else the limit does."""
    statuses = [*READY[:3], status("video.2", state, restarts)]
    with pytest.raises(LabEnvironmentError, match=message):
        await wait_ready(
            TOPOLOGY,
            FakeDriver(statuses),  # type: ignore[arg-type]
            ("127.0.0.1", 1),
            limit_s=0.0,
        )


def test_a_driver_that_lacks_something_is_refused() -> None:
    """The error names what is missing and what there is."""
    require(FakeDriver([]), "start")  # type: ignore[arg-type]
    with pytest.raises(LabEnvironmentError, match="cannot cut, kill; it can start"):
        require(FakeDriver([]), "kill", "start", "cut")  # type: ignore[arg-type]
