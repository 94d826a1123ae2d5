"""Have a proxy do what its file's sections say: once at the start, and again for each new file.

Why apart: the proxy by itself and the lab's take the same sections. What else a file says (who the
backends are, how switches stand) is the file's for the one and control's for the other.
What hasn't changed is left alone, so that a reload loses nothing that was learned.
"""

import random
import time
from collections.abc import Mapping

from lb.l7.access_log import replaced
from lb.l7.affinity import Affinity, key_reader
from lb.l7.backend_limits import limits_of
from lb.l7.balancing import build_algorithm
from lb.l7.checks import Checks
from lb.l7.config import L7Config
from lb.l7.ejection import EjectionOptions, build_ejection
from lb.l7.forwarded import Forwarding
from lb.l7.proxy import Proxy


class Sections:
    """What of a file is in use.

    Args:
        proxy: Who does it.
        checks: Its checks.
        rng: Source of chance, for algorithms.
    """

    def __init__(self, proxy: Proxy, checks: Checks, rng: random.Random) -> None:
        self._proxy = proxy
        self._checks = checks
        self._rng = rng
        self._balanced: object = None  # what the algorithm in use was built from
        self._ejection: EjectionOptions | None = None  # the rules in use

    def use(self, config: L7Config) -> None:
        """Take everything that may change while requests are under way, but for the backends."""
        proxy = self._proxy
        proxy.access_log = replaced(proxy.access_log, config.access_log)
        proxy.timeouts = config.timeouts
        proxy.heads.limits.use(config.clients, config.forwarded.trust)
        proxy.http2.options = config.http2
        proxy.forwarding = Forwarding(config.forwarded)
        self._balance(config)
        if config.ejection != self._ejection:
            self._ejection = config.ejection
            proxy.balancer.eject_by(build_ejection(config.ejection), time.monotonic())
        self._checks.use(config.checks)

    def limit(self, config: L7Config, backends: Mapping[str, int]) -> None:
        """Limit what each backend may hold.

        Args:
            config: The file.
            backends: Each one's own limit by its name; 0: as the section ``limits`` says.
        """
        line = self._proxy.line
        line.use(limits_of(config.limits, backends), config.limits.backend_pending)
        line.call()

    def reopen_log(self) -> None:
        """Go on in a log that has been moved away."""
        if self._proxy.access_log is not None:
            self._proxy.access_log.reopen()

    def close(self) -> None:
        """Let go of what was opened."""
        if self._proxy.access_log is not None:
            self._proxy.access_log.close()

    def _balance(self, config: L7Config) -> None:
        """Pick by another algorithm where the file wants another; the old one's picks end alone."""
        roles = [(one.instance, one.zone, one.priority, one.canary) for one in config.backends]
        wanted = (config.balance, sorted(roles))
        if wanted == self._balanced:
            return
        self._balanced = wanted
        proxy, sticky = self._proxy, config.balance.sticky
        proxy.affinity = Affinity(sticky) if sticky.cookie else None
        affinity = proxy.affinity
        proxy.key_of = affinity.key_of if affinity else key_reader(config.balance.key)
        algorithm = build_algorithm(config.balance, config.backends, self._rng)
        proxy.balancer.use(algorithm, time.monotonic())
