"""One command on its way through the client: what it is, where it belongs, until when."""

from dataclasses import dataclass

from shard.own import OwnConnection
from shard.policy.attempt import Reads, Work
from shard.policy.durability import Durability, WriteStatus
from shard.resp import Answer, ReplyError
from shard.result import WriteResult


@dataclass(slots=True)
class Operation:
    """A packed command.

    Args:
        work: Read, write or script; decides what a lost reply means.
        slot: 0..16383.
        payload: RESP bytes.
        deadline_s: Absolute monotonic seconds.
        durability: What it takes to acknowledge it.
        on_unknown_script: Sent instead when the node doesn't know the script's digest.
        leaders: Packed commands that leave directly before it: a transaction's, whose EXEC it is.
        reads: Which nodes may answer it, of a read.
        own: The connection it has to itself; None: it shares one.
    """

    work: Work
    slot: int
    payload: bytes
    deadline_s: float
    durability: Durability = Durability.LOCAL
    on_unknown_script: bytes | None = None
    leaders: tuple[bytes, ...] = ()
    reads: Reads = Reads.PRIMARY
    own: OwnConnection | None = None

    @property
    def name(self) -> str:
        """``read``, ``write-local`` or ``write-replicated``."""
        return "read" if self.work is Work.READ else f"write-{self.durability.value}"

    def learn_script(self, answer: Answer) -> bool:
        """Turn to the script's source when the node asks for it; False when it didn't."""
        if not (isinstance(answer, ReplyError) and answer.kind == "NOSCRIPT"):
            return False
        if self.on_unknown_script is None:
            return False
        self.payload, self.on_unknown_script = self.on_unknown_script, None
        return True

    @staticmethod
    def judge(result: WriteResult) -> str:
        """Say a result in one word for an observer."""
        if result.reason is None:
            return "ok"
        return f"UNKNOWN:{result.reason}" if result.status is WriteStatus.UNKNOWN else result.reason
