"""Logs: one JSON object a line on stderr, with the trace and request id of what is served.

Why: a line that can be joined with ``squall explain`` by id, and nothing to configure but the
level. Fields come as ``log.warning("what happened", extra={"figure": 3})``.
Why not structlog: it imports rich, 8 MiB and 100 ms of CPU in each of a dozen processes
(docs/decisions/0002-logging.md).
"""

import logging
import sys
import time

import msgspec

from resilience.context import current

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}


class JsonFormatter(logging.Formatter):
    """Format a record as one JSON line.

    Args:
        instance: Put into each line as ``instance``.
    """

    def __init__(self, instance: str) -> None:
        super().__init__()
        self._instance = instance

    def format(self, record: logging.LogRecord) -> str:
        """Return the record as one line of JSON."""
        line: dict[str, object] = {
            "at": _utc(record.created),
            "level": record.levelname.lower(),
            "instance": self._instance,
            "logger": record.name,
            "what": record.getMessage(),
        }
        context = current()
        if context is not None:
            line["trace_id"] = context.trace_id
            line["request_id"] = context.request_id
        line.update({name: value for name, value in vars(record).items() if name not in _STANDARD})
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return msgspec.json.encode(line, enc_hook=repr).decode()


def set_up_log(instance: str, level: str) -> None:
    """Send every logger's lines to stderr as JSON, from this level up."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter(instance))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())


def _utc(unix_s: float) -> str:
    stamp = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(unix_s))
    return f"{stamp}.{int(unix_s % 1 * 1000):03d}Z"
