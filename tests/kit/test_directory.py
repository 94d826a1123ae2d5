"""Who can be called: readiness, drains, and absences that are not believed."""

from faults.rule import FaultRule
from kit.directory import STEADY_S, Directory, Endpoint
from kit.entries import check_entry
from kit.members import Member
from kit.state import LabState


def member(instance: str, ready: bool = True) -> Member:
    """Make a member at a port of its own."""
    service, _, replica = instance.partition(".")
    return Member(instance, service, int(replica), "10.0.0.1", 9000 + int(replica), ready=ready)


def lab(count: int, service: str = "video", gone: int = 0) -> list[Member]:
    """Make members 1..count of a service, without the first few."""
    return [member(f"{service}.{number}") for number in range(gone + 1, count + 1)]


def steady(directory: Directory, members: list[Member]) -> float:
    """Show the directory these members for longer than it doubts; return the time then."""
    directory.update(members, 0.0)
    directory.update(members, STEADY_S)
    return STEADY_S


def names(directory: Directory, service: str = "video") -> list[str]:
    """Return the instances of a service that can be called."""
    return [endpoint.instance for endpoint in directory.endpoints(service)]


def test_only_ready_members_with_a_port_are_endpoints() -> None:
    """A process that starts or drains has a lease too."""
    directory = Directory()
    directory.update([member("video.1"), member("video.2", ready=False)], 0.0)
    assert directory.endpoints("video") == [Endpoint("video.1", "10.0.0.1", 9001)]
    assert directory.endpoints("comment") == []
    assert len(directory.members()) == 2


def test_a_lease_that_ended_is_believed_once_control_is_steady() -> None:
    """A killed replica of three leaves with its lease."""
    directory = Directory()
    now_s = steady(directory, lab(3))
    directory.update(lab(3, gone=1), now_s + 1)
    assert names(directory) == ["video.2", "video.3"]


def test_absences_after_an_interruption_are_not_believed_for_a_lease() -> None:
    """Control came back empty: members show up one by one, and nobody vanishes meanwhile."""
    directory = Directory()
    now_s = steady(directory, lab(3))
    directory.on_interruption()
    directory.update([], now_s + 60)
    directory.update(lab(1), now_s + 61)
    assert names(directory) == ["video.1", "video.2", "video.3"]
    directory.update(lab(2), now_s + 60 + STEADY_S)
    assert names(directory) == ["video.1", "video.2"]


def test_a_member_that_said_it_was_not_ready_may_go_at_any_time() -> None:
    """A planned end isn't doubted, not even in the first seconds."""
    directory = Directory()
    directory.update(lab(2), 0.0)
    directory.update([member("video.1", ready=False), member("video.2")], 0.5)
    directory.update([member("video.2")], 1.0)
    assert [one.instance for one in directory.members()] == ["video.2"]


def test_a_mass_expiry_is_not_believed_from_four_members_up() -> None:
    """Three of four at once is the registry's fault; two of four may be true."""
    directory = Directory()
    now_s = steady(directory, lab(4))
    directory.update(lab(4, gone=3), now_s + 1)
    assert len(names(directory)) == 4
    directory.update(lab(4, gone=2), now_s + 2)
    assert names(directory) == ["video.3", "video.4"]


def test_a_mass_expiry_of_three_members_is_believed() -> None:
    """The design doubts from four members up."""
    directory = Directory()
    now_s = steady(directory, lab(3))
    directory.update([], now_s + 1)
    assert names(directory) == []


def test_one_service_s_mass_expiry_doubts_no_other_service() -> None:
    """Doubt goes by service."""
    directory = Directory()
    now_s = steady(directory, lab(4) + lab(2, "comment"))
    directory.update(lab(2, "comment", gone=1), now_s + 1)
    assert len(names(directory)) == 4
    assert names(directory, "comment") == ["comment.2"]


