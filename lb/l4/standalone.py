"""The L4 balancer by itself: ``python -m lb.l4 FILE``, without control and without a lab.

The file says who the backends are and who moves the bytes, this process or the kernel. It is looked
at each second and at SIGHUP; backends, balance, timeouts and limits change at once and connections
that are open stay, while ``listen``, ``mode`` and whose PROXY header is read are the start's.
With ``balance: maglev`` a client's backend follows from its address and the list alone, so another
process with the same file, or this one started anew, sends it to the same backend.
Not handled: connections of a process that ends are not handed to the next.
"""

import asyncio
import functools
import logging
import random
import signal
import sys
import time
from pathlib import Path
from typing import Literal

import uvloop

from hashing import maglev
from kit import collector
from kit.errors import ConfigError, LabError
from kit.lifecycle import Lifecycle
from kit.listen import bind
from kit.log import set_up_log
from kit.open_files import SPARE_FILES, allow_open_files
from kit.reload import FollowedFile
from kit.settings import DEFAULT_LOG_LEVEL
from kit.state import default_mode
from lb.l4.config import CheckOptions, L4Backend, L4Config, load_config
from lb.l4.kernel.config import KernelConfig
from lb.l4.server import L4Server
from lb.l4.settings import L4Settings
from lb.policy.health import CheckedHealth
from lb.policy.key_hash import KeyHash
from lb.policy.p2c import P2C
from lb.policy.roster import Algorithm
from lb.policy.weighted_round_robin import SmoothWeighted
from lb.probe import probe
from resilience.policy.contract import Mode

AT_START = ("listen", "mode", "proxy_protocol", "checks")  # what only a new start changes

log = logging.getLogger(__name__)


class DefaultSwitches:
    """Switches as they stand in the lab; a file has none."""

    def mode(self, policy: str) -> Mode:
        """Return how a policy stands."""
        return default_mode(policy, "l4")


class Standalone:
    """One balancer in proxy mode, from its file.

    Args:
        path: The file.

    Raises:
        ConfigError: It can't be read, or is wrong.
    """

    def __init__(self, path: Path) -> None:
        self.file = FollowedFile(path, load_config, AT_START)
        self._rng = random.Random()
        self.lifecycle = Lifecycle(_nobody_to_tell)
        self.server = L4Server(
            DefaultSwitches(),
            on_begin=self.lifecycle.begin_request,
            on_end=self.lifecycle.end_request,
            health=_health(self.file.config.checks),
            rng=self._rng,
        )
        self._balanced: object = None  # what the algorithm in use was built from
        self._watchers: dict[L4Backend, asyncio.Task[None]] = {}

    async def run(self) -> None:
        """Serve until SIGTERM or SIGINT, then drain.

        Raises:
            LabEnvironmentError: The port is taken.
        """
        loop = asyncio.get_running_loop()
        following = loop.create_task(self.file.follow(self._apply), name="reload")
        self.lifecycle.install_signals()
        loop.add_signal_handler(signal.SIGHUP, self.look)
        try:
            config = self.file.config
            self._apply(config)
            await self.server.start(bind(*config.address), config.proxy_protocol)
            log.info("serving", extra={"listen": config.listen})
            await self.lifecycle.serve(self._drain)
        finally:
            following.cancel()
            self.server.close()
            for watcher in self._watchers.values():
                watcher.cancel()
            await asyncio.gather(*self._watchers.values(), return_exceptions=True)
            loop.remove_signal_handler(signal.SIGHUP)
            self.lifecycle.remove_signals()

    def look(self) -> None:
        """Read the file if it has changed."""
        self.file.look(self._apply)

    def _apply(self, config: L4Config) -> None:
        """Take everything that may change while connections are open."""
        timeouts, limits = config.timeouts, config.limits
        key: Literal["", "source_ip", "source_ip_port"] = (
            config.maglev.key if config.balance == "maglev" else ""
        )
        self.server.settings = L4Settings(
            connect_s=timeouts.connect_s,
            idle_s=timeouts.idle_s,
            half_close_s=timeouts.half_close_s,
            max_connections=limits.connections,
            max_per_client=limits.connections_per_client,
            max_per_backend=limits.backend_connections,
            send_header=config.proxy_protocol.send,
            key=key,
        )
        wanted = (config.balance, config.maglev)
        if wanted != self._balanced:
            self._balanced = wanted
            self.server.balancer.use(_algorithm(config, self._rng), time.monotonic())
        weights = {one.instance: one.weight for one in config.backends}
        self.server.set_endpoints(config.backends, weights)
        drained = frozenset(one.instance for one in config.backends if one.drain)
        self.server.hold_out(drained.__contains__)
        self._watch(config)

    def _watch(self, config: L4Config) -> None:
        """Check those that are there, and nobody else."""
        checks = self.file.config.checks
        for backend in tuple(self._watchers):
            if backend not in config.backends:
                self._watchers.pop(backend).cancel()
        if not checks.enabled:
            return
        for backend in config.backends:
            if backend not in self._watchers:
                self._watchers[backend] = asyncio.create_task(
                    self._check(backend, checks), name=f"check {backend.instance}"
                )

    async def _check(self, backend: L4Backend, checks: CheckOptions) -> None:
        while True:
            began_s = time.monotonic()
            answer = await probe(backend.host, backend.port, checks.timeout_s)
            self.server.balancer.on_check(backend.instance, answer.ok, time.monotonic())
            spent_s = time.monotonic() - began_s
            await asyncio.sleep(max(0.0, checks.interval_s - spent_s))

    async def _drain(self, limit_s: float) -> None:
        await self.server.drain(limit_s)


