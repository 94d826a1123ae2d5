"""Which keys a process asks for most: told to whoever asks (``squall shard hot``), and as a metric.

Labels are the ten keys read most, so there are never more than that at a time for each tier.
"""

from collections.abc import Callable
from typing import Any

from prometheus_client.core import GaugeMetricFamily, Metric

from kit.node import Node
from shard.hot_keys import HotKeys

MAX_KEY_CHARS = 64  # of a key that is a metric's label


def tell_hot_keys(node: Node, tier: str, keys: HotKeys, owner: Callable[[str], str]) -> None:
    """Tell of one tier's from now on.

    Args:
        node: Whose process it is.
        tier: ``store`` or ``cache``.
        keys: What its client counts.
        owner: Names the node that a key is on.
    """

    def answer(_: dict[str, Any]) -> dict[str, Any]:
        return {
            "per_s": keys.rate(),
            "keys": [
                {"key": one.key, "node": owner(one.key), "per_s": one.rate} for one in keys.top()
            ],
        }

    def metric() -> Metric:
        found = GaugeMetricFamily(
            f"squall_{tier}_hot_key_per_second",
            "How often the keys asked for most are asked for, by key and node.",
            labels=("key", "node"),
        )
        for one in keys.top():
            found.add_metric((one.key[:MAX_KEY_CHARS], owner(one.key)), one.rate)
        return found

    node.answer(f"hot.{tier}", answer)
    node.metrics.families(lambda: [metric()])
