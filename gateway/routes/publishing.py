"""Routes to write videos: publish one, give one another title."""

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.clients import Clients
from gateway.idempotency import read_key, replayed_header
from gateway.inputs import fingerprint, parse_body, parse_id, parse_token
from gateway.models import Video, VideoEdit, VideoRequest
from gateway.routing import (
    IDEMPOTENCY_KEY,
    LOCATION_HEADER,
    TOKEN,
    VIDEO_ID,
    add_route,
    json_response,
)

_new_decoder = msgspec.json.Decoder(VideoRequest)
_edit_decoder = msgspec.json.Decoder(VideoEdit)


def add_publishing_routes(app: FastAPI, clients: Clients) -> None:
    """Add ``POST /v1/videos`` and ``PATCH /v1/videos/{id}``."""

    async def publish(request: Request) -> Response:
        """Publish a video; answered when two nodes have it and the next reader sees it.

        With an Idempotency-Key a repeat publishes nothing and gets the first answer again; with
        another body the key is refused (422).
        """
        token = parse_token(request.headers.get("authorization"))
        key = read_key(request)
        asked = parse_body(await request.body(), _new_decoder)
        author = await clients.resolve(token)
        print_ = fingerprint("POST", request.scope["path"], asked)
        done = await clients.publish(author.id, asked, key, print_)
        headers = {"location": f"/v1/videos/{done.video.id}", **replayed_header(done.replayed)}
        return json_response(done.video, 201, headers)

    async def rename(request: Request) -> Response:
        """Give a video another title; only its author may.

        Answered when two nodes have it and the next reader sees it. An Idempotency-Key works as
        it does for publishing.
        """
        video_id = parse_id(request.path_params["id"], "video")
        token = parse_token(request.headers.get("authorization"))
        key = read_key(request)
        asked = parse_body(await request.body(), _edit_decoder)
        account = await clients.resolve(token)
        print_ = fingerprint("PATCH", request.scope["path"], asked)
        done = await clients.rename(video_id, account.id, asked.title, key, print_)
        return json_response(done.video, headers=replayed_header(done.replayed))

    add_route(
        app,
        "POST",
        "/v1/videos",
        publish,
        answer=Video,
        answer_headers=LOCATION_HEADER,
        status=201,
        takes=VideoRequest,
        parameters=(TOKEN, IDEMPOTENCY_KEY),
        problems=(401, 422),
    )
    add_route(
        app,
        "PATCH",
        "/v1/videos/{id}",
        rename,
        answer=Video,
        takes=VideoEdit,
        parameters=(VIDEO_ID, TOKEN, IDEMPOTENCY_KEY),
        problems=(401, 403, 404, 409, 422),
    )
