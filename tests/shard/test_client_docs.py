"""The client page's example, run against a real cluster, prints what the page says."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.shard.cluster import StoreCluster

pytestmark = pytest.mark.integration

PAGE = Path(__file__).parents[2] / "docs" / "shard" / "client.md"


def test_the_example_prints_what_the_page_says(cluster: StoreCluster) -> None:
    """Copied from the page; only the address is the test's."""
    text = PAGE.read_text(encoding="utf-8")
    program = re.search(r"```python\n(.*?)```", text, re.DOTALL)
    expected = re.search(r"It prints:\n\n```text\n(.*?)```", text, re.DOTALL)
    assert program is not None
    assert expected is not None
    node = cluster.nodes[0]
    code = program[1].replace('("127.0.0.1", 6379)', f'("{node.host}", {node.port})')
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=50)
    assert done.stderr == ""
    assert done.stdout == expected[1]
