"""Run the links process: ``python -m faults.wire``."""

import asyncio

from faults.wire.api.app import PORT, ToxicsApi
from faults.wire.process import LinksProcess
from kit.asgi_server import serve_asgi
from kit.node import Node
from kit.run import run


async def main(node: Node) -> None:
    """Serve until told to stop."""
    process = LinksProcess(node)
    api = ToxicsApi(node, process)
    async with asyncio.TaskGroup() as group:
        running = group.create_task(process.run(), name="links")
        try:
            await serve_asgi(node, api.app, PORT)
            await process.wait_left()
        finally:
            api.close()
            running.cancel()


if __name__ == "__main__":
    run(main, "links")
