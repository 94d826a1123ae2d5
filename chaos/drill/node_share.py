"""Which share of a cache's reads one of its nodes had to answer. Pure.

Why: a hot key makes one node's load of everybody's, whatever the number of nodes; copies of it in
the readers' own memory take that load away, and nothing else that is counted shows it.
Source: drills.md, row 17; the counters are those of ``services.read_through``: ``hits`` and
``misses`` of all lookups, local ones among them, and ``cache-1.hits`` and ``.misses`` of a node.
Not handled: which key it was. A drill that asks nearly only for one knows.
"""

from chaos.drill.observation import NOTHING_SEEN, Observation, share
from chaos.drill.readings import Answer, Readings, growth, number, totals
from chaos.drill.records import Window


def node_share(readings: Readings, window: Window, node: str) -> Observation:
    """Return the share of all lookups in a phase that a node answered.

    Args:
        readings: What everybody counted.
        window: The phase.
        node: Of the cache, e.g. ``cache-1``.

    Nothing is seen where nobody looked anything up.
    """
    if len(readings.samples) < 2:
        return NOTHING_SEEN

    def answered(answer: Answer) -> float:
        cache = answer.get("cache")
        return number(cache, f"{node}.hits") + number(cache, f"{node}.misses")

    def asked(answer: Answer) -> float:
        cache = answer.get("cache")
        return number(cache, "hits") + number(cache, "misses")

    of_all = round(growth(totals(readings.samples, asked), window))
    if of_all < 1:
        return NOTHING_SEEN
    return share(min(of_all, round(growth(totals(readings.samples, answered), window))), of_all)
