"""Run the links process: ``python -m faults.wire``."""

import asyncio

from faults.wire.process import LinksProcess
from kit.node import Node
from kit.run import run


async def main(node: Node) -> None:
    """Serve until told to stop."""
    process = LinksProcess(node)
    running = asyncio.create_task(process.run(), name="links")
    try:
        await node.lifecycle.serve(_close)
    finally:
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)


async def _close(limit_s: float) -> None:
    """Nothing to wait for: clients have been told, and connections end with the process."""


if __name__ == "__main__":
    run(main, "links")