def test_drained_members_leave_and_return_with_the_state() -> None:
    """Listeners hear of each change once, and at once of what is."""
    directory = Directory()
    heard: list[int] = []
    directory.update(lab(3), 0.0)
    directory.on_change("video", lambda ends: heard.append(len(ends)))
    drains = {"drain/video.2": check_entry("drain/video.2", {"drained": True})}
    directory.set_state(LabState(1, drains))
    directory.set_state(LabState(2, drains))
    directory.set_state(LabState(3))
    assert heard == [3, 2, 3]


CUT = LabState(1, {"fault/cut": FaultRule("cut", "down", "link:gateway>video.1")})


def links(**via: str) -> Member:
    """Make the links process, with a way round for each client named."""
    keys = {f"{client}>10.0.0.1:9001": way for client, way in via.items()}
    return Member("links.1", "links", 1, "10.0.0.9", 8474, ready=True, via=keys)


def test_a_disturbed_link_leads_through_the_links_process_and_back() -> None:
    """The instance keeps its name; only where to connect changes, and only for this client."""
    directory = Directory("gateway")
    heard: list[list[Endpoint]] = []
    directory.on_change("video", heard.append)
    directory.set_state(CUT)
    directory.update([*lab(2), links(gateway="10.0.0.9:9400", l7="10.0.0.9:9401")], 0.0)
    second = Endpoint("video.2", "10.0.0.1", 9002)
    assert heard[-1] == [Endpoint("video.1", "10.0.0.9", 9400), second]
    directory.set_state(LabState(2))
    assert heard[-1] == [Endpoint("video.1", "10.0.0.1", 9001), second]


def test_the_way_round_ends_with_the_lease_of_links() -> None:
    """A links process that died disturbs nobody for longer than its lease."""
    directory = Directory("gateway")
    directory.set_state(CUT)
    now_s = steady(directory, [*lab(1), links(gateway="10.0.0.9:9400")])
    assert directory.endpoints("video")[0].port == 9400
    directory.update(lab(1), now_s + 1)
    assert directory.endpoints("video")[0].port == 9001


def test_addresses_outside_the_registry_are_dialled_through_the_way_round() -> None:
    """Nodes of the store: who asked hears of each change, and of nothing else."""
    directory = Directory("video")
    heard: list[tuple[str, int]] = []
    directory.on_dial_change(lambda: heard.append(directory.dial("10.0.0.1", 9001)))
    assert directory.is_wanted
    directory.set_state(LabState(1, {"fault/f": FaultRule("f", "down", "link:video>store-1")}))
    directory.update([links(video="10.0.0.9:9400")], 0.0)
    directory.update([links(video="10.0.0.9:9400")], 1.0)
    assert directory.dial("10.0.0.1", 9002) == ("10.0.0.1", 9002)
    directory.set_state(LabState(2))
    assert heard == [("10.0.0.9", 9400), ("10.0.0.1", 9001)]


def test_a_way_that_cannot_be_read_is_skipped() -> None:
    """A newer links process may say more than this one understands."""
    directory = Directory("gateway")
    directory.set_state(CUT)
    directory.update([*lab(1), links(gateway="elsewhere")], 0.0)
    assert directory.endpoints("video") == [Endpoint("video.1", "10.0.0.1", 9001)]


def test_nobody_reads_members_before_somebody_wants_them() -> None:
    """A service that calls nobody costs control no list each second."""
    directory = Directory()
    assert not directory.is_wanted
    directory.endpoints("video")
    assert directory.is_wanted
    assert repr(directory) == "<Directory empty>"


def test_what_is_forgotten_comes_back_with_the_next_leases() -> None:
    """Listeners hear that nobody is left, and then of those who are."""
    directory = Directory()
    heard: list[list[str]] = []
    directory.on_change("video", lambda ends: heard.append([each.instance for each in ends]))
    directory.update(lab(2), 0.0)
    directory.forget()
    assert directory.members() == []
    directory.update(lab(1), 1.0)
    assert heard == [[], ["video.1", "video.2"], [], ["video.1"]]
