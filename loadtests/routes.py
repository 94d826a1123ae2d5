"""What each kind of request looks like on the wire.

The bytes are built here and nowhere else: an open-loop generator must cost little, and formatting
one string is the cheapest thing that is still readable.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass

from loadtests.plan import LoadClass, Plan, PlanError
from loadtests.schedule import Arrival

LIST_LIMIT = 20  # one screen of videos
GONE_AT = "squall.gone_at"  # baggage: unix milliseconds at which the client will have left


@dataclass(frozen=True, slots=True)
class Route:
    """A kind of request.

    Args:
        method: The HTTP method.
        path: With ``{video}`` where the arrival's video belongs.
        writes: Needs a session, carries a body and an idempotency key.
    """

    method: str
    path: str
    writes: bool = False


ROUTES: Mapping[str, Route] = {
    "home": Route("GET", "/v1/home"),
    "list": Route("GET", f"/v1/videos?limit={LIST_LIMIT}"),
    "page": Route("GET", "/v1/videos/{video}"),
    "comments": Route("GET", "/v1/videos/{video}/comments"),
    "like": Route("POST", "/v1/videos/{video}/likes", writes=True),
    "comment": Route("POST", "/v1/videos/{video}/comments", writes=True),
}


def check_names(plan: Plan) -> None:
    """Refuse a plan that sends what nobody knows.

    Raises:
        PlanError: A rate or a class names no route, or a class has a route's name.
    """
    known = ", ".join(ROUTES)
    for name, each in plan.classes.items():
        if name in ROUTES:
            raise PlanError(f"class {name} has a route's name; give it another")
        if each.route not in ROUTES:
            raise PlanError(f"route of {name} is {each.route}; it must be one of {known}")
    allowed = f"{known}, {', '.join(plan.classes)}" if plan.classes else known
    for phase in plan.phases:
        for name in sorted(phase.rates.keys() - ROUTES.keys() - plan.classes.keys()):
            raise PlanError(f"{phase.name} sends {name}; it must be one of {allowed}")


class RequestWriter:
    """Turn arrivals into bytes.

    Args:
        host: The Host header's value.
        plan: Deadline, tenant, criticality and the prefix of the ids.
        token: A session's, for routes that write; "" when there are none.
    """

    def __init__(self, host: str, plan: Plan, token: str = "") -> None:
        self._token = token
        self._plan = plan
        self._run_id = plan.run_id
        self._baggage = {
            name: _baggage(plan, plan.class_of(name)) for name in (*ROUTES, *plan.classes)
        }
        self._give_up_s = plan.give_up_s
        self._tells_gone_at = plan.tell_gone_at
        self._common = "".join(f"{name}: {value}\r\n" for name, value in _headers(host, plan))

    def method(self, name: str) -> str:
        """Return the HTTP method of a route or class."""
        return ROUTES[self._plan.class_of(name).route].method

    def request_id(self, arrival: Arrival) -> str:
        """Name a request so that `squall explain` finds it."""
        return f"{self._run_id}-{arrival.number}"

    def write(self, arrival: Arrival, began_unix_s: float) -> bytes:
        """Return the request's head and body.

        Args:
            arrival: What is wanted, and when it was due.
            began_unix_s: When the run began.
        """
        wanted = self._plan.class_of(arrival.route)
        route = ROUTES[wanted.route]
        path = route.path.replace("{video}", str(wanted.video or arrival.video))
        request_id = self.request_id(arrival)
        head = (
            f"{route.method} {path} HTTP/1.1\r\n{self._common}"
            f"{self._baggage_line(arrival, began_unix_s)}x-request-id: {request_id}\r\n"
        )
        if not route.writes:
            return f"{head}\r\n".encode("latin-1")
        body = json.dumps({"text": f"seen by {request_id}"} if wanted.route == "comment" else {})
        return (
            f"{head}authorization: Bearer {self._token}\r\nidempotency-key: {request_id}\r\n"
            f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n{body}"
        ).encode("latin-1")

    def _baggage_line(self, arrival: Arrival, began_unix_s: float) -> str:
        members = self._baggage[arrival.route]
        if self._tells_gone_at:
            gone_at_ms = round(1000 * (began_unix_s + arrival.at_s + self._give_up_s))
            members = (*members, f"{GONE_AT}={gone_at_ms}")
        return f"baggage: {','.join(members)}\r\n" if members else ""


def session_request(host: str, name: str) -> bytes:
    """Return the request that opens a session for an account of this name."""
    body = json.dumps({"name": name})
    return (
        f"POST /v1/sessions HTTP/1.1\r\nhost: {host}\r\ncontent-type: application/json\r\n"
        f"content-length: {len(body)}\r\n\r\n{body}"
    ).encode("latin-1")


def _headers(host: str, plan: Plan) -> list[tuple[str, str]]:
    headers = [("host", host), ("user-agent", "squall-load"), ("accept", "application/json")]
    if not plan.keep_alive:
        headers.append(("connection", "close"))
    if plan.deadline_ms is not None:
        headers.append(("x-envoy-expected-rq-timeout-ms", str(plan.deadline_ms)))
    return headers


def _baggage(plan: Plan, of: LoadClass) -> tuple[str, ...]:
    return tuple(
        f"{key}={value}"
        for key, value in (
            ("squall.criticality", of.criticality or plan.criticality),
            ("squall.tenant", of.tenant or plan.tenant),
        )
        if value
    )
