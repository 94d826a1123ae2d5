"""Requests on the wire."""

import pytest

from chaos.drill.schema import ROUTES as DRILL_ROUTES
from loadtests.plan import LoadClass, Plan, PlanError
from loadtests.routes import ROUTES, RequestWriter, check_names, session_request
from loadtests.schedule import Arrival, Phase

pytestmark = pytest.mark.unit

PHASES = (Phase("run", 1, {"home": 1}),)


def test_drills_know_the_same_routes() -> None:
    """The engine may not import the generator, so its list is a copy."""
    assert tuple(ROUTES) == DRILL_ROUTES


def test_page_names_its_video_and_its_id() -> None:
    """The arrival's video is in the path, the id in a header."""
    writer = RequestWriter("127.0.0.1:8080", Plan(PHASES, run_id="main"))

    text = writer.write(Arrival(7, 0.0, "page", 42), 0.0).decode()

    assert text.startswith("GET /v1/videos/42 HTTP/1.1\r\nhost: 127.0.0.1:8080\r\n")
    assert "\r\nx-request-id: main-7\r\n" in text
    assert text.endswith("\r\n\r\n")
    assert "baggage" not in text


def test_context_goes_into_headers() -> None:
    """Deadline, criticality and tenant are sent when the plan says so."""
    plan = Plan(PHASES, deadline_ms=250, criticality="sheddable", tenant="a")

    text = RequestWriter("h", plan).write(Arrival(0, 0.0, "list", 1), 0.0).decode()

    assert "\r\nx-envoy-expected-rq-timeout-ms: 250\r\n" in text
    assert "\r\nbaggage: squall.criticality=sheddable,squall.tenant=a\r\n" in text


def test_newcomers_say_that_they_will_leave() -> None:
    """So the next request opens a connection of its own."""
    arrival = Arrival(0, 0.0, "list", 1)
    assert "connection:" not in RequestWriter("h", Plan(PHASES)).write(arrival, 0.0).decode()
    newcomer = RequestWriter("h", Plan(PHASES, keep_alive=False)).write(arrival, 0.0).decode()
    assert "\r\nconnection: close\r\n" in newcomer


def test_drill_tells_when_its_client_will_have_left() -> None:
    """Unix milliseconds of the moment it was due and the give-up time, beside other baggage."""
    plan = Plan(PHASES, give_up_s=0.5, tenant="a", tell_gone_at=True)

    text = RequestWriter("h", plan).write(Arrival(0, 2.25, "list", 1), 1_800_000_000.0).decode()

    assert "\r\nbaggage: squall.tenant=a,squall.gone_at=1800000002750\r\n" in text


def test_a_class_says_by_whom_and_how_much_it_matters() -> None:
    """What the class leaves open is the plan's, and a plain route is as it was."""
    classes = {
        "buyer": LoadClass("page", criticality="critical", video=9),
        "other": LoadClass("comment", tenant="b"),
    }
    plan = Plan(PHASES, tenant="a", criticality="sheddable", classes=classes)
    writer = RequestWriter("h", plan, "t0")

    buyer = writer.write(Arrival(0, 0.0, "buyer", 5), 0.0).decode()
    other = writer.write(Arrival(1, 0.0, "other", 5), 0.0).decode()
    plain = writer.write(Arrival(2, 0.0, "page", 5), 0.0).decode()

    assert buyer.startswith("GET /v1/videos/9 HTTP/1.1")
    assert "\r\nbaggage: squall.criticality=critical,squall.tenant=a\r\n" in buyer
    assert other.startswith("POST /v1/videos/5/comments HTTP/1.1")
    assert "\r\nbaggage: squall.criticality=sheddable,squall.tenant=b\r\n" in other
    assert "seen by load-1" in other
    assert plain.startswith("GET /v1/videos/5 HTTP/1.1")
    assert "\r\nbaggage: squall.criticality=sheddable,squall.tenant=a\r\n" in plain
    assert [writer.method(name) for name in ("buyer", "other", "list")] == ["GET", "POST", "GET"]


@pytest.mark.parametrize("route", ["like", "comment"])
def test_writes_carry_a_token_a_key_and_a_body(route: str) -> None:
    """The key is the request's own id; the length is the body's."""
    text = RequestWriter("h", Plan(PHASES), "t0").write(Arrival(3, 0.0, route, 5), 0.0).decode()

    head, _, body = text.partition("\r\n\r\n")
    assert "authorization: Bearer t0" in head
    assert "idempotency-key: load-3" in head
    assert f"content-length: {len(body)}" in head
    assert body.startswith("{")


def test_session_request_has_a_body() -> None:
    """An account's name is all it needs."""
    head, _, body = session_request("h", "anna").decode().partition("\r\n\r\n")

    assert head.startswith("POST /v1/sessions HTTP/1.1")
    assert body == '{"name": "anna"}'


@pytest.mark.parametrize(
    ("rates", "classes", "said"),
    [
        ({"buyr": 1.0}, {"buyer": LoadClass("list")}, "run sends buyr"),
        ({"buyer": 1.0}, {"buyer": LoadClass("lst")}, "route of buyer is lst"),
        ({"list": 1.0}, {"list": LoadClass("home")}, "class list has a route's name"),
    ],
)
def test_plan_that_sends_what_nobody_knows_is_refused(
    rates: dict[str, float], classes: dict[str, LoadClass], said: str
) -> None:
    """Before anything is sent, and naming what there is."""
    with pytest.raises(PlanError, match=said):
        check_names(Plan((Phase("run", 1.0, rates),), classes=classes))


def test_plan_of_routes_and_classes_is_let_through() -> None:
    """Either may stand in rates."""
    classes = {"buyer": LoadClass("list")}
    check_names(Plan((Phase("run", 1.0, {"home": 1.0, "buyer": 1.0}),), classes=classes))
