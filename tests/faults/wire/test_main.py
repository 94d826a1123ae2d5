"""``python -m faults.wire`` as the system sees it: exit codes, its port, an orderly end."""

import http.client
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from kit.listen import bind
from tests.valkey import Valkey

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[3]
HOST = f"127.{100 + os.getpid() % 100}.{os.getpid() // 100 % 250}.9"  # ports are literal


@contextmanager
def running(control: Valkey, **environ: str) -> Iterator[subprocess.Popen[str]]:
    """Run the process."""
    process = subprocess.Popen(
        [sys.executable, "-m", "faults.wire"],
        env={
            "PATH": os.environ["PATH"],
            "SQUALL_CONTROL": f"{control.host}:{control.port}",
            "SQUALL_HOST": HOST,
            "SQUALL_REPLICA": "1",
            "SQUALL_LINKS": "gateway>video",
            **environ,
        },
        cwd=ROOT,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        yield process
    finally:
        process.kill()
        process.wait()
        if process.stderr is not None:
            process.stderr.close()


def ask(method: str, path: str, body: object = None) -> tuple[int, object]:
    """Send a request to its API."""
    client = http.client.HTTPConnection(HOST, 8474, timeout=10)
    try:
        client.request(method, path, None if body is None else json.dumps(body))
        response = client.getresponse()
        text = response.read()
    finally:
        client.close()
    return response.status, json.loads(text) if text else None


def wait_for_api() -> None:
    """Wait until it answers."""
    limit_s = time.monotonic() + 20.0
    while True:
        try:
            assert ask("GET", "/version") == (200, {"version": "2.12.0"})
            return
        except OSError:
            assert time.monotonic() < limit_s, "the API does not answer"
            time.sleep(0.02)


def test_it_serves_free_proxies_over_real_http_and_ends_in_order(shared_control: Valkey) -> None:
    """A proxy in front of the control server itself carries its answers; SIGTERM ends with 0."""
    with running(shared_control) as process:
        wait_for_api()
        upstream = f"{shared_control.host}:{shared_control.port}"
        status, made = ask("POST", "/proxies", {"name": "control", "upstream": upstream})
        assert status == 201
        assert isinstance(made, dict)
        host, port = made["listen"].split(":")
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(100) == b"+PONG\r\n"
        body = {"type": "loading", "stream": "upstream"}
        assert ask("POST", "/proxies/control/toxics", body)[0] == 200
        with socket.create_connection((host, int(port)), timeout=10) as client:
            client.sendall(b"PING\r\n")
            assert client.recv(100).startswith(b"-LOADING ")
        assert ask("GET", "/proxies/gateway%3Evideo")[0] == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 0


def test_a_taken_port_is_one_line_and_3(shared_control: Valkey) -> None:
    """The port and what to do."""
    with bind(HOST, 8474) as taken:
        taken.listen()
        with running(shared_control) as process:
            _, errors = process.communicate(timeout=20)
    assert process.returncode == 3
    assert errors.splitlines()[-1] == (
        f"links: cannot listen on {HOST}:8474: the port is taken; stop what listens there or "
        "choose another"
    )
    assert "Traceback" not in errors


def test_a_wrong_link_is_one_line_and_2(shared_control: Valkey) -> None:
    """The variable, the word and the form."""
    with running(shared_control, SQUALL_LINKS="gateway>video l4") as process:
        _, errors = process.communicate(timeout=20)
    assert process.returncode == 2
    assert errors.splitlines()[-1] == (
        "links: SQUALL_LINKS has 'l4': give CLIENT>SERVER, e.g. gateway>video"
    )
