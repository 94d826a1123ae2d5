"""The examples in a README: its fenced blocks of Python, and the output that follows each."""

import re
from pathlib import Path
from typing import NamedTuple

MAX_LINES = 10

_BLOCK = re.compile(
    r"^```python\n(?P<source>.*?)^```\n(?:\nIt prints:\n\n```text\n(?P<printed>.*?)^```\n)?",
    re.MULTILINE | re.DOTALL,
)


class Example(NamedTuple):
    """One block.

    Args:
        source: Its lines.
        printed: The output that the page promises; "" when it shows none.
    """

    source: str
    printed: str

    @property
    def line_count(self) -> int:
        """How many lines it has; blank ones are the formatter's."""
        return sum(1 for line in self.source.splitlines() if line.strip())


def examples_of(readme: Path) -> list[Example]:
    """Return the examples of a page in order."""
    matches = _BLOCK.finditer(readme.read_text(encoding="utf-8"))
    return [Example(match["source"], match["printed"] or "") for match in matches]
