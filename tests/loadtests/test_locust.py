"""Stock Locust runs our locustfile, and its own totals are ours."""

import csv
import functools
import json
import os
import signal
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import pytest

from loadtests.plan import Plan
from loadtests.schedule import Phase
from tests.e2e.wait import wait_until
from tests.loadtests.server import Answer, tiny_server
from tests.ports import free_port

pytestmark = pytest.mark.integration

ROOT = Path(__file__).resolve().parents[2]
LOCUST = [str(Path(sys.executable).parent / "locust"), "-f", str(ROOT / "loadtests/locustfile.py")]


def run_locust(folder: Path, url: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run headless from a folder that isn't the repository."""
    return subprocess.run(
        [*LOCUST, "--headless", "--host", url, "--out", str(folder / "out"), "--only-summary",
         "--exit-code-on-error", "0", *arguments],
        cwd=folder, capture_output=True, text=True, timeout=40, check=False,
    )  # fmt: skip


def rows_of(folder: Path) -> list[dict[str, str]]:
    """Read what a run wrote about its requests."""
    return list(csv.DictReader((folder / "out/requests.csv").read_text().splitlines()))


def mixed(path: str, request_id: str) -> Answer:
    """Refuse each fifth, reset each seventh, leave the comments out of pages."""
    number = int(request_id.rpartition("-")[2])
    if number % 7 == 0:
        return 0, b""
    if number % 5 == 0:
        return 503, b'{"reason": "LIMIT_EXCEEDED"}'
    return 200, b'{"degraded": ["comments"]}' if path.startswith("/v1/videos/") else b"{}"


def test_our_totals_are_locusts_own(tmp_path: Path) -> None:
    """Sent, failed and per-route counts of requests.csv equal Locust's statistics."""
    stats = tmp_path / "stats.json"
    with tiny_server(mixed) as server:
        done = run_locust(
            tmp_path, server.url, "--rate", "80", "--for", "2s", "--mix", "home=1,page=1",
            "--json-file", str(stats.with_suffix("")),
        )  # fmt: skip
        seen = len(server.seen)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path)
    theirs: list[dict[str, Any]] = json.loads(stats.read_text())
    by_route = {row["name"]: row for row in theirs}

    for route in ("home", "page"):
        ours = [row for row in rows if row["route"] == route]
        assert len(ours) == by_route[route]["num_requests"]
        failed = sum(row["status"] != "200" for row in ours)
        assert failed == by_route[route]["num_failures"]
    assert len(rows) == seen, "each arrival is sent once: a reset is counted, not repeated"
    assert {row["reason"] for row in rows} == {"", "LIMIT_EXCEEDED", "RESET"}
    assert all(row["degraded"] == "comments" for row in rows
               if row["route"] == "page" and row["status"] == "200")  # fmt: skip


def test_arrivals_without_room_are_unsent_and_none_is_delayed(tmp_path: Path) -> None:
    """100 a second into 4 slots of 200 ms: at most 20 a second leave, each on time."""
    with tiny_server(delay_s=0.2) as server:
        done = run_locust(
            tmp_path, server.url, "--rate", "100", "--for", "4s", "--max-in-flight", "4",
            "--mix", "list", "--shape", "constant",
        )  # fmt: skip
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path)
    sent = [row for row in rows if row["sent_s"]]
    load = json.loads((tmp_path / "out/load.json").read_text())

    assert len(rows) == load["scheduled"] == 400
    assert len(sent) == load["sent"]
    assert 8 <= len(sent) <= 100
    assert load["lag_p50_ms"] < 50, "an arrival waits for no slot: it leaves on time or never"
    assert {row["reason"] for row in rows if not row["sent_s"]} == {"UNSENT"}


