"""The plainest check: connect to a backend, and leave at once."""

import asyncio
from typing import NamedTuple


class Answer(NamedTuple):
    """What one connect to a backend showed.

    Args:
        ok: It was accepted in time.
        refused: Nobody listens there, or it was reset: no noise.
    """

    ok: bool
    refused: bool = False


async def probe(host: str, port: int, timeout_s: float) -> Answer:
    """Connect once, for so many seconds at most."""
    try:
        async with asyncio.timeout(timeout_s):
            _, writer = await asyncio.open_connection(host, port)
    except ConnectionError:
        return Answer(ok=False, refused=True)
    except OSError:  # TimeoutError is one
        return Answer(ok=False)
    writer.transport.abort()
    return Answer(ok=True)
