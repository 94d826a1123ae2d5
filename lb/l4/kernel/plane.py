"""The control plane: who is up, who drains, and therefore what the kernel's table says.

Why a process at all: the kernel forwards by itself, also while this process is dead (it fails
static: the table stays). What it can't do is notice that a backend died. So this process connects
to each backend every second, fills a new Maglev table when the answer changes, and hands the kernel
the places that differ.

    weight changed, back up     its share of places moves; open connections stay where they are
    drain, or out of the file   no new connections; conntrack keeps the open ones
    down                        no new connections, and conntrack forgets the open ones
    nobody up                   an empty table: clients are refused at once

At most ``rebuilds_per_s`` transactions: what changes meanwhile goes into the next one.
Source: Maglev (NSDI 2016), section 3.2 (config manager, VIP matcher); keepalived for the checks.
Not handled: several balancers that agree on health (each has the same table for the same health).
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Awaitable, Callable

from kit.errors import ConfigError, LabError
from lb.l4.kernel import conntrack, nft
from lb.l4.kernel.config import KernelBackend, KernelConfig
from lb.l4.kernel.table import Table, Target, diff, fill
from lb.policy.health import CheckedHealth
from lb.probe import Answer, probe

log = logging.getLogger(__name__)

# A running table can't change these: another table's rules, or another map's size.
_FIXED = ("listen", "places", "masquerade", "table")


async def connect(target: Target, timeout_s: float) -> Answer:
    """Connect to a backend and leave at once."""
    return await probe(target.host, target.port, timeout_s)


class Plane:
    """Keep the kernel's table as backends are.

    Args:
        config: The checked file.
        apply: Hands the kernel a transaction; raises LabError when refused.
        forget: Deletes the connections of a service to a backend; returns how many.
        check: Connects to a backend, within so many seconds.
    """

    def __init__(
        self,
        config: KernelConfig,
        *,
        apply: Callable[[str], None] = nft.apply,
        forget: Callable[[Target, Target], int] = conntrack.forget,
        check: Callable[[Target, float], Awaitable[Answer]] = connect,
    ) -> None:
        self.config = config
        self.table: Table = ()
        self._apply = apply
        self._forget = forget
        self._check = check
        self._health = CheckedHealth()
        self._dead: set[Target] = set()  # whose connections are to be forgotten
        self._watchers: dict[str, asyncio.Task[None]] = {}
        self._changed = asyncio.Event()
        self._stopping = asyncio.Event()

    async def run(self) -> None:
        """Install the table, keep it until ``stop``, remove it.

        Raises:
            LabError: When the first transaction, or the removal, is refused.
        """
        self._health.set_endpoints(backend.address for backend in self.config.backends)
        self._install()
        try:
            self._watch()
            await self._keep()
        finally:
            for task in self._watchers.values():
                task.cancel()
            await asyncio.gather(*self._watchers.values(), return_exceptions=True)
            self._apply(nft.render_remove(self.config))
            log.info("removed the table", extra={"table": self.config.table})

    def stop(self) -> None:
        """Let ``run`` end; may be called more than once."""
        self._stopping.set()
        self._changed.set()

    def set_config(self, config: KernelConfig) -> None:
        """Take other backends, weights, drains and intervals.

        Raises:
            ConfigError: When it changes what a running table can't; then nothing is taken.
        """
        for key in _FIXED:
            if getattr(config, key) != getattr(self.config, key):
                raise ConfigError(f"{key} can't change while the table is installed: restart")
        self.config = config
        self._health.set_endpoints(backend.address for backend in config.backends)
        self._watch()
        self._changed.set()

    def wanted(self) -> dict[Target, float]:
        """Who should get new connections now, and with which weight."""
        up = self._health.snapshot()
        return {
            backend.target: backend.weight
            for backend in self.config.backends
            if up[backend.address] and not backend.drain
        }

    def _install(self) -> None:
        self.table = fill(self.wanted(), self.config.places)
        self._apply(nft.render_install(self.config, self.table))
        log.info("installed the table", extra={"table": self.config.table})

    async def _keep(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            if self._stopping.is_set():
                return
            dead = frozenset(self._dead)
            if await asyncio.to_thread(self._bring, self.wanted(), dead):
                self._dead -= dead
            else:
                self._changed.set()  # to be tried again after the pause
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1 / self.config.rebuilds_per_s):
                    await self._stopping.wait()

    def _bring(self, wanted: dict[Target, float], dead: frozenset[Target]) -> bool:
        """Make the kernel's table the wanted one, then forget the dead's; False when refused."""
        began_s = time.monotonic()
        try:
            table = fill(wanted, self.config.places)
            changes = diff(self.table, table)
            if changes.moved:
                self._change(table)
            # Only now: a packet in between would be sent to the dead one again.
            for target in dead:
                forgotten = self._forget(self.config.service, target)
                log.info("forgot connections", extra={"to": target.host, "count": forgotten})
        except LabError as error:
            log.error("the kernel's table stays as it was, to be tried again: %s", error)
            return False
        took_ms = round((time.monotonic() - began_s) * 1000, 1)
        log.info("table", extra={"places": changes.moved, "up": len(wanted), "took_ms": took_ms})
        return True

    def _change(self, table: Table) -> None:
        try:
            self._apply(nft.render_changes(self.config, diff(self.table, table)))
        except LabError as error:
            log.warning("somebody changed our table, it is installed anew: %s", error)
            self._apply(nft.render_install(self.config, table))
        self.table = table

    def _watch(self) -> None:
        """Begin to check new backends, end with those that left."""
        wanted = {backend.address: backend for backend in self.config.backends}
        for address in self._watchers.keys() - wanted.keys():
            self._watchers.pop(address).cancel()
        for address, backend in wanted.items():
            if address not in self._watchers:
                task = asyncio.get_running_loop().create_task(self._check_for_ever(backend))
                self._watchers[address] = task

    async def _check_for_ever(self, backend: KernelBackend) -> None:
        while True:
            answer = await self._check(backend.target, self.config.check_timeout_s)
            self.on_answer(backend, answer, time.monotonic())
            await asyncio.sleep(self.config.check_interval_s)

    def on_answer(self, backend: KernelBackend, answer: Answer, now_s: float) -> None:
        """Take one check's answer; a change of sides wakes the loop."""
        address = backend.address
        if answer.refused:
            moved = self._health.on_unreachable(address, now_s)
        else:
            moved = self._health.on_check(address, answer.ok, now_s)
        if not moved:
            return
        is_up = self._health.is_up(address, now_s)
        if is_up:
            self._dead.discard(backend.target)
        else:
            self._dead.add(backend.target)
        log.info("backend", extra={"address": address, "up": is_up})
        self._changed.set()
