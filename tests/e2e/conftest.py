"""The lab itself, started once by the command that users type, and ended with nothing left."""

import json
import os
import socket
import subprocess
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.http import Answer, ask
from tests.e2e.wait import wait_until

ROOT = Path(__file__).resolve().parents[2]
PORT = 18080  # beside a developer's own lab on 8080
UP_LIMIT_S = 300.0
COMMAND_LIMIT_S = 240.0
MAKE_LIMIT_S = 20.0
NOT_NOW = (429, 503, 504)


@dataclass(frozen=True)
class Lab:
    """A running lab and the two ways into it: HTTP and the command."""

    mode: str
    environ: dict[str, str]

    def get(self, path: str, **headers: str) -> Answer:
        """GET from the front door; header names with _ for -."""
        return ask(PORT, "GET", path, headers=_dashed(headers))

    def post(self, path: str, body: object, **headers: str) -> Answer:
        """POST JSON (or bytes as they are) to the front door."""
        return ask(PORT, "POST", path, body=body, headers=_dashed(headers))

    def make(self, path: str, body: object, **headers: str) -> Answer:
        """POST until it is answered 201, with one key, as a client of a busy machine does.

        Such a machine may refuse for load, or be late for the replica's word (429, 503, 504) or
        for its own deadline. Any other answer is final, and fails.
        """
        keyed = {**headers, "idempotency_key": uuid.uuid4().hex}
        answers: list[Answer] = []

        def is_final() -> bool:
            with suppress(OSError):
                answers.append(self.post(path, body, **keyed))
                return answers[-1].status not in NOT_NOW
            return False

        wait_until(is_final, limit_s=MAKE_LIMIT_S)
        assert answers[-1].status == 201, answers[-1]
        return answers[-1]

    def run(self, *argv: str, limit_s: float = COMMAND_LIMIT_S) -> subprocess.CompletedProcess[str]:
        """Run ``./squall`` with arguments, from the repository root."""
        return subprocess.run(
            [str(ROOT / "squall"), *argv],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=limit_s,
            check=False,
        )

    def json(self, *argv: str, code: int = 0, limit_s: float = COMMAND_LIMIT_S) -> dict[str, Any]:
        """Run ``./squall … --json``, check its exit code, and return its object."""
        done = self.run(*argv, "--json", limit_s=limit_s)
        assert done.returncode == code, f"{argv}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        found: dict[str, Any] = json.loads(done.stdout)
        return found


def _dashed(headers: dict[str, str]) -> dict[str, str]:
    return {name.replace("_", "-"): value for name, value in headers.items()}


@pytest.fixture(scope="session")
def lab(request: pytest.FixtureRequest) -> Iterator[Lab]:
    """Start the lab in the mode asked for, and take it down with its data."""
    mode = str(request.config.getoption("--e2e"))
    found = Lab(mode, {**os.environ, "SQUALL_PORT": str(PORT), "MODE": mode})
    up = found.run("up", "--mode", mode, limit_s=UP_LIMIT_S)
    assert up.returncode == 0, f"squall up: {up.returncode}\n{up.stdout}\n{up.stderr}"
    try:
        yield found
    finally:
        subprocess.run(["make", "down"], cwd=ROOT, env=found.environ, check=True, timeout=120)
        _check_nothing_is_left()


def _check_nothing_is_left() -> None:
    """After ``make down`` nobody listens on the lab's ports, and its data is gone."""
    for port in (PORT, PORT - 1):
        with socket.socket() as client:
            assert client.connect_ex(("127.0.0.1", port)) != 0, f"port {port} still answers"
    assert not (ROOT / ".squall").exists()


@pytest.fixture
def driver(lab: Lab) -> Callable[[str, str], None]:
    """Return ``(verb, instance)``: kill, pause, resume, stop or start a process of the lab."""
    from chaos.lab import load_lab

    hands = load_lab().driver()

    def act(verb: str, instance: str) -> None:
        getattr(hands, verb)(instance)

    return act


@pytest.fixture
def unhurried(lab: Lab) -> Iterator[None]:
    """Refuse and cut nothing for load: a busy machine would, which says nothing of the rest."""
    for policy in ("limiter", "deadline"):
        lab.json("policy", "set", policy, "off")
    yield
    for policy in ("limiter", "deadline"):
        lab.json("policy", "reset", policy)
