"""The store client's methods that take keys of any slots."""

from collections.abc import Mapping

from shard.multi_key import SplitResult, run_split
from shard.policy.attempt import Reads, Work
from shard.policy.durability import Durability
from shard.resp import Argument, Reply
from shard.runner import Runner


class ManyKeys:
    """MGET, EXISTS, TOUCH, MSET, DEL and UNLINK over slots; ``StoreClient`` inherits it."""

    _runner: Runner

    async def mget(
        self, *keys: str | bytes, reads: Reads = Reads.PRIMARY, deadline_s: float | None = None
    ) -> list[Reply]:
        """Read the values of keys anywhere, in their order; None where there is none.

        Not one moment: each slot answers for itself. Arguments and errors as ``read``.
        """
        if not keys:
            return []
        values = await self._read(("MGET", *keys), deadline_s, reads)
        assert isinstance(values, list)
        return values

    async def exists(self, *keys: str | bytes, deadline_s: float | None = None) -> int:
        """Count those of the keys that exist; raises as ``read``."""
        return await self._count("EXISTS", keys, deadline_s)

    async def touch(self, *keys: str | bytes, deadline_s: float | None = None) -> int:
        """Make keys recently used, and count those that exist; raises as ``read``."""
        return await self._count("TOUCH", keys, deadline_s)

    async def mset(
        self,
        values: Mapping[str, Argument] | Mapping[bytes, Argument],
        *,
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> SplitResult:
        """Set keys anywhere. Not atomic over slots: the result says of each key what is known.

        Raises:
            ValueError: No key.
        """
        words = [word for pair in values.items() for word in pair]
        return await run_split(self._runner, Work.WRITE, ("MSET", *words), durability, deadline_s)

    async def delete(
        self,
        *keys: str | bytes,
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> SplitResult:
        """Delete keys anywhere; the value is how many there were. Otherwise as ``mset``."""
        return await run_split(self._runner, Work.WRITE, ("DEL", *keys), durability, deadline_s)

    async def unlink(
        self,
        *keys: str | bytes,
        durability: Durability = Durability.LOCAL,
        deadline_s: float | None = None,
    ) -> SplitResult:
        """Delete keys anywhere, their memory later; otherwise as ``delete``."""
        return await run_split(self._runner, Work.WRITE, ("UNLINK", *keys), durability, deadline_s)

    async def _count(
        self, name: str, keys: tuple[str | bytes, ...], deadline_s: float | None
    ) -> int:
        if not keys:
            return 0
        found = await self._read((name, *keys), deadline_s)
        assert isinstance(found, int)
        return found

    async def _read(
        self,
        command: tuple[Argument, ...],
        deadline_s: float | None,
        reads: Reads = Reads.PRIMARY,
    ) -> Reply:
        done = await run_split(
            self._runner, Work.READ, command, Durability.LOCAL, deadline_s, reads
        )
        return done.raise_for_status()
