"""Whatever comes in at an edge: the right status, a reason, what to do, and never a 5xx."""

import pytest

from tests.e2e.conftest import Lab

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(120)]

GETS = [
    ("/v1/videos/nonsense", {}, 400),
    ("/v1/videos/0", {}, 400),
    ("/v1/videos/999999", {}, 404),
    ("/v1/videos?limit=0", {}, 400),
    ("/v1/videos?limit=many", {}, 400),
    ("/v1/videos?cursor=%00", {}, 400),
    ("/v1/nowhere", {}, 404),
    ("/v1/videos/1", {"x-envoy-expected-rq-timeout-ms": "soon"}, 400),
    ("/v1/videos/1", {"grpc-timeout": "1000"}, 400),
    ("/v1/videos/1", {"grpc-timeout": "0m"}, 504),
    ("/v1/videos/%ff", {}, 400),
    ("/v1/videos/1/", {}, 404),
    ("/v1/sessions", {}, 405),
]
POSTS: list[tuple[str, object, dict[str, str], int]] = [
    ("/v1/sessions", b"{", {}, 400),
    ("/v1/sessions", {"name": "ok_name", "extra": 1}, {}, 422),
    ("/v1/sessions", {"name": 7}, {}, 422),
    ("/v1/sessions", b'{"name": NaN}', {}, 400),
    ("/v1/sessions", b"[" * 200_000, {}, 422),
    ("/v1/home", {}, {}, 405),
    ("/v1/sessions", {"name": "x" * 2_000_000}, {}, 413),
    ("/v1/videos/1/comments", {"text": "hello"}, {}, 401),
    ("/v1/videos/1/comments", {"text": "hello"}, {"authorization": "Bearer nope"}, 401),
    ("/v1/videos/1/likes", {}, {"authorization": f"Bearer {'0' * 32}"}, 401),
]


@pytest.mark.parametrize(("path", "headers", "status"), GETS)
def test_bad_get_is_a_problem_with_a_reason(
    lab: Lab, path: str, headers: dict[str, str], status: int
) -> None:
    """A wrong id, cursor, limit, path or deadline is answered with problem+json."""
    answer = lab.get(path, **headers)

    assert answer.status == status, answer.body
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json["reason"].isupper()
    assert answer.json["status"] == status


@pytest.mark.parametrize(("path", "body", "headers", "status"), POSTS)
def test_bad_post_is_a_problem_with_a_reason(
    lab: Lab, path: str, body: object, headers: dict[str, str], status: int
) -> None:
    """A broken body, an unknown field, a wrong type or token is answered with problem+json."""
    answer = lab.post(path, body, **headers)

    assert answer.status == status, answer.body
    assert answer.headers["content-type"].startswith("application/problem+json")
    assert answer.json["reason"].isupper()


def test_a_refused_command_is_json_too(lab: Lab) -> None:
    """With --json an error is one object on stdout, for a wrong option as for a wrong name."""
    for argv in (("statuz",), ("fault", "add", "latncy", "--on", "comment"), ("status", "--nope")):
        told = lab.json(*argv, code=2)
        assert (told["schema"], told["exit_code"]) == ("squall.error/1", 2)


def test_foreign_origin_cannot_change_state(lab: Lab) -> None:
    """A page of another origin that posts is refused."""
    answer = lab.post("/v1/sessions", {"name": "some_name"}, origin="http://elsewhere.example")
    assert answer.status == 403


@pytest.mark.parametrize(
    ("argv", "code", "hint"),
    [
        (("fault", "add", "latncy", "--on", "comment", "--ms", "5"), 2, "latency"),
        (("fault", "add", "latency", "--on", "coment", "--ms", "5"), 2, "comment"),
        (("fault", "add", "latency", "--on", "comment", "--ms", "5", "--ttl", "5"), 2, "60s"),
        (("fault", "remove", "nothing"), 2, "nothing"),
        (("policy", "set", "limitr", "off"), 2, "limiter"),
        (("policy", "set", "limiter", "of"), 2, "off"),
        (("drill", "run", "overlode"), 2, "overload"),
        (("nonsense",), 2, "nonsense"),
        (("explain", "never-seen"), 1, "2,000"),
        (("restart", "vidoe"), 2, "video"),
    ],
)
def test_bad_command_names_what_was_wrong_and_what_was_meant(
    lab: Lab, argv: tuple[str, ...], code: int, hint: str
) -> None:
    """Exit code as promised, one clear sentence, no traceback."""
    done = lab.run(*argv)

    assert done.returncode == code, done.stderr
    assert hint in done.stderr
    assert "Traceback" not in done.stderr
