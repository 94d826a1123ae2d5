"""The examples of the libraries' READMEs are short, and do what the page says."""

import os
import subprocess

import pytest

from tests.packaging.examples import MAX_LINES, Example, examples_of
from tests.packaging.wheels import LIBRARIES, LIMIT_S, ROOT, Environment
from tests.ports import free_port
from tests.shard.cluster import StoreCluster, start_cluster

FASTAPI_USE = """
import asyncio

@app.get("/quick")
async def quick() -> str:
    return "here"

@app.get("/slow")
async def slow() -> None:
    await asyncio.sleep(60)

async def get(path, *headers):
    scope = {"type": "http", "method": "GET", "path": path, "query_string": b"", "headers": headers}
    said = []
    async def receive():
        await asyncio.Event().wait()
    async def send(message):
        said.append(message)
    await app(scope, receive, send)
    names = {name.decode() for name, _ in said[0]["headers"]}
    print(path, said[0]["status"], *sorted(names & {"server-timing", "x-request-id"}))

asyncio.run(get("/quick"))
asyncio.run(get("/slow", (b"x-envoy-expected-rq-timeout-ms", b"50")))
"""
FASTAPI_SAYS = "/quick 200 server-timing x-request-id\n/slow 504 server-timing x-request-id\n"

GRPC_USE = """
import asyncio, sys
from resilience.context import current
from resilience.errors import Code, ServiceError
from resilience.rpc.client import unary

async def quick(request, servicer):
    return b"here" if current().deadline_s is not None else b"without a deadline"

async def missing(request, servicer):
    raise ServiceError(Code.NOT_FOUND, "NO_SUCH_ITEM", "there is no such item")

async def main():
    server = guarded_server(lambda: 0.0)
    unary_handler = grpc.unary_unary_rpc_method_handler
    methods = {"quick": unary_handler(quick), "missing": unary_handler(missing)}
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler("shop", methods)])
    address = sys.argv[1]
    server.add_insecure_port(address)
    await server.start()
    async with grpc.aio.insecure_channel(address) as channel:
        print(await unary(channel.unary_unary("/shop/quick"), b"", 5.0))
        try:
            await unary(channel.unary_unary("/shop/missing"), b"", 5.0)
        except ServiceError as error:
            print(error.code.name, error.reason)
    await server.stop(None)

asyncio.run(main())
"""
GRPC_SAYS = "b'here'\nNOT_FOUND NO_SUCH_ITEM\n"

PLAIN_USE = """
import asyncio

tries = []

def fetch_price(host, item):
    tries.append(host)
    if len(tries) < 3:
        raise ConnectionResetError("again, please")
    return len(item)

print(asyncio.run(guarded(fetch_price, "tea")), *tries)
"""
PLAIN_SAYS = "3 prices:80 prices:80 prices:80\n"

SINGLE_FLIGHT_USE = """
asked = []

async def ask_the_shop(item):
    asked.append(item)
    await asyncio.sleep(0.01)
    return len(item)

async def main():
    print(*await asyncio.gather(price("tea"), price("tea"), price("coffee")), *asked)

asyncio.run(main())
"""
SINGLE_FLIGHT_SAYS = "3 3 6 tea coffee\n"


def readme(library: str) -> list[Example]:
    """Return the examples of a library's page."""
    return examples_of(ROOT / library / "README.md")


@pytest.mark.parametrize("library", LIBRARIES)
def test_examples_are_at_most_ten_lines(library: str) -> None:
    """Each README has examples, and none is longer, blank lines left out."""
    lengths = [example.line_count for example in readme(library)]

    assert lengths
    assert max(lengths) <= MAX_LINES


def test_the_hashing_example_prints_what_the_page_says(bare: Environment) -> None:
    """It runs where nothing but the two dependency-free libraries is installed."""
    (example,) = readme("hashing")

    assert example.printed
    assert bare.run(example.source) == example.printed


def test_the_fastapi_example_guards_an_application(with_fastapi: Environment) -> None:
    """A quick route answers; a slow one is cut at the time the caller asked for."""
    example = readme("resilience")[0]

    assert with_fastapi.run(example.source + FASTAPI_USE) == FASTAPI_SAYS


def test_the_grpc_example_guards_a_server(with_grpc: Environment) -> None:
    """The handler sees its caller's deadline, and its error reaches the caller whole."""
    example = readme("resilience")[1]

    assert with_grpc.run(example.source + GRPC_USE, f"127.0.0.1:{free_port()}") == GRPC_SAYS


def test_the_plain_example_retries_a_function(bare: Environment) -> None:
    """A function that fails twice is called a third time, and its value comes back."""
    example = readme("resilience")[2]

    assert bare.run(example.source + PLAIN_USE) == PLAIN_SAYS


def test_the_single_flight_example_asks_once(bare: Environment) -> None:
    """Two who ask for the same at once cost one question; another item is another one."""
    example = readme("resilience")[3]

    assert bare.run(example.source + SINGLE_FLIGHT_USE) == SINGLE_FLIGHT_SAYS


def test_the_store_example_writes_to_a_cluster(with_hiredis: Environment) -> None:
    """Formed by the library's own command, a cluster acknowledges and returns the value."""
    (example,) = readme("shard")

    with start_cluster() as cluster:
        form(with_hiredis, cluster)
        assert example.source.count('"127.0.0.1"') == 1
        here = example.source.replace("127.0.0.1", cluster.nodes[0].host)
        assert with_hiredis.run(here) == example.printed


def form(environment: Environment, cluster: StoreCluster) -> None:
    """Form the cluster with the installed ``python -m shard.form``."""
    subprocess.run(
        [environment.python, "-I", "-m", "shard.form"],
        env={**os.environ, "SQUALL_STORE": cluster.seeds_text},
        check=True,
        capture_output=True,
        timeout=LIMIT_S,
    )
