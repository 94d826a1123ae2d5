"""A service of one's own joins the lab by one label, in both modes and by compose alone."""

import subprocess
from collections.abc import Iterator

import pytest

from tests.e2e.conftest import PORT, ROOT, Lab
from tests.e2e.wait import wait_until

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

FILE = "examples/hello/compose.yml"


def greets(lab: Lab) -> bool:
    """Whether /hello is answered by the example."""
    answer = lab.get("/hello")
    return answer.status == 200 and answer.body == b"hello, /hello\n"


@pytest.fixture(scope="module")
def own(lab: Lab) -> Iterator[Lab]:
    """The lab with the example in it; afterwards without it again."""
    assert lab.run("down").returncode == 0
    up = lab.run("up", "--mode", lab.mode, "-f", FILE)
    assert up.returncode == 0, up.stderr
    wait_until(lambda: greets(lab), limit_s=10)
    yield lab
    assert lab.run("down").returncode == 0
    assert lab.run("up", "--mode", lab.mode).returncode == 0
    wait_until(lambda: lab.get("/hello").status == 404, limit_s=10)


def test_its_path_is_answered_and_explained(own: Lab) -> None:
    """L7 names the replica; other paths are the gateway's as before."""
    answer = own.get("/hello/deep?x=1", x_request_id="own-service")
    assert (answer.status, answer.body) == (200, b"hello, /hello/deep?x=1\n")
    assert own.get("/v1/videos/1").status == 200

    hop = own.json("explain", "own-service")["hops"][0]
    attempt = next(note for note in hop["notes"] if note["policy"] == "attempt")
    assert attempt["detail"]["upstream"] == "hello"
    assert attempt["detail"]["endpoint"] in ("hello.1", "hello.2")


def test_status_shows_its_replicas(own: Lab) -> None:
    """Beside the lab's own, up and ready."""
    rows = {row["instance"]: row for row in own.json("status")["processes"]}
    assert all(rows[name]["up"] and rows[name]["ready"] for name in ("hello.1", "hello.2"))


def test_a_disturbed_link_shows(own: Lab) -> None:
    """300 ms between l7 and the service, and gone again."""
    own.json("fault", "add", "latency", "--on", "link:l7>hello", "--ms", "300", "--ttl", "60s")
    try:
        wait_until(lambda: own.get("/hello").took_s >= 0.29, limit_s=10)
    finally:
        own.json("fault", "clear", "--all")
    wait_until(lambda: own.get("/hello").took_s < 0.29, limit_s=10)


def test_a_paused_replica_is_left_for_the_other(own: Lab) -> None:
    """Retries and checks are l7's; nobody sees more than one slow answer after the first second."""
    own.json("fault", "add", "pause", "--on", "hello.1", "--ttl", "60s")
    try:
        wait_until(lambda: own.get("/hello").took_s < 0.2, limit_s=10)
        assert {own.get("/hello").status for _ in range(10)} == {200}
    finally:
        own.json("fault", "clear", "--all")


def test_a_restarted_service_is_found_again(own: Lab) -> None:
    """A new container may have a new number."""
    assert set(own.json("restart", "hello")["restarted"]) == {"hello.1", "hello.2"}
    wait_until(lambda: greets(own), limit_s=10)


def test_a_second_file_needs_a_new_start(own: Lab) -> None:
    """Said, instead of silently left out; the same file is fine."""
    assert own.run("up", "-f", FILE).returncode == 0
    other = own.run("up", "-f", "docker-compose.yml")
    assert other.returncode == 3
    assert "squall down first" in other.stderr


def test_compose_alone_reads_the_same_file(own: Lab) -> None:
    """`docker compose -f … -f … up`: the container lab writes the route, and says it is ready."""
    if own.mode != "containers":
        pytest.skip("the lab runs as processes")
    compose = ["docker", "compose", "-f", "docker-compose.yml", "-f", FILE]
    assert own.run("down").returncode == 0
    try:
        subprocess.run([*compose, "up", "-d"], cwd=ROOT, env=own.environ, check=True, timeout=120)
        wait_until(lambda: _is_answered(own), limit_s=60)
        wait_until(lambda: f"http://127.0.0.1:{PORT}/" in _said(own, compose), limit_s=60)
    finally:
        subprocess.run([*compose, "down"], cwd=ROOT, env=own.environ, check=True, timeout=120)
        assert own.run("up", "--mode", own.mode, "-f", FILE).returncode == 0


def _is_answered(lab: Lab) -> bool:
    try:
        return greets(lab)
    except OSError:
        return False


def _said(lab: Lab, compose: list[str]) -> str:
    done = subprocess.run(
        [*compose, "logs", "lab"], cwd=ROOT, env=lab.environ, capture_output=True, text=True
    )
    return done.stdout
