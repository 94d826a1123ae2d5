"""The proxy by itself: ``python -m lb.l7 FILE``, without control and without a lab.

Why: a balancer is worth having in front of anybody's services, and is measured and tried that way.
The file says who the backends are and how each switch stands; the rest is the proxy of the lab:
checks, ejection, retries with a budget, deadlines, drain at SIGTERM.
The file is looked at each second, and at SIGHUP: a new one that is right is taken whole, between
two requests; one with a mistake changes nothing and is told. What a listening socket depends on
(``listen``, ``tls``, ``proxy_protocol``) is read at the start only; a change of it is told too.
Not handled: figures over HTTP (the lab's admin pages), backends that are added by anything else.
"""

import asyncio
import logging
import random
import signal
import sys
from pathlib import Path

import uvloop

from kit import collector, compiled
from kit.errors import ConfigError, LabError
from kit.lifecycle import Lifecycle
from kit.listen import bind
from kit.log import set_up_log
from kit.open_files import SPARE_FILES, allow_open_files
from kit.recorder import Recorder
from kit.reload import FollowedFile
from kit.settings import DEFAULT_LOG_LEVEL
from kit.state import default_mode
from lb.l7.access_log import prove_writable
from lb.l7.balancing import used_backends
from lb.l7.checks import Checks
from lb.l7.config import L7Config, load_config
from lb.l7.proxy import Proxy
from lb.l7.sections import Sections
from lb.l7.server import L7Server
from lb.l7.settings import ProxySettings
from lb.l7.tls import Certificates
from lb.l7.worker_share import share_of
from lb.l7.workers import OPTION, Workers, follow_parent, read_place
from resilience.policy.contract import Mode

AT_START = (
    "listen",
    "workers",
    "tls",
    "proxy_protocol",
    "websocket",
)  # what only a new start changes

log = logging.getLogger(__name__)


class FileSwitches:
    """Switches as the file has them; what it doesn't name stands as in the lab."""

    def __init__(self) -> None:
        self.config = L7Config()

    def mode(self, policy: str) -> Mode:
        """Return how a policy stands."""
        given = self.config.policies.get(policy)
        return default_mode(policy, "l7") if given is None else given


class Standalone:
    """One proxy, from its file.

    Args:
        path: The file.
        place: Of a worker: its number, and how many there are.

    Raises:
        ConfigError: It can't be read, or is wrong, or names no backend.
    """

    def __init__(self, path: Path, place: tuple[int, int] = (1, 1)) -> None:
        index, self._workers = place
        self.file = FollowedFile(path, self._load, AT_START)
        self._certificates: Certificates | None = None
        self.lifecycle = Lifecycle(_nobody_to_tell)
        self.recorder = Recorder()
        self._switches = FileSwitches()
        self.proxy = Proxy(
            self._switches,
            self.recorder.add,
            self.lifecycle,
            instance=f"l7.{index}" if self._workers > 1 else "l7",
            service="backend",
        )
        self.proxy.heads.tunnels.options = self.config.websocket
        self.checks = Checks(self.proxy.balancer, self._switches.mode)
        self.server = L7Server(self.proxy)
        self._sections = Sections(self.proxy, self.checks, random.Random())
        self.lifecycle.on_ready_change(self._on_ready_change)

    @property
    def config(self) -> L7Config:
        """What holds now."""
        return self.file.config

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            LabEnvironmentError: A port is taken.
        """
        loop = asyncio.get_running_loop()
        if self.config.tls.is_on:
            self._certificates = Certificates(self.config.tls)
        certificates = self._certificates
        following = loop.create_task(self.file.follow(self._apply), name="reload")
        self.lifecycle.install_signals()
        loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        try:
            self._apply(self.config)
            shared = self._workers > 1
            listener = bind(*self.config.address, shared=shared)
            await self.server.start(listener, self.config.proxy_protocol)
            if certificates is not None:
                certificates.start()
                listener = bind(*self.config.tls.address, shared=shared)
                self.server.start_tls(listener, certificates, self.config.proxy_protocol)
            compiled.tell_in_use()
            log.info("serving", extra={"listen": self.config.listen})
            await self.lifecycle.serve(self._drain)
        finally:
            following.cancel()
            if certificates is not None:
                certificates.close()
            self.server.close()
            await self.checks.close()
            self._sections.close()
            loop.remove_signal_handler(signal.SIGHUP)
            self.lifecycle.remove_signals()

    def look(self) -> None:
        """Read the file if it has changed; a mistake changes nothing and is told with its place."""
        self.file.look(self._apply)

    def _on_hangup(self) -> None:
        """Look at the file, and go on in a log that has been moved away."""
        self.look()
        self._sections.reopen_log()

    def _apply(self, config: L7Config) -> None:
        """Take everything that may change while requests are under way."""
        self._switches.config = config
        requests = config.requests
        self.proxy.settings = ProxySettings(
            route_budget_s=requests.budget_ms / 1000,
            max_attempts=requests.attempts,
            retry_answers=requests.retry_answers,
            retry_methods=requests.repeatable_methods,
            retry_paths=requests.repeatable_paths,
            max_connections=config.clients.connections,
        )
        self._sections.use(config)
        if self._certificates is not None:
            self._certificates.offer(config.alpn)
        backends = used_backends(config.balance.subset, config.backends)
        self.proxy.set_endpoints(backends, {one.instance: one.weight for one in backends})
        self.proxy.hold_out(
            frozenset(one.instance for one in config.backends if one.drain).__contains__
        )
        self._sections.limit(config, {one.instance: one.max_connections for one in backends})
        self.checks.set_endpoints(backends)

    def _load(self, path: Path) -> L7Config:
        return share_of(load(path), self._workers)

    def _on_ready_change(self, is_ready: bool) -> None:
        """Let each answer end its connection before those that are idle are closed."""
        if not is_ready:
            self.server.begin_drain()

    async def _drain(self, limit_s: float) -> None:
        await self.server.drain(limit_s)


def run_file(arguments: list[str]) -> int:
    """Run a proxy from its file until it is told to stop; returns the exit code.

    Args:
        arguments: Of the command line: the file; of a worker also which one it is.
    """
    place = read_place(arguments.pop(1)) if arguments[:1] == [OPTION] else None
    arguments = arguments[1:] if place else arguments
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m lb.l7 FILE (or, in the lab, without a file)\n")
        return ConfigError.exit_code
    set_up_log(f"l7.{place[0]}" if place else "l7", DEFAULT_LOG_LEVEL)
    try:
        return uvloop.run(_serve(Path(arguments[0]), place))
    except LabError as error:
        sys.stderr.write(f"l7: {error}\n")
        return error.exit_code


async def _serve(path: Path, place: tuple[int, int] | None) -> int:
    if place is None:
        config = load(path)
        if config.workers > 1:
            return await Workers(path, config, config.workers).run()
    alone = Standalone(path, place or (1, 1))
    allow_open_files(alone.config.clients.connections + SPARE_FILES)
    collector.settle()
    if place is not None:
        follow_parent(alone.lifecycle.request_stop)
    await alone.run()
    return 0


def load(path: Path) -> L7Config:
    """Read a file; raises ConfigError where it is wrong, or names no backend."""
    config = load_config(path)
    if not config.backends:
        raise ConfigError(f"{path}: no backend; write backends: [{{address: 'host:port'}}]")
    prove_writable(config.access_log)
    return config


async def _nobody_to_tell() -> None:
    """Readiness has changed; without control nobody is told."""
