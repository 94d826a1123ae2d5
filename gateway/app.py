"""The gateway's application: routes inside, and around them the layers every request passes.

Outermost first: probes ▸ context (ids, trace, deadline, Server-Timing, summary) ▸ concurrency cap ▸
deadline ▸ faults ▸ quota ▸ admission ▸ body limit ▸ origin guard ▸ edge ▸ routes. A layer refuses
by raising a ServiceError, which the context layer answers as problem+json.

Why FastAPI's own layers are left out: its application adds three more around the router, for
exceptions, exit stacks and a debug page, all of which are done here.
"""

import time
from typing import Protocol

from fastapi import FastAPI

from faults.asgi import FaultMiddleware
from faults.injector import Injector
from gateway.asgi.body import BodyLimitMiddleware
from gateway.asgi.edge import Edge
from gateway.asgi.origin import OriginGuardMiddleware
from gateway.asgi.probes import ProbesMiddleware
from gateway.clients import Clients
from gateway.pages import Pages
from gateway.parts import Parts
from gateway.routes.comments import add_comment_routes
from gateway.routes.front import add_front_routes
from gateway.routes.likes import add_like_routes
from gateway.routes.publishing import add_publishing_routes
from gateway.routes.sessions import add_session_routes
from gateway.routes.videos import add_video_routes
from gateway.settings import LiveSettings
from gateway.views import ViewCounter
from kit.admission import Ground, admit_by
from kit.lifecycle import Lifecycle
from kit.recorder import Recorder
from resilience.asgi.concurrency import ConcurrencyMiddleware
from resilience.asgi.context import ContextMiddleware
from resilience.asgi.deadline import DeadlineMiddleware
from resilience.asgi.limiter import LimiterMiddleware
from resilience.asgi.types import ASGIApp
from resilience.observer import Observer
from resilience.policy.contract import Gate
from resilience.summary import OnFinish

TITLE = "Squall API"
VERSION = "1.0.0"


class Door(Ground, Protocol):
    """What the application needs of the node it runs on."""

    instance: str
    faults: Injector
    lifecycle: Lifecycle
    recorder: Recorder

    @property
    def events(self) -> Observer:
        """Who hears of every refusal."""


def build_routes(clients: Clients, views: ViewCounter, door: Door) -> FastAPI:
    """Make the FastAPI application that holds and describes the routes."""
    app = FastAPI(
        title=TITLE,
        version=VERSION,
        docs_url=None,
        redoc_url=None,
        openapi_url=None,
        redirect_slashes=False,
    )
    pages = Pages(clients, Parts(door))
    add_video_routes(app, clients, pages, views)
    add_publishing_routes(app, clients)
    add_comment_routes(app, clients)
    add_like_routes(app, clients)
    add_session_routes(app, clients)
    add_front_routes(app)
    return app


def build_app(
    routes: FastAPI, door: Door, settings: LiveSettings, quota: Gate, on_finish: OnFinish
) -> ASGIApp:
    """Put the layers around the routes and show their policies.

    Args:
        routes: From ``build_routes``.
        door: The node.
        settings: Cap and budgets.
        quota: What all gateways together may let in, by tenant.
        on_finish: Gets the summary of each request.
    """
    app: ASGIApp = Edge(routes.router, routes)
    app = OriginGuardMiddleware(app)
    app = BodyLimitMiddleware(app)
    name, events = door.instance, door.events
    admission = admit_by(door).gate
    app = LimiterMiddleware(app, admission, switches=door, scope_name=name, observer=events)
    allowance = LimiterMiddleware(app, quota, switches=door, scope_name=name, observer=events)
    app = FaultMiddleware(allowance, door.faults)
    app = DeadlineMiddleware(app, switches=door)
    cap = ConcurrencyMiddleware(app, cap=settings.cap, scope_name=name, observer=events)
    app = ContextMiddleware(
        cap,
        instance=door.instance,
        switches=door,
        budget=settings.budget_s,
        on_finish=on_finish,
    )
    door.register_gate(quota.name, allowance.gate)
    door.register_gate("concurrency", cap.queue)
    return ProbesMiddleware(
        app, lambda: door.lifecycle.is_ready and not door.faults.fails_check(time.monotonic())
    )
