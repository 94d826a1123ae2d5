"""Open-loop load for the lab, run by stock Locust: `locust -f loadtests/locustfile.py`.

Locust keeps its page, its statistics and its events. Three public hooks make it open-loop: a
shape that only ends the run, one user that walks a schedule, and `events.request` fired with the
time that has passed since each request was *due*. All parameters are arguments, so its start form
shows them.
"""

import os
import sys
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import gevent
import locust.stats
from locust import LoadTestShape, events
from locust.exception import StopTest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from loadtests import plan as plans
from loadtests.client import Answer, Client
from loadtests.generator import Generator
from loadtests.ledger import Entry, bucket_ms
from loadtests.plan import Plan, PlanError
from loadtests.routes import ROUTES, RequestWriter, check_names, session_request
from loadtests.users import Browse, OpenLoopUser, default_mix
from loadtests.zipf import DEFAULT_EXPONENT

__all__ = ["Browse", "UntilDone"]

DEFAULT_HOST = f"http://127.0.0.1:{os.environ.get('SQUALL_PORT', '8080')}"
PARENT_CHECK_EVERY_S = 0.5
SESSION_TIMEOUT_S = 5.0
SESSION_ACCOUNT = "load_generator"

OpenLoopUser.host = DEFAULT_HOST
locust.stats.bucket_response_time = bucket_ms


class UntilDone(LoadTestShape):
    """One user until the schedule is done; Locust asks once a second."""

    def reset_time(self) -> None:
        """Forget the last run; Locust calls this when the page starts another."""
        super().reset_time()  # type: ignore[no-untyped-call]
        OpenLoopUser.generator = None

    def tick(self) -> tuple[int, float] | None:
        """Return one user, or None to end the run."""
        generator = OpenLoopUser.generator
        return None if generator is not None and generator.finished else (1, 1.0)


def add_arguments(parser: Any) -> None:
    """Add the parameters of a run; Locust shows them in its start form too."""
    add = parser.add_argument  # not a group's: Locust shows only the parser's own
    add("--rate", type=float, default=plans.DEFAULT_RATE_RPS, help="arrivals per second")
    add("--shape", choices=plans.SHAPES, default="poisson", help="how arrivals are spread")
    add("--for", dest="duration", default="60s", help="how long: 60s, 5m")
    add("--warmup", default="0s", help="a phase in front that the report leaves out")
    add("--seed", type=int, default=plans.DEFAULT_SEED, help="same seed, same arrivals")
    add("--zipf", type=float, default=DEFAULT_EXPONENT, help="skew of the videos; 0: none")
    add("--mix", default="", help="weights by route, e.g. home=30,page=40")
    add("--tenant", default="", help="sent as baggage")
    add("--criticality", default="", help="sent as baggage, e.g. sheddable")
    add("--deadline-ms", type=int, default=0, help="sent with each request; 0: none")
    add("--give-up", default="5s", help="when a client leaves")
    add("--max-in-flight", type=int, default=plans.DEFAULT_MAX_IN_FLIGHT, help="beyond it: unsent")
    for name, text in (("--plan", "a plan file; replaces the above"), ("--out", "result folder")):
        add(name, default="", help=text, include_in_web_ui=False)


def check_arguments(environment: Any, **_: Any) -> None:
    """End with code 2 before anything is sent when the arguments make no plan."""
    try:
        plan_of(environment.parsed_options)
    except PlanError as error:
        sys.stderr.write(f"{error}\n")
        sys.exit(2)


def prepare(environment: Any, **_: Any) -> None:
    """Make the run that the user will carry."""
    OpenLoopUser.generator = None
    options = environment.parsed_options
    try:
        plan = plan_of(options)
        client = Client(environment.host or DEFAULT_HOST, plan.max_in_flight)
    except ValueError as error:
        raise StopTest(str(error)) from error
    out = Path(options.out) if options.out else None
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
    writer = RequestWriter(client.host, plan, open_session(client, plan))
    OpenLoopUser.generator = Generator(plan, client, writer, out, reporter(environment, writer))
    if plan.parent_pid is not None:
        gevent.spawn(leave_with_parent, environment, plan.parent_pid)


def plan_of(options: Any) -> Plan:
    """Return the plan of a file or of the arguments; raises PlanError."""
    if options.plan:
        plan = plans.read_plan(Path(options.plan))
        check_names(plan)
        return plan
    mix = plans.parse_mix(options.mix, ROUTES) or default_mix()
    return Plan(
        phases=plans.shape_phases(
            options.shape,
            float(options.rate),
            plans.parse_seconds(options.duration),
            mix,
            plans.parse_seconds(options.warmup),
        ),
        gaps=plans.gaps_of(options.shape),
        seed=int(options.seed),
        zipf=float(options.zipf),
        deadline_ms=int(options.deadline_ms) or None,
        give_up_s=plans.parse_seconds(options.give_up),
        max_in_flight=int(options.max_in_flight),
        tenant=options.tenant,
        criticality=options.criticality,
        run_id=f"load{os.getpid()}",
    )


def open_session(client: Client, plan: Plan) -> str:
    """Return a token when the plan writes; "" when it only reads, or nobody gives one."""
    if not any(ROUTES[route].writes for route in plan.routes()):
        return ""
    request = session_request(client.host, SESSION_ACCOUNT)
    _, body = client.exchange_with_body(request, "POST", SESSION_TIMEOUT_S)
    _, _, rest = body.partition(b'"token"')
    return rest.partition(b'"')[2].partition(b'"')[0].decode("latin-1")


def reporter(environment: Any, writer: RequestWriter) -> Any:
    """Return what tells Locust of each request, timed from when it was due."""
    fire = environment.events.request.fire
    base = urlsplit(environment.host or DEFAULT_HOST).geturl()

    def report(entry: Entry, answer: Answer, sent_unix_s: float) -> None:
        latency_s = entry.latency_s or 0.0
        fire(
            request_type=writer.method(entry.route),
            name=entry.route,
            response_time=latency_s * 1000,
            response_length=answer.length_bytes,
            response=None,
            context={"scheduled": entry.scheduled_s, "sent": entry.sent_s},
            exception=None if 200 <= answer.status < 300 else answer.reason,
            start_time=sent_unix_s,
            url=base,
        )

    return report


def leave_with_parent(environment: Any, parent_pid: int) -> None:
    """End when the process that wanted this load is gone: nobody would stop it otherwise."""
    while os.getppid() == parent_pid:
        gevent.sleep(PARENT_CHECK_EVERY_S)
    environment.runner.quit()


_hooks: Any = events  # Locust's own annotations leave these calls untyped
_hooks.init_command_line_parser.add_listener(add_arguments)
_hooks.init.add_listener(check_arguments)
_hooks.test_start.add_listener(prepare)
