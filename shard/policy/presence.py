"""Presence: whether a node that doesn't answer us may still answer others.

    present ──nobody listens there──────────────────────────────▶ gone
     ▲   └────5 looks in a row unanswered, over 2 s at least────▶ gone ──an answer──▶ present
     └───an answer──┘

Why not the ejection (``shard.policy.ejection``): that asks whether a node is worth a read's 50 ms,
is quick to give one up, and may be wrong at no cost but a miss. Coherence rests on what two clients
hold for gone: when a starved machine makes each of them give up other nodes, no board lies between
them any more, and a write of the one is not seen by the other. So silence counts only after
``GONE_S``; and looks are counted too, since a client that was itself stopped for two seconds has
asked only once.
A refused connection is certain: whoever asks there is refused.
Source: the phases "suspect" and "dead" of SWIM (Das, Gupta and Motivala, DSN 2002, section 4.2).
Not handled: a way of ours alone that refuses (a proxy that is gone): taken for the node's refusal.
"""

GONE_S = 2.0  # as NOTICE_TTL_S: who is silent so long has died; longer than a starved process waits
GONE_LOOKS = 5  # in a row; a client that was stopped itself counts one a stop


class Presence:
    """What one client knows of one node. Every call is O(1).

    Args:
        gone_s: Silence after which a node may be gone, seconds, > 0.
        gone_looks: Looks in that time that went unanswered, >= 1.
    """

    __slots__ = ("_looks", "_silent_since_s", "gone_looks", "gone_s", "is_gone")

    def __init__(self, gone_s: float = GONE_S, gone_looks: int = GONE_LOOKS) -> None:
        self.gone_s = gone_s
        self.gone_looks = gone_looks
        self.is_gone = False
        self._looks = 0
        self._silent_since_s = 0.0

    def on_answer(self) -> None:
        """Note that it answered."""
        self.is_gone = False
        self._looks = 0

    def on_silence(self, now_s: float) -> None:
        """Note a look that was not answered in its time."""
        if self._looks == 0:
            self._silent_since_s = now_s
        self._looks += 1
        if self._looks >= self.gone_looks and now_s - self._silent_since_s >= self.gone_s:
            self.is_gone = True

    def on_refused(self) -> None:
        """Note that nobody listens there."""
        self.is_gone = True

    def __repr__(self) -> str:
        return f"<Presence {'gone' if self.is_gone else f'{self._looks} looks unanswered'}>"
