"""The lab's Python processes as they really run, on loopback addresses of their own.

Control, six store and three cache nodes, the four services (three of ``video``) and one gateway; no
balancers, no supervisor. Ports are the lab's own, so the addresses differ from those of a lab that
runs here.
"""

import os
import subprocess
import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.valkey import Valkey, start_cluster_nodes, start_valkey

ROOT = Path(__file__).resolve().parents[2]
NETWORK = f"127.79.{os.getpid() % 250}"
GATEWAY_HOST = f"{NETWORK}.50"
INSTANCES = {
    "account.1": f"{NETWORK}.41",
    "video.1": f"{NETWORK}.42",
    "video.2": f"{NETWORK}.43",
    "video.3": f"{NETWORK}.44",
    "comment.1": f"{NETWORK}.45",
    "counter.1": f"{NETWORK}.46",
    "gateway.1": GATEWAY_HOST,
}


@dataclass
class Processes:
    """What runs, and the environment it runs in."""

    environ: dict[str, str]
    control: Valkey
    store: list[Valkey]
    cache: list[Valkey]
    running: dict[str, "subprocess.Popen[bytes]"]

    @property
    def base_url(self) -> str:
        return f"http://{GATEWAY_HOST}:8000"

    def run(self, module: str, *arguments: str) -> str:
        """Run a module to its end and return what it printed."""
        done = subprocess.run(
            [sys.executable, "-m", module, *arguments],
            cwd=ROOT,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=60,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout

    def start(self, instance: str) -> None:
        """Start one process."""
        service, _, replica = instance.partition(".")
        self.running[instance] = subprocess.Popen(
            [sys.executable, "-m", "gateway" if service == "gateway" else f"services.{service}"],
            cwd=ROOT,
            env={
                **self.environ,
                "SQUALL_HOST": INSTANCES[instance],
                "SQUALL_REPLICA": replica,
            },
        )

    def stop(self, instance: str) -> int:
        """Ask one process to stop and return its exit code."""
        process = self.running.pop(instance)
        process.terminate()
        return process.wait(timeout=30)

    def kill_all(self) -> None:
        """End everything at once."""
        for process in self.running.values():
            process.kill()
        for process in self.running.values():
            process.wait(timeout=10)


@contextmanager
def processes() -> Iterator[Processes]:
    """Run the lab's processes for the length of a with block, formed and seeded."""
    with ExitStack() as stack:
        control = stack.enter_context(start_valkey())
        store = stack.enter_context(start_cluster_nodes(node_timeout_ms=5_000))
        cache = [stack.enter_context(start_valkey()) for _ in range(3)]
        environ = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'cli'}",
            "SQUALL_CONTROL": f"{control.host}:{control.port}",
            "SQUALL_STORE": ",".join(f"{each.host}:{each.port}" for each in store),
            "SQUALL_CACHE": ",".join(f"{each.host}:{each.port}" for each in cache),
        }
        lab = Processes(environ, control, store, cache, {})
        stack.callback(lab.kill_all)
        for instance in INSTANCES:  # before the store is formed: every service waits for it
            lab.start(instance)
        lab.run("shard.form")
        lab.run("squall.seed", "--if-empty")
        yield lab
