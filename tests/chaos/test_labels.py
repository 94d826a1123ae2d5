"""What labels say, and what is told of a wrong one."""

import pytest

from chaos.compose import parse_topology
from chaos.labels import Route, read_modes, read_route
from kit.entries import DEFAULT_HEALTH, DEFAULT_ROUTE_PORT
from kit.errors import ConfigError

pytestmark = pytest.mark.unit


def test_one_label_is_enough() -> None:
    """A prefix brings port 8000 and a check of /."""
    assert read_route("hello", {"squall.route": "/hello"}) == Route("/hello", 8000, "/")
    assert (DEFAULT_ROUTE_PORT, DEFAULT_HEALTH) == (8000, "/")


def test_port_and_health_can_be_said() -> None:
    """For a service that listens elsewhere, or answers its health elsewhere."""
    labels = {"squall.route": "/a/b", "squall.port": "9000", "squall.health": "/ok?full=1"}
    assert read_route("a", labels) == Route("/a/b", 9000, "/ok?full=1")


def test_labels_of_others_are_left_alone() -> None:
    """Only names that begin with squall. are ours."""
    assert read_route("a", {"com.example.route": "x"}) is None


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"squall.rout": "/x"}, "label 'squall.rout' is unknown; did you mean squall.route"),
        ({"squall.route": "hello"}, "prefix 'hello' is none: give a path such as /hello"),
        ({"squall.route": "/"}, "prefix '/' is none"),
        ({"squall.route": "/x/"}, "prefix '/x/' is none"),
        ({"squall.route": "/v1/mine"}, r"prefix '/v1/mine' is the gateway's own \(/v1\)"),
        ({"squall.route": "/x", "squall.port": "http"}, "label 'squall.port' is 'http'"),
        ({"squall.route": "/x", "squall.port": "70000"}, "port 70000: give one from 1 to 65535"),
        ({"squall.route": "/x", "squall.health": "up"}, "health 'up' is no path"),
        ({"squall.port": "80"}, "says nothing without 'squall.route'"),
    ],
)
def test_a_wrong_label_is_an_error_that_says_what_to_write(
    labels: dict[str, str], message: str
) -> None:
    """Name, value, and the way out."""
    with pytest.raises(ConfigError, match=message):
        read_route("x", labels)


def test_a_wrong_label_is_found_in_its_file() -> None:
    """The place is that of the labels."""
    text = "services:\n  one:\n    command: [python]\n    labels: {squall.route: x}\n"
    with pytest.raises(ConfigError, match=r"^own.yml:4: service 'one': route/one: prefix 'x'"):
        parse_topology(text, "own.yml")


def test_a_service_takes_part_where_its_label_says() -> None:
    """Without the label in both ways of running the lab."""
    assert read_modes({}) == {"containers", "processes"}
    assert read_modes({"squall.mode": "containers"}) == {"containers"}
    with pytest.raises(ConfigError, match=r"'squall.mode' is 'docker': give containers or proc"):
        read_modes({"squall.mode": "docker"})
