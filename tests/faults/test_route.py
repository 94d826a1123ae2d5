"""Which requests a route pattern means."""

import pytest

from faults.route import matches

GRPC = "/video.v1.VideoService/GetVideo"


@pytest.mark.parametrize(
    ("pattern", "route", "expected"),
    [
        ("GET /v1/videos/{id}", "GET /v1/videos/7", True),
        ("GET /v1/videos/{id}", "POST /v1/videos/7", False),
        ("/v1/videos/{id}", "POST /v1/videos/7", True),
        ("/v1/videos/{id}", "GET /v1/videos/7/comments", False),
        ("/v1/videos/{id}/comments", "GET /v1/videos/7/comments", True),
        ("/v1/videos", "GET /v1/videos", True),
        ("/v1/videos", "GET /v1/videos/7", False),
        ("/v1/videos.x", "GET /v1/videosax", False),
        (GRPC, GRPC, True),
        ("GetVideo", GRPC, True),
        ("Video", GRPC, False),
        ("GetVideo", "GET /v1/videos", False),
    ],
)
def test_routes(pattern: str, route: str, expected: bool) -> None:
    """Braces stand for one segment; a gRPC method may go by its last part."""
    assert matches(pattern, route) is expected
