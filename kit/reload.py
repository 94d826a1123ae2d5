"""A file that people edit while a process runs by it: a new one is taken whole, or not at all.

Why: a server's file is edited in a hurry, and a mistake in it must cost nothing. The file is looked
at each second and at SIGHUP; what is right is taken between two events, what is wrong is logged
with its place and changes nothing, and what only a new start can change is named.
Source: HAProxy's and nginx's ``-t`` before a reload; here the check is the reload's first half.
Not handled: several files; files that it names itself (certificates have their own, ``lb.l7.tls``).
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Generic, TypeVar

from kit.errors import ConfigError

ConfigT = TypeVar("ConfigT")

LOOK_S = 1.0  # how late a new file may be noticed without SIGHUP

log = logging.getLogger(__name__)


def file_mark(path: Path) -> tuple[int, int, int] | None:
    """Return what changes when a file does, None when it isn't there."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino


class FollowedFile(Generic[ConfigT]):
    """The configuration that a file says, as of when it was right last.

    Args:
        path: The file.
        load: Reads and checks it; raises ConfigError.
        at_start: Fields of the configuration that only a new start changes.

    Raises:
        ConfigError: It is wrong at the start.
    """

    def __init__(
        self, path: Path, load: Callable[[Path], ConfigT], at_start: Sequence[str] = ()
    ) -> None:
        self._path = path
        self._load = load
        self._at_start = at_start
        self._seen = file_mark(path)
        self.config = load(path)
        self.reloads = 0
        self.failed_reloads = 0
        self.mistake = ""  # what was wrong with the newest file; "" when it holds

    def look(self, apply: Callable[[ConfigT], None]) -> None:
        """Read the file if it has changed, and have it applied if it is right."""
        seen = file_mark(self._path)
        if seen == self._seen:
            return
        self._seen = seen
        try:
            config = self._load(self._path)
        except ConfigError as error:
            self.failed_reloads += 1
            self.mistake = str(error)
            log.error("the file is wrong: what was read before holds", extra={"error": str(error)})
            return
        fixed = [name for name in self._at_start if self._differs(config, name)]
        if fixed:
            log.warning("changed, and read at a start only", extra={"sections": fixed})
        self.config = config
        self.mistake = ""
        apply(config)
        self.reloads += 1
        log.warning("the file is read anew", extra={"file": str(self._path)})

    async def follow(self, apply: Callable[[ConfigT], None]) -> None:
        """Look each second until cancelled."""
        while True:
            await asyncio.sleep(LOOK_S)
            self.look(apply)

    def snapshot(self) -> dict[str, int | str]:
        """How often it was read anew, how often it was wrong, and what is wrong with it now."""
        return {
            "reloads": self.reloads,
            "failed_reloads": self.failed_reloads,
            "mistake": self.mistake,
        }

    def _differs(self, config: ConfigT, name: str) -> bool:
        return bool(getattr(config, name) != getattr(self.config, name))
