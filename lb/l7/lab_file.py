"""The lab's L7 with a file beside control: ``SQUALL_L7_CONFIG=FILE``.

Why: in a lab, control says what is changed in the middle of things: who the backends are, how
switches stand, budgets and tries. All the rest that the proxy can do by its file it can do here
too, from the same sections. What control says is refused in the file, so that no figure has two
places that may differ.
The file is followed as the proxy's own is: a new one that is right is taken whole, one with a
mistake changes nothing and is logged.
Not handled: TLS (it ends in front of the lab), roles of backends (zones, levels, canaries), which
need a file that lists them; files for services of one's own, which keep their defaults.
"""

import asyncio
import signal
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

from kit.errors import LabError
from kit.reload import FollowedFile
from kit.source import DataPath, read_source
from lb.endpoints import Endpoint
from lb.l7.access_log import prove_writable
from lb.l7.balancing import BalanceOptions
from lb.l7.config import L7Config, check_source
from lb.l7.sections import Sections
from resilience.policy.contract import Snapshot

VARIABLE = "SQUALL_L7_CONFIG"
AT_START = ("proxy_protocol", "websocket")

_SETTING = "in a lab it is a setting; take it out, and see squall setting list"
REFUSED: Mapping[DataPath, str] = {
    ("listen",): "in a lab docker-compose.yml says where l7 listens; take it out",
    ("workers",): "in a lab l7 is one process; take it out",
    ("backends",): "in a lab the registry says who they are; take it out, and see squall lb --help",
    ("policies",): "in a lab switches are told with squall policy set; take it out",
    ("tls",): "in a lab TLS ends in front of l7, e.g. in python -m lb.l7 FILE; take it out",
    ("requests", "budget_ms"): _SETTING,
    ("requests", "attempts"): _SETTING,
    ("requests", "retry_answers"): _SETTING,
    ("balance", "zone"): "zones need the backends in the file, which in a lab it has not",
    (
        "balance",
        "canary_share",
    ): "canaries need the backends in the file, which in a lab it has not",
    ("balance", "subset"): "subsets need the backends in the file, which in a lab it has not",
}
"""What the file may not say in a lab, and where it is said."""

_NO_FILE = L7Config()


def load_lab_config(path: Path) -> L7Config:
    """Read a file; raises SourceError with the place of the first mistake."""
    source = read_source(path)
    for at, told in REFUSED.items():
        if _is_given(source.data, at):
            raise source.error(at, f"{'.'.join(map(str, at))}: {told}")
    config = check_source(source)
    prove_writable(config.access_log)
    return config


def _is_given(data: object, at: DataPath) -> bool:
    for key in at:
        if not isinstance(data, Mapping) or key not in data:
            return False
        data = data[key]
    return True


def check_lab_file(path: Path | None) -> None:
    """End the process with 2 where the file is wrong, before anything waits for control."""
    try:
        if path is not None:
            load_lab_config(path)
    except LabError as error:
        sys.stderr.write(f"l7: {error}\n")
        sys.exit(error.exit_code)


class LabFile:
    """What a file adds to the lab's proxy; without one, nothing: every section as it is by default.

    Args:
        path: The file; None: there is none.
        sections: Whose proxy it is.

    Raises:
        ConfigError: It can't be read, or says what it may not.
    """

    def __init__(self, path: Path | None, sections: Sections) -> None:
        self.file = FollowedFile(path, load_lab_config, AT_START) if path is not None else None
        self._sections = sections
        self._backends: Sequence[Endpoint] = ()
        self._following: asyncio.Task[None] | None = None
        self._on_taken: Callable[[], None] = lambda: None

    @property
    def config(self) -> L7Config:
        """What holds now."""
        return self.file.config if self.file is not None else _NO_FILE

    @property
    def balances(self) -> bool:
        """Whether the file says how backends are picked, so that the choice ``balance`` doesn't."""
        return self.config.balance != BalanceOptions()

    def follow(self, on_taken: Callable[[], None]) -> None:
        """Take the file, and each new one from now on.

        Args:
            on_taken: Called whenever that was done.
        """
        self._on_taken = on_taken
        if self.file is not None:
            self._take(self.file.config)
            loop = asyncio.get_running_loop()
            self._following = loop.create_task(self.file.follow(self._take), name="reload")
            loop.add_signal_handler(signal.SIGHUP, self._on_hangup)
        else:
            on_taken()

    def set_endpoints(self, endpoints: Sequence[Endpoint]) -> None:
        """Limit these from now on, if there is a file."""
        self._backends = endpoints
        if self.file is not None:
            self._sections.limit(self.config, {one.instance: 0 for one in endpoints})

    def reset(self, now_s: float) -> None:
        """Nothing was learned."""

    def snapshot(self) -> Snapshot:
        """How often the file was read anew, how often it was wrong, and what is wrong now."""
        return {} if self.file is None else {**self.file.snapshot()}

    def close(self) -> None:
        """Follow it no more."""
        if self._following is not None:
            self._following.cancel()
            asyncio.get_running_loop().remove_signal_handler(signal.SIGHUP)
        self._sections.close()

    def _take(self, config: L7Config) -> None:
        self._sections.use(config)
        self.set_endpoints(self._backends)
        self._on_taken()

    def _on_hangup(self) -> None:
        assert self.file is not None
        self.file.look(self._take)
        self._sections.reopen_log()