def run_file(arguments: list[str]) -> int:
    """Run a balancer from its file until it is told to stop; returns the exit code.

    Args:
        arguments: Of the command line: the file.
    """
    if len(arguments) != 1 or arguments[0].startswith("-"):
        sys.stderr.write("usage: python -m lb.l4 FILE (or, in the lab, without a file)\n")
        return ConfigError.exit_code
    path = Path(arguments[0])
    try:
        config = load_config(path)
        if config.mode == "kernel":
            _run_kernel(config, path)
        else:
            _run_proxy(config, path)
    except LabError as error:
        sys.stderr.write(f"l4: {error}\n")
        return error.exit_code
    return 0


def _run_proxy(config: L4Config, path: Path) -> None:
    async def main() -> None:
        alone = Standalone(path)
        collector.settle()
        await alone.run()

    set_up_log("l4", DEFAULT_LOG_LEVEL)
    allow_open_files(2 * config.limits.connections + SPARE_FILES)
    uvloop.run(main())


def _run_kernel(config: L4Config, path: Path) -> None:
    from lb.l4.kernel.run import run  # it needs nft and conntrack, a proxy neither

    run(config.as_kernel, path, load=_load_kernel)


def _load_kernel(path: Path) -> KernelConfig:
    config = load_config(path)
    if config.mode != "kernel":
        raise ConfigError(f"{path}: mode is {config.mode}; only a new start changes it")
    return config.as_kernel


def _algorithm(config: L4Config, rng: random.Random) -> Algorithm:
    if config.balance == "maglev":
        return KeyHash(rng, functools.partial(maglev.build_envoy, size=config.maglev.size))
    return SmoothWeighted(rng) if config.balance == "round_robin" else P2C(rng)


def _health(checks: CheckOptions) -> CheckedHealth | None:
    """Return who is believed; None where refused connections alone tell."""
    if not checks.enabled:
        return None
    return CheckedHealth(
        misses_to_leave=checks.unhealthy_after, passes_to_return=checks.healthy_after
    )


async def _nobody_to_tell() -> None:
    """Readiness has changed; without control nobody is told."""
