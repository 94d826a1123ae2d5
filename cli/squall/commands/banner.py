"""``squall banner``: say where the lab is and what to try, at once or when it is ready."""

import asyncio
from typing import TYPE_CHECKING, Annotated

import typer

from squall.banner import inside_banner
from squall.output import JsonFlag, emit

if TYPE_CHECKING:
    from chaos.lab import Lab

ANSWER_LIMIT_S = 2.0


def banner(
    wait: Annotated[
        bool, typer.Option("--wait", help="Until every process is ready and the data is there.")
    ] = False,
    as_json: JsonFlag = False,
) -> None:
    """Say where the lab is and what to try; the last words of docker compose up."""
    from chaos.inside import wait_leases
    from chaos.lab import find_lab, load_lab
    from chaos.readiness import read_members

    lab = load_lab() if wait else find_lab()
    if wait:
        members = asyncio.run(wait_leases(lab.topology(), lab.control, lambda: _is_seeded(lab)))
        _publish_shown_routes(lab)
    else:
        members = asyncio.run(read_members(lab.control))
    data = {
        "processes": len(members), "port": lab.ports.front, "control_port": lab.ports.control,
    }  # fmt: skip
    emit("squall.banner/1", data, as_json=as_json, text=inside_banner(data))


def _publish_shown_routes(lab: "Lab") -> None:
    """Write the routes of the compose files that this container is shown."""
    from chaos.compose import read_topology
    from chaos.own_routes import container_routes, publish, shown_files

    if files := shown_files():
        topology = read_topology(*lab.compose_files, *files)
        asyncio.run(publish(lab.control, container_routes(topology), forget_others=False))


def _is_seeded(lab: "Lab") -> bool:
    """Whether the data set is whole, and a page of it comes through every tier."""
    from urllib.request import urlopen

    try:
        with urlopen(f"{lab.base_url}/v1/videos/1", timeout=ANSWER_LIMIT_S):  # noqa: S310 - ours
            return asyncio.run(_has_marker())
    except OSError:  # URLError and HTTPError are ones
        return False


async def _has_marker() -> bool:
    """Ask the store whether the seed has ended; a process without a store has no question."""
    from kit.settings import load_settings
    from resilience.errors import ServiceError
    from shard.store import StoreClient
    from squall.seed import MARKER_KEY

    seeds = load_settings("lab").store
    if not seeds:
        return True
    store = StoreClient(seeds)
    try:
        async with asyncio.timeout(ANSWER_LIMIT_S):
            await store.connect()
            return await store.read("GET", MARKER_KEY) is not None
    except (ServiceError, TimeoutError):
        return False
    finally:
        await store.close()
