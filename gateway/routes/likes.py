"""The route to like a video, with idempotency keys."""

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.clients import Clients
from gateway.idempotency import read_key, replayed_header
from gateway.inputs import fingerprint, parse_body, parse_id, parse_token
from gateway.models import Like, LikeRequest
from gateway.routing import IDEMPOTENCY_KEY, TOKEN, VIDEO_ID, add_route, json_response

_decoder = msgspec.json.Decoder(LikeRequest)
_EMPTY = LikeRequest()


def add_like_routes(app: FastAPI, clients: Clients) -> None:
    """Add ``POST /v1/videos/{id}/likes``."""

    async def add_like(request: Request) -> Response:
        """Like a video, at most once per account; answered when two nodes have it.

        With an Idempotency-Key a repeat gets the first answer again. The key belongs to the
        account; for another video or body it is refused (422), and while the first request isn't
        answered, too (409).
        """
        video_id = parse_id(request.path_params["id"], "video")
        token = parse_token(request.headers.get("authorization"))
        key = read_key(request)
        body = await request.body()
        asked = parse_body(body, _decoder) if body else _EMPTY
        account = await clients.resolve(token)
        await clients.video(video_id)
        print_ = fingerprint("POST", request.scope["path"], asked)
        like = await clients.add_like(video_id, account.id, key, print_)
        return json_response(like, headers=replayed_header(like.replayed))

    add_route(
        app,
        "POST",
        "/v1/videos/{id}/likes",
        add_like,
        answer=Like,
        takes=LikeRequest,
        takes_required=False,
        parameters=(VIDEO_ID, TOKEN, IDEMPOTENCY_KEY),
        problems=(401, 404, 409, 422),
    )
