"""Routes to read and write comments."""

import asyncio

import msgspec
from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.clients import Clients
from gateway.fanout import attempt
from gateway.inputs import parse_body, parse_id, parse_limit, parse_query, parse_token
from gateway.models import Comment, CommentList, CommentRequest
from gateway.routing import CURSOR, LIMIT, TOKEN, VIDEO_ID, add_route, json_response
from resilience.errors import ServiceError

PATH = "/v1/videos/{id}/comments"

_decoder = msgspec.json.Decoder(CommentRequest)


def add_comment_routes(app: FastAPI, clients: Clients) -> None:
    """Add ``GET`` and ``POST /v1/videos/{id}/comments``."""

    async def list_comments(request: Request) -> Response:
        """List a video's comments, newest first."""
        video_id = parse_id(request.path_params["id"], "video")
        query = parse_query(request.scope["query_string"])
        limit = parse_limit(query)
        return json_response(await _comments_of(clients, video_id, query.get("cursor", ""), limit))

    async def add_comment(request: Request) -> Response:
        """Comment on a video; answered when two nodes have it."""
        video_id = parse_id(request.path_params["id"], "video")
        token = parse_token(request.headers.get("authorization"))
        said = parse_body(await request.body(), _decoder)
        author = await clients.resolve(token)
        await clients.video(video_id)
        comment = await clients.add_comment(video_id, author.id, said.text)
        return json_response(comment, 201)

    add_route(
        app,
        "GET",
        PATH,
        list_comments,
        answer=CommentList,
        parameters=(VIDEO_ID, CURSOR, LIMIT),
        problems=(404,),
    )
    add_route(
        app,
        "POST",
        PATH,
        add_comment,
        answer=Comment,
        status=201,
        takes=CommentRequest,
        parameters=(VIDEO_ID, TOKEN),
        problems=(401, 404, 422),
    )


async def _comments_of(clients: Clients, video_id: int, cursor: str, limit: int) -> CommentList:
    """Ask for comments and, at the same time, whether there is such a video; both are essential."""
    async with asyncio.TaskGroup() as group:
        video = group.create_task(attempt(clients.video(video_id)))
        comments = group.create_task(attempt(clients.comments(video_id, cursor, limit)))
    for result in (video.result(), comments.result()):
        if isinstance(result, ServiceError):
            raise result
    found = comments.result()
    assert isinstance(found, CommentList)
    return found
