"""The examples of the pages on hashing and the cache run, and print what the page shows."""

import contextlib
import io
from pathlib import Path

import pytest

from tests.packaging.examples import Example, examples_of
from tests.shard.cache_nodes import start_cache_nodes

DOCS = Path(__file__).resolve().parents[2] / "docs"


def _example(page: str, word: str) -> Example:
    (found,) = [each for each in examples_of(DOCS / page) if word in each.source]
    return found


def _run(source: str) -> str:
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(compile(source, "example", "exec"), {})  # noqa: S102
    return printed.getvalue()


@pytest.mark.unit
def test_the_bounded_ring_prints_what_the_page_says() -> None:
    """One hot key on three nodes."""
    example = _example("hashing.md", "BoundedRing")

    assert _run(example.source) == example.printed


@pytest.mark.integration
def test_the_cache_prints_what_the_page_says() -> None:
    """On three nodes at other ports, with the patience that a busy machine needs."""
    example = _example("shard.md", "CacheClient")
    with start_cache_nodes() as nodes:
        source = example.source.replace("CacheClient(NODES)", "CacheClient(NODES, timeout_s=0.4)")
        for number, (_, port) in enumerate(nodes.addresses):
            source = source.replace(str(6401 + number), str(port))

        for _ in range(3):
            printed = _run(source)
            if printed == example.printed:
                break
            nodes.mend()
        assert printed == example.printed
