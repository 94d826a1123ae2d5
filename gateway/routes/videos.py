"""Routes to look at videos: the home page, the list, one video's page."""

from fastapi import FastAPI
from starlette.requests import Request
from starlette.responses import Response

from gateway.clients import Clients
from gateway.inputs import parse_id, parse_limit, parse_query
from gateway.models import Home, Page, VideoList
from gateway.pages import Pages
from gateway.routing import (
    CACHE_HEADERS,
    CURSOR,
    DECISION_HEADERS,
    LIMIT,
    VIDEO_ID,
    add_route,
    json_response,
)
from gateway.views import ViewCounter

PAGE_HEADERS = {**CACHE_HEADERS, **DECISION_HEADERS}


def add_video_routes(app: FastAPI, clients: Clients, pages: Pages, views: ViewCounter) -> None:
    """Add ``GET`` of ``/v1/home``, ``/v1/videos`` and ``/v1/videos/{id}``."""

    async def list_videos(request: Request) -> Response:
        """List videos, newest first. One call to one service: the cheap route."""
        query = parse_query(request.scope["query_string"])
        return json_response(await clients.videos(query.get("cursor", ""), parse_limit(query)))

    async def get_video(request: Request) -> Response:
        """Show a video with its author, newest comments and counts, or with what came in time.

        The video itself may come from the cache; a write of it is seen by the next read.
        """
        video_id = parse_id(request.path_params["id"], "video")
        page = await pages.video(video_id)
        views.count(video_id)
        return json_response(page.value, headers=page.headers())

    async def get_home(_: Request) -> Response:
        """Show the newest videos with their authors' names; the videos may come from the cache."""
        home = await pages.home()
        return json_response(home.value, headers=home.headers())

    add_route(app, "GET", "/v1/videos", list_videos, answer=VideoList, parameters=(CURSOR, LIMIT))
    add_route(
        app,
        "GET",
        "/v1/videos/{id}",
        get_video,
        answer=Page,
        answer_headers=PAGE_HEADERS,
        parameters=(VIDEO_ID,),
        problems=(404,),
    )
    add_route(
        app,
        "GET",
        "/v1/home",
        get_home,
        answer=Home,
        answer_headers=PAGE_HEADERS,
    )
