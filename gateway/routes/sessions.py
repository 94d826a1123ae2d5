"""The route that opens a session."""

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.clients import Clients
from gateway.inputs import parse_body
from gateway.models import Session, SessionRequest
from gateway.routing import add_route, json_response

_decoder = msgspec.json.Decoder(SessionRequest)


def add_session_routes(app: FastAPI, clients: Clients) -> None:
    """Add ``POST /v1/sessions``."""

    async def open_session(request: Request) -> Response:
        """Open a session for the account of that name; the account is made when it is new."""
        asked = parse_body(await request.body(), _decoder)
        return json_response(await clients.open_session(asked.name), 201)

    add_route(
        app,
        "POST",
        "/v1/sessions",
        open_session,
        answer=Session,
        status=201,
        takes=SessionRequest,
        problems=(422,),
    )
