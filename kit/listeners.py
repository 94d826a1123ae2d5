"""Tell listeners, and let the failure of one keep the news from nobody."""

import logging
from collections.abc import Callable, Iterable
from typing import TypeVar

T = TypeVar("T")

log = logging.getLogger(__name__)


def call_all(listeners: Iterable[Callable[[T], None]], news: T) -> None:
    """Call each with the news; one that raises is logged."""
    for listener in listeners:
        try:
            listener(news)
        except Exception:
            log.exception("a listener failed")
