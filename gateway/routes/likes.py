"""The route to like a video, with idempotency keys."""

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.clients import Clients
from gateway.inputs import fingerprint, parse_body, parse_id, parse_token
from gateway.models import Like, LikeRequest
from gateway.routing import IDEMPOTENCY_KEY, TOKEN, VIDEO_ID, add_route, json_response
from resilience.errors import Code, ServiceError

IDEMPOTENCY_HEADER = "idempotency-key"  # draft-ietf-httpapi-idempotency-key-header
REPLAYED_HEADER = "idempotency-replayed"  # as Stripe names it
IDEMPOTENCY_KEY_INVALID = "IDEMPOTENCY_KEY_INVALID"

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
        key = _key(request)
        body = await request.body()
        asked = parse_body(body, _decoder) if body else _EMPTY
        account = await clients.resolve(token)
        await clients.video(video_id)
        print_ = fingerprint("POST", request.scope["path"], asked)
        like = await clients.add_like(video_id, account.id, key, print_)
        headers = {REPLAYED_HEADER: "true"} if like.replayed else None
        return json_response(like, headers=headers)

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


def _key(request: Request) -> str:
    """Return the idempotency key, "" without one; an empty or repeated header is a mistake."""
    keys = request.headers.getlist(IDEMPOTENCY_HEADER)
    if not keys:
        return ""
    if len(keys) > 1 or not keys[0].strip():
        raise ServiceError(
            Code.INVALID_ARGUMENT,
            IDEMPOTENCY_KEY_INVALID,
            "give one Idempotency-Key of 1 to 128 printable ASCII characters",
        )
    return keys[0].strip()