def test_client_that_leaves_before_the_budget_is_over_counts_as_failed(tmp_path: Path) -> None:
    """It leaves after 0.5 of 1 s, long before the answer, and the lab was told when."""
    plan = Plan((Phase("run", 1.0, {"list": 10}),), gaps="constant", give_up_s=0.5,
                tell_gone_at=True)  # fmt: skip
    (tmp_path / "plan.json").write_text(plan.to_json())
    with tiny_server(delay_s=60.0) as server:
        done = run_locust(tmp_path, server.url, "--plan", str(tmp_path / "plan.json"))
        heads = list(server.heads)
    assert done.returncode == 0, done.stderr
    rows = rows_of(tmp_path)
    load = json.loads((tmp_path / "out/load.json").read_text())
    progress = json.loads((tmp_path / "out/progress.json").read_text())

    assert [(row["status"], row["reason"]) for row in rows] == [("0", "GAVE_UP")] * 10
    assert progress["kinds"] == {"failed": 10}
    assert all(float(row["done_s"]) - float(row["sent_s"]) > 0.1 for row in rows)
    told = sorted(int(head.partition("squall.gone_at=")[2].split("\r")[0]) for head in heads)
    due = sorted(1000 * (load["t0_unix_s"] + float(row["scheduled_s"])) for row in rows)
    assert told == [pytest.approx(at_ms + 500, abs=2) for at_ms in due]


def test_a_wrong_argument_ends_with_2_and_a_sentence(tmp_path: Path) -> None:
    """Nothing is sent."""
    done = run_locust(tmp_path, "http://127.0.0.1:9", "--for", "soon")

    assert done.returncode == 2
    assert "'soon' is no duration; write 60s, 5m or 500ms" in done.stderr


def test_page_starts_one_run_after_another(tmp_path: Path) -> None:
    """Its form has our parameters; the second run sends its own schedule."""
    port = free_port()
    with tiny_server() as server:
        page = subprocess.Popen(
            [*LOCUST, "--host", server.url, "--web-host", "127.0.0.1", "--web-port", str(port)],
            cwd=tmp_path, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(lambda: _fetch(port, "/") != "", limit_s=30)
            assert '"max_in_flight"' in _fetch(port, "/")
            for rate, total in ((30, 30), (50, 50)):
                form = {"rate": rate, "duration": "1s", "shape": "constant", "mix": "list"}
                assert '"success": true' in _fetch(port, "/swarm", form)
                wait_until(functools.partial(_has_sent, port, total), limit_s=20)
        finally:
            page.terminate()
            page.wait(10)


def _has_sent(port: int, total: int) -> bool:
    """Whether the run is over and sent as many as its own schedule has."""
    stats = _stats(port)
    if not stats:
        return False
    sent: int = stats["stats"][0]["num_requests"]
    return stats["state"] == "stopped" and sent == total


def _stats(port: int) -> dict[str, Any]:
    data: dict[str, Any] = json.loads(_fetch(port, "/stats/requests") or "{}")
    return data


def _fetch(port: int, path: str, form: dict[str, Any] | None = None) -> str:
    connection = HTTPConnection("127.0.0.1", port, timeout=20)
    try:
        if form is None:
            connection.request("GET", path)
        else:
            kind = {"content-type": "application/x-www-form-urlencoded"}
            connection.request("POST", path, urlencode(form), kind)
        return connection.getresponse().read().decode()
    except OSError:
        return ""
    finally:
        connection.close()


def test_generator_ends_with_its_parent(tmp_path: Path) -> None:
    """A killed engine leaves no load behind."""
    plan, pid_file = tmp_path / "plan.json", tmp_path / "out/progress.json"
    code = (
        "import os, subprocess, sys, pathlib\n"
        "plan, *command = sys.argv[1:]\n"
        "path = pathlib.Path(plan)\n"
        "path.write_text(path.read_text().replace('-1', str(os.getpid())))\n"
        "subprocess.run(command)\n"
    )
    plan.write_text(Plan((Phase("run", 60, {"list": 5}),), parent_pid=-1).to_json())
    with tiny_server() as server:
        command = [*LOCUST, "--headless", "--host", server.url, "--plan", str(plan), "--out",
                   str(tmp_path / "out"), "--only-summary"]  # fmt: skip
        parent = subprocess.Popen(
            [sys.executable, "-c", code, str(plan), *command],
            stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
        )  # fmt: skip
        try:
            wait_until(pid_file.exists, limit_s=30)
            generator = json.loads(pid_file.read_text())["pid"]
        finally:
            parent.send_signal(signal.SIGKILL)
            parent.wait(10)
        wait_until(lambda: not _is_alive(generator), limit_s=10)


def _is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except FileNotFoundError:
        return False
    os.kill(pid, 0)
    return state != "Z"
