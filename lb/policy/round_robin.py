"""Round robin: each candidate in its turn, whatever it is busy with.

Why: what balancers did before they counted. An endpoint that has become slow, or stands still, gets
its share of requests as before, and so does everybody who is sent there; the drill `blocked-loop`
shows the difference. It is what ``p2c`` off means.
Source: nginx's default, ngx_http_upstream_round_robin.c, without weights.
Not handled: load, weights, who is alive (``health``, ``outlier``).
"""

from collections.abc import Sequence


class RoundRobin:
    """Hand out candidates in turn. A pick is O(1), and O(n) while some are excluded.

    The turn is a position, not a name: when candidates change it goes on from there.
    """

    __slots__ = ("_candidates", "_turn")

    def __init__(self) -> None:
        self._candidates: tuple[str, ...] = ()
        self._turn = 0

    def set_candidates(self, names: Sequence[str]) -> None:
        """Choose among these from now on."""
        self._candidates = tuple(names)

    def pick(self, exclude: Sequence[str]) -> str | None:
        """Name the next in turn that isn't excluded; None when all are."""
        count = len(self._candidates)
        for _ in range(count):
            name = self._candidates[self._turn % count]
            self._turn = (self._turn + 1) % count
            if name not in exclude:
                return name
        return None
